"""Whatever container predictions come in, pack makes one zip that passes, or says why it cannot."""

from __future__ import annotations

import json
import shlex
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmark.datasets import Dataset
from benchmark.errors import InputError, OutputError, PredictionError
from benchmark.evaluate import main as evaluate
from benchmark.masks import encode
from benchmark.predictions import StoredPrediction
from benchmark.types import AdapterInfo, MaskTrack, Role, Status
from submissions import checking, examples, sandbox
from submissions.check import main as check
from submissions.checking import check_submission
from submissions.expected import Expected, ExpectedVideo, expected_of
from submissions.mask_lines import member_name
from submissions.model_card import read_model_card
from submissions.pack import main, pack
from submissions.problems import Findings
from tests.submissions.conftest import put

pytestmark = pytest.mark.usefixtures("in_process")
FULL_DIGEST = "39a7e96c309bb5ff9b2984302c6c0874acf49292e35f422cf1162aff3b7a572a"


def test_expected_of_the_dataset_is_that_of_the_examples(dataset: Dataset) -> None:
    assert expected_of(dataset) == examples.EXPECTED
    assert Expected.from_bytes(examples.EXPECTED.to_bytes()) == examples.EXPECTED


def official(folder: Path) -> Path:
    """The right answers as the official results.json."""
    videos: dict[str, Any] = {}
    for one in examples.answers():
        names = {"prediction_masks_act": one.actor, "prediction_masks_tar": one.target}
        videos.setdefault(one.video_id, {})[one.expression_id] = {
            "exp": f"<image>\nPlease segment {examples.SENTENCES[one.expression_id]}.",
            "frames": list(examples.FRAME_NAMES),
            **{name: [_coco(text) for text in track.counts] for name, track in names.items() if track},
        }
    return put(folder / "results.json", json.dumps(videos).encode())


def _coco(text: bytes | None) -> dict[str, Any]:
    whole = encode(np.zeros((examples.HEIGHT, examples.WIDTH), bool))
    assert whole is None
    size = [examples.HEIGHT, examples.WIDTH]
    return {"size": size, "counts": (text or b"P6").decode()}  # P6: 192 pixels of background


def unzipped(content: bytes, folder: Path) -> Path:
    folder.mkdir()
    path = put(folder.with_suffix(".tmp"), content)
    with zipfile.ZipFile(path) as archive:
        archive.extractall(folder)
    return folder


