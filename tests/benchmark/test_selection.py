"""Parts of a dataset."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmark.errors import UsageError
from benchmark.selection import WHOLE, Shard, parse_shard, select_expressions
from tests.benchmark.tiny_clips import tiny_dataset

DATASET = tiny_dataset(videos=6)
ALL = [one for video in DATASET.videos for one in video.expressions]


@given(st.integers(1, 2 * len(ALL)), st.booleans())
def test_the_first_expressions_that_are_wanted(limit: int, interactions: bool) -> None:
    view = select_expressions(DATASET, lambda one: one.is_interaction or not interactions, limit)
    kept = [one for video in view.videos for one in video.expressions]
    assert kept == [one for one in ALL if one.is_interaction or not interactions][:limit]
    assert all(video.expressions for video in view.videos)
    assert (view.name, view.split, view.digest) == (DATASET.name, DATASET.split, DATASET.digest)


def test_a_view_reads_the_whole() -> None:
    view = select_expressions(DATASET, lambda one: True)
    video = view.videos[2]
    assert view.frame_size(video) == DATASET.frame_size(video)
    assert view.frames_fingerprint(video) == DATASET.frames_fingerprint(video)
    assert view.truth(video, ("2a",)) == DATASET.truth(video, ("2a",))
    assert len(view.frames(video)) == len(video.frame_names)


def test_a_limit_below_one() -> None:
    with pytest.raises(UsageError, match="--limit -1: nothing to evaluate"):
        select_expressions(DATASET, lambda one: True, -1)


@given(st.integers(0, 40), st.integers(1, 12))
def test_shards_cover_everything_once_and_evenly(videos: int, count: int) -> None:
    everything = list(range(videos))
    parts = [Shard(number, count).videos(everything) for number in range(1, count + 1)]  # type: ignore[arg-type]
    assert sorted(one for part in parts for one in part) == everything
    sizes = [len(part) for part in parts]
    assert max(sizes) - min(sizes) <= 1


def test_shards_in_words() -> None:
    assert parse_shard("2/3") == Shard(2, 3)
    assert parse_shard("1/1") == WHOLE
    for wrong in ("", "1", "1/", "/2", "0/2", "3/2", "-1/2", "1/2/3", "a/b", "1.0/2"):
        with pytest.raises(UsageError, match="not a shard"):
            parse_shard(wrong)
