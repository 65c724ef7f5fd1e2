"""Groups of expressions that a result is broken down by.

caption_type   as the dataset says
targets        how many target annotations the expression has: 0, 1, 2 and more
object_size    the truth's share of the frame area, averaged over the frames that show it
clip_length    frames of the clip
tag            difficulty tags of the dataset; an expression may have several, or none
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from benchmark.aggregate import ExpressionScore

SIZE_EDGES = ((0.01, "under 1%"), (0.05, "1% to 5%"), (0.20, "5% to 20%"))
"""Upper edges, not included; the last group is open."""
LARGEST, NEVER_VISIBLE = "20% and more", "never visible"

LENGTH_EDGES = ((25, "under 25 frames"), (50, "25 to 49 frames"), (100, "50 to 99 frames"))
LONGEST = "100 frames and more"


def size_group(size: float | None) -> str:
    """The object size group of an area share (0 to 1); `None` is a truth that is never visible."""
    if size is None:
        return NEVER_VISIBLE
    return next((name for edge, name in SIZE_EDGES if size < edge), LARGEST)


def length_group(frames: int) -> str:
    """The clip length group of a number of frames."""
    return next((name for edge, name in LENGTH_EDGES if frames < edge), LONGEST)


def target_group(count: int) -> str:
    """The group of a number of target annotations."""
    return str(count) if count < 2 else "2 and more"


GROUPINGS: Mapping[str, Callable[[ExpressionScore], Sequence[str]]] = {
    "caption_type": lambda score: (score.caption_type,),
    "targets": lambda score: (target_group(score.target_count),),
    "object_size": lambda score: (size_group(score.track.size),),
    "clip_length": lambda score: (length_group(score.track.frames),),
    "tag": lambda score: score.tags,
}

ORDER = (
    *("single", "multi", "bidirectional", "unidirectional"),
    *("0", "1", "2 and more"),
    *(name for _, name in SIZE_EDGES),
    *(LARGEST, NEVER_VISIBLE),
    *(name for _, name in LENGTH_EDGES),
    LONGEST,
)
"""The order groups are listed in; names that are not here follow alphabetically."""


def grouped(scores: Sequence[ExpressionScore], grouping: str) -> dict[str, list[int]]:
    """Positions in `scores` of the members of each group that occurs, groups in reading order."""
    members: dict[str, list[int]] = {}
    for position, score in enumerate(scores):
        for name in dict.fromkeys(GROUPINGS[grouping](score)):
            members.setdefault(name, []).append(position)
    return {name: members[name] for name in sorted(members, key=_reading_order)}


def _reading_order(name: str) -> tuple[int, str]:
    return (ORDER.index(name), "") if name in ORDER else (len(ORDER), name)
