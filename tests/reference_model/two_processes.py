"""What one of two processes does in the test of shared training; `torchrun` would start it in the same way.

RANK=0 WORLD_SIZE=2 ... python -m tests.reference_model.two_processes CLIPS OUTPUT
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch

from reference_model.full_training import Schedule, save_model, save_state, train_all, train_step
from reference_model.tuning_run import load_progress
from reference_model.tuning_session import Session, passes_of, restore_tensors
from tests.reference_model.small_tuning import accelerator, small_session

STEPS = 2


def main(clips: Path, output: Path) -> None:
    """Train with copies of the model (DDP), then with its weights spread (FSDP)."""
    torch.set_num_threads(1)
    assert accelerator().num_processes == 2
    session = small_session(clips, steps=STEPS)
    train_all(session, Schedule(output / "copies", show=False, tensorboard=False), {})
    spread = shard(small_session(clips, steps=STEPS))
    assert spread.sharded
    train_step(spread, passes_of(spread))
    save_state(spread, output / "spread-1")
    resumed = shard(small_session(clips, steps=STEPS))
    torch.distributed.barrier()
    resumed.progress, tensors = load_progress(output / "spread-1", resumed.recipe, len(resumed.mix))
    restore_tensors(resumed, tensors, "here")
    train_step(resumed, passes_of(resumed))
    save_state(resumed, output / "spread")
    save_model(resumed, output / "spread", {})


def shard(session: Session) -> Session:
    """Spread the weights of a session as accelerate does it under FSDP 2, which it refuses to do on a CPU."""
    from torch.distributed.fsdp import fully_shard

    room = session.room
    for layer in room.model.vision_language.language_model.layers:
        fully_shard(layer)
    fully_shard(room)
    group = session.optimizer.param_groups[0]
    settings = {key: group[key] for key in ("lr", "betas", "weight_decay")}
    optimizer = torch.optim.AdamW([one for one in room.parameters() if one.requires_grad], **settings)
    session.wrapped, session.optimizer = room, optimizer
    return session


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
