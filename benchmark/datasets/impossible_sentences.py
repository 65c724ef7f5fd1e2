"""Sentences that nothing in a video satisfies, for asking whether a model can say so.

`interrvos-synthetic`: the subject of a sentence gets a colour that no object of the clip has ("green disc
pushing square" where nothing is green). The colours are read from the clip itself, rendered again by the
generator, and only where it gives exactly the sentences of the annotation. Sentences about several objects
(`multi`) are left alone: with one of the two absent, the other is still there.

Other datasets say nothing about what a video does not show, so there the sentences are empty by their own
meaning, whatever the video shows.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence

from benchmark.datasets import Dataset
from benchmark.datasets.synthetic import SPLITS, SyntheticClip, clip
from benchmark.datasets.synthetic.looks import COLOURS, SHAPES, SIZES, TEXTURES
from benchmark.datasets.synthetic.phrases import Phrase
from benchmark.types import Expression, Video

EMPTY_BY_MEANING = (
    "the object that appears in no frame of this video",
    "the person who is never visible in this video",
    "something that is nowhere to be seen in this video",
    "the thing that was taken away before this video was recorded",
)
SYNTHETIC = "interrvos-synthetic"
SYNTHETIC_VIDEO = re.compile(r"synthetic-(?P<split>[a-z]+)-(?P<index>\d{5,})_clip000")
SUBJECT = re.compile(
    rf"(?:(?P<size>{'|'.join(SIZES)}) )?(?:(?P<colour>{'|'.join(COLOURS)}) )?"
    rf"(?:(?P<texture>{'|'.join(TEXTURES)}) )?(?:(?P<shape>{'|'.join(SHAPES)})|object)(?= |$)"
)
"""A phrase as `Phrase.words` writes it; every sentence but `multi` ones begins with that of its subject."""


def impossible_sentences(dataset: Dataset, video: Video) -> dict[str, str]:
    """For expressions of a video, by id, a sentence that nothing in it satisfies.

    The same for every run: it depends on the video and the sentence alone. An expression without an entry
    has none.

    Args:
        video: with all of its expressions.
    """
    if dataset.name != SYNTHETIC:
        return {one.expression_id: _drawn(EMPTY_BY_MEANING, one.text) for one in video.expressions}
    rendered = _rendered(video)
    if rendered is None:
        return {}
    present = {look.colour for look in rendered.objects}
    absent = [colour for colour in COLOURS if colour not in present]
    found = {}
    for one in video.expressions:
        if one.caption_type != "multi" and absent:
            found[one.expression_id] = _recoloured(one, _drawn(absent, one.text))
    return found


def _rendered(video: Video) -> SyntheticClip | None:
    """The clip behind a video; `None` where the generator of today does not give these sentences."""
    named = SYNTHETIC_VIDEO.fullmatch(video.video_id)
    if named is None or named["split"] not in SPLITS:
        return None
    rendered = clip(named["split"], int(named["index"]))
    written = [(one.text, one.caption_type) for one in rendered.expressions]
    return rendered if written == [(one.text, one.caption_type) for one in video.expressions] else None


def _recoloured(expression: Expression, colour: str) -> str:
    subject = SUBJECT.match(expression.text)
    if subject is None:
        raise ValueError(f"not a sentence of the synthetic grammar: {expression.text!r}")
    phrase = Phrase(colour=colour, shape=subject["shape"], texture=subject["texture"], size=subject["size"])
    return phrase.words + expression.text[subject.end() :]


def _drawn(choices: Sequence[str], text: str) -> str:
    digest = hashlib.sha256(text.encode()).digest()
    return choices[int.from_bytes(digest[:8]) % len(choices)]
