"""Boards of computed entries: which entries can stand in one list, in which order, and where they tie.

One board holds the entries of one dataset, split, data digest and set of protocols; nothing else is
comparable. No score is computed here: scores come from the entries, order and ties from
`benchmark.rankings` on the scores of expressions, in the same draws of videos for all.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from benchmark.protocol import SETTINGS, Protocol, load_protocols
from benchmark.rankings import COMPARED_AT_ONCE, Place, against_each_other, difference, places
from benchmark.results import Rate
from benchmark.statistics import Bootstrap, Interval, PairedDifference, Sample, paired_differences, sample
from leaderboards.board_entries import BoardEntry
from leaderboards.safe_text import file_name
from leaderboards.sanity_rows import sanity_words
from submissions.entries import Standing

ACTOR, TARGET = "InterRVOS-Actor", "InterRVOS-Target"
NOT_SCORED = "not scored"
NOT_APPLICABLE = "n/a"
MOST_COMPARED = 20  # rows that are judged in pairs: a matrix of more cannot be read

Key = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Score:
    """One setting of one entry, in percent; without a number, a word and why.

    Attributes:
        place: its rank among the models whose expressions are known; `None` for sanity rows and others.
    """

    j: float | None
    f: float | None
    jf: float | None
    interval: Interval | None
    expressions: int
    failed: int
    word: str
    why: str
    place: Place | None


@dataclass(frozen=True, slots=True)
class Row:
    """One entry on a board.

    Attributes:
        gap: Actor minus Target in J&F, on the same expressions; `None` where one of them is missing.
    """

    one: BoardEntry
    sanity: str | None
    scores: Mapping[str, Score]
    gap: PairedDifference | None
    swaps: Rate | None
    files: str


@dataclass(frozen=True, slots=True)
class Board:
    """Comparable entries, best first."""

    slug: str
    dataset: str
    split: str
    digest: str
    videos: int
    expressions: int
    protocols: tuple[Protocol, ...]
    rows: tuple[Row, ...]
    pairs: Mapping[str, Mapping[tuple[str, str], PairedDifference]]


def make_boards(entries: Sequence[BoardEntry]) -> tuple[Board, ...]:
    """The boards of all entries that nothing superseded."""
    groups: dict[tuple[str, ...], list[BoardEntry]] = {}
    for one in entries:
        if one.superseded_by is None:
            groups.setdefault(_comparable(one), []).append(one)
    folders = [key[0] for key in groups]
    return tuple(
        _board(key[0] if folders.count(key[0]) == 1 else f"{key[0]}-{key[1][:8]}-{index}", members)
        for index, (key, members) in enumerate(sorted(groups.items()), 1)
    )


def _comparable(one: BoardEntry) -> tuple[str, ...]:
    rules = [f"{name} {rule.digest}" for name, rule in sorted(one.entry.protocols.items())]
    return (one.folder, one.entry.dataset.digest, *rules)


def _board(slug: str, members: Sequence[BoardEntry]) -> Board:
    known = {protocol.name: protocol for protocol in load_protocols(SETTINGS)}
    named = members[0].entry.protocols
    protocols = tuple(protocol for name, protocol in known.items() if name in named)
    samples = _Samples(members)
    ranked = [one for one in members if sanity_words(one.entry) is None]
    found = {name: samples.places(name, ranked) for name in known}
    gaps = samples.gaps(members)
    names = [protocol.name for protocol in protocols]
    rows = [_row(one, names, found, gaps.get(one.entry.id)) for one in members]
    data = members[0].entry.dataset
    rows.sort(key=lambda row: _order(row, names))
    shown = [row.one for row in rows if row.one.rows][:MOST_COMPARED]
    return Board(
        *(slug, data.name, data.split, data.digest, data.videos, data.expressions),
        protocols=protocols,
        rows=tuple(rows),
        pairs={protocol.name: samples.pairs(protocol.name, shown) for protocol in protocols},
    )


def _order(row: Row, names: Sequence[str]) -> tuple[float | str, ...]:
    values = [row.scores[name].jf for name in names]
    return (*(200.0 if value is None else -value for value in values), row.one.entry.id)


class _Samples:
    """J&F of expressions of the entries of one board, with the positions of their videos."""

    def __init__(self, members: Sequence[BoardEntry]) -> None:
        self.values: dict[tuple[str, str], dict[Key, float]] = {}
        means: dict[tuple[str, str], float | None] = {}
        for one in members:
            for row in one.rows:
                score = row.score
                of_setting = self.values.setdefault((one.entry.id, score.setting), {})
                of_setting[score.video_id, score.expression_id] = 100 * ((score.track.j + score.track.f) / 2)
            for name, setting in (one.result.settings if one.result else {}).items():
                means[one.entry.id, name] = setting.jf
        self.means = means
        videos = sorted({video for scores in self.values.values() for video, _ in scores})
        self.positions = {video: position for position, video in enumerate(videos)}
        # `receive` draws with this seed too, so ties and intervals come from the same draws.
        self.plan = Bootstrap()

    def of(self, entry: str, name: str) -> Sample | None:
        """The sample of an entry in a setting, expressions in the order of their ids."""
        scores, mean = self.values.get((entry, name)), self.means.get((entry, name))
        if not scores or mean is None:
            return None
        keys = sorted(scores)
        return sample([self.positions[video] for video, _ in keys], [scores[key] for key in keys], mean)

    def places(self, name: str, members: Sequence[BoardEntry]) -> dict[str, Place]:
        """Places by entry, of those that have a sample."""
        found = [(one.entry.id, made) for one in members if (made := self.of(one.entry.id, name))]
        ranked = places([made for _, made in found], len(self.positions), self.plan)
        return {entry: place for (entry, _), place in zip(found, ranked, strict=True)}

    def pairs(self, name: str, members: Sequence[BoardEntry]) -> dict[tuple[str, str], PairedDifference]:
        """Differences of all pairs of entries, first minus second."""
        found = [(one.entry.id, made) for one in members if (made := self.of(one.entry.id, name))]
        judged = against_each_other([made for _, made in found], len(self.positions), self.plan)
        return {(found[one][0], found[two][0]): value for (one, two), value in judged.items()}

    def gaps(self, members: Sequence[BoardEntry]) -> dict[str, PairedDifference]:
        """Actor minus target by entry, of those that have both on the same expressions."""
        found = []
        for one in members:
            entry = one.entry.id
            actor, target = self.of(entry, ACTOR), self.of(entry, TARGET)
            keys = [self.values.get((entry, name), {}).keys() for name in (ACTOR, TARGET)]
            if actor is not None and target is not None and keys[0] == keys[1]:
                found.append((entry, difference(actor, target)))
        gaps: dict[str, PairedDifference] = {}
        for start in range(0, len(found), COMPARED_AT_ONCE):
            some = found[start : start + COMPARED_AT_ONCE]
            judged = paired_differences([made for _, made in some], len(self.positions), self.plan)
            gaps.update(zip((entry for entry, _ in some), judged, strict=True))
        return gaps


def _row(
    one: BoardEntry,
    names: Sequence[str],
    found: Mapping[str, Mapping[str, Place]],
    gap: PairedDifference | None,
) -> Row:
    errors = one.result.role_errors if one.result else None
    return Row(
        one,
        sanity_words(one.entry),
        {name: _score(one, name, found[name].get(one.entry.id)) for name in names},
        gap,
        errors.role_swap if errors else None,
        f"{file_name(one.folder)}--{one.entry.id}",
    )


def _score(one: BoardEntry, name: str, place: Place | None) -> Score:
    stored = one.entry.scores.get(name) if one.entry.scores else None
    if stored is None:
        why = "its files were checked; the truth was not at hand"
        if one.entry.status is not Standing.FILES_CHECKED:
            why = "its entry holds no score of this setting"
        return Score(None, None, None, None, 0, 0, NOT_SCORED, why, None)
    counts = (stored.expressions, stored.failed)
    if stored.jf is None:
        undefined = one.result.settings[name].undefined if one.result else None
        return Score(
            None,
            None,
            None,
            None,
            *counts,
            NOT_APPLICABLE,
            undefined or "the setting says nothing about it",
            None,
        )
    return Score(stored.j, stored.f, stored.jf, stored.jf_interval, *counts, "", "", place)


def lone_row(one: BoardEntry) -> Row:
    """An entry that is on no board, without places."""
    names = list(one.entry.protocols)
    gaps = _Samples([one]).gaps([one])
    return _row(one, names, {name: {} for name in names}, gaps.get(one.entry.id))


def history(entries: Sequence[BoardEntry], of: BoardEntry) -> Iterator[BoardEntry]:
    """The entries that one took the place of, the latest first."""
    by_id = {(one.folder, one.entry.id): one for one in entries}
    replaced = of.entry.supersedes
    while replaced is not None:
        older = by_id[of.folder, replaced.entry]
        yield older
        replaced = older.entry.supersedes
