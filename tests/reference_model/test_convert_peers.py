"""Converted weights compute what the public code computes with them: float32, within 1e-4.

The peers' numbers are stored in `golden/peers.json`; `golden/ask_peers.py` says how they were asked.
"""

from __future__ import annotations

import dataclasses

import pytest
import torch

from reference_model import convert, released_recipes, sam2_weights
from reference_model.checkpoint import load_checkpoint, read_tensors
from reference_model.mask_decoder import PromptedMaskDecoder
from reference_model.vision_language import pack
from tests.reference_model.golden import peer_cases as cases
from tests.reference_model.original_checkpoints import (
    SMALL_SAM2,
    largest_difference,
    small_recipe,
    write_internvl,
    write_released,
    write_sam2,
    write_training,
)

ENOUGH = 1e-4


@pytest.fixture(autouse=True)
def small_size(monkeypatch):
    monkeypatch.setitem(sam2_weights.SIZES, "small", SMALL_SAM2)
    monkeypatch.setitem(released_recipes.RELEASED, "small", small_recipe)


def language_differences(case, internvl):
    """Largest differences of vision tower, projector, last hidden states and logits."""
    pixels = torch.from_numpy(cases.numbers("pixels", (2, 3, cases.SIDE, cases.SIDE))) * 2
    with torch.no_grad():
        tower = internvl.model.vision_tower(pixel_values=pixels).last_hidden_state
        output = internvl(input_ids=torch.tensor([cases.IDS]), pixel_values=pixels, output_hidden_states=True)
        visual = internvl.get_image_features(
            pixels, vision_feature_layer=-1, vision_feature_select_strategy="default", return_dict=True
        )
    found = {
        "tower": tower,
        "visual": visual.pooler_output,
        "hidden": output.hidden_states[-1][0],
        "logits": output.logits[0],
    }
    return {name: largest_difference(case, name, one) for name, one in found.items()}


def follow(decoder, prompt, visible=True):
    """Feature maps of the first frame and masks of all frames, prompted on the first two."""
    shape = (cases.FRAMES, 3, cases.SAM_SIDE, cases.SAM_SIDE)
    pixels = torch.from_numpy(cases.numbers("frames", shape)) * 2
    with torch.no_grad():
        levels = [level[None] for level in decoder.encode(pixels)]
        tracked = decoder.track(
            lambda frames: [level[:, list(frames)] for level in levels],
            cases.FRAMES,
            torch.tensor([0]),
            prompt,
            cases.PROMPTED,
        )
    assert ((tracked.object_score_NT > 0) == visible).all()
    return [level[0, :1] for level in levels], tracked.logits_NThw[0]


def test_internvl(tmp_path):
    from transformers import InternVLForConditionalGeneration

    source = write_internvl(tmp_path / "original")
    assert not convert.main(["--internvl", str(source), "--output", str(tmp_path / "native")])
    model = InternVLForConditionalGeneration.from_pretrained(tmp_path / "native").eval()
    assert model.dtype == torch.float32
    differences = language_differences("internvl", model)
    print(differences)
    assert max(differences.values()) < ENOUGH, differences


@pytest.mark.parametrize("case", ["sam2", "sam2.1"])
def test_sam2(tmp_path, case):
    from transformers import Sam2VideoModel

    source = write_sam2(tmp_path / "original.pt", case=case)
    assert not convert.main(["--sam2", str(source), "--output", str(tmp_path / "native")])
    newer = case == "sam2.1"
    decoder = PromptedMaskDecoder(
        dataclasses.replace(SMALL_SAM2, pointer_times=newer, absent_memory=newer)
    ).eval()
    decoder.sam2.load_state_dict(read_tensors(tmp_path / "native" / "model.safetensors"))
    levels, masks = follow(decoder, torch.from_numpy(cases.numbers("prompt", (1, 256))))
    found = {f"level{number}": level for number, level in enumerate(levels)} | {"masks": masks}
    differences = {name: largest_difference(case, name, one) for name, one in found.items()}
    print(differences)
    assert max(differences.values()) < ENOUGH, differences
    loaded = Sam2VideoModel.from_pretrained(tmp_path / "native").state_dict()
    ours = decoder.sam2.state_dict()
    assert set(loaded) == set(ours)
    assert all(torch.equal(one, loaded[name]) for name, one in ours.items())


def reviosa_outputs(model):
    """What our own model computes of one question: through its packed reading, its projector."""
    pixels = torch.from_numpy(cases.numbers("pixels", (2, 3, cases.SIDE, cases.SIDE))) * 2
    end = len(cases.IDS) - cases.IDS[::-1].index(4)
    packed = pack(cases.IDS[:end], [[cases.IDS[end:]]], 0)
    with torch.no_grad():
        visual = model.vision_language.visual_tokens(pixels[None])
        hidden = model.vision_language.read(packed, visual).hidden_BLD[0]
        logits = model.vision_language.logits(hidden)
        prompts = model.projector(hidden[list(cases.ROLE_POSITIONS)])
    return {"visual": visual[0], "hidden": hidden, "logits": logits, "prompts": prompts}


def test_released_model(tmp_path):
    source = write_released(tmp_path / "released")
    assert not convert.main(["--released", str(source), "--output", str(tmp_path / "ours")])
    model = load_checkpoint(tmp_path / "ours").model
    found = reviosa_outputs(model)
    for role, prompt in zip(("actor", "target"), found["prompts"], strict=True):
        found[f"{role}_masks"] = follow(model.mask_decoder, prompt[None])[1]
    with torch.no_grad():
        model.mask_decoder.sam2.mask_decoder.pred_obj_score_head.proj_out.bias.fill_(cases.ABSENT)
    found["absent_masks"] = follow(model.mask_decoder, found["prompts"][:1], visible=False)[1]
    differences = {name: largest_difference("sa2va", name, one) for name, one in found.items()}
    print(differences)
    assert max(differences.values()) < ENOUGH, differences


def test_training_file(tmp_path):
    trained, internvl, sam2 = write_training(tmp_path)
    words = ["--training", trained, "--internvl", internvl, "--sam2", sam2, "--template", "qwen_chat"]
    assert not convert.main([*map(str, words), "--output", str(tmp_path / "ours")])
    found = reviosa_outputs(load_checkpoint(tmp_path / "ours").model)
    del found["prompts"]
    differences = {name: largest_difference("training", name, one) for name, one in found.items()}
    print(differences)
    assert max(differences.values()) < ENOUGH, differences
