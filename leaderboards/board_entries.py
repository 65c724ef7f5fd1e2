"""Entries as `submissions.receive` wrote them, read with every check: nothing edited, missing or twice there.

    ENTRIES/DATASET-SPLIT/ID/{entry.json, receipt.json, result.json, expressions.csv}
                             {masks.jsonl.gz, frame_scores.npz} where the masks may be shown
    ENTRIES/DATASET-SPLIT/outlines.jsonl.gz     true masks of data that is not built in (`clip_truth`)

Every problem of every entry is collected; nobody repairs a board one build at a time.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from benchmark.errors import ProblemCollector, RefereeError
from benchmark.json_records import to_json
from benchmark.result_files import read_expressions, read_result
from benchmark.results import ExpressionRow, Result
from benchmark.stored_files import TEMPORARY_PREFIX
from leaderboards.clip_truth import OUTLINES
from leaderboards.entry_rules import entry_problems
from leaderboards.safe_text import file_name
from leaderboards.shown_masks import FRAMES, ShownMasks, read_shown_masks
from submissions.entries import ENTRY, RECEIPT, Entry, entry_id, read_entry
from submissions.model_card import card_digest
from submissions.published_masks import MASKS
from submissions.receipt import Receipt, Statement, read_receipt, signature_fits

RESULT = "result.json"
EXPRESSIONS = "expressions.csv"
REPORTED = "reported"
FILES = (ENTRY, RECEIPT, RESULT, EXPRESSIONS, MASKS, FRAMES)
MEND = "take back the edit (git checkout); a correction is a new entry that --supersedes this one"


@dataclass(frozen=True, slots=True)
class BoardEntry:
    """One computed row with everything it rests on.

    Attributes:
        folder: name of the folder of its dataset and split.
        result: `None` where the truth is hidden, or nothing was scored; `rows` are empty then.
        superseded_by: the entry that took its place.
        shown: its masks, where they may be shown.
    """

    folder: str
    entry: Entry
    receipt: Receipt | None
    result: Result | None
    rows: tuple[ExpressionRow, ...]
    superseded_by: str | None = None
    shown: ShownMasks | None = None


def read_board_entries(root: Path, problems: ProblemCollector) -> tuple[BoardEntry, ...]:
    """Every entry below a folder, by dataset and id; what is wrong goes to `problems`."""
    if not root.is_dir():
        problems.add("the folder of entries is missing", where=str(root), fix="name it with --entries")
        return ()
    found = [
        one
        for folder in sorted(root.iterdir())
        if folder.is_dir() and folder.name != REPORTED
        for one in _read_folder(folder, problems)
    ]
    _check_twins(found, root, problems)
    return tuple(_with_successors(found, root, problems))


def _read_folder(folder: Path, problems: ProblemCollector) -> Iterator[BoardEntry]:
    for place in sorted(folder.iterdir()):
        if place.name.startswith(TEMPORARY_PREFIX) or place.name == OUTLINES:
            continue
        if not (place / ENTRY).is_file():
            problems.add("not an entry", where=str(place), expected=f"a folder with {ENTRY}")
            continue
        try:
            yield _read(place, problems)
        except RefereeError as error:
            problems.problems.extend(error.problems)


def _read(place: Path, problems: ProblemCollector) -> BoardEntry:
    entry = read_entry(place / ENTRY)
    where = str(place / ENTRY)
    problems.problems.extend(entry_problems(entry, where))
    for path in sorted(place.iterdir()):
        if path.name not in FILES and not path.name.startswith(TEMPORARY_PREFIX):
            problems.add("a file that no entry has", where=str(path), expected=", ".join(FILES))
    own_folder = f"{file_name(entry.dataset.name)}-{file_name(entry.dataset.split)}"
    if place.parent.name != own_folder:
        problems.add("an entry in the folder of another dataset", where=where, expected=own_folder)
    supersedes = entry.supersedes.entry if entry.supersedes else None
    name = entry_id(
        *(entry.model, entry.dataset, entry.protocols, entry.predictions_digest, entry.status),
        supersedes,
    )
    if name != entry.id:
        problems.add("the facts of an entry were edited", where=where, expected=f"id {name}", fix=MEND)
    receipt = _receipt(place, entry, problems)
    result, rows = _result(place, entry, problems)
    shown = read_shown_masks(place, entry, result)
    return BoardEntry(place.parent.name, entry, receipt, result, rows, shown=shown)


def _receipt(place: Path, entry: Entry, problems: ProblemCollector) -> Receipt | None:
    path = place / RECEIPT
    if entry.scores is None:
        if path.is_file():
            problems.add("a receipt beside an entry without scores", where=str(path), fix=MEND)
        return None
    if not path.is_file():
        problems.add("the receipt of a scored entry is missing", where=str(path))
        return None
    receipt = read_receipt(path)
    for field, stated, own in _receipt_facts(receipt.statement, entry):
        if stated != own:
            problems.add(
                "the receipt says otherwise than the entry",
                where=f"{path}: statement/{field}",
                expected=_brief(own),
                found=_brief(stated),
                fix=MEND,
            )
    if receipt.signature is not None and not signature_fits(receipt):
        problems.add("the signature does not fit the receipt", where=f"{path}: signature", fix=MEND)
    return receipt


def _receipt_facts(stated: Statement, entry: Entry) -> Iterator[tuple[str, object, object]]:
    yield "model/name", stated.model.name, entry.model.name
    yield "model/version", stated.model.version, entry.model.version
    yield "model/card", stated.model.card, card_digest(entry.model)
    yield "predictions/digest", stated.predictions.digest, entry.predictions_digest
    yield "predictions/zip_sha256", stated.predictions.zip_sha256, entry.zip_sha256
    yield "dataset", stated.dataset, entry.dataset
    yield "protocols", dict(stated.protocols), dict(entry.protocols)
    yield "rounded", stated.rounded, entry.rounded
    scores = entry.scores or {}
    for name in sorted(stated.scores.keys() | scores.keys()):
        one, other = stated.scores.get(name), scores.get(name)
        if one is None or other is None:
            yield f"scores/{name}", one and one.jf, other and other.jf
            continue
        values = zip(to_json(one).items(), to_json(other).values(), strict=True)
        yield from ((f"scores/{name}/{key}", value, own) for (key, value), own in values)


def _result(
    place: Path, entry: Entry, problems: ProblemCollector
) -> tuple[Result | None, tuple[ExpressionRow, ...]]:
    if entry.scores is None or entry.rounded:
        for name in (RESULT, EXPRESSIONS):
            if (place / name).is_file():
                problems.add("a file that an entry of this kind does not have", where=str(place / name))
        return None, ()
    missing = [name for name in (RESULT, EXPRESSIONS) if not (place / name).is_file()]
    for name in missing:
        problems.add("a file of the entry is missing", where=str(place / name), fix="git checkout the file")
    if missing:
        return None, ()
    result = read_result(place / RESULT)
    for field, stated, own in _result_facts(result, entry):
        if stated != own:
            problems.add(
                "the result says otherwise than the entry",
                where=f"{place / RESULT}: {field}",
                expected=_brief(own),
                found=_brief(stated),
                fix=MEND,
            )
    return result, read_expressions(place / RESULT, result)


def _result_facts(result: Result, entry: Entry) -> Iterator[tuple[str, object, object]]:
    yield "partial", result.partial, None
    yield "dataset/digest", result.dataset.digest, entry.dataset.digest
    for name, scores in sorted((entry.scores or {}).items()):
        setting = result.settings.get(name)
        if setting is None:
            yield f"settings/{name}", None, "scores of this setting"
            continue
        for key, stated, own in (
            ("J", setting.j, scores.j),
            ("F", setting.f, scores.f),
            ("J&F", setting.jf, scores.jf),
        ):
            yield f"settings/{name}/{key}", stated, own
        rules, known = result.protocols.get(name), entry.protocols.get(name)
        yield f"protocols/{name}", rules and rules.digest, known and known.digest


def _brief(value: object) -> str:
    text = str(value)
    return text if len(text) <= 120 else f"{text[:119]}…"


def _check_twins(entries: Sequence[BoardEntry], root: Path, problems: ProblemCollector) -> None:
    """Report entries that say the same twice without one taking the other's place."""
    replaced = {one.entry.supersedes.entry for one in entries if one.entry.supersedes}
    seen: dict[tuple[str, ...], str] = {}
    for one in entries:
        if one.entry.id in replaced:
            continue
        about = one.entry
        rules = [f"{name} {rule.digest}" for name, rule in sorted(about.protocols.items())]
        key = (
            *(about.model.name, about.model.version, about.dataset.digest, about.predictions_digest),
            *rules,
        )
        first = seen.setdefault(key, about.id)
        if first != about.id:
            problems.add(
                "the same predictions of the same model twice",
                where=str(root / one.folder / about.id / ENTRY),
                found=f"also in {first}",
                fix="receive the better one again with --supersedes",
            )


def _with_successors(
    entries: Sequence[BoardEntry], root: Path, problems: ProblemCollector
) -> Iterator[BoardEntry]:
    ids = {(one.folder, one.entry.id) for one in entries}
    successors: dict[tuple[str, str], str] = {}
    for one in entries:
        replaced = one.entry.supersedes
        if replaced is None:
            continue
        where = f"{root / one.folder / one.entry.id / ENTRY}: supersedes/entry"
        if (one.folder, replaced.entry) not in ids:
            problems.add("it supersedes an entry that is not there", where=where, found=replaced.entry)
        if (one.folder, replaced.entry) in successors:
            problems.add("two entries supersede the same one", where=where, found=replaced.entry)
        successors[one.folder, replaced.entry] = one.entry.id
    for one in entries:
        yield replace(one, superseded_by=successors.get((one.folder, one.entry.id)))
