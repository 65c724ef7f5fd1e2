"""What the attention mask loss costs a training step: without it, with it, with eager attention everywhere.

    python -m tests.benchmarks.measure_attention_loss --layers 6 --rounds 3
    python -m tests.benchmarks.measure_attention_loss --without-eager
    python -m tests.benchmarks.measure_attention_loss --device cuda --dtype bfloat16 --rounds 30
    python -m tests.benchmarks.measure_attention_loss --device cuda --dtype bfloat16 --checkpointing

The language model has the widths of ReVIOSa-1B (24 layers of 896, 14 heads, 2 key-value heads, feed-forward
4,864, vocabulary 151,674) and random weights; it reads one clip of four frames of 256 visual tokens and five
expressions, about 2,000 tokens, all with both role tokens but two. A step is forward and backward of the
text loss (and the attention mask loss); the vision tower, the mask decoder and the optimizer are left out,
so the shares printed are upper bounds of those of a whole step. With fewer layers the same cost of the
loss is set against a shorter step: an upper bound again.

Variants take turns, in another order each round. Seconds are the least of each; the cost against none is the
median over rounds of the ratio within a round, with the range that holds the true median in 95 of 100 cases.
Processor time counts on a CPU (where one thread runs), wall time on a GPU. All 24 layers with eager attention
in float32 take some 20 GB.

"held" is what a step keeps for its backward pass, weights apart; "peak" is known on a GPU only.
"""

from __future__ import annotations

import argparse
import enum
import gc
import math
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from reference_model.attention_rows import indices
from reference_model.config import VisionLanguageConfig
from reference_model.losses import attention_mask_loss, text_loss
from reference_model.vision_language import Packed, VisionLanguage, pack

IMAGE, PADDING, ACTOR, TARGET = 0, 1, 2, 3  # token ids; the words come after them
ANSWER = 8  # tokens of an answer; the role tokens are the last two
SINGLE = 2  # expressions without a target
LAYER_FROM_LAST = 2  # layer 22 of 24
HEADS = (5, 7, 10, 11)


class Variant(enum.StrEnum):
    """What is measured."""

    WITHOUT = "no attention loss"
    WITH = "attention loss on rows"
    EAGER = "attention loss on eager attention"


@dataclass(frozen=True, slots=True)
class Size:
    """How large the model and its input are."""

    layers: int = 24
    width: int = 896
    heads: int = 14
    key_value_heads: int = 2
    feed_forward: int = 4864
    vocabulary: int = 151_674
    frames: int = 4
    tokens_per_side: int = 16
    expressions: int = 5
    tokens: int = 2000
    chosen_heads: tuple[int, ...] = HEADS


@dataclass(frozen=True)
class Case:
    """A model, and one clip for it to read.

    Attributes:
        rows_R2: (clip, token) of the role tokens.
        before_N2: (clip, token) before each token of an answer; `next_N` are the ids of those tokens.
        truth_RX: what the role tokens should attend to.
    """

    model: VisionLanguage
    layer: int
    heads: tuple[int, ...]
    packed: Packed
    visual_1FPD: Tensor
    rows_R2: Tensor
    before_N2: Tensor
    next_N: Tensor
    truth_RX: Tensor


