"""Attention of the tokens the model itself wrote: equal to eager attention on the same words."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from benchmark.errors import UsageError
from benchmark.frames import FrameArray
from benchmark.types import Role
from reference_model import attention_reading
from reference_model.attention_reading import read_clip, without_maps, written_rows
from reference_model.predict import Predictor
from reference_model.training_data import TrainingExpression
from reference_model.validate import validate
from tests.reference_model.mini_reviosa import build_mini, square_clip
from tests.reference_model.test_predict import talkative_model


@pytest.fixture(scope="module")
def predictor() -> Predictor:
    return Predictor(talkative_model(), torch.device("cpu"))


def test_rows_equal_eager_attention_in_every_layer(predictor):
    """The plain conversation of one expression, in eager attention everywhere, is the oracle."""
    clip, model = square_clip(), predictor.model
    predictor.open_video(FrameArray(clip.frames_THWC))
    texts = [one.text for one in clip.expressions]
    answers = predictor.answer(texts)
    visual = predictor.visual_tokens()
    rows = written_rows(
        model, visual, [(one, said.written) for one, said in zip(texts, answers, strict=True)]
    )
    assert [(row.expression, row.role) for row in rows] == [
        (number, role) for number in range(3) for role in Role
    ]
    internvl = model.vision_language.internvl
    internvl.set_attn_implementation("eager")
    try:
        for row in rows:
            question, written = model.question_ids(texts[row.expression]), answers[row.expression].written
            ids = torch.tensor([model.frames_ids(3) + question + list(written)])
            position = ids.shape[1] - len(written) + written.index(model.role_ids[list(Role).index(row.role)])
            with torch.inference_mode():
                eager = internvl.model.language_model(
                    inputs_embeds=model.vision_language.embed(ids, visual), output_attentions=True
                ).attentions
            whole = torch.stack([one[0, :, position] for one in eager]).numpy()
            at_visual = (ids[0] == model.vision_language.image_token_id).numpy()
            np.testing.assert_allclose(row.vision_YHX, whole[..., at_visual], atol=1e-5)
            np.testing.assert_allclose(row.text_YH, whole[..., ~at_visual].sum(-1), atol=1e-5)
    finally:
        internvl.set_attn_implementation("sdpa")


def test_a_clip_gives_shares_regions_and_scores(predictor):
    clip = square_clip()
    read = read_clip(predictor, clip, 7)
    assert read.shown == (0, 3, 5)
    assert read.expected == {Role.ACTOR: 3, Role.TARGET: 2}
    assert read.missing == {Role.ACTOR: 0, Role.TARGET: 0}
    assert [(one.expression, one.role) for one in read.tokens] == [
        (n, role) for n in range(3) for role in Role
    ]
    scores = validate(predictor, [clip]).measured
    measured = [one for one in read.tokens if one.j_and_f is not None]
    for token, other in zip(measured, scores, strict=True):
        assert token.role is other.role
        assert token.j_and_f == pytest.approx((other.score.j + other.score.f) / 2)
    for token in read.tokens:
        assert token.clip == 7 and token.vision_YH.shape == (2, 2)
        np.testing.assert_allclose(token.vision_YH + token.text_YH, 1, atol=1e-5)
        assert token.maps_YHX is not None and token.maps_YHX.shape == (2, 2, 3 * 16)
    actor = read.tokens[0]
    # Cells of 16 x 12 pixels; the red square, 12 wide, starts at x = 4, 10 and 14, and spans y 16 to 32.
    where = np.zeros((3, 4, 4), bool)
    centres = np.array([8, 24, 40, 56])
    for frame, left in enumerate((4, 10, 14)):
        where[frame, 1:3] = (centres >= left) & (centres < left + 12)
    np.testing.assert_array_equal(actor.truth_X, where.ravel())
    np.testing.assert_allclose(actor.mask_YH, actor.maps_YHX[..., where.ravel()].sum(-1), rtol=1e-6)
    assert actor.covered == pytest.approx(where.mean())
    unasked = read.tokens[-1]  # a target nobody asked for has neither region nor score
    assert (unasked.mask_YH, unasked.covered, unasked.j_and_f) == (None, None, None)
    assert all(one.maps_YHX is None for one in without_maps(read).tokens)


def test_an_object_outside_the_shown_frames_has_no_region_but_a_score(predictor):
    clip = square_clip()
    masks = clip.masks_NTHW.copy()
    masks[0, [0, 3, 5]] = False
    expressions = (TrainingExpression("red square", (0,), ()),)
    read = read_clip(predictor, dataclasses.replace(clip, masks_NTHW=masks, expressions=expressions), 0)
    assert read.tokens[0].mask_YH is None and read.tokens[0].j_and_f is not None


def test_how_many_expressions_are_read_at_once_changes_nothing(predictor, monkeypatch):
    clip = square_clip()
    together = read_clip(predictor, clip, 0)
    monkeypatch.setattr(attention_reading, "EXPRESSIONS_AT_ONCE", 2)
    for one, other in zip(together.tokens, read_clip(predictor, clip, 0).tokens, strict=True):
        assert (one.expression, one.role, one.j_and_f) == (other.expression, other.role, other.j_and_f)
        np.testing.assert_allclose(one.maps_YHX, other.maps_YHX, atol=1e-6)


def test_tokens_that_are_not_written_are_counted(predictor):
    silent = Predictor(build_mini(), torch.device("cpu"))
    read = read_clip(silent, square_clip(), 0)
    assert read.tokens == () and read.missing == read.expected == {Role.ACTOR: 3, Role.TARGET: 2}


def test_visual_tokens_are_those_of_an_open_clip():
    with pytest.raises(UsageError, match="no video is open"):
        Predictor(build_mini(), torch.device("cpu")).visual_tokens()
