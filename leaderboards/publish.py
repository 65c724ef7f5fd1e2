"""Publish the site to a static Hugging Face Space, and the entries to a dataset repository.

  python -m leaderboards.publish --space ORG/NAME --dry-run
  python -m leaderboards.publish --space ORG/NAME
  python -m leaderboards.publish --space ORG/NAME --entries-repo ORG/DATASET

Sends what leaderboards.build wrote, after checking that the site is what the entries give. Files that are
there already are not sent again; everything else goes into one commit per repository, on top of the commit
that was looked at: when somebody else changes the repository meanwhile, nothing is written. A repository
that does not exist is created (public); one that holds something else is left alone. Published entries are
neither changed nor removed. --dry-run prints what would change, with sizes, and touches nothing.

The dataset repository also gets tables of scores, and exports: eval.yaml (the Hub's declaration of a
benchmark; --benchmark puts it at the root, where it counts) and ORG/NAME/.eval_results for the repositories
of models whose weights are on the Hub.

The token comes from HF_TOKEN, or from `hf auth login`; it is neither stored nor printed here. Answers 429
and 5xx are tried again. Stopped half-way, the same command goes on: what arrived is not sent twice.

Exit codes: 0 published or nothing to do, 1 the input is wrong or the Hub refuses, 2 usage, 3 internal,
130 interrupted.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from time import sleep
from typing import Any, TypeVar

from benchmark.command_line import parser, run_command
from benchmark.errors import EnvironmentProblem, HubProblem, UsageError
from leaderboards.build import ENTRIES, OUTPUT
from leaderboards.hub_changes import Change, RemoteFile, State, Target, change_report, changes
from leaderboards.hub_content import dataset_target, read_site, space_target
from leaderboards.hub_problems import conflict, hub_problem, passes, status_of
from leaderboards.safe_text import shortened
from leaderboards.site import read_material, site_files

WAITS = (1.0, 2.0, 4.0, 8.0)
"""Seconds between tries."""
LONGEST_WAIT = 300.0
MESSAGE = "Publish the leaderboards"
Answer = TypeVar("Answer")
_NAME = re.compile(r"(?!.*(--|\.\.))[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*(?<![.-])", re.A)


def main(arguments: Sequence[str]) -> None:
    """The command; see the module's docstring."""
    command = parser("leaderboards.publish", __doc__)
    command.add_argument("--space", required=True, metavar="ORG/NAME", help="a static Space")
    command.add_argument("--entries-repo", metavar="ORG/DATASET", help="a dataset repository for the entries")
    command.add_argument("--entries", type=Path, default=ENTRIES, metavar="DIR")
    command.add_argument(
        "--site", type=Path, default=OUTPUT, metavar="DIR", help="what leaderboards.build wrote"
    )
    command.add_argument("--benchmark", action="store_true", help="eval.yaml goes to the root of the dataset")
    command.add_argument("--dry-run", action="store_true", help="print what would change, touch nothing")
    chosen = command.parse_args(arguments)
    for flag, name in (("--space", chosen.space), ("--entries-repo", chosen.entries_repo)):
        if name is not None and not _NAME.fullmatch(name):
            raise UsageError("no name of a repository", where=flag, expected="ORG/NAME", found=repr(name))
    material = read_material(chosen.entries)
    site = read_site(chosen.site, site_files(material))
    targets = [space_target(chosen.space, site, chosen.entries_repo)]
    if chosen.entries_repo is not None:  # first, so that no page is ahead of what it is built from
        about = (chosen.entries_repo, chosen.space, chosen.entries, material.entries)
        targets.insert(0, dataset_target(*about, benchmark=chosen.benchmark))
    publish(targets, dry_run=chosen.dry_run)


def publish(targets: Sequence[Target], *, dry_run: bool) -> None:
    """Bring every repository to its target, and say what was done; all are looked at before one is written.

    Raises:
        HubProblem: when the Hub refuses, cannot be reached, or a repository was changed meanwhile.
        EnvironmentProblem: when huggingface_hub is missing, or there is no token.
    """
    hub = Hub()
    if not dry_run:
        hub.require_token()
    states = [hub.state(target) for target in targets]
    planned = [
        changes(target, state or State(None, {})) for target, state in zip(targets, states, strict=True)
    ]
    for target, state, found in zip(targets, states, planned, strict=True):
        if dry_run:
            print(change_report(target, state, found))
        else:
            commit = hub.bring(target, state)
            told = f"commit {commit}" if commit else "nothing to change"
            print(f"{hub.endpoint}/{target.address}: {told}")
    if dry_run:
        print("nothing was touched (--dry-run)")


