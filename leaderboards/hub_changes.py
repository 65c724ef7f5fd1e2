"""What a commit would change: files here against files there, by the digests that the Hub tells."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass

from benchmark.errors import HubProblem, Problem
from leaderboards.safe_text import visible

SHOWN_PROBLEMS = 20


@dataclass(frozen=True, slots=True)
class Target:
    """A repository as it shall become.

    Attributes:
        kind: "space" or "dataset".
        name: "ORG/NAME".
        files: contents by name.
        is_ours: whether a repository with these names may be written to at all.
        may_remove: whether a file there goes when it is not among `files`.
        is_final: whether a file there may neither change nor go.
    """

    kind: str
    name: str
    files: Mapping[str, bytes]
    is_ours: Callable[[Set[str]], bool]
    may_remove: Callable[[str], bool]
    is_final: Callable[[str], bool]

    @property
    def address(self) -> str:
        """The repository below the Hub's own address."""
        return f"{self.kind}s/{self.name}"


@dataclass(frozen=True, slots=True)
class RemoteFile:
    """A file as the Hub lists it; `sha256` is told of large files, whose git blob is only a pointer."""

    size: int
    blob: str
    sha256: str | None

    def holds(self, data: bytes) -> bool:
        """Whether its content is this."""
        if len(data) != self.size:
            return False
        if self.sha256 is not None:
            return hashlib.sha256(data).hexdigest() == self.sha256
        return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest() == self.blob


@dataclass(frozen=True, slots=True)
class State:
    """A repository as it is: the commit (`None` in one without commits) and its files."""

    commit: str | None
    files: Mapping[str, RemoteFile]


@dataclass(frozen=True, slots=True)
class Change:
    """One file that a commit adds, changes or removes; a size is `None` where there is no file."""

    name: str
    before: int | None
    after: int | None

    @property
    def word(self) -> str:
        """What happens to the file."""
        if self.before is None:
            return "added"
        return "removed" if self.after is None else "changed"


def changes(target: Target, state: State) -> tuple[Change, ...]:
    """What has to be committed, by name; nothing where the repository is as it shall be.

    Raises:
        HubProblem: when the repository holds something else, or a published entry would change or go.
    """
    if state.files and not target.is_ours(state.files.keys()):
        raise HubProblem(
            "this repository holds something else and is left alone",
            where=target.address,
            found=_some(state.files),
            fix="name another repository, or one that does not exist yet",
        )
    found = tuple(_changes(target, state))
    final = [one for one in found if one.before is not None and target.is_final(one.name)]
    if final:
        problems = [
            Problem("a published entry that would be " + one.word, where=visible(one.name))
            for one in final[:SHOWN_PROBLEMS]
        ]
        raise HubProblem.from_problems(
            f"{target.address}: entries are written once, and {len(final)} files of published ones are not "
            "those here. Fix: bring your entries up to date (git pull) and build again; what must go for "
            "good is deleted on the Hub by hand",
            problems,
        )
    return found


def _changes(target: Target, state: State) -> Iterator[Change]:
    for name in sorted(target.files.keys() | state.files.keys()):
        data, there = target.files.get(name), state.files.get(name)
        if data is not None and (there is None or not there.holds(data)):
            yield Change(name, there.size if there else None, len(data))
        elif data is None and there is not None and target.may_remove(name):
            yield Change(name, there.size, None)


def change_report(target: Target, state: State | None, found: Sequence[Change]) -> str:
    """The changes as lines to read, with their sizes in bytes."""
    if state is None:
        place = "would be created"
    else:
        place = "without a commit" if state.commit is None else f"at {state.commit[:12]}"
    lines = [f"{target.address} {place}"]
    for one in found:
        sizes = [f"{size:,}" for size in (one.before, one.after) if size is not None]
        lines.append(f"  {one.word:8} {visible(one.name)}  {' -> '.join(sizes)} bytes")
    sent = sum(one.after or 0 for one in found)
    counts = {word: sum(one.word == word for one in found) for word in ("added", "changed", "removed")}
    same = len(target.files) - counts["added"] - counts["changed"]
    told = ", ".join(f"{number} {word}" for word, number in counts.items())
    lines.append(f"  {told}, {same} as they are; {sent:,} bytes to send")
    return "\n".join(lines)


def _some(names: Collection[str], most: int = 4) -> str:
    shown = ", ".join(visible(name) for name in sorted(names)[:most])
    return shown if len(names) <= most else f"{shown} and {len(names) - most} more"