def make_case(size: Size, device: str = "cpu", dtype: torch.dtype = torch.float32, seed: int = 0) -> Case:
    """Random weights, random words, random masks."""
    torch.manual_seed(seed)
    config = VisionLanguageConfig(
        image_size=4 * size.tokens_per_side,
        patch_size=2,
        vision_layers=1,
        vision_width=32,
        vision_heads=2,
        layers=size.layers,
        width=size.width,
        heads=size.heads,
        key_value_heads=size.key_value_heads,
        feed_forward=size.feed_forward,
        rope_theta=1e6,
    )
    with torch.device(device):  # random weights come faster where they are needed
        model = VisionLanguage(config, size.vocabulary, IMAGE, PADDING).to(dtype).train()
    prefix = [IMAGE] * (size.frames * config.tokens_per_frame)
    each = (size.tokens - len(prefix)) // size.expressions
    segments, rows, before = [], [], []
    for number in range(size.expressions):
        words = torch.randint(TARGET + 1, size.vocabulary, (each,)).tolist()
        roles = [ACTOR] if number < SINGLE else [ACTOR, TARGET]
        words[-len(roles) :] = roles
        start = len(prefix) + each * number
        rows += [(0, start + each - len(roles) + slot) for slot in range(len(roles))]
        before += [(0, start + slot - 1) for slot in range(each - ANSWER, each)]
        segments.append(words)
    packed = pack(prefix, [segments], PADDING)
    packed = Packed(*(part.to(device) for part in (packed.ids_BL, packed.segment_BL, packed.position_BL)))
    before_N2 = torch.tensor(before, device=device)
    visual = torch.randn(1, size.frames, config.tokens_per_frame, size.width, device=device, dtype=dtype)
    return Case(
        model,
        max(0, size.layers - LAYER_FROM_LAST),
        size.chosen_heads,
        packed,
        visual.requires_grad_(),
        torch.tensor(rows, device=device),
        before_N2,
        packed.ids_BL[0, before_N2[:, 1] + 1],
        (torch.rand(len(rows), len(prefix), device=device) > 0.9).float(),
    )


def loss_of(case: Case, variant: Variant) -> Tensor:
    """The loss of one step."""
    language = case.model
    if variant is Variant.EAGER:
        hidden, rows_RHL = eager_pass(case)
    else:
        layer = case.layer if variant is Variant.WITH else None
        read = language.read(case.packed, case.visual_1FPD, layer)
        hidden = read.hidden_BLD
        if variant is Variant.WITH:
            rows_RHL = language.attention_rows(read, case.layer, case.heads, case.rows_R2)
    loss = text_loss(language.logits(hidden[case.before_N2[:, 0], case.before_N2[:, 1]]).float(), case.next_N)
    if variant is Variant.WITHOUT:
        return loss
    columns = indices(tuple(range(case.truth_RX.shape[1])), case.rows_R2.device)  # they come first
    return loss + attention_mask_loss(rows_RHL.index_select(-1, columns), case.truth_RX)


def eager_pass(case: Case) -> tuple[Tensor, Tensor]:
    """Hidden states, and the rows of interest, with the attention of all layers written out."""
    internvl = case.model.internvl
    internvl.set_attn_implementation("eager")
    try:
        embedded = case.model.embed(case.packed.ids_BL, case.visual_1FPD)
        allowed = case.packed.attention_mask()
        nowhere = torch.finfo(embedded.dtype).min
        output = internvl.model.language_model(
            inputs_embeds=embedded,
            attention_mask=torch.zeros_like(allowed, dtype=embedded.dtype).masked_fill(~allowed, nowhere),
            position_ids=case.packed.position_BL,
            use_cache=False,
            output_attentions=True,
        )
    finally:
        internvl.set_attn_implementation("sdpa")
    clip, token = case.rows_R2.unbind(1)
    return output.last_hidden_state, output.attentions[case.layer][clip, :, token][:, list(case.heads)]


def checkpoint_layers(model: VisionLanguage) -> None:
    """Activation checkpointing, under the name that the installed transformers has for it."""
    text = model.internvl.model.language_model
    newer = hasattr(text, "activation_checkpointing_enable")
    enable = text.activation_checkpointing_enable if newer else text.gradient_checkpointing_enable
    enable({"use_reentrant": False})


def step(case: Case, variant: Variant) -> float:
    """Forward and backward; returns the loss."""
    case.model.zero_grad(set_to_none=True)
    case.visual_1FPD.grad = None
    loss = loss_of(case, variant)
    loss.backward()
    return float(loss.detach())


