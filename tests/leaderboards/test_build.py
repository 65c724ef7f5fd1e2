"""The site as a whole: whole or not at all, the same bytes again, harmless whatever entries say."""

from __future__ import annotations

import csv
import json
import re
import sys
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import pytest

from benchmark.errors import EnvironmentProblem, OutputError, ResultError
from leaderboards import build
from leaderboards.rendering import Pages, asset, content_policies
from leaderboards.site import read_material, site_files
from submissions.entries import Entry, Supersedes, read_entry
from submissions.model_card import Links, Strength, TrainedOn

Forge = Callable[..., Entry]
VOID = {"meta", "link", "br", "img", "input", "hr"}


class Page(HTMLParser):
    """The tags of a page; fails on a tag that does not close."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attributes)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attributes)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def built(entries: Path) -> dict[str, bytes]:
    return site_files(read_material(entries))


def board_of(files: dict[str, bytes]) -> str:
    return files["boards/interrvos.html"].decode()


def test_two_builds_give_the_same_bytes(received: Path) -> None:
    assert built(received) == built(received)


def test_the_command_writes_a_site_in_the_stead_of_the_old_one(received: Path, tmp_path: Path) -> None:
    site = tmp_path / "deep" / "site"
    build.main(["--entries", str(received), "--output", str(site)])
    first = {path.relative_to(site): path.read_bytes() for path in site.rglob("*") if path.is_file()}
    (site / "stale.html").write_text("old")
    build.main(["--entries", str(received), "--output", str(site)])
    second = {path.relative_to(site): path.read_bytes() for path in site.rglob("*") if path.is_file()}
    assert first == second
    assert [path.name for path in site.parent.iterdir()] == ["site"]


@pytest.mark.parametrize("content", ["{}", "[1]", "not json", '{"format": "another"}'])
def test_a_folder_that_is_no_site_is_not_replaced(received: Path, tmp_path: Path, content: str) -> None:
    (tmp_path / "site.json").write_text(content)
    with pytest.raises(OutputError, match="is not a site and is not replaced"):
        build.main(["--entries", str(received), "--output", str(tmp_path)])
    assert (tmp_path / "site.json").read_text() == content


def test_every_page_is_well_formed_and_every_link_leads_somewhere(received: Path) -> None:
    files = built(received)
    pages = {name: Page(content.decode()) for name, content in files.items() if name.endswith(".html")}
    ids = {name: {facts.get("id") for _, facts in page.tags} for name, page in pages.items()}
    for name, page in pages.items():
        for tag, facts in page.tags:
            href = facts.get("href") or ""
            if tag != "a" or href.startswith("https://"):
                continue
            target, _, anchor = href.partition("#")
            found = name if not target else _resolved(name, target)
            assert found in files, f"{name}: {href}"
            assert not anchor or anchor in ids[found], f"{name}: {href}"


def _resolved(page: str, href: str) -> str:
    parts = page.split("/")[:-1]
    for part in href.split("/"):
        parts = parts[:-1] if part == ".." else [*parts, part]
    return "/".join(parts)


def test_no_page_loads_anything(received: Path) -> None:
    for name, content in built(received).items():
        if not name.endswith(".html"):
            continue
        for tag, facts in Page(content.decode()).tags:
            assert tag not in ("iframe", "object", "embed", "base", "form"), name
            assert not {"style", "srcset"} & facts.keys(), f"{name}: {tag} {facts}"
            assert not any(key.startswith("on") for key in facts), f"{name}: {tag} {facts}"
            assert tag in ("a", "link") or "href" not in facts, f"{name}: {tag} {facts}"
            assert tag != "link" or facts["href"] == "data:,"
            assert not (facts.get("src") or "").startswith(("http", "//")), f"{name}: {tag} {facts}"
        text = content.decode()
        (script,) = re.findall(r"<script>(.*?)</script>", text, flags=re.S)
        assert asset("page.js") in script, name
        (policy,) = content_policies(asset("pages.css"), script)
        assert policy.replace("'", "&#39;") in text, name


def test_computed_and_reported_rows_never_share_a_table(received: Path) -> None:
    page = board_of(built(received))
    tables = re.findall(r"<table.*?</table>", page, flags=re.S)
    computed = [table for table in tables if "Both roles" in table]
    reported = [table for table in tables if "ReVIOSa-4B" in table]
    assert computed and reported
    assert not set(computed) & set(reported)
    assert all("Reported, not computed here" in table for table in reported)


def test_settings_that_say_nothing_are_shown_as_words(received: Path) -> None:
    row = re.search(r"<tr[^>]*>(?:(?!</tr>).)*Actors alone.*?</tr>", board_of(built(received)), flags=re.S)
    assert row is not None
    assert '<abbr title="the model never predicts targets">n/a</abbr>' in row[0]


def test_sanity_rows_have_no_rank(received: Path) -> None:
    row = re.search(r'<tr[^>]*class="sanity".*?</tr>', board_of(built(received)), flags=re.S)
    assert row is not None and "oracle" in row[0]
    assert 'class="group"' not in row[0]


def test_figures_of_papers_appear_as_printed(received: Path) -> None:
    page = built(received)["reported/interrvos-table-2.html"].decode()
    row = re.search(r"<tr[^>]*>(?:(?!</tr>).)*>ReVIOSa-4B<.*?</tr>", page, flags=re.S)
    assert row is not None
    shown = re.findall(r'data-value="([^"]+)"', row[0])
    assert shown == ["73.2", "75.8", "74.5", "67.1", "69.5", "68.3", "63.0", "66.1", "64.5", "+6.2"]


def test_a_reported_model_shows_its_facts_and_says_what_is_unknown(received: Path) -> None:
    page = built(received)["models/reported--reviosa-4b.html"].decode()
    assert 'href="https://github.com/cvlab-kaist/InterRVOS"' in page
    assert "Nothing of it was computed here" in page
    other = built(received)["models/reported--visa-7b.html"].decode()
    assert '<abbr class="unknown" title="no source was found">unknown</abbr>' in other


def test_a_hostile_entry_is_text_and_nothing_else(entries: Path, forge: Forge) -> None:
    made = forge(
        name="<script>alert(1)</script>\u202egnp.exe" + "A" * 10_000,
        team='"><img src=x onerror=alert(2)>',
        notes="</style><script>alert(3)</script>\u2066\u0000",
        licence="=HYPERLINK(1)",
        contact="javascript:alert(4)",
        trained_on=tuple(TrainedOn(f"{n}" + "W" * 10_000, "x", Strength.WEAK, None) for n in range(50)),
        links=Links("javascript:alert(5)", "data:text/html,x", "https://evil.example/'\"><b>", "http://a.b"),
    )
    files = built(entries)
    for name, content in files.items():
        text = content.decode()
        assert not re.search("[\u202a-\u202e\u2066-\u2069\u0000]", text), name
        if name.endswith(".html"):
            page = Page(text)
            assert all(tag not in ("img", "b") for tag, _ in page.tags), name
            assert sum(tag == "script" for tag, _ in page.tags) <= 1, name
            links = [facts.get("href") or "" for tag, facts in page.tags if tag == "a"]
            assert not [link for link in links if link.startswith(("javascript", "data:", "http:"))], name
    assert len(board_of(files)) < 200_000
    own = files[f"models/interrvos-val--{made.id}.html"].decode()
    assert "&lt;script&gt;alert(1)" in own and "javascript:alert(5)" in own


def test_cells_of_csv_files_are_no_formulas(entries: Path, forge: Forge) -> None:
    forge(name="=1+1", team="@SUM(A1)", version="-2\n+3")
    files = built(entries)
    (name,) = [one for one in files if re.fullmatch(r"data/interrvos-val-[0-9a-f]{10}\.csv", one)]
    rows = {row["model"]: row for row in csv.DictReader(files[name].decode().splitlines())}
    assert rows["'=1+1"]["team"] == "'@SUM(A1)"
    assert rows["'=1+1"]["version"] == "'-2 +3"
    assert float(rows["Both roles"]["InterRVOS-Actor J&F"]) == pytest.approx(100)


def test_a_superseded_entry_leaves_the_board_and_stays_as_history(
    entries: Path, place: Path, forge: Forge
) -> None:
    old = read_entry(place / "entry.json")
    new = forge(
        name="Corrected", supersedes=Supersedes(old.id, "wrong frames", "A. Author", "2026-01-02T00:00")
    )
    files = built(entries)
    assert "Both roles" not in board_of(files) and "Corrected" in board_of(files)
    assert "wrong frames" in files[f"models/interrvos-val--{new.id}.html"].decode()
    assert "Superseded by" in files[f"models/interrvos-val--{old.id}.html"].decode()


def test_all_problems_are_listed_and_nothing_is_written(entries: Path, place: Path, tmp_path: Path) -> None:
    (place / "expressions.csv").unlink()
    (entries / "interrvos-val" / "stray").mkdir()
    table = entries / "reported" / "interrvos-table-2.json"
    table.write_text(table.read_text().replace('"73.2"', '"seventy"'))
    with pytest.raises(ResultError) as caught:
        build.main(["--entries", str(entries), "--output", str(tmp_path / "site")])
    text = str(caught.value)
    assert "expressions.csv: a file of the entry is missing" in text
    assert "stray: not an entry" in text
    assert "interrvos-table-2.json" in text
    assert not (tmp_path / "site").exists()


def test_tables_of_papers_need_the_facts_of_their_models(entries: Path) -> None:
    (entries / "models.json").unlink()
    with pytest.raises(ResultError, match=r"models\.json: not readable JSON"):
        read_material(entries)


def test_nothing_to_show_and_no_folder_are_said(tmp_path: Path) -> None:
    with pytest.raises(ResultError, match="nothing to show"):
        read_material(tmp_path)
    with pytest.raises(ResultError, match="the folder of entries is missing"):
        read_material(tmp_path / "none")


def test_without_jinja_the_sentence_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "jinja2", None)
    with pytest.raises(EnvironmentProblem, match="building pages needs jinja2"):
        Pages("0" * 64)


def test_json_downloads_hold_every_row(received: Path) -> None:
    files = built(received)
    (name,) = [one for one in files if re.fullmatch(r"data/interrvos-val-[0-9a-f]{10}\.json", one)]
    rows = json.loads(files[name])["rows"]
    assert {row["model"] for row in rows} == {"Both roles", "Actors alone", "oracle"}
