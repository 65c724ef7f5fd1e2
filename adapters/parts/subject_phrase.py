"""The words of a sentence that name its subject, for models that find things by a noun phrase.

Such a model looks for everything a sentence names: asked for "child feeding horse" it finds both. So the
sentence is cut where its subject ends. This is a rule of thumb for English, not a parser: it is wrong on a
participle that stands before its noun after an adjective ("white running dog"), and keeps participles that do
not end in "ing". Answers store the words that were asked.
"""

from __future__ import annotations


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


SUBJECT_ENDS = _words("is are was were be has have does do who whom whose that which while as then when by")
"""Words that no plain noun phrase contains."""

NO_PARTICIPLES = _words(
    "thing something anything nothing everything king ring wing string spring sling swing "
    "ceiling building clothing painting railing earring duckling sibling evening morning "
    "wedding pudding sting viking"
)
"""Nouns that look like participles."""

NAMES_NOTHING = _words("a an the this these those one two three four five some all both each every")


def subject_phrase(sentence: str) -> str:
    """What a sentence is about, in lower case without a full stop; all of it where no end is found.

    For example "child in red" for "Child in red pushing a cart.".
    """
    words = sentence.lower().strip().rstrip(".?!").split()
    for end in range(1, len(words)):
        if _ends_subject(words[end]) and not set(words[:end]) <= NAMES_NOTHING:
            return " ".join(words[:end]).rstrip(",;:")
    return " ".join(words)


def _ends_subject(word: str) -> bool:
    bare = word.strip(",;:'\"()")
    participle = bare.endswith("ing") and len(bare) > 4 and bare not in NO_PARTICIPLES
    return bare in SUBJECT_ENDS or participle
