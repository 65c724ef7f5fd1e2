"""Receive submissions: check, score, receipt, leaderboard entry. Safe to kill and to repeat at any point.

  python -m submissions.receive my.zip --key referee-key.pem
  python -m submissions.receive --watch submissions/inbox --dataset interrvos --data-root /data/InterRVOS
  python -m submissions.receive --hub ORG/submissions --dataset interrvos --data-root /data/InterRVOS

The same submission twice gives one entry. Entries (--entries, default leaderboards/entries) are only ever
added; a correction is a new one that --supersedes the old, with --reason and --author. What is ours alone
(a report per zip, the log, private results) lies under --work (default submissions/received).

--watch polls a folder for zips, one at a time, until it is stopped (--once: until nothing is left).
--hub does the same for a dataset repository of the Hub: zips on its main branch and in its open pull
requests, each read at the commit it had when it was listed; --revision reads one revision only.

--check-only gives the status "files checked" where the truth is not at hand; --re-run states that the
predictions were made by us. With --public-report entries hold rounded aggregates alone; with --with-masks
also the masks and the scores of frames, for data whose masks may be shown on pages.

Exit codes: 0 received, 1 refused, 2 usage, 3 internal, 130 interrupted.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from time import sleep
from time import time as now

from benchmark.command_line import parser, run_command
from benchmark.errors import HubProblem, InputError, PredictionError, UsageError
from benchmark.stored_files import file_digest, make_folder
from submissions.choices import add_dataset_flags, chosen_dataset
from submissions.entries import Source, Standing
from submissions.expected import expected_of
from submissions.hub_inbox import HubInbox
from submissions.reception import Correction, Office, Outcome, receive_zip

WORK = Path("submissions") / "received"
ENTRIES = Path("leaderboards") / "entries"
SETTLED_SECONDS = 2.0  # a zip that did not change for so long is complete


def main(arguments: Sequence[str]) -> int:
    """The command; see the module's docstring."""
    chosen = _flags(arguments)
    dataset = chosen_dataset(chosen)
    office = Office(
        dataset=dataset,
        expected=expected_of(dataset),
        entries=chosen.entries,
        work=chosen.work,
        standing=_standing(chosen),
        hidden=chosen.public_report,
        key=chosen.key,
        correction=_correction(chosen),
        arguments=tuple(arguments),
        with_masks=chosen.with_masks,
    )
    make_folder(office.work)
    with only_one(office.work / "lock"):
        if chosen.zip is not None:
            outcome = receive_zip(chosen.zip, _file_source(chosen.zip), office)
            print(outcome.text)
            return 0 if outcome.accepted else 1
        rounds = _hub_rounds(chosen, office) if chosen.hub else _folder_rounds(chosen.watch, office)
        for received in rounds:
            for outcome in received:
                print(outcome.text, flush=True)
            if chosen.once:
                return 0
            sleep(chosen.poll)
    return 0


def _flags(arguments: Sequence[str]) -> argparse.Namespace:
    command = parser("submissions.receive", __doc__)
    command.add_argument("zip", type=Path, nargs="?", metavar="ZIP")
    command.add_argument("--watch", type=Path, metavar="DIR")
    command.add_argument("--hub", metavar="ORG/REPO", help="a dataset repository of the Hub")
    command.add_argument(
        "--revision", metavar="SHA", help="of the Hub repository, instead of all that is new"
    )
    command.add_argument("--poll", type=float, default=30.0, metavar="SECONDS")
    command.add_argument("--once", action="store_true", help="stop when nothing is left to receive")
    add_dataset_flags(command)
    command.add_argument("--entries", type=Path, default=ENTRIES, metavar="DIR")
    command.add_argument("--work", type=Path, default=WORK, metavar="DIR")
    command.add_argument("--key", type=Path, metavar="PEM", help="sign receipts with this private key")
    command.add_argument("--public-report", action="store_true", help="the truth is hidden: round, tell less")
    command.add_argument("--check-only", action="store_true", help="the truth is not at hand: do not score")
    command.add_argument("--re-run", action="store_true", help="we made these predictions ourselves")
    command.add_argument(
        "--with-masks", action="store_true", help="the masks may be shown: keep them in the entry"
    )
    command.add_argument("--supersedes", metavar="ENTRY")
    command.add_argument("--reason", metavar="TEXT")
    command.add_argument("--author", metavar="NAME")
    chosen = command.parse_args(arguments)
    sources = [chosen.zip, chosen.watch, chosen.hub]
    if sum(one is not None for one in sources) != 1:
        raise UsageError("give one source", expected="a ZIP, --watch DIR or --hub ORG/REPO")
    if chosen.revision and not chosen.hub:
        raise UsageError("--revision is a revision of a Hub repository", fix="give --hub ORG/REPO too")
    if chosen.check_only and chosen.re_run:
        raise UsageError("--check-only and --re-run exclude each other")
    if chosen.with_masks and (chosen.public_report or chosen.check_only):
        raise UsageError("--with-masks shows what --public-report and --check-only hold back")
    return chosen


