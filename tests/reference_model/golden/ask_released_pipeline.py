"""Ask the released inference for pixels, words and masks on small models, and keep them.

    python tests/reference_model/golden/ask_released_pipeline.py --sa2va SA2VA

SA2VA is a git checkout of github.com/bytedance/Sa2VA (tag v1). ReVIOSa's own `predict_forward`
(cvlab-kaist/InterRVOS at 14c261e, `ReVIOSa/model/hf/models/modeling_reviosa_chat.py`) is Sa2VA's with the
last block written twice, once for each role token; so Sa2VA's is called twice here, with the token of the
role. What needs a GPU by name runs on the CPU, in float32 and without autocast; the memory, which the
program stores in bfloat16 whatever it computes in, is left as it is. It was run with transformers 4.42.3,
peft 0.11.1 and torchvision 0.28.0 (whose resizing is asked for real; its compiled operations are not
needed). The numbers go to `released_pipeline.json` beside this file.
"""

from __future__ import annotations

import argparse
import importlib
import json
import sys
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import MagicMock

import numpy as np
import torch
from PIL import Image
from torch import Tensor

sys.path.insert(0, str(Path(__file__).parent))
import ask_peers
import peer_cases as cases
import pipeline_cases as pipeline

ROLES = {"actor": "[SEG]", "target": "[SEG_OBJ]"}


def import_torchvision() -> None:
    """A build for another torch imports once its compiled operations have names; resizing uses none."""
    library = torch.library.Library("torchvision", "DEF")
    library.define("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    library.define("qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    names = ("roi_align", "ps_roi_align", "roi_pool", "ps_roi_pool", "deform_conv2d")
    for name in (*names, *(f"_{one}_backward" for one in names), "qroi_align"):
        library.define(f"{name}(Tensor x) -> Tensor")
    importlib.import_module("torchvision").kept_library = library


def build_model(root: Path) -> Any:
    """The small released model of `ask_peers.py`, ready to answer."""
    sys.path.insert(0, str(root / "projects" / "llava_sam2" / "hf"))
    sam2 = importlib.import_module("models.sam2")
    modules = {**vars(sam2), "Base": sam2.SAM2VideoPredictor}

    class SmallSam2(sam2.SAM2):
        def __init__(self) -> None:
            torch.nn.Module.__init__(self)
            self.sam2_model = ask_peers.small_sam2(
                modules, ask_peers.small_image_encoder(modules), add_tpos_enc_to_obj_ptrs=False
            )
            self.hidden_dim = self.sam2_model.hidden_dim
            self.img_mean, self.img_std = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)

    begin = sam2.SAM2VideoPredictor.init_state

    def on_the_cpu(predictor: Any, images: Tensor) -> Any:
        state = begin(predictor, images)
        state["device"] = state["storage_device"] = torch.device("cpu")
        return state

    sam2.SAM2VideoPredictor.init_state = on_the_cpu
    chat = importlib.import_module("models.modeling_sa2va_chat")
    chat.SAM2 = SmallSam2
    settings = cases.CONFIG | {"template": "qwen_chat", "model_type": "sa2va_chat"}
    config = importlib.import_module("models.configuration_sa2va_chat").Sa2VAChatConfig(**settings)
    model = chat.Sa2VAChatModel(config)
    ask_peers.fill(model)
    model.language_model.config.eos_token_id = model.language_model.generation_config.eos_token_id = None
    return model, chat


def make_tokenizer() -> Any:
    """One word per token."""
    from tokenizers import AddedToken, Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    words = {word: number for number, word in enumerate(cases.TOKENS)}
    tokenizer = Tokenizer(models.WordLevel(words, unk_token=cases.TOKENS[0]))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    special = [word for word in cases.TOKENS if not word.isalpha()]
    tokenizer.add_special_tokens([AddedToken(word, normalized=False) for word in special])
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="<|endoftext|>", eos_token="<|im_end|>"
    )


def make_ready(model: Any, chat: Any, tokenizer: Any, dtype: torch.dtype) -> None:
    """The program's own preparation, then the small sizes in the places where it sets the real ones."""
    model.preparing_for_generation(tokenizer=tokenizer, torch_dtype=dtype)
    model.extra_image_processor = chat.DirectResize(target_length=cases.SAM_SIDE)
    model.transformer.transforms[1].size = (cases.SIDE, cases.SIDE)
    model.patch_token = cases.VISUAL_TOKENS


