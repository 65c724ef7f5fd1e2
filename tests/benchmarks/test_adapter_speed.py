"""How fast masks of others are read, and what a process boundary costs per sentence."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from benchmark.adapter import load_adapter
from benchmark.frames import FrameArray
from benchmark.prediction_layouts import open_foreign
from benchmark.types import Expression, Query, Video

HEIGHT, WIDTH, FRAMES = 480, 854, 100


class OneClip:
    """A dataset of one clip with one sentence."""

    name, split, digest = "one clip", "val", "d" * 64
    videos = (
        Video(
            "clip",
            tuple(f"{index:05d}" for index in range(FRAMES)),
            (Expression("0", "a disc", "single", ("1",)),),
        ),
    )

    def frame_size(self, video: Video) -> tuple[int, int]:
        return HEIGHT, WIDTH


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    rows, columns = np.mgrid[:HEIGHT, :WIDTH]
    folder = tmp_path / "clip" / "0"
    folder.mkdir(parents=True)
    for index in range(FRAMES):
        mask = (rows - 200 - index) ** 2 / 90**2 + (columns - 300 - 2 * index) ** 2 / 130**2 < 1
        Image.fromarray((mask * 255).astype(np.uint8)).save(folder / f"{index:05d}.png")
    return tmp_path


def test_reading_png_masks(benchmark: Any, tree: Path) -> None:
    dataset: Any = OneClip()
    reader = open_foreign(tree, dataset)
    read = benchmark(reader.video, "clip")
    assert read["0"].actor is not None
    benchmark.extra_info["masks"] = FRAMES


def test_worker_round_trip_per_sentence(benchmark: Any, tmp_path: Path) -> None:
    command = shlex.join([sys.executable, "-m", "benchmark.worker", "--adapter", "empty"])
    adapter = load_adapter("external", {"command": command, "log": str(tmp_path / "log")})
    adapter.load("cpu", 0)
    adapter.open_video(FrameArray(np.zeros((8, 48, 64, 3), np.uint8)))
    answers = benchmark(adapter.predict, [Query(0, "a disc")])
    assert answers[0].actor is not None
    adapter.close_video()
    adapter.unload()
