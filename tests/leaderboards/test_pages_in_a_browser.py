"""What a reader meets in Chromium, from files on disk: sorting, filters, links, downloads, themes, reflow."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from leaderboards.site import read_material, site_files
from leaderboards.site_files import write_site
from submissions.entries import Entry
from tests.leaderboards.browser import running_browser

Forge = Callable[..., Entry]
BOARD = "boards/interrvos.html"
COMPARE = "compare/interrvos-val.html"
CHARTS = "charts/interrvos-val.html"
TABLE = "#interrvos-val"


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with running_browser() as found:
        yield found


@pytest.fixture(scope="module")
def site(received: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("pages") / "site"
    write_site(site_files(read_material(received)), place)
    return place


@pytest.fixture
def page(browser: Any) -> Iterator[Any]:
    """A page that fails its test when it logs, breaks, or asks for anything but files."""
    context = browser.new_context(viewport={"width": 1440, "height": 900}, accept_downloads=True)
    made, wrong = context.new_page(), []
    made.on("console", lambda message: wrong.append(message.text))
    made.on("pageerror", lambda error: wrong.append(str(error)))
    made.on("dialog", lambda dialog: (wrong.append(dialog.message), dialog.dismiss()))
    made.on(
        "request",
        lambda request: (
            wrong.append(request.url) if not request.url.startswith(("file:", "blob:", "data:")) else None
        ),
    )
    yield made
    context.close()
    assert wrong == []


def go(page: Any, site: Path, name: str = BOARD) -> None:
    page.goto("about:blank")
    page.goto(f"file://{site}/{name}")


def names(page: Any, table: str = TABLE) -> list[str]:
    return page.eval_on_selector_all(
        f"{table} tbody tr", "rows => rows.filter(r => !r.hidden).map(r => r.querySelector('a').textContent)"
    )


def sort_button(page: Any, column: str) -> Any:
    return page.locator(f'{TABLE} thead th[data-col="{column}"] button')


def test_sort_by_mouse_and_by_keyboard(page: Any, site: Path) -> None:
    go(page, site)
    sort_button(page, "model").click()
    assert names(page) == ["Actors alone", "Both roles", "oracle"]
    assert page.locator(f'{TABLE} thead th[data-col="model"]').get_attribute("aria-sort") == "ascending"
    sort_button(page, "model").focus()
    page.keyboard.press("Enter")
    assert names(page) == ["oracle", "Both roles", "Actors alone"]
    page.keyboard.press("Space")
    assert names(page) == ["Actors alone", "Both roles", "oracle"]
    assert page.locator(f"{TABLE} [aria-sort]").count() == 1


def test_rows_without_a_number_stay_last_both_ways(page: Any, site: Path) -> None:
    go(page, site)
    for _ in range(2):
        sort_button(page, "target-jf").click()
        assert names(page)[-1] == "Actors alone"


def test_search_and_facets_filter(page: Any, site: Path) -> None:
    go(page, site)
    page.get_by_label("Search rows").fill("both")
    assert names(page) == ["Both roles"]
    assert page.locator(".count").text_content() == "1 of 3 rows"
    page.get_by_label("Search rows").fill("")
    page.get_by_text("Filter", exact=True).click()
    page.get_by_label("sanity row (1)").check()
    assert names(page) == ["oracle"]
    page.keyboard.press("Escape")
    assert page.locator(".menu[open]").count() == 0


def test_a_permalink_brings_the_view_back(page: Any, site: Path) -> None:
    go(page, site)
    sort_button(page, "rvos-jf").click()
    page.get_by_label("Search rows").fill("o")
    page.get_by_text("Filter", exact=True).click()
    page.get_by_label("model (2)").check()
    page.get_by_text("Columns", exact=True).click()
    page.get_by_label("InterRVOS-Actor F").check()
    page.wait_for_url(lambda url: "cols=" in url)  # the address is written a moment after the last change
    link, before = page.url, names(page)
    assert "sort=rvos-jf" in link and "q=o" in link and "kind=model" in link
    page.goto("about:blank")
    page.goto(link)
    assert names(page) == before
    assert page.locator(f'{TABLE} thead th[data-col="actor-f"]').is_visible()
    assert page.locator(f'{TABLE} thead th[data-col="rvos-jf"]').get_attribute("aria-sort") == "descending"


@pytest.mark.parametrize(
    "hash_", ["#sort=none&dir=x&cols=..&kind=<b>", "#%00%ff=1", "#interrvos-val", "#q=%"]
)
def test_odd_addresses_do_no_harm(page: Any, site: Path, hash_: str) -> None:
    go(page, site, BOARD + hash_)
    assert page.locator(TABLE).is_visible()


def test_the_view_is_copied_as_a_link_and_as_a_citation(page: Any, site: Path) -> None:
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    go(page, site, f"{BOARD}#sort=model&dir=up")
    page.get_by_text("Share", exact=True).click()
    for name in ("Copy link", "Cite this view"):
        page.get_by_role("button", name=name).click()
        page.get_by_role("button", name="Copied").first.wait_for()
        copied = page.evaluate("navigator.clipboard.readText()")
        assert page.url in copied
        page.get_by_role("button", name=name).wait_for()  # the button says so for a moment
    release = page.locator("footer").get_attribute("data-release")
    assert copied.startswith(f"InterRVOS-127K, InterRVOS referee, entries {release}. file:")


def test_where_nothing_is_found_a_button_brings_everything_back(page: Any, site: Path) -> None:
    go(page, site, f"{BOARD}#q=nobody&kind=model")
    assert names(page) == []
    page.get_by_role("button", name="Clear search and filters").click()
    assert len(names(page)) == 3 and page.get_by_label("Search rows").input_value() == ""
    page.wait_for_url(lambda url: "#" not in url)


def test_a_menu_closes_when_another_opens_or_the_page_is_clicked(page: Any, site: Path) -> None:
    go(page, site)
    for title in ("Filter", "Columns"):
        page.get_by_text(title, exact=True).click()
        assert page.locator(".menu[open] summary").all_text_contents() == [title]
    page.locator("h1").click()
    assert page.locator(".menu[open]").count() == 0


def test_column_toggles_hide_heading_and_cells(page: Any, site: Path) -> None:
    go(page, site)
    assert not page.locator(f'{TABLE} thead th[data-col="actor-j"]').is_visible()
    page.get_by_text("Columns", exact=True).click()
    page.get_by_role("button", name="All", exact=True).click()
    assert page.locator(f'{TABLE} thead th[data-col="actor-j"]').is_visible()
    page.get_by_role("button", name="Scores alone").click()
    assert not page.locator(f'{TABLE} [data-head="facts"]').first.is_visible()


def test_downloads_hold_the_view(page: Any, site: Path) -> None:
    go(page, site)
    page.get_by_label("Search rows").fill("roles")
    page.get_by_text("Share", exact=True).click()

    def saved(name: str) -> str:
        with page.expect_download() as caught:
            page.get_by_role("button", name=name, exact=True).click()
        return Path(caught.value.path()).read_text(encoding="utf-8")

    (row,) = csv.DictReader(saved("CSV").splitlines())
    assert row["Model"] == "Both roles" and row["InterRVOS-Actor J&F"] == "100"
    assert [one[0] for one in json.loads(saved("JSON"))["rows"]] == ["Both roles"]
    assert r"Both roles & 100" in saved("LaTeX")


def test_two_to_four_rows_are_compared(page: Any, site: Path) -> None:
    go(page, site, COMPARE)
    heads = page.locator("table.side").first.locator("th[data-model]:visible a")
    assert heads.all_text_contents() == ["Both roles 1", "Actors alone 1"]
    assert page.get_by_label("Both roles 1").is_disabled()
    page.get_by_label("oracle 1").check()
    page.get_by_label("Actors alone 1").uncheck()
    assert sorted(heads.all_text_contents()) == ["Both roles 1", "oracle 1"]
    assert page.locator("#pairs li:visible").count() == 3
    link = page.url
    page.goto("about:blank")
    page.goto(link)
    assert sorted(heads.all_text_contents()) == ["Both roles 1", "oracle 1"]


def test_the_theme_is_remembered(page: Any, site: Path) -> None:
    go(page, site)
    ground = "getComputedStyle(document.documentElement).backgroundColor"
    light = page.evaluate(ground)
    for _ in range(2):
        page.get_by_role("button", name="Theme").click()
    dark = page.evaluate(ground)
    assert dark != light
    go(page, site, "about.html")
    assert page.evaluate(ground) == dark


def test_dark_is_followed_from_the_system(page: Any, site: Path) -> None:
    go(page, site)
    light = page.evaluate("getComputedStyle(document.body).color")
    page.emulate_media(color_scheme="dark")
    assert page.evaluate("getComputedStyle(document.body).color") != light


@pytest.mark.parametrize("width", [320, 768, 3840])
def test_no_page_scrolls_sideways(page: Any, site: Path, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 800})
    some = [
        BOARD,
        COMPARE,
        CHARTS,
        "protocols/actor.html",
        "index.html",
        "how-to-read.html",
        "submit.html",
        "protocols.html",
        "about.html",
    ]
    some += [f"models/{path.name}" for path in sorted((site / "models").glob("interrvos-val--*"))]
    for name in [*some, "reported/visa-table-1.html", "models/reported--visa-7b.html"]:
        go(page, site, name)
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), name


def test_the_table_reads_without_javascript(browser: Any, site: Path) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(f"file://{site}/{BOARD}")
    assert page.locator(f"{TABLE} tbody tr").count() == 3
    assert page.locator("button, input").count() == 0
    assert page.locator(f'{TABLE} thead th[data-col="actor-j"]').is_visible()
    context.close()


def test_a_hostile_entry_is_harmless(page: Any, entries: Path, forge: Forge, tmp_path: Path) -> None:
    made = forge(
        name="<script>alert(1)</script><img src=x onerror=alert(2)>\u202e" + "W" * 10_000,
        team="javascript:alert(3)",
        contact="javascript:alert(4)",
    )
    place = tmp_path / "site"
    write_site(site_files(read_material(entries)), place)
    page.set_viewport_size({"width": 320, "height": 800})
    for name in (BOARD, f"models/interrvos-val--{made.id}.html"):
        go(page, place, name)
        assert "<script>alert(1)" in page.locator("main").text_content()
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        assert page.locator('main script, main img, a[href^="javascript"]').count() == 0


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing(page: Any, site: Path, scheme: str) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="needs axe-playwright-python")
    page.emulate_media(color_scheme=scheme)
    (own,) = [f"models/{path.name}" for path in (site / "models").glob("interrvos-val--both*")]
    plain = ["index.html", "protocols.html", "protocols/target.html", "how-to-read.html", "submit.html"]
    for name in (BOARD, own, COMPARE, CHARTS, *plain):
        go(page, site, name)
        page.evaluate("document.querySelectorAll('details').forEach(one => { one.open = true; })")
        found = axe.Axe().run(page).response["violations"]
        assert [(one["id"], [node["html"][:120] for node in one["nodes"]][:3]) for one in found] == [], name


def test_a_space_is_told_what_is_shown(browser: Any, site: Path) -> None:
    """The Hub shows a Space in a frame, and keeps its address where the frame posts it."""
    page = browser.new_page()
    outer = """<!doctype html><title>Space</title><iframe width=1200 height=800></iframe><script>
    addEventListener("message", (event) => { window.told = [event.origin, event.data]; });
    const board = "https://org-name.static.hf.space/boards/interrvos.html";
    document.querySelector("iframe").src = board + location.hash;
    </script>"""
    page.route("https://huggingface.co/**", lambda route: route.fulfill(body=outer, content_type="text/html"))
    page.route(
        "https://org-name.static.hf.space/**",
        lambda route: route.fulfill(path=site / route.request.url.split(".space/")[1].partition("#")[0]),
    )
    page.goto("https://huggingface.co/spaces/org/name#sort=model&dir=up")
    frame = page.frame_locator("iframe")
    assert frame.locator(f'{TABLE} thead th[data-col="model"]').get_attribute("aria-sort") == "ascending"
    frame.locator(f'{TABLE} thead th[data-col="rvos-jf"] button').click()
    while not page.evaluate("window.told"):
        page.wait_for_timeout(20)
    origin, data = page.evaluate("window.told")
    assert origin == "https://org-name.static.hf.space"
    assert data == {"queryString": "", "hash": "#sort=rvos-jf&dir=down"}
    page.close()
