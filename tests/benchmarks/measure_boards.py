"""Measures a board of a thousand entries: its build, its first load, and how fast Chromium sorts it.

    python -m tests.benchmarks.measure_boards [--entries 1000] [--whole 50] [--times 30] [--keep DIR]

Makes the entries (`many_entries`: all with three settings, the first with results, expressions and masks),
builds the site in a process of its own, and opens the board in headless Chromium from a local server. Printed
are the seconds of the build; the bytes of everything that the browser asks for before the reader does
anything; the time until the board can be used; and the times from a click or a key to the frame that shows
the new order, over all columns in turn. Times are the least, the median and the most. `--keep` leaves entries
and site in a folder, and uses entries that lie there.
"""

from __future__ import annotations

import argparse
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from leaderboards.serve import make_server
from tests.benchmarks.many_entries import FOLDER, make_entries
from tests.leaderboards.browser import running_browser

BOARD = "boards/interrvos-synthetic.html"
LOADS = 5  # fresh loads that times to the first use are taken over
LIMITS = {"build": "30 s", "load": "200 kB", "use": "1 s", "sort": "50 ms"}

# From the event to the task after the frame that shows what it did.
CLOCK = """
(selector) => {
  const control = document.querySelector(selector);
  window.took = new Promise((resolve) => {
    const from = (event) => requestAnimationFrame(() => {
      const channel = new MessageChannel();
      channel.port1.onmessage = () => resolve(performance.now() - event.timeStamp);
      channel.port2.postMessage(0);
    });
    control.addEventListener("click", from, { once: true });
  });
}
"""


def main() -> None:
    """The command; see the module's docstring."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--entries", type=int, default=1000)
    parser.add_argument("--whole", type=int, default=50, help="entries with results, expressions and masks")
    parser.add_argument("--times", type=int, default=30, help="sorts of each kind")
    parser.add_argument("--keep", type=Path)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        root = chosen.keep or Path(folder)
        if not (root / "entries").is_dir():
            make_entries(root / "entries", chosen.entries, chosen.whole)
        measure_build(root)
        with serving(root / "site") as address, running_browser() as browser:
            measure_load(browser, address)
            measure_sorts(browser, address, chosen.times)


def measure_build(root: Path) -> None:
    """Build the site of the entries and print how long it took."""
    words = ["--entries", str(root / "entries"), "--output", str(root / "site")]
    shutil.rmtree(root / "site", ignore_errors=True)  # of a run before, with --keep
    began = time.monotonic()
    subprocess.run([sys.executable, "-m", "leaderboards.build", *words], check=True)
    took = time.monotonic() - began
    size = sum(path.stat().st_size for path in (root / "site").rglob("*") if path.is_file())
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    processor = used.ru_utime + used.ru_stime
    wanted = LIMITS["build"]
    print(
        f"build: {took:.1f} s, {processor:.1f} s of a processor, {size / 1e6:.0f} MB (wanted: under {wanted})"
    )


@contextmanager
def serving(site: Path) -> Iterator[str]:
    """The address of a local server of a site."""
    with make_server(site, "127.0.0.1", 0) as server:
        worker = threading.Thread(target=server.serve_forever)
        worker.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}/"
        finally:
            server.shutdown()
            worker.join()


def measure_load(browser: Any, address: str) -> None:
    """Print what a first load asks for, and when the board can be used."""
    usable, first_sort = [], []
    for _ in range(LOADS):
        context = browser.new_context(viewport={"width": 1440, "height": 900})
        page = context.new_page()
        asked: list[Any] = []
        page.on("response", lambda response, asked=asked: asked.append(response))
        page.goto(address + BOARD)
        page.wait_for_timeout(1000)  # whatever it would ask for by itself, it has asked for by then
        sizes = {one.url.removeprefix(address): len(one.body()) for one in asked}
        usable.append(page.evaluate("performance.getEntriesByType('navigation')[0].domContentLoadedEventEnd"))
        began = time.monotonic()
        page.click(button("rvos-jf"))
        wait_until(page, "boards[0].rows.length === boards[0].total && boards[0].matching !== boards[0].rows")
        first_sort.append(1000 * (time.monotonic() - began))
        context.close()
    total, wanted = sum(sizes.values()) / 1000, LIMITS["load"]
    print(f"first load: {total:.0f} kB in {len(sizes)} requests (wanted: under {wanted})")
    print(f"usable after: {spread(usable)} (wanted: under {LIMITS['use']})")
    print(f"first sort, with the rows asked for: {spread(first_sort)}")


def measure_sorts(browser: Any, address: str, times: int) -> None:
    """Print how long sorts take once all rows are there."""
    page = browser.new_page(viewport={"width": 1440, "height": 900})
    page.goto(address + BOARD)
    began = time.monotonic()
    page.mouse.move(300, 300)
    wait_until(page, "boards[0].rows.length === boards[0].total")
    print(f"all rows at hand: {1000 * (time.monotonic() - began):.0f} ms after the first touch")
    for how in ("mouse", "keyboard"):
        took = [one_sort(page, index, how) for index in range(times)]
        print(f"sort by {how}: {spread(took)} (wanted: under {LIMITS['sort']})")
        took = [one_sort(page, index, how, after_all=True) for index in range(max(times // 5, 1))]
        print(f"the same after all rows were shown: {spread(took)}")
    page.close()


def wait_until(page: Any, condition: str) -> None:
    """Ask until something holds (the policy of a page forbids Playwright's own way)."""
    while not page.evaluate(condition):
        page.wait_for_timeout(10)


def one_sort(page: Any, index: int, how: str, after_all: bool = False) -> float:
    """Milliseconds from the event to the frame that shows the new order."""
    if after_all:
        page.get_by_role("button", name="Show all").click()
        wait_until(page, "boards[0].body.rows.length === boards[0].total")
        page.wait_for_timeout(300)
    columns = ("model", "actor-jf", "target-jf", "rvos-jf", "parameters", "track", "status")
    control = button(columns[index // 2 % len(columns)])
    page.evaluate(CLOCK, control)
    if how == "mouse":
        page.click(control)
    else:
        page.focus(control)
        page.keyboard.press("Enter")
    return float(page.evaluate("window.took"))


def button(column: str) -> str:
    """The selector of the button that sorts a column."""
    return f"#{FOLDER} thead th[data-col={column}] button"


def spread(times: list[float]) -> str:
    """Least, median and most of some milliseconds; on a busy machine the first tells most."""
    return f"{min(times):.0f} / {statistics.median(times):.0f} / {max(times):.0f} ms of {len(times)}"


if __name__ == "__main__":
    main()
