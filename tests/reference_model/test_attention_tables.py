"""CSV rows, means, correlations and remarks, from tokens whose numbers are known."""

from __future__ import annotations

import csv
import io
import json

import numpy as np
import pytest

from benchmark.types import Role
from reference_model.attention_choice import Choice
from reference_model.attention_tables import (
    attention_csv,
    correlations,
    layer_table,
    remarks,
    role_summary,
    tokens_csv,
)
from tests.reference_model.made_attention import clip_of, token


def rows_of(content: bytes) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(content.decode())))


def test_one_row_per_token_layer_and_head():
    unasked = token(role=Role.TARGET, mask_YH=None, covered=None, j_and_f=None)
    rows = rows_of(attention_csv({"checkpoint": [token(), unasked], "against": [token()]}))
    assert len(rows) == 3 * 2 * 2
    assert ",".join(rows[3].values()) == "checkpoint,0,0,actor,1,1,1,0,0.5,0.25,0.5"
    assert list(rows[3])[4:9] == ["layer", "head", "vision", "text", "mask_region"]
    assert rows[4]["mask_region"] == rows[4]["covered"] == rows[4]["j_and_f"] == ""
    assert rows[-1]["model"] == "against"


def test_one_row_per_token_with_its_words():
    (row,) = rows_of(tokens_csv({"checkpoint": [token(text='a "red", square')]}))
    assert row["text"] == 'a "red", square' and row["answer"] == "red [SEG_ACT]" and row["j_and_f"] == "0.5"


def test_summary_means_choice_and_counts():
    low = token(clip=1, vision_YH=np.zeros((2, 2), np.float32), mask_YH=None, covered=None)
    summary = role_summary([clip_of(token()), clip_of(low, missing=(3, 0))], Role.ACTOR, 1, seed=0)
    assert summary["tokens"] == 2 and summary["tokens_with_a_mask_region"] == 1
    assert summary["expected"] == 2 and summary["expected_but_not_written"] == 3
    assert summary["vision_by_layer_and_head"] == [[0.25, 0.125], [0.375, 0.5]]
    assert summary["mask_region_by_layer_and_head"] == [[0.1, 0.2], [0.3, 0.5]]
    assert summary["choice"]["layer"] == 1 and summary["choice"]["heads"] == (1,)
    assert summary["mask_region_against_j_and_f"]["by_layer"] == [None, None]
    json.dumps(summary, allow_nan=False)


def test_a_role_nobody_wrote_has_a_summary_of_nothing():
    summary = role_summary([clip_of(token(), expected=(1, 1), missing=(0, 1))], Role.TARGET, 1, seed=0)
    assert summary["tokens"] == 0 and summary["expected_but_not_written"] == 1
    assert summary["choice"] is None and summary["vision_by_layer_and_head"] is None


def test_correlation_with_size_is_told_apart():
    """J&F follows size alone: the attention inside the mask follows it, too, but not per covered area."""
    tokens = [
        token(covered=area, j_and_f=area, mask_YH=np.full((2, 2), area * factor, np.float32))
        for area, factor in ((0.1, 1.1), (0.2, 1.0), (0.4, 1.2), (0.6, 1.0))
    ]
    found = correlations(tokens)
    assert found["tokens"] == 4 and found["size"] == pytest.approx(1)
    assert found["by_layer"] == pytest.approx([1, 1])
    assert found["by_layer_and_head"] == [pytest.approx([1, 1])] * 2
    assert abs(found["by_layer_over_size"][0]) < 0.5


def test_the_table_marks_the_chosen_layer_and_shows_dashes_for_a_role_nobody_wrote():
    lines = layer_table([clip_of(token())], Choice(1, (1,))).splitlines()
    assert lines[1].split() == ["0", "0.375", "0.625", "0.150", "-", "-", "-"]
    assert lines[2].split() == ["1", "0.875", "0.125", "0.400", "-", "-", "-", "chosen"]


def test_remarks_say_how_steady_the_choice_is_and_whether_attention_goes_with_scores():
    tokens = [token(clip=n, j_and_f=n / 4, covered=0.1 + n, mask_YH=np.full((2, 2), n / 9)) for n in range(4)]
    summary = role_summary([clip_of(*tokens)], Role.ACTOR, 1, seed=0)
    steady, against = remarks(summary, Choice(1, (1,)))
    assert "the same layer in 100%" in steady
    assert "over 4 tokens, layer 1: attention in the mask 1.00" in against
    alone = role_summary([clip_of(token())], Role.ACTOR, 1, seed=0)
    assert len(remarks(alone, Choice(1, (1,)))) == 1  # one token correlates with nothing
