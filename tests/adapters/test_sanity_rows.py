"""The rows that bound the scale: what they answer, and that each keeps the contract."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from benchmark.adapter import Adapter, TruthForSanityRow, load_adapter
from benchmark.errors import AdapterError, UsageError
from benchmark.frames import FrameArray
from benchmark.masks import decode_track, encode_track
from benchmark.types import MaskTrack, Prediction, Query

FRAMES = FrameArray(np.zeros((3, 20, 30, 3), np.uint8))
RNG = np.random.default_rng(3)
ACTOR, TARGET = (encode_track(RNG.random((3, 20, 30)) < 0.3) for _ in range(2))
TRUTH = [TruthForSanityRow(ACTOR, TARGET, ("a dog", "a cat")), TruthForSanityRow(TARGET, None, ("a horse",))]
QUERIES = [Query(0, "child handing cup to woman"), Query(1, "a cup")]


def answers(
    adapter: Adapter,
    queries: Sequence[Query] = QUERIES,
    truth: Sequence[TruthForSanityRow] = TRUTH,
    seed: int = 0,
) -> list[Prediction]:
    """A whole life of an adapter around one `predict`."""
    adapter.load("cpu", seed)
    adapter.open_video(FRAMES)
    if adapter.info().uses_truth:
        adapter.open_truth(truth)
    found = adapter.predict(queries)
    adapter.close_video()
    adapter.unload()
    return found


def area(track: object) -> list[int]:
    assert isinstance(track, MaskTrack)
    return [int(mask.sum()) for mask in decode_track(track)]


def test_oracle_answers_the_truth() -> None:
    first, second = answers(load_adapter("oracle"))
    assert (first.actor, first.target) == (ACTOR, TARGET)
    assert (second.actor, second.target) == (TARGET, None)
    assert load_adapter("oracle").info().uses_truth


@pytest.mark.parametrize(("name", "pixels"), [("empty", 0), ("full_frame", 600), ("centre_box", 150)])
def test_rows_that_do_not_look(name: str, pixels: int) -> None:
    found = answers(load_adapter(name))
    assert len(found) == 2
    for one in found:
        assert area(one.actor) == area(one.target) == [pixels] * 3
    assert not load_adapter(name).info().uses_truth


def test_the_box_is_centred_and_its_side_is_an_option() -> None:
    track = answers(load_adapter("centre_box", {"side": "0.2"}))[0].actor
    assert isinstance(track, MaskTrack)
    rows, columns = np.nonzero(decode_track(track)[0])
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (8, 11, 12, 17)
    assert load_adapter("centre_box", {"side": "0.2"}).info().options == {"side": 0.2}
    for wrong in ("0", "-1", "1.1", "nan"):
        with pytest.raises(UsageError, match="--option side: impossible box"):
            load_adapter("centre_box", {"side": wrong})


def test_swapped_roles_exchanges_the_answers_of_another() -> None:
    adapter = load_adapter("swapped_roles", {"of": "oracle"})
    first, second = answers(adapter)
    assert (first.actor, first.target) == (TARGET, ACTOR)
    assert (second.actor, second.target) == (None, TARGET)
    assert adapter.info().name == "swapped_roles(oracle)"
    assert adapter.info().uses_truth, "what the inner adapter is told counts for the wrapper"
    assert not load_adapter("swapped_roles", {"of": "empty"}).info().uses_truth
    twice = load_adapter("swapped_roles", {"of": "swapped_roles", "of.of": "oracle"})
    assert answers(twice)[0].actor == ACTOR


class Listener(Adapter):
    """Says what it was asked."""

    max_queries = 7

    def info(self):  # type: ignore[no-untyped-def]
        return load_adapter("empty").info()

    def predict(self, queries: Sequence[Query]) -> list[Prediction]:
        return [Prediction(text=query.expression) for query in queries]


@pytest.fixture
def listener(monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.syspath_prepend(__file__.rpartition("/")[0])
    return f"{__name__}:Listener"


def test_wrong_expression_asks_a_sentence_of_another_video(listener: str) -> None:
    adapter = load_adapter("wrong_expression", {"of": listener})
    assert adapter.max_queries == 7
    assert adapter.info().uses_truth
    first, second = answers(adapter)
    assert first.text in ("a dog", "a cat")
    assert second.text == "a horse"
    assert (first.prompt, second.prompt) == (first.text, second.text)


def test_the_wrong_sentence_depends_on_seed_and_sentence_alone(listener: str) -> None:
    others = tuple(f"sentence {number}" for number in range(50))
    truth = [TruthForSanityRow(ACTOR, None, others)] * 2

    def chosen(queries: Sequence[Query], seed: int) -> list[str | None]:
        adapter = load_adapter("wrong_expression", {"of": listener})
        return [one.text for one in answers(adapter, queries, truth[: len(queries)], seed)]

    together = chosen(QUERIES, 1)
    assert together == chosen(QUERIES, 1)
    assert together == chosen(QUERIES[:1], 1) + chosen(QUERIES[1:], 1)
    assert together != chosen(QUERIES, 2)


def test_wrong_expression_needs_somebody_who_listens_and_something_to_say(listener: str) -> None:
    with pytest.raises(AdapterError, match="a wrong sentence changes nothing"):
        load_adapter("wrong_expression", {"of": "oracle"})
    alone = [TruthForSanityRow(ACTOR, None, ())] * 2
    with pytest.raises(AdapterError, match="no other video to take a sentence from"):
        answers(load_adapter("wrong_expression", {"of": listener}), truth=alone)


@pytest.mark.parametrize("name", ["swapped_roles", "wrong_expression"])
def test_wrappers_pass_unknown_names_on(name: str) -> None:
    with pytest.raises(UsageError, match="unknown adapter 'orcale'"):
        load_adapter(name, {"of": "orcale"})
    with pytest.raises(UsageError, match="did you mean side"):
        load_adapter(name, {"of": "centre_box", "of.sied": "1"})
