"""State and weights that are spread over processes (FSDP), gathered on the first one and dealt out again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

if TYPE_CHECKING:
    from reference_model.tuning_session import Session

ROOM = "model."
"""What the names of the model begin with inside the module that is trained."""


def gathered_state(session: Session) -> dict[str, Tensor]:
    """What was trained and the moments of the optimizer, whole; empty on all processes but the first.

    Every process must call this.
    """
    from torch.distributed.checkpoint.state_dict import StateDictOptions, get_state_dict

    options = StateDictOptions(full_state_dict=True, cpu_offload=True, ignore_frozen_params=True)
    weights, optimizer = get_state_dict(session.wrapped, bare(session.optimizer), options=options)
    trained = {name for name, one in session.wrapped.named_parameters() if one.requires_grad}
    tensors = {f"trained.{name}": one for name, one in weights.items() if name in trained}
    for name, moments in optimizer.get("state", {}).items():
        for key, value in moments.items():
            tensors[f"optimizer.{name}.{key}"] = value if isinstance(value, Tensor) else torch.tensor(value)
    return tensors


def scatter_state(session: Session, tensors: dict[str, Tensor]) -> None:
    """Put back what `gathered_state` gave; every process must call this with the same tensors."""
    from torch.distributed.checkpoint.state_dict import (
        StateDictOptions,
        get_optimizer_state_dict,
        set_state_dict,
    )

    options = StateDictOptions(
        full_state_dict=True, cpu_offload=True, ignore_frozen_params=True, strict=False
    )
    optimizer = bare(session.optimizer)
    # A fresh optimizer says how its groups look; the moments are those of the file.
    groups = get_optimizer_state_dict(session.wrapped, optimizer, options=options).get("param_groups", [])
    state: dict[str, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        if name.startswith("optimizer."):
            parameter, _, key = name.removeprefix("optimizer.").rpartition(".")
            state.setdefault(parameter, {})[key] = tensor
    weights = {
        name.removeprefix("trained."): one for name, one in tensors.items() if name.startswith("trained.")
    }
    set_state_dict(
        session.wrapped,
        optimizer,
        model_state_dict=weights,
        optim_state_dict={"state": state, "param_groups": _groups(groups, session)},
        options=options,
    )


def gathered_weights(session: Session) -> dict[str, Tensor]:
    """All weights of the model by name, tied ones once, whole; empty on all processes but the first."""
    from torch.distributed.checkpoint.state_dict import StateDictOptions, get_model_state_dict

    options = StateDictOptions(full_state_dict=True, cpu_offload=True)
    weights = get_model_state_dict(session.wrapped, options=options)
    named = (*session.wrapped.named_parameters(), *session.wrapped.named_buffers())
    once = {name for name, _ in named}
    return {name.removeprefix(ROOM): one for name, one in weights.items() if name in once}


def bare(optimizer: Any) -> torch.optim.Optimizer:
    """The optimizer of torch inside accelerate's."""
    inner: torch.optim.Optimizer = getattr(optimizer, "optimizer", optimizer)
    return inner


def _groups(groups: Any, session: Session) -> Any:
    if groups:
        return groups
    names = [name for name, one in session.wrapped.named_parameters() if one.requires_grad]
    return [{**session.optimizer.param_groups[0], "params": names}]
