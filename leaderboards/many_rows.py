"""The rows of a board over several pages: the first ones with the board, the others on pages of their own.

A script holds the rows of all pages for sorting, searching and filtering; a page asks for it when somebody
touches it. In it a row is a *shape* (the text of its HTML between holes, shared by many rows) and the values
that fill the holes, so it says exactly what the pages say, in a fifth of their size.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from leaderboards.downloads import Download, download

FIRST_ROWS = 50  # rows of all boards of one page: it loads at once, also over a slow line
FEWEST = 10  # rows of one board, however many share its page
SHARED = 4  # a value that so many rows have is stored once

_HOLE = re.compile(r' (?:id|href|d|title|data-[a-z]+)="([^"]*)"|>([^<]+)')


@dataclass(frozen=True, slots=True)
class RowPage:
    """One page of rows: `first` and `last` count from 1."""

    path: str
    first: int
    last: int
    rows: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class BoardRows:
    """The rows of a board as HTML: what its own page shows, the pages that follow, and all as a script."""

    total: int
    shown: tuple[str, ...]
    pages: tuple[RowPage, ...]
    script: Download | None


def board_rows(slug: str, page: str, rows: Sequence[str], boards_on_page: int) -> BoardRows:
    """How the rows of a board are spread over pages.

    Args:
        page: path of the page that shows the board.
        rows: every row as HTML, in the order of the board.
        boards_on_page: how many boards share that page.
    """
    size = max(FEWEST, FIRST_ROWS // boards_on_page)
    if len(rows) <= size:
        return BoardRows(len(rows), tuple(rows), (), None)
    pages = []
    for start in range(0, len(rows), size):
        some = tuple(rows[start : start + size])
        path = page if start == 0 else f"boards/{slug}--rows-{start + 1}.html"
        pages.append(RowPage(path, start + 1, start + len(some), some))
    script = download(f"{slug}-rows.js", "rows", rows_script(slug, rows).encode())
    return BoardRows(len(rows), pages[0].rows, tuple(pages), script)


def rows_script(slug: str, rows: Sequence[str]) -> str:
    """All rows as the script that `assets/tables.js` asks for."""
    split = [_split(row) for row in rows]
    shapes = {shape: index for index, shape in enumerate(dict.fromkeys(shape for shape, _ in split))}
    counted = Counter(value for _, values in split for value in values)
    shared = {
        value: index for index, value in enumerate(one for one, times in counted.items() if times >= SHARED)
    }
    packed = [[shapes[shape], *(shared.get(value, value) for value in values)] for shape, values in split]
    parts = (slug, [list(shape) for shape in shapes], list(shared), packed)
    return f"boardRows({','.join(json.dumps(part, separators=(',', ':')) for part in parts)});\n"


def _split(row: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """What stands between the holes of a row, and what fills them."""
    pieces, values, last = [], [], 0
    for start, end in _holes(row):
        pieces.append(row[last:start])
        values.append(row[start:end])
        last = end
    return (*pieces, row[last:]), tuple(values)


def _holes(row: str) -> Iterator[tuple[int, int]]:
    for found in _HOLE.finditer(row):
        yield found.span(1 if found[1] is not None else 2)
