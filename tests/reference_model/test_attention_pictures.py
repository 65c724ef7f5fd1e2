"""Charts and heat maps: what is drawn where."""

from __future__ import annotations

import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from benchmark.types import Role
from reference_model import attention_maps as maps
from reference_model.attention_charts import heads_chart, layers_chart, mask_region_chart
from reference_model.attention_choice import Choice
from reference_model.chart_panels import BLUE, HEAT, ORANGE, SHADE, heat_colours, nice_top
from tests.reference_model.made_attention import clip_of, token
from tests.reference_model.mini_reviosa import square_clip


def pixels(content: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(content)).convert("RGB"))


def has(picture: np.ndarray, colour: tuple[int, int, int]) -> bool:
    return bool((picture == colour).all(-1).any())


@given(st.floats(1e-6, 1e6))
def test_the_top_of_an_axis_is_at_or_a_little_above_the_largest(value):
    assert value * 0.999 <= nice_top([0.0, value]) <= value * 1.7


def test_heat_runs_from_the_first_colour_to_the_last():
    assert heat_colours(np.array([0.0, 1.0, 7.0])).tolist() == [
        [int(one) for one in HEAT[index]] for index in (0, -1, -1)
    ]


def test_charts_draw_both_roles_and_mark_the_choice():
    both = clip_of(token(), token(role=Role.TARGET))
    choice = Choice(1, (1,))
    layers = pixels(layers_chart([both], choice))
    assert layers.shape[0] == 2 * pixels(layers_chart([clip_of(token())], choice)).shape[0]
    assert has(layers, BLUE) and has(layers, ORANGE) and has(layers, SHADE)
    shaded = np.flatnonzero((layers == SHADE).all(-1).any(0))
    assert shaded.min() > layers.shape[1] / 2  # the second of two layers
    assert has(pixels(heads_chart([both], choice)), (0, 210, 255))


def test_mask_region_chart_needs_a_region_and_a_score():
    choice = Choice(1, (1,))
    assert mask_region_chart([clip_of(token(mask_YH=None, covered=None))], choice) is None
    drawn = mask_region_chart([clip_of(*(token(j_and_f=one / 4) for one in range(5)))], choice)
    assert drawn is not None and has(pixels(drawn), ORANGE)


def seen_at(cell: int, **changes):
    """A token of 3 frames of 2 x 2 cells that looks at one cell only, in every layer and head."""
    attention = np.full((2, 2, 12), 1e-4, np.float32)
    attention[..., cell] = 0.9
    return token(maps_YHX=attention, text="red square → blue", **changes)


def test_heat_lies_on_the_cell_that_is_looked_at():
    clip = square_clip()
    row = maps.MapRow("trained", Role.ACTOR, 1, 0, seen_at(4 + 1))  # frame 1, upper right
    picture = pixels(maps.map_figure(clip, (0, 3, 5), 2, [row]))
    width = round(64 * maps.FRAME_HEIGHT / 48)
    top = maps.HEADER + maps.FRAME_HEIGHT + maps.GAP
    panels = [
        picture[top : top + maps.FRAME_HEIGHT, left : left + width].astype(int).sum(-1)
        for left in (maps.LABELS + (width + maps.GAP) * slot for slot in range(3))
    ]
    hot = panels[1][10:30, width // 2 + 10 : width - 10]
    assert hot.min() > 450
    assert panels[0][10:30].max() < 300 and panels[2][10:30].max() < 300
    assert panels[1][10:30, : width // 2 - 2].max() < 300


def test_a_token_that_was_not_written_is_drawn_without_heat():
    clip = square_clip()
    absent = maps.MapRow("other model", Role.TARGET, 0, 0, None)
    picture = pixels(maps.map_figure(clip, (0,), 0, [absent]))
    below = picture[maps.HEADER + maps.FRAME_HEIGHT + maps.GAP :, maps.LABELS :]
    grey = (below.max(-1) == below.min(-1)) | (below == maps.LINES[Role.TARGET]).all(-1)
    assert grey.mean() > 0.99
    assert has(picture, maps.LINES[Role.ACTOR]) and has(below, maps.LINES[Role.TARGET])


def test_rows_put_the_trained_heads_first_and_the_other_model_above_this_one():
    actor, target = seen_at(0), seen_at(1, role=Role.TARGET)
    read = clip_of(actor, target, seen_at(0, expression=1))
    assert maps.drawn_expression(read) == 0
    rows = maps.head_rows(read, 0, 1, (0,), "trained")
    assert [(one.label, one.role, one.head) for one in rows] == [
        *(("trained", Role.ACTOR, 0), ("other", Role.ACTOR, 1)),
        *(("trained", Role.TARGET, 0), ("other", Role.TARGET, 1)),
    ]
    compared = maps.compared_rows(read, clip_of(actor), 0, 1, (0,))
    assert [(one.label, one.token is None) for one in compared] == [
        *(("other model", False), ("this model", False), ("other model", True), ("this model", False))
    ]


@pytest.mark.parametrize("tokens", [(), (token(),)])
def test_nothing_is_drawn_of_a_clip_without_maps(tokens):
    assert maps.drawn_expression(clip_of(*tokens)) is None
