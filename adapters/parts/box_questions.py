"""The question that asks a vision-language model for the boxes of the actor and the target.

No released model has an official prompt for this; the words are this project's own.
"""

from __future__ import annotations

from adapters.parts.box_answers import Coordinates

UNITS = {
    Coordinates.PIXELS: "in pixels of the picture",
    Coordinates.PER_THOUSAND: "as whole numbers from 0 to 1000, relative to the picture's width and height",
    Coordinates.UNIT: "as fractions from 0 to 1 of the picture's width and height",
}

QUESTION = """\
The pictures above are {count} frames of one video, in order of time, numbered from 1 to {count}.
This sentence refers to something in the video: "{expression}"
The actor is what the sentence as a whole refers to. The target is another object that the sentence names \
because the actor acts on it or interacts with it; a sentence that names no such object has no target.
Choose the frame on which they are seen best, and draw a box around the actor and around the target there. \
If several objects are the actor together, give a box for each.
Answer with JSON alone, in this form:
{{"frame": 1, "actor": [{{"bbox_2d": [x1, y1, x2, y2]}}], "target": [{{"bbox_2d": [x1, y1, x2, y2]}}]}}
Write boxes as left, top, right, bottom, {unit}. Write null in place of a list for what is not there."""

FRAME_LABEL = "Frame {number}:"
"""Stands before each picture: models count frames from 0, from 1 or in seconds unless numbers are seen."""


def question(expression: str, pictures: int, coordinates: Coordinates) -> str:
    """The words that follow the pictures."""
    return QUESTION.format(count=pictures, expression=expression, unit=UNITS[coordinates])


def spread_frames(total: int, wanted: int) -> tuple[int, ...]:
    """At most `wanted` positions spread evenly over a clip, without its very ends: middles of equal parts."""
    count = min(total, wanted)
    return tuple((2 * index + 1) * total // (2 * count) for index in range(count))
