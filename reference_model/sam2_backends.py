"""Whose SAM2 runs: the class of transformers, or the `sam2` package. Both follow objects in the same way.

Legend of shape suffixes:
    N objects   M frames that are encoded at once   C colour channels, or width of a prompt
    S side of a frame
"""

from __future__ import annotations

import importlib.util
from collections.abc import Collection, Iterator, Sequence
from typing import Protocol

import torch
from torch import Tensor

from benchmark.errors import EnvironmentProblem, UsageError
from reference_model.mask_decoder import Decoded, FrameLevels, Levels
from reference_model.model import Reviosa

BACKENDS = ("transformers", "sam2")
INSTALL_SAM2 = "pip install -e '.[sam2]' && pip install --no-build-isolation --no-deps sam2==1.1.0"


class MaskFollower(Protocol):
    """SAM2 that follows objects from language prompts; what each method does: `PromptedMaskDecoder`."""

    def encode(self, pixels_MCSS: Tensor) -> Levels:
        """Feature maps of normalised frames."""

    def follow(
        self,
        frame_levels: FrameLevels,
        length: int,
        clip_of_object_N: Tensor,
        prompts_NC: Tensor,
        conditioning: Sequence[int],
        also_prompted: Collection[int] = (),
        both_ways: bool = False,
        memory_type: torch.dtype | None = None,
    ) -> Iterator[tuple[int, Decoded]]:
        """Follow N objects through a clip, one frame at a time."""

    def shown(self, decoded: Decoded) -> Tensor:
        """Mask logits, emptied where the object score says "not here"."""

    def moved_to(self, device: torch.device, dtype: torch.dtype | None) -> MaskFollower:
        """The same on a device, with its weights in a type."""


def make_follower(backend: str, model: Reviosa) -> MaskFollower | None:
    """SAM2 of a backend with the weights of a model; `None` is the model's own mask decoder.

    Raises:
        UsageError: when there is no such backend.
        EnvironmentProblem: when the `sam2` package is not installed.
    """
    if backend not in BACKENDS:
        raise UsageError("unknown backend", where=f"--sam2-backend {backend}", expected=" or ".join(BACKENDS))
    if backend == "transformers":
        return None
    if importlib.util.find_spec("sam2") is None:
        raise EnvironmentProblem("the sam2 package is not installed", fix=INSTALL_SAM2)
    from reference_model.sam2_package import PackageMaskDecoder

    return PackageMaskDecoder.with_weights_of(model.mask_decoder)