def ask(model: Any, tokenizer: Any, name: str, case: pipeline.Case) -> dict[str, Any]:
    """Words, logits and masks of one case."""
    frames = [Image.fromarray(one) for one in pipeline.clip(name, case.frames, case.height, case.width)]
    model.gen_config.max_new_tokens = case.most
    model.gen_config.eos_token_id = tokenizer.eos_token_id
    question = case.expression.replace(".", "").strip().lower()
    found: dict[str, Any] = {}
    words = tokenizer.get_vocab()
    logits: list[Tensor] = []
    original = model.grounding_encoder.language_embd_inference
    pictures: dict[str, Tensor] = {}
    begin = model.grounding_encoder.get_sam2_embeddings

    def watched(state: Any, prompts: Any) -> Tensor:
        logits.append(original(state, prompts))
        return logits[-1]

    def seen(images: Tensor) -> Any:
        pictures["frames"] = images
        return begin(images)

    generate = model.generate

    def kept(**arguments: Any) -> Any:
        pictures["language frames"] = arguments["pixel_values"]
        output = generate(**arguments)
        found["ids"] = output.sequences[0].tolist()
        found["asked"] = arguments["input_ids"][0].tolist()
        return output

    model.grounding_encoder.language_embd_inference = watched
    model.grounding_encoder.get_sam2_embeddings = seen
    model.generate = kept
    try:
        for role, token in ROLES.items():
            logits.clear()
            step = [0]

            def dictate(_: Any, __: Any, output: Tensor, step: list[int] = step) -> Tensor:
                if case.script:
                    output = output.clone()
                    output[:, -1, words[case.script[min(step[0], len(case.script) - 1)]]] += 1e4
                step[0] += 1
                return output

            hook = model.language_model.lm_head.register_forward_hook(dictate)
            model.seg_token_idx = words[token]
            with torch.no_grad():
                said = model.predict_forward(
                    video=frames, text=f"<image>\nPlease segment {question}.", tokenizer=tokenizer
                )
            hook.remove()
            found[f"{role} tracks"] = len(said["prediction_masks"])
            if said["prediction_masks"]:
                mask = said["prediction_masks"][0]
                found[f"{role} logits"] = cases.kept(logits[0].float().numpy())
                found[f"{role} mask"] = np.packbits(mask).tobytes().hex()
                found[f"{role} pixels"] = int(mask.sum())
    finally:
        model.grounding_encoder.language_embd_inference = original
        model.grounding_encoder.get_sam2_embeddings = begin
        model.generate = generate
    for kind, pixels in pictures.items():
        found[kind] = {"shape": list(pixels.shape), "values": cases.kept(pixels.float().numpy())}
    return found


def real_pixels(model: Any, chat: Any) -> dict[str, list[float]]:
    """Pixels of one frame at the sizes of the released models."""
    frame = Image.fromarray(pipeline.clip("real", 1, *pipeline.REAL)[0])
    small, large = pipeline.REAL_SIDES
    before = model.transformer.transforms[1].size
    model.transformer.transforms[1].size = (small, small)
    language = model.transformer(frame)
    model.transformer.transforms[1].size = before
    resized = chat.DirectResize(target_length=large).apply_image(np.array(frame))
    pixels = torch.from_numpy(resized).permute(2, 0, 1).contiguous()
    masks = model.grounding_encoder.preprocess_image(pixels)
    return {
        "language": cases.kept(language.numpy()),
        "masks": cases.kept(masks.numpy()),
        "masks in bfloat16": cases.kept(masks.bfloat16().float().numpy()),
    }


def main() -> None:
    """Parse the command line and ask."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sa2va", type=Path, required=True)
    parser.add_argument("--output", type=Path, default=Path(__file__).with_name("released_pipeline.json"))
    options = parser.parse_args()
    torch.set_num_threads(1)
    torch.Tensor.cuda = lambda tensor, *_, **__: tensor
    import_torchvision()
    for name in ("transformers", "peft"):
        importlib.import_module(name)
    ask_peers.empty_module("timm")
    ask_peers.empty_module("timm.models")
    ask_peers.empty_module("timm.models.layers", DropPath=torch.nn.Identity)
    sys.modules.setdefault("mmengine", MagicMock())
    model, chat = build_model(options.sa2va)
    tokenizer = make_tokenizer()
    sam2 = importlib.import_module("models.sam2")
    sam2.torch = SimpleNamespace(**{**vars(torch), "autocast": lambda **_: nullcontext()})
    make_ready(model, chat, tokenizer, torch.float32)
    found = {name: ask(model, tokenizer, name, case) for name, case in pipeline.CASES.items()}
    written = {
        "commits": {"sa2va": ask_peers.commit_of(options.sa2va)},
        "real pixels": real_pixels(model, chat),
        "cases": found,
    }
    options.output.write_text(json.dumps(written, separators=(",", ":")).replace('},"', '},\n"') + "\n")
    for name, one in found.items():
        print(name, one["ids"], {key: one[key] for key in one if key.endswith(("tracks", "pixels"))})


if __name__ == "__main__":
    main()
