"""Validation: the referee's J and F on held-back clips, by role and tag."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from benchmark.errors import UsageError
from benchmark.types import Role
from reference_model import validate
from reference_model.checkpoint import save_checkpoint
from reference_model.config import StageKind
from reference_model.predict import Answer
from reference_model.training_data import TrainingExpression
from tests.reference_model.mini_reviosa import ClipList, build_mini, mini_recipe, square_clip, stage


class Scripted:
    """Answers with masks that are known."""

    def __init__(self, *answers: Answer) -> None:
        self._answers = list(answers)

    def open_video(self, frames) -> None:
        self.frames = frames

    def close_video(self) -> None:
        self.frames = None

    def answer(self, expressions) -> list[Answer]:
        assert len(expressions) == len(self._answers)
        return self._answers


def answered(actor, target) -> Answer:
    return Answer(actor, target, "", (0,))


def test_scores_are_those_of_the_referee_by_role_and_tag():
    clip = square_clip()
    red, blue = clip.masks_NTHW
    expressions = (
        TrainingExpression("red square pushing blue square", (0,), (1,), ("easy",)),
        TrainingExpression("all objects", (0, 1), (), ("hard",)),
        TrainingExpression("blue square pulling red square", (1,), (0,), ("hard",)),
    )
    clip = dataclasses.replace(clip, expressions=expressions)
    result = validate.validate(
        Scripted(answered(red, blue), answered(red | blue, red), answered(red, None)), [clip]
    )
    assert result.j_and_f(Role.ACTOR, "easy") == result.j_and_f(Role.TARGET, "easy") == 100
    assert result.j_and_f(Role.TARGET, "hard") == 0  # nothing was claimed, and there is truth
    assert result.j_and_f(Role.TARGET) == 50
    assert result.j_and_f(Role.ACTOR, "unheard-of") is None
    assert result.claimed == (True, False) and result.falsely_claimed == (True,)
    table = validate.format_validation(result)
    assert "target claimed where expected: 50.0% of 2" in table
    assert "target claimed where not expected: 100.0% of 1" in table
    assert [line.split()[0] for line in table.splitlines()[1:4]] == ["all", "easy", "hard"]


def test_held_back_clips_are_the_last_ones():
    source = ClipList([square_clip(frames) for frames in range(1, 6)])
    assert [len(one.frames_THWC) for one in validate.held_back_clips(source, 2)] == [4, 5]
    assert [len(one.frames_THWC) for one in validate.held_back_clips(source, 3, 1)] == [3]
    assert [len(one.frames_THWC) for one in validate.held_back_clips(source, 16, 2)] == [1, 2]
    assert len(validate.held_back_clips(source, 16)) == 5  # a dataset with fewer clips than are held back


def test_the_command_prints_the_table(tmp_path, capsys):
    save_checkpoint(tmp_path, build_mini(), mini_recipe(stage(StageKind.VISION)), {})
    assert validate.main(["--checkpoint", str(tmp_path), "--clips", "1", "--device", "cpu"]) == 0
    assert capsys.readouterr().out.splitlines()[1].startswith("all")
    with pytest.raises(UsageError, match="--clips: the number is too small"):
        validate.main(["--clips", "0"])


def test_an_empty_truth_that_is_left_empty_scores_full():
    truth = np.zeros((2, 8, 8), bool)
    assert validate._score(truth, None).j == pytest.approx(1.0)
