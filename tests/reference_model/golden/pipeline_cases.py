"""Clips, sentences and written answers that two programs run the whole released pipeline on.

Frames are smooth, so that a different filter of resizing shows in every value. The models are those of
`peer_cases.py`; random weights rarely write a role token, so the answer is dictated where a case has a
script: a word's score gets a large number added when it is its turn.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

try:
    from tests.reference_model.golden import peer_cases as cases
except ImportError:  # asked from the folder itself, in an environment of the peer
    import peer_cases as cases  # type: ignore[no-redef, import-not-found]


@dataclass(frozen=True, slots=True)
class Case:
    """One question.

    Attributes:
        script: words to write, in this order; nothing is dictated where it is empty.
        most: tokens of the answer at most.
    """

    frames: int
    expression: str
    script: tuple[str, ...]
    most: int = 16
    height: int = 40
    width: int = 60


SAID = ("sure", "it", "is", "[SEG]", "and", "[SEG_OBJ]", "<|im_end|>")
CASES: dict[str, Case] = {
    "both roles": Case(8, "red disc. Blue square?", SAID),
    "one role": Case(7, "Red", ("it", "is", "[SEG]", "<|im_end|>"), height=33, width=47),
    "short clip": Case(3, "red disc", SAID),
    "one frame": Case(1, "red disc", SAID),
    "two of a role": Case(6, "disc", ("[SEG]", "[SEG]", "[SEG_OBJ]", "<|im_end|>")),
    "cut at a role": Case(6, "red disc", ("sure", "[SEG]", "and", "[SEG_OBJ]", "<|im_end|>"), most=4),
    "ended by padding": Case(6, "red disc", ("[SEG]", "<|endoftext|>", "[SEG_OBJ]", "<|im_end|>")),
    "only the end": Case(5, "red disc", ("<|im_end|>",)),
    "nothing dictated": Case(6, "red disc", (), most=12),
}
REAL = (480, 854)
"""Height and width of the frame whose pixels are compared at the real sizes, 448 and 1024."""
REAL_SIDES = (448, 1024)


def clip(name: str, frames: int, height: int, width: int) -> NDArray[np.uint8]:
    """Frames (T, H, W, 3): waves whose lengths follow from a name, with some noise."""
    waves = 2 + 3 * np.abs(cases.numbers(f"{name} waves", (3, 2)))
    y = np.arange(height)[:, None, None] / height
    x = np.arange(width)[None, :, None] / width
    found = []
    for frame in range(frames):
        phase = 2 * np.pi * (waves[:, 0] * y + waves[:, 1] * x) + 0.3 * frame
        found.append(127.5 + 100 * np.sin(phase) + 20 * cases.numbers(f"{name} {frame}", (height, width, 3)))
    return np.clip(np.round(np.stack(found)), 0, 255).astype(np.uint8)
