"""A real browser, where one is at hand: Chromium driven by Playwright, and a reason to skip where not."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
ARGUMENTS = ["--no-sandbox", "--disable-dev-shm-usage"]  # as root in a container, without room in /dev/shm
INSTALL = "apt-get install chromium, and pip install -c constraints.txt -e '.[browser]'"


@contextmanager
def running_browser() -> Iterator[Any]:
    """A headless Chromium; skips the test that asks for it where there is none."""
    sync_api = pytest.importorskip("playwright.sync_api", reason=f"needs playwright: {INSTALL}")
    program = next((found for name in NAMES if (found := shutil.which(name))), None)
    if program is None:
        pytest.skip(f"needs Chromium: {INSTALL}")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=ARGUMENTS)
        try:
            yield browser
        finally:
            browser.close()
