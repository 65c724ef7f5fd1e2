"""Groups of expressions: every expression in exactly one group (tags aside), edges where they are said."""

from __future__ import annotations

import pytest

from benchmark.breakdowns import GROUPINGS, length_group, size_group, target_group
from tests.benchmark.tiny_clips import oracle_answers, random_answers, scored, tiny_dataset


@pytest.mark.parametrize(
    ("size", "name"),
    [
        (None, "never visible"),
        (0.0099, "under 1%"),
        (0.01, "1% to 5%"),
        (0.05, "5% to 20%"),
        (0.2, "20% and more"),
        (1.0, "20% and more"),
    ],
)
def test_edges_of_sizes(size: float | None, name: str) -> None:
    assert size_group(size) == name


@pytest.mark.parametrize(
    ("frames", "name"),
    [
        (1, "under 25 frames"),
        (25, "25 to 49 frames"),
        (99, "50 to 99 frames"),
        (100, "100 frames and more"),
    ],
)
def test_edges_of_lengths(frames: int, name: str) -> None:
    assert length_group(frames) == name


def test_numbers_of_targets() -> None:
    assert [target_group(count) for count in (0, 1, 2, 7)] == ["0", "1", "2 and more", "2 and more"]


def test_groups_partition_the_expressions_and_average_to_the_whole() -> None:
    dataset = tiny_dataset()
    result = scored(dataset, random_answers(dataset))
    for one in result.settings.values():
        assert one.jf is not None
        for name in GROUPINGS:
            if name == "tag":
                continue
            groups = one.by[name]
            assert sum(group.expressions for group in groups) == one.expressions
            weighted = sum(group.jf * group.expressions for group in groups) / one.expressions
            assert weighted == pytest.approx(one.jf, abs=1e-9)


def test_tags_overlap_and_only_tagged_expressions_count() -> None:
    dataset = tiny_dataset()
    tags = scored(dataset, oracle_answers(dataset)).settings["RVOS"].by["tag"]
    assert [(group.group, group.expressions) for group in tags] == [("looks distinct", 5), ("small", 10)]


def test_groups_come_in_reading_order() -> None:
    dataset = tiny_dataset()
    by = scored(dataset, oracle_answers(dataset)).settings["RVOS"].by
    assert [group.group for group in by["caption_type"]] == ["single", "bidirectional", "unidirectional"]
    assert [group.group for group in by["targets"]] == ["0", "1", "2 and more"]
    assert [group.group for group in by["object_size"]][-1] == "never visible"
