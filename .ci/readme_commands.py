"""Print the commands of one marked block of the README, so that CI runs what a person is told to run.

A block is marked by an HTML comment on the line before its fence:  <!-- commands: NAME -->
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

README = Path(__file__).resolve().parent.parent / "README.md"


def commands(name: str) -> str:
    """The text of the fenced block that is marked with `name`."""
    found = re.findall(
        rf"<!-- commands: {re.escape(name)} -->\s*\n```[a-z]*\n(.*?)```",
        README.read_text(encoding="utf-8"),
        flags=re.DOTALL,
    )
    if len(found) != 1:
        sys.exit(f"README.md must have exactly one block marked 'commands: {name}', found {len(found)}")
    return str(found[0])


if __name__ == "__main__":
    print(commands(sys.argv[1]), end="")
