"""What the page of a computed entry says: facts, breakdowns, extreme expressions, provenance."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from benchmark.json_records import to_json
from benchmark.results import GroupScores, Rate, Result
from leaderboards.board_entries import EXPRESSIONS, RESULT, BoardEntry
from leaderboards.boards import Row
from leaderboards.downloads import Download, csv_bytes, download, json_bytes
from submissions.entries import ENTRY, RECEIPT

EXTREMES = 8  # best and worst expressions of a setting that a page shows
TITLES: Mapping[str, str] = {
    "caption_type": "Type of sentence",
    "targets": "Number of targets",
    "object_size": "Size of the object",
    "clip_length": "Length of the clip",
    "tag": "Difficulty",
}

FACTS: Mapping[str, str] = {"dirty": "uncommitted changes", "cpu": "processor", "gpus": "GPUs"}


@dataclass(frozen=True, slots=True)
class Fact:
    """A name and what is known; `words` is `None` where nobody said."""

    name: str
    words: str | None
    link: str | None = None
    code: bool = False


@dataclass(frozen=True, slots=True)
class Breakdown:
    """Groups of one kind, side by side in all settings."""

    title: str
    settings: tuple[str, ...]
    rows: tuple[tuple[str, tuple[GroupScores | None, ...]], ...]


@dataclass(frozen=True, slots=True)
class Extreme:
    """One expression and how it came out, in percent."""

    expression: str
    video: str
    id: str
    status: str
    j: float
    f: float
    jf: float


@dataclass(frozen=True, slots=True)
class Extremes:
    """The ends of one setting."""

    setting: str
    worst: tuple[Extreme, ...]
    best: tuple[Extreme, ...]


def model_facts(one: BoardEntry) -> list[Fact]:
    """What model.json says."""
    card = one.entry.model
    speed = card.speed
    seen = [f"{about.dataset} {about.split} ({about.strength.value})" for about in card.trained_on]
    facts = [
        Fact("Team", card.team),
        Fact("Contact", card.contact, link=card.contact),
        Fact("Paper", card.links.paper, link=card.links.paper),
        Fact("Code", card.links.code, link=card.links.code),
        Fact("Weights", card.links.weights, link=card.links.weights),
        Fact("Website", card.links.website, link=card.links.website),
        Fact("Licence of the weights", card.licence),
        Fact("Parameters", None if card.parameters is None else f"{card.parameters:,}"),
        Fact("Made from", ", ".join(card.base_models) or None),
        Fact("Trained on", ", ".join(seen) or None),
        Fact("Track", card.track.value),
        Fact("Inputs", card.inputs.value),
        Fact("Predicts", ", ".join(role.value for role in card.roles)),
        Fact("Frames per second", _number(speed.frames_per_second) if speed else None),
        Fact(
            "Peak memory",
            f"{_number(speed.peak_memory_gib)} GiB" if speed and speed.peak_memory_gib else None,
        ),
        Fact("Hardware", speed.hardware if speed else None),
        Fact("Released", card.released),
    ]
    return facts


def _number(value: float | None) -> str | None:
    return None if value is None else f"{value:,.4g}"


def breakdowns(result: Result | None) -> list[Breakdown]:
    """Every grouping of a result that has more than one group."""
    if result is None:
        return []
    return [made for name, title in TITLES.items() if (made := _breakdown(result, name, title)) is not None]


def _breakdown(result: Result, name: str, title: str) -> Breakdown | None:
    settings = [setting for setting, scores in result.settings.items() if scores.undefined is None]
    by = {setting: {one.group: one for one in result.settings[setting].by[name]} for setting in settings}
    groups = list(dict.fromkeys(group for setting in reversed(settings) for group in by[setting]))
    if len(groups) < 2:
        return None
    rows = tuple((group, tuple(by[setting].get(group) for setting in settings)) for group in groups)
    return Breakdown(title, tuple(settings), rows)


def role_errors(result: Result | None) -> list[tuple[str, Rate]]:
    """The errors of role of a result."""
    if result is None or result.role_errors is None:
        return []
    errors = result.role_errors
    return [
        ("roles swapped", errors.role_swap),
        ("target missed", errors.missed_target),
        ("false target", errors.false_target),
        ("target claimed", errors.target_claimed),
    ]


def extremes(one: BoardEntry) -> list[Extremes]:
    """The worst and best expressions of every setting that has a score."""
    by: dict[str, list[Extreme]] = {}
    defined = one.result.settings if one.result else {}
    for row in one.rows:
        score, track = row.score, row.score.track
        if defined[score.setting].undefined is None:
            made = Extreme(
                *(score.expression, score.video_id, score.expression_id, score.status),
                *(100 * track.j, 100 * track.f, 50 * (track.j + track.f)),
            )
            by.setdefault(score.setting, []).append(made)
    found = []
    for setting, rows in by.items():
        rows.sort(key=lambda each: (each.jf, each.video, each.id))
        found.append(Extremes(setting, tuple(rows[:EXTREMES]), tuple(reversed(rows[-EXTREMES:]))))
    return found


def provenance(one: BoardEntry) -> list[Fact]:
    """Digests, receipt, command, code and machine."""
    entry = one.entry
    facts = [
        Fact("Masks", entry.predictions_digest, code=True),
        Fact("Zip", entry.zip_sha256, code=True),
        Fact("Data", f"{entry.dataset.name} {entry.dataset.split} {entry.dataset.digest}", code=True),
        *(
            Fact(name, f"version {rules.version}, {rules.digest}", code=True)
            for name, rules in entry.protocols.items()
        ),
        Fact("Came from", _source(one)),
        Fact("Receipt", _receipt(one)),
    ]
    if one.result is not None:
        facts += _made_by(one.result.provenance)
    return facts


def _source(one: BoardEntry) -> str:
    source = one.entry.source
    parts = [source.kind, source.name, source.repository or "", source.revision or ""]
    pull_request = f"pull request {source.pull_request}" if source.pull_request is not None else ""
    return ", ".join(part for part in (*parts, pull_request) if part)


def _receipt(one: BoardEntry) -> str:
    if one.receipt is None:
        return "none: nothing was scored"
    signature = one.receipt.signature
    if signature is None:
        return one.receipt.note
    return f"signed with {signature.algorithm} by the key {signature.public_key}"


def _made_by(facts: Mapping[str, Any]) -> Iterator[Fact]:
    """The facts of the scoring process, in the order they were stored in."""
    for name, value in facts.items():
        yield Fact(f"Scoring: {name.replace('_', ' ')}", _told(value), code=name == "command")


def _told(value: Any) -> str:
    """A stored fact in words: what belongs together is joined by commas."""
    if isinstance(value, Mapping):
        named = ((FACTS.get(name, str(name).replace("_", " ")), one) for name, one in value.items())
        return ", ".join(f"{name} {_told(one)}" for name, one in named) or "none"
    if isinstance(value, (list, tuple)):
        return ", ".join(map(_told, value)) or "none"
    if value is None:
        return "none"
    return {True: "yes", False: "no"}[value] if isinstance(value, bool) else str(value)


def entry_downloads(row: Row) -> tuple[Download, ...]:
    """The files of an entry, guarded where a spreadsheet would open them."""
    one, stem = row.one, row.files
    found = [download(f"{stem}-{ENTRY}", "entry", json_bytes(to_json(one.entry)))]
    if one.receipt is not None:
        found.append(download(f"{stem}-{RECEIPT}", "receipt", json_bytes(to_json(one.receipt))))
    if one.result is not None:
        found.append(download(f"{stem}-{RESULT}", "result", json_bytes(to_json(one.result))))
        found.append(download(f"{stem}-{EXPRESSIONS}", "expressions", _expressions(one)))
    return tuple(found)


def _expressions(one: BoardEntry) -> bytes:
    head = ("setting", "video", "expression id", "expression", "status", "J", "F")
    rows: Sequence[Sequence[object]] = [
        (
            *(row.score.setting, row.score.video_id, row.score.expression_id, row.score.expression),
            *(row.score.status, row.score.track.j, row.score.track.f),
        )
        for row in one.rows
    ]
    return csv_bytes(head, rows)
