"""What lets one person read the model in an afternoon: short files, and a legend for every shape suffix."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

FOLDER = Path(__file__).resolve().parents[2] / "reference_model"
FILES = sorted(FOLDER.glob("*.py"))
MOST_LINES = 400
SUFFIX = re.compile(r"_?[a-z][a-z0-9_]*_(\d*[A-Z][A-Za-z0-9]*)")
LEGEND = re.compile(r"Legend of shape suffixes:\n((?:#? {4,}\S.*\n)+)")


def names_in(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        match node:
            case ast.Name(id=name) | ast.arg(arg=name) | ast.Attribute(attr=name):
                yield name
            case ast.keyword(arg=str(name)):
                yield name


def axes_without_a_word(text: str) -> dict[str, str]:
    """Letters of shape suffixes that the legend of a file does not name, with a name that has them."""
    legend = LEGEND.search(text)
    known = set(re.findall(r"\b[A-Za-z]\b", legend[1])) if legend else set()
    found = ((name, SUFFIX.fullmatch(name)) for name in names_in(ast.parse(text)))
    return {
        letter: name
        for name, match in found
        if match
        for letter in match[1]
        if letter.isalpha() and letter not in known
    }


def test_a_letter_without_a_word_is_found():
    legend = '"""What.\n\nLegend of shape suffixes:\n    B clips   h, w mask size\n"""\n'
    assert axes_without_a_word(legend + "def read(masks_Bhw, rows_R2):\n    return masks_Bhw.shape_B\n") == {
        "R": "rows_R2"
    }
    assert set(axes_without_a_word('"""No legend."""\nlogits_BL = 0\n')) == {"B", "L"}


@pytest.mark.parametrize("path", FILES, ids=[path.stem for path in FILES])
def test_every_axis_is_named_on_top_of_the_file(path):
    assert not axes_without_a_word(path.read_text())


@pytest.mark.parametrize("path", FILES, ids=[path.stem for path in FILES])
def test_files_are_short(path):
    assert len(path.read_text().splitlines()) <= MOST_LINES
