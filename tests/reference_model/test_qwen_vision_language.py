"""Qwen2.5-VL in the place of InternVL: equal to the native class, in one pass and in generation."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from reference_model.config import AnswerStyle
from reference_model.frame_pixels import normalised_frames
from reference_model.generation import Ends, read_prefix, write_answers
from reference_model.model import Reviosa
from reference_model.prompts import NamedObject, RoleAnswer
from reference_model.qwen_vision_language import own_pixels, patches_of
from reference_model.recipes import find_recipe
from reference_model.starting_model import sibling_tokenizer

FRAMES = 3
SOMEONE = NamedObject("", "", 0.0, 0.0)
EXPRESSIONS = ("red disc pushing blue square", "green cross")
ANSWERS = (RoleAnswer((SOMEONE,), (SOMEONE,)), RoleAnswer((SOMEONE,)))


@pytest.fixture(scope="module")
def model():
    recipe = find_recipe("reviosa_qwen2_5_vl_3b_tiny")
    assert recipe.model.prompts.answer_style is AnswerStyle.PAPER
    torch.manual_seed(0)
    return Reviosa(recipe.model, sibling_tokenizer(recipe)).eval()


@pytest.fixture(scope="module")
def frames():
    return np.random.default_rng(0).integers(0, 256, (FRAMES, 56, 56, 3), np.uint8)


def test_patches_are_those_of_the_native_processor(model, frames):
    from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

    processor = Qwen2VLImageProcessorPil(min_pixels=56 * 56, max_pixels=56 * 56)
    theirs = processor(list(frames), return_tensors="pt")
    ours = patches_of(own_pixels(normalised_frames(frames, 56)), 14)
    assert theirs["image_grid_thw"].tolist() == [[1, 4, 4]] * FRAMES
    assert float((ours.flatten(0, 1) - theirs["pixel_values"]).abs().max()) < 1e-5


def test_one_pass_equals_the_native_class_for_each_expression(model, frames):
    pixels = normalised_frames(frames, 56)[None]
    with torch.no_grad():
        taught = model.teach(pixels, [EXPRESSIONS], [ANSWERS], attention_layer=1)
        rows = model.visual_attention(taught, 1, (0, 3))
        frames_ids = model.frames_ids(FRAMES)
        patches = patches_of(own_pixels(pixels[0]), 14).flatten(0, 1)
        at, row = len(frames_ids), 0
        for text, answer in zip(EXPRESSIONS, ANSWERS, strict=True):
            segment = model.question_ids(text) + model.answer_ids(answer)
            ids = torch.tensor([frames_ids + segment])
            native = model.vision_language.qwen
            native.set_attn_implementation("eager")
            output = native(
                input_ids=ids,
                pixel_values=patches,
                image_grid_thw=torch.tensor([[1, 4, 4]] * FRAMES),
                mm_token_type_ids=(ids == model.vision_language.image_token_id).int(),
                output_hidden_states=True,
                output_attentions=True,
            )
            native.set_attn_implementation("sdpa")
            hidden = output.hidden_states[-1][0, len(frames_ids) :]
            assert float((taught.read.hidden_BLD[0, at : at + len(segment)] - hidden).abs().max()) < 1e-5
            here = ids[0] == model.vision_language.image_token_id
            for token in (place for place, one in enumerate(ids[0].tolist()) if one in model.role_ids):
                expected = output.attentions[1][0, [0, 3], token][:, here]
                assert float((rows[row] - expected).abs().max()) < 1e-5
                row += 1
            at += len(segment)
    assert row == len(rows) == 3


def test_generation_goes_on_where_the_frames_end(model, frames):
    """Hidden states of written tokens are those of one pass over frames, question and answer."""
    pixels = normalised_frames(frames, 56)[None]
    language = model.vision_language
    frames_ids, question = model.frames_ids(FRAMES), model.question_ids(EXPRESSIONS[0])
    with torch.no_grad():
        visual = language.visual_tokens(pixels)
        prefix = read_prefix(language, frames_ids, visual)
        (written,) = write_answers(language, prefix, [question], Ends(frozenset(), 4))
        from reference_model.vision_language import pack

        packed = pack(frames_ids, [[question + written.ids]], model.padding_id)
        again = language.read(packed, visual).hidden_BLD[0, -len(written.ids) :]
    assert len(written.ids) == 4
    assert float((written.hidden_LD - again).abs().max()) < 1e-5
