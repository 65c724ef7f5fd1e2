"""Generates a dataset of the size of InterRVOS val: plausible masks, no pictures unless asked for.

    python -m tests.benchmarks.val_sized_dataset DIR [--scale 0.1] [--frames]

738 videos of 100 frames at 480 x 854, 5,048 expressions, about 3,000 tracks of moving, deforming blobs.
Masks are written from run lengths (one run per column a blob covers), so that the full size takes a
minute; with `--frames` every video also gets tiny grey JPEG files of the right size.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmark.run_lengths import canonical_runs, text_from_runs

VIDEOS = 738
EXPRESSIONS = 5048
TRACKS = 3000
FRAMES = 100
HEIGHT, WIDTH = 480, 854
# Shares of caption types are invented: only the totals of the released split are published.
CAPTION_TYPES = ("single", "single", "single", "unidirectional", "unidirectional", "multi", "bidirectional")


def write_dataset(
    folder: Path, scale: float = 1.0, frames: int = FRAMES, images: bool = False, seed: int = 0
) -> Path:
    """Write a split of `scale` times the size of val into `folder`; returns the folder."""
    rng = np.random.default_rng(seed)
    videos = max(1, round(VIDEOS * scale))
    tracks_of = _shares(rng, max(2 * videos, round(TRACKS * scale)), videos, least=2)
    expressions_of = _shares(rng, max(videos, round(EXPRESSIONS * scale)), videos, least=1)
    first = np.concatenate(([0], np.cumsum(tracks_of)))
    names = [f"{index:05d}" for index in range(frames)]
    meta: dict[str, Any] = {}
    for index in range(videos):
        ids = list(range(int(first[index]), int(first[index + 1])))
        expressions = {str(k): _expression(rng, ids, k) for k in range(int(expressions_of[index]))}
        meta[f"{9000000000 + index}_clip000"] = {"vid_id": index, "frames": names, "expressions": expressions}
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "meta_expressions.json").write_text(json.dumps({"videos": meta}))
    with (folder / "mask_dict.json").open("w") as file:
        file.write("{")
        for track in range(int(first[-1])):
            file.write((", " if track else "") + f'"{track}": ' + json.dumps(list(_masks(rng, frames))))
        file.write("}")
    for video in meta:
        (folder / "JPEGImages" / video).mkdir(parents=True, exist_ok=True)
        if images:
            _write_images(folder / "JPEGImages" / video, names)
    return folder


def _shares(rng: np.random.Generator, total: int, parts: int, least: int) -> NDArray[np.int64]:
    return least + rng.multinomial(total - least * parts, np.full(parts, 1 / parts))


def _expression(rng: np.random.Generator, ids: list[int], number: int) -> dict[str, Any]:
    caption_type = CAPTION_TYPES[int(rng.integers(len(CAPTION_TYPES)))]
    order = [ids[position] for position in rng.permutation(len(ids))]
    actors = order[:1] if caption_type in ("single", "unidirectional") else order[:2]
    targets = order[1 : 2 + int(rng.random() < 0.2)] if caption_type == "unidirectional" else []
    return {
        "exp": f"thing number {number} doing something to another thing in the scene",
        "caption_type": caption_type,
        "obj_id": actors,
        "anno_id": actors,
        "subject/object": {
            "obj_id": {"subject": actors, "object": targets},
            "anno_id": {"subject": actors, "object": targets},
        },
    }


def _masks(rng: np.random.Generator, frames: int) -> Iterator[dict[str, Any] | None]:
    """A blob with a wavy outline that drifts over the picture and is absent for some frames."""
    radius, centre = rng.uniform(20, 110), rng.uniform((0, 0), (HEIGHT, WIDTH))
    drift, waves = rng.normal(0, 3, 2), rng.normal(0, 0.12, (2, 5))
    absent = range(int(rng.integers(0, frames // 4 + 1))) if rng.random() < 0.3 else range(0)
    columns = np.arange(WIDTH)
    for frame in range(frames):
        y, x = centre + drift * frame
        offset = (columns - x) / radius
        inside = np.abs(offset) < 1
        angles = np.outer(offset, np.arange(1, 6)) + frame / 9
        outline = 1 + (waves[0] * np.sin(angles) + waves[1] * np.cos(angles)).sum(1)
        half = np.sqrt(np.maximum(0, 1 - offset**2)) * radius * outline + rng.integers(0, 2, WIDTH)
        top = np.clip(np.round(y - half), 0, HEIGHT).astype(np.int64)
        bottom = np.clip(np.round(y + half), 0, HEIGHT).astype(np.int64)
        shown = np.flatnonzero(inside & (bottom > top))
        if frame in absent or not shown.size:
            yield None
            continue
        borders = np.stack((shown * HEIGHT + top[shown], shown * HEIGHT + bottom[shown]), 1).ravel()
        runs = np.diff(np.concatenate(([0], borders, [HEIGHT * WIDTH])))
        yield {"size": [HEIGHT, WIDTH], "counts": text_from_runs(canonical_runs(runs)).decode()}


def _write_images(folder: Path, names: list[str]) -> None:
    from PIL import Image

    first = folder / f"{names[0]}.jpg"
    Image.new("L", (WIDTH, HEIGHT), 128).save(first, quality=10)
    for name in names[1:]:
        (folder / f"{name}.jpg").write_bytes(first.read_bytes())


if __name__ == "__main__":
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("folder", type=Path)
    arguments.add_argument("--scale", type=float, default=1.0)
    arguments.add_argument("--frames", action="store_true", help="write JPEG files too")
    chosen = arguments.parse_args()
    print(write_dataset(chosen.folder, chosen.scale, images=chosen.frames))
