"""A Hub on this machine: dataset repositories with commits, pull requests and large files.

Answers the requests that the client really makes for reading, on 127.0.0.1. Revisions are commits, branch
names or `refs/pr/N`; a commit never changes. `refuse` makes the next requests fail with a status.
"""

from __future__ import annotations

import hashlib
import json
import re
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote, urlsplit

Files = dict[str, bytes]
LARGE = 50_000
DATE = "2026-01-01T00:00:00.000Z"
API = re.compile(r"/api/datasets/(?P<repo>[^/]+/[^/]+)(?P<rest>/.*)?")
RESOLVE = re.compile(r"/datasets/(?P<repo>[^/]+/[^/]+)/resolve/(?P<revision>[^/]+)/(?P<name>.+)")


@dataclass
class Repository:
    """Commits by id, and what branches and pull requests point at."""

    commits: dict[str, Files] = field(default_factory=dict)
    references: dict[str, str] = field(default_factory=dict)
    open_requests: list[int] = field(default_factory=list)

    def commit(self, reference: str, files: Files) -> str:
        """Point a reference at new content; the id of the commit."""
        content = [[name, hashlib.sha256(data).hexdigest()] for name, data in sorted(files.items())]
        commit = hashlib.sha1(json.dumps([reference, content]).encode()).hexdigest()
        self.commits[commit] = dict(files)
        self.references[reference] = commit
        return commit

    def request(self, number: int, files: Files) -> str:
        """Open or change a pull request."""
        if number not in self.open_requests:
            self.open_requests.append(number)
        return self.commit(f"refs/pr/{number}", files)

    def find(self, revision: str) -> str | None:
        """The commit of a revision."""
        return revision if revision in self.commits else self.references.get(revision)


class FakeHub:
    """The server; `asked` lists the method and path of every request."""

    def __init__(self) -> None:
        self.repositories: dict[str, Repository] = {}
        self.asked: list[str] = []
        self.refuse: list[int] = []
        hub = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_: Any) -> None:
                """Say nothing."""

            def do_GET(self) -> None:
                hub.answer(self)

            def do_HEAD(self) -> None:
                hub.answer(self)

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        self.thread = threading.Thread(target=self.server.serve_forever, daemon=True)

    def __enter__(self) -> FakeHub:
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        """Answer one request."""
        path = unquote(urlsplit(request.path).path)
        self.asked.append(f"{request.command} {path}")
        if self.refuse and "/datasets/" in path:  # the client also asks about itself, and ignores the answer
            return send(request, self.refuse.pop(0), {"error": "refused for a test"})
        if match := API.fullmatch(path):
            repository = self.repositories.get(match["repo"])
            if repository is None:
                return missing(request, "RepoNotFound")
            return self._api(request, match["repo"], repository, match["rest"] or "")
        if match := RESOLVE.fullmatch(path):
            return self._resolve(request, match["repo"], match["revision"], match["name"])
        return missing(request, "EntryNotFound")

    def _api(self, request: BaseHTTPRequestHandler, name: str, repository: Repository, rest: str) -> None:
        if rest.startswith("/discussions"):
            told = [discussion(name, number) for number in repository.open_requests]
            return send(request, 200, {"discussions": told, "count": len(told), "start": 0})
        revision = rest.removeprefix("/revision/").removeprefix("/tree/") or "main"
        commit = repository.find(revision)
        if commit is None:
            return missing(request, "RevisionNotFound")
        if rest.startswith("/tree/"):
            return send(request, 200, [entry(*one) for one in repository.commits[commit].items()])
        return send(request, 200, {"_id": "1", "id": name, "sha": commit, "private": False, "tags": []})

    def _resolve(self, request: BaseHTTPRequestHandler, repo: str, revision: str, name: str) -> None:
        repository = self.repositories.get(repo)
        commit = repository.find(revision) if repository else None
        if repository is None or commit is None or name not in repository.commits[commit]:
            return missing(request, "EntryNotFound")
        data = repository.commits[commit][name]
        digest = hashlib.sha256(data).hexdigest()
        return send(request, 200, data, {"ETag": f'"{digest}"', "X-Repo-Commit": commit})


def discussion(repository: str, number: int) -> dict[str, Any]:
    """A pull request as the list of discussions tells it."""
    return {
        "num": number,
        "title": f"Submission {number}",
        "author": {"name": "somebody"},
        "status": "open",
        "isPullRequest": True,
        "createdAt": DATE,
        "repo": {"name": repository, "type": "dataset"},
    }


def entry(name: str, data: bytes) -> dict[str, Any]:
    """A file as the tree tells it; large ones are told with their SHA-256."""
    blob = hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()
    told: dict[str, Any] = {"type": "file", "path": name, "size": len(data), "oid": blob}
    if len(data) > LARGE:
        told["lfs"] = {"oid": hashlib.sha256(data).hexdigest(), "size": len(data), "pointerSize": 130}
    return told


def missing(request: BaseHTTPRequestHandler, code: str) -> None:
    """The Hub's way of saying that something is not there."""
    send(request, 404, {"error": code}, {"X-Error-Code": code, "X-Error-Message": code})


def send(
    request: BaseHTTPRequestHandler, status: int, body: Any, headers: dict[str, str] | None = None
) -> None:
    """Send bytes, or a value as JSON."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    kind = "application/octet-stream" if isinstance(body, bytes) else "application/json"
    request.send_response(status)
    for name, value in {"Content-Type": kind, "Content-Length": str(len(content)), **(headers or {})}.items():
        request.send_header(name, value)
    request.end_headers()
    if request.command != "HEAD":
        request.wfile.write(content)
