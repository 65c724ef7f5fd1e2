"""The whole site as files in memory: from entries and reported tables to pages."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmark.errors import ProblemCollector, RefereeError, ResultError
from benchmark.json_records import to_json
from leaderboards import entry_view
from leaderboards.board_entries import REPORTED, BoardEntry, read_board_entries
from leaderboards.board_pages import (
    BoardViews,
    DatasetPage,
    board_views,
    dataset_pages,
    table_pages,
    view_pages,
)
from leaderboards.boards import Board, Row, history, lone_row, make_boards
from leaderboards.clip_truth import StoredTruth, read_truths
from leaderboards.clips import clips_of, shown_entries
from leaderboards.dataset_names import dataset_name
from leaderboards.downloads import Download, board_downloads, table_downloads
from leaderboards.protocol_words import protocol_sections
from leaderboards.rendering import TABLES, Pages
from leaderboards.reported import Paper, ReportedTable, read_reported
from leaderboards.reported_models import Models, read_models
from leaderboards.reported_view import ABSENCES, model_page, reported_facts, short_title, shown_table
from leaderboards.safe_text import file_name

MODELS = "models.json"


@dataclass(frozen=True, slots=True)
class Material:
    """What a site is made from, read and checked."""

    entries: tuple[BoardEntry, ...]
    tables: tuple[ReportedTable, ...]
    models: Models | None
    truths: Mapping[str, StoredTruth]

    @property
    def digest(self) -> str:
        """SHA-256 over all of it."""
        total = hashlib.sha256()
        for one in self.entries:
            total.update(json.dumps(to_json(one.entry), sort_keys=True).encode())
            total.update((one.result.scores_digest if one.result else "").encode())
        for table in self.tables:
            total.update(json.dumps(to_json(table), sort_keys=True).encode())
        if self.models is not None:
            total.update(json.dumps(to_json(self.models), sort_keys=True).encode())
        for folder, truth in self.truths.items():
            total.update(json.dumps([folder, to_json(truth)], sort_keys=True).encode())
        return total.hexdigest()


def read_material(root: Path) -> Material:
    """The entries and reported tables below a folder.

    Raises:
        ResultError: with everything that is wrong with any of them.
    """
    problems = ProblemCollector()
    entries = read_board_entries(root, problems)
    truths = read_truths(root, problems)
    tables: tuple[ReportedTable, ...] = ()
    models: Models | None = None
    if (root / REPORTED).is_dir():
        try:
            tables = read_reported(root / REPORTED)
            models = read_models(root / MODELS, tables)
        except RefereeError as error:
            problems.problems.extend(error.problems)
    if not entries and not tables and not problems.problems:
        problems.add("nothing to show", where=str(root), expected="entries, or tables in reported/")
    problems.raise_if_any(ResultError, f"entries of {root}")
    return Material(entries, tables, models, truths)


def site_files(material: Material) -> dict[str, bytes]:
    """Every file of the site by its name; the same material gives the same bytes."""
    pages = Pages(material.digest)
    boards = make_boards(material.entries)
    files: dict[str, bytes] = {}
    of_boards = {board.slug: _kept(board_downloads(board), files) for board in boards}
    of_tables = {table.id: _kept(table_downloads(table), files) for table in material.tables}
    views = {board.slug: board_views(board, tuple(clips_of(board, material.truths))) for board in boards}
    datasets = dataset_pages(boards, material.tables, of_tables)
    files.update(table_pages(pages, datasets, views, of_boards, material.models))
    for one in views.values():
        files.update(view_pages(pages, one))
    files.update(_entry_pages(pages, material, boards, files, views))
    files.update(_reported_pages(pages, material, of_tables))
    files.update(_plain_pages(pages, material, boards, datasets))
    return files


def _kept(downloads: Sequence[Download], files: dict[str, bytes]) -> tuple[Download, ...]:
    files.update((one.path, one.content) for one in downloads)
    return tuple(downloads)


def _entry_pages(
    pages: Pages,
    material: Material,
    boards: Sequence[Board],
    files: dict[str, bytes],
    views: Mapping[str, BoardViews],
) -> Iterator[tuple[str, bytes]]:
    rows = {(row.one.folder, row.one.entry.id): row for board in boards for row in board.rows}
    watched = {
        entry: {clip.video: f"player/{board.slug}/{clip.page}.html" for clip in views[board.slug].clips}
        for board in boards
        for entry in shown_entries(board)
    }
    for one in material.entries:
        row = rows.get((one.folder, one.entry.id)) or lone_row(one)
        path = f"models/{row.files}.html"
        dataset = one.entry.dataset.name
        yield (
            path,
            pages.render(
                "entry.html",
                path,
                row=row,
                dataset_slug=file_name(dataset),
                dataset_title=dataset_name(dataset).title,
                successor=f"{one.folder}--{one.superseded_by}",
                files=_kept(entry_view.entry_downloads(row), files),
                facts=entry_view.model_facts(one),
                breakdowns=entry_view.breakdowns(one.result),
                errors=entry_view.role_errors(one.result),
                extremes=entry_view.extremes(one),
                provenance=entry_view.provenance(one),
                watch=watched.get(one.entry.id, {}),
                shares=one.entry.shares,
                older=list(_older(material.entries, row)),
            ),
        )


def _older(entries: Sequence[BoardEntry], row: Row) -> Iterator[dict[str, str]]:
    newer = row.one
    for older in history(entries, row.one):
        replaced = newer.entry.supersedes
        if replaced is not None:
            yield {
                "id": older.entry.id,
                "files": f"{older.folder}--{older.entry.id}",
                "date": replaced.date,
                "author": replaced.author,
                "reason": replaced.reason,
            }
        newer = older


def _reported_pages(
    pages: Pages, material: Material, of_tables: Mapping[str, tuple[Download, ...]]
) -> Iterator[tuple[str, bytes]]:
    tables = material.tables
    for table in tables:
        path = f"reported/{table.id}.html"
        values: dict[str, Any] = {"shown": shown_table(table, of_tables[table.id])}
        yield path, pages.render("reported_page.html", path, scripts=TABLES, **values)
    figures: dict[str, list[dict[str, str | None]]] = {}
    names: dict[str, str] = {}
    for table in tables:
        for row in table.rows:
            names.setdefault(row.model, row.name)
            figures.setdefault(row.model, []).extend(_figures(table, row.id))
    for model in sorted(figures):
        path = model_page(model)
        facts = reported_facts(material.models, model)
        values = {"name": names[model], "figures": figures[model], "facts": facts}
        yield path, pages.render("reported_model.html", path, scripts=TABLES, **values)


def _figures(table: ReportedTable, row_id: str) -> Iterator[dict[str, str | None]]:
    row = next(one for one in table.rows if one.id == row_id)
    settings = [f"{word.label} {row.words[word.id]}" for word in table.word_columns if row.words.get(word.id)]
    for column in table.columns:
        cell = table.cell(row, column)
        split = f" {column.split}" if column.split else ""
        yield {
            "dataset": f"{dataset_name(column.dataset).title}{split}",
            "dataset_slug": file_name(column.dataset),
            "column": column.label,
            "value": cell.value,
            "word": None if cell.absent is None else ABSENCES[cell.absent.kind],
            "why": None if cell.absent is None else cell.absent.reason,
            "printed_as": "; ".join([row.name, *settings]),
            "table": table.id,
            "source": f"{short_title(table.paper)}, {table.table}",
        }


def _printed_order(table: ReportedTable) -> list[tuple[bool, int, str]]:
    """Table 9 before Table 10, and both before Table A1."""
    parts = re.findall(r"\d+|\D+", table.table)
    return [(not part.isdigit(), int(part) if part.isdigit() else 0, part) for part in parts]


def _plain_pages(
    pages: Pages, material: Material, boards: Sequence[Board], datasets: Sequence[DatasetPage]
) -> Iterator[tuple[str, bytes]]:
    papers: dict[str, Paper] = {table.paper.id: table.paper for table in material.tables}
    counts = {
        "computed": sum(len(board.rows) for board in boards),
        "boards": len(boards),
        "reported": sum(len(table.rows) for table in material.tables),
        "tables": len(material.tables),
        "papers": len(papers),
    }
    printed = [
        (paper, sorted((one for one in material.tables if one.paper.id == name), key=_printed_order))
        for name, paper in sorted(papers.items())
    ]
    yield "index.html", pages.render("index.html", "index.html", datasets=datasets, papers=printed)
    sections = protocol_sections()
    shared = [
        (rule.name, [one.rules[index].words for one in sections])
        for index, rule in enumerate(sections[0].rules)
    ]
    rules: dict[str, Any] = {"protocols": sections, "shared_rules": shared}
    yield "protocols.html", pages.render("protocols.html", "protocols.html", **rules)
    for one in sections:
        path = f"protocols/{one.setting}.html"
        yield path, pages.render("protocol.html", path, protocol=one)
    yield "how-to-read.html", pages.render("how_to_read.html", "how-to-read.html")
    yield "submit.html", pages.render("submit.html", "submit.html")
    shown = [papers[name] for name in sorted(papers)]
    yield "about.html", pages.render("about.html", "about.html", counts=counts, papers=shown)