def held_bytes(case: Case, variant: Variant) -> int:
    """What a step keeps between forward and backward, weights apart, each piece of memory once."""
    weights = {one.untyped_storage().data_ptr() for one in case.model.parameters()}
    held: dict[int, int] = {}

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights:
            held[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        loss_of(case, variant)
    return sum(held.values())


def clock(device: str) -> Callable[[], float]:
    """Seconds: of this thread's processor on a CPU, of the wall on a GPU once its work is done."""
    if device == "cpu":
        return time.process_time

    def seconds() -> float:
        torch.cuda.synchronize()
        return time.perf_counter()

    return seconds


def measure(case: Case, variants: Sequence[Variant], rounds: int, device: str) -> dict[Variant, list[float]]:
    """Seconds of a step of each variant in each round, after two rounds to warm up."""
    now, found = clock(device), {variant: list[float]() for variant in variants}
    for turn in range(rounds + 2):
        for variant in (*variants[turn % len(variants) :], *variants[: turn % len(variants)]):
            start = now()
            step(case, variant)
            if turn > 1:
                found[variant].append(now() - start)
        print(f"round {turn} of {rounds + 1}", file=sys.stderr)
    return found


def median_and_range(values: Sequence[float]) -> tuple[float, float, float]:
    """The median, and the ordered values between which the true one lies in 95 of 100 cases (sign test)."""
    ordered, count = sorted(values), len(values)
    outside, total = 0, 0.0
    # How many values may lie outside at each end: the binomial tail stays below 2.5%.
    while (total := total + math.comb(count, outside) / 2**count) <= 0.025:
        outside += 1
    low = max(outside - 1, 0)
    return statistics.median(ordered), ordered[low], ordered[-1 - low]


def peak_bytes(case: Case, variant: Variant) -> int:
    """The most memory of a GPU that a step takes, weights and gradients included."""
    case.model.zero_grad(set_to_none=True)
    gc.collect()  # graphs that were looked into for `held_bytes` hold themselves in cycles
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()
    step(case, variant)
    return torch.cuda.max_memory_allocated()


def main() -> None:
    """Measure and print a table."""
    command = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    command.add_argument("--layers", type=int, default=24)
    command.add_argument("--tokens", type=int, default=2000)
    command.add_argument("--rounds", type=int, default=3)
    command.add_argument("--device", default="cpu", choices=("cpu", "cuda"))
    command.add_argument("--dtype", default="float32", choices=("float32", "bfloat16"))
    command.add_argument("--checkpointing", action="store_true", help="compute layers again going back")
    command.add_argument("--without-eager", action="store_true", help="leave the large variant out")
    options = command.parse_args()
    if options.device == "cpu":
        torch.set_num_threads(1)
    case = make_case(
        Size(layers=options.layers, tokens=options.tokens), options.device, getattr(torch, options.dtype)
    )
    variants = [one for one in Variant if one is not Variant.EAGER or not options.without_eager]
    where = torch.cuda.get_device_name() if options.device == "cuda" else "one CPU thread"
    print(
        f"{options.layers} layers, {case.packed.ids_BL.shape[1]} tokens, {options.dtype}, {where}, "
        f"layer {case.layer}, heads {case.heads}, {len(case.rows_R2)} role tokens, torch {torch.__version__}"
    )
    if options.checkpointing:
        checkpoint_layers(case.model)
    seconds = measure(case, variants, options.rounds, options.device)
    print(f"{'':<36}{'seconds':>10}{'against none':>14}{'range':>22}{'held, MiB':>12}{'peak, MiB':>12}")
    for variant in variants:
        ratios = [one / none for one, none in zip(seconds[variant], seconds[Variant.WITHOUT], strict=True)]
        cost, low, high = (100 * (one - 1) for one in median_and_range(ratios))
        peak = f"{peak_bytes(case, variant) / 2**20:.0f}" if options.device == "cuda" else "-"
        held = held_bytes(case, variant) / 2**20
        print(
            f"{variant:<36}{min(seconds[variant]):>10.4f}{cost:>+13.2f}%{f'{low:+.2f} to {high:+.2f}%':>22}"
            f"{held:>12.1f}{peak:>12}"
        )


if __name__ == "__main__":
    main()
