"""Short rendered clips of textured objects that interact, with exact masks: `interrvos-synthetic`.

2 to 5 objects move over a slowly panning textured background; who acts on whom is decided by motion and
order alone, never by look, size, layer or a still picture of frame 0. `clip(split, index)` renders one
clip; `write_split` and `cached_split` store a split in the released InterRVOS layout.

Train and val differ in seed and in what they contain: objects with the looks of `HELD_OUT_LOOKS` and
interactions between the colours of `HELD_OUT_PAIRINGS` occur in val only.
"""

from __future__ import annotations

from benchmark.datasets.synthetic.clips import (
    CONFIG,
    FRAMES,
    HEIGHT,
    SPLIT_SIZES,
    SPLITS,
    WIDTH,
    SyntheticClip,
    SyntheticConfig,
    clip,
    clip_digest,
)
from benchmark.datasets.synthetic.layout import cached_split, write_split
from benchmark.datasets.synthetic.looks import HELD_OUT_LOOKS, HELD_OUT_PAIRINGS, ObjectLook
from benchmark.datasets.synthetic.phrases import VOCABULARY
from benchmark.datasets.synthetic.sentences import SyntheticExpression
from benchmark.datasets.synthetic.tags import TAGS

__all__ = [
    "CONFIG",
    "FRAMES",
    "HEIGHT",
    "HELD_OUT_LOOKS",
    "HELD_OUT_PAIRINGS",
    "SPLITS",
    "SPLIT_SIZES",
    "TAGS",
    "VOCABULARY",
    "WIDTH",
    "ObjectLook",
    "SyntheticClip",
    "SyntheticConfig",
    "SyntheticExpression",
    "cached_split",
    "clip",
    "clip_digest",
    "write_split",
]
