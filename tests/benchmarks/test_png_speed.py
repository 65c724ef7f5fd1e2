"""Mask PNGs to J and F: our reader beside Pillow and OpenCV, and the whole job from two folders.

python -m pytest tests/benchmarks/test_png_speed.py --benchmark-enable --benchmark-group-by=param:size
"""

from __future__ import annotations

import io
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image

from benchmark.masks import read_mask_png
from benchmark.metrics import score_tracks
from benchmark.png_masks import decode_index_map
from tests.benchmark.mask_generators import object_pair

SIZES = {"480p": (480, 854), "720p": (720, 1280), "1080p": (1080, 1920)}
FRAMES = 8

READERS: dict[str, Callable[[bytes], Any]] = {
    "ours": decode_index_map,
    "pillow": read_mask_png,
    "opencv": lambda data: cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_GRAYSCALE),
}


@cache
def files(size: str) -> tuple[tuple[bytes, bytes], ...]:
    """Truth and prediction of some frames, as Pillow writes them."""
    rng, pairs = np.random.default_rng(8), []
    for _ in range(FRAMES):
        sides = []
        for mask in object_pair(rng, *SIZES[size]):
            buffer = io.BytesIO()
            Image.fromarray(mask.astype(np.uint8) * 255).save(buffer, "PNG")
            sides.append(buffer.getvalue())
        pairs.append((sides[0], sides[1]))
    return tuple(pairs)


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("size", SIZES)
def test_reading(benchmark: Any, size: str, reader: str) -> None:
    data = [pair[0] for pair in files(size)]
    benchmark.extra_info["frames"] = FRAMES
    benchmark(lambda: [READERS[reader](each) for each in data])


@pytest.mark.parametrize("size", SIZES)
def test_two_folders(benchmark: Any, size: str, tmp_path: Path) -> None:
    for index, pair in enumerate(files(size)):
        for name, data in zip(("truth", "predicted"), pair, strict=True):
            (tmp_path / name).mkdir(exist_ok=True)
            (tmp_path / name / f"{index:05d}.png").write_bytes(data)
    benchmark.extra_info["object-frames"] = FRAMES
    scores = benchmark(lambda: score_tracks(tmp_path / "truth", tmp_path / "predicted"))
    assert len(scores.j) == FRAMES
