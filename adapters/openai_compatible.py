"""A vision-language model behind a chat-completions endpoint names boxes, SAM2 here follows them.

    python -m benchmark.evaluate --adapter openai-compatible --option model=Qwen/Qwen3-VL-8B-Instruct
    python -m benchmark.evaluate --adapter openai-compatible --option url=https://api.openai.com/v1 \
        --option model=gpt-4o --option key_variable=OPENAI_API_KEY --option requests_per_minute=60
    python -m benchmark.evaluate --adapter openai-compatible --option model=Qwen/Qwen2.5-VL-7B-Instruct \
        --option coordinates=pixels --option sam2=/weights/sam2.1-hiera-tiny
"""

from __future__ import annotations

import base64
import io
import os
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal, final

from PIL import Image

from adapters.parts.answer_cache import AnswerCache
from adapters.parts.box_answers import BoxAnswer, Coordinates, Shown, read_answer
from adapters.parts.box_questions import FRAME_LABEL, question, spread_frames
from adapters.parts.box_segmentation import Asked, predictions
from adapters.parts.chat_completions import ChatClient, Endpoint, Spent, Unanswered
from adapters.parts.endpoint_keys import check_url, read_key
from adapters.parts.open_weights import OpenWeights
from adapters.parts.option_checks import loaded
from adapters.parts.sam2_tracking import BoxTracker
from benchmark.adapter import Adapter, Requirements
from benchmark.errors import AdapterError, ProblemCollector
from benchmark.frames import FrameSequence
from benchmark.stored_files import make_folder, write_json
from benchmark.types import AdapterInfo, Prediction, Query

GRID = 28
"""Qwen2.5-VL resizes to multiples of this; pictures with such sides keep them. Source: its processor."""
MAY_CHANGE = (
    "key_variable",
    "timeout",
    "retries",
    "longest_wait",
    "requests_per_minute",
    "give_up_after",
    "cache",
    "price_in",
    "price_out",
    "max_cost",
)
"""Options that no answer depends on: a run may be taken up again with others."""