class Hub:
    """The requests, with retries and sentences for what goes wrong; the only user of huggingface_hub here."""

    def __init__(self) -> None:
        try:
            from huggingface_hub import HfApi, get_token
        except ImportError as error:
            raise EnvironmentProblem(
                "the Hub needs the package huggingface_hub",
                fix="pip install -c constraints.txt -e '.[publish]'",
            ) from error
        self._api: Any = HfApi()
        self._token: str | None = _asked_for_token(get_token)
        self.endpoint: str = self._api.endpoint

    def require_token(self) -> None:
        """Raises: EnvironmentProblem where there is no token."""
        if self._token is None:
            raise EnvironmentProblem(
                "publishing needs a token of the Hub, and there is none",
                expected="a token with write access",
                fix="hf auth login, or set HF_TOKEN; --dry-run works without",
            )

    def state(self, target: Target) -> State | None:
        """A repository at this moment, or `None` where there is none of that name (or none to be seen).

        Raises:
            HubProblem: when the Hub refuses or cannot be reached.
        """
        from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError

        try:
            info = self._tried(target, lambda: self._api.repo_info(target.name, repo_type=target.kind))
        except HubProblem as problem:
            cause = problem.__cause__
            unseen = isinstance(cause, RepositoryNotFoundError) and not isinstance(cause, GatedRepoError)
            if unseen and (status_of(cause) == 404 or self._token is None):
                return None
            raise
        if info.sha is None:
            return State(None, {})
        return State(info.sha, self._tried(target, lambda: dict(self._files(target, info.sha))))

    def _files(self, target: Target, commit: str) -> Iterator[tuple[str, RemoteFile]]:
        tree = self._api.list_repo_tree(target.name, repo_type=target.kind, revision=commit, recursive=True)
        for one in tree:
            size = getattr(one, "size", None)  # folders have none
            if size is not None:
                large = getattr(one, "lfs", None)
                yield one.path, RemoteFile(size, one.blob_id, large.sha256 if large else None)

    def bring(self, target: Target, state: State | None) -> str | None:
        """Make a repository what it shall be, in one commit on top of `state`; the commit, if one was needed.

        Raises:
            HubProblem: when the Hub refuses, cannot be reached, or the repository was changed meanwhile.
        """
        if state is None:
            state = self._created(target)
        found = changes(target, state)
        if not found:
            return None
        commit = self._committed(target, state, found)
        after = self.state(target)
        left = changes(target, after) if after is not None and after.commit == commit else ()
        if left:
            raise HubProblem(
                "the Hub left out files of the commit",
                where=target.address,
                found=", ".join(shortened(one.name) for one in left[:4]),
                fix="look for a .gitignore in that repository that names them",
            )
        return commit

    def _created(self, target: Target) -> State:
        static = {"space_sdk": "static"} if target.kind == "space" else {}
        self._tried(
            target,
            lambda: self._api.create_repo(target.name, repo_type=target.kind, exist_ok=True, **static),
        )
        state = self.state(target)
        if state is None:
            raise HubProblem("a repository was created and cannot be seen", where=target.address)
        return state

    def _committed(self, target: Target, state: State, found: Sequence[Change]) -> str:
        for wait in (*WAITS, None):
            try:
                return self._commit(target, state, found)
            except Exception as error:
                if wait is None or not passes(error):
                    raise hub_problem(target, error, len(WAITS) + 1, self._token) from error
                _rest(error, wait)
            now = self.state(target)
            if now is not None and now.commit != state.commit:
                if not changes(target, now):
                    return str(now.commit)  # it had arrived; only the answer was lost
                raise conflict(target, "another commit")
        raise AssertionError("the last try returns or raises")

    def _commit(self, target: Target, state: State, found: Sequence[Change]) -> str:
        from huggingface_hub import CommitOperationAdd, CommitOperationDelete

        steps = [
            CommitOperationDelete(one.name)
            if one.after is None
            else CommitOperationAdd(one.name, target.files[one.name])
            for one in found
        ]
        done = self._api.create_commit(
            target.name, steps, commit_message=MESSAGE, repo_type=target.kind, parent_commit=state.commit
        )
        return str(done.oid)

    def _tried(self, target: Target, ask: Callable[[], Answer]) -> Answer:
        for wait in (*WAITS, None):
            try:
                return ask()
            except Exception as error:
                if wait is None or not passes(error):
                    raise hub_problem(target, error, len(WAITS) + 1, self._token) from error
                _rest(error, wait)
        raise AssertionError("the last try returns or raises")


def _asked_for_token(get_token: Callable[[], str | None]) -> str | None:
    try:
        return get_token()
    except Exception as error:  # a login that fetches its token from elsewhere (OIDC in CI) and cannot
        raise EnvironmentProblem(
            "the login of the Hub gives no token",
            found=f"{type(error).__name__}: {shortened(str(error), 300)}",
            fix="hf auth login, or set HF_TOKEN",
        ) from error


def _rest(error: Exception, wait: float) -> None:
    asked = getattr(getattr(error, "response", None), "headers", {}).get("Retry-After", "")
    seconds = min(float(asked), LONGEST_WAIT) if asked.isdigit() else wait
    print(
        f"the Hub is busy ({status_of(error) or 'no JSON'}); trying again in {seconds:g} s", file=sys.stderr
    )
    sleep(seconds)


if __name__ == "__main__":
    run_command(main)
