"""A Hub on this machine that can be written to: Spaces and datasets with commits, on 127.0.0.1.

Answers the requests that the client really makes for publishing: information, tree (in pages), creation,
check of a card, preupload, upload of large files, commit with its parent. `refuse` makes the next requests
whose "METHOD path" holds a word fail; `before` runs just before such a request is answered.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from tests.submissions.fake_hub import entry, missing, send

Files = dict[str, bytes]
TOKEN = "hf_secretsecretsecret"
TEXT = (".html", ".json", ".csv", ".md", ".yaml", ".tex", ".txt", ".gitattributes")
PAGE = 20
API = re.compile(r"/api/(?P<kind>space|dataset)s/(?P<repo>[^/]+/[^/]+)(?P<rest>/.*)?")
BATCH = re.compile(r"/(?P<kind>space|dataset)s/(?P<repo>[^/]+/[^/]+)\.git/info/lfs/objects/batch")


@dataclass
class Refusal:
    """An answer that some request gets instead of its own."""

    word: str
    status: int
    times: int = 1
    headers: dict[str, str] = field(default_factory=dict)
    body: Any = None
    after: bool = False  # do what was asked, and lose the answer


class PublishingHub:
    """The server. `asked` lists every request, `commits` the files of every commit, `heads` the last ones."""

    def __init__(self) -> None:
        self.heads: dict[str, str] = {}
        self.commits: dict[str, Files] = {}
        self.operations: list[list[dict[str, Any]]] = []
        self.created: list[dict[str, Any]] = []
        self.large: dict[str, bytes] = {}
        self.asked: list[str] = []
        self.refuse: list[Refusal] = []
        self.before: list[tuple[str, Callable[[], object]]] = []
        hub = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_: Any) -> None:
                """Say nothing."""

            def do_GET(self) -> None:
                hub.answer(self)

            do_HEAD = do_POST = do_PUT = do_GET

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True)

    def __enter__(self) -> PublishingHub:
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()

    def put(self, address: str, files: Files) -> str:
        """A new commit with exactly these files; its id."""
        names = [[name, hashlib.sha256(data).hexdigest()] for name, data in sorted(files.items())]
        about = json.dumps([address, self.heads.get(address), names])
        commit = hashlib.sha1(about.encode()).hexdigest()
        self.commits[commit] = dict(files)
        self.heads[address] = commit
        return commit

    def files(self, address: str) -> Files:
        """What a repository holds now."""
        return self.commits[self.heads[address]]

    def writes(self) -> list[str]:
        """The requests that are not for reading."""
        return [asked for asked in self.asked if not asked.startswith(("GET", "HEAD"))]

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        """Answer one request."""
        path = unquote(urlsplit(request.path).path)
        body = request.rfile.read(int(request.headers.get("Content-Length") or 0))
        asked = f"{request.command} {path}"
        self.asked.append(asked)
        for word, act in [one for one in self.before if one[0] in asked]:
            self.before.remove((word, act))
            act()
        for one in self.refuse:
            if one.word in asked and one.times:
                one.times -= 1
                if one.after:
                    self._commit(API.fullmatch(path), body)  # type: ignore[arg-type]
                content = one.body if one.body is not None else {"error": "refused for a test"}
                return send(request, one.status, content, one.headers)
        if path.startswith("/storage/"):  # a signed address: no token goes there
            self.large[path.removeprefix("/storage/")] = body
            return send(request, 200, {})
        if request.headers.get("Authorization") not in (None, f"Bearer {TOKEN}"):
            return send(
                request,
                401,
                {"error": "?"},
                {"X-Error-Message": "Invalid credentials in Authorization header"},
            )
        self._route(request, path, body)

    def _route(self, request: BaseHTTPRequestHandler, path: str, body: bytes) -> None:
        if path == "/api/repos/create":
            return self._create(request, json.loads(body))
        if path == "/api/validate-yaml":
            return send(request, 200, {"errors": [], "warnings": []})
        if match := BATCH.fullmatch(path):
            objects = [
                {**one, "actions": {"upload": {"href": f"{self.url}/storage/{one['oid']}"}}}
                for one in json.loads(body)["objects"]
            ]
            return send(request, 200, {"transfer": "basic", "objects": objects})
        match = API.fullmatch(path)
        if match is None:
            return missing(request, "EntryNotFound")
        address = f"{match['kind']}s/{match['repo']}"
        if address not in self.heads:
            return missing(request, "RepoNotFound")
        rest = match["rest"] or ""
        if rest.startswith("/tree/"):
            return self._tree(request, rest.removeprefix("/tree/"))
        if rest == "/preupload/main":
            told = [mode(one["path"]) for one in json.loads(body)["files"]]
            return send(request, 200, {"files": told})
        if rest == "/commit/main":
            status, answer = self._commit(match, body)
            return send(request, status, answer)
        return send(
            request,
            200,
            {"_id": "1", "id": match["repo"], "sha": self.heads[address], "private": False, "tags": []},
        )

    def _create(self, request: BaseHTTPRequestHandler, asked: dict[str, Any]) -> None:
        self.created.append(asked)
        address = f"{asked['type']}s/{asked['organization']}/{asked['name']}"
        files = {".gitattributes": b"* -text\n", "README.md": b"---\nsdk: static\n---\n"}
        self.put(address, files | ({"style.css": b"x"} if asked["type"] == "space" else {}))
        send(request, 200, {"url": f"{self.url}/{address}"})

    def _tree(self, request: BaseHTTPRequestHandler, commit: str) -> None:
        start = int(parse_qs(urlsplit(request.path).query).get("cursor", ["0"])[0])
        names = sorted(self.commits[commit].items())
        entries = [entry(*one) for one in names[start : start + PAGE]]
        headers = {}
        if start + PAGE < len(names):
            base = urlsplit(request.path).path
            headers["Link"] = f'<{self.url}{base}?recursive=true&cursor={start + PAGE}>; rel="next"'
        send(request, 200, [{"type": "directory", "path": "boards", "oid": "0" * 40}, *entries], headers)

    def _commit(self, match: re.Match[str], body: bytes) -> tuple[int, dict[str, Any]]:
        header, *operations = (json.loads(line) for line in body.splitlines())
        address = f"{match['kind']}s/{match['repo']}"
        if header["value"].get("parentCommit") not in (None, self.heads[address]):
            return 412, {"error": "A commit has happened since. Please refresh and try again."}
        files = dict(self.files(address))
        for one in operations:
            value = one["value"]
            if one["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif one["key"] == "lfsFile":
                files[value["path"]] = self.large[value["oid"]]
            else:
                assert one["key"] == "deletedFile"
                del files[value["path"]]
        self.operations.append(operations)
        commit = self.put(address, files)
        return 200, {
            "success": True,
            "commitOid": commit,
            "commitUrl": f"{self.url}/{address}/commit/{commit}",
        }


def mode(path: str) -> dict[str, Any]:
    """How a file is to be sent: large, or inside the commit."""
    return {"path": path, "uploadMode": "regular" if path.endswith(TEXT) else "lfs", "shouldIgnore": False}
