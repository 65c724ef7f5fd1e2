"""The client of endpoints, against a server on this machine that does what servers do."""

from __future__ import annotations

import email.utils
import json
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from adapters.parts.answer_cache import AnswerCache, request_digest
from adapters.parts.chat_completions import ChatClient, Endpoint, Spent, Unanswered, answer_text
from adapters.parts.endpoint_keys import check_url, read_key
from benchmark.errors import AdapterError, OutputError
from benchmark.types import Status
from tests.adapters.local_endpoint import LocalEndpoint, Reply, local_endpoint, says

KEY = "sk-very-secret-7"
BODY = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}
Serve = Callable[..., LocalEndpoint]


@pytest.fixture
def serve(monkeypatch: pytest.MonkeyPatch) -> Iterator[Serve]:
    for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    with ExitStack() as open_servers:
        yield lambda *replies: open_servers.enter_context(local_endpoint(replies))


class Time:
    """Passes only when somebody sleeps."""

    def __init__(self) -> None:
        self.now, self.slept = 100.0, []  # type: tuple[float, list[float]]

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds

    def clock(self) -> float:
        return self.now


def client(endpoint: LocalEndpoint | str, cache: Path | None = None, **rules: Any) -> tuple[ChatClient, Time]:
    passing = Time()
    url = endpoint if isinstance(endpoint, str) else endpoint.url
    kept = AnswerCache(cache) if cache else None
    patience = {"timeout": 20.0, "retries": 3, **rules}
    return ChatClient(Endpoint(url, **patience), KEY, kept, passing.sleep, passing.clock), passing


def test_an_answer_and_what_it_used(serve: Serve) -> None:
    endpoint = serve(says("hello", prompt_tokens=1000, completion_tokens=20))
    asking, passing = client(endpoint)
    assert asking.ask(BODY) == "hello" and asking.ask(BODY) == "hello"
    assert endpoint.paths == ["/v1/chat/completions"] * 2 and endpoint.bodies[0] == BODY
    assert endpoint.headers[0]["Authorization"] == f"Bearer {KEY}" and passing.slept == []
    assert asking.spent == Spent(requests=2, prompt_tokens=2000, completion_tokens=40)
    assert asking.spent.cost(2.5, 10.0) == pytest.approx(0.0054)


def test_without_a_key_none_is_sent(serve: Serve) -> None:
    endpoint = serve(says("hello"))
    assert ChatClient(Endpoint(endpoint.url), None, None).ask(BODY) == "hello"
    assert "Authorization" not in endpoint.headers[0]


def test_busy_servers_are_asked_again_when_they_say(serve: Serve) -> None:
    in_30_seconds = email.utils.formatdate(time.time() + 30, usegmt=True)
    endpoint = serve(
        Reply(429, headers={"Retry-After": "7"}),
        Reply(503, headers={"Retry-After": in_30_seconds}),
        Reply(500, "overloaded", {"Retry-After": "soon"}),
        says("at last"),
    )
    asking, passing = client(endpoint)
    assert asking.ask(BODY) == "at last"
    assert passing.slept[0] == 7 and 25 < passing.slept[1] <= 30 and 2 <= passing.slept[2] <= 4
    assert asking.spent.retries == 3 and asking.spent.requests == 1


def test_waits_grow_and_end(serve: Serve) -> None:
    endpoint = serve(Reply(500, "out of order"))
    asking, passing = client(endpoint, retries=5, longest_wait=6.0)
    answer = asking.ask(BODY)
    assert answer == Unanswered(Status.ERROR, "the endpoint answered HTTP 500: out of order")
    assert len(endpoint.bodies) == 6 and asking.spent.unanswered == 1
    for wait, longest in zip(passing.slept, (1, 2, 4, 6, 6), strict=True):
        assert longest / 2 <= wait <= longest


