"""The frames VISA's paper looks at: percentages read from answers, the target frame, its references."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.parts.text_guided_frames import global_local_references, share_of_video, target_frame


@pytest.mark.parametrize(
    ("answer", "share"),
    [
        ("35%", 0.35),
        ("You should check the 35 % mark.", 0.35),
        ("Between 20% and 30% of the video", 0.2),
        ("about 12.5 percent", 0.125),
        ("0%", 0.0),
        ("100%", 1.0),
        ("40", 0.4),
        ("The mark is 40.", 0.4),
        ("In the 2 frames with 3 children, 60%", 0.6),
        ("150%", None),
        ("1000%", None),
        ("the 2 children at the end", None),
        ("", None),
        ("between 3 and 4", None),
    ],
)
def test_percentages(answer: str, share: float | None) -> None:
    assert share_of_video(answer) == share


@pytest.mark.parametrize(
    ("shares", "frame"), [([0.0], 0), ([1.0], 9), ([0.5, 0.7], 6), ([], 5), ([0.1] * 10, 1)]
)
def test_the_mean_names_the_frame(shares: list[float], frame: int) -> None:
    assert target_frame(shares, 10) == frame


def test_whole_percentages_name_whole_frames() -> None:
    assert [target_frame([percent / 100], 100) for percent in range(100)] == list(range(100))


def test_references_by_hand() -> None:
    """Six over 60 frames: 5, 15, ..., 55; six around frame 30."""
    spread, around = {5, 15, 25, 35, 45, 55}, {27, 28, 29, 31, 32, 33}
    assert set(global_local_references(30, 60, 12)) == spread | around
    at_the_end = set(global_local_references(59, 60, 12))
    assert at_the_end == spread - {55} | {55, 58, 57, 56, 54, 53, 52}
    assert global_local_references(0, 1, 12) == () and global_local_references(3, 9, 0) == ()


@given(st.data())
def test_references_never_repeat_a_frame(data: st.DataObject) -> None:
    total = data.draw(st.integers(1, 80))
    target = data.draw(st.integers(0, total - 1))
    wanted = data.draw(st.integers(0, 20))
    found = global_local_references(target, total, wanted)
    assert list(found) == sorted(set(found)) and target not in found
    assert len(found) == min(wanted, total - 1)
    assert all(0 <= one < total for one in found)