def _standing(chosen: argparse.Namespace) -> Standing:
    if chosen.check_only:
        return Standing.FILES_CHECKED
    return Standing.RERUN if chosen.re_run else Standing.RESCORED


def _correction(chosen: argparse.Namespace) -> Correction | None:
    words = [chosen.supersedes, chosen.reason, chosen.author]
    if not any(words):
        return None
    if not all(words) or chosen.zip is None:
        raise UsageError(
            "a correction needs all of its facts",
            expected="a ZIP with --supersedes ENTRY --reason TEXT --author NAME",
        )
    return Correction(chosen.supersedes, chosen.reason, chosen.author)


def _file_source(path: Path) -> Source:
    return Source("file", path.name, None, None, None)


@contextmanager
def only_one(path: Path) -> Iterator[None]:
    """Hold a lock that ends with this process, however it ends.

    Raises:
        InputError: when another process holds it.
    """
    import fcntl

    handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(handle)
        raise InputError(
            "another process is receiving submissions here",
            where=str(path),
            fix="wait for it, or give this one another --work",
        ) from error
    try:
        yield
    finally:
        os.close(handle)


def _folder_rounds(inbox: Path, office: Office) -> Iterator[Iterator[Outcome]]:
    """Rounds over the zips of a folder; a zip that was received is not looked at again."""
    if not inbox.is_dir():
        raise InputError("the inbox is missing", where=str(inbox), fix=f"mkdir -p {inbox}")
    done: set[tuple[str, int, int]] = set()
    while True:
        yield _folder_round(inbox, office, done)


def _folder_round(inbox: Path, office: Office, done: set[tuple[str, int, int]]) -> Iterator[Outcome]:
    for path in sorted(inbox.glob("*.zip")):
        facts = path.stat()
        key = (path.name, facts.st_size, facts.st_mtime_ns)
        if key in done or not path.is_file():
            continue
        if now() - facts.st_mtime < SETTLED_SECONDS:
            sleep(SETTLED_SECONDS)
            if path.stat().st_mtime_ns != facts.st_mtime_ns:
                continue  # still being written: the next round will see it
        done.add(key)
        try:
            if office.was_received(file_digest(path)):
                continue
            print(f"receiving {path.name}", file=sys.stderr)
            yield receive_zip(path, _file_source(path), office)
        except (PermissionError, FileNotFoundError, PredictionError) as error:
            yield Outcome(False, None, f"{path.name} cannot be read: {error}")  # the others still can


def _hub_rounds(chosen: argparse.Namespace, office: Office) -> Iterator[Iterator[Outcome]]:
    inbox = HubInbox(chosen.hub, chosen.revision, office.work)
    while True:
        yield inbox.round(office) if chosen.once else _patient(inbox.round(office))


def _patient(outcomes: Iterator[Outcome]) -> Iterator[Outcome]:
    """A round that ends early where the Hub is away; the next one goes on from there."""
    try:
        yield from outcomes
    except HubProblem as error:
        print(f"error: {error}", file=sys.stderr)


if __name__ == "__main__":
    run_command(main)
