"""Make a submission: one zip of predictions and model.json that submissions.check passes.

  python -m submissions.pack runs/mine -o my.zip --model model.json
  python -m submissions.pack results.json -o my.zip --model model.json --dataset interrvos \\
      --data-root /data/InterRVOS
  python -m submissions.pack old.zip -o repaired.zip --model model.json

PREDICTIONS is a folder written by benchmark.evaluate, an official results.json, a folder of mask PNGs, or
a zip of such a folder, whatever folder was zipped around it. A folder of benchmark.evaluate knows its
dataset; for anything else --dataset says it.

If MODEL does not exist it is written, with what the predictions tell about their model. Where that is
enough for a submission the zip is made at once; where not, the file waits to be filled in.

Exit codes: 0 packed, 1 the input is wrong, 2 usage, 3 internal.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import tempfile
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path

from tqdm import tqdm

from benchmark.command_line import parser, run_command
from benchmark.datasets import Dataset
from benchmark.errors import InputError, PredictionError
from benchmark.predictions import PredictionReader, StoredPrediction, open_predictions
from benchmark.stored_files import write_atomically, written_atomically
from benchmark.types import Role, Status
from submissions.answers import Answer
from submissions.checking import Checked, Spool, SubmissionReader, check_submission
from submissions.choices import add_dataset_flags, chosen_dataset, dataset_words
from submissions.expected import Expected, ExpectedVideo, expected_of
from submissions.layouts import ANSWERS, MODEL, Form, Layout
from submissions.limits import RATIO, RATIO_FREE_BYTES
from submissions.mask_lines import member_name, write_lines
from submissions.model_card import ModelCard, card_text, read_model_card, template
from submissions.png_writing import write_png
from submissions.problems import Findings, format_findings

FORMS = ("rle", "png")
MENDED = frozenset(
    (
        "wrong-root",
        "model-missing",
        "model-unknown-key",
        "model-missing-key",
        "model-value",
        "roles-mismatch",
    )
)
"""Findings that packing a zip anew does away with."""
EPOCH = (1980, 1, 1, 0, 0, 0)  # the same predictions give the same zip
MANIFEST = "manifest.json"


def main(arguments: Sequence[str]) -> None:
    """The command; see the module's docstring."""
    command = parser("submissions.pack", __doc__)
    command.add_argument("predictions", type=Path, metavar="PREDICTIONS")
    command.add_argument("-o", "--output", type=Path, required=True, metavar="ZIP")
    command.add_argument("--model", type=Path, default=Path(MODEL), metavar="MODEL")
    command.add_argument("--form", choices=FORMS, default="rle", help="run-length text, or a tree of PNGs")
    add_dataset_flags(command)
    chosen = command.parse_args(arguments)
    _name_dataset(chosen)
    dataset = chosen_dataset(chosen)
    expected = expected_of(dataset)
    with tempfile.TemporaryDirectory(prefix="pack-") as work, Spool(Path(work)) as spool:
        reader = _open(chosen.predictions, dataset, expected, Path(work), spool)
        _refuse_part(reader, chosen.predictions)
        text, card = _model(chosen.model, reader)
        checked = pack(reader, expected, card, text, chosen.output, chosen.form)
    print(
        f"{chosen.output}: {card.name} {card.version}, {len(expected.videos)} videos, "
        f"{checked.tally.expressions} expressions ({checked.tally.failed} failed), checked: it passes"
    )
    if checked.findings.warnings:
        print(format_findings(checked.findings.as_json()))
    print(f"predictions {checked.digest}")
    print(f"next: python -m submissions.score {shlex.quote(str(chosen.output))}{dataset_words(chosen)}")


def pack(
    reader: PredictionReader, expected: Expected, card: ModelCard, model: bytes, output: Path, form: str
) -> Checked:
    """Write a submission and check it; nothing is left at `output` unless it passes.

    Raises:
        PredictionError: when predictions are missing, or the zip does not pass.
        OutputError: when the place cannot be written to.
    """
    _refuse_missing(reader, expected)
    with written_atomically(output) as file:
        with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, allowZip64=True) as archive:
            _add(archive, MODEL, model)
            if form == "rle":
                _write_lines(archive, reader, expected)
            else:
                _write_pngs(archive, reader, expected, card)
        file.flush()
        checked = check_submission(Path(file.name), expected)
        if not checked.passed:
            raise PredictionError(
                f"the packed zip does not pass its check\n{format_findings(checked.findings.as_json())}",
                where=str(output),
                fix="mend what is listed and pack again",
            )
    return checked


