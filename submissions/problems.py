"""Every problem a submission can have: its code, what it means, how to mend it.

A code is a promise: tools may look for it, so it is never reused for something else. `CATALOGUE` is the
one list; the page of the format prints it, and `submissions.examples` builds a zip for every code.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

PLACES_KEPT = 1000  # places remembered per code; further ones are counted
PLACES_SHOWN = 5
TEXT_KEPT = 300  # characters of any text a submission can choose


class Severity(enum.StrEnum):
    """Errors stop a submission; warnings are shown."""

    ERROR = "error"
    WARNING = "warning"


@dataclass(frozen=True, slots=True)
class Kind:
    """What one code means."""

    code: str
    group: str
    title: str
    mend: str
    severity: Severity = Severity.ERROR


_PACK = "make the zip with python -m submissions.pack"
_AGAIN = "upload the file again, or make it anew with python -m submissions.pack"

CATALOGUE: Mapping[str, Kind] = {
    kind.code: kind
    for kind in (
        # The archive as a file.
        Kind("not-a-zip", "archive", "the file is not a zip", _AGAIN),
        Kind("zip-directory", "archive", "the zip's table of contents is damaged", _AGAIN),
        Kind("zip-too-large", "archive", "the file is larger than any submission", _PACK),
        Kind(
            "too-many-members",
            "archive",
            "more members than this dataset can need",
            "make the zip with python -m submissions.pack FOLDER, which takes what is needed and no more",
        ),
        Kind("member-too-large", "archive", "a member declares more bytes than it may hold", _PACK),
        Kind("total-too-large", "archive", "all members together declare more bytes than allowed", _PACK),
        Kind("ratio-too-high", "archive", "a member is compressed like a decompression bomb", _PACK),
        Kind("overlap", "archive", "members share bytes of the file", _PACK),
        Kind("header-mismatch", "archive", "a member's own header contradicts the table of contents", _PACK),
        Kind("duplicate-name", "archive", "two members have one name on some file systems", _PACK),
        Kind("path-absolute", "archive", "a member's name is an absolute path", _PACK),
        Kind("path-drive", "archive", "a member's name starts with a drive", _PACK),
        Kind("path-parent", "archive", "a member's name climbs with '..' or holds empty parts", _PACK),
        Kind("path-backslash", "archive", "a member's name holds a backslash", _PACK),
        Kind("path-control", "archive", "a member's name holds control or invisible characters", _PACK),
        Kind("path-encoding", "archive", "a member's name is not readable text, or too long", _PACK),
        Kind("symlink", "archive", "a member is a symbolic link", "put the file itself into the zip"),
        Kind("special-file", "archive", "a member is a device, pipe or socket", "leave it out"),
        Kind("encrypted", "archive", "a member is encrypted", "make the zip without a password"),
        Kind("nested-archive", "archive", "a member is an archive itself", "put its content into the zip"),
        Kind("compression", "archive", "an unknown compression", "use stored or deflate (any plain zip)"),
        Kind("size-lie", "archive", "a member holds another number of bytes than declared", _PACK),
        Kind("member-damaged", "archive", "a member does not decompress, or its checksum is wrong", _AGAIN),
        # Which files are there.
        Kind(
            "unknown-layout",
            "layout",
            "nothing in the zip is a prediction we can recognise",
            "see the two forms in submissions/README.md, or use python -m submissions.pack",
        ),
        Kind("wrong-root", "layout", "the predictions lie in a folder of another name", _PACK),
        Kind(
            "other-dataset",
            "layout",
            "none of this dataset's videos is in the zip",
            "name the dataset that was predicted with --dataset, --data-root and --split",
        ),
        Kind("mixed-forms", "layout", "run-length files and PNG files in one zip", "keep one of the forms"),
        Kind("missing-video", "layout", "a video of the dataset is missing", "predict it and pack again"),
        Kind(
            "missing-expression",
            "layout",
            "an expression is missing",
            "predict it, or pack a run that stores failures as such",
        ),
        Kind("missing-role", "layout", "an answered expression has no actor", "write all-black actor masks"),
        Kind("missing-frame", "layout", "a frame has no mask", "write one PNG per frame, black where empty"),
        Kind("unknown-video", "layout", "a video the dataset does not have", "leave it out"),
        Kind("unknown-expression", "layout", "an expression the video does not have", "leave it out"),
        Kind("unknown-frame", "layout", "a frame the video does not have", "name PNGs after the frames"),
        Kind("unexpected-member", "layout", "a member that no submission needs", "leave it out"),
        Kind(
            "system-files",
            "layout",
            "files that an operating system added (ignored)",
            "nothing needs to be done",
            Severity.WARNING,
        ),
        # JSON in general.
        Kind("json-invalid", "json", "not valid JSON in UTF-8", "write it with a JSON library"),
        Kind("json-too-large", "json", "a JSON text longer than it may be", _PACK),
        Kind("json-too-deep", "json", "JSON nested deeper than needed", _PACK),
        Kind("json-duplicate-key", "json", "an object that has a key twice", "keep one of them"),
        Kind("json-not-finite", "json", "NaN, infinity, or a number beyond float64", "write a finite number"),
        # model.json.
        Kind(
            "model-missing",
            "model",
            "model.json is missing",
            "python -m submissions.pack writes a template to fill in",
        ),
        Kind("model-unknown-key", "model", "model.json has a key that is not known", "remove it"),
        Kind("model-missing-key", "model", "model.json lacks a key", "add it; null says that it is unknown"),
        Kind("model-value", "model", "model.json has a value that cannot be", "see model.schema.json"),
        Kind(
            "roles-mismatch",
            "model",
            "roles in model.json and tracks in the zip disagree",
            'set "roles" to what the model predicts',
        ),
        # Run-length files.
        Kind("masks-head", "masks", "the first line of a run-length file is wrong", _PACK),
        Kind("masks-line", "masks", "a line of a run-length file is not an answer", _PACK),
        Kind("duplicate-expression", "masks", "an expression is answered twice", "keep one answer"),
        Kind("other-sentence", "masks", "an answer to another sentence", "predict this dataset's sentences"),
        Kind("frame-count", "masks", "a track has another number of frames", "one text (or null) per frame"),
        Kind("rle-invalid", "masks", "run-length text that does not decode", "encode it with pycocotools"),
        Kind("rle-size", "masks", "run-length text of another size than its frame", "resize masks to source"),
        Kind("answers-file", "masks", "answers.json is not what it should be", _PACK),
        # PNG files.
        Kind("png-invalid", "png", "not a PNG, or a damaged one", "write it with Pillow or OpenCV"),
        Kind("png-size", "png", "a PNG of another size than its frame", "resize masks to the source size"),
        Kind("png-kind", "png", "not 1- or 8-bit grey or palette", "save one channel, not interlaced"),
        Kind("png-chunks", "png", "a PNG that carries more than pixels", "save it without metadata"),
        Kind("png-values", "png", "pixels other than {0,1} or {0,255}", "threshold the mask before saving"),
        # The decoder process.
        Kind("decoder-stopped", "decoder", "decoding crashed, or needed more than any submission may", _PACK),
        # Worth knowing.
        Kind("all-empty", "content", "not one pixel in the whole submission", "check it", Severity.WARNING),
        Kind("no-target", "content", "no target is claimed anywhere", "check it", Severity.WARNING),
    )
}


@dataclass(frozen=True, slots=True)
class Finding:
    """One problem at one place; all texts are short and free of control characters."""

    code: str
    where: str
    expected: str = ""
    found: str = ""
    fix: str = ""

    def sentence(self) -> str:
        """The finding on one line, without its mend."""
        parts = [self.where]
        parts += [f"expected {self.expected}"] if self.expected else []
        parts += [f"found {self.found}"] if self.found else []
        return "; ".join(parts)


def finding(code: str, where: str, *, expected: str = "", found: str = "", fix: str = "") -> Finding:
    """A finding whose texts are cut and made printable, since a submission can choose them."""
    if code not in CATALOGUE:
        raise ValueError(f"no such code: {code}")
    return Finding(code, plain(where), plain(expected), plain(found), plain(fix))


def plain(text: str) -> str:
    """Text that cannot harm a terminal, a log or a page: no controls, no bidi marks, bounded length."""
    cut = text if len(text) <= TEXT_KEPT else text[: TEXT_KEPT - 3] + "..."
    return "".join(sign if sign.isprintable() else f"\\u{ord(sign):04x}" for sign in cut)


@dataclass(slots=True)
class Findings:
    """All findings of a check: the first thousand places of each code, and the count of all."""

    places: dict[str, list[Finding]] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)

    def add(self, code: str, where: str, *, expected: str = "", found: str = "", fix: str = "") -> None:
        """Remember one finding."""
        self.extend((finding(code, where, expected=expected, found=found, fix=fix),))

    def extend(self, found: Iterable[Finding]) -> None:
        """Remember several findings."""
        for one in found:
            self.counts[one.code] = self.counts.get(one.code, 0) + 1
            kept = self.places.setdefault(one.code, [])
            if len(kept) < PLACES_KEPT:
                kept.append(one)

    def merge(self, other: Findings) -> None:
        """Take in the findings of another part of the check."""
        for code, count in other.counts.items():
            self.counts[code] = self.counts.get(code, 0) + count
            kept = self.places.setdefault(code, [])
            kept.extend(other.places[code][: PLACES_KEPT - len(kept)])

    @property
    def codes(self) -> tuple[str, ...]:
        """The codes that were found, in the order of the catalogue."""
        return tuple(code for code in CATALOGUE if self.counts.get(code))

    @property
    def errors(self) -> int:
        """Number of findings that stop the submission."""
        return sum(self.counts[code] for code in self.codes if CATALOGUE[code].severity is Severity.ERROR)

    @property
    def warnings(self) -> int:
        """Number of findings that do not."""
        return sum(self.counts[code] for code in self.codes) - self.errors

    def as_json(self) -> list[dict[str, Any]]:
        """The findings grouped by code, places in a stable order."""
        return [
            {
                "code": code,
                "severity": CATALOGUE[code].severity.value,
                "title": CATALOGUE[code].title,
                "mend": CATALOGUE[code].mend,
                "count": self.counts[code],
                "places": [
                    {"where": one.where, "expected": one.expected, "found": one.found, "fix": one.fix}
                    for one in sorted(self.places[code], key=lambda one: (one.where, one.found))
                ],
            }
            for code in self.codes
        ]


def format_findings(groups: Sequence[Mapping[str, Any]], shown: int = PLACES_SHOWN) -> str:
    """The findings as text: one block per code, its first places, its mend."""
    blocks = []
    for group in groups:
        times = f" ({group['count']} places)" if group["count"] > 1 else ""
        lines = [f"{group['severity']} {group['code']}: {group['title']}{times}"]
        for place in group["places"][:shown]:
            one = Finding(group["code"], place["where"], place["expected"], place["found"])
            lines.append(f"    {one.sentence()}")
        if group["count"] > shown:
            lines.append(f"    ... and {group['count'] - min(shown, len(group['places']))} more")
        mends = dict.fromkeys(place["fix"] for place in group["places"] if place["fix"])
        lines += [f"    mend: {mend}" for mend in list(mends)[:shown] or [group["mend"]]]
        blocks.append("\n".join(lines))
    return "\n".join(blocks)
