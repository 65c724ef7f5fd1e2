"""Engines on masks of real clips, where such clips are at hand; they are not part of the project.

    REFEREE_REAL_CLIPS=FOLDER python -m pytest tests/benchmark/test_metrics_real_clips.py

FOLDER holds a mask_dict.json in the form of InterRVOS: {annotation: [RLE or null per frame]}.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from benchmark.masks import decode_track
from benchmark.metrics import compiled_engine, device_texts, packed_engine
from benchmark.metrics.definition import boundary_radius, frame_counts
from benchmark.types import MaskTrack

VARIABLE = "REFEREE_REAL_CLIPS"
MOST_FRAMES = 4  # of a pair on the slow engines
MOST_PAIRS = 60

pytestmark = pytest.mark.skipif(VARIABLE not in os.environ, reason=f"{VARIABLE} names no clips")


def tracks() -> dict[str, MaskTrack]:
    """Annotations that have a mask at all."""
    found = {}
    content = json.loads((Path(os.environ[VARIABLE]) / "mask_dict.json").read_text())
    for name, masks in content.items():
        sizes = {tuple(mask["size"]) for mask in masks if mask}
        if len(sizes) == 1:
            height, width = sizes.pop()
            texts = tuple(mask["counts"].encode() if mask else None for mask in masks)
            found[name] = MaskTrack(height, width, texts)
    return found


def pairs() -> Iterator[tuple[MaskTrack, MaskTrack]]:
    """Each track against itself two frames later, and against the next track of its size and length."""
    known = list(tracks().values())
    for index, track in enumerate(known):
        yield track, MaskTrack(track.height, track.width, (*track.counts[2:], *track.counts[:2]))
        for other in known[index + 1 :]:
            if (other.height, other.width, len(other)) == (track.height, track.width, len(track)):
                yield track, other
                break


def test_all_engines_count_the_same_integers() -> None:
    import torch

    checked = 0
    for truth, predicted in pairs():
        size, radius = (truth.height, truth.width), boundary_radius(truth.height, truth.width)
        expected = packed_engine.track_counts(truth.counts, predicted.counts, *size, radius)
        for level in compiled_engine.levels():
            found = compiled_engine.track_counts(truth.counts, predicted.counts, *size, radius, level)
            assert np.array_equal(found, expected), level
        if checked < MOST_PAIRS:
            few = [MaskTrack(*size, track.counts[:MOST_FRAMES]) for track in (truth, predicted)]
            dense = [decode_track(track) for track in few]
            slow = [frame_counts(*pair, radius).tolist() for pair in zip(*dense, strict=True)]
            assert slow == expected[:MOST_FRAMES].tolist()
            texts = (track.counts for track in few)
            on_device = device_texts.track_counts(*texts, *size, radius, on=torch.device("cpu"), form="torch")
            assert on_device.tolist() == slow
        checked += 1
    assert checked
