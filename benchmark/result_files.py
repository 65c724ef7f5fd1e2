"""Result files: written whole or not at all, never over another result; read back with every check.

    result.json        the `Result`; written last, so where it lies the others lie too
    expressions.csv    one row per expression and setting; an empty cell is an absent value
    frame_scores.npz   the six integers of every frame of every scored track (no pickles inside)

`result.json` holds the SHA-256 of the two others, so a row can be traced to what was scored. With
`--output name.json` the three are name.json, name.expressions.csv and name.frame_scores.npz.
"""

from __future__ import annotations

import csv
import dataclasses
import io
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmark.aggregate import ExpressionScore, TrackScore
from benchmark.errors import OutputError, ProblemCollector, ResultError
from benchmark.json_records import from_json, to_json
from benchmark.metrics.definition import COLUMNS
from benchmark.results import SCHEMA_VERSION, ExpressionRow, FrameCounts, Result, scores_digest
from benchmark.role_errors import RoleOutcome
from benchmark.stored_files import file_digest, make_folder, write_atomically, write_json, written_atomically

RESULT_NAME = "result.json"
EXPRESSIONS_NAME = "expressions.csv"
FRAMES_NAME = "frame_scores.npz"

CSV_COLUMNS = (
    *("setting", "video_id", "expression_id", "expression", "caption_type", "targets", "tags", "status"),
    *("frames", "absent_frames", "size", "J", "F", "present_J", "present_F", "absent_J", "absent_F"),
    *("interaction", "target_claimed", "target_shown", "swapped", "seconds"),
)


def write_result(result: Result, destination: Path, *, replace: bool = False) -> Path:
    """Write the three files and return the path of the JSON file.

    A result that lies there already is left as it is when it says the same (provenance aside), and
    replaced when it is a partial one.

    Args:
        destination: a folder, or a name ending in .json inside one.
        replace: also write over a whole result of other content.

    Raises:
        OutputError: when another result lies there, or the place cannot be written to.
    """
    path = result_path(destination)
    make_folder(path.parent)
    table_path, frames_path = _beside(path, EXPRESSIONS_NAME), _beside(path, FRAMES_NAME)
    files = {}
    table = expressions_csv(result.expressions)
    stored = to_json(result)
    keep = _same_result_is_there(path, stored, replace)
    write_atomically(table_path, table)
    files[table_path.name] = file_digest(table_path)
    if result.frame_counts is not None:
        _write_frames(result.frame_counts, frames_path)
        files[frames_path.name] = file_digest(frames_path)
    if not keep:
        write_json(path, {**stored, "files": files})
    return path


def result_path(destination: Path) -> Path:
    """The JSON file of a destination that is a folder or that file itself."""
    return destination if destination.suffix == ".json" else destination / RESULT_NAME


def read_result(source: Path) -> Result:
    """A result file (or the one in a folder), every field checked; rows and frames stay on disk.

    Raises:
        ResultError: when it is missing, damaged, of another schema version, or its scores were edited.
    """
    path = result_path(source)
    stored = _read_json(path)
    version = stored.get("schema_version")
    if version != SCHEMA_VERSION:
        raise ResultError(
            "result has another schema version",
            where=str(path),
            expected=str(SCHEMA_VERSION),
            found=repr(version),
            fix="score the stored predictions again with python -m benchmark.score",
        )
    problems = ProblemCollector()
    result = from_json(Result, stored, problems)
    problems.raise_if_any(ResultError, f"{path}: not a valid result")
    assert result is not None  # for the type checker: no problem means a record
    if scores_digest(stored) != result.scores_digest:
        raise ResultError(
            "scores do not match their digest: the file was edited",
            where=str(path),
            fix="score the stored predictions again with python -m benchmark.score",
        )
    return result


def read_expressions(source: Path, result: Result) -> tuple[ExpressionRow, ...]:
    """The rows of the expressions file beside a result.

    Raises:
        ResultError: when the file is missing, is not the one the result was written with, or is damaged.
    """
    path = _beside(result_path(source), EXPRESSIONS_NAME)
    if not path.is_file():
        raise ResultError(
            "the file of expressions is missing", where=str(path), fix="keep it beside result.json"
        )
    if file_digest(path) != result.files.get(path.name):
        raise ResultError(
            "the file of expressions is not the one this result was written with",
            where=str(path),
            expected=f"SHA-256 {result.files.get(path.name)}",
            fix="score the stored predictions again with python -m benchmark.score",
        )
    csv.field_size_limit(path.stat().st_size + 1)  # a sentence may be longer than the 128 KiB csv allows
    with open(path, encoding="utf-8", newline="") as file:
        reader = csv.DictReader(file)
        if tuple(reader.fieldnames or ()) != CSV_COLUMNS:
            raise ResultError("unexpected columns", where=str(path), expected=", ".join(CSV_COLUMNS))
        return tuple(_row_from_cells(cells) for cells in reader)


