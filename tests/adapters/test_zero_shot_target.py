"""The paper's target prompt around a model that knows one role."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from adapters.zero_shot_target import TARGET_PHRASE, TARGET_PROMPT
from benchmark.adapter import load_adapter
from benchmark.errors import AdapterError
from benchmark.frames import FrameArray
from benchmark.predictions import open_predictions
from benchmark.types import Prediction, Query, Role, Status
from tests.benchmark.scripted_adapter import Scripted, run
from tests.benchmark.tiny_clips import tiny_dataset

FRAMES = FrameArray(np.zeros((2, 6, 20, 3), np.uint8))


class ActorOnly(Scripted):
    """A pixel per letter; some sentences have no answer, or fail."""

    max_queries = 3

    def __init__(self, roles: str = "actor") -> None:
        super().__init__(roles=(Role.ACTOR,))

    def answer(self, expression: str) -> Prediction:
        if "nobody" in expression:
            return Prediction(status=Status.NO_MASK, text="There is none.")
        if "lonely" in expression and expression.startswith("the object that"):
            return Prediction(status=Status.ABSTAIN)
        if "broken" in expression and expression.startswith("the object that"):
            return Prediction(status=Status.TIMEOUT, message="too slow")
        return super().answer(expression)

    def predict(self, queries: Sequence[Query]) -> list[Prediction]:
        assert len(queries) <= 3 and all(query.roles == (Role.ACTOR,) for query in queries)
        return super().predict(queries)


class TooFew(Scripted):
    def __init__(self) -> None:
        super().__init__()

    def predict(self, queries: Sequence[Query]) -> list[Prediction]:
        return []


def test_the_phrase_completes_the_paper_prompt_in_a_common_template() -> None:
    assert f"Please segment {TARGET_PHRASE}." == TARGET_PROMPT


def test_both_roles_from_two_questions(tmp_path: Path, unsynced: None) -> None:
    adapter = load_adapter("zero_shot_target", {"of": f"{__name__}:ActorOnly"})
    info = adapter.info()
    assert info.roles == (Role.ACTOR, Role.TARGET) and info.name == "zero_shot_target(scripted)"
    assert info.options["target_prompt"] == TARGET_PHRASE and adapter.max_queries == 1
    dataset = tiny_dataset(videos=1)
    run(adapter, dataset, tmp_path).finish(dataset, None, ("actor",))
    stored = open_predictions(tmp_path, dataset).video("clip0")
    one = stored["0"]
    asked = "the object that is directly interacting with red pushing blue in the image"
    assert one.prompt == asked and one.text == f"actor: RED PUSHING BLUE / target: {asked.upper()}"
    assert one.actor is not None and one.target is not None and one.actor != one.target


def answer_to(*sentences: str, **options: str) -> list[Prediction]:
    adapter = load_adapter("zero_shot_target", {"of": f"{__name__}:ActorOnly", **options})
    adapter.load("cpu", 0)
    adapter.open_video(FRAMES)
    answers = adapter.predict([Query(index, one) for index, one in enumerate(sentences)])
    adapter.close_video()
    adapter.unload()
    return answers


def test_what_happens_when_one_of_the_two_has_no_mask() -> None:
    nobody, lonely, broken, dotted = answer_to("nobody", "lonely", "broken", "red one.")
    assert (nobody.status, nobody.actor, nobody.target) == (Status.NO_MASK, None, None)
    assert lonely.status is Status.OK and lonely.actor is not None and lonely.target is None
    assert (broken.status, broken.message) == (Status.TIMEOUT, "asked for the target: too slow")
    assert broken.actor is None
    assert dotted.prompt is not None and dotted.prompt.endswith("with red one in the image")


def test_the_whole_prompt_for_models_without_a_template() -> None:
    (answer,) = answer_to("red one", ask="prompt")
    assert answer.prompt == TARGET_PROMPT.format(expression="red one")


@pytest.mark.parametrize(("of", "more"), [("oracle", {}), ("precomputed", {"of.path": "x"})])
def test_rows_that_do_not_listen_are_refused(of: str, more: dict[str, str]) -> None:
    with pytest.raises(AdapterError, match="does not listen to the sentence"):
        load_adapter("zero_shot_target", {"of": of, **more})


def test_an_inner_adapter_that_loses_answers() -> None:
    adapter = load_adapter("zero_shot_target", {"of": f"{__name__}:TooFew"})
    with pytest.raises(AdapterError, match="one prediction per query"):
        adapter.predict([Query(0, "a")])
