"""Ask the public code of InternVL, SAM2 and Sa2VA for numbers on small models, and keep them.

    python tests/reference_model/golden/ask_peers.py --internvl INTERNVL --sam2 SAM2 --sa2va SA2VA

The three are git checkouts of github.com/OpenGVLab/InternVL, facebookresearch/sam2 and bytedance/Sa2VA (tag
v1, the code that ReVIOSa's is built on). It was run with transformers 4.42.3 and peft 0.11.1, which that
code was written for; timm, torchvision and the language models that are not used are replaced by empty
modules. Weights and inputs are those of `peer_cases.py`. Nothing of the peers is stored but their
commits, the names and shapes of their weights, and these numbers: `peers.json` beside this file.
"""

from __future__ import annotations

import argparse
import importlib
import json
import subprocess
import sys
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any
from unittest.mock import MagicMock

import torch
from torch import Tensor

sys.path.insert(0, str(Path(__file__).parent))
import peer_cases as cases

Asked = dict[str, Tensor]


def fill(module: torch.nn.Module) -> dict[str, list[int]]:
    """Give a module the weights of its names; returns names and shapes."""
    shapes = {name: list(one.shape) for name, one in module.state_dict().items()}
    module.load_state_dict({name: torch.from_numpy(one) for name, one in cases.weights(shapes).items()})
    module.eval()
    return shapes


def empty_module(name: str, **content: Any) -> None:
    """Stand in for a package that the peer imports but that these cases don't use."""
    module = ModuleType(name)
    module.__dict__.update(content)
    sys.modules[name] = module


def replace_unused() -> None:
    """Packages that would pull in torchvision or code for other models."""
    for name in ("transformers", "peft"):  # these look for the real ones when they are imported
        importlib.import_module(name)
    empty_module("timm")
    empty_module("timm.models")
    empty_module("timm.models.layers", DropPath=torch.nn.Identity)
    for name in ("torchvision", "torchvision.transforms", "torchvision.transforms.functional"):
        sys.modules[name] = MagicMock()


def ask_internvl(root: Path) -> tuple[dict[str, list[int]], Asked]:
    """Vision tower, pixel shuffle with projector, last hidden states and logits."""
    sys.path.insert(0, str(root / "internvl_chat"))
    folder = "internvl.model.internvl_chat"
    config = importlib.import_module(f"{folder}.configuration_internvl_chat").InternVLChatConfig(
        **cases.CONFIG
    )
    model = importlib.import_module(f"{folder}.modeling_internvl_chat").InternVLChatModel(config)
    shapes = fill(model)
    return shapes, language_outputs(model)


def language_outputs(model: Any) -> Asked:
    """What both programs with an InternVL inside are asked for."""
    pixels = torch.from_numpy(cases.numbers("pixels", (2, 3, cases.SIDE, cases.SIDE))) * 2
    with torch.no_grad():
        tower = model.vision_model(pixels, return_dict=True).last_hidden_state
        visual = model.extract_feature(pixels)
        ids = torch.tensor([cases.IDS])
        words = model.language_model.get_input_embeddings()(ids).clone()
        words[ids == cases.IMAGE_TOKEN] = visual.flatten(0, 1)
        output = model.language_model(inputs_embeds=words, output_hidden_states=True, return_dict=True)
    hidden = output.hidden_states[-1][0]
    return {"tower": tower, "visual": visual, "hidden": hidden, "logits": output.logits[0]}


