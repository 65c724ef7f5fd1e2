"""Errors of role that J and F do not show: swapped roles, missed targets, false targets.

    target claimed   the answer holds a target track at all, be it without pixels
    missed target    an interaction expression whose answer shows no target pixel in any frame; failed
                     and missing predictions miss their target
    false target     an expression without a target whose answer shows at least one target pixel
    swapped roles    of the interaction expressions whose answer shows pixels for both roles: those where
                     the predicted actor overlaps the true target more than the true actor, and the
                     predicted target overlaps the true actor more than the true target

Overlap is that of whole clips: pixels in both divided by pixels in either, summed over all frames, in
integers. (A mean of J over frames would give every frame in which both are absent a 1, whatever the
roles.) A tie is no swap.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from benchmark.metrics.definition import Counts


@dataclass(frozen=True, slots=True)
class Overlap:
    """Pixels in both and in either of two tracks, over a whole clip."""

    shared: int
    either: int

    def exceeds(self, other: Overlap) -> bool:
        """Whether this overlap ratio is strictly the greater one; nothing in either counts as 0."""
        return self.shared * max(other.either, 1) > other.shared * max(self.either, 1)


@dataclass(frozen=True, slots=True)
class RoleOutcome:
    """What one expression says about roles; `swapped` is `None` unless both roles show pixels."""

    interaction: bool
    target_claimed: bool
    target_shown: bool
    swapped: bool | None


def overlap(counts: Counts) -> Overlap:
    """The overlap of a clip from the (T, 6) counts of its frames."""
    return Overlap(int(counts[:, 0].sum()), int(counts[:, 1].sum()))


def is_misplaced(on_own: Overlap, on_other: Overlap) -> bool:
    """Whether a predicted track lies on the object of the other role rather than on its own."""
    return on_other.exceeds(on_own)


ERRORS: Mapping[str, Callable[[RoleOutcome], bool | None]] = {
    "role_swap": lambda outcome: outcome.swapped,
    "missed_target": lambda outcome: not outcome.target_shown if outcome.interaction else None,
    "false_target": lambda outcome: None if outcome.interaction else outcome.target_shown,
    "target_claimed": lambda outcome: outcome.target_claimed if outcome.interaction else None,
}
"""Per rate: whether an expression counts (True), does not (False), or is not asked (`None`)."""
