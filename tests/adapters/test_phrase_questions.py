"""Noun phrases out of a language model's mouth: phrases, denials and answers of no use, told apart."""

from __future__ import annotations

import pytest

from adapters.parts.phrase_questions import phrase_question, read_phrases
from benchmark.types import Role, Status


@pytest.mark.parametrize(
    ("text", "actor", "target"),
    [
        ('{"actor": "White Dog.", "target": "red ball"}', "white dog", "red ball"),
        ('```json\n{"actor": "dog", "target": null}\n```', "dog", None),
        ("Sure: {'Actor': 'dog', 'target': 'None'} as asked", "dog", None),
        ('{"actor": ["dog"], "targets": []}', "dog", None),
        ('<think>{"actor": "cat"}</think>{"actor": "dog"}', "dog", None),
        ('{"frame": 1} {"actor": "dog", "target": 7}', "dog", None),
    ],
)
def test_phrases(text: str, actor: str, target: str | None) -> None:
    answer = read_phrases(text)
    assert answer.status is Status.OK
    assert (answer.phrases.get(Role.ACTOR), answer.phrases.get(Role.TARGET)) == (actor, target)


@pytest.mark.parametrize("text", ['{"actor": null, "target": null}', '{"actor": "none"}', '{"actor": []}'])
def test_denials(text: str) -> None:
    answer = read_phrases(text)
    assert (answer.status, answer.message) == (Status.ABSTAIN, None)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "the answer is empty"),
        ("<think>a dog, so", "the answer is empty"),
        ("I see a dog.", "the answer holds no JSON about an actor or a target"),
        ('["dog"]', "the answer holds no JSON about an actor or a target"),
        ('{"actor": 3}', "actor: not a phrase"),
        ('{"actor": ["a", "b"], "target": {}}', "actor: not a phrase; target: not a phrase"),
    ],
)
def test_answers_of_no_use(text: str, message: str) -> None:
    answer = read_phrases(text)
    assert (answer.status, answer.message) == (Status.PARSE_ERROR, message)


def test_a_claim_of_no_use_beside_a_good_one_is_told() -> None:
    assert read_phrases('{"actor": "dog", "target": 7}').message == "target: not a phrase"


def test_the_question_shows_the_sentence_and_the_form() -> None:
    words = phrase_question('a {"dog"}', 3)
    assert 'refers to something in the video: "a {"dog"}"' in words and "1 to 3" in words
    assert '{"actor": "noun phrase", "target": "noun phrase"}' in words
