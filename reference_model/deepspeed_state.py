"""What DeepSpeed needs beside the rest: its settings, and its own folder for the state of a training.

Stages 0 to 2 of ZeRO are supported: gradients and moments are spread over the processes, weights are whole.
Each state is a new folder that only counts once the state file, which is written last, names it.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmark.errors import CheckpointError, UsageError
from reference_model.tuning_config import TuningConfig

if TYPE_CHECKING:
    from accelerate import Accelerator

    from reference_model.tuning_session import Session

PREFIX = "deepspeed-step-"
MOST_STAGE = 2


def is_deepspeed(accelerator: Accelerator) -> bool:
    """Whether the processes were launched for DeepSpeed."""
    return str(accelerator.distributed_type.value) == "DEEPSPEED"


def configure(accelerator: Accelerator, tuning: TuningConfig, passes: int) -> None:
    """Tell DeepSpeed how large a pass and a step are.

    Raises:
        UsageError: when weights would be spread over the processes, too (stage 3).
    """
    plugin: Any = accelerator.state.deepspeed_plugin
    if plugin.zero_stage > MOST_STAGE:
        raise UsageError(
            "stage 3 of DeepSpeed is not supported",
            where="--zero_stage of accelerate launch",
            expected=f"0 to {MOST_STAGE}",
            found=str(plugin.zero_stage),
            fix="to spread the weights, too, use --use_fsdp",
        )
    plugin.deepspeed_config |= {
        "train_micro_batch_size_per_gpu": tuning.videos_per_pass,
        "gradient_accumulation_steps": passes,
        "gradient_clipping": tuning.clip_gradient,
    }


def keep_buffers(session: Session, buffers: dict[str, Any]) -> None:
    """Put tables that DeepSpeed has rounded to bfloat16 back: of rotary positions above all."""
    for name, buffer in session.room.named_buffers():
        buffer.data = buffers[name].to(buffer.device)


def save_folder(session: Session, folder: Path) -> None:
    """Write the state of this step; every process must call this."""
    place = folder / f"{PREFIX}{session.progress.step:06d}"
    session.accelerator.save_state(str(place), exclude_frozen_parameters=True)
    session.accelerator.wait_for_everyone()


def remove_older(session: Session, folder: Path) -> None:
    """Remove the states that the state file does not name any more."""
    for place in folder.glob(f"{PREFIX}*"):
        if place.name != f"{PREFIX}{session.progress.step:06d}":
            shutil.rmtree(place, ignore_errors=True)


def load_folder(session: Session, folder: Path) -> None:
    """Go on where the state file says; every process must call this.

    Raises:
        CheckpointError: when the folder of this step is not there.
    """
    place = folder / f"{PREFIX}{session.progress.step:06d}"
    if not place.is_dir():
        raise CheckpointError(
            "the state of DeepSpeed is missing",
            where=str(place),
            fix="resume with the launcher that the training was started with",
        )
    session.accelerator.load_state(str(place), load_module_strict=False)