def ask_training() -> tuple[dict[str, list[int]], Asked]:
    """A LoRA training of the language part, as its file names the weights, merged by peft.

    It begins with the words before the added tokens, and adds those.
    """
    from peft import LoraConfig, get_peft_model

    folder = "internvl.model.internvl_chat"
    settings = cases.CONFIG | {"llm_config": cases.LANGUAGE | {"vocab_size": cases.FIRST_ADDED}}
    config = importlib.import_module(f"{folder}.configuration_internvl_chat").InternVLChatConfig(**settings)
    model = importlib.import_module(f"{folder}.modeling_internvl_chat").InternVLChatModel(config)
    fill(model)
    model.language_model.resize_token_embeddings(len(cases.TOKENS))
    targets = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
    lora = LoraConfig(
        r=cases.LORA_RANK,
        lora_alpha=cases.LORA_RANK * cases.LORA_SCALE,
        lora_dropout=0.05,
        bias="none",
        task_type="CAUSAL_LM",
        target_modules=targets,
    )
    model.language_model = get_peft_model(model.language_model, lora)
    names = [
        name
        for name in model.state_dict()
        if "lora_" in name or "mlp1." in name or name.endswith(("lm_head.weight", "embed_tokens.weight"))
    ]
    shapes = {f"mllm.model.{name}": list(model.state_dict()[name].shape) for name in names}
    values = cases.weights(shapes)
    stored = {name: torch.from_numpy(values[f"mllm.model.{name}"]) for name in names}
    model.load_state_dict(stored, strict=False)
    model.language_model = model.language_model.merge_and_unload()
    return shapes, language_outputs(model.eval())


