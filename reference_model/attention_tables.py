"""The numbers of an attention analysis: a CSV row per token, layer and head, and a JSON summary.

Legend of shape suffixes:
    Y layers   H heads
"""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmark.types import Role
from reference_model.attention_choice import (
    Choice,
    Values,
    choose,
    mean_vision,
    rank_correlation,
    steadiness,
)
from reference_model.attention_reading import ClipAttention, TokenAttention

COLUMNS = (
    *("model", "clip", "expression", "role", "layer", "head"),
    *("vision", "text", "mask_region", "covered", "j_and_f"),
)
TOKEN_COLUMNS = ("model", "clip", "expression", "role", "text", "answer", "covered", "j_and_f")


def attention_csv(models: dict[str, Sequence[TokenAttention]]) -> bytes:
    """One row per model, token, layer and head; a value that does not exist is an empty cell."""
    rows = [
        (
            *(name, one.clip, one.expression, one.role.value, layer, head),
            *(_digits(one.vision_YH[layer, head]), _digits(one.text_YH[layer, head])),
            "" if one.mask_YH is None else _digits(one.mask_YH[layer, head]),
            *("" if value is None else _digits(value) for value in (one.covered, one.j_and_f)),
        )
        for name, tokens in models.items()
        for one in tokens
        for layer in range(one.vision_YH.shape[0])
        for head in range(one.vision_YH.shape[1])
    ]
    return _csv(COLUMNS, rows)


def tokens_csv(models: dict[str, Sequence[TokenAttention]]) -> bytes:
    """One row per model and token: the sentence, the answer, the score."""
    rows = [
        (
            *(name, one.clip, one.expression, one.role.value, one.text, one.said),
            *("" if value is None else _digits(value) for value in (one.covered, one.j_and_f)),
        )
        for name, tokens in models.items()
        for one in tokens
    ]
    return _csv(TOKEN_COLUMNS, rows)


def _digits(value: float | np.floating[Any]) -> str:
    return f"{float(value):.6g}"


def _csv(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> bytes:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(rows)
    return text.getvalue().encode()


def of_role(clips: Sequence[ClipAttention], role: Role) -> list[TokenAttention]:
    """All tokens of one role."""
    return [one for clip in clips for one in clip.tokens if one.role is role]


def role_summary(clips: Sequence[ClipAttention], role: Role, top: int, seed: int) -> dict[str, Any]:
    """Means per layer and head, what they would choose, and mask-region attention against J&F.

    Parts that need at least one token are `None` when none was written.
    """
    tokens = of_role(clips, role)
    measured = [one for one in tokens if one.mask_YH is not None]
    summary: dict[str, Any] = {
        "tokens": len(tokens),
        "expected": sum(clip.expected[role] for clip in clips),
        "expected_but_not_written": sum(clip.missing[role] for clip in clips),
        "tokens_with_a_mask_region": len(measured),
        "vision_by_layer_and_head": None,
        "text_by_layer_and_head": None,
        "mask_region_by_layer_and_head": None,
        "covered": float(np.mean([one.covered for one in measured])) if measured else None,
        "choice": None,
        "mask_region_against_j_and_f": None,
    }
    if tokens:
        vision = mean_vision(tokens)
        choice = choose(vision, top)
        summary["vision_by_layer_and_head"] = _nested(vision)
        summary["text_by_layer_and_head"] = _nested(_mean([one.text_YH for one in tokens]))
        summary["choice"] = asdict(choice) | {"steadiness": asdict(steadiness(tokens, top, seed))}
    if measured:
        summary["mask_region_by_layer_and_head"] = _nested(mean_mask(measured))
        summary["mask_region_against_j_and_f"] = correlations(measured)
    return summary


def mean_mask(tokens: Sequence[TokenAttention]) -> Values:
    """Mean mask-region attention (Y, H) of the tokens that have a region."""
    return _mean([one.mask_YH for one in tokens if one.mask_YH is not None])


def correlations(tokens: Sequence[TokenAttention]) -> dict[str, Any]:
    """Spearman's rank correlation of J&F with the attention inside the truth, over heads and by head.

    `size` is the correlation of J&F with how much of the frames the truth covers: large objects draw more
    attention and are easier, so a correlation that is no higher than this says nothing of attention.
    `over_size` is that with the attention inside the truth divided by what it covers.
    """
    pairs = [(one.mask_YH, one.covered, one.j_and_f) for one in tokens]
    known = [
        (mask, covered, jf) for mask, covered, jf in pairs if mask is not None and covered and jf is not None
    ]
    scores = [jf for _, _, jf in known]
    layers, heads = known[0][0].shape if known else (0, 0)
    return {
        "tokens": len(known),
        "by_layer": [
            rank_correlation([float(mask[layer].mean()) for mask, _, _ in known], scores)
            for layer in range(layers)
        ],
        "by_layer_over_size": [
            rank_correlation([float(mask[layer].mean()) / covered for mask, covered, _ in known], scores)
            for layer in range(layers)
        ],
        "by_layer_and_head": [
            [
                rank_correlation([float(mask[layer, head]) for mask, _, _ in known], scores)
                for head in range(heads)
            ]
            for layer in range(layers)
        ],
        "size": rank_correlation([covered for _, covered, _ in known], scores),
    }


def layer_table(clips: Sequence[ClipAttention], choice: Choice) -> str:
    """Per layer, means over heads: vision, text and mask-region attention of both tokens."""
    lines = [f"{'layer':<8}" + "".join(f"{role + ' ' + what:>16}" for role in Role for what in _WHAT)]
    columns: list[list[float] | None] = []
    for role in Role:
        tokens = of_role(clips, role)
        measured = [one for one in tokens if one.mask_YH is not None]
        columns += [
            _by_layer([one.vision_YH for one in tokens]),
            _by_layer([one.text_YH for one in tokens]),
            _by_layer([one.mask_YH for one in measured if one.mask_YH is not None]),
        ]
    layers = max(len(column) for column in columns if column is not None)
    for layer in range(layers):
        cells = "".join(f"{'-' if column is None else f'{column[layer]:.3f}':>16}" for column in columns)
        lines.append(f"{layer:<8}{cells}{'   chosen' if layer == choice.layer else ''}")
    return "\n".join(lines)


def remarks(summary: Mapping[str, Any], choice: Choice) -> list[str]:
    """What to know before the choice is used: of one role's summary."""
    steady = summary["choice"]["steadiness"]
    lines = [
        f"drawing the clips {steady['draws']} times again: the same layer in {100 * steady['layer']:.0f}%, "
        f"the same heads in {100 * steady['heads']:.0f}%"
    ]
    against = summary["mask_region_against_j_and_f"]
    if against is not None and against["by_layer"][choice.layer] is not None:
        shown = (
            against["by_layer"][choice.layer],
            against["by_layer_over_size"][choice.layer],
            against["size"],
        )
        inside, over, size = ("-" if one is None else f"{one:.2f}" for one in shown)
        lines.append(
            f"rank correlation with J&F over {against['tokens']} tokens, layer {choice.layer}: attention in "
            f"the mask {inside}, the same per covered area {over}, covered area alone {size}"
        )
    return lines


_WHAT = ("vision", "text", "mask")


def _by_layer(values: Sequence[NDArray[np.float32]]) -> list[float] | None:
    return [float(one) for one in _mean(values).mean(1)] if values else None


def _mean(values: Sequence[NDArray[np.float32]]) -> Values:
    return np.mean(values, axis=0, dtype=np.float64)


def _nested(values_YH: Values) -> list[list[float]]:
    return [[round(float(one), 6) for one in row] for row in values_YH]
