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

from adapters.parts.box_answers import BoxAnswer, Coordinates, Shown, read_answer
from adapters.parts.box_questions import question, spread_frames
from adapters.parts.box_segmentation import Asked, predictions
from adapters.parts.checkpoints import folders_digest, requirement
from adapters.parts.sam2_tracking import PACKAGES, BoxTracker
from adapters.parts.vision_language_chat import PictureChat, known_coordinates
from benchmark.adapter import Adapter, Requirements
from benchmark.errors import AdapterError
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
        for name, number in (("frames", frames), ("max_tokens", max_tokens)):
            if number < 1:
                raise AdapterError(
                    "not a number of them", where=f"--option {name}={number}", expected="1 or more"
                )
        self._model, self._revision = model, revision
        self._sam2, self._sam2_revision = sam2, sam2_revision
        self._shown, self._coordinates, self._max_tokens = frames, coordinates, max_tokens
        self._chat: PictureChat | None = None
        self._tracker: BoxTracker | None = None

    def info(self) -> AdapterInfo:
        parts = [part for part in (self._chat, self._tracker) if part is not None]
        return AdapterInfo(
            name="mllm_sam2",
            version="1",
            revision=self._revision,
            base_models=(self._model, self._sam2),
            parameters=sum(part.parameters for part in parts) if len(parts) == 2 else None,
            weights_digest=folders_digest(self._model, self._sam2),
            frame_policy=f"{self._shown} frames spread over the clip to the language side, all to SAM2",
        )

    def requirements(self) -> Requirements:
        return Requirements(
            packages=PACKAGES,
            weights=(
                requirement(self._model, self._revision),
                requirement(self._sam2, self._sam2_revision),
            ),
            environment="this project's own, with the extra `models`; a GPU for released sizes",
            setup=("pip install -c constraints.txt -e '.[models]'",),
        )

    def load(self, device: str, seed: int) -> None:
        """Read both models. Decoding is greedy, so the seed is not needed."""
        self._chat = PictureChat(self._model, self._revision, device)
        self._convention = (
            known_coordinates(self._chat.family)
            if self._coordinates == "auto"
            else Coordinates(self._coordinates)
        )
        self._tracker = BoxTracker(self._sam2, self._sam2_revision, device)

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
        if self._chat is None or self._tracker is None:
            raise AdapterError("the model is not loaded", where="adapter mllm_sam2", fix="call load first")
        return self._chat, self._tracker
