"""Which adapters there are, and whether one can run here.

  python -m adapters                      # the same as list
  python -m adapters list
  python -m adapters doctor reviosa
  python -m adapters doctor external --option command="/envs/visa/bin/python visa_job.py {job}"

`list` shows every adapter that --adapter knows: its roles, whether it is usable on this machine, what it
needs, and the facts that travel with its results (base models, licence, training sets).

`doctor` looks at packages and their versions, programs, weights on disk and GPU memory, and prints the
commands that mend what is missing. Nothing is downloaded or loaded.

Exit codes: 0 done, and for doctor: it can run; 1 it cannot, or the input is wrong; 2 usage, 3 internal.
"""

from __future__ import annotations

import argparse
import textwrap
from collections.abc import Sequence

from benchmark.adapter import Adapter, adapter_names, find_adapter_class, load_adapter
from benchmark.adapter_doctor import examine
from benchmark.adapter_options import parse_options
from benchmark.command_line import parser, run_command
from benchmark.errors import AdapterError, UsageError

WIDTH = 110


def main(arguments: Sequence[str]) -> int:
    """The command; see the module's docstring."""
    given = command_parser().parse_args(arguments)
    if given.verb == "doctor":
        return doctor(given.name, parse_options(given.option))
    for name in adapter_names():
        print("\n".join(described(name)))
    return 0


def doctor(name: str, options: dict[str, str]) -> int:
    """Print the checks of one adapter; 0 if it can run here."""
    adapter = load_adapter(name, options)
    checks = examine(adapter)
    for check in checks:
        print(f"{'ok     ' if check.passed else 'MISSING'}  {check.subject}: {check.found}")
    broken = [check for check in checks if not check.passed]
    if not broken:
        print(f"{name} can run here" + ("" if checks else ": it needs nothing beside the referee"))
        return 0
    needs = adapter.requirements()
    print(f"\n{name} cannot run here. It runs in {needs.environment}. To mend it:")
    for line in mending(needs.setup, [check.fix for check in broken if check.fix]):
        print(f"  {line}")
    return 1


def mending(setup: Sequence[str], fixes: Sequence[str]) -> list[str]:
    """The commands of the setup, then the fixes that these do not contain already.

    What the setup installs in an environment of its own must not be installed again in this one.
    """
    lines = list(setup)
    for fix in fixes:
        if not any(fix.removeprefix("pip install ") in line for line in lines):
            lines.append(fix)
    return lines


def described(name: str) -> list[str]:
    """The lines of one adapter in the list."""
    try:
        adapter_class = find_adapter_class(name)
        adapter = load_adapter(name)
    except UsageError as error:
        # It cannot be made without an option: say which.
        option = error.problems[0].where
        told = f"what it needs depends on it: python -m adapters doctor {name} {option}"
        return [f"{name:18} {adapter_class.summary}", *_wrapped(f"needs {option}; {told}")]
    except AdapterError as error:
        return [f"{name:18} cannot be used: {error}"]
    return [f"{name:18} {adapter_class.summary}", *_facts(adapter)]


def _facts(adapter: Adapter) -> list[str]:
    info, needs = adapter.info(), adapter.requirements()
    broken = [check for check in examine(adapter) if not check.passed]
    usable = "usable here" if not broken else f"not usable here: {'; '.join(one.subject for one in broken)}"
    facts = [
        "+".join(info.roles),
        usable,
        *([f"runs in {needs.environment}"] if needs != type(needs)() else []),
        *([f"base {', '.join(info.base_models)}"] if info.base_models else []),
        *([f"licence {info.licence}"] if info.licence else []),
        *([f"trained on {', '.join(info.trained_on)}"] if info.trained_on else []),
    ]
    return _wrapped("; ".join(facts))


def _wrapped(text: str) -> list[str]:
    indent = " " * 19
    return textwrap.wrap(text, WIDTH, initial_indent=indent, subsequent_indent=indent, break_on_hyphens=False)


def command_parser() -> argparse.ArgumentParser:
    """The verbs and their flags."""
    command = parser("adapters", __doc__)
    verbs = command.add_subparsers(dest="verb", metavar="list|doctor")
    verbs.add_parser("list", help="every adapter", allow_abbrev=False)
    one = verbs.add_parser("doctor", help="check what one adapter needs", allow_abbrev=False)
    one.add_argument("name", metavar="NAME")
    one.add_argument("--option", action="append", default=[], metavar="KEY=VALUE", help="of the adapter")
    return command


if __name__ == "__main__":
    run_command(main)
