"""Which frames VISA looks at: one to be segmented, named in percent by a language model, and references.

Source: VISA (arXiv 2407.11325), section 3.2 "Text-guided Frame Sampler" and section 4.4, Table 5.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from statistics import fmean

from adapters.parts.box_questions import spread_frames

SAMPLER_QUESTION = (
    "To find {description}, which percentage mark of the video should I check? "
    "Please respond with a number between 0% and 100%."
)
"""The paper's template; in the place of its <VIDEO> stand the pictures."""

_PERCENT = re.compile(r"(?<![\d.])(\d{1,3}(?:\.\d+)?)\s*(?:%|percent)", re.IGNORECASE)
_NUMBER_ALONE = re.compile(r"(?:\D*\s)?(\d{1,3}(?:\.\d+)?)\s*\.?\s*\Z")


def share_of_video(answer: str) -> float | None:
    """How far into the video an answer points, 0 to 1; `None` where it names no percentage.

    Of several percentages the first counts; a number at the very end will do without its sign.
    """
    found = _PERCENT.search(answer) or _NUMBER_ALONE.match(answer)
    share = float(found.group(1)) / 100 if found else None
    return share if share is not None and share <= 1 else None


def target_frame(shares: Sequence[float], total: int) -> int:
    """The frame at the mean of the shares; the middle of the video where there are none."""
    mean = fmean(shares) if shares else 0.5
    # 0.29 x 100 is a little less than 29.
    return min(int(round(total * mean, 9)), total - 1)


def global_local_references(target: int, total: int, wanted: int) -> tuple[int, ...]:
    """Reference frames in order of time: half spread over the video, half next to the target frame.

    Neither holds the target itself. The neighbours are the nearest ones on both sides, moved where the
    video ends; a frame that both halves would name is replaced by the next nearest neighbour. A short
    video has fewer than `wanted`.
    """
    spread = {one for one in spread_frames(total, wanted - wanted // 2) if one != target}
    nearest = sorted(range(total), key=lambda one: (abs(one - target), one))
    neighbours = [one for one in nearest if one != target and one not in spread]
    return tuple(sorted([*spread, *neighbours[: wanted - len(spread)]]))
