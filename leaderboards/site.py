"""The whole site as files in memory: from entries and reported tables to pages."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmark.errors import ProblemCollector, RefereeError, ResultError
from benchmark.json_records import to_json
from leaderboards import entry_view
from leaderboards.board_entries import REPORTED, BoardEntry, read_board_entries
from leaderboards.boards import Board, Row, history, lone_row, make_boards
from leaderboards.charts import charts_of
from leaderboards.clips import Clip, clips_of, shown_entries
from leaderboards.compare_view import comparison_of
from leaderboards.dataset_names import FIRST, dataset_name
from leaderboards.downloads import Download, board_downloads, table_downloads
from leaderboards.protocol_words import protocol_sections
from leaderboards.rendering import Pages, raw
from leaderboards.reported import Paper, ReportedTable, read_reported
from leaderboards.reported_models import Models, read_models
from leaderboards.reported_view import (
    ABSENCES,
    ShownTable,
    model_page,
    reported_facts,
    short_title,
    shown_table,
)
from leaderboards.safe_text import file_name

MODELS = "models.json"


@dataclass(frozen=True, slots=True)
class DatasetPage:
    """Everything that is known about one dataset."""

    slug: str
    title: str
    about: str | None
    boards: tuple[Board, ...]
    tables: tuple[ShownTable, ...]

    @property
    def computed(self) -> int:
        """Rows that this project computed."""
        return sum(len(board.rows) for board in self.boards)

    @property
    def reported(self) -> int:
        """Rows of papers."""
        return sum(len(shown.rows) for shown in self.tables)

    @property
    def settings(self) -> list[str]:
        """What is measured, by the headings of its columns."""
        named = [protocol.name for board in self.boards for protocol in board.protocols]
        named += [
            column.protocol or column.metric
            for shown in self.tables
            for column in shown.table.columns
            if column.dataset == self.slug or file_name(column.dataset) == self.slug
        ]
        return list(dict.fromkeys(named))


@dataclass(frozen=True, slots=True)
class Material:
    """What a site is made from, read and checked."""

    entries: tuple[BoardEntry, ...]
    tables: tuple[ReportedTable, ...]
    models: Models | None

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
        return total.hexdigest()


def read_material(root: Path) -> Material:
    """The entries and reported tables below a folder.

    Raises:
        ResultError: with everything that is wrong with any of them.
    """
    problems = ProblemCollector()
    entries = read_board_entries(root, problems)
    tables: tuple[ReportedTable, ...] = ()
    models: Models | None = None
    if (root / REPORTED).is_dir():
        try:
            tables = read_reported(root / REPORTED)
            models = read_models(root / MODELS, tables) if (root / MODELS).is_file() else None
        except RefereeError as error:
            problems.problems.extend(error.problems)
    if not entries and not tables and not problems.problems:
        problems.add("nothing to show", where=str(root), expected="entries, or tables in reported/")
    problems.raise_if_any(ResultError, f"entries of {root}")
    return Material(entries, tables, models)


def site_files(material: Material) -> dict[str, bytes]:
    """Every file of the site by its name; the same material gives the same bytes."""
    pages = Pages(material.digest)
    boards = make_boards(material.entries)
    files: dict[str, bytes] = {}
    of_boards = {board.slug: _kept(board_downloads(board), files) for board in boards}
    of_tables = {table.id: _kept(table_downloads(table), files) for table in material.tables}
    clips = {board.slug: tuple(clips_of(board)) for board in boards}
    datasets = _dataset_pages(boards, material.tables, of_tables)
    for page in datasets:
        path = f"boards/{page.slug}.html"
        charts = {board.slug: charts_of(board) for board in page.boards}
        files[path] = pages.render(
            "dataset.html", path, page=page, board_files=of_boards, board_charts=charts, clips=clips
        )
    files.update(_compare_pages(pages, boards))
    for board in boards:
        files.update(player_pages(pages, board, clips[board.slug]))
    files.update(_entry_pages(pages, material, boards, files, clips))
    files.update(_reported_pages(pages, material, of_tables))
    files.update(_plain_pages(pages, material, boards, datasets))
    return files


def _kept(downloads: Sequence[Download], files: dict[str, bytes]) -> tuple[Download, ...]:
    files.update((one.path, one.content) for one in downloads)
    return tuple(downloads)


def _dataset_pages(
    boards: Sequence[Board],
    tables: Sequence[ReportedTable],
    of_tables: Mapping[str, tuple[Download, ...]],
) -> list[DatasetPage]:
    named = dict.fromkeys([board.dataset for board in boards])
    named.update(dict.fromkeys(column.dataset for table in tables for column in table.columns))
    pages = []
    for dataset in sorted(named, key=_reading_order):
        shown = [
            shown_table(table, of_tables[table.id], dataset)
            for table in tables
            if any(column.dataset == dataset for column in table.columns)
        ]
        about = dataset_name(dataset)
        own = tuple(board for board in boards if board.dataset == dataset)
        pages.append(DatasetPage(file_name(dataset), about.title, about.about, own, tuple(shown)))
    return pages


def _reading_order(dataset: str) -> tuple[int, str]:
    first = FIRST.index(dataset) if dataset in FIRST else len(FIRST)
    return first, dataset_name(dataset).title.lower()


def _compare_pages(pages: Pages, boards: Sequence[Board]) -> Iterator[tuple[str, bytes]]:
    for board in boards:
        comparison = comparison_of(board)
        if comparison is not None:
            path = f"compare/{board.slug}.html"
            facts: dict[str, Any] = {"title": dataset_name(board.dataset).title, "split": board.split}
            slug = file_name(board.dataset)
            yield path, pages.render("compare.html", path, comparison=comparison, dataset_slug=slug, **facts)


def player_pages(pages: Pages, board: Board, clips: Sequence[Clip]) -> Iterator[tuple[str, bytes]]:
    """The pages of the mask player and their pictures; nothing where there are no clips."""
    if not clips:
        return
    folder = f"player/{board.slug}"
    names: dict[str, Any] = {
        "dataset_title": dataset_name(board.dataset).title,
        "dataset_slug": file_name(board.dataset),
    }
    path = f"{folder}/index.html"
    yield path, pages.render("player_index.html", path, board=board, clips=clips, **names)
    for clip, newer in zip(clips, [*[one.page for one in clips[1:]], None], strict=True):
        path = f"{folder}/{clip.page}.html"
        yield clip.strip.path, clip.strip.content
        values: dict[str, Any] = {"board": board, "clip": clip, "newer": newer, **names}
        yield path, pages.render("player.html", path, data=raw(clip.data), player=True, **values)


def _entry_pages(
    pages: Pages,
    material: Material,
    boards: Sequence[Board],
    files: dict[str, bytes],
    clips: Mapping[str, Sequence[Clip]],
) -> Iterator[tuple[str, bytes]]:
    rows = {(row.one.folder, row.one.entry.id): row for board in boards for row in board.rows}
    watched = {
        entry: {clip.video: f"player/{board.slug}/{clip.page}.html" for clip in clips[board.slug]}
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
        yield path, pages.render("reported_page.html", path, shown=shown_table(table, of_tables[table.id]))
    figures: dict[str, list[dict[str, str | None]]] = {}
    names: dict[str, str] = {}
    for table in tables:
        for row in table.rows:
            names.setdefault(row.model, row.name)
            figures.setdefault(row.model, []).extend(_figures(table, row.id))
    for model in sorted(figures):
        path = model_page(model)
        facts = reported_facts(material.models, model)
        values: dict[str, Any] = {"name": names[model], "figures": figures[model], "facts": facts}
        yield path, pages.render("reported_model.html", path, **values)


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
    yield "index.html", pages.render("index.html", "index.html", datasets=datasets, tables=material.tables)
    sections = protocol_sections()
    yield "protocols.html", pages.render("protocols.html", "protocols.html", protocols=sections)
    yield "how-to-read.html", pages.render("how_to_read.html", "how-to-read.html")
    yield "submit.html", pages.render("submit.html", "submit.html")
    shown = [papers[name] for name in sorted(papers)]
    yield "about.html", pages.render("about.html", "about.html", counts=counts, papers=shown)
