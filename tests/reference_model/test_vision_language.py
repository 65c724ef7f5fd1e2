"""Reading several expressions of one clip at once must equal reading each alone; so must generating."""

from __future__ import annotations

import pytest
import torch

from reference_model.generation import Ends, read_prefix, write_answers
from reference_model.losses import attention_mask_loss
from reference_model.prompts import NamedObject, RoleAnswer
from reference_model.vision_language import pack
from tests.reference_model.mini_reviosa import build_mini, mini_model_config

RED = NamedObject("red", "square", 0.2, 0.5)
BLUE = NamedObject("blue", "disc", 0.8, 0.1)
TEXTS = ("red square pushing blue square", "blue disc", "object being pushed by object")
ANSWERS = (RoleAnswer((RED,), (BLUE,)), RoleAnswer((BLUE,)), RoleAnswer((BLUE, RED), (RED,)))


@pytest.fixture(scope="module")
def model():
    return build_mini(seed=1)


def frames(batch: int = 1, count: int = 3) -> torch.Tensor:
    return torch.randn(batch, count, 3, 32, 32, generator=torch.Generator().manual_seed(count))


def test_pack_lays_out_segments_positions_and_padding():
    packed = pack([7, 8], [[[1, 2], [3]], [[4]]], padding_id=0)
    assert packed.ids_BL.tolist() == [[7, 8, 1, 2, 3], [7, 8, 4, 0, 0]]
    assert packed.segment_BL.tolist() == [[0, 0, 1, 1, 2], [0, 0, 1, -1, -1]]
    assert packed.position_BL.tolist() == [[0, 1, 2, 3, 2], [0, 1, 2, 0, 0]]
    reads = packed.attention_mask()[0, 0]
    assert reads[4].tolist() == [True, True, False, False, True]  # the frames and itself
    assert reads[3].tolist() == [True, True, True, True, False]
    assert not packed.attention_mask()[1, 0, :3, 3:].any()  # nobody reads padding


def test_expressions_do_not_see_each_other(model):
    pixels = frames()
    together = model.teach(pixels, [TEXTS], [ANSWERS])
    row = 0
    for text, answer in zip(TEXTS, ANSWERS, strict=True):
        alone = model.teach(pixels, [[text]], [[answer]])
        count = len(alone.rows_R2)
        torch.testing.assert_close(
            together.hidden_RD[row : row + count], alone.hidden_RD, atol=1e-5, rtol=1e-5
        )
        row += count
    assert row == len(together.rows_R2) == 5


def test_clips_of_one_batch_do_not_see_each_other(model):
    pixels = frames(batch=2)
    both = model.teach(pixels, [TEXTS[:1], TEXTS], [ANSWERS[:1], ANSWERS])
    first = model.teach(pixels[:1], [TEXTS[:1]], [ANSWERS[:1]])
    torch.testing.assert_close(both.hidden_RD[:2], first.hidden_RD, atol=1e-5, rtol=1e-5)


def test_padding_and_packing_match_the_model_called_plainly(model):
    """The packed pass against InternVL's own forward on one plain conversation."""
    pixels, text, answer = frames(), TEXTS[0], ANSWERS[0]
    taught = model.teach(pixels, [[text]], [[answer]])
    ids = torch.tensor([model.frames_ids(3) + model.question_ids(text) + model.answer_ids(answer)])
    plain = model.vision_language.internvl(
        input_ids=ids,
        pixel_values=pixels[0],
        attention_mask=torch.ones_like(ids),
        output_hidden_states=True,
    ).hidden_states[-1]
    torch.testing.assert_close(taught.read.hidden_BLD, plain, atol=1e-5, rtol=1e-5)


def eager_rows(model, taught, pixels, layer: int) -> torch.Tensor:
    """Attention (R, H, L) of the role tokens, from a pass with eager attention in all layers."""
    internvl = model.vision_language.internvl
    internvl.set_attn_implementation("eager")
    try:
        mask = torch.where(taught.packed.attention_mask(), 0.0, torch.finfo(torch.float32).min)
        visual = model.vision_language.visual_tokens(pixels)
        attentions = internvl.model.language_model(
            inputs_embeds=model.vision_language.embed(taught.packed.ids_BL, visual),
            attention_mask=mask,
            position_ids=taught.packed.position_BL,
            output_attentions=True,
        ).attentions
    finally:
        internvl.set_attn_implementation("sdpa")
    clip, token = taught.rows_R2.unbind(1)
    return attentions[layer][clip, :, token]


