"""Questions, answers and the word tokenizer."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmark.errors import CheckpointError
from reference_model.config import AnswerStyle, PromptConfig, TokenNames
from reference_model.model import Reviosa
from reference_model.prompts import (
    NamedObject,
    RoleAnswer,
    answer_text,
    build_word_tokenizer,
    clean_expression,
    frames_text,
    place_words,
    question_text,
    special_tokens,
)
from tests.reference_model.mini_reviosa import WORDS, build_mini, mini_model_config

RED = NamedObject("red", "square", 0.2, 0.5)
BLUE = NamedObject("blue", "disc", 0.8, 0.1)
GROUNDED = PromptConfig("segment {expression} :", AnswerStyle.GROUNDED)
PAPER = PromptConfig("segment {expression} :", AnswerStyle.PAPER)


@pytest.mark.parametrize(
    ("config", "answer", "expected"),
    [
        (PAPER, RoleAnswer((RED,)), "it is [SEG_ACT] <|im_end|>"),
        (PAPER, RoleAnswer((RED,), (BLUE,)), "it is [SEG_ACT] and [SEG_TAR] <|im_end|>"),
        (GROUNDED, RoleAnswer((RED,)), "red square x1 y2 [SEG_ACT] <|im_end|>"),
        (
            GROUNDED,
            RoleAnswer((RED,), (BLUE,)),
            "red square x1 y2 [SEG_ACT] blue disc x4 y0 [SEG_TAR] <|im_end|>",
        ),
        (
            GROUNDED,
            RoleAnswer((BLUE, RED)),
            "red square x1 y2 and blue disc x4 y0 [SEG_ACT] <|im_end|>",
        ),
    ],
)
def test_answers(config, answer, expected):
    assert answer_text(config, TokenNames(), answer) == expected


def test_released_token_names_are_only_names():
    names = TokenNames(actor="[SEG]", target="[SEG_OBJ]")
    assert answer_text(PAPER, names, RoleAnswer((RED,), (BLUE,))) == "it is [SEG] and [SEG_OBJ] <|im_end|>"


@given(st.floats(0, 1), st.floats(0, 1))
def test_places_stay_on_the_grid(x, y):
    column, row = place_words(GROUNDED, x, y).split()
    assert int(column[1:]) in range(5) and int(row[1:]) in range(5)


def test_places_can_be_left_out():
    silent = dataclasses.replace(GROUNDED, place_cells=0)
    assert answer_text(silent, TokenNames(), RoleAnswer((RED,))) == "red square [SEG_ACT] <|im_end|>"


def test_expressions_are_cleaned_and_questions_formed():
    assert clean_expression(" The Red disc. Pushing? ") == "the red disc pushing"
    assert question_text(GROUNDED, "A {expression}") == "segment a {expression} :"


def test_every_word_is_one_token_and_unknown_ones_are_unknown():
    tokenizer = build_word_tokenizer(WORDS, GROUNDED, TokenNames())
    ids = tokenizer("segment Red square pushing zebra :", add_special_tokens=False)["input_ids"]
    words = tokenizer.convert_ids_to_tokens(ids)
    assert words == ["segment", "red", "square", "pushing", "<unk>", ":"]
    for token in special_tokens(TokenNames()):
        assert tokenizer(token, add_special_tokens=False)["input_ids"] == [tokenizer.get_vocab()[token]]


def test_frames_text_has_one_image_token_per_visual_token():
    config = dataclasses.replace(GROUNDED, label_frames=True)
    for chosen in (GROUNDED, config):
        tokenizer = build_word_tokenizer(WORDS, chosen, TokenNames())
        ids = tokenizer(frames_text(chosen, TokenNames(), 3, 16), add_special_tokens=False)["input_ids"]
        assert ids.count(tokenizer.get_vocab()["<IMG_CONTEXT>"]) == 48
        assert tokenizer.get_vocab()["<unk>"] not in ids


def test_a_very_long_expression_is_cut_and_the_question_still_ends():
    model = build_mini()
    ids = model.question_ids("red square pushing " * 1000)
    assert len(ids) == model.config.prompts.max_question_tokens
    assert ids[-1] == model.tokenizer.get_vocab()[":"]
    assert ids[0] == model.tokenizer.get_vocab()["segment"]


def test_a_tokenizer_without_the_role_tokens_is_refused():
    config = mini_model_config()
    tokenizer = build_word_tokenizer(WORDS, config.prompts, config.tokens)
    other = dataclasses.replace(config, tokens=TokenNames(actor="[SEG]", target="[SEG_OBJ]"))
    with pytest.raises(CheckpointError, match=r"missing \[SEG\], \[SEG_OBJ\]"):
        Reviosa(other, tokenizer)
