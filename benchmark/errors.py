"""Every exception this project raises on purpose, and the sentence each one must carry.

    RefereeError                     anything that went wrong for a reason we can name
    +-- UsageError                   the command line asks for something that does not exist   (exit code 2)
    +-- InputError                   what was given to us is wrong                             (exit code 1)
        +-- DatasetError             a dataset on disk: layout, JSON, masks, frames
        +-- MaskError                one mask or mask track: size, counts, dtype
        +-- ProtocolError            a protocol file
        +-- AdapterError             an adapter: unknown, not loadable, or breaking its contract
        +-- PredictionError          a prediction folder or file
        +-- ResultError              a result file
        +-- CheckpointError          model weights and their configuration
        +-- EnvironmentProblem       this machine: packages, versions, devices
        +-- OutputError              a place we must write to: missing, read-only, full
        +-- HubProblem               the Hugging Face Hub: refused, unreachable, nothing of that name

Anything else that escapes is our own fault and ends with exit code 3.

A message says what is wrong, where, what was expected, what was found and how to mend it. Checks that
can find several problems collect them (`ProblemCollector`) and raise once, so that nobody repairs a
dataset one run at a time.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong, in the five parts every message of ours has."""

    what: str
    where: str = ""
    expected: str = ""
    found: str = ""
    fix: str = ""

    def sentence(self) -> str:
        """The problem on one line."""
        parts = [f"{self.where}: {self.what}" if self.where else self.what]
        if self.expected:
            parts.append(f"expected {self.expected}")
        if self.found:
            parts.append(f"found {self.found}")
        line = "; ".join(parts)
        return f"{line}. Fix: {self.fix}" if self.fix else f"{line}."


class RefereeError(Exception):
    """Base of the tree; `exit_code` is what a command ends with."""

    exit_code = 3

    def __init__(
        self,
        what: str | Problem,
        *,
        where: str = "",
        expected: str = "",
        found: str = "",
        fix: str = "",
    ) -> None:
        if isinstance(what, Problem):
            self.problems: tuple[Problem, ...] = (what,)
        else:
            self.problems = (Problem(what, where, expected, found, fix),)
        super().__init__(self.problems[0].sentence())

    @classmethod
    def from_problems(cls, headline: str, problems: Iterable[Problem]) -> RefereeError:
        """One error that lists many problems below a headline."""
        collected = tuple(problems)
        error = cls(headline)
        error.problems = collected
        lines = [headline, *(f"  - {problem.sentence()}" for problem in collected)]
        error.args = ("\n".join(lines),)
        return error


class UsageError(RefereeError):
    """The command line names something that does not exist, or combines what does not go together."""

    exit_code = 2


class InputError(RefereeError):
    """Something we were given is wrong; mending it is in the user's hands."""

    exit_code = 1


class DatasetError(InputError):
    """A dataset folder: missing files, malformed JSON, masks that do not fit their frames."""


class MaskError(InputError):
    """A mask or mask track of the wrong size, dtype, length, or with counts that do not decode."""


class ProtocolError(InputError):
    """A protocol file with unknown, missing or contradicting rules."""


class AdapterError(InputError):
    """An adapter that is unknown, cannot be loaded, or returned what its contract forbids."""


class PredictionError(InputError):
    """A prediction folder or file that is incomplete, damaged, or belongs to other data."""


class ResultError(InputError):
    """A result file that is damaged or not comparable."""


class CheckpointError(InputError):
    """Model weights that are missing, damaged, or do not fit their configuration."""


class EnvironmentProblem(InputError):
    """This machine lacks a package, a version or a device that was asked for."""


class OutputError(InputError):
    """A place that must be written to is missing, read-only or full."""


class HubProblem(InputError):
    """The Hugging Face Hub refuses, cannot be reached, or has nothing of that name."""


class ProblemCollector:
    """Gathers problems during a check and raises them together."""

    def __init__(self) -> None:
        self.problems: list[Problem] = []

    def add(self, what: str, *, where: str = "", expected: str = "", found: str = "", fix: str = "") -> None:
        """Remember one problem."""
        self.problems.append(Problem(what, where, expected, found, fix))

    def raise_if_any(self, error_class: type[RefereeError], headline: str) -> None:
        """Raise `error_class` with every problem, or return if there are none.

        Raises:
            error_class: when at least one problem was added.
        """
        if len(self.problems) == 1:
            raise error_class(self.problems[0])
        if self.problems:
            raise error_class.from_problems(f"{headline}: {len(self.problems)} problems", self.problems)
