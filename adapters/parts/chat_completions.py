"""A client of chat-completions endpoints (vLLM, SGLang, vendors): patient, frugal, discreet.

Patient: it keeps to a rate, and tries again after 429, 5xx, time-outs, lost connections and garbage,
waiting longer each time or as long as the server says. Frugal: it asks nothing twice, and adds up what
was spent. Discreet: the key is read from the environment, sent to the endpoint alone (redirects are not
followed), and cut out of everything that is stored or shown.
"""

from __future__ import annotations

import email.utils
import http.client
import json
import random
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from adapters.parts.answer_cache import AnswerCache, request_digest
from benchmark.errors import AdapterError
from benchmark.types import Status

MAX_ANSWER_BYTES = 1 << 24
FIRST_WAIT = 1.0  # seconds; doubled for each further try
FATAL = {
    **dict.fromkeys((301, 302, 303, 307, 308), "it redirects"),
    401: "it does not accept the key",
    403: "it does not allow this",
    404: "there is no such model or address",
    405: "there is no such address",
}
"""What would be answered to every further question, too."""
USAGE = ("prompt_tokens", "completion_tokens")
AGAIN = (408, 409, 425, 429)
"""Refusals that pass, beside all of 5xx."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where to ask, and how patiently.

    Attributes:
        url: address up to the version, such as `http://localhost:8000/v1`.
        timeout: seconds that one try may take in all.
        retries: further tries after the first.
        longest_wait: seconds between two tries at most; a server that wants more is not waited for.
        requests_per_minute: the rate that is kept; `None` for no limit of our own.
        give_up_after: questions in a row that got no answer at all before the run stops.
    """

    url: str
    timeout: float = 120.0
    retries: int = 5
    longest_wait: float = 60.0
    requests_per_minute: float | None = None
    give_up_after: int = 10


@dataclass(frozen=True, slots=True)
class Spent:
    """What was used so far.

    Attributes:
        requests: questions answered by the endpoint.
        cached: questions answered from the disk.
        retries: tries that had to be repeated.
        unanswered: questions without an answer.
        prompt_tokens: as the endpoint counts them, of answers it gave now.
        completion_tokens: the same.
    """

    requests: int = 0
    cached: int = 0
    retries: int = 0
    unanswered: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0

    def cost(self, price_in: float, price_out: float) -> float:
        """What the tokens cost, at prices of a million of them."""
        return (self.prompt_tokens * price_in + self.completion_tokens * price_out) / 1e6


@dataclass(frozen=True, slots=True)
class Unanswered:
    """A question without an answer: how it ended, and why."""

    status: Status
    message: str


@dataclass(frozen=True, slots=True)
class _Answer:
    """A chat completion as it came, and what the model said in it."""

    whole: Mapping[str, Any]
    text: str


@dataclass(frozen=True, slots=True)
class _Failed:
    """One try that may be repeated; `wait` is what the server asks for, in seconds."""

    reason: Unanswered
    wait: float | None = None
    passes: bool = True


