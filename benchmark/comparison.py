"""Results side by side: the same expressions, the same draws of videos, differences to the first result."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from benchmark.aggregate import ExpressionScore, Headline, headline
from benchmark.errors import ResultError, UsageError
from benchmark.json_records import entry
from benchmark.result_files import read_expressions, read_result, result_path
from benchmark.results import Intervals, Result, RoleErrors
from benchmark.statistics import Bootstrap, PairedDifference, intervals, paired_differences, sample

Key = tuple[str, str]  # video id, expression id


@dataclass(frozen=True, slots=True)
class Contestant:
    """One result with its rows by setting; an undefined setting has none."""

    label: str
    path: str
    result: Result
    rows: Mapping[str, Mapping[Key, ExpressionScore]]


@dataclass(frozen=True, slots=True)
class Differences:
    """This result minus the first, in points of percent."""

    j: PairedDifference = field(metadata=entry("J"))
    f: PairedDifference = field(metadata=entry("F"))
    jf: PairedDifference = field(metadata=entry("J&F"))


@dataclass(frozen=True, slots=True)
class ComparedRow:
    """One result in one setting; scores are `None` where the setting says nothing about the model."""

    label: str
    j: float | None = field(metadata=entry("J"))
    f: float | None = field(metadata=entry("F"))
    jf: float | None = field(metadata=entry("J&F"))
    intervals: Intervals
    minus_first: Differences | None


@dataclass(frozen=True, slots=True)
class ComparedSetting:
    """All results in one setting, over the same expressions."""

    expressions: int
    videos: int
    rows: tuple[ComparedRow, ...]


@dataclass(frozen=True, slots=True)
class Comparison:
    """Results side by side."""

    dataset: str
    split: str
    digest: str
    results: Mapping[str, str]  # label -> path
    common_only: bool
    seed: int
    settings: Mapping[str, ComparedSetting]
    role_errors: Mapping[str, RoleErrors | None]


def compare_results(sources: Sequence[Path], *, common: bool = False, seed: int = 0) -> Comparison:
    """Compare result files (or the folders that hold them) with the first of them.

    Args:
        common: compare on the expressions that all results have, instead of refusing when they differ.
        seed: of the redrawn videos.

    Raises:
        UsageError: when fewer than two are given.
        ResultError: when one is damaged, or they are not comparable.
    """
    if len(sources) < 2:
        raise UsageError("nothing to compare", expected="two results or more", found=str(len(sources)))
    contestants = _contestants(sources)
    first = contestants[0]
    for other in contestants[1:]:
        _refuse_other_rules(first, other)
    names = [name for name in first.rows if all(name in one.rows for one in contestants)]
    if not names:
        raise ResultError("the results share no setting", where=" and ".join(one.path for one in contestants))
    keys = {name: _shared_keys(name, contestants, common) for name in names}
    plan = Bootstrap(seed=seed)
    positions = _positions(keys)
    return Comparison(
        dataset=first.result.dataset.name,
        split=first.result.dataset.split,
        digest=first.result.dataset.digest,
        results={one.label: one.path for one in contestants},
        common_only=common,
        seed=seed,
        settings={name: _setting(name, keys[name], contestants, positions, plan) for name in names},
        role_errors={one.label: one.result.role_errors for one in contestants},
    )


def _contestants(sources: Sequence[Path]) -> list[Contestant]:
    results = [read_result(source) for source in sources]
    names = [f"{one.adapter.name} {one.adapter.version}" if one.adapter else "unnamed" for one in results]
    repeated = Counter(names)
    contestants = []
    for number, (source, result, name) in enumerate(zip(sources, results, names, strict=True), 1):
        rows: dict[str, dict[Key, ExpressionScore]] = {setting: {} for setting in result.settings}
        for row in read_expressions(source, result):
            score = row.score
            rows[score.setting][score.video_id, score.expression_id] = score
        label = f"{number}: {name}" if repeated[name] > 1 else name
        contestants.append(Contestant(label, str(result_path(source)), result, rows))
    return contestants


def _refuse_other_rules(first: Contestant, other: Contestant) -> None:
    where = f"{first.path} and {other.path}"
    one, two = first.result.dataset, other.result.dataset
    if one.digest != two.digest:
        raise ResultError(
            "results on different data are not comparable",
            where=where,
            expected=f"{one.name} {one.split}, digest {one.digest[:12]}",
            found=f"{two.name} {two.split}, digest {two.digest[:12]}",
            fix="score both sets of predictions on the same dataset",
        )
    for name in first.rows.keys() & other.rows.keys():
        ours, theirs = first.result.protocols[name], other.result.protocols[name]
        if ours != theirs:
            raise ResultError(
                f"results under different rules of {name} are not comparable",
                where=where,
                expected=f"version {ours.version}, digest {ours.digest[:12]}",
                found=f"version {theirs.version}, digest {theirs.digest[:12]}",
                fix="score the stored predictions again with python -m benchmark.score",
            )


def _shared_keys(name: str, contestants: Sequence[Contestant], common: bool) -> list[Key]:
    """The expressions to compare on, in the order of the first result."""
    first = contestants[0].rows[name]
    for other in contestants[1:]:
        rows = other.rows[name]
        if rows.keys() != first.keys() and not common:
            raise ResultError(
                f"results over different expressions of {name} are not comparable",
                where=f"{contestants[0].path} and {other.path}",
                expected=f"the same {len(first)} expressions",
                found=f"{len(rows)}, of which {len(rows.keys() & first.keys())} are shared",
                fix="compare on the shared ones with --common",
            )
    shared = [key for key in first if all(key in one.rows[name] for one in contestants)]
    if first and not shared:
        raise ResultError(f"the results share no expression of {name}", where=contestants[0].path)
    return shared


def _positions(keys: Mapping[str, Sequence[Key]]) -> dict[str, int]:
    videos = sorted({video for each in keys.values() for video, _ in each})
    return {video: position for position, video in enumerate(videos)}


def _setting(
    name: str,
    keys: Sequence[Key],
    contestants: Sequence[Contestant],
    positions: Mapping[str, int],
    plan: Bootstrap,
) -> ComparedSetting:
    scores = [_scores(one, name, keys) for one in contestants]
    rows = []
    for contestant, own in zip(contestants, scores, strict=True):
        against = scores[0] if contestant is not contestants[0] else None
        rows.append(_row(contestant.label, own, against, keys, positions, plan))
    return ComparedSetting(len(keys), len({video for video, _ in keys}), tuple(rows))


@dataclass(frozen=True, slots=True)
class Percentages:
    """Scores of the compared expressions, in percent, and their means."""

    j: list[float]
    f: list[float]
    jf: list[float]
    top: Headline


def _scores(one: Contestant, name: str, keys: Sequence[Key]) -> Percentages | None:
    if one.result.settings[name].undefined:
        return None
    tracks = [one.rows[name][key].track for key in keys]
    top = headline([track.j for track in tracks], [track.f for track in tracks])
    if top is None:
        return None
    return Percentages(
        j=[100 * track.j for track in tracks],
        f=[100 * track.f for track in tracks],
        jf=[100 * ((track.j + track.f) / 2) for track in tracks],
        top=top,
    )


def _row(
    label: str,
    own: Percentages | None,
    first: Percentages | None,
    keys: Sequence[Key],
    positions: Mapping[str, int],
    plan: Bootstrap,
) -> ComparedRow:
    if own is None:
        return ComparedRow(label, None, None, None, Intervals(None, None, None), None)
    videos = [positions[video] for video, _ in keys]
    metrics = ("j", "f", "jf")
    own_samples = [sample(videos, getattr(own, name), getattr(own.top, name)) for name in metrics]
    found = intervals(own_samples, len(positions), plan)
    differences = None
    if first is not None:
        samples = [
            sample(
                videos,
                [a - b for a, b in zip(getattr(own, name), getattr(first, name), strict=True)],
                getattr(own.top, name) - getattr(first.top, name),
            )
            for name in metrics
        ]
        differences = Differences(*paired_differences(samples, len(positions), plan))
    return ComparedRow(label, own.top.j, own.top.f, own.top.jf, Intervals(*found), differences)
