"""Sa2VA-i (arXiv 2509.19082): Sa2VA's weights, with SAM2's own decoder restored for propagation."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal, final

from benchmark.adapter import Adapter, Requirements, load_adapter
from benchmark.frames import FrameSequence
from benchmark.types import AdapterInfo, Prediction, Query


@final
class Sa2vaI(Adapter):
    """Runs a Sa2VA-i checkpoint by its own `predict_forward`; the adapter `sa2va` does the work.

    Args:
        size: `1b`, `4b`, `8b` or `26b`.
        checkpoint: a folder with weights and code instead of the released ones.
        revision: commit of the Hub repository, 40 hexadecimal digits; needed unless a folder is given.
        trust_remote_code: that the code in the checkpoint may be run; must be said.
        multi_seg: the mask of the first [SEG] (official) or the union over all of them.
        key_frames: frames that the language side sees, spread over the video (5 in its evaluation).
    """

    summary = "Sa2VA-i, four released sizes, through the checkpoint's own code"

    def __init__(
        self,
        size: str = "4b",
        checkpoint: Path | None = None,
        revision: str | None = None,
        trust_remote_code: bool = False,
        multi_seg: Literal["first", "union"] = "first",
        key_frames: int = 5,
    ) -> None:
        options = {
            "size": size,
            "trust_remote_code": str(trust_remote_code),
            "multi_seg": multi_seg,
            "key_frames": str(key_frames),
            "improved": "true",
        }
        if checkpoint is not None:
            options["checkpoint"] = str(checkpoint)
        if revision is not None:
            options["revision"] = revision
        self._sa2va = load_adapter("sa2va", options)
        self.max_queries = self._sa2va.max_queries

    def info(self) -> AdapterInfo:
        return self._sa2va.info()

    def requirements(self) -> Requirements:
        return self._sa2va.requirements()

    def load(self, device: str, seed: int) -> None:
        self._sa2va.load(device, seed)

    def open_video(self, frames: FrameSequence) -> None:
        self._sa2va.open_video(frames)

    def predict(self, queries: Sequence[Query]) -> list[Prediction]:
        return self._sa2va.predict(queries)

    def close_video(self) -> None:
        self._sa2va.close_video()

    def unload(self) -> None:
        self._sa2va.unload()