@pytest.mark.parametrize("layer", [0, 1])
def test_attention_rows_equal_eager_attention(model, layer):
    pixels = frames(batch=2)
    taught = model.teach(pixels, [TEXTS, TEXTS[:1]], [ANSWERS, ANSWERS[:1]], attention_layer=layer)
    own = model.vision_language.attention_rows(taught.read, layer, (0, 1), taught.rows_R2)
    torch.testing.assert_close(own, eager_rows(model, taught, pixels, layer), atol=1e-6, rtol=1e-5)
    torch.testing.assert_close(own.sum(-1), torch.ones(own.shape[:2]))


def test_attention_mask_loss_has_the_value_and_the_gradients_of_eager_attention(model):
    """Every weight that the loss reaches, to 1e-5 of its largest gradient; padding included."""
    pixels, layer = frames(batch=2), 1
    taught = model.teach(pixels, [TEXTS, TEXTS[:1]], [ANSWERS, ANSWERS[:1]], attention_layer=layer)
    own = model.visual_attention(taught, layer, (0, 1))
    columns = taught.packed.ids_BL[0] == model.vision_language.image_token_id
    eager = eager_rows(model, taught, pixels, layer)[..., columns]
    truth = (torch.rand(own.shape[0], own.shape[2], generator=torch.Generator().manual_seed(0)) > 0.7).float()
    losses = [attention_mask_loss(one, truth) for one in (own, eager)]
    torch.testing.assert_close(losses[0], losses[1], atol=1e-5, rtol=1e-5)
    parameters = dict(model.vision_language.named_parameters())
    found, expected = (torch.autograd.grad(one, parameters.values(), allow_unused=True) for one in losses)
    reached = set()
    for name, mine, theirs in zip(parameters, found, expected, strict=True):
        if theirs is None or not theirs.any():
            assert mine is None or not mine.any(), name
            continue
        reached.add(name.split(".")[-2])
        largest = float(theirs.abs().max())
        torch.testing.assert_close(mine, theirs, atol=1e-5 * largest, rtol=1e-5, msg=name)
    assert {"q_proj", "k_proj", "v_proj", "input_layernorm", "embed_tokens"} <= reached


def test_attention_rows_need_the_layer_input(model):
    taught = model.teach(frames(), [TEXTS], [ANSWERS])
    with pytest.raises(ValueError, match="not asked"):
        model.vision_language.attention_rows(taught.read, 1, (0,), taught.rows_R2)


def answers(written):
    return [one.ids for one in written], [one.hidden_LD for one in written]


def test_generation_equals_generating_one_by_one_and_the_taught_hidden_states(model):
    """Batched, cached, left-padded generation: same words and vectors as alone and as read in one pass."""
    pixels = frames()
    visual = model.vision_language.visual_tokens(pixels)
    prefix = model.frames_ids(3)
    questions = [model.question_ids(text) for text in TEXTS]
    assert len({len(question) for question in questions}) > 1
    ends = Ends(frozenset({model.end_id}), 6)
    read_frames = read_prefix(model.vision_language, prefix, visual)
    together, hidden = answers(write_answers(model.vision_language, read_frames, questions, ends))
    for row, question in enumerate(questions):
        alone, alone_hidden = answers(write_answers(model.vision_language, read_frames, [question], ends))
        assert together[row] == alone[0]
        torch.testing.assert_close(hidden[row], alone_hidden[0], atol=1e-4, rtol=1e-4)
        assert len(hidden[row]) == len(together[row])
        packed = pack(prefix, [[question + together[row]]], model.padding_id)
        read = model.vision_language.read(packed, visual).hidden_BLD[0]
        start = len(prefix) + len(question)
        torch.testing.assert_close(hidden[row], read[start:], atol=1e-4, rtol=1e-4)
        choices = model.vision_language.logits(read[start - 1 : -1]).argmax(-1).tolist()
        assert choices == together[row]


def test_generation_stops_at_the_end_token_and_at_the_limit(model):
    visual = model.vision_language.visual_tokens(frames())
    prefix, question = model.frames_ids(3), model.question_ids(TEXTS[0])
    frames_read = read_prefix(model.vision_language, prefix, visual)
    never = Ends(frozenset(), 5)
    (free,) = write_answers(model.vision_language, frames_read, [question], never)
    assert len(free.ids) == len(free.hidden_LD) == 5 and free.cut
    at_once = Ends(frozenset({free.ids[0]}), 5)
    (stopped,) = write_answers(model.vision_language, frames_read, [question], at_once)
    assert stopped.ids == [] and not stopped.cut
    assert stopped.hidden_LD.shape == (0, mini_model_config().vision_language.width)
    by_text = Ends(frozenset(), 5, lambda ids: len(ids) == 3)
    (said,) = write_answers(model.vision_language, frames_read, [question], by_text)
    assert said.ids == free.ids[:3] and len(said.hidden_LD) == 2 and not said.cut
