"""A model that knows one role, asked a second time for the object that is acted upon."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Literal, final

from benchmark.adapter import Adapter, Requirements, load_adapter
from benchmark.errors import AdapterError
from benchmark.frames import FrameSequence
from benchmark.types import AdapterInfo, Prediction, Query, Role, Status

TARGET_PROMPT = "Please segment the object that is directly interacting with {expression} in the image."
"""Source: the InterRVOS paper, "Necessity of InterRVOS" (the prompt of its Tab. 4)."""

TARGET_PHRASE = TARGET_PROMPT.removeprefix("Please segment ").removesuffix(".")
"""The same for models whose own template says "Please segment {phrase}."."""


@final
class ZeroShotTarget(Adapter):
    """Asks another adapter every sentence twice: as it is for the actor, and with the paper's target prompt.

    The paper asks the second question on interactions alone. A model is not told which sentences those are,
    so here it is asked on all, and what it claims where there is no target is counted as false targets.

    Args:
        of: the adapter that answers; its actor track is taken both times.
        of_options: its options, written `--option of.key=value`.
        ask: `phrase` puts the words into the sentence of an adapter that has a template of its own,
            `prompt` gives it the whole prompt.
    """

    summary = "an actor-only adapter (--option of=NAME) asked again for the target, with the paper's prompt"

    def __init__(
        self,
        of: str,
        of_options: Mapping[str, str] | None = None,
        ask: Literal["phrase", "prompt"] = "phrase",
    ) -> None:
        self._wrapped = load_adapter(of, of_options)
        if self._wrapped.stored_answers is not None or self._wrapped.info().uses_truth:
            raise AdapterError(
                "this adapter does not listen to the sentence, so it cannot be asked for the target",
                where=f"--option of={of}",
                fix="name a model",
            )
        self._template = TARGET_PHRASE if ask == "phrase" else TARGET_PROMPT
        # Each query becomes two; a model that takes one at a time gets them one after the other.
        inner = self._wrapped.max_queries
        self.max_queries = None if inner is None else max(1, inner // 2)
        self.uses_device = self._wrapped.uses_device
        self.works_elsewhere = self._wrapped.works_elsewhere

    def info(self) -> AdapterInfo:
        inner = self._wrapped.info()
        return replace(
            inner,
            name=f"zero_shot_target({inner.name})",
            roles=(Role.ACTOR, Role.TARGET),
            options={**inner.options, "target_prompt": self._template},
        )

    def requirements(self) -> Requirements:
        return self._wrapped.requirements()

    def load(self, device: str, seed: int) -> None:
        self._wrapped.load(device, seed)

    def open_video(self, frames: FrameSequence) -> None:
        self._wrapped.open_video(frames)

    def predict(self, queries: Sequence[Query]) -> list[Prediction]:
        sentences = [query.expression for query in queries]
        prompts = [self._template.format(expression=_phrase(sentence)) for sentence in sentences]
        answers = self._ask([*sentences, *prompts])
        count = len(queries)
        return [
            _joined(actor, target, prompt)
            for actor, target, prompt in zip(answers[:count], answers[count:], prompts, strict=True)
        ]

    def close_video(self) -> None:
        self._wrapped.close_video()

    def unload(self) -> None:
        self._wrapped.unload()

    def _ask(self, sentences: Sequence[str]) -> list[Prediction]:
        size = self._wrapped.max_queries or len(sentences)
        answers: list[Prediction] = []
        for first in range(0, len(sentences), size):
            part = sentences[first : first + size]
            queries = [Query(index, sentence, (Role.ACTOR,)) for index, sentence in enumerate(part)]
            given = self._wrapped.predict(queries)
            if len(given) != len(queries):
                raise AdapterError(
                    "predict must return one prediction per query",
                    where=self.info().name,
                    expected=f"{len(queries)} predictions",
                    found=str(len(given)),
                )
            answers += given
        return answers


def _phrase(sentence: str) -> str:
    """A sentence as a part of another one: without its full stop."""
    return sentence.strip().rstrip(".")


def _joined(actor: Prediction, target: Prediction, prompt: str) -> Prediction:
    """The two answers as one; it fails if either did, since no role can be scored apart from the other."""
    for answer, role in ((actor, Role.ACTOR), (target, Role.TARGET)):
        if answer.status.failed:
            message = f"asked for the {role}: {answer.message or 'no reason given'}"
            return Prediction(status=answer.status, message=message, text=answer.text)
    claimed = actor.actor is not None or target.actor is not None
    texts = [f"{role}: {one.text}" for role, one in (("actor", actor), ("target", target)) if one.text]
    both = (actor, target)
    peaks = [one.peak_memory_bytes for one in both if one.peak_memory_bytes is not None]
    gpu_peaks = [one.peak_gpu_memory_bytes for one in both if one.peak_gpu_memory_bytes is not None]
    return Prediction(
        actor=actor.actor,
        target=target.actor,
        status=Status.OK if claimed else target.status if actor.status is Status.OK else actor.status,
        text=" / ".join(texts) or None,
        score=actor.score,
        message=actor.message or target.message,
        frames_used=actor.frames_used,
        prompt=target.prompt or prompt,
        seconds=_sum(actor.seconds, target.seconds),
        peak_memory_bytes=max(peaks, default=None),
        gpu_seconds=_sum(actor.gpu_seconds, target.gpu_seconds),
        peak_gpu_memory_bytes=max(gpu_peaks, default=None),
    )


def _sum(first: float | None, second: float | None) -> float | None:
    return None if first is None or second is None else first + second
