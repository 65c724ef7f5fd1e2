"""Charts of reported tables: printed scores against the parameters that papers and model cards state."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

from leaderboards.reported import Column, ReportedTable
from leaderboards.reported_models import Models
from leaderboards.reported_view import ShownTable
from leaderboards.scatter import PARAMETERS, Point, Scatter, scatter

FEWEST = 4  # models with known sizes, of two sizes at least
SCORES = ("J&F", "gIoU", "mIoU", "Mean IoU")  # what stands for a table, the first that it has
BILLION = 10**9


def reported_charts(shown: ShownTable, models: Models | None) -> tuple[Scatter, ...]:
    """Score against parameters, one chart per protocol that the columns of a table are about.

    Figures and sizes are those that were stated; a model whose size nobody stated is left out.
    """
    if models is None:
        return ()
    ids = {column.id for column in shown.columns}
    columns = [one for one in shown.table.columns if one.id in ids and one.higher_is_better]
    charts = []
    for column in _headlines(columns):
        points = _points(shown.table, column, models)
        if len(points) >= FEWEST and len({one.cost for one in points}) > 1:
            charts.append(scatter(f"{shown.table.id}-{column.id}", column.label, PARAMETERS, points))
    return tuple(charts)


def _headlines(columns: Sequence[Column]) -> list[Column]:
    metric = next((one for one in SCORES if any(column.metric == one for column in columns)), None)
    found: dict[tuple[str, str | None], Column] = {}
    for column in columns:
        if column.metric == metric and column.subset is None:
            found.setdefault((column.dataset, column.protocol), column)
    return list(found.values())


def _points(table: ReportedTable, column: Column, models: Models) -> list[Point]:
    known = models.by_id()
    printed = [row.name for row in table.rows]
    points = []
    for row in table.rows:
        model = known[row.model]
        number, size = table.cell(row, column).number, model.billions
        if number is not None and size is not None:
            name = row.name if printed.count(row.name) == 1 else model.name
            points.append(Point(name, float(size * Decimal(BILLION)), float(number), None))
    return points
