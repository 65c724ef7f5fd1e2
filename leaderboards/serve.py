"""Show the site of the leaderboards on this machine.

  python -m leaderboards.serve
  python -m leaderboards.serve --entries /tmp/entries --port 8100
  python -m leaderboards.serve --site site

Without --site the pages are built anew into a folder of their own, which goes when the command ends.
Only this machine can reach them, unless --host names another address. Stop it with Ctrl-C.

Exit codes: 0 stopped, 1 the input is wrong, 2 usage, 3 internal.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from benchmark.command_line import parser, run_command
from benchmark.errors import InputError, UsageError
from leaderboards.build import ENTRIES
from leaderboards.site import read_material, site_files
from leaderboards.site_files import MARK, write_site

LAST_PORT = 65535


def main(arguments: Sequence[str]) -> None:
    """The command; see the module's docstring."""
    command = parser("leaderboards.serve", __doc__)
    command.add_argument("--entries", type=Path, default=ENTRIES, metavar="DIR")
    command.add_argument("--site", type=Path, metavar="DIR", help="a site that leaderboards.build wrote")
    command.add_argument("--host", default="127.0.0.1", metavar="ADDRESS")
    command.add_argument("--port", type=int, default=8000, metavar="N", help="0 for any that is free")
    chosen = command.parse_args(arguments)
    if not 0 <= chosen.port <= LAST_PORT:
        raise UsageError("no port", where="--port", expected=f"0 to {LAST_PORT}", found=str(chosen.port))
    if chosen.site is not None:
        if not (chosen.site / MARK).is_file():
            raise InputError("no site lies here", where=str(chosen.site), fix="python -m leaderboards.build")
        _serve(chosen.site, chosen.host, chosen.port)
        return
    with tempfile.TemporaryDirectory(prefix="site-") as folder:
        place = Path(folder) / "site"
        write_site(site_files(read_material(chosen.entries)), place)
        _serve(place, chosen.host, chosen.port)


def make_server(place: Path, host: str, port: int) -> ThreadingHTTPServer:
    """A server of the files below `place`, bound and not yet running.

    Raises:
        InputError: when the address cannot be bound.
    """
    handler = partial(SimpleHTTPRequestHandler, directory=str(place))
    try:
        return ThreadingHTTPServer((host, port), handler)
    except (OSError, OverflowError) as error:
        raise InputError(
            "cannot listen here", where=f"{host}:{port}", found=str(error), fix="choose another --port"
        ) from error


def _serve(place: Path, host: str, port: int) -> None:
    with make_server(place, host, port) as server:
        print(f"http://{host}:{server.server_address[1]}/", flush=True)
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            print("stopped")


if __name__ == "__main__":
    run_command(main)