@pytest.mark.parametrize("source", ["results.json", "folder of PNGs", "wrong root", "zip", "roles outside"])
def test_every_container_becomes_the_same_submission(
    source: str, tmp_path: Path, model: Path, on_data: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    outside = examples.zipped(examples.tree("{role}/{video}/{expression}/{frame}.png"))
    predictions = {
        "results.json": lambda: official(tmp_path),
        "folder of PNGs": lambda: unzipped(examples.passing()["passing-png"], tmp_path / "pngs"),
        "wrong root": lambda: put(tmp_path / "wrong.zip", examples.FAILING["wrong-root"]()),
        "zip": lambda: put(tmp_path / "old.zip", examples.passing()["passing-png-annotations"]),
        "roles outside": lambda: put(tmp_path / "outside.zip", outside),
    }[source]()
    output = tmp_path / "my.zip"
    main([str(predictions), "-o", str(output), "--model", str(model), *on_data])
    checked = check_submission(output, examples.EXPECTED)
    assert checked.passed and checked.digest == FULL_DIGEST
    told = capsys.readouterr().out
    assert f"predictions {FULL_DIGEST}" in told
    assert f"next: python -m submissions.score {output} --dataset interrvos --data-root" in told


def test_both_forms_have_one_digest_and_one_set_of_bytes(
    tmp_path: Path, model: Path, passing: Path, on_data: list[str]
) -> None:
    for form in ("rle", "png"):
        for name in ("first", "second"):
            output = tmp_path / f"{form}-{name}.zip"
            main([str(passing), "-o", str(output), "--model", str(model), "--form", form, *on_data])
        assert (tmp_path / f"{form}-first.zip").read_bytes() == output.read_bytes()
        assert check_submission(output, examples.EXPECTED).digest == FULL_DIGEST


def test_a_run_becomes_a_submission_with_the_printed_line_alone(
    tmp_path: Path, data_root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """From a fresh user's run: no model.json yet, no flag about the dataset but where it lies."""
    monkeypatch.setattr(checking, "decode_safely", sandbox.decode_safely)
    monkeypatch.chdir(tmp_path)
    where = ["--dataset", "interrvos", "--data-root", str(data_root)]
    evaluate(["--adapter", "oracle", *where, "--output", "run"])
    main(["run", "-o", "my.zip", "--model", "model.json", "--data-root", str(data_root)])
    assert "model.json was written" in capsys.readouterr().out
    assert check_submission(Path("my.zip"), examples.EXPECTED).digest == FULL_DIGEST
    assert json.loads(Path("model.json").read_text())["name"] == "oracle"


def test_a_tree_of_another_benchmark_is_repaired_by_the_command_that_check_prints(
    tmp_path: Path, model: Path, on_data: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """A folder around Annotations/, and no model.json: what packers for Ref-YouTube-VOS make."""
    tree = examples.tree("valid/Annotations/{video}/{expression}/{role}/{frame}.png")
    del tree["model.json"]
    path = put(tmp_path / "their zip.zip", examples.zipped(tree))
    assert check([str(path), *on_data]) == 1
    told = capsys.readouterr().out
    assert "a Ref-YouTube-VOS zip inside the folder valid/" in told
    (command,) = [line for line in told.splitlines() if "-o repaired.zip" in line]
    words = shlex.split(command.partition("submissions.pack ")[2])
    words[words.index("repaired.zip")] = str(tmp_path / "repaired.zip")
    words[words.index("model.json")] = str(model)
    main(words)
    assert check_submission(tmp_path / "repaired.zip", examples.EXPECTED).digest == FULL_DIGEST


def test_facts_of_a_zip_are_kept_where_no_others_are_given(tmp_path: Path, on_data: list[str]) -> None:
    wrong = put(tmp_path / "wrong.zip", examples.FAILING["wrong-root"]())
    fresh = tmp_path / "model.json"
    main([str(wrong), "-o", str(tmp_path / "my.zip"), "--model", str(fresh), *on_data])
    assert json.loads(fresh.read_text()) == json.loads(examples.model_json())


def test_roles_of_a_zip_are_mended_by_another_model_json(
    tmp_path: Path, model: Path, on_data: list[str]
) -> None:
    wrong = put(tmp_path / "wrong.zip", examples.FAILING["roles-mismatch"]())
    main([str(wrong), "-o", str(tmp_path / "my.zip"), "--model", str(model), *on_data])
    assert check_submission(tmp_path / "my.zip", examples.EXPECTED).passed


def test_template_waits_where_nothing_is_known_of_the_model(tmp_path: Path, on_data: list[str]) -> None:
    path = tmp_path / "facts.json"
    flags = ["-o", str(tmp_path / "my.zip"), "--model", str(path), *on_data]
    with pytest.raises(InputError, match="a template has been written"):
        main([str(official(tmp_path)), *flags])
    assert "FILL IN" in path.read_text()
    with pytest.raises(InputError, match=r"model-value[\s\S]*model.json/name"):
        main([str(tmp_path / "results.json"), *flags])
    assert not (tmp_path / "my.zip").exists()


class Stored:
    """Predictions from a list."""

    def __init__(self, answers: list[StoredPrediction], limit: int | None = None) -> None:
        self.adapter: AdapterInfo | None = None
        self.dataset_name: str | None = None
        self.dataset_digest: str | None = None
        self.run: Mapping[str, Any] = {"limit": limit}
        self.answers = answers
        self.video_ids = tuple({one.video_id for one in answers})

    def video(self, video_id: str) -> Mapping[str, StoredPrediction]:
        return {one.expression_id: one for one in self.answers if one.video_id == video_id}


def stored(**changes: Any) -> list[StoredPrediction]:
    first, *rest = (
        StoredPrediction(
            one.video_id,
            one.expression_id,
            examples.SENTENCES[one.expression_id],
            *(Status.OK, one.actor, one.target),
        )
        for one in examples.answers()
    )
    facts = {name: getattr(first, name) for name in ("actor", "target", "status")}
    kept = {**facts, **changes}
    changed = StoredPrediction(first.video_id, first.expression_id, first.expression, **kept)
    return [changed, *rest]


def packed(
    answers: list[StoredPrediction], output: Path, form: str, roles: tuple[Role, ...] = tuple(Role)
) -> Any:
    text = examples.model_json(roles=[role.value for role in roles])
    card = read_model_card(text, Findings())
    assert card is not None
    return pack(Stored(answers), examples.EXPECTED, card, text, output, form)


EMPTY = MaskTrack(examples.HEIGHT, examples.WIDTH, (None,) * examples.FRAMES)


@pytest.mark.parametrize(
    "changes",
    [
        {"target": None},
        {"target": EMPTY},
        {"actor": EMPTY},
        {"actor": None},
        {"actor": None, "target": None},
        {"status": Status.TIMEOUT, "actor": None, "target": None},
        {"status": Status.NO_MASK, "actor": None, "target": None},
    ],
)
def test_absent_empty_and_failed_answers_survive_in_both_forms(
    tmp_path: Path, changes: dict[str, Any]
) -> None:
    digests = {packed(stored(**changes), tmp_path / f"{form}.zip", form).digest for form in ("rle", "png")}
    assert len(digests) == 1 and digests != {FULL_DIGEST}


def test_actor_only_model_gets_an_actor_only_tree(tmp_path: Path) -> None:
    answers = [
        StoredPrediction(one.video_id, one.expression_id, "", Status.OK, one.actor)
        for one in examples.answers()
    ]
    checked = packed(answers, tmp_path / "my.zip", "png", (Role.ACTOR,))
    assert checked.passed and checked.layout.form == "png-actor-only"


def test_missing_answers_and_wrong_sizes_are_refused_before_a_zip_exists(tmp_path: Path) -> None:
    output = tmp_path / "my.zip"
    with pytest.raises(PredictionError, match="1 expressions have no prediction"):
        packed(stored()[1:], output, "rle")
    turned = MaskTrack(examples.WIDTH, examples.HEIGHT, (None,) * examples.FRAMES)
    with pytest.raises(PredictionError, match="does not fit its video"):
        packed(stored(actor=turned), output, "rle")
    with pytest.raises(PredictionError, match="does not pass its check"):
        packed(stored(), output, "rle", (Role.ACTOR,))
    assert list(tmp_path.iterdir()) == []


def test_limited_runs_are_refused(tmp_path: Path, data_root: Path, model: Path, on_data: list[str]) -> None:
    run = tmp_path / "run"
    evaluate(["--adapter", "oracle", *on_data, "--output", str(run), "--limit", "1"])
    with pytest.raises(PredictionError, match="a limited run is not a submission"):
        main([str(run), "-o", str(tmp_path / "my.zip"), "--model", str(model), "--data-root", str(data_root)])


def test_wrong_sources_are_named(tmp_path: Path, model: Path, on_data: list[str]) -> None:
    flags = ["-o", str(tmp_path / "my.zip"), "--model", str(model), *on_data]
    with pytest.raises(PredictionError, match="predictions are missing"):
        main([str(tmp_path / "nowhere"), *flags])
    broken = put(tmp_path / "broken.zip", examples.FAILING["rle-size"]())
    with pytest.raises(PredictionError, match=r"cannot be packed[\s\S]*rle-size"):
        main([str(broken), *flags])
    run = tmp_path / "run"
    run.mkdir()
    put(run / "manifest.json", b"{}")
    with pytest.raises(PredictionError, match="manifest of the run is damaged"):
        main([str(run), "-o", str(tmp_path / "my.zip")])
    with pytest.raises(OutputError):
        main(
            [str(official(tmp_path)), "-o", str(tmp_path / "no" / "my.zip"), "--model", str(model), *on_data]
        )


def test_very_regular_predictions_do_not_look_like_a_bomb(tmp_path: Path) -> None:
    """Thousands of empty masks deflate a thousandfold; such a member is stored instead."""
    sentences = {str(one): "a sentence" for one in range(40)}
    video = ExpectedVideo("video", 4, 4, tuple(f"{one:05d}" for one in range(3000)), sentences)
    empty = MaskTrack(4, 4, (None,) * 3000)
    answers = [StoredPrediction("video", one, "", Status.OK, empty, empty) for one in sentences]
    text = examples.model_json()
    card = read_model_card(text, Findings())
    assert card is not None
    output = tmp_path / "my.zip"
    checked = pack(Stored(answers), Expected("d", "val", (video,)), card, text, output, "rle")
    assert checked.findings.codes == ("all-empty",)
    with zipfile.ZipFile(output) as archive:
        assert archive.getinfo(member_name("video")).compress_type == zipfile.ZIP_STORED


def test_names_of_members_are_safe_for_any_video_id() -> None:
    ids = ["a", "A", "a/b", "a+2Fb", "..", "con", "é", "x" * 300, "a b", "a.b"]
    names = [member_name(one) for one in ids]
    assert len({name.lower() for name in names}) == len(ids)
    assert all(name.isascii() and name.count("/") == 1 and "\\" not in name for name in names)
