"""Heat maps of the role tokens over the frames (as Fig. A2 and A3), with the truth as a line.

Legend of shape suffixes:
    F frames the language model sees   X visual tokens of all of them   Y layers   H heads
    T frames of a clip   N objects   H, W size of a frame   C colour channels
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from benchmark.types import Role
from reference_model.attention_reading import ClipAttention, TokenAttention
from reference_model.chart_panels import FAINT, blank, heat_colours, words
from reference_model.training_data import TrainingClip

FRAME_HEIGHT = 132
LABELS = 204  # width of the column of words
GAP, HEADER = 4, 56
MOST_OTHERS = 4
DIM, LEAST, MOST = 0.65, 0.15, 0.95  # of the grey frame; of the heat over it, at none and at the largest
LINES = {Role.ACTOR: (70, 150, 255), Role.TARGET: (255, 70, 60)}

Frames = NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class MapRow:
    """One row of heat maps: a head of a layer, of one token of one model.

    Attributes:
        label: who is shown ("with", "supervised", ...); the layer and head are added.
        token: `None` when this model did not write the token.
    """

    label: str
    role: Role
    layer: int
    head: int
    token: TokenAttention | None


def drawn_expression(read: ClipAttention) -> int | None:
    """The expression of a clip to draw: the first with the most role tokens, maps kept; else `None`."""
    written = [one.expression for one in read.tokens if one.maps_YHX is not None]
    return max(sorted(set(written)), key=written.count) if written else None


def head_rows(
    read: ClipAttention, expression: int, layer: int, heads: Sequence[int], name: str
) -> list[MapRow]:
    """For each written token: these heads of the layer, then as many others, those that look most first."""
    rows = []
    for token in (one for one in read.tokens if one.expression == expression):
        order = np.argsort(-token.vision_YH[layer], kind="stable")
        others = [int(head) for head in order if head not in heads][: max(MOST_OTHERS, len(heads))]
        rows += [MapRow(name, token.role, layer, head, token) for head in heads]
        rows += [MapRow("other", token.role, layer, head, token) for head in others]
    return rows


def compared_rows(
    this: ClipAttention, other: ClipAttention, expression: int, layer: int, heads: Sequence[int]
) -> list[MapRow]:
    """For each token this model wrote and each of these heads: the other model's map, then this one's."""
    theirs = {one.role: one for one in other.tokens if one.expression == expression}
    rows = []
    for token in (one for one in this.tokens if one.expression == expression):
        for head in heads:
            rows.append(MapRow("other model", token.role, layer, head, theirs.get(token.role)))
            rows.append(MapRow("this model", token.role, layer, head, token))
    return rows


def map_figure(clip: TrainingClip, shown: Sequence[int], expression: int, rows: Sequence[MapRow]) -> bytes:
    """The frames with the truth of both roles, and under them one row per `MapRow`, as PNG.

    Heat runs from nothing to the largest value of its own row, which is written beside it, together with
    how much of the attention falls on visual tokens and inside the truth.
    """
    from PIL import Image

    frames = _resized(clip.frames_THWC[list(shown)])
    height, width = frames.shape[1:3]
    said = clip.expressions[expression]
    objects = {Role.ACTOR: said.actors, Role.TARGET: said.targets}
    outlines = {role: _outline(clip, shown, chosen, (height, width)) for role, chosen in objects.items()}
    size = (LABELS + (width + GAP) * len(shown), HEADER + (height + GAP) * (len(rows) + 1))
    picture, draw = blank(*size)
    words(draw, (8, 8), f'"{said.text}"', 15)
    answers = list(dict.fromkeys(row.token.said for row in rows if row.token is not None))
    words(draw, (8, 32), "answer: " + "   |   ".join(answers), 12, colour=FAINT)
    words(draw, (8, HEADER + 8), "frames and truth")
    for line, role in enumerate(Role):
        words(draw, (8, HEADER + 28 + 18 * line), role.value, colour=LINES[role])
    for number, row in enumerate([None, *rows]):
        top = HEADER + (height + GAP) * number
        pixels = frames.copy() if row is None else _heated(frames, row)
        for role, edge in outlines.items():
            if row is None or row.role is role:
                pixels[edge] = LINES[role]
        for slot, one in enumerate(pixels):
            picture.paste(Image.fromarray(one), (LABELS + (width + GAP) * slot, top))
        for line, text in enumerate([] if row is None else _row_words(row)):
            words(
                draw, (8, top + 8 + 18 * line), text, colour=FAINT if line or row is None else LINES[row.role]
            )
    content = io.BytesIO()
    picture.save(content, format="PNG")
    return content.getvalue()


def _row_words(row: MapRow) -> list[str]:
    place = [f"{row.role.value}: {row.label}", f"layer {row.layer}, head {row.head}"]
    if row.token is None or row.token.maps_YHX is None:
        return [*place, "token not written"]
    token, at = row.token, (row.layer, row.head)
    place.append(f"on the frames {token.vision_YH[at]:.2f}")
    if token.mask_YH is not None:
        place.append(f"in the mask {token.mask_YH[at]:.2f} (even: {token.covered:.2f})")
    return [*place, f"largest {row.token.maps_YHX[at].max():.3f}"]


def _heated(frames_FHWC: Frames, row: MapRow) -> Frames:
    """Dimmed frames, and over them the attention of the row, one square per visual token."""
    grey = frames_FHWC.mean(-1, keepdims=True).repeat(3, -1) * DIM
    if row.token is None or row.token.maps_YHX is None:
        return np.asarray(grey, np.uint8)
    values = row.token.maps_YHX[row.layer, row.head]
    side = round((len(values) / len(frames_FHWC)) ** 0.5)
    grid = values.reshape(len(frames_FHWC), side, side) / max(float(values.max()), 1e-12)
    height, width = frames_FHWC.shape[1:3]
    cell_y, cell_x = np.arange(height) * side // height, np.arange(width) * side // width
    spread = grid[:, cell_y][:, :, cell_x]
    share = (LEAST + (MOST - LEAST) * np.sqrt(spread))[..., None]
    return np.asarray((1 - share) * grey + share * heat_colours(spread), np.uint8)


def _outline(
    clip: TrainingClip, shown: Sequence[int], objects: Sequence[int], size: tuple[int, int]
) -> NDArray[np.bool_]:
    """The edge (F, H, W) of the union of these objects, two pixels wide, at the size of the picture."""
    from PIL import Image

    union = clip.masks_NTHW[list(objects)][:, list(shown)].any(0)
    height, width = size
    masks = np.stack(
        [np.asarray(Image.fromarray(one).resize((width, height), Image.Resampling.NEAREST)) for one in union]
    )
    inner = masks.copy()
    for axis in (1, 2):
        for step in (1, -1, 2, -2):
            inner &= np.roll(masks, step, axis)
    edge: NDArray[np.bool_] = masks & ~inner
    return edge


def _resized(frames_FHWC: Frames) -> Frames:
    from PIL import Image

    height, width = frames_FHWC.shape[1:3]
    size = (max(1, round(width * FRAME_HEIGHT / height)), FRAME_HEIGHT)
    return np.stack([np.asarray(Image.fromarray(one).resize(size)) for one in frames_FHWC])
