"""Bring released weights in, and bring models out again.

Original InternVL2.5 folders and sam2 files become folders for transformers. Released ReVIOSa folders, and
training files together with what the training began with, become checkpoints that `predict` and
`benchmark.evaluate --adapter reviosa` read; such a checkpoint goes out again as a released folder. What
goes in is checked name by name: missing, unknown and mis-shaped weights are listed, and nothing is written
then. A pickle is read as tensors only; code in it is refused. Numbers are kept as they are stored, bit for
bit, but for LoRA, which is merged in float32 and rounded once.

    python -m reference_model.convert --internvl InternVL2_5-1B --output converted/internvl-1b
    python -m reference_model.convert --sam2 sam2_hiera_large.pt --output converted/sam2-large
    python -m reference_model.convert --released ReVIOSa-1B --output converted/reviosa-1b
    python -m reference_model.convert --training iter_10000.pth --internvl InternVL2_5-1B \\
        --sam2 sam2_hiera_large.pt --template qwen_chat --output converted/mine
    python -m reference_model.convert --checkpoint converted/mine --output hub/mine
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmark.command_line import parser, run_command
from benchmark.errors import UsageError
from benchmark.provenance import collect
from reference_model.environment import enough_memory, require_packages

if TYPE_CHECKING:
    from torch import Tensor


def convert_internvl(source: Path, output: Path) -> str:
    """An original InternVL2.5 folder as a folder of `InternVLForConditionalGeneration`; returns the digest.

    Raises:
        CheckpointError: when the folder is not such a checkpoint, or is damaged.
        OutputError: when the output is taken or cannot be written to.
    """
    from reference_model import internvl_weights, native_folders
    from reference_model.tokenizer_files import copy_tokenizer, read_tokenizer, token_ids
    from reference_model.weight_files import read_folder, read_json

    native_folders.refuse_filled(output)
    config = read_json(source / "config.json")
    size = internvl_weights.read_size(config, str(source / "config.json"))
    image, padding = token_ids(read_tokenizer(source), ["<IMG_CONTEXT>", "<|endoftext|>"], str(source))
    tensors = read_folder(source)
    size = internvl_weights.with_head_of(size, tensors)
    weights = internvl_weights.to_native(tensors, size, str(source))
    model = internvl_weights.empty_internvl(size, image, padding)
    model.config.text_config.eos_token_id = config["llm_config"].get("eos_token_id")
    native_folders.write_native(output, model, weights)
    copy_tokenizer(source, output)
    return write_card(output, "InternVL2.5 for transformers", type(model).__name__, source, weights, "mit")


def convert_sam2(source: Path, output: Path) -> str:
    """A `sam2_hiera_*.pt` or `sam2.1_hiera_*.pt` file as a folder of `Sam2VideoModel`; returns the digest.

    Raises:
        CheckpointError: when the file is not such a checkpoint, or is damaged.
        OutputError: when the output is taken or cannot be written to.
    """
    from reference_model import native_folders, sam2_weights
    from reference_model.weight_files import read_pickle

    native_folders.refuse_filled(output)
    tensors = read_pickle(source)
    size = sam2_weights.find_size(tensors, str(source))
    weights = sam2_weights.to_native(tensors, size, str(source))
    model = sam2_weights.empty_sam2(size)
    # As published; a model that is prompted by language never asks for a single mask.
    model.config.mask_decoder_config.dynamic_multimask_via_stability = True
    native_folders.write_native(output, model, weights)
    return write_card(output, "SAM2 for transformers", type(model).__name__, source, weights, "apache-2.0")


def write_card(
    output: Path, title: str, kind: str, source: Path, weights: Mapping[str, Tensor], licence: str
) -> str:
    """Write the card of a converted model; returns the digest of its weights."""
    from reference_model import native_folders
    from reference_model.checkpoint import weights_digest

    digest = weights_digest(weights)
    lines = [
        f"Converted from `{source.name}` by `python -m reference_model.convert`; the values are those of the",
        "source, under other names.",
        "",
        f"- class: `{kind}` of transformers (`{kind}.from_pretrained(folder)`)",
        f"- weights: {len(weights)} tensors, {sum(one.numel() for one in weights.values()):,} values",
        f"- digest over names, types, shapes and values: `{digest}`",
        f"- licence of the source: {licence}",
    ]
    native_folders.write_card(output, title, lines, licence)
    return digest


def build_parser() -> Any:
    """The command line."""
    command = parser("reference_model.convert", __doc__)
    command.add_argument("--internvl", type=Path, help="original InternVL2_5 folder")
    command.add_argument("--sam2", type=Path, help="sam2 or sam2.1 file (.pt)")
    command.add_argument("--released", type=Path, help="released ReVIOSa folder")
    command.add_argument(
        "--training", type=Path, help="training file (.pth), or DeepSpeed's folder of that name"
    )
    command.add_argument(
        "--checkpoint", type=Path, help="checkpoint of ours, to be written as a released folder"
    )
    command.add_argument("--template", help="chat template of --training: qwen_chat (1B) or phi3_chat (4B)")
    command.add_argument(
        "--lora-scale", type=float, default=2.0, help="alpha over rank of --training (default: 2)"
    )
    command.add_argument("--output", type=Path, required=True, help="folder to write")
    return command


SOURCES = ("internvl", "sam2", "released", "training", "checkpoint")


@enough_memory("free some memory: a conversion holds the model about once")
def main(arguments: Sequence[str]) -> int:
    """Convert one model."""
    options = build_parser().parse_args(arguments)
    given = {name for name in SOURCES if getattr(options, name) is not None}
    whole = {"training", "internvl", "sam2"}
    if given != whole and (len(given) != 1 or "training" in given):
        raise UsageError(
            "one source is needed",
            where="command line",
            expected="--internvl, --sam2, --released or --checkpoint alone, "
            "or --training with --internvl and --sam2",
            found=" ".join(f"--{name}" for name in SOURCES if name in given) or "none",
        )
    if ("training" in given) != (options.template is not None):
        raise UsageError("--template goes with --training, which needs it", where="--template")
    if not 0 < options.lora_scale < float("inf"):
        raise UsageError("not a scale", where="--lora-scale", found=str(options.lora_scale))
    require_packages()
    digest = _convert(options, given, collect("reference_model.convert", arguments, {}))
    print(f"digest {digest}")
    print(options.output)
    return 0


def _convert(options: Any, given: set[str], provenance: dict[str, Any]) -> str:
    from reference_model import released_folders

    output = options.output
    if "training" in given:
        return released_folders.convert_training(
            options.training,
            options.internvl,
            options.sam2,
            output,
            options.template,
            options.lora_scale,
            provenance,
        )
    if "released" in given:
        return released_folders.convert_released(options.released, output, provenance)
    if "checkpoint" in given:
        return released_folders.write_released(options.checkpoint, output)
    if "internvl" in given:
        return convert_internvl(options.internvl, output)
    return convert_sam2(options.sam2, output)


if __name__ == "__main__":
    run_command(main)
