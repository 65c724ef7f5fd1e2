"""Answers of a paid or slow service kept on disk, found again by what was asked."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmark.stored_files import make_folder, write_json


def request_digest(url: str, body: Mapping[str, Any]) -> str:
    """SHA-256 of a request: where it goes and what it says. No key is part of it."""
    canonical = json.dumps({"url": url, "body": body}, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()


class AnswerCache:
    """A folder with a file for each answered request; several processes may share it.

    The question itself, with its pictures, is not kept.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def find(self, digest: str) -> Mapping[str, Any] | None:
        """The answer to the request, `None` if it is not here. A damaged file counts as not here."""
        try:
            entry = json.loads(self._path(digest).read_bytes())
        except (OSError, ValueError):
            return None
        intact = isinstance(entry, dict) and entry.get("request") == digest
        answer = entry.get("answer") if intact else None
        return answer if isinstance(answer, dict) else None

    def keep(self, digest: str, answer: Mapping[str, Any]) -> None:
        """Store an answer.

        Raises:
            OutputError: when the folder cannot be written to.
        """
        path = self._path(digest)
        make_folder(path.parent)
        write_json(path, {"request": digest, "answer": answer})

    def _path(self, digest: str) -> Path:
        return self.folder / digest[:2] / f"{digest}.json"