class ChatClient:
    """Asks one endpoint.

    Args:
        endpoint: where, and how patiently.
        key: sent as bearer token; `None` to send none.
        cache: where answers are kept; `None` to keep none.
        sleep: waits; of tests.
        clock: seconds that only grow; of tests.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        key: str | None,
        cache: AnswerCache | None,
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.spent = Spent()
        self._endpoint, self._key, self._cache = endpoint, key, cache
        self._sleep, self._clock = sleep, clock
        self._url = f"{endpoint.url.rstrip('/')}/chat/completions"
        self._opener = urllib.request.build_opener(_NoRedirects)
        self._jitter = random.Random(0)  # of waits alone; no answer depends on it
        self._next_start = clock()
        self._silent = 0

    def ask(self, body: Mapping[str, Any]) -> str | Unanswered:
        """The text that answers a request, from the disk or from the endpoint.

        Raises:
            AdapterError: when the endpoint would refuse every question, or has not answered for long.
            OutputError: when the cache cannot be written to.
        """
        digest = request_digest(self._url, body)
        if self._cache is not None and (kept := self._cache.find(digest)) is not None:
            text = answer_text(kept)
            if text is not None:
                self.spent = replace(self.spent, cached=self.spent.cached + 1)
                return text
        outcome = self._answer(json.dumps(body).encode())
        if isinstance(outcome, Unanswered):
            self.spent = replace(self.spent, unanswered=self.spent.unanswered + 1)
            return outcome
        self._count(outcome.whole)
        if self._cache is not None:
            self._cache.keep(digest, outcome.whole)
        return outcome.text

    def _answer(self, content: bytes) -> _Answer | Unanswered:
        attempt = 0
        outcome = self._try(content)
        while isinstance(outcome, _Failed) and (wait := self._wait(attempt, outcome)) is not None:
            self.spent = replace(self.spent, retries=self.spent.retries + 1)
            self._sleep(wait)
            attempt += 1
            outcome = self._try(content)
        if isinstance(outcome, _Answer):
            self._silent = 0
            return outcome
        self._silent = self._silent + 1 if outcome.passes else 0
        if self._silent >= self._endpoint.give_up_after:
            raise AdapterError(
                f"the endpoint left {self._silent} questions in a row without an answer",
                where=self._url,
                found=outcome.reason.message,
                fix="run the same command again with --retry-failed when it is back: "
                "what was answered is kept",
            )
        return outcome.reason

    def _keep_rate(self) -> None:
        if self._endpoint.requests_per_minute is None:
            return
        now = self._clock()
        if self._next_start > now:
            self._sleep(self._next_start - now)
        self._next_start = max(now, self._next_start) + 60 / self._endpoint.requests_per_minute

    def _wait(self, attempt: int, failed: _Failed) -> float | None:
        """Seconds until the next try; `None` if there is no use in one."""
        if not failed.passes or attempt >= self._endpoint.retries:
            return None
        longest = self._endpoint.longest_wait
        if failed.wait is not None:
            return failed.wait if failed.wait <= longest else None
        wait: float = min(longest, FIRST_WAIT * 2**attempt) * self._jitter.uniform(0.5, 1)
        return wait

    def _try(self, content: bytes) -> _Answer | _Failed:
        self._keep_rate()
        headers = {"Content-Type": "application/json", "Accept": "application/json"}
        request = urllib.request.Request(self._url, data=content, headers=headers)
        if self._key is not None:
            request.add_unredirected_header("Authorization", f"Bearer {self._key}")
        deadline = self._clock() + self._endpoint.timeout
        try:
            with self._opener.open(request, timeout=self._endpoint.timeout) as response:
                raw = self._read(response, deadline)
        except urllib.error.HTTPError as error:
            with error:
                return self._refused(error)
        except (OSError, http.client.HTTPException) as error:
            return self._lost(error)
        return self._completion(raw)

    def _read(self, response: Any, deadline: float) -> str:
        """The body, without the key; however slowly it drips, not beyond the deadline."""
        body = bytearray()
        while len(body) <= MAX_ANSWER_BYTES and (part := response.read1(1 << 16)):
            body += part
            if self._clock() > deadline:
                raise TimeoutError
        return self._discreet(body.decode("utf-8", "replace"))

    def _refused(self, error: urllib.error.HTTPError) -> _Failed:
        try:
            said = self._discreet(error.read(1 << 16).decode("utf-8", "replace"))
        except (OSError, http.client.HTTPException):
            said = ""
        said = " ".join(said.split())[:200]
        if error.code in FATAL:
            raise AdapterError(
                f"the endpoint refuses to answer: {FATAL[error.code]}",
                where=self._url,
                found=f"HTTP {error.code}{f', {said}' if said else ''}",
                fix="look at the options url, model and key_variable",
            )
        message = f"the endpoint answered HTTP {error.code}{f': {said}' if said else ''}"
        passes = error.code in AGAIN or error.code >= 500
        return _Failed(Unanswered(Status.ERROR, message), _retry_after(error.headers), passes)

    def _lost(self, error: OSError | http.client.HTTPException) -> _Failed:
        reason = error.reason if isinstance(error, urllib.error.URLError) else error
        if isinstance(reason, TimeoutError):
            message = f"no answer from the endpoint within {self._endpoint.timeout:g} seconds"
            return _Failed(Unanswered(Status.TIMEOUT, message))
        words = self._discreet(f"{type(reason).__name__}: {reason}" if str(reason) else type(reason).__name__)
        return _Failed(Unanswered(Status.ERROR, f"the endpoint cannot be reached: {words}"))

    def _completion(self, raw: str) -> _Answer | _Failed:
        try:
            answer = json.loads(raw)
        except (ValueError, RecursionError):
            answer = None
        text = answer_text(answer) if isinstance(answer, dict) else None
        if text is not None:
            return _Answer(answer, text)
        message = f"the endpoint answered something else than a chat completion: {raw[:80]!r}"
        return _Failed(Unanswered(Status.ERROR, message))

    def _discreet(self, text: str) -> str:
        return text.replace(self._key, "[key]") if self._key else text

    def _count(self, answer: Mapping[str, Any]) -> None:
        usage = answer.get("usage")
        counts = [usage.get(name) if isinstance(usage, dict) else None for name in USAGE]
        prompt, completion = (count if isinstance(count, int) and count > 0 else 0 for count in counts)
        self.spent = replace(
            self.spent,
            requests=self.spent.requests + 1,
            prompt_tokens=self.spent.prompt_tokens + prompt,
            completion_tokens=self.spent.completion_tokens + completion,
        )


def answer_text(answer: Mapping[str, Any]) -> str | None:
    """What the model said, `None` if this is no chat completion. A refusal is what it said, too."""
    choices = answer.get("choices")
    first = choices[0] if isinstance(choices, list) and choices else None
    message = first.get("message") if isinstance(first, dict) else None
    if not isinstance(message, dict):
        return None
    content = message.get("content")
    if isinstance(content, list):
        texts = [part.get("text") for part in content if isinstance(part, dict)]
        content = "".join(text for text in texts if isinstance(text, str))
    if content is None:
        content = message.get("refusal") or ""
    if not isinstance(content, str):
        return None
    return content.encode("utf-8", "replace").decode()  # halves of letters cannot be stored


def _retry_after(headers: Any) -> float | None:
    """Seconds that the server wants to be left alone, said as a number or as a date."""
    said = headers.get("Retry-After") if headers is not None else None
    if said is None:
        return None
    try:
        return max(0.0, float(said))
    except ValueError:
        pass
    try:
        return max(0.0, email.utils.parsedate_to_datetime(said).timestamp() - time.time())
    except ValueError:
        return None


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """A redirect could carry frames and key to somebody else: it is an answer like any other refusal."""

    def redirect_request(self, *_: Any) -> None:
        return None
