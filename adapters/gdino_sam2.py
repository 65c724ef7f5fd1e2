"""Grounding DINO finds what the sentence names, SAM2 follows it: words without relations, a baseline.

    python -m benchmark.evaluate --adapter gdino-sam2 --device cuda
    python -m benchmark.evaluate --adapter gdino-sam2 --option model=IDEA-Research/grounding-dino-base \
        --option frames=8 --option threshold=0.3 --device cuda
    python -m benchmark.evaluate --adapter zero-shot-target --option of=gdino-sam2 \
        --option of.words=sentence --device cuda
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal, final

from adapters.parts.box_answers import BoxAnswer
from adapters.parts.box_questions import spread_frames
from adapters.parts.box_segmentation import Asked, predictions
from adapters.parts.open_weights import OpenWeights
from adapters.parts.option_checks import check_counts, loaded
from adapters.parts.phrase_detection import Found, PhraseDetector
from adapters.parts.sam2_tracking import BoxTracker
from adapters.parts.subject_phrase import subject_phrase
from benchmark.adapter import Adapter, Requirements
from benchmark.errors import UsageError
from benchmark.frames import FrameSequence
from benchmark.types import AdapterInfo, Prediction, Query, Role, Status


@final
class GdinoSam2(Adapter):
    """Looks for a noun phrase on frames spread over the clip, and lets SAM2 follow the surest box.

    It knows one role: it cannot tell who acts on whom. The Target column is undefined; `zero_shot_target`
    fills it by asking a second time, which calls for `words=sentence`.

    Args:
        model: Grounding DINO or MM Grounding DINO: a Hub name or a folder.
        revision: its commit, branch or tag; a commit makes the run repeatable.
        sam2: the video model: a Hub name or a folder.
        sam2_revision: its commit, branch or tag.
        frames: how many frames are searched.
        words: `subject` looks for the words up to the verb, `sentence` for all of them.
        threshold: surety (0 to 1) that a box must exceed; without one, the model abstains.
        boxes: how many boxes of the surest frame make the answer, at most.
    """

    summary = "Grounding DINO finds the sentence's subject, SAM2 follows its box; actors alone, zero-shot"
    max_queries = 8  # bounds memory: all masks of one call are held at source size

    def __init__(
        self,
        model: str = "IDEA-Research/grounding-dino-tiny",
        revision: str | None = None,
        sam2: str = "facebook/sam2.1-hiera-large",
        sam2_revision: str | None = None,
        frames: int = 4,
        words: Literal["subject", "sentence"] = "subject",
        threshold: float = 0.25,
        boxes: int = 1,
    ) -> None:
        check_counts(frames=frames, boxes=boxes)
        if not 0 <= threshold < 1:
            raise UsageError(
                "not a surety", where=f"--option threshold={threshold}", expected="0 or more, below 1"
            )
        self._weights = OpenWeights(((model, revision), (sam2, sam2_revision)))
        self._shown, self._words, self._threshold, self._boxes = frames, words, threshold, boxes
        self._detector: PhraseDetector | None = None
        self._tracker: BoxTracker | None = None

    def info(self) -> AdapterInfo:
        return AdapterInfo(
            name="gdino_sam2",
            version="1",
            roles=(Role.ACTOR,),
            revision=self._weights.named[0][1],
            base_models=self._weights.names,
            parameters=self._weights.parameters(self._detector, self._tracker),
            weights_digest=self._weights.digest,
            frame_policy=f"{self._shown} frames spread over the clip are searched, all go to SAM2",
        )

    def requirements(self) -> Requirements:
        return self._weights.requirements()

    def load(self, device: str, seed: int) -> None:
        """Read both models. Nothing in them is drawn, so the seed is not needed."""
        named, sam2 = self._weights.named
        self._detector = PhraseDetector(*named, device)
        self._tracker = BoxTracker(*sam2, device)

    def open_video(self, frames: FrameSequence) -> None:
        detector, tracker = self._loaded()
        detector.open_video(frames, spread_frames(len(frames), self._shown))
        tracker.open_video(frames)

    def predict(self, queries: Sequence[Query]) -> list[Prediction]:
        detector, tracker = self._loaded()
        phrases = [self._phrase(query.expression) for query in queries]
        found = [detector.find(phrase, self._threshold, self._boxes) for phrase in phrases]
        asked = [
            Asked(_answer(one), _said(one), phrase, detector.positions)
            for one, phrase in zip(found, phrases, strict=True)
        ]
        answers = predictions(asked, tracker)
        return [
            replace(answer, score=one[0].surety if one else None)
            for answer, one in zip(answers, found, strict=True)
        ]

    def close_video(self) -> None:
        for part in (self._detector, self._tracker):
            if part is not None:
                part.close_video()

    def unload(self) -> None:
        self._detector = self._tracker = None

    def _phrase(self, expression: str) -> str:
        if self._words == "subject":
            return subject_phrase(expression)
        return expression.lower().strip().rstrip(".?!")

    def _loaded(self) -> tuple[PhraseDetector, BoxTracker]:
        return loaded(self._detector, "gdino_sam2"), loaded(self._tracker, "gdino_sam2")


def _answer(found: Sequence[Found]) -> BoxAnswer:
    if not found:
        return BoxAnswer(Status.ABSTAIN, message="no box is sure enough")
    return BoxAnswer(Status.OK, {Role.ACTOR: tuple(one.box for one in found)})


def _said(found: Sequence[Found]) -> str | None:
    """What the detector calls its boxes, surest first."""
    return "; ".join(f"{one.words} {one.surety:.3f}" for one in found) or None
