"""Build the site of the leaderboards: entries in git become pages that need no server and no script.

  python -m leaderboards.build
  python -m leaderboards.build --output /tmp/site
  python -m leaderboards.build --entries leaderboards/entries --output site

Reads what submissions.receive wrote and the tables of papers in reported/. Everything that is wrong with
any of them is listed at once, by file and field, and nothing is written then. The site appears whole, in
the stead of one that was there; the same entries give the same bytes.

Exit codes: 0 built, 1 the input is wrong, 2 usage, 3 internal, 130 interrupted.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from benchmark.command_line import parser, run_command
from leaderboards.site import read_material, site_files
from leaderboards.site_files import site_digest, write_site

ENTRIES = Path("leaderboards") / "entries"
OUTPUT = Path("site")


def main(arguments: Sequence[str]) -> None:
    """The command; see the module's docstring."""
    command = parser("leaderboards.build", __doc__)
    command.add_argument("--entries", type=Path, default=ENTRIES, metavar="DIR")
    command.add_argument("--output", type=Path, default=OUTPUT, metavar="DIR")
    chosen = command.parse_args(arguments)
    material = read_material(chosen.entries)
    files = site_files(material)
    write_site(files, chosen.output)
    print(
        f"{chosen.output}: {len(files)} files from {len(material.entries)} entries and "
        f"{len(material.tables)} tables of papers, digest {site_digest(files)[:12]}"
    )
    print(f"open {chosen.output / 'index.html'} in a browser, or: python -m leaderboards.serve")


if __name__ == "__main__":
    run_command(main)
