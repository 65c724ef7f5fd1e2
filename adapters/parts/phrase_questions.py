"""Asking a vision-language model for noun phrases of the actor and the target, and reading its answer.

The words of the question are this project's own.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from adapters.parts.box_answers import NOTHING
from adapters.parts.tolerant_json import json_values
from benchmark.types import Role, Status

QUESTION = """\
The pictures above are {count} frames of one video, in order of time, numbered from 1 to {count}.
This sentence refers to something in the video: "{expression}"
The actor is what the sentence as a whole refers to. The target is another object that the sentence names \
because the actor acts on it or interacts with it; a sentence that names no such object has no target.
A program will look for both by name. It knows what things look like, and nothing of what they do or of who \
is beside whom. Name the actor and the target by a short noun phrase each, such as "white dog".
Answer with JSON alone, in this form: {{"actor": "noun phrase", "target": "noun phrase"}}
Write null in place of a phrase for what is not there."""


@dataclass(frozen=True, slots=True)
class PhraseAnswer:
    """What was read.

    Attributes:
        status: `OK` with a phrase at least, `ABSTAIN` when both roles were denied, `PARSE_ERROR` otherwise.
        phrases: in lower case, by role.
        message: what could not be used, and why.
    """

    status: Status
    phrases: Mapping[Role, str] = field(default_factory=dict)
    message: str | None = None


def phrase_question(expression: str, pictures: int) -> str:
    """The words that follow the pictures."""
    return QUESTION.format(count=pictures, expression=expression)


def read_phrases(text: str) -> PhraseAnswer:
    """The phrases in an answer; the first object that speaks of a role counts."""
    spoken = text.rpartition("</think>")[2].partition("<think>")[0]
    for found in json_values(spoken):
        said = _by_role(found.value)
        if said:
            return _judged(said)
    if not spoken.strip():
        return PhraseAnswer(Status.PARSE_ERROR, message="the answer is empty")
    return PhraseAnswer(Status.PARSE_ERROR, message="the answer holds no JSON about an actor or a target")


def _by_role(value: Any) -> dict[Role, Any]:
    if not isinstance(value, dict):
        return {}
    named = [(re.match(r"\W*(actor|target)s?\b", name.lower()), said) for name, said in value.items()]
    return {Role(role.group(1)): said for role, said in named if role}


def _judged(said: Mapping[Role, Any]) -> PhraseAnswer:
    phrases, reasons = {}, []
    for role, value in said.items():
        one = value[0] if isinstance(value, list) and len(value) == 1 else value
        if one is None or one == []:
            continue
        if not isinstance(one, str):
            reasons.append(f"{role}: not a phrase")
        elif one.strip().lower() not in NOTHING:
            phrases[role] = one.strip().rstrip(".").lower()
    message = "; ".join(reasons) or None
    if phrases:
        return PhraseAnswer(Status.OK, phrases, message)
    return PhraseAnswer(Status.PARSE_ERROR if reasons else Status.ABSTAIN, message=message)
