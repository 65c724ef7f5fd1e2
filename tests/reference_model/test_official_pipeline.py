"""`mode="official"` against the released inference: pixels, words, logits and masks of whole questions.

The peer's numbers are stored in `golden/released_pipeline.json`; `golden/ask_released_pipeline.py` says how
it was asked.
"""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch

from benchmark.frames import FrameArray
from reference_model import convert, released_recipes, sam2_weights
from reference_model.config import Resize
from reference_model.frame_pixels import normalised_frames
from reference_model.losses import resized_logits
from reference_model.predictor import load_predictor
from tests.reference_model.golden import peer_cases as cases
from tests.reference_model.golden import pipeline_cases as pipeline
from tests.reference_model.original_checkpoints import SMALL_SAM2, small_recipe, write_released

STORED = Path(__file__).parent / "golden" / "released_pipeline.json"
ENOUGH = 1e-4
ENDS = (cases.TOKENS.index("<|im_end|>"), cases.TOKENS.index("<|endoftext|>"))


@cache
def stored():
    return json.loads(STORED.read_text())


def difference(values, found) -> float:
    return float(np.abs(np.array(cases.kept(np.asarray(found))) - np.array(values)).max())


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    folder = tmp_path_factory.mktemp("released")
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sam2_weights.SIZES, "small", SMALL_SAM2)
        patch.setitem(released_recipes.RELEASED, "small", small_recipe)
        source = write_released(folder / "source")
        assert not convert.main(["--released", str(source), "--output", str(folder / "ours")])
    return folder / "ours"


def asked_as_released(checkpoint, name, changes=()):
    """Our answer to a case, the logits of each track, the pixels of both halves, the ids of the question."""
    case = pipeline.CASES[name]
    most = [f"answer-tokens={case.most}"]
    predictor = load_predictor(checkpoint, "cpu", "official", [*most, *changes])
    model, decoder = predictor.model, predictor.model.mask_decoder
    words, logits = model.tokenizer.get_vocab(), model.vision_language.logits
    seen = {"frames": [], "language frames": [], "tracks": [], "asked": None}

    def dictated(hidden):
        scores = logits(hidden)
        if case.script:
            step = min(dictated.calls, len(case.script) - 1)
            scores[:, words[case.script[step]]] += 1e4
        dictated.calls += 1
        return scores

    dictated.calls = 0
    model.vision_language.logits = dictated
    encode, visual, follow = decoder.encode, model.vision_language.visual_tokens, decoder.follow

    def encoding(pixels):
        seen["frames"].append(pixels)
        return encode(pixels)

    def looking(pixels):
        seen["language frames"].append(pixels[0])
        return visual(pixels)

    def following(*arguments):
        steps = sorted(((frame, one) for frame, one in follow(*arguments)), key=lambda step: step[0])
        seen["tracks"].append(torch.stack([one.logits_Mhw for _, one in steps]))
        return steps

    decoder.encode, decoder.follow = encoding, following
    model.vision_language.visual_tokens = looking
    predictor.open_video(FrameArray(pipeline.clip(name, case.frames, case.height, case.width)))
    (answer,) = predictor.answer([case.expression])
    question = model.question_ids(case.expression, cut=False, keep_marks=True)
    seen["asked"] = model.frames_ids(len(answer.frames_used)) + question
    return answer, seen


@pytest.mark.parametrize("name", pipeline.CASES)
def test_words_pixels_logits_and_masks(checkpoint, name):
    theirs = stored()["cases"][name]
    answer, seen = asked_as_released(checkpoint, name)
    ids = theirs["ids"][:-1] if theirs["ids"][-1] in ENDS else theirs["ids"]
    assert list(answer.written) == ids
    assert seen["asked"] == theirs["asked"]
    case = pipeline.CASES[name]
    assert answer.frames_used == tuple(range(min(5, case.frames)))
    pixels = torch.stack([*seen["language frames"][0]])
    assert list(pixels.shape) == theirs["language frames"]["shape"]
    differences = {"language frames": difference(theirs["language frames"]["values"], pixels)}
    tracks = iter(seen["tracks"])
    for number, role in enumerate(("actor", "target")):
        mask = getattr(answer, role)
        assert (mask is not None) == (theirs[f"{role} tracks"] > 0), role
        if mask is None:
            continue
        large = resized_logits(next(tracks)[:, 0], cases.SAM_SIDE, cases.SAM_SIDE)[:, None]
        assert float(large.std()) > 0.1
        differences[f"{role} logits"] = difference(theirs[f"{role} logits"], large)
        expected = np.unpackbits(np.frombuffer(bytes.fromhex(theirs[f"{role} mask"]), np.uint8))
        shape = (case.frames, case.height, case.width)
        expected = expected[: np.prod(shape)].reshape(shape).astype(bool)
        assert 0 < expected.sum() == theirs[f"{role} pixels"] < expected.size
        # A logit within rounding of zero may fall on either side.
        differences[f"{role} share of other pixels"] = float(np.mean(expected != mask))
        if number == 0:
            frames = torch.cat(seen["frames"])[: case.frames]
            assert list(frames.shape) == theirs["frames"]["shape"]
            differences["frames"] = difference(theirs["frames"]["values"], frames)
    print(differences)
    assert max(differences.values()) < ENOUGH, differences


def test_without_the_rounding_of_memory_the_numbers_would_differ(checkpoint):
    """The comparison is fine enough to see it."""
    theirs = stored()["cases"]["both roles"]
    _, seen = asked_as_released(checkpoint, "both roles", ["rounded-memory=false"])
    large = resized_logits(seen["tracks"][0][:, 0], cases.SAM_SIDE, cases.SAM_SIDE)[:, None]
    assert difference(theirs["actor logits"], large) > ENOUGH
    _, seen = asked_as_released(checkpoint, "both roles", ["rounded-pixels=false"])
    frames = torch.cat(seen["frames"])[:8]
    assert difference(theirs["frames"]["values"], frames) > 1e-3


def test_pixels_at_the_real_sizes():
    frame = pipeline.clip("real", 1, *pipeline.REAL)
    small, large = pipeline.REAL_SIDES
    real = stored()["real pixels"]
    language = normalised_frames(frame, small, Resize.BICUBIC)[0]
    masks = normalised_frames(frame, large, Resize.BICUBIC, rounded=True)[0]
    assert difference(real["language"], language) == 0
    assert difference(real["masks"], masks) == 0
    assert difference(real["masks in bfloat16"], masks.bfloat16().float()) == 0
    assert difference(real["masks"], normalised_frames(frame, large)[0]) > 0.01