def small_sam2(modules: Any, image_encoder: Any, **rules: Any) -> Any:
    """A SAM2 of the published layout with a small trunk; `rules` are what versions differ in."""
    position = partial(modules["PositionEmbeddingSine"], normalize=True, scale=None, temperature=10000)
    side = [cases.SAM_SIDE // 16] * 2
    attention = partial(
        modules["RoPEAttention"],
        rope_theta=10000.0,
        feat_sizes=side,
        embedding_dim=256,
        num_heads=1,
        downsample_rate=1,
        dropout=0.1,
    )
    layer = modules["MemoryAttentionLayer"](
        activation="relu",
        dim_feedforward=2048,
        dropout=0.1,
        pos_enc_at_attn=False,
        d_model=256,
        pos_enc_at_cross_attn_keys=True,
        pos_enc_at_cross_attn_queries=False,
        self_attention=attention(),
        cross_attention=attention(rope_k_repeat=True, kv_in_dim=64),
    )
    memory_attention = modules["MemoryAttention"](
        d_model=256, pos_enc_at_input=True, layer=layer, num_layers=cases.MEMORY_LAYERS
    )
    block = modules["CXBlock"](
        dim=256, kernel_size=7, padding=3, layer_scale_init_value=1e-6, use_dwconv=True
    )
    memory_encoder = modules["MemoryEncoder"](
        out_dim=64,
        position_encoding=position(64),
        mask_downsampler=modules["MaskDownSampler"](kernel_size=3, stride=2, padding=1),
        fuser=modules["Fuser"](block, num_layers=2),
    )
    return modules["Base"](
        image_encoder=image_encoder,
        memory_attention=memory_attention,
        memory_encoder=memory_encoder,
        num_maskmem=7,
        image_size=cases.SAM_SIDE,
        sigmoid_scale_for_mem_enc=20.0,
        sigmoid_bias_for_mem_enc=-10.0,
        use_mask_input_as_output_without_sam=True,
        directly_add_no_mem_embed=True,
        use_high_res_features_in_sam=True,
        multimask_output_in_sam=True,
        iou_prediction_use_sigmoid=True,
        use_obj_ptrs_in_encoder=True,
        only_obj_ptrs_in_the_past_for_eval=True,
        pred_obj_scores=True,
        pred_obj_scores_mlp=True,
        fixed_no_obj_ptr=True,
        multimask_output_for_tracking=True,
        use_multimask_token_for_obj_ptr=True,
        multimask_min_pt_num=0,
        multimask_max_pt_num=1,
        use_mlp_for_obj_ptr_proj=True,
        **rules,
    )


def small_image_encoder(modules: Any) -> Any:
    """The image encoder of `small_sam2`."""
    width = cases.TRUNK["embed_dim"]
    return modules["ImageEncoder"](
        trunk=modules["Hiera"](**cases.TRUNK, **cases.WINDOWS),
        neck=modules["FpnNeck"](
            position_encoding=modules["PositionEmbeddingSine"](
                num_pos_feats=256, normalize=True, scale=None, temperature=10000
            ),
            d_model=256,
            backbone_channel_list=[width * 8, width * 4, width * 2, width],
            fpn_top_down_levels=[2, 3],
            fpn_interp_model="nearest",
        ),
        scalp=1,
    )


def track(model: Any, prompt: Tensor, **language: Any) -> Asked:
    """Image features of all frames, and masks with the prompt on the first frames and memory on the others.

    The program's own `track_step` in float32; its predictor would store memory in bfloat16.
    """
    shape = (cases.FRAMES, 3, cases.SAM_SIDE, cases.SAM_SIDE)
    pixels = torch.from_numpy(cases.numbers("frames", shape)) * 2
    memory: dict[str, dict[int, Any]] = {"cond_frame_outputs": {}, "non_cond_frame_outputs": {}}
    masks, found = [], {}
    with torch.no_grad():
        for frame in range(cases.FRAMES):
            features = model.forward_image(pixels[frame : frame + 1])
            _, levels, positions, sizes = model._prepare_backbone_features(features)
            if frame == 0:
                for number, level in enumerate(levels):
                    found[f"level{number}"] = level.permute(1, 2, 0).unflatten(-1, tuple(sizes[number]))
            prompted = frame in cases.PROMPTED
            step = model.track_step(
                frame_idx=frame,
                is_init_cond_frame=prompted,
                current_vision_feats=levels,
                current_vision_pos_embeds=positions,
                feat_sizes=sizes,
                point_inputs=None,
                mask_inputs=None,
                output_dict=memory,
                num_frames=cases.FRAMES,
                **({"language_embd": prompt if prompted else None} if language else {}),
            )
            memory["cond_frame_outputs" if prompted else "non_cond_frame_outputs"][frame] = step
            masks.append(step["pred_masks"][0, 0])
    return found | {"masks": torch.stack(masks)}


class PromptInjector:
    """Appends a language vector to the sparse prompts of the `sam2` package on the prompted frames."""

    def __init__(self, model: Any, prompt: Tensor) -> None:
        self.model, self.prompt, self.active = model, prompt, False
        model.sam_prompt_encoder.register_forward_hook(self.append)
        model.register_forward_pre_hook(lambda *_: None)
        step = model.track_step

        def noted(**arguments: Any) -> Any:
            self.active = arguments["is_init_cond_frame"]
            return step(**arguments)

        model.track_step = noted

    def append(self, _: Any, __: Any, output: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        """The hook."""
        sparse, dense = output
        return (torch.cat([sparse, self.prompt], 1) if self.active else sparse), dense


def ask_sam2(root: Path) -> tuple[dict[str, dict[str, list[int]]], dict[str, Asked]]:
    """SAM2 and SAM2.1."""
    sys.path.insert(0, str(root))
    places = {
        "backbones.image_encoder": ("ImageEncoder", "FpnNeck"),
        "backbones.hieradet": ("Hiera",),
        "position_encoding": ("PositionEmbeddingSine",),
        "memory_attention": ("MemoryAttention", "MemoryAttentionLayer"),
        "memory_encoder": ("MemoryEncoder", "MaskDownSampler", "Fuser", "CXBlock"),
        "sam.transformer": ("RoPEAttention",),
        "sam2_base": ("SAM2Base",),
    }
    modules = {
        name: getattr(importlib.import_module(f"sam2.modeling.{place}"), name)
        for place, names in places.items()
        for name in names
    }
    modules["Base"] = modules["SAM2Base"]
    rules = {
        "sam2": {"add_tpos_enc_to_obj_ptrs": False},
        "sam2.1": {
            "add_tpos_enc_to_obj_ptrs": True,
            "proj_tpos_enc_in_obj_ptrs": True,
            "use_signed_tpos_enc_to_obj_ptrs": True,
            "no_obj_embed_spatial": True,
        },
    }
    shapes, asked = {}, {}
    for name, one in rules.items():
        model = small_sam2(modules, small_image_encoder(modules), **one)
        shapes[name] = fill(model)
        prompt = torch.from_numpy(cases.numbers("prompt", (1, 1, 256)))
        PromptInjector(model, prompt)
        asked[name] = track(model, prompt)
    return shapes, asked


def ask_sa2va(root: Path) -> tuple[dict[str, list[int]], Asked]:
    """The whole released model: language part, projector, SAM2 with the vector of the actor token."""
    sys.path.insert(0, str(root / "projects" / "llava_sam2" / "hf"))
    sam2 = importlib.import_module("models.sam2")
    modules = {**vars(sam2), "Base": sam2.SAM2VideoPredictor}

    class SmallSam2(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.sam2_model = small_sam2(
                modules, small_image_encoder(modules), add_tpos_enc_to_obj_ptrs=False
            )
            self.hidden_dim = self.sam2_model.hidden_dim

    chat = importlib.import_module("models.modeling_sa2va_chat")
    chat.SAM2 = SmallSam2
    settings = cases.CONFIG | {"template": "qwen_chat", "model_type": "sa2va_chat"}
    config = importlib.import_module("models.configuration_sa2va_chat").Sa2VAChatConfig(**settings)
    model = chat.Sa2VAChatModel(config)
    shapes = fill(model)
    outputs = language_outputs(model)
    with torch.no_grad():
        prompts = model.text_hidden_fcs(outputs["hidden"][list(cases.ROLE_POSITIONS)])
    found = {**outputs, "prompts": prompts}
    tracker = model.grounding_encoder.sam2_model
    for role, prompt in zip(("actor", "target"), prompts, strict=True):
        tracked = track(tracker, prompt[None, None], language=True)
        found |= {f"{role}_{name}": value for name, value in tracked.items() if name == "masks"}
    with torch.no_grad():  # the same object, but every frame says that it is not there
        tracker.sam_mask_decoder.pred_obj_score_head.layers[2].bias.fill_(cases.ABSENT)
    found["absent_masks"] = track(tracker, prompts[:1, None], language=True)["masks"]
    return shapes, found


def commit_of(root: Path) -> str:
    """The commit of a checkout."""
    done = subprocess.run(
        ["git", "-C", str(root), "rev-parse", "HEAD"], capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


def kept(outputs: Mapping[str, Tensor]) -> dict[str, Any]:
    """Shape and some values of every output."""
    return {
        name: {"shape": list(one.shape), "values": cases.kept(one.numpy())} for name, one in outputs.items()
    }


def main() -> None:
    """Parse the command line and ask."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    for name in ("internvl", "sam2", "sa2va"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    parser.add_argument("--output", type=Path, default=Path(__file__).with_name("peers.json"))
    options = parser.parse_args()
    torch.set_num_threads(1)
    torch.Tensor.cuda = lambda tensor, *_, **__: tensor  # Sa2VA moves its memory to a GPU by name
    replace_unused()
    shapes, asked = {}, {}
    shapes["internvl"], asked["internvl"] = ask_internvl(options.internvl)
    sam_shapes, sam_asked = ask_sam2(options.sam2)
    shapes |= sam_shapes
    asked |= sam_asked
    shapes["sa2va"], asked["sa2va"] = ask_sa2va(options.sa2va)
    shapes["training"], asked["training"] = ask_training()
    for name, shape in shapes["sa2va"].items():
        if "sam_mask_decoder." in name or name.startswith("text_hidden_fcs."):
            shapes["training"][name] = shape
    written = {
        "commits": {name: commit_of(getattr(options, name)) for name in ("internvl", "sam2", "sa2va")},
        "outputs": {name: kept(outputs) for name, outputs in asked.items()},
        "shapes": shapes,
    }
    options.output.write_text(json.dumps(written, separators=(",", ":")).replace('"],', '"],\n') + "\n")


if __name__ == "__main__":
    main()
