"""Contact strips of synthetic clips for people: a few frames, below them the truth and the sentence."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from benchmark.datasets.synthetic.clips import HEIGHT, WIDTH, SyntheticClip, clip
from benchmark.datasets.synthetic.looks import COLOURS
from benchmark.datasets.synthetic.rendering import DARK_SHARE, RIM_SHARE, tone
from benchmark.datasets.synthetic.sentences import SyntheticExpression
from benchmark.errors import OutputError

if TYPE_CHECKING:
    from PIL.Image import Image as PilImage

SHOWN_FRAMES = (0, 3, 5, 8, 11)
SCALE = 2
ACTOR_BLUE, TARGET_RED = (52, 108, 255), (255, 58, 46)
PAPER, INK = (255, 255, 255), (24, 24, 28)
CAPTION_HEIGHT, GAP = 34, 4
BACKGROUND_COLOURS = 48  # besides those of objects and roles; a palette keeps the files small

#: strips for the README: name, clip of val, number of its expression
EXAMPLES = (
    ("handing", 0, 0),
    ("chased", 10, 1),
    ("object-hitting", 37, 2),
    ("carrying", 31, 0),
)


def write_examples(folder: Path) -> list[Path]:
    """Write the strips that the README shows, as PNG files; returns their paths.

    Raises:
        OutputError: when the folder cannot be written.
    """
    written = []
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, index, number in EXAMPLES:
            shown = clip("val", index)
            path = folder / f"{name}.png"
            partial = path.with_name(f".{path.name}")
            strip(shown, shown.expressions[number]).save(partial, format="PNG", optimize=True)
            partial.replace(path)
            written.append(path)
    except OSError as error:
        raise OutputError(
            "cannot write the pictures", where=str(folder), found=str(error), fix="choose a writable folder"
        ) from error
    return written


def strip(shown: SyntheticClip, expression: SyntheticExpression) -> PilImage:
    """A picture: frames in the upper row, the same with actor blue and target red in the lower one."""
    from PIL import Image, ImageDraw, ImageFont

    columns = len(SHOWN_FRAMES)
    width = columns * (WIDTH * SCALE + GAP) - GAP
    height = 2 * (HEIGHT * SCALE + GAP) + CAPTION_HEIGHT
    page = Image.new("RGB", (width, height), PAPER)
    for column, t in enumerate(SHOWN_FRAMES):
        left = column * (WIDTH * SCALE + GAP)
        page.paste(_enlarged(shown.frames[t]), (left, 0))
        page.paste(_enlarged(_with_truth(shown, expression, t)), (left, HEIGHT * SCALE + GAP))
    pen = ImageDraw.Draw(page)
    font = ImageFont.load_default(size=20)
    top = height - CAPTION_HEIGHT + 3
    pen.text((4, top), expression.text, fill=INK, font=font)
    legend = [("actor", ACTOR_BLUE), ("target", TARGET_RED)][: 2 if expression.targets else 1]
    right = width - 4.0
    for word, colour in reversed(legend):
        right -= pen.textlength(word, font=font)
        pen.text((right, top), word, fill=colour, font=font)
        right -= 14
    return page.quantize(palette=_palette(page), dither=Image.Dither.NONE)


def _palette(page: PilImage) -> PilImage:
    """An image whose palette holds all colours that mean something, and the commonest of the rest."""
    from PIL import Image

    named = [PAPER, INK, ACTOR_BLUE, TARGET_RED]
    for colour in COLOURS.values():
        named += [tone(colour, share) for share in (1.0, DARK_SHARE, RIM_SHARE)]
    rest = page.quantize(BACKGROUND_COLOURS).getpalette() or []
    flat = [value for colour in named for value in colour] + rest[: 3 * BACKGROUND_COLOURS]
    holder = Image.new("P", (1, 1))
    holder.putpalette(flat)
    return holder


def _with_truth(shown: SyntheticClip, expression: SyntheticExpression, t: int) -> NDArray[np.uint8]:
    grey = shown.frames[t].mean(axis=-1, keepdims=True) * 0.55
    picture = np.repeat(grey, 3, axis=-1)
    for members, colour in ((expression.actors, ACTOR_BLUE), (expression.targets, TARGET_RED)):
        mask = shown.masks[list(members), t].any(axis=0)
        picture[mask] = colour
    return picture.astype(np.uint8)


def _enlarged(picture: NDArray[np.uint8]) -> PilImage:
    from PIL import Image

    return Image.fromarray(picture.repeat(SCALE, axis=0).repeat(SCALE, axis=1))