def expressions_csv(rows: Iterable[ExpressionRow]) -> bytes:
    """The text of the expressions file; floats in the shortest form that reads back the same."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(CSV_COLUMNS)
    for row in rows:
        writer.writerow([_cell(value) for value in _values(row)])
    return text.getvalue().encode()


def _values(row: ExpressionRow) -> tuple[Any, ...]:
    score, track, outcome = row.score, row.score.track, row.outcome
    tags = json.dumps(score.tags, ensure_ascii=False)
    return (
        *(score.setting, score.video_id, score.expression_id, score.expression, score.caption_type),
        *(score.target_count, tags, score.status, track.frames, track.absent_frames, track.size),
        *(track.j, track.f, track.present_j, track.present_f, track.absent_j, track.absent_f),
        *(outcome.interaction, outcome.target_claimed, outcome.target_shown, outcome.swapped, row.seconds),
    )


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    return repr(value) if isinstance(value, float) else str(value)


def _row_from_cells(cells: Mapping[str, str]) -> ExpressionRow:
    def absent_or(convert: Callable[[str], Any], name: str) -> Any:
        return convert(cells[name]) if cells[name] else None

    def flag(text: str) -> bool:
        return text == "true"

    track = TrackScore(
        j=float(cells["J"]),
        f=float(cells["F"]),
        frames=int(cells["frames"]),
        absent_frames=int(cells["absent_frames"]),
        present_j=absent_or(float, "present_J"),
        present_f=absent_or(float, "present_F"),
        absent_j=absent_or(float, "absent_J"),
        absent_f=absent_or(float, "absent_F"),
        size=absent_or(float, "size"),
    )
    score = ExpressionScore(
        setting=cells["setting"],
        video_id=cells["video_id"],
        expression_id=cells["expression_id"],
        expression=cells["expression"],
        caption_type=cells["caption_type"],
        target_count=int(cells["targets"]),
        tags=tuple(json.loads(cells["tags"])),
        status=cells["status"],
        track=track,
    )
    outcome = RoleOutcome(
        interaction=flag(cells["interaction"]),
        target_claimed=flag(cells["target_claimed"]),
        target_shown=flag(cells["target_shown"]),
        swapped=absent_or(flag, "swapped"),
    )
    return ExpressionRow(score, outcome, absent_or(float, "seconds"))


def _write_frames(frames: FrameCounts, path: Path) -> None:
    total = sum(track.frames for track in frames.tracks)
    shape = (total, len(COLUMNS))
    # Mapped, not read: the counts of a large split do not fit in memory.
    counts: Any = (
        np.memmap(frames.rows.file, np.dtype("<i4"), "r", shape=shape) if total else np.zeros(shape, "<i4")
    )
    columns = {
        "columns": np.array(COLUMNS),
        "counts": counts,
        "first": np.array([track.first for track in frames.tracks], np.int64),
        "frames": np.array([track.frames for track in frames.tracks], np.int64),
        "video_id": _texts(track.video_id for track in frames.tracks),
        "expression_id": _texts(track.expression_id for track in frames.tracks),
        "role": _texts(track.role.value for track in frames.tracks),
        "zero": np.array([track.zero for track in frames.tracks], np.bool_),
    }
    with written_atomically(path) as file:
        np.savez(file, allow_pickle=False, **columns)


def _texts(values: Iterable[str]) -> Any:
    listed: Sequence[str] = list(values)
    return np.array(listed) if listed else np.zeros(0, "<U1")


def _beside(path: Path, name: str) -> Path:
    return path.with_name(name if path.name == RESULT_NAME else f"{path.stem}.{name}")


def _same_result_is_there(path: Path, stored: Mapping[str, Any], replace: bool) -> bool:
    if not path.exists():
        return False
    try:
        existing = _read_json(path)
    except ResultError:
        existing = {}
    own = ("provenance", "files", "cost")
    # A result from before some facts of cost were kept says the same, and is written anew with them.
    cost: Any = existing.get("cost")
    known = {key: stored["cost"].get(key) for key in cost} if isinstance(cost, dict) else None
    if cost == known and {key: existing.get(key) for key in stored if key not in own} == {
        key: value for key, value in stored.items() if key not in own
    }:
        return bool(cost.keys() == stored["cost"].keys())
    if replace or existing.get("partial") is not None:
        return False
    raise OutputError(
        "another result lies here and is not overwritten",
        where=str(path),
        fix="choose another --output, or replace it with --force (evaluate: --restart)",
    )


def _read_json(path: Path) -> dict[str, Any]:
    try:
        stored = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError) as error:
        raise ResultError(
            "result is missing", where=str(path), fix="give a result.json or its folder"
        ) from error
    except (ValueError, OSError, RecursionError) as error:
        raise ResultError("result is not readable JSON", where=str(path), found=str(error)) from error
    if not isinstance(stored, dict):
        raise ResultError("result is not a JSON object", where=str(path), found=type(stored).__name__)
    return stored


def with_rows(result: Result, source: Path) -> Result:
    """A result read from `source` with the rows of its expressions."""
    return dataclasses.replace(result, expressions=read_expressions(source, result))
