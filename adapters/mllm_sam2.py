"""An open vision-language model names boxes, SAM2 follows them: nothing here was trained for the task.

    python -m benchmark.evaluate --adapter mllm-sam2 --option model=Qwen/Qwen2.5-VL-7B-Instruct --device cuda
    python -m benchmark.evaluate --adapter mllm-sam2 --option model=OpenGVLab/InternVL3-8B-hf \
        --option frames=8 --device cuda
    python -m benchmark.evaluate --adapter mllm-sam2 --option model=/weights/mine \
        --option sam2=/weights/sam2.1-hiera-tiny --option coordinates=unit
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, final

from adapters.parts.box_answers import BoxAnswer, Shown, read_answer
from adapters.parts.box_questions import question, spread_frames
from adapters.parts.box_segmentation import Asked, predictions
from adapters.parts.open_weights import OpenWeights
from adapters.parts.option_checks import check_counts, loaded
from adapters.parts.sam2_tracking import BoxTracker
from adapters.parts.vision_language_chat import PictureChat, coordinates_of
from benchmark.adapter import Adapter, Requirements
from benchmark.frames import FrameSequence
from benchmark.types import AdapterInfo, Prediction, Query


@final
class MllmSam2(Adapter):
    """Asks for boxes on frames spread over the clip, and lets SAM2 turn them into masks.

    Args:
        model: the vision-language model: a Hub name or a folder.
        revision: its commit, branch or tag; a commit makes the run repeatable.
        sam2: the video model: a Hub name or a folder.
        sam2_revision: its commit, branch or tag.
        frames: how many frames the model is shown.
        coordinates: how it writes boxes; `auto` knows Qwen2-VL, Qwen2.5-VL, Qwen3-VL and InternVL.
        max_tokens: longest answer.
    """

    summary = "an open vision-language model names boxes as JSON, SAM2 follows them; zero-shot"
    uses_device = True
    max_queries = 8  # bounds what SAM2 remembers of all objects of one call

    def __init__(
        self,
        model: str = "Qwen/Qwen2.5-VL-7B-Instruct",
        revision: str | None = None,
        sam2: str = "facebook/sam2.1-hiera-large",
        sam2_revision: str | None = None,
        frames: int = 4,
        coordinates: Literal["auto", "pixels", "per-thousand", "unit"] = "auto",
        max_tokens: int = 512,
    ) -> None:
        check_counts(frames=frames, max_tokens=max_tokens)
        self._weights = OpenWeights(((model, revision), (sam2, sam2_revision)))
        self._shown, self._coordinates, self._max_tokens = frames, coordinates, max_tokens
        self._chat: PictureChat | None = None
        self._tracker: BoxTracker | None = None

    def info(self) -> AdapterInfo:
        return AdapterInfo(
            name="mllm_sam2",
            version="1",
            revision=self._weights.named[0][1],
            base_models=self._weights.names,
            parameters=self._weights.parameters(self._chat, self._tracker),
            weights_digest=self._weights.digest,
            frame_policy=f"{self._shown} frames spread over the clip to the language side, all to SAM2",
        )

    def requirements(self) -> Requirements:
        return self._weights.requirements()

    def load(self, device: str, seed: int) -> None:
        """Read both models. Decoding is greedy, so the seed is not needed."""
        named, sam2 = self._weights.named
        self._chat = PictureChat(*named, device)
        self._convention = coordinates_of(self._chat, self._coordinates)
        self._tracker = BoxTracker(*sam2, device)

    def open_video(self, frames: FrameSequence) -> None:
        _, tracker = self._loaded()
        self._frames = frames
        self._positions = spread_frames(len(frames), self._shown)
        self._pictures = [frames.as_pil(index) for index in self._positions]
        tracker.open_video(frames)

    def predict(self, queries: Sequence[Query]) -> list[Prediction]:
        _, tracker = self._loaded()
        return predictions([self._ask(query.expression) for query in queries], tracker)

    def close_video(self) -> None:
        self._pictures = []
        if self._tracker is not None:
            self._tracker.close_video()

    def unload(self) -> None:
        self._chat = self._tracker = None

    def _ask(self, expression: str) -> Asked:
        chat, _ = self._loaded()
        words = question(expression, len(self._pictures), self._convention)
        reply = chat.ask(self._pictures, words, self._max_tokens)
        shown = Shown(self._positions, reply.sizes, self._frames.height, self._frames.width, self._convention)
        answer: BoxAnswer = read_answer(reply.text, shown)
        return Asked(answer, reply.text, words, self._positions)

    def _loaded(self) -> tuple[PictureChat, BoxTracker]:
        return loaded(self._chat, "mllm_sam2"), loaded(self._tracker, "mllm_sam2")
