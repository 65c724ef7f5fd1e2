"""A fine-tuning in progress: how far it is, what it left out, and how it is stored and goes on.

The state holds what was trained, the moments of the optimizer and the number of the step. Nothing else is
needed: samples, their random choices, dropout and sampled points all follow from the seed and the step.
"""

from __future__ import annotations

import dataclasses
import json
import math
import statistics
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmark.errors import CheckpointError, DatasetError
from benchmark.stored_files import make_folder, write_atomically
from reference_model.config import Recipe, from_mapping
from reference_model.full_recipes import tuning_of
from reference_model.training_run import CURVE_FILE, STATE_FILE, curve_csv, same_seed

if TYPE_CHECKING:
    from torch import Tensor

RECENT = 50  # losses that a spike is measured against
FEWEST = 10  # as long as there are fewer, nothing is a spike


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A sample that was not learnt from, and why."""

    step: int
    name: str
    reason: str


@dataclass
class Progress:
    """How far a fine-tuning is; everything of it that is not a tensor.

    Attributes:
        recent: the last losses that were learnt from; a spike is measured against them.
        halves: digest of the frozen weights that came from folders; `None` where none did, and in states
            of versions that did not note it.
        curve: one row for every so many steps; `unlogged` are the terms of the steps after the last row.
    """

    seed: int
    steps: int
    step: int = 0
    seconds: float = 0.0
    recent: list[float] = field(default_factory=list)
    left_out: list[LeftOut] = field(default_factory=list)
    curve: list[dict[str, Any]] = field(default_factory=list)
    unlogged: list[dict[str, float]] = field(default_factory=list)
    halves: str | None = None

    @property
    def finished(self) -> bool:
        """Whether the last step is done."""
        return self.step >= self.steps

    def verdict(self, loss: float, spike: float) -> str | None:
        """Why a loss must not be learnt from; `None` when it may."""
        if not math.isfinite(loss):
            return f"the loss is {loss}"
        if len(self.recent) >= FEWEST:
            usual = statistics.median(self.recent)
            if loss > spike * usual:
                return f"the loss is {loss:.3g}, more than {spike:g} times the median {usual:.3g}"
        return None

    def remember(self, loss: float) -> None:
        """Note a loss that was learnt from."""
        self.recent = [*self.recent, loss][-RECENT:]

    def leave_out(self, names: list[str], reason: str, most: int) -> list[LeftOut]:
        """Note samples that were left out; returns the new ones.

        Raises:
            DatasetError: when more were left out than may be, with the last ones.
        """
        new = [LeftOut(self.step, name, reason) for name in names]
        self.left_out += new
        if len(self.left_out) > most:
            last = "; ".join(f"{one.name} ({one.reason})" for one in self.left_out[-3:])
            raise DatasetError(
                f"{len(self.left_out)} samples were left out, more than the budget",
                where=f"step {self.step + 1} of {self.steps}",
                expected=f"at most {most}",
                found=last,
                fix="mend the data or lower the learning rate; most_skipped of the recipe is the budget",
            )
        return new


def learning_rate(step: int, steps: int, recipe: Recipe) -> float:
    """Rate of step 0, 1, ...: linear warm-up from nearly nothing, then a cosine to zero.

    Source: cvlab-kaist/InterRVOS at 14c261e, `configs/reviosa_1b.py` (LinearLR, CosineAnnealingLR, stepped by
    iteration).
    """
    tuning = tuning_of(recipe)
    warm = max(1, round(tuning.warmup_share * steps))
    if step < warm:
        share = tuning.warmup_start + (1 - tuning.warmup_start) * step / warm
    else:
        share = (1 + math.cos(math.pi * (step - warm) / max(1, steps - warm))) / 2
    return tuning.learning_rate * share


def total_steps(samples: int, recipe: Recipe, scale: float = 1.0) -> int:
    """Steps of all epochs, at least one."""
    tuning = tuning_of(recipe)
    return max(1, round(tuning.epochs * samples / tuning.videos_per_step * scale))


def save_progress(
    folder: Path, recipe: Recipe, progress: Progress, samples: int, tensors: Mapping[str, Tensor]
) -> None:
    """Write the state in one file that appears whole or not at all, and the loss curve beside it.

    Raises:
        OutputError: when the place cannot be written to.
    """
    from reference_model.tensor_files import write_tensors

    make_folder(folder)
    facts = {
        "recipe": dataclasses.asdict(recipe),
        "progress": dataclasses.asdict(progress),
        "samples": samples,
    }
    write_tensors(folder / STATE_FILE, tensors, {"tuning": json.dumps(facts)})
    write_atomically(folder / CURVE_FILE, curve_csv(progress.curve).encode())


def stored_seed(folder: Path, asked: int | None) -> int:
    """The seed that the training in a folder began with.

    Raises:
        CheckpointError: when there is no training, its state is damaged, or another seed was asked for.
    """
    path = folder / STATE_FILE
    facts, _ = _read_state(path, with_tensors=False)
    return same_seed(facts["progress"].seed, asked, path)


def same_halves(stored: str | None, given: str | None, path: Path) -> str | None:
    """The digest of the frozen weights of a training to resume.

    Raises:
        CheckpointError: the pretrained folders hold other weights than those it began with.
    """
    if stored is not None and given != stored:
        raise CheckpointError(
            "the training to resume began with other pretrained weights",
            where=str(path),
            expected=f"frozen weights with the digest {stored[:16]}",
            found=given[:16] if given else "none",
            fix="give the --internvl and --sam2 folders that it began with, or another --output",
        )
    return given


def load_progress(folder: Path, recipe: Recipe, samples: int) -> tuple[Progress, dict[str, Tensor]]:
    """The state as `save_progress` left it.

    Raises:
        CheckpointError: when there is none, it is damaged, or it is of another recipe or other data.
    """
    path = folder / STATE_FILE
    facts, tensors = _read_state(path, with_tensors=True)
    if facts["recipe"] != recipe or facts["samples"] != samples:
        same = facts["recipe"] == recipe
        other = f"{facts['samples']} samples, not {samples}" if same else "another recipe"
        raise CheckpointError(
            "the training to resume was started otherwise",
            where=str(path),
            found=other,
            fix="give the same recipe, options and data, or another --output",
        )
    return facts["progress"], tensors


def _read_state(path: Path, with_tensors: bool) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """The facts of a state (`recipe`, `progress`, `samples`) and, if asked for, its tensors."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, "pt") as file:
            facts = json.loads(file.metadata()["tuning"])
            names = file.keys() if with_tensors else ()
            tensors = {name: file.get_tensor(name) for name in names}
        read = {
            "recipe": from_mapping(Recipe, facts["recipe"], str(path)),
            "progress": from_mapping_progress(facts["progress"]),
            "samples": int(facts["samples"]),
        }
    except FileNotFoundError as error:
        raise CheckpointError(
            "there is no training to resume", where=str(path), fix="leave out --resume"
        ) from error
    except (SafetensorError, OSError, ValueError, KeyError, TypeError) as error:
        raise CheckpointError("training state is damaged", where=str(path), found=str(error)) from error
    return read, tensors


def from_mapping_progress(facts: Mapping[str, Any]) -> Progress:
    """A `Progress` from parsed JSON."""
    left_out = [LeftOut(**one) for one in facts["left_out"]]
    return Progress(**{**facts, "left_out": left_out})