def test_a_server_that_wants_a_very_long_wait_is_not_waited_for(serve: Serve) -> None:
    endpoint = serve(Reply(429, "quota of today is used up", {"Retry-After": "86400"}))
    asking, passing = client(endpoint)
    answer = asking.ask(BODY)
    assert isinstance(answer, Unanswered) and "HTTP 429: quota of today is used up" in answer.message
    assert passing.slept == [] and len(endpoint.bodies) == 1


def test_refusals_of_one_question_are_not_repeated(serve: Serve) -> None:
    endpoint = serve(Reply(400, f"too long for {KEY}"))
    asking, _ = client(endpoint, give_up_after=1)
    answer = asking.ask(BODY)
    assert answer == Unanswered(Status.ERROR, "the endpoint answered HTTP 400: too long for [key]")
    assert len(endpoint.bodies) == 1


@pytest.mark.parametrize(
    ("reply", "found"),
    [
        (
            Reply(401, f"Incorrect key {KEY}"),
            r"it does not accept the key; .*HTTP 401, Incorrect key \[key\]",
        ),
        (Reply(404, "no model m"), "there is no such model or address; .*HTTP 404, no model m"),
        (Reply(307, headers={"Location": "http://127.0.0.1:1/v1"}), "it redirects; .*HTTP 307"),
    ],
)
def test_what_would_be_refused_every_time_stops_the_run(serve: Serve, reply: Reply, found: str) -> None:
    endpoint = serve(reply)
    with pytest.raises(AdapterError, match=found) as caught:
        client(endpoint)[0].ask(BODY)
    assert KEY not in str(caught.value) and len(endpoint.bodies) == 1


def test_servers_that_hang_or_drip_are_time_outs(serve: Serve) -> None:
    hanging = serve(Reply(hang=True))
    asking, _ = client(hanging, timeout=0.2, retries=1)
    assert asking.ask(BODY) == Unanswered(Status.TIMEOUT, "no answer from the endpoint within 0.2 seconds")
    assert len(hanging.bodies) == 2
    dripping = serve(Reply(drip=True))
    slow = ChatClient(Endpoint(dripping.url, timeout=0.3, retries=0), None, None)
    assert slow.ask(BODY) == Unanswered(Status.TIMEOUT, "no answer from the endpoint within 0.3 seconds")


def test_lost_connections_are_told() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # taken, and nobody listens
        asking, passing = client(f"http://127.0.0.1:{taken.getsockname()[1]}/v1", retries=2)
        answer = asking.ask(BODY)
    assert isinstance(answer, Unanswered) and answer.status is Status.ERROR
    assert answer.message.startswith("the endpoint cannot be reached: ConnectionRefusedError")
    assert len(passing.slept) == 2


@pytest.mark.parametrize(
    "body",
    ["", "<html>busy</html>", "[]", "{}", '{"choices": []}', '{"choices": [{"message": {"content": 7}}]}'],
)
def test_garbage_is_asked_again_then_told(serve: Serve, body: str, tmp_path: Path) -> None:
    endpoint = serve(Reply(body=body), Reply(body=body), says("fine"))
    asking, _ = client(endpoint, tmp_path, retries=1)
    answer = asking.ask(BODY)
    assert isinstance(answer, Unanswered) and answer.status is Status.ERROR
    assert answer.message == f"the endpoint answered something else than a chat completion: {body!r}"
    assert asking.ask(BODY) == "fine"  # nothing bad was kept


