"""Charts: only what can be compared, coordinates inside the drawing, sentences that say what was found."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from benchmark.rankings import Place
from benchmark.statistics import PairedDifference
from leaderboards.boards import Board, Row, make_boards
from leaderboards.charts import Charts, charts_of, difference_sentence, row_name
from leaderboards.compare_view import comparison_of
from leaderboards.reported import read_reported
from leaderboards.reported_charts import reported_charts
from leaderboards.reported_models import read_models
from leaderboards.reported_view import shown_table
from leaderboards.scatter import HEIGHT, MOST_NAMED, PARAMETERS, WIDTH, Point, scatter
from leaderboards.site import read_material
from submissions.model_card import Speed
from tests.leaderboards.conftest import REPORTED

JUDGED = PairedDifference(2.5, (1.0, 4.0), False, 1.5, 0.99, 100, 10)
REDRAWN, POINTS = "redrawn sets of videos", "points of J&F, 95% interval"
ONE_VIDEO = PairedDifference(1.0, None, None, None, None, 2, 1)
TIED = PairedDifference(0.5, (-1.0, 2.0), True, 1.5, 0.7, 100, 10)


@pytest.fixture(scope="module")
def board(received: Path) -> Board:
    (found,) = make_boards(read_material(received).entries)
    return found


def as_model(row: Row, parameters: int, fps: float, score: float) -> Row:
    """A row with other facts and scores."""
    model = dataclasses.replace(
        row.one.entry.model,
        name=f"Model {parameters}",
        parameters=parameters,
        speed=Speed("one GPU", fps, None),
    )
    entry = dataclasses.replace(row.one.entry, model=model)
    scores = {
        name: dataclasses.replace(one, jf=score, interval=(score - 3, score + 2), place=Place(1, 1, (1, 2)))
        for name, one in row.scores.items()
    }
    return dataclasses.replace(row, one=dataclasses.replace(row.one, entry=entry), sanity=None, scores=scores)


def with_models(board: Board, *facts: tuple[int, float, float]) -> Charts:
    base = next(row for row in board.rows if row.gap is not None)
    return charts_of(dataclasses.replace(board, rows=tuple(as_model(base, *one) for one in facts)))


def test_a_comparison_has_a_cell_per_model_and_every_pair(board: Board) -> None:
    comparison = comparison_of(board)
    assert comparison is not None
    assert [model.name for model in comparison.models] == [row_name(row) for row in board.rows]
    assert len(comparison.pairs) == sum(len(pairs) for pairs in board.pairs.values()) > 0
    for table in comparison.tables:
        assert all(len(line.cells) == len(comparison.models) for line in table.lines)
    lines = {line.name: line.cells for line in comparison.tables[0].lines}
    where = [model.name for model in comparison.models].index("Actors alone 1")
    assert lines["InterRVOS-Target J&F"][where] == ("n/a", "the model never predicts targets")


def test_one_row_is_compared_with_nothing(board: Board) -> None:
    assert comparison_of(dataclasses.replace(board, rows=board.rows[:1])) is None


def test_nothing_is_drawn_of_one_model(board: Board) -> None:
    assert charts_of(board).scatters == ()


def test_the_front_joins_what_none_beats(board: Board) -> None:
    charts = with_models(board, (10**9, 9.0, 60.0), (4 * 10**9, 5.0, 70.0), (7 * 10**9, 3.0, 65.0))
    by_parameters, by_speed = charts.scatters
    assert [dot.ahead for dot in by_parameters.dots] == [True, True, False]
    assert [dot.ahead for dot in by_speed.dots] == [True, True, False]


@pytest.mark.parametrize(
    "facts", [((1, 1.0, 0.0), (1, 1.0, 100.0)), ((10**3, 0.1, 50.0), (10**12, 999.0, 50.0))]
)
def test_everything_lies_inside_the_drawing(
    board: Board, facts: tuple[tuple[int, float, float], ...]
) -> None:
    charts = with_models(board, *facts)
    for chart in charts.scatters:
        for dot in chart.dots:
            assert 0 <= dot.x <= WIDTH and -20 <= dot.high <= dot.y <= dot.low <= HEIGHT + 20
    for one in charts.spans:
        for row in one.rows:
            assert all(0 <= mark <= WIDTH for mark in (*row.marks, row.low, row.high))
            assert row.y < one.height


def test_a_matrix_says_the_opposite_across_its_diagonal(board: Board) -> None:
    for matrix in charts_of(board).matrices:
        for one in range(len(matrix.names)):
            for two in range(len(matrix.names)):
                duel, other = matrix.rows[one][1][two], matrix.rows[two][1][one]
                assert (duel is None) == (one == two)
                if duel is not None and other is not None:
                    assert duel.difference == -other.difference
                    assert {duel.word, other.word} in ({"tie"}, {"ahead", "behind"})


@pytest.mark.parametrize(
    ("judged", "sign", "sentence"),
    [
        (JUDGED, 1, f"A beats B in RVOS in 99% of {REDRAWN} (+2.50 {POINTS} +1.00 to +4.00)"),
        (JUDGED, -1, f"B beats A in RVOS in 99% of {REDRAWN} (-2.50 {POINTS} -4.00 to -1.00)"),
        (
            TIED,
            1,
            f"A and B are tied in RVOS (+0.50 {POINTS} -1.00 to +2.00); a gap under 1.50 cannot be seen",
        ),
        (ONE_VIDEO, 1, "A and B: one video says nothing about RVOS"),
    ],
)
def test_differences_in_words(judged: PairedDifference, sign: int, sentence: str) -> None:
    assert difference_sentence("A", "B", judged, sign, "RVOS") == sentence


@pytest.mark.parametrize("count", [2, MOST_NAMED, MOST_NAMED + 1, 400])
def test_names_of_dots_touch_nothing(count: int) -> None:
    points = [Point(f"Model number {n}", 1e9 * (1 + n % 7), 40 + n * 37 % 50, None) for n in range(count)]
    made = scatter("id", "J&F", PARAMETERS, points)
    assert len(made.dots) + len(made.others) == count
    assert len(made.dots) == count if count <= MOST_NAMED else all(dot.ahead for dot in made.dots)
    boxes = []
    for dot in made.dots:
        if dot.label is not None:
            width = 6.7 * len(dot.name)
            left = dot.label.x - (width if dot.label.anchor == "end" else 0)
            boxes.append((left, dot.label.y - 10, left + width, dot.label.y + 3))
    assert boxes and all(one[0] >= 0 and one[2] <= WIDTH for one in boxes)
    for index, one in enumerate(boxes):
        for two in boxes[:index]:
            assert one[2] <= two[0] or two[2] <= one[0] or one[3] <= two[1] or two[3] <= one[1]


def test_reported_scores_are_drawn_with_stated_sizes_alone() -> None:
    tables = {table.id: table for table in read_reported(REPORTED)}
    models = read_models(REPORTED.parent / "models.json", tables.values())
    drawn = {name: reported_charts(shown_table(table, ()), models) for name, table in tables.items()}
    actor, rvos = drawn["interrvos-table-2"]
    assert [actor.title, rvos.title] == [
        "InterRVOS-Actor J&F against parameters",
        "RVOS J&F against parameters",
    ]
    assert "LMPM" not in [dot.name for dot in actor.dots]  # nobody states its size
    assert ("ReVIOSa-4B", "4 B", 74.5) in [(dot.name, dot.value, dot.score) for dot in actor.dots]
    assert not any(chart.has_intervals for charts in drawn.values() for chart in charts)
    assert drawn["interrvos-table-3"] == () == drawn["wsrvos-table-1"]  # one size; no sizes
    assert reported_charts(shown_table(tables["interrvos-table-2"], ()), None) == ()
