"""One fine-tuning as accelerate runs it: model, optimizer, data, and the state that goes to disk.

The same code runs alone, under `torchrun` and under `accelerate launch` (DDP, FSDP, DeepSpeed).
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from benchmark.errors import CheckpointError, EnvironmentProblem, UsageError
from reference_model.conversation_batches import shorten_expression, sizes_of
from reference_model.dataset_mix import Feed, Mix, Sample, Unreadable
from reference_model.deepspeed_state import configure, is_deepspeed, keep_buffers
from reference_model.full_recipes import tuning_of
from reference_model.lora import set_types, trained_parameters
from reference_model.tuning_config import Precision
from reference_model.tuning_model import TuningModel
from reference_model.tuning_run import Progress

if TYPE_CHECKING:
    from accelerate import Accelerator

    from reference_model.config import Recipe
    from reference_model.dataset_mix import ClipPart, TextConversations
    from reference_model.model import Reviosa

Pass = list[Sample | Unreadable]
"""The samples of one pass of one process."""


@dataclass
class Session:
    """A fine-tuning that is running.

    Attributes:
        room: the model with its losses; `wrapped` is what accelerate made of it.
        passes: how many passes of this process make one step.
        noted: what was said about samples; nothing is said twice.
    """

    recipe: Recipe
    accelerator: Accelerator
    room: TuningModel
    wrapped: Any
    optimizer: Any
    mix: Mix
    progress: Progress
    passes: int
    noted: set[str] = field(default_factory=set)

    @property
    def deepspeed(self) -> bool:
        """Whether DeepSpeed runs it, which steps and stores by itself."""
        return is_deepspeed(self.accelerator)

    @property
    def sharded(self) -> bool:
        """Whether the weights are spread over processes."""
        from torch.distributed.tensor import DTensor

        return any(isinstance(one, DTensor) for one in self.wrapped.parameters())


def make_accelerator(precision: Precision, device: str) -> Accelerator:
    """What talks to the other processes, on the device that was asked for.

    Raises:
        EnvironmentProblem: there is no such device, it has no bfloat16, or weights cannot be spread on it.
    """
    from accelerate import Accelerator

    from reference_model.environment import torch_device

    on_cpu = torch_device(device).type == "cpu"
    deepspeed = os.environ.get("ACCELERATE_USE_DEEPSPEED") == "true"
    if precision is Precision.BFLOAT16 and (on_cpu or not torch.cuda.is_bf16_supported()):
        where = "a CPU" if on_cpu else torch.cuda.get_device_name()
        raise EnvironmentProblem(
            "this recipe computes in bfloat16, which needs a GPU that has it",
            expected="a CUDA device of compute capability 8 or more",
            found=where,
            fix="train on such a GPU, or add --precision float32",
        )
    # Asked for a CPU, accelerate would leave DeepSpeed out.
    accelerator = Accelerator(
        cpu=on_cpu and not deepspeed, mixed_precision="bf16" if precision is Precision.BFLOAT16 else "no"
    )
    asked = os.environ.get("ACCELERATE_USE_FSDP") == "true" and accelerator.num_processes > 1
    if asked and accelerator.distributed_type.value != "FSDP":
        raise EnvironmentProblem(
            "accelerate spreads weights (FSDP) over GPUs only, and would train whole copies here",
            found=f"{accelerator.num_processes} processes on {accelerator.device.type}",
            fix="launch without --use_fsdp, or on GPUs",
        )
    return accelerator


def open_session(
    recipe: Recipe,
    model: Reviosa,
    parts: Sequence[ClipPart | TextConversations],
    seed: int,
    steps: int | None,
    accelerator: Accelerator,
    scale: float = 1.0,
) -> Session:
    """A fine-tuning before its first step.

    Args:
        steps: how many; `None`: all epochs of the recipe, times `scale`.

    Raises:
        UsageError: when the processes cannot share a step evenly.
    """
    from reference_model.tuning_run import total_steps

    tuning, processes = tuning_of(recipe), accelerator.num_processes
    passes, rest = divmod(tuning.videos_per_step, tuning.videos_per_pass * processes)
    if rest or not passes:
        raise UsageError(
            "the processes cannot share a step evenly",
            where="--videos-per-step, --videos-per-pass",
            expected=f"videos per step that divide by {tuning.videos_per_pass} x {processes} processes",
            found=str(tuning.videos_per_step),
        )
    accelerator.gradient_accumulation_steps = passes
    if is_deepspeed(accelerator):
        configure(accelerator, tuning, passes)
    if str(accelerator.distributed_type.value) == "FSDP":
        set_types(model, torch.float32)  # sharded weights are of one type; FSDP itself computes in another
    if tuning.checkpoint_activations:
        model.vision_language.checkpoint_activations()
    feed = Feed(tuning, sizes_of(model), recipe.model.tokens, lambda text: shorten_expression(text, model))
    mix = Mix(parts, feed, seed)
    room = TuningModel(model, recipe.training).train()
    settings = recipe.training.optimizer
    optimizer = torch.optim.AdamW(
        list(trained_parameters(room).values()),
        lr=tuning.learning_rate,
        betas=settings.betas,
        weight_decay=settings.weight_decay,
        fused=accelerator.device.type == "cuda",
    )
    buffers = {name: one.clone() for name, one in room.named_buffers()}
    wrapped, prepared = accelerator.prepare(room, optimizer)
    progress = Progress(seed, total_steps(len(mix), recipe, scale) if steps is None else steps)
    session = Session(recipe, accelerator, room, wrapped, prepared, mix, progress, passes)
    if session.deepspeed:
        keep_buffers(session, buffers)
    return session


def passes_of(session: Session, workers: int = 0) -> Iterator[Pass]:
    """The samples of this process from the present step to the last, pass after pass.

    In a step the videos are dealt out to the processes pass by pass, so that the same passes are made
    however many processes there are.
    """
    from torch.utils.data import DataLoader

    tuning, accelerator = tuning_of(session.recipe), session.accelerator
    videos, processes = tuning.videos_per_pass, accelerator.num_processes
    positions = [
        [step * tuning.videos_per_step + number * videos + one for one in range(videos)]
        for step in range(session.progress.step, session.progress.steps)
        for number in range(accelerator.process_index, session.passes * processes, processes)
    ]
    loader: Any = DataLoader(
        _Samples(session.mix),  # type: ignore[arg-type]
        batch_sampler=positions,
        collate_fn=list,
        num_workers=workers,
        persistent_workers=workers > 0,
        generator=torch.Generator().manual_seed(0),  # otherwise it draws from the generator of the dropout
    )
    return iter(loader)


class _Samples:
    """The mix as a dataset of torch."""

    def __init__(self, mix: Mix) -> None:
        self._mix = mix

    def __len__(self) -> int:
        return len(self._mix)

    def __getitem__(self, position: int) -> Sample | Unreadable:
        return self._mix.sample(position)


def seed_pass(session: Session, number: int) -> None:
    """Set the generators of dropout and sampled points for a pass, whichever process makes it.

    Args:
        number: of the pass in its step, counted over all processes.
    """
    seeds = [session.progress.seed, 2, session.progress.step, number]
    torch.manual_seed(int(np.random.default_rng(seeds).integers(2**62)))


def state_tensors(session: Session) -> dict[str, Tensor]:
    """What was trained and the moments of the optimizer, by name; whole on the first process.

    Every process must call this.
    """
    if session.sharded:
        from reference_model.sharded_state import gathered_state

        return gathered_state(session)
    tensors: dict[str, Tensor] = {}
    for name, parameter in trained_parameters(session.room).items():
        tensors[f"trained.{name}"] = parameter.detach()
        for key, value in session.optimizer.state.get(parameter, {}).items():
            tensors[f"optimizer.{name}.{key}"] = value
    return tensors


def restore_tensors(session: Session, tensors: dict[str, Tensor], where: str) -> None:
    """Put back what `state_tensors` gave.

    Raises:
        CheckpointError: when the names or shapes are not those of this model.
    """
    if session.sharded:
        from reference_model.sharded_state import scatter_state

        scatter_state(session, tensors)
        return
    trained = trained_parameters(session.room)
    stored = {name.removeprefix("trained.") for name in tensors if name.startswith("trained.")}
    misfits = [
        name for name in set(trained) & stored if trained[name].shape != tensors[f"trained.{name}"].shape
    ]
    if stored != set(trained) or misfits:
        raise CheckpointError(
            "the state is not of this model",
            where=where,
            found=f"missing {sorted(set(trained) - stored)}, unknown {sorted(stored - set(trained))}, "
            f"of another shape {sorted(misfits)}",
        )
    moments: dict[Tensor, dict[str, Tensor]] = {}
    for name, parameter in trained.items():
        with torch.no_grad():
            parameter.copy_(tensors[f"trained.{name}"])
        found = {key: tensors.get(f"optimizer.{name}.{key}") for key in ("step", "exp_avg", "exp_avg_sq")}
        moments[parameter] = {key: value.clone() for key, value in found.items() if value is not None}
    # Torch knows where each belongs: the fused AdamW of a GPU counts its steps there, others on the CPU.
    optimizer = getattr(session.optimizer, "optimizer", session.optimizer)
    order = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    state = {place: moments[one] for place, one in enumerate(order) if moments.get(one)}
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})


def whole_weights(session: Session) -> dict[str, Tensor]:
    """All weights of the model by name, LoRA apart; every process must call this."""
    from reference_model.checkpoint import own_weights

    if session.sharded:
        from reference_model.sharded_state import gathered_weights

        return gathered_weights(session)
    return own_weights(session.room.model)
