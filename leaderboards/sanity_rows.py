"""Rows that are no models: they bound the scale, and stand on a board without a rank.

An entry is one of them when we ran it ourselves and its model has one of these names, which are those of
the adapters in `adapters/`.
"""

from __future__ import annotations

from collections.abc import Mapping

from submissions.entries import Entry, Standing

PERFECT = "oracle"
SANITY_ROWS: Mapping[str, str] = {
    PERFECT: "sees the truth: what a perfect model scores",
    "empty": "answers without a single pixel",
    "full_frame": "answers with the whole frame",
    "centre_box": "answers with a box in the middle, whatever is asked",
    "swapped_roles": "a model's answers with actor and target exchanged",
    "wrong_expression": "a model asked the sentence of another video",
}
"""Name of the adapter and what its row tells."""


def sanity_words(entry: Entry) -> str | None:
    """What a sanity row tells, or nothing when the entry is of a model."""
    if entry.status is not Standing.RERUN:
        return None
    return SANITY_ROWS.get(entry.model.name.partition("(")[0])
