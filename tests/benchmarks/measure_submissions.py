"""Measures checking and scoring of a submission of InterRVOS val size, beside the official way of loading.

    python -m tests.benchmarks.val_sized_dataset DATA/val
    python -m tests.benchmarks.measure_submissions DATA [--scale 1.0] [--png-scale 0.05]

Makes a submission of random plausible masks in the compact form (every expression with actor and target),
the same as an official results.json, and a part of it as PNG trees: 1-bit PNGs as `submissions.pack` writes
them, and 8-bit ones as Pillow and OpenCV do. Each step runs in a process of its own; printed are its seconds,
its processor seconds and the peak memory of it and its children, and last how checking and scoring compare
with `json.load` of everything, which is how the official evaluation starts.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import resource
import subprocess
import sys
import time
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
from PIL import Image

from benchmark.datasets import Dataset, open_dataset
from benchmark.png_masks import inflater
from benchmark.predictions import StoredPrediction
from benchmark.run_lengths import text_from_runs
from benchmark.selection import SelectedExpressions
from benchmark.types import AdapterInfo, MaskTrack, Status
from submissions import examples
from submissions.checking import Spool, check_submission
from submissions.expected import Expected, expected_of
from submissions.model_card import read_model_card
from submissions.outcome import score_checked
from submissions.pack import pack
from submissions.problems import Findings
from submissions.sandbox import usable_cores
from tests.benchmarks.val_sized_dataset import HEIGHT, WIDTH, _masks

POOL = 200  # different tracks; expressions draw from them
WRITERS = ("pillow", "opencv")  # of 8-bit mask PNGs


class RandomPredictions:
    """Plausible answers: every expression gets two tracks of a pool."""

    def __init__(self, dataset: Dataset) -> None:
        rng = np.random.default_rng(1)
        frames = len(dataset.videos[0].frame_names)
        self.pool = [_track(rng, frames) for _ in range(POOL)]
        self.sentences = {
            video.video_id: {one.expression_id: one.text for one in video.expressions}
            for video in dataset.videos
        }
        self.adapter: AdapterInfo | None = None
        self.dataset_name: str | None = None
        self.dataset_digest: str | None = None
        self.run: Mapping[str, Any] = {}
        self.video_ids = tuple(self.sentences)

    def video(self, video_id: str) -> Mapping[str, StoredPrediction]:
        rng = np.random.default_rng(int.from_bytes(video_id.encode()[-12:], "big"))
        return {
            name: StoredPrediction(
                video_id, name, text, Status.OK, *(self.pool[int(rng.integers(POOL))] for _ in range(2))
            )
            for name, text in self.sentences[video_id].items()
        }


def _track(rng: np.random.Generator, frames: int) -> MaskTrack:
    texts = (None if one is None else one["counts"].encode() for one in _masks(rng, frames))
    return MaskTrack(HEIGHT, WIDTH, tuple(texts))


def opened(folder: Path, scale: float) -> tuple[Dataset, Expected]:
    """The dataset, or the first part of it."""
    dataset: Dataset = open_dataset("interrvos", folder, "val", need_frames=False)
    count = max(1, round(len(dataset.videos) * scale))
    dataset = SelectedExpressions(dataset, dataset.videos[:count])
    return dataset, expected_of(dataset)


class Told(NamedTuple):
    """What a step says: the seconds of what it measures, and a line about it."""

    seconds: float
    line: str


def make(folder: Path, scale: float, form: str) -> Told:
    """Pack a submission, or write one with the PNGs of another writer."""
    began = time.perf_counter()
    output = folder / f"{form}.zip"
    if form in WRITERS:
        _rewrite(folder / "png.zip", output, form)
        return Told(time.perf_counter() - began, f"{output.stat().st_size / 1e6:.1f} MB")
    dataset, expected = opened(folder, scale)
    text = examples.model_json()
    card = read_model_card(text, Findings())
    assert card is not None
    checked = pack(RandomPredictions(dataset), expected, card, text, output, form)
    line = f"{output.stat().st_size / 1e6:.1f} MB, {expected.masks} masks, digest {checked.digest}"
    return Told(time.perf_counter() - began, line)


def _rewrite(source: Path, output: Path, writer: str) -> None:
    """The same masks as 8-bit PNGs; every mask is written once, as tracks come from a pool."""
    written: dict[bytes, bytes] = {}
    with zipfile.ZipFile(source) as given, zipfile.ZipFile(output, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in given.namelist():
            content = given.read(name)
            if name.endswith(".png"):
                if content not in written:
                    written[content] = eight_bits(content, writer)
                content = written[content]
            archive.writestr(name, content)


def eight_bits(png: bytes, writer: str) -> bytes:
    """A mask PNG with values 0 and 255, as Pillow or OpenCV writes it."""
    with Image.open(io.BytesIO(png)) as image:
        pixels = np.asarray(image).astype(np.uint8) * np.uint8(255)
    if writer == "opencv":
        return bytes(cv2.imencode(".png", pixels)[1].tobytes())
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def check(folder: Path, scale: float, form: str) -> Told:
    """Check it."""
    _, expected = opened(folder, scale)
    began = time.perf_counter()
    checked = check_submission(folder / f"{form}.zip", expected)
    seconds = time.perf_counter() - began
    assert checked.passed, checked.report()
    return Told(seconds, f"{expected.masks / seconds:.0f} masks/s, digest {checked.digest}")


def score(folder: Path, scale: float, form: str) -> Told:
    """Check and score it."""
    dataset, expected = opened(folder, scale)
    with Spool(folder) as spool:
        checked = check_submission(folder / f"{form}.zip", expected, spool=spool)
        began = time.perf_counter()
        result = score_checked(checked, dataset, {}, progress=False)
        seconds = time.perf_counter() - began
    return Told(seconds, f"after the check; {expected.masks / seconds:.0f} masks/s, {list(result.settings)}")


def write_official(folder: Path, scale: float, form: str) -> Told:
    """Write the same masks in the official form."""
    del form
    began = time.perf_counter()
    dataset, _ = opened(folder, scale)
    path = folder / "results.json"
    with path.open("w") as file:
        for piece in _official_text(dataset):
            file.write(piece)
    return Told(time.perf_counter() - began, f"{path.stat().st_size / 1e6:.1f} MB")


def load_official(folder: Path, scale: float, form: str) -> Told:
    """Load them as the official evaluation does, which checks nothing by that."""
    del scale, form
    began = time.perf_counter()
    with (folder / "results.json").open() as file:
        loaded = json.load(file)
    return Told(time.perf_counter() - began, f"{len(loaded)} videos")


def _official_text(dataset: Dataset) -> Iterator[str]:
    predictions = RandomPredictions(dataset)
    for position, video in enumerate(dataset.videos):
        answers = {
            name: {
                "index": 0,
                "video_id": video.video_id,
                "exp_id": name,
                "exp": one.expression,
                "frames": list(video.frame_names),
                "prediction_masks_act": _coco(one.actor),
                "prediction_masks_tar": _coco(one.target),
            }
            for name, one in predictions.video(video.video_id).items()
        }
        yield ("{" if position == 0 else ", ") + f'"{video.video_id}": ' + json.dumps(answers)
    yield "}"


def _coco(track: MaskTrack | None) -> list[dict[str, Any]]:
    assert track is not None
    empty = text_from_runs(np.array([HEIGHT * WIDTH]))  # pycocotools has no null
    return [{"size": [HEIGHT, WIDTH], "counts": (text or empty).decode()} for text in track.counts]


STEPS = {
    "make": make,
    "check": check,
    "score": score,
    "write-official": write_official,
    "load-official": load_official,
}


def main() -> None:
    """Run one step, or all of them one after the other."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("folder", type=Path)
    arguments.add_argument("--scale", type=float, default=1.0)
    arguments.add_argument("--png-scale", type=float, default=0.05)
    arguments.add_argument("--step", choices=STEPS)
    arguments.add_argument("--form", default="rle")
    chosen = arguments.parse_args()
    if chosen.step:
        seconds, line = STEPS[chosen.step](chosen.folder, chosen.scale, chosen.form)
        print(json.dumps({"seconds": seconds, "line": line, **_resources()}))
        return
    cores = usable_cores()
    print(f"{cores} cores, load {os.getloadavg()[0]:.1f}; mask PNGs inflated by {inflater()}")
    whole = [
        ("make", "rle"),
        ("check", "rle"),
        ("score", "rle"),
        ("write-official", ""),
        ("load-official", ""),
    ]
    part = [(step, form) for form in ("png", *WRITERS) for step in ("make", "check")]
    facts = {one: _run(chosen.folder, one, chosen.scale) for one in whole}
    facts |= {one: _run(chosen.folder, one, chosen.png_scale) for one in part}
    loaded = facts["load-official", ""]
    for step in ("check", "score"):
        mine = facts[step, "rle"]
        print(
            f"{step} against json.load: {mine['seconds'] / loaded['seconds']:.2f} of its time, "
            f"{mine['mib'] / loaded['mib']:.2f} of its memory"
        )


def _resources() -> dict[str, float]:
    """Processor seconds, and peak memory as if all decoders had theirs at once."""
    own, child = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    cpu = own.ru_utime + own.ru_stime + child.ru_utime + child.ru_stime
    return {"cpu": cpu, "mib": (own.ru_maxrss + usable_cores() * child.ru_maxrss) / 1024}


def _run(folder: Path, step_form: tuple[str, str], scale: float) -> dict[str, Any]:
    """Run a step in a process of its own, and print what it says."""
    step, form = step_form
    command = [sys.executable, "-m", "tests.benchmarks.measure_submissions", str(folder)]
    command += ["--step", step, "--form", form, "--scale", str(scale)]
    told = subprocess.run(command, capture_output=True, text=True)
    if told.returncode:
        raise SystemExit(f"{step} {form}: {told.stderr[-2000:]}")
    facts: dict[str, Any] = json.loads(told.stdout.splitlines()[-1])
    print(
        f"{step} {form} (scale {scale}): {facts['seconds']:.1f} s, processor {facts['cpu']:.1f} s, "
        f"peak {facts['mib']:.0f} MiB | {facts['line']}",
        flush=True,
    )
    return facts


if __name__ == "__main__":
    main()