@final
class OpenaiCompatible(Adapter):
    """Asks an endpoint for boxes on frames spread over the clip, and lets SAM2 turn them into masks.

    Args:
        model: name of the model, as the endpoint calls it.
        url: address of the endpoint up to its version; vLLM's own if not given.
        key_variable: environment variable that holds the key; none is sent if not given.
        sam2: the video model: a Hub name or a folder.
        sam2_revision: its commit, branch or tag.
        frames: how many frames the model is shown.
        picture_side: longest side of the pictures sent.
        coordinates: how it is asked to write boxes; Qwen2.5-VL knows only `pixels`.
        max_tokens: longest answer.
        limit_name: the field that carries it; some vendors want the second.
        temperature: `none` leaves it to the endpoint, which some models insist on.
        timeout: seconds for one try.
        retries: further tries after 429, 5xx, time-outs, lost connections and garbage.
        longest_wait: seconds between two tries at most.
        requests_per_minute: a rate to keep.
        give_up_after: questions in a row without any answer before the run stops.
        cache: folder that keeps answers and what they cost; `none` for none.
        price_in: of a million tokens asked, in any currency.
        price_out: of a million tokens answered.
        max_cost: stop when this run has cost so much; needs both prices.
    """

    summary = (
        "a vision-language model behind a chat-completions endpoint (--option model=NAME), and SAM2 here"
    )
    uses_device = True
    max_queries = 8  # bounds what SAM2 remembers of all objects of one call

    def __init__(
        self,
        model: str,
        url: str = "http://localhost:8000/v1",
        key_variable: str | None = None,
        sam2: str = "facebook/sam2.1-hiera-large",
        sam2_revision: str | None = None,
        frames: int = 4,
        picture_side: int = 1024,
        coordinates: Literal["per-thousand", "pixels", "unit"] = "per-thousand",
        max_tokens: int = 512,
        limit_name: Literal["max_tokens", "max_completion_tokens"] = "max_tokens",
        temperature: float | None = 0.0,
        timeout: float = 120.0,
        retries: int = 5,
        longest_wait: float = 60.0,
        requests_per_minute: float | None = None,
        give_up_after: int = 10,
        cache: Path | None = Path("runs/chat-completions"),
        price_in: float | None = None,
        price_out: float | None = None,
        max_cost: float | None = None,
    ) -> None:
        self._model, self._key_variable = model, key_variable
        self._weights = OpenWeights(((sam2, sam2_revision),))
        self._shown, self._side, self._coordinates = frames, picture_side, Coordinates(coordinates)
        self._rules: dict[str, Any] = {limit_name: max_tokens}
        if temperature is not None:
            self._rules["temperature"] = temperature
        self._endpoint = Endpoint(url, timeout, retries, longest_wait, requests_per_minute, give_up_after)
        self._cache = cache
        self._prices = None if price_in is None or price_out is None else (price_in, price_out)
        self._max_cost = max_cost
        check_url(url, with_key=key_variable is not None)
        self._check_options({"frames": frames, "picture_side": picture_side, "max_tokens": max_tokens})
        self._client: ChatClient | None = None
        self._tracker: BoxTracker | None = None

    def info(self) -> AdapterInfo:
        return AdapterInfo(
            name="openai_compatible",
            version="1",
            base_models=(self._model, *self._weights.names),
            weights_digest=self._weights.digest,
            deterministic=False,  # nobody outside knows what an endpoint does
            frame_policy=f"{self._shown} frames spread over the clip to the language side, all to SAM2",
            options=dict.fromkeys(MAY_CHANGE, "may change between runs"),
        )

    def requirements(self) -> Requirements:
        return self._weights.requirements(
            environment="this project's own, with the extra `models`, beside an endpoint",
            variables=(self._key_variable,) if self._key_variable else (),
        )

    def load(self, device: str, seed: int) -> None:
        """Read the key and SAM2. The endpoint is first spoken to by the first query."""
        cache = None if self._cache is None else AnswerCache(self._cache)
        self._client = ChatClient(self._endpoint, read_key(self._key_variable), cache)
        self._started = f"{time.strftime('%Y%m%dT%H%M%S')}-{os.getpid()}"
        self._tracker = BoxTracker(*self._weights.named[0], device)

    def open_video(self, frames: FrameSequence) -> None:
        _, tracker = self._loaded()
        self._frames = frames
        self._positions = spread_frames(len(frames), self._shown)
        self._size = self._picture_size(frames.height, frames.width)
        self._pictures = [_data_url(frames, index, self._size) for index in self._positions]
        tracker.open_video(frames)

    def predict(self, queries: Sequence[Query]) -> list[Prediction]:
        _, tracker = self._loaded()
        return predictions([self._ask(query.expression) for query in queries], tracker)

    def close_video(self) -> None:
        """Forget the video, and store what was spent so far."""
        self._pictures = []
        if self._tracker is not None:
            self._tracker.close_video()
        if self._client is not None and self._cache is not None:
            self._store_spent(self._cache / "spent", self._client.spent)

    def unload(self) -> None:
        """Let go of the model, and say what was spent."""
        if self._client is not None:
            print(f"endpoint: {self._in_words(self._client.spent)}", file=sys.stderr)
        self._client = self._tracker = None

    def _ask(self, expression: str) -> Asked:
        client, _ = self._loaded()
        words = question(expression, len(self._pictures), self._coordinates)
        self._check_budget(client.spent)
        said = client.ask(self._request(words))
        if isinstance(said, Unanswered):
            return Asked(BoxAnswer(said.status, message=said.message), None, words, self._positions)
        sizes = (self._size,) * len(self._positions)
        shown = Shown(self._positions, sizes, self._frames.height, self._frames.width, self._coordinates)
        return Asked(read_answer(said, shown), said, words, self._positions)

    def _request(self, words: str) -> dict[str, Any]:
        content: list[dict[str, Any]] = []
        for number, picture in enumerate(self._pictures, 1):
            content.append({"type": "text", "text": FRAME_LABEL.format(number=number)})
            content.append({"type": "image_url", "image_url": {"url": picture}})
        content.append({"type": "text", "text": words})
        return {"model": self._model, "messages": [{"role": "user", "content": content}], **self._rules}

    def _picture_size(self, height: int, width: int) -> tuple[int, int]:
        """The size that frames are sent at: not above `picture_side`, never enlarged.

        Where answers are in pixels, the sides are multiples of what the model's own processor rounds to:
        it would resize the picture otherwise, and count in pixels that nobody here knows.
        """
        scale = min(1.0, self._side / max(height, width))
        step = GRID if self._coordinates is Coordinates.PIXELS else 1
        return max(step, round(height * scale / step) * step), max(step, round(width * scale / step) * step)

    def _check_options(self, numbers: Mapping[str, int]) -> None:
        problems = ProblemCollector()
        for name, number in numbers.items():
            if number < 1:
                problems.add("too few", where=f"--option {name}={number}", expected="1 or more")
        endpoint = self._endpoint
        for name, value, lowest in (
            ("timeout", endpoint.timeout, "above 0"),
            ("requests_per_minute", endpoint.requests_per_minute, "above 0"),
            ("max_cost", self._max_cost, "above 0"),
            ("retries", endpoint.retries + 1, "0 or more"),
            ("give_up_after", endpoint.give_up_after, "1 or more"),
        ):
            if value is not None and not value > 0:
                problems.add("too small", where=f"--option {name}", expected=lowest)
        if self._max_cost is not None and self._prices is None:
            problems.add(
                "a limit of cost needs prices",
                where="--option max_cost",
                fix="give price_in and price_out, of a million tokens",
            )
        problems.raise_if_any(AdapterError, "options of openai_compatible")

    def _check_budget(self, spent: Spent) -> None:
        if self._max_cost is None or self._prices is None or spent.cost(*self._prices) < self._max_cost:
            return
        raise AdapterError(
            "this run has cost what it may",
            where=f"--option max_cost={self._max_cost:g}",
            found=f"{spent.cost(*self._prices):.4f} after {spent.requests} requests",
            fix="run the same command again to go on; what was answered is kept",
        )

    def _in_words(self, spent: Spent) -> str:
        parts = [
            f"{spent.requests} requests",
            f"{spent.cached} answers from the cache",
            f"{spent.retries} retries",
            f"{spent.unanswered} unanswered",
            f"{spent.prompt_tokens} tokens asked",
            f"{spent.completion_tokens} answered",
        ]
        if self._prices is not None:
            parts.append(f"cost {spent.cost(*self._prices):.4f}")
        return ", ".join(parts)

    def _store_spent(self, folder: Path, spent: Spent) -> None:
        """A file for each run, so that runs beside one another do not write over each other's sums."""
        cost = None if self._prices is None else spent.cost(*self._prices)
        facts = {"url": self._endpoint.url, "model": self._model, **asdict(spent), "cost": cost}
        make_folder(folder)
        write_json(folder / f"{self._started}.json", facts)

    def _loaded(self) -> tuple[ChatClient, BoxTracker]:
        return loaded(self._client, "openai_compatible"), loaded(self._tracker, "openai_compatible")


def _data_url(frames: FrameSequence, index: int, size: tuple[int, int]) -> str:
    """A frame as JPEG in a data URL."""
    picture = frames.as_pil(index)
    height, width = size
    if picture.size != (width, height):
        picture = picture.resize((width, height), Image.Resampling.BICUBIC)
    stored = io.BytesIO()
    picture.save(stored, format="JPEG", quality=95, subsampling=0)
    return f"data:image/jpeg;base64,{base64.b64encode(stored.getvalue()).decode()}"
