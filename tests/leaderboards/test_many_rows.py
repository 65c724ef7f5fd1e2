"""Boards of many rows: spread over pages, all in a script that says the same, and its use in Chromium."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from leaderboards.many_rows import FEWEST, FIRST_ROWS, board_rows, rows_script
from leaderboards.site import read_material, site_files
from leaderboards.site_files import write_site
from submissions.entries import Entry
from tests.benchmarks.many_entries import FOLDER, TEAMS, make_entries
from tests.leaderboards.browser import running_browser

Forge = Callable[..., Entry]
COUNT = 110
BOARD = "boards/interrvos-synthetic.html"
TABLE = f"#{FOLDER}"
ROW = re.compile(r"<tr id=.*?</tr>", flags=re.S)


def unpacked(script: str) -> list[str]:
    """The rows of a script, put together as `assets/tables.js` does."""
    listed = script.removeprefix("boardRows(").removesuffix(");\n")
    slug, shapes, shared, rows = json.loads(f"[{listed}]")
    assert slug == "slug"
    made = []
    for shape, *values in rows:
        texts = [shared[value] if isinstance(value, int) else value for value in values]
        pieces = shapes[shape]
        assert len(pieces) == len(texts) + 1
        made.append("".join(piece + text for piece, text in zip(pieces, [*texts, ""], strict=True)))
    return made


def test_the_script_says_what_the_rows_say() -> None:
    rows = [
        f'<tr id="row-{n}"><td data-value="{n}">{n}</td><td>the same &lt;b&gt;</td></tr>' for n in range(9)
    ]
    rows.append(
        '<tr id="odd" class="sanity"><td class="absent"><abbr title="why: &#34;x&#34;">n/a</abbr></td></tr>'
    )
    script = rows_script("slug", rows)
    assert unpacked(script) == rows
    assert script.isascii() and script.count("the same") == 1


def test_hostile_rows_come_out_as_they_went_in(entries: Path, forge: Forge) -> None:
    forge(name='"><script>alert(1)</script>=">', team='\' data-x="1" >b<', version='</tr><tr id="x">')
    page = site_files(read_material(entries))["boards/interrvos.html"].decode()
    rows = ROW.findall(page)
    assert len(rows) == 4 and "<script>alert" not in page
    assert unpacked(rows_script("slug", rows)) == rows


@pytest.mark.parametrize(("boards", "size"), [(1, FIRST_ROWS), (2, FIRST_ROWS // 2), (100, FEWEST)])
def test_boards_that_share_a_page_share_its_rows(boards: int, size: int) -> None:
    few = board_rows("slug", "boards/x.html", ["<tr></tr>"] * size, boards)
    assert few.script is None and few.pages == () and len(few.shown) == size
    many = board_rows("slug", "boards/x.html", [f"<tr>{n}</tr>" for n in range(size + 1)], boards)
    assert [page.path for page in many.pages] == ["boards/x.html", f"boards/slug--rows-{size + 1}.html"]
    assert [row for page in many.pages for row in page.rows] == [f"<tr>{n}</tr>" for n in range(size + 1)]
    assert many.script is not None and many.script.path.startswith("data/slug-rows-")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("many")
    write_site(site_files(read_material(make_entries(place / "entries", COUNT, 2))), place / "site")
    return place / "site"


def stored(site: Path) -> list[dict[str, Any]]:
    """The rows of the board as its JSON download has them."""
    (path,) = [one for one in site.glob(f"data/{FOLDER}-*.json") if "--" not in one.name]
    return json.loads(path.read_text())["rows"]


def test_pages_hold_every_row_once_and_in_order(site: Path) -> None:
    page = (site / BOARD).read_text(encoding="utf-8")
    assert len(page.encode()) < 200_000
    further = re.findall(r'<a href="(\.\./boards/[^"]*--rows-[0-9]+\.html)"', page)
    texts = [page, *((site / "boards" / one).read_text(encoding="utf-8") for one in further)]
    ids = [re.findall(r'<tr id="([^"]*)"', text) for text in texts]
    assert [len(some) for some in ids] == [50, 50, 10]
    assert [one for some in ids for one in some] == [row["entry"] for row in stored(site)]
    (script,) = site.glob(f"data/{FOLDER}-rows-*.js")
    rows = [row for text in texts for row in ROW.findall(text)]
    assert unpacked(script.read_text().replace(f'"{FOLDER}"', '"slug"', 1)) == rows


# --- in a browser


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with running_browser() as found:
        yield found


@pytest.fixture
def page(browser: Any, site: Path) -> Iterator[Any]:
    context = browser.new_context(viewport={"width": 1440, "height": 900}, accept_downloads=True)
    made, wrong = context.new_page(), []
    made.on("console", lambda message: wrong.append(message.text))
    made.on("pageerror", lambda error: wrong.append(str(error)))
    made.asked = []
    made.on("request", lambda request: made.asked.append(request.url))
    made.goto(f"file://{site}/{BOARD}")
    yield made
    context.close()
    assert wrong == []


def ids(page: Any) -> list[str]:
    return page.eval_on_selector_all(f"{TABLE} tbody tr", "rows => rows.map(row => row.id)")


def settled(page: Any, count: int) -> list[str]:
    """The ids of the rows once there are so many."""
    page.locator(f"{TABLE} tbody tr").nth(count - 1).wait_for()
    page.locator(f"{TABLE} tbody tr").nth(count).wait_for(state="detached")
    return ids(page)


def by(site: Path, name: str, *, down: bool = True) -> list[str]:
    known = [row for row in stored(site) if row[name] is not None]
    unknown = [row["entry"] for row in stored(site) if row[name] is None]
    return [row["entry"] for row in sorted(known, key=lambda row: row[name], reverse=down)] + unknown


def sort_button(page: Any, column: str) -> Any:
    return page.locator(f'{TABLE} thead th[data-col="{column}"] button')


def test_a_first_load_is_one_file(page: Any) -> None:
    page.wait_for_timeout(300)
    assert len(page.asked) == 1 and len(ids(page)) == 50
    assert page.locator(TABLE).get_attribute("aria-rowcount") == str(COUNT + 2)
    assert page.locator(f"{TABLE} tbody tr").last.get_attribute("aria-rowindex") == "52"
    assert page.locator(".count").text_content() == f"{COUNT} rows"
    assert not page.locator("nav.pages").is_visible()


def test_all_rows_are_sorted_by_mouse_and_by_keyboard(page: Any, site: Path) -> None:
    sort_button(page, "rvos-jf").click()
    page.locator(f"{TABLE} [aria-sort=descending]").wait_for()
    assert ids(page) == by(site, "RVOS J&F")[:50]
    sort_button(page, "parameters").focus()
    page.keyboard.press("Enter")
    page.locator(f'{TABLE} [data-col="parameters"][aria-sort=ascending]').wait_for()
    assert ids(page) == by(site, "parameters", down=False)[:50]
    page.get_by_role("button", name="Show 50 more").click()
    assert settled(page, 100) == by(site, "parameters", down=False)[:100]
    page.get_by_role("button", name="Show all").click()
    assert settled(page, COUNT) == by(site, "parameters", down=False)
    assert page.locator(".more button").count() == 0
    page.wait_for_url(lambda url: "rows=all" in url)
    link = page.url
    page.goto("about:blank")
    page.goto(link)
    assert settled(page, COUNT) == by(site, "parameters", down=False)


def test_rows_of_the_script_are_those_of_the_pages(page: Any, site: Path) -> None:
    page.get_by_role("button", name="Show all").click()
    settled(page, COUNT)
    (script,) = site.glob(f"data/{FOLDER}-rows-*.js")
    static = unpacked(script.read_text().replace(f'"{FOLDER}"', '"slug"', 1))
    assert page.evaluate(
        """([table, texts]) => {
          const holder = document.createElement("template");
          holder.innerHTML = texts.join("");
          const made = [...document.querySelectorAll(`${table} tbody tr`)], wanted = holder.content.children;
          for (const row of made) row.removeAttribute("aria-rowindex");
          return made.length === wanted.length && made.every((row, at) => row.isEqualNode(wanted[at]));
        }""",
        [TABLE, static],
    )


def test_search_facets_and_downloads_reach_every_row(page: Any, site: Path) -> None:
    of_team = [row["entry"] for row in stored(site) if row["team"] == TEAMS[-1]]
    page.get_by_label("Search rows").fill(TEAMS[-1])
    assert settled(page, len(of_team)) == of_team
    assert page.locator(".count").text_content() == f"{len(of_team)} of {COUNT} rows"
    page.get_by_label("Search rows").fill("")
    page.get_by_text("Filter", exact=True).click()
    closed = [row["entry"] for row in stored(site) if row["track"] == "closed"]
    page.get_by_label(f"closed ({len(closed)})").check()
    assert settled(page, min(len(closed), 50)) == closed[:50]
    page.get_by_text("Share", exact=True).click()
    with page.expect_download() as caught:
        page.get_by_role("button", name="CSV", exact=True).click()
    rows = list(csv.DictReader(Path(caught.value.path()).read_text(encoding="utf-8").splitlines()))
    assert len(rows) == len(closed) and {row["Track"] for row in rows} == {"closed"}


def test_without_the_script_the_pages_remain(browser: Any, site: Path, tmp_path: Path) -> None:
    (tmp_path / "boards").mkdir()
    (tmp_path / BOARD).write_bytes((site / BOARD).read_bytes())
    page = browser.new_page()
    page.goto(f"file://{tmp_path}/{BOARD}")
    sort_button(page, "actor-jf").click()
    page.locator("nav.pages").wait_for()
    assert page.locator(".count").text_content() == f"only 50 of {COUNT} rows could be read here"
    assert len(ids(page)) == 50
    page.close()


def test_no_script_from_elsewhere_may_be_asked_for(browser: Any, site: Path) -> None:
    page = browser.new_page()
    page.goto(f"file://{site}/{BOARD}")
    blocked = page.evaluate(
        """() => new Promise((resolve) => {
          addEventListener("securitypolicyviolation", (event) => resolve(event.blockedURI), { once: true });
          const script = document.createElement("script");
          script.src = "https://example.org/x.js";
          document.head.append(script);
        })"""
    )
    assert blocked.startswith("https://example.org")
    page.close()
