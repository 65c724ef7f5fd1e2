"""Charts of an attention analysis: layers and heads (as Fig. A1), mask-region attention (as Fig. 6a).

Legend of shape suffixes:
    Y layers   H heads
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from benchmark.types import Role
from reference_model.attention_choice import Choice, mean_vision, rank_correlation
from reference_model.attention_reading import ClipAttention, TokenAttention
from reference_model.attention_tables import of_role
from reference_model.chart_panels import BLUE, GREY, ORANGE, Panel, Series, bars, blank, matrix, points

if TYPE_CHECKING:
    from PIL import Image

WIDE, HIGH = 760, 260


def layers_chart(clips: Sequence[ClipAttention], choice: Choice) -> bytes:
    """Vision, text and mask-region attention of every layer, averaged over heads; actor above target."""
    roles = _written(clips)
    picture, draw = blank(WIDE, HIGH * len(roles))
    for number, (role, tokens) in enumerate(roles):
        vision = mean_vision(tokens).mean(1)
        text = np.mean([one.text_YH.mean(1) for one in tokens], axis=0)
        masks = [one.mask_YH.mean(1) for one in tokens if one.mask_YH is not None]
        series = [Series("vision", tuple(vision), BLUE), Series("text", tuple(text), GREY)]
        if masks:
            series.insert(1, Series("in the mask", tuple(np.mean(masks, axis=0)), ORANGE))
        bars(
            draw,
            Panel(0, HIGH * number, WIDE, HIGH),
            f"{role.value} token, {len(tokens)} written: mean over heads (shaded: chosen)",
            series,
            labels=[str(layer) for layer in range(len(vision))],
            axis="layer",
            chosen=(choice.layer,),
        )
    return _png(picture)


def heads_chart(clips: Sequence[ClipAttention], choice: Choice) -> bytes:
    """Vision attention of every layer and head, and the heads of the chosen layer as bars."""
    roles = _written(clips)
    layers, heads = roles[0][1][0].vision_YH.shape
    high = max(HIGH, 80 + 18 * layers)
    picture, draw = blank(WIDE * 2, high * len(roles))
    for number, (role, tokens) in enumerate(roles):
        vision = mean_vision(tokens)
        matrix(
            draw,
            Panel(0, high * number, WIDE, high),
            f"{role.value} token: attention to visual tokens",
            vision,
            axes=("layer", "head"),
            chosen=[(choice.layer, head) for head in choice.heads],
        )
        bars(
            draw,
            Panel(WIDE, high * number, WIDE, high),
            f"{role.value} token: heads of layer {choice.layer} (shaded: chosen)",
            [Series("vision", tuple(vision[choice.layer]), BLUE)],
            labels=[str(head) for head in range(heads)],
            axis="head",
            chosen=choice.heads,
        )
    return _png(picture)


def mask_region_chart(clips: Sequence[ClipAttention], choice: Choice) -> bytes | None:
    """Attention inside the truth against J&F: mean over the heads of the layer, and the chosen heads alone.

    `None` when no token has both.
    """
    rows = [(role, tokens) for role, tokens in _written(clips) if _pairs(tokens, choice.layer, None)]
    if not rows:
        return None
    high = HIGH + 60
    picture, draw = blank(WIDE * 2, high * len(rows))
    for number, (role, tokens) in enumerate(rows):
        for column, (name, heads) in enumerate(
            ((f"all heads of layer {choice.layer}", None), (f"chosen heads {_listed(choice)}", choice.heads))
        ):
            pairs = _pairs(tokens, choice.layer, heads)
            found = rank_correlation([x for x, _ in pairs], [y for _, y in pairs])
            shown = "" if found is None else f", rank correlation {found:.2f}"
            points(
                draw,
                Panel(WIDE * column, high * number, WIDE, high),
                f"{role.value} token, {name}: {len(pairs)} tokens{shown}",
                pairs,
                axes=("attention inside the true mask (orange: means of fifths)", "J&F"),
            )
    return _png(picture)


def _pairs(
    tokens: Sequence[TokenAttention], layer: int, heads: Sequence[int] | None
) -> list[tuple[float, float]]:
    """Attention inside the truth (mean over these heads; `None`: all) and J&F, of the tokens with both."""
    chosen = slice(None) if heads is None else list(heads)
    return [
        (float(one.mask_YH[layer, chosen].mean()), one.j_and_f)
        for one in tokens
        if one.mask_YH is not None and one.j_and_f is not None
    ]


def _listed(choice: Choice) -> str:
    return ", ".join(str(head) for head in sorted(choice.heads))


def _written(clips: Sequence[ClipAttention]) -> list[tuple[Role, list[TokenAttention]]]:
    return [(role, tokens) for role in Role if (tokens := of_role(clips, role))]


def _png(picture: Image.Image) -> bytes:
    content = io.BytesIO()
    picture.save(content, format="PNG")
    return content.getvalue()
