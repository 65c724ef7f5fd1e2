"""The steps of VISA with parts that are open today. It is not VISA, and its scores are not VISA's.

    python -m benchmark.evaluate --adapter visa-style --option model=Qwen/Qwen2.5-VL-7B-Instruct --device cuda
    python -m benchmark.evaluate --adapter zero-shot-target --option of=visa-style \
        --option of.model=OpenGVLab/InternVL3-8B-hf --device cuda
    python -m benchmark.evaluate --adapter visa-style --option model=/weights/mine \
        --option sam2=/weights/sam2.1-hiera-tiny --option coordinates=unit

The paper's steps (arXiv 2407.11325, sections 3.2 and 4.4), in its order:

1. text-guided frame sampler: a video language model is asked K = 10 times which percentage of the video
   shows the object; the mean names the target frame;
2. Global-Local sampling: 12 reference frames, half over the whole video, half around the target frame;
3. a language model sees the target frame and the references, and the object is segmented on the target;
4. a tracker carries that mask to all frames, both ways.

What differs from VISA:

- the sampler is the one open model of step 3, not LLaMA-VID: it sees `sampler_frames` numbered frames, not
  every frame as two tokens. The question is the paper's. Temperature and top-p are those of VISA's code;
- an answer without a percentage is left out of the mean; if all are, the middle is taken (so VISA's code);
- the model was not trained for it: no [SEG] token and no SAM decoder that reads its state. It draws a box
  on the target frame as JSON, and SAM2 makes the mask from the box. The paper's template
  "Can you segment the {description}?" is followed by how to answer;
- frames have the model's own size and tokens, not 224 x 224 and 112;
- SAM2 propagates, not XMem;
- it may answer that there is no such object (VISA cannot), and that answer is an `abstain`;
- of the references, neighbours stand on both sides of the target and never repeat it or another one.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from typing import Literal, final

from adapters.parts.box_answers import BoxAnswer, Shown, read_answer
from adapters.parts.box_questions import UNITS, spread_frames
from adapters.parts.box_segmentation import Asked, predictions
from adapters.parts.open_weights import OpenWeights
from adapters.parts.option_checks import check_counts, loaded
from adapters.parts.sam2_tracking import BoxTracker
from adapters.parts.text_guided_frames import (
    SAMPLER_QUESTION,
    global_local_references,
    share_of_video,
    target_frame,
)
from adapters.parts.vision_language_chat import PictureChat, coordinates_of
from benchmark.adapter import Adapter, Requirements
from benchmark.frames import FrameSequence
from benchmark.types import AdapterInfo, Prediction, Query, Role, Status

SAMPLER_TOKENS = 24  # a sentence around a number
# Source: VISA's repository, the sampler's settings in utils_llamavid.
TEMPERATURE, TOP_P = 0.6, 0.9

QUESTION = """\
The pictures above are frames of one video. Frame 1 is the one to look at; the others, in order of time, \
show what happens before and after it.
Can you segment the {description}?
Draw a box around it in frame 1, several if it is several objects. Answer with JSON alone, in this form:
{{"actor": [{{"bbox_2d": [x1, y1, x2, y2]}}]}}
Write boxes as left, top, right, bottom, {unit}. Write null in place of the list if it is not there."""


@final
class VisaStyle(Adapter):
    """Follows VISA's steps with an open vision-language model and SAM2; see the module for what differs.

    It knows one role, like VISA; `zero_shot_target` asks it again for the target.

    Args:
        model: the vision-language model: a Hub name or a folder.
        revision: its commit, branch or tag; a commit makes the run repeatable.
        sam2: the video model: a Hub name or a folder.
        sam2_revision: its commit, branch or tag.
        answers: how often it is asked for the target frame (the paper's K).
        references: how many reference frames there are.
        sampler_frames: how many frames it is shown when asked for the target frame.
        coordinates: how it writes boxes; `auto` knows Qwen2-VL, Qwen2.5-VL, Qwen3-VL and InternVL.
        max_tokens: longest answer with boxes.
    """

    summary = "VISA's steps with open parts of today (a vision-language model, SAM2); not VISA, zero-shot"
    max_queries = 8  # bounds memory: all masks of one call are held at source size

    def __init__(
        self,
        model: str = "Qwen/Qwen2.5-VL-7B-Instruct",
        revision: str | None = None,
        sam2: str = "facebook/sam2.1-hiera-large",
        sam2_revision: str | None = None,
        answers: int = 10,
        references: int = 12,
        sampler_frames: int = 16,
        coordinates: Literal["auto", "pixels", "per-thousand", "unit"] = "auto",
        max_tokens: int = 512,
    ) -> None:
        check_counts(answers=answers, sampler_frames=sampler_frames, max_tokens=max_tokens)
        check_counts(0, references=references)
        self._weights = OpenWeights(((model, revision), (sam2, sam2_revision)))
        self._answers, self._references, self._sampler_frames = answers, references, sampler_frames
        self._coordinates, self._max_tokens = coordinates, max_tokens
        self._chat: PictureChat | None = None
        self._tracker: BoxTracker | None = None

    def info(self) -> AdapterInfo:
        return AdapterInfo(
            name="visa_style",
            version="1",
            roles=(Role.ACTOR,),
            revision=self._weights.named[0][1],
            base_models=self._weights.names,
            parameters=self._weights.parameters(self._chat, self._tracker),
            weights_digest=self._weights.digest,
            frame_policy=(
                f"{self._sampler_frames} frames choose one by the mean of {self._answers} answers; it and "
                f"{self._references} Global-Local references to the language side, all to SAM2"
            ),
        )

    def requirements(self) -> Requirements:
        return self._weights.requirements()

    def load(self, device: str, seed: int) -> None:
        """Read both models. The answers of the sampler are drawn from the seed and the sentence alone."""
        named, sam2 = self._weights.named
        self._chat = PictureChat(*named, device)
        self._convention = coordinates_of(self._chat, self._coordinates)
        self._tracker = BoxTracker(*sam2, device)
        self._seed = seed

    def open_video(self, frames: FrameSequence) -> None:
        _, tracker = self._loaded()
        self._frames = frames
        spread = spread_frames(len(frames), self._sampler_frames)
        self._overview = [frames.as_pil(index) for index in spread]
        tracker.open_video(frames)

    def predict(self, queries: Sequence[Query]) -> list[Prediction]:
        _, tracker = self._loaded()
        asked, notes = zip(*(self._ask(query.expression) for query in queries), strict=True)
        answers = predictions(list(asked), tracker)
        return [
            replace(answer, message="; ".join(filter(None, (note, answer.message))) or None)
            for answer, note in zip(answers, notes, strict=True)
        ]

    def close_video(self) -> None:
        self._overview = []
        if self._tracker is not None:
            self._tracker.close_video()

    def unload(self) -> None:
        self._chat = self._tracker = None

    def _ask(self, expression: str) -> tuple[Asked, str | None]:
        """The boxes on the target frame, and what was odd on the way to it."""
        chat, _ = self._loaded()
        description = expression.strip().rstrip(".?!")
        sampler_words = SAMPLER_QUESTION.format(description=description)
        said = chat.ask_often(
            self._overview,
            sampler_words,
            SAMPLER_TOKENS,
            [_seed(self._seed, expression, number) for number in range(self._answers)],
            TEMPERATURE,
            TOP_P,
        )
        shares = [share for share in map(share_of_video, said) if share is not None]
        total = len(self._frames)
        target = target_frame(shares, total)
        seen = (target, *global_local_references(target, total, self._references))
        words = QUESTION.format(description=description, unit=UNITS[self._convention])
        reply = chat.ask([self._frames.as_pil(index) for index in seen], words, self._max_tokens)
        # Boxes on a reference frame are refused: only the first picture counts as shown.
        shown = Shown((target,), reply.sizes[:1], self._frames.height, self._frames.width, self._convention)
        asked = Asked(
            _actors_alone(read_answer(reply.text, shown)),
            "\n".join([" | ".join(one.strip() for one in said), reply.text]),
            f"{sampler_words}\n{words}",
            seen,
        )
        return asked, _note(len(shares), len(said))

    def _loaded(self) -> tuple[PictureChat, BoxTracker]:
        return loaded(self._chat, "visa_style"), loaded(self._tracker, "visa_style")


def _actors_alone(answer: BoxAnswer) -> BoxAnswer:
    """The answer without boxes of a role that was not asked for."""
    boxes = answer.boxes.get(Role.ACTOR)
    if boxes is None and answer.status is Status.OK:
        return BoxAnswer(Status.PARSE_ERROR, message="the answer holds no box of what was asked for")
    return replace(answer, boxes={} if boxes is None else {Role.ACTOR: boxes})


def _note(usable: int, answers: int) -> str | None:
    if usable == answers:
        return None
    rest = "" if usable else "; the middle of the video was taken"
    return f"{answers - usable} of {answers} answers of the frame sampler name no percentage{rest}"


def _seed(seed: int, expression: str, number: int) -> int:
    """The same for a sentence wherever and whenever it is asked: after a resume, in another shard."""
    digest = hashlib.sha256(f"{seed}\0{number}\0{expression}".encode()).digest()
    return int.from_bytes(digest[:7], "big")
