"""One video of `meta_expressions.json`, checked and brought to one form.

Everything the released files leave open is decided here: `object` may be a list, `[]`, `null` or absent;
`subject/object` may be missing; `frames` may be unsorted; `caption_type` may be missing. What cannot be
read is a problem; what can, but deserves a look, is a note.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from benchmark.datasets.json_stream import json_kind
from benchmark.errors import Problem
from benchmark.types import Expression, Video

UNDEFINED_CAPTION_TYPE = "undefined"
CAPTION_TYPES = ("single", "multi", "bidirectional", "unidirectional")
MAX_ID_BYTES = 200
HALF_CHARACTER = "an escape that is only half a character"


@dataclass
class VideoFindings:
    """What was found while reading one video.

    `problems` make it unreadable; `notes` are peculiarities, as (what, where), that have a defined reading.
    """

    source: str
    problems: list[Problem] = field(default_factory=list)
    notes: list[tuple[str, str]] = field(default_factory=list)

    def problem(self, place: str, what: str, expected: str, found: str, fix: str = "") -> None:
        """Remember something that cannot be read."""
        self.problems.append(Problem(what, f"{self.source}: {place}", expected, found, fix))

    def note(self, place: str, what: str) -> None:
        """Remember something peculiar."""
        self.notes.append((what, place))


def read_video(video_id: str, value: Any, findings: VideoFindings) -> Video | None:
    """The video of one member of "videos"; `None` when it has problems, which are in `findings`.

    Frames are sorted as text, as the released loaders do: a mask list follows the sorted frames.
    """
    place = f"video {printable(video_id)}"
    before = len(findings.problems)
    if not is_plain_name(video_id):
        findings.problem(place, "a video id must be the name of a folder", "a plain name", repr(video_id))
    members = _members(value, place, findings)
    if members is None:
        return None
    frames = _frames(members, place, findings)
    raw = members.get("expressions")
    expressions = []
    if not isinstance(raw, tuple):
        findings.problem(
            place, '"expressions" is wrong', "an object of expressions", _kind(members, "expressions")
        )
    else:
        for expression_id, item in _unique(raw, f"{place}, expressions", findings):
            expressions.append(
                _expression(expression_id, item, f"{place}, expression {printable(expression_id)}", findings)
            )
        if not raw:
            findings.note(place, "a video without expressions")
    if len(findings.problems) > before:
        return None
    return Video(video_id, frames, tuple(item for item in expressions if item is not None))


def is_plain_name(name: str) -> bool:
    """Whether a name from a file may safely become one component of a path."""
    size = len(name.encode("utf-8", "replace"))
    return (
        is_unicode(name)
        and 0 < size <= MAX_ID_BYTES
        and name not in (".", "..")
        and not set(name) & set("/\\\0:")
    )


def printable(name: str) -> str:
    """An id as it may stand in a sentence of one line."""
    return name if name and name.isprintable() else repr(name[:60])


def is_unicode(text: str) -> bool:
    """Whether a text can be written to a file; an escape for half a character (`\\ud800`) cannot."""
    return not any("\ud800" <= character <= "\udfff" for character in text)


def _frames(members: dict[str, Any], place: str, findings: VideoFindings) -> tuple[str, ...]:
    frames = members.get("frames")
    if not isinstance(frames, list) or not frames or not all(isinstance(name, str) for name in frames):
        found = "[]" if frames == [] else _kind(members, "frames")
        findings.problem(place, '"frames" is wrong', "a list of frame names without extension", found)
        return ()
    for name in frames:
        if not is_plain_name(name):
            findings.problem(
                place, "a frame name must be the name of a file", "a plain name", repr(name[:60])
            )
            return ()
    ordered = sorted(frames)
    twice = [name for name, following in pairwise(ordered) if name == following]
    if twice:
        findings.problem(place, "frames are repeated", "each frame once", ", ".join(twice[:5]))
    if ordered != frames:
        findings.note(place, "frames are not sorted; they are sorted as text, and masks follow that order")
    if len({len(name) for name in frames}) > 1:
        findings.note(place, "frame names differ in length, so their order as text may not be that in time")
    return tuple(ordered)


def _expression(expression_id: str, value: Any, place: str, findings: VideoFindings) -> Expression | None:
    before = len(findings.problems)
    if not is_plain_name(expression_id):
        findings.problem(place, "an expression id is unusable", "a plain name", repr(expression_id[:60]))
    members = _members(value, place, findings)
    if members is None:
        return None
    text = members.get("exp")
    if not isinstance(text, str) or not text.strip() or not is_unicode(text):
        found = _kind(members, "exp")
        if isinstance(text, str):
            found = HALF_CHARACTER if text.strip() else "a blank text"
        findings.problem(place, '"exp" is wrong', "the sentence", found, "write the sentence")
        text = ""
    actors = _ids(members.get("anno_id"), f'{place}, "anno_id"', findings)
    if members.get("anno_id") is None or not members["anno_id"]:
        findings.problem(
            place, '"anno_id" names no track', "one annotation id or more", _kind(members, "anno_id")
        )
    targets = _targets(members, actors, place, findings)
    caption_type = _caption_type(members, place, findings)
    if caption_type == "unidirectional" and not targets:
        findings.note(place, "unidirectional without an object: not an interaction expression")
    tags = members.get("tags", [])
    if not isinstance(tags, list) or not all(isinstance(tag, str) and is_unicode(tag) for tag in tags):
        findings.problem(place, '"tags" is wrong', "a list of texts", json_kind(tags))
        tags = []
    if len(findings.problems) > before:
        return None
    return Expression(expression_id, text, caption_type, actors, targets, tuple(tags))


def _caption_type(members: dict[str, Any], place: str, findings: VideoFindings) -> str:
    caption_type = members.get("caption_type")
    if caption_type is None:
        findings.note(place, 'without "caption_type": counted as "undefined"')
        return UNDEFINED_CAPTION_TYPE
    if not isinstance(caption_type, str) or not caption_type or not is_unicode(caption_type):
        found = HALF_CHARACTER if isinstance(caption_type, str) and caption_type else json_kind(caption_type)
        findings.problem(place, '"caption_type" is wrong', "a text", found)
        return UNDEFINED_CAPTION_TYPE
    if caption_type not in CAPTION_TYPES:
        findings.note(place, f"caption_type {caption_type!r} is none of {', '.join(CAPTION_TYPES)}")
    return caption_type


def _targets(
    members: dict[str, Any], actors: tuple[str, ...], place: str, findings: VideoFindings
) -> tuple[str, ...]:
    """`subject/object`.`anno_id`.`object`; whatever is absent or null on the way means no target."""
    key = "subject/object"
    roles = members.get(key)
    if roles is None:
        findings.note(place, f'"{key}" is {_kind(members, key)}: no target')
        return ()
    inner = _members(roles, f'{place}, "{key}"', findings)
    if inner is None:
        return ()
    if inner.get("anno_id") is None:
        findings.note(place, f'"{key}" has no "anno_id": no target')
        return ()
    ids = _members(inner["anno_id"], f'{place}, "{key}"."anno_id"', findings)
    if ids is None:
        return ()
    if ids.get("object") is None:
        findings.note(place, f'"object" is {_kind(ids, "object")}: no target')
    subjects = _ids(ids.get("subject"), f'{place}, "{key}"."anno_id"."subject"', findings)
    if ids.get("subject") is not None and set(subjects) != set(actors):
        findings.note(place, '"subject" and the top-level "anno_id" differ; the top level is the truth')
    targets = _ids(ids.get("object"), f'{place}, "{key}"."anno_id"."object"', findings)
    if set(targets) & set(actors):
        findings.note(place, "a track is both actor and target")
    return targets


def _ids(value: Any, place: str, findings: VideoFindings) -> tuple[str, ...]:
    """Annotation ids as texts, each once, in the order of the file; null and absent are no id."""
    if value is None:
        return ()
    if not isinstance(value, list):
        findings.problem(place, "annotation ids are wrong", "a list of integers", json_kind(value))
        return ()
    for item in value:
        if type(item) is not int and not (isinstance(item, str) and is_plain_name(item)):
            findings.problem(place, "an annotation id is wrong", "an integer", json_kind(item))
            return ()
    return tuple(dict.fromkeys(str(item) for item in value))


def _members(value: Any, place: str, findings: VideoFindings) -> dict[str, Any] | None:
    if not isinstance(value, tuple):
        findings.problem(place, "is of the wrong type", "an object", json_kind(value))
        return None
    return dict(_unique(value, place, findings))


def _unique(pairs: Iterable[tuple[str, Any]], place: str, findings: VideoFindings) -> list[tuple[str, Any]]:
    seen: dict[str, Any] = {}
    for key, value in pairs:
        if key in seen:
            findings.problem(
                place, "a key occurs twice", "each key once", repr(key[:60]), "remove one of the two"
            )
        seen[key] = value
    return list(seen.items())


def _kind(members: dict[str, Any], key: str) -> str:
    value = members.get(key)
    if key not in members:
        return "absent"
    return "[]" if value == [] else json_kind(value)
