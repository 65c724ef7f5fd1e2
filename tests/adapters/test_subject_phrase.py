"""Where the subject of a sentence ends."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.parts.subject_phrase import subject_phrase


@pytest.mark.parametrize(
    ("sentence", "subject"),
    [
        ("Child in red pushing a cart.", "child in red"),
        ("A ball being thrown by a man", "a ball"),
        ("a running dog chasing a cat", "a running dog"),
        ("the king, holding a ring", "the king"),
        ("two people", "two people"),
        ("the woman who sits", "the woman"),
        ("cup held by a man", "cup held"),
        ("running", "running"),
        ("", ""),
        ("  Dog.  ", "dog"),
    ],
)
def test_subjects(sentence: str, subject: str) -> None:
    assert subject_phrase(sentence) == subject


@given(st.text(max_size=60))
def test_it_is_always_the_beginning_of_the_sentence(sentence: str) -> None:
    words = sentence.lower().strip().rstrip(".?!").split()
    phrase = subject_phrase(sentence)
    assert " ".join(words).startswith(phrase)
    assert bool(phrase) == bool(words) or not any(word.strip(",;:") for word in words)
