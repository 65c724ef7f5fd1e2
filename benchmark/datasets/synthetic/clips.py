"""A synthetic clip from a split name and an index: the same on every machine."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from benchmark.datasets.synthetic import motions, scenes
from benchmark.datasets.synthetic.looks import ObjectLook
from benchmark.datasets.synthetic.observations import observe
from benchmark.datasets.synthetic.rendering import render
from benchmark.datasets.synthetic.scenes import Scene, plan_scene
from benchmark.datasets.synthetic.sentences import SyntheticExpression, write_expressions
from benchmark.errors import UsageError


@dataclass(frozen=True, slots=True)
class SyntheticSplit:
    """One split: its seed, its size, expressions per clip at most, and whether it holds the
    combinations that are kept out of training."""

    seed: int
    clips: int
    expressions: int
    held_out: bool


@dataclass(frozen=True, slots=True)
class SyntheticConfig:
    """Everything that is fixed about the data set."""

    width: int = scenes.WIDTH
    height: int = scenes.HEIGHT
    frames: int = motions.FRAMES
    fps: float = 6.0


CONFIG = SyntheticConfig()
WIDTH, HEIGHT, FRAMES = CONFIG.width, CONFIG.height, CONFIG.frames
# The seed of val was chosen among a few for even numbers of every interaction.
SPLITS = {
    "train": SyntheticSplit(seed=127_000, clips=6000, expressions=9, held_out=False),
    "val": SyntheticSplit(seed=755, clips=64, expressions=6, held_out=True),
}
SPLIT_SIZES = {name: split.clips for name, split in SPLITS.items()}


@dataclass(frozen=True)
class SyntheticClip:
    """A rendered clip with its truth.

    Attributes:
        frames: uint8 (T, H, W, 3), RGB.
        masks: bool (N, T, H, W), visible pixels of each object.
        objects: the looks of the N objects.
        expressions: sentences; objects are named by their index into `masks`.
        scene: the plan that was rendered.
    """

    frames: NDArray[np.uint8]
    masks: NDArray[np.bool_]
    objects: tuple[ObjectLook, ...]
    expressions: tuple[SyntheticExpression, ...]
    scene: Scene


def clip(split: str, index: int) -> SyntheticClip:
    """Render clip `index` of a split ("train" or "val"); depends on nothing but the two.

    Indices beyond `SPLIT_SIZES` give further clips of the same kind.

    Raises:
        UsageError: when the split does not exist or the index is negative.
    """
    settings = find_split(split)
    if index < 0:
        raise UsageError("a clip index cannot be negative", where="interrvos-synthetic", found=str(index))
    rng = np.random.Generator(np.random.PCG64(np.random.SeedSequence((settings.seed, index))))
    while True:
        scene = plan_scene(rng, settings.held_out)
        rendering = render(rng, scene)
        seen = observe(scene, rendering)
        expressions = write_expressions(rng, seen, settings.expressions)
        if len(seen.nameable) >= 2 and expressions:
            return SyntheticClip(rendering.frames, rendering.masks, seen.looks, expressions, scene)


def find_split(split: str) -> SyntheticSplit:
    """The settings of a split.

    Raises:
        UsageError: when there is no such split.
    """
    if split not in SPLITS:
        raise UsageError(
            f"interrvos-synthetic has no split {split!r}",
            where="--split",
            expected=" or ".join(SPLITS),
            found=split,
        )
    return SPLITS[split]


def clip_digest(rendered: SyntheticClip) -> str:
    """SHA-256 over masks and expressions (not over colours, which may differ by a rounding)."""
    digest = hashlib.sha256(str(rendered.masks.shape).encode())
    digest.update(np.packbits(rendered.masks).tobytes())
    for expression in rendered.expressions:
        digest.update(repr(expression).encode())
    return digest.hexdigest()
