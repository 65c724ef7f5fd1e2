"""The local server shows a site and says when it cannot."""

from __future__ import annotations

import threading
from pathlib import Path
from urllib.request import urlopen

import pytest

from benchmark.errors import InputError, UsageError
from leaderboards import serve
from leaderboards.site import read_material, site_files
from leaderboards.site_files import write_site


def test_pages_are_served(received: Path, tmp_path: Path) -> None:
    write_site(site_files(read_material(received)), tmp_path / "site")
    with serve.make_server(tmp_path / "site", "127.0.0.1", 0) as server:
        worker = threading.Thread(target=server.handle_request)
        worker.start()
        with urlopen(f"http://127.0.0.1:{server.server_address[1]}/boards/interrvos.html") as page:
            assert b"Both roles" in page.read()
        worker.join()


def test_a_folder_without_a_site_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no site lies here"):
        serve.main(["--site", str(tmp_path)])


@pytest.mark.parametrize("port", ["99999", "-1"])
def test_a_port_that_does_not_exist_is_a_usage_error(port: str) -> None:
    with pytest.raises(UsageError, match="no port") as caught:
        serve.main(["--port", port])
    assert caught.value.exit_code == 2


def test_an_address_that_is_not_ours_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot listen here"):
        serve.make_server(tmp_path, "203.0.113.1", 0)
