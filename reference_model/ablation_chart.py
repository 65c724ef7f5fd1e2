"""The ablation as a picture: every run a ring, every row's mean a line, one panel per setting."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from reference_model.ablation_table import ONE_TOKEN, SETTINGS, TARGET
from reference_model.chart_panels import BLUE, FAINT, GRID, ORANGE, Panel, blank, words

WIDE, HIGH = 330, 300
STEP = 10.0  # between the lines of the value axis


def ablation_chart(summary: Mapping[str, Any], rows: Sequence[str]) -> bytes:
    """A PNG of all runs of an `ablation_summary`; settings share one axis, which need not begin at zero."""
    values = [run[setting] for run in summary["runs"] for setting in SETTINGS if _shown(run["row"], setting)]
    low = STEP * np.floor(min(values) / STEP)
    high = max(STEP * np.ceil(max(values) / STEP), low + STEP)
    picture, draw = blank(WIDE * len(SETTINGS), HIGH)
    for number, setting in enumerate(SETTINGS):
        panel = Panel(WIDE * number, 0, WIDE, HIGH)
        left, top, right, bottom = panel.inside

        def height(value: float, top: float = top, bottom: float = bottom) -> float:
            return bottom - (bottom - top) * (value - low) / (high - low)

        words(draw, (left, 8), f"{setting}: J&F of each run", 14)
        for tick in np.arange(low, high + 1, STEP):
            draw.line((left, height(tick), right, height(tick)), fill=GRID)
            words(draw, (left - 6, height(tick)), f"{tick:.0f}", anchor="rm")
        step = (right - left) / len(rows)
        for place, row in enumerate(rows):
            middle = left + step * (place + 0.5)
            words(draw, (middle, bottom + 5), row, anchor="ma")
            scores = [run[setting] for run in summary["runs"] if run["row"] == row and _shown(row, setting)]
            shown = f"mean {np.mean(scores):.1f}" if scores else "no target"
            words(draw, (middle, bottom + 23), shown, 12, "ma", FAINT)
            if scores:
                mean = height(float(np.mean(scores)))
                draw.line((middle - step * 0.35, mean, middle + step * 0.35, mean), fill=ORANGE, width=3)
            for slot, score in enumerate(scores):
                x, y = middle + step * (slot / max(1, len(scores) - 1) - 0.5) * 0.4, height(score)
                draw.ellipse((x - 4, y - 4, x + 4, y + 4), outline=BLUE, width=2)
    content = io.BytesIO()
    picture.save(content, format="PNG")
    return content.getvalue()


def _shown(row: str, setting: str) -> bool:
    return not (setting == TARGET and row in ONE_TOKEN)
