"""Measures checking and scoring of a submission of InterRVOS val size, beside the official way of loading.

    python -m tests.benchmarks.val_sized_dataset DATA/val
    python -m tests.benchmarks.measure_submissions DATA [--scale 1.0] [--png-scale 0.05]

Makes a submission of random plausible masks in the compact form (every expression with actor and target),
the same as an official results.json, and a part of it as PNG tree. Each step runs in a process of its own;
printed are its seconds, its processor seconds and the peak memory of it and its children.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from benchmark.datasets import Dataset, open_dataset
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
from tests.benchmarks.val_sized_dataset import HEIGHT, WIDTH, _masks

POOL = 200  # different tracks; expressions draw from them


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


def make(folder: Path, scale: float, form: str) -> str:
    """Pack a submission."""
    dataset, expected = opened(folder, scale)
    text = examples.model_json()
    card = read_model_card(text, Findings())
    assert card is not None
    output = folder / f"{form}.zip"
    checked = pack(RandomPredictions(dataset), expected, card, text, output, form)
    return f"{output.stat().st_size / 1e6:.1f} MB, {expected.masks} masks, digest {checked.digest}"


def check(folder: Path, scale: float, form: str) -> str:
    """Check it."""
    _, expected = opened(folder, scale)
    began = time.perf_counter()
    checked = check_submission(folder / f"{form}.zip", expected)
    seconds = time.perf_counter() - began
    assert checked.passed, checked.report()
    return f"{seconds:.1f} s, {expected.masks / seconds:.0f} masks/s"


def score(folder: Path, scale: float, form: str) -> str:
    """Check and score it."""
    dataset, expected = opened(folder, scale)
    with Spool(folder) as spool:
        checked = check_submission(folder / f"{form}.zip", expected, spool=spool)
        began = time.perf_counter()
        result = score_checked(checked, dataset, {}, progress=False)
        seconds = time.perf_counter() - began
    return f"scoring alone {seconds:.1f} s, {expected.masks / seconds:.0f} masks/s, {list(result.settings)}"


def official(folder: Path, scale: float, form: str) -> str:
    """Write the official form, and load it as the official evaluation does."""
    del form
    dataset, _ = opened(folder, scale)
    path = folder / "results.json"
    if not path.is_file():
        with path.open("w") as file:
            for piece in _official_text(dataset):
                file.write(piece)
        return f"written, {path.stat().st_size / 1e6:.1f} MB"
    began = time.perf_counter()
    with path.open() as file:
        loaded = json.load(file)
    return f"json.load {time.perf_counter() - began:.1f} s, {len(loaded)} videos"


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


STEPS = {"make": make, "check": check, "score": score, "official": official}


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
        print(STEPS[chosen.step](chosen.folder, chosen.scale, chosen.form))
        own = resource.getrusage(resource.RUSAGE_SELF)
        child = resource.getrusage(resource.RUSAGE_CHILDREN)
        cpu = own.ru_utime + own.ru_stime + child.ru_utime + child.ru_stime
        peaks = f"{own.ru_maxrss / 1024:.0f} MiB, of a decoder {child.ru_maxrss / 1024:.0f} MiB"
        print(f"cpu {cpu:.1f} s; peak {peaks}")
        return
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")
    plan = [("make", "rle"), ("check", "rle"), ("score", "rle"), ("official", "rle"), ("official", "rle")]
    plan += [("make", "png"), ("check", "png"), ("score", "png")]
    for step, form in plan:
        scale = chosen.png_scale if form == "png" else chosen.scale
        command = [sys.executable, "-m", "tests.benchmarks.measure_submissions", str(chosen.folder)]
        command += ["--step", step, "--form", form, "--scale", str(scale)]
        began = time.perf_counter()
        told = subprocess.run(command, capture_output=True, text=True)
        words = " | ".join(told.stdout.split("\n")).strip(" |") or told.stderr[-2000:]
        print(f"{step} {form} (scale {scale}): {time.perf_counter() - began:.1f} s | {words}", flush=True)


if __name__ == "__main__":
    main()
