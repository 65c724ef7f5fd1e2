"""From the scores of expressions to the blocks of a result: settings, breakdowns, role errors.

Every number here is a mean over expressions with an interval. All intervals of a result come from one
set of draws, which is made once: the summary is built twice by the same code, first to collect what
needs an interval, then to fill the intervals in.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

from benchmark.aggregate import MISSING, ExpressionScore, headline
from benchmark.breakdowns import GROUPINGS, grouped
from benchmark.results import FrameKindScores, GroupScores, Intervals, Rate, RoleErrors, SettingScores
from benchmark.role_errors import ERRORS, RoleOutcome
from benchmark.statistics import Bootstrap, Interval, Sample, intervals, sample

NEVER_PREDICTS_TARGETS = "the model never predicts targets"
NO_EXPRESSION = "no expression of this setting was scored"

IntervalOf = Callable[[Sample], Interval | None]
Outcomes = Sequence[tuple[str, RoleOutcome]]  # (video id, outcome) of every expression
Summary = tuple[dict[str, SettingScores], RoleErrors | None]


def summarise(
    scores: Mapping[str, Sequence[ExpressionScore]],
    outcomes: Outcomes,
    undefined: Mapping[str, str],
    plan: Bootstrap,
) -> Summary:
    """The settings and role errors of a result.

    Args:
        scores: by protocol name, in the order of the dataset.
        outcomes: of every expression that was asked; empty when the model never predicts targets.
        undefined: protocol names whose scores say nothing, with the reason.
        plan: how the intervals are drawn; videos are drawn in the order of their ids, so the order of
            the dataset file does not matter to them.
    """
    ids = {one.video_id for rows in scores.values() for one in rows} | {video for video, _ in outcomes}
    positions = {video_id: position for position, video_id in enumerate(sorted(ids))}
    collected: list[Sample] = []

    def collect(wanted: Sample) -> None:
        collected.append(wanted)

    _summary(scores, outcomes, undefined, positions, collect)
    found: Iterator[Interval | None] = iter(intervals(collected, len(positions), plan))
    return _summary(scores, outcomes, undefined, positions, lambda _: next(found))


def _summary(
    scores: Mapping[str, Sequence[ExpressionScore]],
    outcomes: Outcomes,
    undefined: Mapping[str, str],
    positions: Mapping[str, int],
    interval_of: IntervalOf,
) -> Summary:
    settings = {
        name: _setting(rows, undefined.get(name), positions, interval_of) for name, rows in scores.items()
    }
    return settings, _role_errors(outcomes, positions, interval_of) if outcomes else None


def _setting(
    rows: Sequence[ExpressionScore],
    undefined: str | None,
    positions: Mapping[str, int],
    interval_of: IntervalOf,
) -> SettingScores:
    statuses = [one.status for one in rows]
    failures = sorted({one.status for one in rows if one.failed} - {MISSING})
    scored = () if undefined else rows
    whole = _group("", scored, positions, interval_of) if scored else None
    return SettingScores(
        j=whole.j if whole else None,
        f=whole.f if whole else None,
        jf=whole.jf if whole else None,
        undefined=undefined or (None if rows else NO_EXPRESSION),
        intervals=whole.intervals if whole else Intervals(None, None, None),
        expressions=len(rows),
        videos=len({one.video_id for one in rows}),
        frames=sum(one.track.frames for one in rows),
        missing=statuses.count(MISSING),
        failed={status: statuses.count(status) for status in failures},
        truth_present=_present_frames(scored),
        truth_absent=_absent_frames(scored),
        by={name: _groups(scored, name, positions, interval_of) for name in GROUPINGS},
    )


def _groups(
    rows: Sequence[ExpressionScore], grouping: str, positions: Mapping[str, int], interval_of: IntervalOf
) -> tuple[GroupScores, ...]:
    members = grouped(rows, grouping)
    return tuple(
        _group(name, [rows[index] for index in chosen], positions, interval_of)
        for name, chosen in members.items()
    )


def _group(
    name: str, rows: Sequence[ExpressionScore], positions: Mapping[str, int], interval_of: IntervalOf
) -> GroupScores:
    j, f = [one.track.j for one in rows], [one.track.f for one in rows]
    top = headline(j, f)
    if top is None:
        raise ValueError("a group of expressions cannot be empty")
    videos = [positions[one.video_id] for one in rows]
    both = [(one_j + one_f) / 2 for one_j, one_f in zip(j, f, strict=True)]
    found = [
        interval_of(sample(videos, [100 * value for value in values], mean))
        for values, mean in ((j, top.j), (f, top.f), (both, top.jf))
    ]
    return GroupScores(name, top.j, top.f, top.jf, Intervals(*found), len(rows), len(set(videos)))


def _present_frames(rows: Sequence[ExpressionScore]) -> FrameKindScores:
    tracks = [(one.track.present_j, one.track.present_f) for one in rows]
    return _frame_kind(tracks, sum(one.track.frames - one.track.absent_frames for one in rows))


def _absent_frames(rows: Sequence[ExpressionScore]) -> FrameKindScores:
    tracks = [(one.track.absent_j, one.track.absent_f) for one in rows]
    return _frame_kind(tracks, sum(one.track.absent_frames for one in rows))


def _frame_kind(tracks: Sequence[tuple[float | None, float | None]], frames: int) -> FrameKindScores:
    j = [one for one, _ in tracks if one is not None]
    f = [one for _, one in tracks if one is not None]
    top = headline(j, f)
    if top is None:
        return FrameKindScores(None, None, None, 0, 0)
    return FrameKindScores(top.j, top.f, top.jf, frames, len(j))


def _role_errors(outcomes: Outcomes, positions: Mapping[str, int], interval_of: IntervalOf) -> RoleErrors:
    rates = {}
    for name, counts_as in ERRORS.items():
        asked = [(video, counts_as(outcome)) for video, outcome in outcomes]
        counted = [(positions[video], counts) for video, counts in asked if counts is not None]
        rates[name] = _rate(counted, interval_of)
    return RoleErrors(**rates)


def _rate(counted: Sequence[tuple[int, bool]], interval_of: IntervalOf) -> Rate:
    if not counted:
        return Rate(None, 0, 0, None)
    count = sum(counts for _, counts in counted)
    percent = 100 * count / len(counted)
    drawn = sample([video for video, _ in counted], [100.0 * counts for _, counts in counted], percent)
    return Rate(percent, count, len(counted), interval_of(drawn))
