"""Exports for the Hub: YAML that reads back as what was written, links to models told from others."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from leaderboards.hub_exports import eval_yaml, hub_model, split_name, yaml_text
from leaderboards.safe_text import visible

KEYS = st.text("abcdefghij_", min_size=1, max_size=8).filter(
    lambda key: not isinstance(yaml.safe_load(key), bool)
)
LEAVES = st.one_of(
    st.text(max_size=30).map(visible),
    st.integers(-(10**12), 10**12),
    st.integers(-(10**9), 10**9).map(lambda number: number / 10**4),
    st.booleans(),
)
VALUES = st.recursive(
    LEAVES, lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(KEYS, inner, max_size=4))
)


@given(
    st.one_of(st.dictionaries(KEYS, VALUES, min_size=1, max_size=4), st.lists(VALUES, min_size=1, max_size=4))
)
def test_yaml_reads_back_as_what_was_written(value: Any) -> None:
    assert yaml.safe_load(yaml_text(value)) == value


def test_nobody_breaks_out_of_a_text() -> None:
    hostile = 'a"\nvalue: 100\n- b: "\u202e#\x00\x85'
    assert yaml.safe_load(yaml_text({"notes": hostile})) == {"notes": visible(hostile)}


@pytest.mark.parametrize(
    ("link", "model"),
    [
        ("https://huggingface.co/lab/model-1.0", "lab/model-1.0"),
        ("https://huggingface.co/lab/model/tree/main", "lab/model"),
        ("https://huggingface.co/datasets/lab", None),
        ("https://huggingface.co/datasets/lab/data", None),
        ("https://huggingface.co/lab/..", None),
        ("https://huggingface.co/../lab", None),
        ("https://huggingface.co.example.com/lab/model", None),
        ("https://huggingface.co/lab", None),
        (None, None),
    ],
)
def test_only_links_to_models_name_a_model(link: str | None, model: str | None) -> None:
    assert hub_model(link) == model


def test_splits_get_names_that_the_hub_takes() -> None:
    assert split_name("val-u") == "val_u"


def test_without_scores_there_is_no_benchmark() -> None:
    assert eval_yaml([], "title") is None
