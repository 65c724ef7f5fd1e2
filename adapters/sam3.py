"""SAM3 tracks what a noun phrase names; the phrase comes from the sentence, or from a language model.

python -m benchmark.evaluate --adapter sam3 --device cuda
python -m benchmark.evaluate --adapter sam3 --option mllm=Qwen/Qwen2.5-VL-7B-Instruct --device cuda
python -m benchmark.evaluate --adapter sam3 --option model=/weights/sam3 --option pick=all
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, final

from adapters.parts.box_questions import spread_frames
from adapters.parts.open_weights import OpenWeights
from adapters.parts.option_checks import check_counts, loaded
from adapters.parts.phrase_questions import PhraseAnswer, phrase_question, read_phrases
from adapters.parts.sam3_tracking import PhraseTooLong, PhraseTracker
from adapters.parts.subject_phrase import subject_phrase
from adapters.parts.vision_language_chat import PictureChat
from benchmark.adapter import Adapter, Requirements
from benchmark.frames import FrameSequence
from benchmark.masks import union_tracks
from benchmark.types import AdapterInfo, MaskTrack, Prediction, Query, Role, Status

RELEASED = "facebook/sam3"


@dataclass(frozen=True, slots=True)
class Named:
    """The phrases of one query: what the language model said, if there is one, and what it was asked."""

    answer: PhraseAnswer
    text: str | None
    prompt: str


@final
class Sam3(Adapter):
    """Looks for everything that a phrase names, and picks.

    SAM3 knows no relations and no actions. Alone it answers the actor, from the words of the sentence up to
    the verb, and its Target column is undefined; with `mllm` a vision-language model that sees the clip and
    the sentence names both roles.

    Args:
        model: SAM3's video model: a Hub name or a folder. The released weights are gated.
        revision: its commit, branch or tag; a commit makes the run repeatable.
        words: without `mllm`, `subject` looks for the words up to the verb, `sentence` for all of them.
        pick: of several things of one name, the one detected most surely, or all of them.
        mllm: a vision-language model that names the roles: a Hub name or a folder.
        mllm_revision: its commit, branch or tag.
        frames: how many frames the vision-language model is shown.
        max_tokens: its longest answer.
    """

    summary = "SAM3 tracks what a noun phrase names (gated weights); with --option mllm=NAME, both roles"
    max_queries = 8

    def __init__(
        self,
        model: str = RELEASED,
        revision: str | None = None,
        words: Literal["subject", "sentence"] = "subject",
        pick: Literal["surest", "all"] = "surest",
        mllm: str | None = None,
        mllm_revision: str | None = None,
        frames: int = 4,
        max_tokens: int = 128,
    ) -> None:
        check_counts(frames=frames, max_tokens=max_tokens)
        both = ((model, revision), (mllm, mllm_revision))
        self._weights = OpenWeights(tuple((name, commit) for name, commit in both if name is not None))
        self._released, self._asks = model == RELEASED, mllm is not None
        self._words, self._pick = words, pick
        self._shown, self._max_tokens = frames, max_tokens
        self._tracker: PhraseTracker | None = None
        self._chat: PictureChat | None = None

    def info(self) -> AdapterInfo:
        seen = f"{self._shown} frames spread over the clip to the language side, " if self._asks else ""
        return AdapterInfo(
            name="sam3",
            version="1",
            roles=(Role.ACTOR, Role.TARGET) if self._asks else (Role.ACTOR,),
            revision=self._weights.named[0][1],
            licence="SAM License" if self._released else None,
            base_models=self._weights.names,
            parameters=self._weights.parameters(self._tracker, self._chat),
            weights_digest=self._weights.digest,
            frame_policy=f"{seen}all to SAM3",
        )

    def requirements(self) -> Requirements:
        ask = "accept the licence at https://huggingface.co/facebook/sam3, then: hf auth login"
        return self._weights.requirements(setup=(ask,) if self._released else ())

    def load(self, device: str, seed: int) -> None:
        """Read the models. Decoding is greedy, so the seed is not needed."""
        sam3, *mllm = self._weights.named
        self._tracker = PhraseTracker(*sam3, device)
        for named in mllm:
            self._chat = PictureChat(*named, device)

    def open_video(self, frames: FrameSequence) -> None:
        self._loaded().open_video(frames)
        self._positions = spread_frames(len(frames), self._shown)
        self._pictures = [frames.as_pil(index) for index in self._positions] if self._asks else []

    def predict(self, queries: Sequence[Query]) -> list[Prediction]:
        return [self._predict(self._name(query.expression)) for query in queries]

    def close_video(self) -> None:
        self._pictures = []
        if self._tracker is not None:
            self._tracker.close_video()

    def unload(self) -> None:
        self._tracker = self._chat = None

    def _name(self, expression: str) -> Named:
        self._loaded()
        if self._chat is not None:
            words = phrase_question(expression, len(self._pictures))
            text = self._chat.ask(self._pictures, words, self._max_tokens).text
            return Named(read_phrases(text), text, words)
        subject = self._words == "subject"
        phrase = subject_phrase(expression) if subject else expression.lower().strip().rstrip(".?!")
        return Named(PhraseAnswer(Status.OK, {Role.ACTOR: phrase}), None, phrase)

    def _predict(self, named: Named) -> Prediction:
        tracks: dict[Role, MaskTrack] = {}
        sureties: dict[Role, float] = {}
        reasons = [named.answer.message] if named.answer.message else []
        for role, phrase in named.answer.phrases.items():
            try:
                found = self._loaded().find(phrase)
            except PhraseTooLong as error:
                return Prediction(
                    status=Status.ERROR, message=f"{role}: {error}", text=named.text, prompt=named.prompt
                )
            if not found:
                reasons.append(f"{role}: nothing is called {phrase!r}")
                continue
            chosen = found if self._pick == "all" else found[:1]
            tracks[role] = union_tracks([one.track for one in chosen])
            sureties[role] = found[0].surety
        return Prediction(
            actor=tracks.get(Role.ACTOR),
            target=tracks.get(Role.TARGET),
            status=_status(named.answer.status, tracks),
            text=named.text,
            score=sureties.get(Role.ACTOR),
            message="; ".join(reasons) or None,
            frames_used=self._positions if self._chat is not None else None,
            prompt=named.prompt,
        )

    def _loaded(self) -> PhraseTracker:
        return loaded(self._tracker, "sam3")


def _status(answered: Status, tracks: Mapping[Role, MaskTrack]) -> Status:
    return Status.ABSTAIN if answered is Status.OK and not tracks else answered
