"""Where the two role tokens look, layer by layer and head by head, and what the attention loss should train.

The model answers clips as it always does; the attention of the role tokens that it wrote is read in every
layer and head: to visual tokens, to text, and into the true mask of their role. The layer whose heads
look most at the frames is chosen, and in it the heads that do so most (the paper's protocol, on the actor
token). Writes into the output folder:

    summary.json        means per layer and head, choices and their steadiness, attention against J&F
    attention.csv       one row per token, layer and head
    tokens.csv          one row per token: sentence, answer, J&F
    layers.png          vision, text and mask-region attention by layer, both tokens
    heads.png           vision attention by layer and head; the heads of the chosen layer
    mask-region.png     attention inside the true mask against J&F
    maps-N.png          heat maps of one expression: heads the loss trained (or chosen), and the others
    compare-N.png       the same expression and heads beside another checkpoint's, with --against

and prints the line to paste into a recipe.

    python -m reference_model.analyze_attention --output runs/attention
    python -m reference_model.analyze_attention --output runs/attention --checkpoint runs/tiny --clips 4
    python -m reference_model.analyze_attention --output runs/with-and-without --checkpoint runs/with-aml \\
        --against runs/without-aml --data-root /data/interrvos --dataset interrvos --split val
"""

from __future__ import annotations

import dataclasses
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmark.command_line import parser, run_command
from benchmark.errors import CheckpointError, DatasetError, OutputError, UsageError
from benchmark.provenance import collect
from benchmark.stored_files import make_folder, write_atomically, write_json
from benchmark.types import Role
from reference_model.environment import enough_memory, require_packages
from reference_model.option_bounds import require_at_least, require_seed

if TYPE_CHECKING:
    from reference_model.attention_choice import Choice
    from reference_model.attention_reading import ClipAttention
    from reference_model.config import AttentionLossConfig, Recipe
    from reference_model.predict import Predictor
    from reference_model.training_data import TrainingClip

SUMMARY = "summary.json"
THIS, OTHER = "checkpoint", "against"


def build_parser() -> Any:
    """The command line."""
    command = parser("reference_model.analyze_attention", __doc__)
    command.add_argument("--output", type=Path, required=True, help="folder to write; must hold no analysis")
    command.add_argument("--checkpoint", type=Path, help="folder of a model (default: the shipped one)")
    command.add_argument("--against", type=Path, help="another model, to compare attention with")
    command.add_argument("--clips", type=int, default=16, help="use so many clips (default: 16)")
    command.add_argument("--dataset", help="another dataset than that of the training")
    command.add_argument("--split", help="use this split, from its beginning (default: held-back clips)")
    command.add_argument("--data-root", type=Path, help="folder of a dataset on disk")
    command.add_argument("--top-heads", type=int, help="choose so many heads (default: 4, at most half)")
    command.add_argument("--role", choices=[role.value for role in Role], default=Role.ACTOR.value)
    command.add_argument("--figures", type=int, default=4, help="expressions drawn as heat maps (default: 4)")
    command.add_argument("--seed", type=int, default=0, help="seed of drawing clips again (default: 0)")
    command.add_argument("--device", default="auto", help="auto, cpu or cuda (default: auto)")
    return command


@enough_memory("use a device with more memory, or --device cpu; --clips and --figures keep less")
def main(arguments: Sequence[str]) -> int:
    """Analyse a checkpoint and write tables and figures."""
    options = build_parser().parse_args(arguments)
    _check(options)
    require_packages()
    import torch

    from reference_model.attention_choice import choose, default_heads, mean_vision
    from reference_model.attention_tables import layer_table, of_role, remarks, role_summary
    from reference_model.checkpoint import SHIPPED, read_recipe
    from reference_model.predict import load_predictor

    if options.device != "cuda":
        torch.set_num_threads(1)
    provenance = collect(
        "reference_model.analyze_attention", arguments, {"drawing clips again": options.seed}
    )
    recipe = read_recipe(options.checkpoint or SHIPPED)
    top = options.top_heads or default_heads(recipe.model.vision_language.heads)
    _check_heads(recipe, top, options.against)
    clips = _clips(recipe, options)
    make_folder(options.output)
    predictor = load_predictor(options.checkpoint, options.device)
    found = {THIS: _read(predictor, clips, options.figures, "reading")}
    digests = {THIS: _digest(predictor)}
    if options.against is not None:
        predictor = load_predictor(options.against, options.device)
        found[OTHER] = _read(predictor, clips, options.figures, "reading the other")
        digests[OTHER] = _digest(predictor)
    tokens = of_role(found[THIS], Role(options.role))
    if not tokens:
        raise CheckpointError(
            f"the model wrote no {options.role} token on these clips, so there is no attention to read",
            where=str(options.checkpoint or SHIPPED),
            found=f"{len(clips)} clips with {sum(len(clip.expressions) for clip in clips)} expressions",
            fix="use clips of the kind the model was trained on, or a model that is trained further",
        )
    choice = choose(mean_vision(tokens), top)
    _write_figures(options.output, recipe, clips, found, choice)
    _write_tables(options.output, found)
    summaries = {
        name: {role.value: role_summary(read, role, top, options.seed) for role in Role}
        for name, read in found.items()
    }
    trained = _trained(recipe)
    # The summary comes last: a folder with one is whole.
    write_json(
        options.output / SUMMARY,
        {
            "recipe": recipe.name,
            "weights_digests": digests,
            "clips": len(clips),
            "chosen_by": options.role,
            "layer": choice.layer,
            "heads": list(choice.heads),
            "recipe_line": choice.recipe_line,
            "trained": dataclasses.asdict(trained) if trained else None,
            "models": summaries,
            "provenance": provenance,
        },
    )
    print(layer_table(found[THIS], choice), *remarks(summaries[THIS][options.role], choice), sep="\n")
    if trained:
        print(
            f"note: the attention loss trained layer {trained.layer}, heads {trained.heads} of this model; "
            "to choose what to train, analyse a model that was trained without it"
        )
    print(f"\n{choice.recipe_line}")
    print(os.fspath(options.output))
    return 0