def _name_dataset(chosen: argparse.Namespace) -> None:
    """Take dataset and split from a finished run where no flag names them."""
    for folder in (chosen.predictions, chosen.predictions / "predictions"):
        manifest = folder / MANIFEST
        if chosen.dataset is None and manifest.is_file():
            try:
                facts = json.loads(manifest.read_bytes())
                chosen.dataset, chosen.split = str(facts["dataset"]), str(facts["split"])
            except (ValueError, KeyError, TypeError) as error:
                raise PredictionError(
                    "the manifest of the run is damaged",
                    where=str(manifest),
                    found=f"{type(error).__name__}: {error}",
                    fix="run the same evaluation again: only what is missing is asked",
                ) from error


def _open(source: Path, dataset: Dataset, expected: Expected, work: Path, spool: Spool) -> PredictionReader:
    """Predictions in any container."""
    if not source.exists():
        raise PredictionError(
            "predictions are missing",
            where=str(source),
            expected="a folder of benchmark.evaluate, results.json, a folder of PNGs, or a zip",
            fix="python -m benchmark.evaluate makes such a folder",
        )
    if source.is_file() and source.suffix.lower() == ".zip":
        return _from_zip(source, source.name, expected, spool)
    if source.is_dir() and next(_pngs_below(source), None) is not None:
        return _from_zip(_zip_folder(source, work), source.name, expected, spool)
    return open_predictions(source, dataset)


def _pngs_below(folder: Path) -> Iterator[Path]:
    """PNG files of a mask tree; pictures beside a run (its overlays) are not one."""
    if (folder / "predictions").is_dir() or (folder / "run.json").is_file():
        return
    for place, folders, files in os.walk(folder):
        folders.sort()
        yield from (Path(place, name) for name in sorted(files) if name.lower().endswith(".png"))


def _zip_folder(folder: Path, work: Path) -> Path:
    """A folder of PNGs as a zip that is not compressed, so that there is one way of reading it."""
    path = work / "folder.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED, allowZip64=True) as archive:
        for png in _pngs_below(folder):
            archive.write(png, png.relative_to(folder).as_posix())
        for name in (MODEL, ANSWERS):
            if (folder / name).is_file():
                archive.write(folder / name, name)
    return path


def _from_zip(path: Path, shown: str, expected: Expected, spool: Spool) -> PredictionReader:
    """The predictions of a zip in any form and folder; what it says of its model is not needed here."""
    checked = check_submission(path, expected, spool=spool)
    wrong = [
        group
        for group in checked.findings.as_json()
        if group["severity"] == "error" and group["code"] not in MENDED
    ]
    if wrong or checked.answers is None:
        raise PredictionError(
            f"these predictions cannot be packed\n{format_findings(wrong)}",
            where=shown,
            fix="mend what is listed and pack again",
        )
    return SubmissionReader(checked)


def _refuse_part(reader: PredictionReader, source: Path) -> None:
    limit = reader.run.get("limit")
    if limit is not None:
        raise PredictionError(
            "a limited run is not a submission",
            where=str(source),
            expected="every expression of the split",
            found=f"a run limited to {limit} expressions",
            fix="run the same evaluation without --limit: what is there is kept",
        )


def _refuse_missing(reader: PredictionReader, expected: Expected) -> None:
    missing = []
    for video in expected.videos:
        there = reader.video(video.video_id)
        missing += [f"{video.video_id}/{one}" for one in video.sentences if one not in there]
    if missing:
        raise PredictionError(
            f"{len(missing)} expressions have no prediction",
            where=", ".join(missing[:5]) + (", ..." if len(missing) > 5 else ""),
            expected=f"all {sum(len(video.sentences) for video in expected.videos)} of the split",
            fix="predict them; an answer that failed counts as one once it is stored as failed",
        )


