"""Grounding DINO (transformers): boxes of what a phrase names, on a few frames of a clip."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from adapters.parts.box_answers import FrameBox
from adapters.parts.checkpoints import check_type, count_weights
from benchmark.frames import FrameSequence

FAMILIES = ("grounding-dino", "mm-grounding-dino")


@dataclass(frozen=True, slots=True)
class Found:
    """A box with how sure the detector is (0 to 1), and the words of the phrase that it stands for."""

    box: FrameBox
    surety: float
    words: str


class PhraseDetector:
    """A Grounding DINO on a device, and the frames that are open.

    Args:
        name: a folder, or a name on the Hub.
        revision: commit, branch or tag of the Hub.
        device: "cpu", "cuda", "cuda:1".

    Raises:
        CheckpointError: when it is no Grounding DINO.
    """

    def __init__(self, name: str, revision: str | None, device: str) -> None:
        import torch
        from transformers import AutoModelForZeroShotObjectDetection, AutoProcessor

        check_type(name, revision, FAMILIES, "Grounding DINO")
        self._processor: Any = AutoProcessor.from_pretrained(name, revision=revision)
        model = AutoModelForZeroShotObjectDetection.from_pretrained(
            name, revision=revision, dtype=torch.float32
        )
        self.model = model.eval().to(device)
        self._device = device
        self._pixels: Any = None
        self.parameters = count_weights(model)
        self.positions: tuple[int, ...] = ()

    def open_video(self, frames: FrameSequence, positions: Sequence[int]) -> None:
        """Take the frames at these positions; they are resized once for all phrases."""
        self.positions = tuple(positions)
        self._height, self._width = frames.height, frames.width
        pictures = [frames.as_pil(index) for index in self.positions]
        self._pixels = self._processor.image_processor(images=pictures, return_tensors="pt").to(self._device)

    def close_video(self) -> None:
        """Let go of the frames."""
        self._pixels, self.positions = None, ()

    def find(self, phrase: str, threshold: float, limit: int) -> list[Found]:
        """At most `limit` boxes above a threshold on the frame with the surest one, surest first.

        The detector takes "." for the end of a phrase, and has learned from phrases that end so.
        """
        import torch

        text = [f"{phrase}."] * len(self.positions)
        tokens = self._processor.tokenizer(text, return_tensors="pt").to(self._device)
        with torch.inference_mode():
            outputs = self.model(**self._pixels, **tokens)
        frames = self._processor.post_process_grounded_object_detection(
            outputs,
            tokens.input_ids,
            threshold=threshold,
            text_threshold=threshold,
            target_sizes=[(self._height, self._width)] * len(self.positions),
        )
        each = [self._on_frame(*pair) for pair in zip(self.positions, frames, strict=True)]
        best = max((one for one in each if one), key=lambda one: one[0].surety, default=[])
        return best[:limit]

    def _on_frame(self, position: int, detected: Any) -> list[Found]:
        if not len(detected["scores"]):  # transformers then gives one label, to no box
            return []
        rows = zip(
            detected["scores"].tolist(), detected["boxes"].tolist(), detected["text_labels"], strict=True
        )
        found = []
        for surety, (left, top, right, bottom), words in rows:
            left, right = (min(max(x, 0.0), float(self._width)) for x in (left, right))
            top, bottom = (min(max(y, 0.0), float(self._height)) for y in (top, bottom))
            if right > left and bottom > top:
                found.append(Found(FrameBox(position, left, top, right, bottom), surety, words))
        return sorted(found, key=lambda one: -one.surety)
