"""Boards and reported tables as files: CSV, JSON and LaTeX, named by what they hold.

A name carries the first digits of the SHA-256 of the content, so a browser never shows an old file.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from benchmark.json_records import to_json
from leaderboards.boards import Board, Row
from leaderboards.reported import ReportedTable
from leaderboards.safe_text import csv_cell, latex_text

FOLDER = "data"


@dataclass(frozen=True, slots=True)
class Download:
    """A file to download: where it lies in the site, how a page calls it, and its bytes."""

    path: str
    label: str
    content: bytes


def download(name: str, label: str, content: bytes) -> Download:
    """A file whose name carries a digest of its content."""
    stem, _, ending = name.rpartition(".")
    digest = hashlib.sha256(content).hexdigest()[:10]
    return Download(f"{FOLDER}/{stem}-{digest}.{ending}", label, content)


def json_bytes(value: Any) -> bytes:
    """Indented JSON, keys in the given order; ASCII, so that hidden characters show as escapes."""
    return f"{json.dumps(value, indent=1, allow_nan=False)}\n".encode()


def csv_bytes(head: Sequence[str], rows: Sequence[Sequence[object]]) -> bytes:
    """A CSV file whose cells no spreadsheet takes for formulas."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([csv_cell(one) for one in head])
    writer.writerows([[csv_cell(one) for one in row] for row in rows])
    return text.getvalue().encode()


def board_downloads(board: Board) -> tuple[Download, ...]:
    """A whole board in three forms."""
    rows = [dict(_values(board, row)) for row in board.rows]
    head = list(rows[0])
    facts = {
        "dataset": board.dataset,
        "split": board.split,
        "digest": board.digest,
        "protocols": {one.name: {"version": one.version, "digest": one.digest} for one in board.protocols},
        "rows": rows,
    }
    return (
        download(f"{board.slug}.csv", "CSV", csv_bytes(head, [list(row.values()) for row in rows])),
        download(f"{board.slug}.json", "JSON", json_bytes(facts)),
        download(f"{board.slug}.tex", "LaTeX", _latex(board).encode()),
    )


def _values(board: Board, row: Row) -> Iterator[tuple[str, str | float | int | None]]:
    entry = row.one.entry
    yield "entry", entry.id
    yield "model", entry.model.name
    yield "version", entry.model.version
    yield "team", entry.model.team
    yield "status", entry.status.value
    yield "sanity_row", "yes" if row.sanity else "no"
    yield "track", entry.model.track.value
    yield "parameters", entry.model.parameters
    for protocol in board.protocols:
        score = row.scores[protocol.name]
        name = protocol.name
        yield f"{name} J", score.j
        yield f"{name} F", score.f
        yield f"{name} J&F", score.jf
        yield f"{name} J&F low", score.interval[0] if score.interval else None
        yield f"{name} J&F high", score.interval[1] if score.interval else None
        yield f"{name} tie group", score.place.group if score.place else None
        yield f"{name} expressions", score.expressions
        yield f"{name} failed", score.failed
        yield f"{name} absent because", score.why or None
    yield "actor minus target", row.gap.difference if row.gap else None
    yield "swapped percent", row.swaps.percent if row.swaps else None


def _latex(board: Board) -> str:
    heads = " & ".join(latex_text(protocol.name) for protocol in board.protocols)
    lines = [
        f"% {latex_text(board.dataset)} {latex_text(board.split)}, data {board.digest[:12]}",
        "% J&F in percent with its 95% interval",
        rf"\begin{{tabular}}{{l{'r' * len(board.protocols)}}}",
        rf"Model & {heads} \\ \hline",
    ]
    for row in board.rows:
        cells = [latex_text(f"{row.one.entry.model.name} {row.one.entry.model.version}")]
        for protocol in board.protocols:
            score = row.scores[protocol.name]
            if score.jf is None:
                cells.append(score.word)
            else:
                low_high = (
                    "" if score.interval is None else f" [{score.interval[0]:.2f}, {score.interval[1]:.2f}]"
                )
                cells.append(f"{score.jf:.2f}{low_high}")
        lines.append(rf"{' & '.join(cells)} \\")
    return "\n".join([*lines, r"\end{tabular}", ""])


def table_downloads(table: ReportedTable) -> tuple[Download, ...]:
    """A whole reported table as CSV and as the JSON it was typed in as."""
    head = ["model", *(one.label for one in table.word_columns), *(one.label for one in table.columns)]
    rows: list[list[object]] = []
    for row in table.rows:
        words: Mapping[str, str | None] = row.words
        figures = [table.cell(row, column).number for column in table.columns]
        rows.append(
            [
                *(row.name, *(words.get(one.id) for one in table.word_columns)),
                *(None if one is None else float(one) for one in figures),
            ]
        )
    source = f"{table.paper.title}, {table.table} (reported)"
    return (
        download(f"{table.id}.csv", "CSV", csv_bytes([*head, "source"], [[*row, source] for row in rows])),
        download(f"{table.id}.json", "JSON", json_bytes(to_json(table))),
    )
