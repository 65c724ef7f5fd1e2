"""The two sets of choices, and single changes to them."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from benchmark.errors import UsageError
from reference_model import inference_options
from reference_model.config import FramePolicy
from reference_model.inference_options import (
    InferenceOptions,
    Propagation,
    official_options,
    options_for,
    with_changes,
)
from reference_model.recipes import tiny_model
from reference_model.released_recipes import reviosa_1b, reviosa_4b


def test_the_official_choices():
    options = options_for("official", reviosa_1b().model)
    assert (options.frame_policy, options.language_frames) == (FramePolicy.FIRST, 5)
    assert options.propagation is Propagation.FORWARD and not options.prompt_every_frame
    assert not options.one_session and not options.shared_prefix
    assert options.rounded_pixels and options.rounded_memory and options.two_steps
    assert options.keep_question_marks and options.drop_last_token and not options.cut_questions
    assert (options.answer_tokens, options.encode_chunk) == (2048, 1)
    assert options.padding_ends and not official_options(reviosa_4b().model).padding_ends


def test_the_default_choices():
    options = options_for("default", reviosa_4b().model)
    assert (options.frame_policy, options.language_frames) == (FramePolicy.UNIFORM, 5)
    assert options.propagation is Propagation.BOTH_WAYS and options.one_session and options.shared_prefix
    small = options_for("default", tiny_model())
    assert small.prompt_every_frame and small.propagation is Propagation.FORWARD and small.hide_absent
    assert small.language_frames == 4


def test_single_changes():
    options = options_for("default", reviosa_1b().model)
    changes = ["propagation=forward", "one-session=no", "language_frames=9", "frame-policy=first"]
    changed = with_changes(options, changes)
    assert changed.propagation is Propagation.FORWARD and not changed.one_session
    assert changed.language_frames == 9 and changed.frame_policy is FramePolicy.FIRST
    assert with_changes(options, []) == options


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("speed=9", "unknown option of inference.*NAME=VALUE.*answer_tokens"),
        ("propagation", "unknown option of inference"),
        ("propagation=sideways", "unknown value; expected forward or both-ways"),
        ("one_session=perhaps", "not a truth value; expected true or false"),
        ("language_frames=0", "not a whole number above 0"),
        ("language_frames=five", "not a whole number above 0"),
    ],
)
def test_changes_that_mean_nothing(text, message):
    with pytest.raises(UsageError, match=message):
        with_changes(options_for("default", tiny_model()), [text])


def test_the_manual_names_every_option():
    manual = (Path(inference_options.__file__).parent / "README.md").read_text(encoding="utf-8")
    for field in dataclasses.fields(InferenceOptions):
        assert f"`{field.name.replace('_', '-')}`" in manual, field.name


def test_modes_that_do_not_exist():
    with pytest.raises(UsageError, match="expected official or default; found 'fast'"):
        options_for("fast", tiny_model())
