"""A chat-completions endpoint on this machine that answers as it is told, also badly."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class Reply:
    """One answer: a status, headers, and the body as text; `hang` answers only when the test is over."""

    status: int = 200
    body: str = ""
    headers: dict[str, str] = field(default_factory=dict)
    hang: bool = False
    drip: bool = False


def says(text: Any, **usage: int) -> Reply:
    """A chat completion."""
    answer: dict[str, Any] = {"choices": [{"message": {"role": "assistant", "content": text}}]}
    return Reply(body=json.dumps({**answer, **({"usage": usage} if usage else {})}))


@dataclass
class LocalEndpoint:
    """What was asked of it, and what it will say; the last reply is repeated."""

    replies: list[Reply]
    url: str = ""
    bodies: list[dict[str, Any]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)
    over: threading.Event = field(default_factory=threading.Event)


@contextmanager
def local_endpoint(replies: Sequence[Reply]) -> Iterator[LocalEndpoint]:
    """Serve the replies, one for each request."""
    endpoint = LocalEndpoint(list(replies))

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            content = self.rfile.read(int(self.headers["Content-Length"]))
            endpoint.bodies.append(json.loads(content))
            endpoint.headers.append(dict(self.headers))
            endpoint.paths.append(self.path)
            reply = endpoint.replies.pop(0) if len(endpoint.replies) > 1 else endpoint.replies[0]
            if reply.hang:
                endpoint.over.wait()
                return
            self.send_response(reply.status)
            for name, value in reply.headers.items():
                self.send_header(name, value)
            self.end_headers()
            if reply.drip:
                while not endpoint.over.wait(0.02):
                    self.wfile.write(b" ")
                    self.wfile.flush()
                return
            self.wfile.write(reply.body.encode("utf-8", "surrogatepass"))

        def log_message(self, *_: Any) -> None:
            return

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, *_: Any) -> None:  # the client went away, as some tests want
            return

    server = Server(("127.0.0.1", 0), Handler)
    endpoint.url = f"http://127.0.0.1:{server.server_address[1]}/v1"
    serving = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    serving.start()
    try:
        yield endpoint
    finally:
        endpoint.over.set()
        server.shutdown()
        server.server_close()
        serving.join()
