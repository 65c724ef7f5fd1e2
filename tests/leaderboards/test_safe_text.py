"""Texts of strangers come out harmless, whatever they hold."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leaderboards.safe_text import csv_cell, file_name, https_link, latex_text, shortened, visible


@given(st.text())
def test_nothing_hidden_is_left(text: str) -> None:
    shown = visible(text)
    assert all(unicodedata.category(sign)[0] != "C" for sign in shown)
    assert visible(shown) == shown


@given(st.text())
def test_no_csv_cell_is_a_formula(text: str) -> None:
    assert not csv_cell(text).startswith(("=", "+", "-", "@", "\t", "\r"))


@given(st.text(), st.integers(2, 40))
def test_shortened_texts_fit(text: str, longest: int) -> None:
    assert len(shortened(text, longest)) <= longest


@given(st.text())
def test_file_names_are_plain(text: str) -> None:
    assert set(file_name(text)) <= set("abcdefghijklmnopqrstuvwxyz0123456789-")


def test_numbers_and_absent_values_stay() -> None:
    assert (csv_cell(-1.5), csv_cell(None), csv_cell(3)) == ("-1.5", "", "3")


@pytest.mark.parametrize(
    "link", ["https://example.org", "https://example.org/a/b?c=d&e=f#g", "https://a.org:8080/x"]
)
def test_https_links_pass(link: str) -> None:
    assert https_link(link) == link


@pytest.mark.parametrize(
    "link",
    [
        *("javascript:alert(1)", "http://example.org", "https://", "https://user@example.org", None),
        *("https://example.org/\u202e", "https://example.org/ x", "//example.org", "HTTPS://example.org/'"),
        "https://example.org\n",
    ],
)
def test_other_links_do_not(link: str | None) -> None:
    assert https_link(link) is None


def test_latex_signs_are_escaped() -> None:
    assert latex_text("a_b & 5% {x} \\y ~^") == (
        r"a\_b \& 5\% \{x\} \textbackslash{}y \textasciitilde{}\textasciicircum{}"
    )
