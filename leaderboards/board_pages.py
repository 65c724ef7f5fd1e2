"""Every page that a board has: its table, the pages of its further rows, charts, comparisons, the player."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from leaderboards.boards import Board, Row
from leaderboards.charts import Charts, charts_of
from leaderboards.clips import Clip
from leaderboards.compare_view import Comparison, comparison_of
from leaderboards.dataset_names import FIRST, dataset_name
from leaderboards.downloads import Download
from leaderboards.many_rows import BoardRows, board_rows
from leaderboards.rendering import TABLES, Pages, raw
from leaderboards.reported import ReportedTable
from leaderboards.reported_charts import reported_charts
from leaderboards.reported_models import Models
from leaderboards.reported_view import ShownTable, shown_table
from leaderboards.safe_text import file_name


@dataclass(frozen=True, slots=True)
class View:
    """One way to look at a board."""

    name: str
    path: str


@dataclass(frozen=True, slots=True)
class BoardViews:
    """Everything of one board that pages show beside its table; what there is nothing of is left out."""

    board: Board
    charts: Charts
    comparison: Comparison | None
    clips: tuple[Clip, ...]

    @property
    def about(self) -> dict[str, Any]:
        """What every page of the board is told."""
        title = dataset_name(self.board.dataset).title
        return {
            "board": self.board,
            "title": title,
            "split": self.board.split,
            "dataset_slug": file_name(self.board.dataset),
            "views": self.paths,
        }

    @property
    def paths(self) -> tuple[View, ...]:
        """The pages of this board; none where the table is all there is."""
        slug = self.board.slug
        found = [
            View("Charts", f"charts/{slug}.html") if self.charts.any else None,
            View("Compare", f"compare/{slug}.html") if self.comparison else None,
            View("Masks", f"player/{slug}/index.html") if self.clips else None,
        ]
        there = tuple(one for one in found if one is not None)
        return (View("Table", f"boards/{file_name(self.board.dataset)}.html"), *there) if there else ()


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
    def leading(self) -> Row | None:
        """The first row of the first board that is a model; `None` without one."""
        rows = (row for board in self.boards for row in board.rows)
        return next((row for row in rows if row.sanity is None), None)

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


def board_views(board: Board, clips: tuple[Clip, ...]) -> BoardViews:
    """What can be shown of a board."""
    return BoardViews(board, charts_of(board), comparison_of(board), clips)


def dataset_pages(
    boards: Sequence[Board],
    tables: Sequence[ReportedTable],
    of_tables: Mapping[str, tuple[Download, ...]],
) -> list[DatasetPage]:
    """The datasets that have a board or a table, ours first."""
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


def table_pages(
    pages: Pages,
    datasets: Sequence[DatasetPage],
    views: Mapping[str, BoardViews],
    of_boards: Mapping[str, tuple[Download, ...]],
    models: Models | None,
) -> Iterator[tuple[str, bytes]]:
    """The page of every dataset, and the further rows of its boards with their scripts."""
    for page in datasets:
        path = f"boards/{page.slug}.html"
        rows = {board.slug: _rows(pages, board, path, len(page.boards)) for board in page.boards}
        charts = {shown.table.id: reported_charts(shown, models) for shown in page.tables}
        yield (
            path,
            pages.render(
                "dataset.html",
                path,
                scripts=TABLES,
                loads_data=any(one.script for one in rows.values()),
                page=page,
                board_files=of_boards,
                board_rows=rows,
                views={slug: one.paths for slug, one in views.items()},
                table_charts=charts,
            ),
        )
        for board in page.boards:
            yield from _further_rows(pages, views[board.slug], rows[board.slug])


def _rows(pages: Pages, board: Board, path: str, boards_on_page: int) -> BoardRows:
    texts = pages.parts("board_row.html", "board_row", ((row, board.protocols, "../") for row in board.rows))
    return board_rows(board.slug, path, texts, boards_on_page)


def _further_rows(pages: Pages, views: BoardViews, rows: BoardRows) -> Iterator[tuple[str, bytes]]:
    for one in rows.pages[1:]:
        yield one.path, pages.render("board_rows.html", one.path, shown=one, rows=rows, **views.about)
    if rows.script is not None:
        yield rows.script.path, rows.script.content


def view_pages(pages: Pages, views: BoardViews) -> Iterator[tuple[str, bytes]]:
    """Charts, comparisons and player of a board, as far as there is something to show."""
    slug = views.board.slug
    if views.charts.any:
        path = f"charts/{slug}.html"
        yield path, pages.render("board_charts.html", path, charts=views.charts, **views.about)
    if views.comparison is not None:
        path = f"compare/{slug}.html"
        scripts = ("comparison.js",)
        yield (
            path,
            pages.render("compare.html", path, scripts=scripts, comparison=views.comparison, **views.about),
        )
    yield from player_pages(pages, views)


def player_pages(pages: Pages, views: BoardViews) -> Iterator[tuple[str, bytes]]:
    """The pages of the mask player and their pictures; nothing where there are no clips."""
    clips = views.clips
    if not clips:
        return
    folder = f"player/{views.board.slug}"
    path = f"{folder}/index.html"
    yield path, pages.render("player_index.html", path, scripts=TABLES, clips=clips, **views.about)
    for clip, newer in zip(clips, [*[one.page for one in clips[1:]], None], strict=True):
        path = f"{folder}/{clip.page}.html"
        if clip.strip is not None:
            yield clip.strip.path, clip.strip.content
        yield from ((one.path, one.content) for one in clip.answers)
        values: dict[str, Any] = {"clip": clip, "newer": newer, "data": raw(clip.data), **views.about}
        yield path, pages.render("player.html", path, scripts=("player.js",), loads_data=True, **values)