def _check(options: Any) -> None:
    """Refuse what cannot work before anything long has begun.

    Raises:
        UsageError, OutputError.
    """
    require_at_least(1, "--clips", options.clips)
    require_at_least(1, "--top-heads", options.top_heads)
    require_at_least(0, "--figures", options.figures)
    require_seed("--seed", options.seed)
    if (options.output / SUMMARY).exists():
        raise OutputError(
            "there is an analysis in this folder", where=str(options.output), fix="choose another --output"
        )


def _check_heads(recipe: Recipe, top: int, against: Path | None) -> None:
    from reference_model.checkpoint import read_recipe

    sizes = recipe.model.vision_language
    if top > sizes.heads:
        raise UsageError(
            "a layer has fewer heads", where="--top-heads", expected=f"at most {sizes.heads}", found=str(top)
        )
    if against is None:
        return
    others = read_recipe(against).model.vision_language
    if (others.layers, others.heads) != (sizes.layers, sizes.heads):
        raise UsageError(
            "models of different size cannot be compared head by head",
            where=f"--against {against}",
            expected=f"{sizes.layers} layers of {sizes.heads} heads",
            found=f"{others.layers} layers of {others.heads} heads",
        )


def _clips(recipe: Recipe, options: Any) -> list[TrainingClip]:
    """Clips that training held back, or the first ones of the split that was asked for."""
    from reference_model.training_data import open_source
    from reference_model.validate import held_back_clips

    data, rendered_only = recipe.training.data, recipe.training.tuning is None
    if options.split is None and options.dataset is None:
        source = open_source(data, options.data_root, rendered_only)
        clips = held_back_clips(source, data.held_back, options.clips)
    else:
        asked = dataclasses.replace(
            data, dataset=options.dataset or data.dataset, split=options.split or data.split, clips=None
        )
        source = open_source(asked, options.data_root, rendered_only)
        clips = [source.clip(index) for index in range(min(options.clips, len(source)))]
    if not clips:
        raise DatasetError("there is no clip to analyse", found="training held none back", fix="give --split")
    return clips


def _read(predictor: Predictor, clips: Sequence[TrainingClip], maps: int, what: str) -> list[ClipAttention]:
    """All clips; heat maps are kept for the first few only, since they are large."""
    from tqdm import tqdm

    from reference_model.attention_reading import read_clip, without_maps

    found = []
    for number, clip in enumerate(tqdm(clips, desc=what, unit="clip", file=sys.stderr)):
        read = read_clip(predictor, clip, number)
        found.append(read if number < maps else without_maps(read))
    return found


def _digest(predictor: Predictor) -> str | None:
    return None if predictor.loaded is None else predictor.loaded.digest


def _trained(recipe: Recipe) -> AttentionLossConfig | None:
    """The layer and heads that the attention mask loss trained, if it had a weight.

    A recipe that says nothing of its training is that of a released model: those had the loss.
    """
    training = recipe.training
    if training.tuning is not None:
        used = training.tuning.weights.attention > 0
    else:
        used = not training.stages or any(stage.weights.attention for stage in training.stages)
    return training.attention_loss if used else None


def _write_tables(folder: Path, found: Mapping[str, Sequence[ClipAttention]]) -> None:
    from reference_model.attention_tables import attention_csv, tokens_csv

    tokens = {name: [one for clip in read for one in clip.tokens] for name, read in found.items()}
    write_atomically(folder / "attention.csv", attention_csv(tokens))
    write_atomically(folder / "tokens.csv", tokens_csv(tokens))


def _write_figures(
    folder: Path,
    recipe: Recipe,
    clips: Sequence[TrainingClip],
    found: Mapping[str, Sequence[ClipAttention]],
    choice: Choice,
) -> None:
    from reference_model.attention_charts import heads_chart, layers_chart, mask_region_chart
    from reference_model.attention_maps import compared_rows, drawn_expression, head_rows, map_figure

    write_atomically(folder / "layers.png", layers_chart(found[THIS], choice))
    write_atomically(folder / "heads.png", heads_chart(found[THIS], choice))
    scatter = mask_region_chart(found[THIS], choice)
    if scatter is not None:
        write_atomically(folder / "mask-region.png", scatter)
    trained = _trained(recipe)
    layer, heads = (trained.layer, trained.heads) if trained else (choice.layer, choice.heads)
    for number, (clip, read) in enumerate(zip(clips, found[THIS], strict=True)):
        expression = drawn_expression(read)
        if expression is None:
            continue
        rows = head_rows(read, expression, layer, heads, "trained" if trained else "chosen")
        write_atomically(folder / f"maps-{number}.png", map_figure(clip, read.shown, expression, rows))
        if OTHER in found:
            rows = compared_rows(read, found[OTHER][number], expression, layer, heads)
            write_atomically(folder / f"compare-{number}.png", map_figure(clip, read.shown, expression, rows))


if __name__ == "__main__":
    run_command(main)
