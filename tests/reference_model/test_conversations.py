"""Questions, answers and their tokens: the official sentences, what is taught, what is cut or refused."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from benchmark.errors import DatasetError
from reference_model.config import TokenNames
from reference_model.conversation_batches import make_batch, shorten_expression
from reference_model.conversations import ANSWERS, POSTFIXES, QUESTIONS, Turn, expression_turn
from reference_model.dataset_mix import Sample
from reference_model.full_recipes import tuning_of
from reference_model.model import Reviosa
from reference_model.recipes import find_recipe
from reference_model.starting_model import sibling_tokenizer
from reference_model.tuning_config import TurnLayout
from reference_model.vision_language import PADDING_SEGMENT
from tests.reference_model.small_tuning import small_tuning

NAMES = TokenNames(actor="[SEG]", target="[SEG_OBJ]")


@pytest.fixture(scope="module", params=["reviosa_1b_tiny", "reviosa_4b_tiny"])
def model(request):
    recipe = find_recipe(request.param)
    return Reviosa(recipe.model, sibling_tokenizer(recipe))


def clip_sample(*turns: Turn) -> Sample:
    count = len(turns)
    truth = np.zeros((count, 2, 16, 16), bool)
    frames = np.zeros((2, 56, 56, 3), np.uint8)
    both = tuple("[SEG_OBJ]" in one.answer for one in turns)
    return Sample("a clip", turns, frames, np.zeros((2, 64, 64, 3), np.uint8), truth, truth, both)


def turn(expression: str, target: bool = True) -> Turn:
    return expression_turn(expression, target, True, NAMES, np.random.default_rng(0))


def test_the_sentences_are_the_official_ones():
    assert len(QUESTIONS) == len(set(QUESTIONS)) == 16
    assert len(POSTFIXES) == len(set(POSTFIXES)) == 7
    assert all(one.startswith(" If both a subject and an object are present, ") for one in POSTFIXES)
    assert "What is {expression} in this image? Please respond with segmentation mask." in QUESTIONS
    assert {one.format(tokens="[SEG]") for one in ANSWERS} == {
        *("It is [SEG].", "Sure, [SEG].", "Sure, it is [SEG]."),
        *("Sure, the segmentation result is [SEG].", "[SEG]."),
    }


def test_all_sentences_are_drawn_and_only_they():
    rng = np.random.default_rng(0)
    said = [expression_turn("The Dog.", number % 2 == 0, True, NAMES, rng) for number in range(2000)]
    questions = {one.question for one in said}
    assert len(questions) == 16 * 7
    assert all("the dog in this" in one for one in questions)
    assert {one.answer for one in said[::2]} == {one.format(tokens="[SEG] and [SEG_OBJ]") for one in ANSWERS}
    assert {one.answer for one in said[1::2]} == {one.format(tokens="[SEG]") for one in ANSWERS}


def test_a_question_mark_in_an_expression_gets_an_answer_like_any_other():
    asked = turn("Who is handing the cup?")
    assert "who is handing the cup in this" in asked.question.lower()
    assert "[SEG] and [SEG_OBJ]" in asked.answer
    for nothing in ("?", " . ", ""):
        with pytest.raises(DatasetError, match="the expression is empty"):
            turn(nothing)


def test_what_is_taught_is_the_answer_and_its_end(model):
    tuning = tuning_of(small_tuning())
    tuning = tuning_of(find_recipe("reviosa_4b_tiny")) if model.config.prompts.stop_text else tuning
    turns = (turn("a dog"), turn("a cat", target=False))
    batch = make_batch([clip_sample(*turns)], model, tuning)
    ids = batch.packed.ids_BL[0].tolist()
    whole = model.tokenizer.decode(ids)
    frame = "<img>" + "<IMG_CONTEXT>" * 4 + "</img>"
    chat = tuning.chat
    expected = f"{chat.user}{frame}\n{frame}{turns[0].question}{chat.assistant}{turns[0].answer}{chat.end}\n"
    expected += f"{chat.user}{turns[1].question}{chat.assistant}{turns[1].answer}{chat.end}\n"
    assert whole == expected
    taught = "".join(f"{one.answer}{chat.end}" for one in turns)
    assert model.tokenizer.decode(batch.next_N.tolist()) == taught
    before = batch.packed.ids_BL[0, batch.before_N2[:, 1] + 1]
    assert torch.equal(before, batch.next_N)
    assert [ids[place] for place in batch.rows_R2[:, 1]] == [model.actor_id, model.target_id, model.actor_id]
    assert batch.target_R.tolist() == [False, True, False]
    assert batch.expression_R.tolist() == [0, 0, 1]


def test_independent_questions_read_the_frames_and_themselves_alone(model):
    import dataclasses

    tuning = dataclasses.replace(tuning_of(small_tuning()), turns=TurnLayout.INDEPENDENT)
    first, second = turn("a dog"), turn("a cat", target=False)
    both = make_batch([clip_sample(first, second)], model, tuning)
    alone = make_batch([clip_sample(second)], model, tuning)
    assert not both.packed.plain
    with torch.no_grad():
        visual = model.vision_language.visual_tokens(torch.zeros(1, 2, 3, 56, 56))
        hidden = [model.vision_language.read(one.packed, visual).hidden_BLD[0] for one in (both, alone)]
    for rows in (both.rows_R2[-1, 1], both.rows_R2[-1, 1] + 1):
        place = alone.rows_R2[0, 1] + (rows - both.rows_R2[-1, 1])
        torch.testing.assert_close(hidden[0][rows], hidden[1][place], rtol=0, atol=1e-5)


def test_padding_changes_nothing(model):
    """A plain row leaves the mask to the fused kernel; what comes behind it is read by nobody."""
    tuning = tuning_of(small_tuning())
    short, long = clip_sample(turn("a dog")), clip_sample(turn("a very long sentence about a cat"))
    together, alone = make_batch([short, long], model, tuning), make_batch([short], model, tuning)
    assert together.packed.plain and (together.packed.segment_BL == PADDING_SEGMENT).any()
    length = alone.packed.ids_BL.shape[1]
    with torch.no_grad():
        visual = model.vision_language.visual_tokens(torch.zeros(2, 2, 3, 56, 56))
        padded = model.vision_language.read(together.packed, visual).hidden_BLD[0, :length]
        plain = model.vision_language.read(alone.packed, visual[:1]).hidden_BLD[0]
    torch.testing.assert_close(padded, plain, rtol=0, atol=1e-5)


def test_conversations_without_a_clip_come_last_and_teach_words_only(model):
    tuning = tuning_of(small_tuning())
    silent = Sample("text", (Turn("How many dogs are there?", "Two."), Turn("And cats?", "None.")))
    batch = make_batch([silent, clip_sample(turn("a dog"))], model, tuning)
    assert batch.names == ("a clip", "text")
    assert set(batch.rows_R2[:, 0].tolist()) == {0} and len(batch.language_BFSSC) == 1
    assert model.tokenizer.decode(batch.next_N.tolist()).endswith(
        f"Two.{tuning.chat.end}None.{tuning.chat.end}"
    )
    blank = make_batch([silent], model, tuning)
    assert blank.names == ("blank clip", "text") and blank.clips_count == 0.0
    assert len(blank.rows_R2) == 1


def test_very_long_expressions_are_cut_and_very_long_conversations_refused(model):
    import dataclasses

    words = " ".join(["running"] * 5000)
    cut = shorten_expression(words, model)
    assert len(model.encode(cut)) <= model.config.prompts.max_question_tokens
    assert words.startswith(cut) and shorten_expression("a dog", model) == "a dog"
    tuning = dataclasses.replace(tuning_of(small_tuning()), most_tokens=100)
    with pytest.raises(DatasetError, match=r"a clip: the conversation is longer.*at most 100 tokens"):
        make_batch([clip_sample(turn(cut))], model, tuning)
