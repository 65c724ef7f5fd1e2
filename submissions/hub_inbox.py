"""A dataset repository of the Hugging Face Hub as an inbox: new zips, and zips in open pull requests.

Each place is listed at the commit it had at that moment, and its zips are downloaded at that commit, so
what is received cannot change under our hands. Only names ending in .zip are ever fetched, one at a time,
into a folder that is removed afterwards; a zip larger than the dataset allows is not downloaded.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from benchmark.errors import EnvironmentProblem, HubProblem
from submissions.entries import Source
from submissions.problems import plain
from submissions.reception import Office, Outcome, receive_zip

KIND = "dataset"
DOWNLOADS = "hub-"


@dataclass(frozen=True, slots=True)
class HubZip:
    """One zip of a repository at one commit; `sha256` where the Hub tells it (large files)."""

    name: str
    size: int
    sha256: str | None
    revision: str
    pull_request: int | None


class HubInbox:
    """What is new in a repository.

    Attributes:
        repository: "organisation/name".
        revision: the only revision to look at, or all that is open.
    """

    def __init__(self, repository: str, revision: str | None, work: Path) -> None:
        try:
            from huggingface_hub import HfApi
        except ImportError as error:
            raise EnvironmentProblem(
                "the Hub needs the package huggingface_hub",
                fix="pip install -c constraints.txt -e '.[publish]'",
            ) from error
        self.repository = repository
        self.revision = revision
        self.work = work
        self.api: Any = HfApi()
        for leftover in work.glob(f"{DOWNLOADS}*"):  # of a process that was killed
            shutil.rmtree(leftover)
        self.done: set[tuple[str, str]] = set()  # (commit, name)

    def round(self, office: Office) -> Iterator[Outcome]:
        """Receive everything that is new now.

        Raises:
            HubProblem: when the Hub refuses or cannot be reached.
        """
        for one in self.zips():
            if (one.revision, one.name) in self.done:
                continue
            if one.sha256 is None or not office.was_received(one.sha256):
                outcome = self._receive(one, office)
                if outcome is not None:
                    yield outcome
            self.done.add((one.revision, one.name))

    def zips(self) -> list[HubZip]:
        """The zips of the repository: of one revision, or of main and of all open pull requests.

        Raises:
            HubProblem: when the Hub refuses or cannot be reached.
        """
        places: list[tuple[str | None, int | None]] = [(self.revision, None)]
        try:
            if self.revision is None:
                requests = self.api.get_repo_discussions(
                    self.repository,
                    repo_type=KIND,
                    discussion_type="pull_request",
                    discussion_status="open",
                )
                places += [(f"refs/pr/{one.num}", one.num) for one in sorted(requests, key=_number)]
            return [one for place, number in places for one in self._zips_at(place, number)]
        except Exception as error:
            raise _refused(self.repository, error) from error

    def _zips_at(self, revision: str | None, number: int | None) -> Iterator[HubZip]:
        commit = self.api.repo_info(self.repository, repo_type=KIND, revision=revision).sha
        for one in self.api.list_repo_tree(self.repository, repo_type=KIND, revision=commit, recursive=True):
            size = getattr(one, "size", None)  # folders have none
            if size is not None and one.path.lower().endswith(".zip"):
                large = getattr(one, "lfs", None)
                yield HubZip(one.path, size, large.sha256 if large else None, commit, number)

    def _receive(self, one: HubZip, office: Office) -> Outcome | None:
        """Download and receive one zip; `None` when it was received before under another name."""
        shown = plain(PurePosixPath(one.name).name)
        most = office.expected.limits().zip_bytes
        if one.size > most:
            return Outcome(
                False, None, f"{shown}: zip-too-large: {one.size} bytes, at most {most} are fetched"
            )
        print(f"receiving {plain(one.name)} at {one.revision}", file=sys.stderr)
        source = Source("hub", shown, self.repository, one.revision, one.pull_request)
        with tempfile.TemporaryDirectory(prefix=DOWNLOADS, dir=self.work) as place:
            try:
                path = self.api.hf_hub_download(
                    self.repository, one.name, repo_type=KIND, revision=one.revision, cache_dir=place
                )
            except Exception as error:
                raise _refused(f"{self.repository}, {one.name}", error) from error
            return receive_zip(Path(path), source, office)


def _number(request: Any) -> int:
    return int(request.num)


def _refused(what: str, error: Exception) -> HubProblem:
    return HubProblem(
        "the Hub did not give what was asked",
        where=what,
        found=f"{type(error).__name__}: {plain(str(error))}",
        fix="check the name, the token (HF_TOKEN) and the network, then run the same command again",
    )
