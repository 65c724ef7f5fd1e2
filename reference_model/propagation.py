"""In which order the frames of a clip are reached from its prompted frames."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Run:
    """Frames that are followed one after the other; each remembers those before it in the run.

    Attributes:
        frames: positions, rising or falling.
        step: 1 where they rise, -1 where they fall.
    """

    frames: tuple[int, ...]
    step: int


def propagation_runs(length: int, conditioning: Sequence[int], both_ways: bool) -> list[Run]:
    """The runs over all frames but the conditioning ones.

    Forwards only, there is one run. Both ways, each frame is reached from the nearest conditioning frame
    (the earlier one where two are equally near): of the frames between two of them the first half rises
    from the earlier one, the second half falls from the later one.
    """
    kept = sorted(conditioning)
    if not both_ways:
        return [Run(tuple(frame for frame in range(length) if frame not in set(kept)), 1)]
    runs = [Run(tuple(range(kept[0] - 1, -1, -1)), -1)]
    for start, end in itertools.pairwise(kept):
        middle = (start + end) // 2
        runs.append(Run(tuple(range(start + 1, middle + 1)), 1))
        runs.append(Run(tuple(range(end - 1, middle, -1)), -1))
    runs.append(Run(tuple(range(kept[-1] + 1, length)), 1))
    return [run for run in runs if run.frames]


def frame_order(length: int, conditioning: Sequence[int], both_ways: bool) -> list[int]:
    """All frames in the order in which they are looked at: conditioning frames, then run after run."""
    runs = propagation_runs(length, conditioning, both_ways)
    return [*sorted(conditioning), *(frame for run in runs for frame in run.frames)]