def test_endless_answers_are_garbage(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("adapters.parts.chat_completions.MAX_ANSWER_BYTES", 1000)
    answer = client(serve(says("x" * 200_000)), retries=0)[0].ask(BODY)
    assert isinstance(answer, Unanswered) and "something else than a chat completion" in answer.message


def test_an_endpoint_that_stays_away_stops_the_run(serve: Serve) -> None:
    endpoint = serve(Reply(502))
    asking, _ = client(endpoint, retries=0, give_up_after=3)
    assert isinstance(asking.ask(BODY), Unanswered) and isinstance(asking.ask(BODY), Unanswered)
    with pytest.raises(AdapterError, match=r"left 3 questions in a row without an answer.*HTTP 502"):
        asking.ask(BODY)


def test_the_rate_is_kept(serve: Serve) -> None:
    asking, passing = client(serve(says("hello")), requests_per_minute=30)
    for _ in range(3):
        asking.ask(BODY)
    assert passing.slept == [2.0, 2.0]
    passing.now += 60
    asking.ask(BODY)
    assert passing.slept == [2.0, 2.0]


def test_what_was_answered_is_not_asked_again(serve: Serve, tmp_path: Path) -> None:
    endpoint = serve(says("one", prompt_tokens=9), says("two"))
    first, _ = client(endpoint, tmp_path)
    assert first.ask(BODY) == "one"
    second, _ = client(endpoint, tmp_path)
    assert second.ask(BODY) == "one" and len(endpoint.bodies) == 1
    assert second.spent == Spent(cached=1)
    assert second.ask({**BODY, "temperature": 1}) == "two"
    digest = request_digest(f"{endpoint.url}/chat/completions", BODY)
    (entry,) = tmp_path.glob(f"*/{digest}.json")
    stored = entry.read_text()
    assert json.loads(stored)["answer"]["usage"] == {"prompt_tokens": 9}
    assert KEY not in stored and "hi" not in json.loads(stored)


@pytest.mark.parametrize("content", ["{", "[]", '{"request": "other", "answer": {}}', '{"answer": 7}'])
def test_damaged_files_of_the_cache_are_asked_again(serve: Serve, tmp_path: Path, content: str) -> None:
    endpoint = serve(says("one"), says("two"))
    client(endpoint, tmp_path)[0].ask(BODY)
    (entry,) = tmp_path.glob("*/*.json")
    entry.write_text(content)
    assert client(endpoint, tmp_path)[0].ask(BODY) == "two"
    assert client(endpoint, tmp_path)[0].ask(BODY) == "two" and len(endpoint.bodies) == 2


def test_a_cache_that_cannot_be_written(serve: Serve, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="a file where a folder is needed"):
        client(serve(says("one")), tmp_path / "file")[0].ask(BODY)


def test_forms_of_answers() -> None:
    def text(message: Any) -> str | None:
        return answer_text({"choices": [{"message": message}]})

    assert text({"content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}, 7]}) == "ab"
    assert text({"content": None, "refusal": "I will not"}) == "I will not"
    assert text({"content": None}) == "" and text("hello") is None and text({"content": "\ud800"}) == "?"
    assert answer_text({"choices": None}) is None


def test_addresses() -> None:
    check_url("https://api.example.org/v1", with_key=True)
    check_url("http://localhost:8000/v1", with_key=True)
    check_url("http://[::1]:8000/v1", with_key=True)
    check_url("http://gpu-7:8000/v1", with_key=False)
    with pytest.raises(AdapterError, match="the key would travel unencrypted"):
        check_url("http://gpu-7:8000/v1", with_key=True)
    with pytest.raises(
        AdapterError, match="not an address; expected https://HOST/v1; found 'localhost:8000'"
    ):
        check_url("localhost:8000", with_key=False)
    for secret in (f"https://me:{KEY}@host/v1", f"https://host/v1?key={KEY}"):
        with pytest.raises(AdapterError, match="the address holds more than an address") as caught:
            check_url(secret, with_key=False)
        assert KEY not in str(caught.value)


def test_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_KEY", f" {KEY}\n")
    assert read_key("MY_KEY") == KEY and read_key(None) is None
    monkeypatch.setenv("MY_KEY", f"{KEY}\r\nX-Other: 1")
    with pytest.raises(AdapterError, match="this cannot be a key") as caught:
        read_key("MY_KEY")
    assert KEY not in str(caught.value)
    monkeypatch.delenv("MY_KEY")
    with pytest.raises(AdapterError, match=r"environment variable MY_KEY: there is no key.*export MY_KEY="):
        read_key("MY_KEY")
