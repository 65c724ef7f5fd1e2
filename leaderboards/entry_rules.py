"""What the types of an entry cannot say: settings that go with its protocols, numbers that can be drawn."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache

from benchmark.errors import Problem
from benchmark.json_records import to_json
from benchmark.protocol import SETTINGS, load_protocols
from submissions.entries import Entry
from submissions.receipt import Scores

MOST_PARAMETERS = 10**15
MOST_A_SECOND = 1e6


def entry_problems(entry: Entry, where: str) -> Iterator[Problem]:
    """Everything that is wrong with an entry by itself."""
    known = _known()
    if not entry.protocols:
        yield Problem("an entry without protocols", f"{where}/protocols", expected=" or ".join(known))
    for name in sorted(entry.protocols.keys() - set(known)):
        yield Problem("no such protocol", f"{where}/protocols/{name}", expected=" or ".join(known))
    if entry.scores is not None:
        for name in sorted(entry.scores.keys() ^ entry.protocols.keys()):
            yield Problem("settings with scores are not those with protocols", f"{where}/scores/{name}")
        for name, scores in sorted(entry.scores.items()):
            yield from _score_problems(scores, f"{where}/scores/{name}")
    card = entry.model
    if card.parameters is not None and not 0 <= card.parameters <= MOST_PARAMETERS:
        place = f"{where}/model/parameters"
        yield Problem("not a number of parameters", place, expected="0 to 1e15, or null")
    speed = card.speed.frames_per_second if card.speed else None
    if speed is not None and not 0 < speed < MOST_A_SECOND:
        place = f"{where}/model/speed/frames_per_second"
        yield Problem("not a speed", place, expected="above 0, or null", found=str(speed))


@cache
def _known() -> tuple[str, ...]:
    return tuple(protocol.name for protocol in load_protocols(SETTINGS))


def _score_problems(scores: Scores, where: str) -> Iterator[Problem]:
    for key, value in to_json(scores).items():
        if key in ("J", "F", "J&F") and value is not None and not 0 <= value <= 100:
            place = f"{where}/{key}"
            yield Problem("not a percentage", place, expected="0 to 100, or null", found=str(value))
        if key.endswith("interval") and value is not None and not 0 <= value[0] <= value[1] <= 100:
            yield Problem("not an interval in percent", f"{where}/{key}", found=str(value))
    if min(scores.expressions, scores.failed) < 0 or scores.failed > scores.expressions:
        found = f"{scores.failed} of {scores.expressions}"
        yield Problem("not a count of failures", f"{where}/failed", found=found)
    if len({one is None for one in (scores.j, scores.f, scores.jf)}) > 1:
        yield Problem("J, F and J&F go together", where)