def _model(path: Path, reader: PredictionReader) -> tuple[bytes, ModelCard]:
    """The text and facts of model.json; where there is none, that of the zip or a template."""
    fresh = not path.is_file()
    if fresh:
        card = reader.card if isinstance(reader, SubmissionReader) else None
        write_atomically(path, (card_text(card) if card else template(reader.adapter)).encode())
    text = path.read_bytes()
    findings = Findings()
    card = read_model_card(text, findings)
    if card is not None:
        if fresh:
            print(f"{path} was written from what the predictions tell; complete it before you send the zip")
        return text, card
    if fresh:
        raise InputError(
            "model.json was not there; a template has been written",
            where=str(path),
            fix="fill it in and run the same command again",
        )
    raise InputError(
        f"the facts about the model cannot be used\n{format_findings(findings.as_json())}",
        where=str(path),
        fix="mend what is listed; submissions/model.schema.json describes every key",
    )


def _add(
    archive: zipfile.ZipFile, name: str, content: bytes, compression: int = zipfile.ZIP_DEFLATED
) -> None:
    member = zipfile.ZipInfo(name, EPOCH)
    member.external_attr = 0o100644 << 16
    member.create_system = 3
    member.compress_type = compression
    archive.writestr(member, content)


def _write_lines(archive: zipfile.ZipFile, reader: PredictionReader, expected: Expected) -> None:
    for video in tqdm(expected.videos, desc="packing", unit="video", disable=None):
        answers = reader.video(video.video_id)
        mine = [_answer(answers[one], video) for one in video.sentences]
        content = b"".join(write_lines(video, mine))
        # A large file that is too regular would look like a bomb; such a file is stored as it is.
        regular = len(content) > RATIO_FREE_BYTES and len(content) > RATIO / 2 * _deflated_size(content)
        method = zipfile.ZIP_STORED if regular else zipfile.ZIP_DEFLATED
        _add(archive, member_name(video.video_id), content, method)


def _deflated_size(content: bytes) -> int:
    return len(zlib.compress(content, 6))


def _write_pngs(
    archive: zipfile.ZipFile, reader: PredictionReader, expected: Expected, card: ModelCard
) -> None:
    layout = Layout(Form.PNG_ROLES if Role.TARGET in card.roles else Form.PNG_ACTOR, "")
    statuses: dict[str, dict[str, str]] = {}
    for video in tqdm(expected.videos, desc="packing", unit="video", disable=None):
        answers = reader.video(video.video_id)
        for expression_id in video.sentences:
            answer = _answer(answers[expression_id], video)
            if answer.actor is None:
                statuses.setdefault(video.video_id, {})[expression_id] = answer.status.value
            for role, track in ((Role.ACTOR, answer.actor), (Role.TARGET, answer.target)):
                if track is None or role not in layout.roles:
                    continue
                folder = layout.folder_of(video, expression_id, role)
                for frame, text in zip(video.frame_names, track.counts, strict=True):
                    png = write_png(text, video.height, video.width)
                    _add(archive, f"{folder}{frame}.png", png, zipfile.ZIP_STORED)
    if statuses:
        _add(archive, ANSWERS, json.dumps(statuses).encode())


def _answer(stored: StoredPrediction, video: ExpectedVideo) -> Answer:
    """A stored prediction as an answer; of an answer that is not "ok" there are no tracks."""
    tracks = (stored.actor, stored.target) if stored.status is Status.OK else (None, None)
    for role, track in zip(Role, tracks, strict=True):
        wanted = (len(video.frame_names), video.height, video.width)
        if track is not None and (len(track), track.height, track.width) != wanted:
            raise PredictionError(
                "a stored track does not fit its video",
                where=f"video {video.video_id}, expression {stored.expression_id}, {role}",
                expected="{} frames of {}x{}".format(*wanted),
                found=f"{len(track)} frames of {track.height}x{track.width}",
                fix="predict it again on the frames of this dataset",
            )
    return Answer(video.video_id, stored.expression_id, stored.status, *tracks)


if __name__ == "__main__":
    run_command(main)
