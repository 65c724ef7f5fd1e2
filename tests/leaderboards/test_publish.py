"""Publishing, against a Hub on this machine: what is sent, what is left alone, and what goes wrong."""

from __future__ import annotations

import builtins
import json
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from benchmark.errors import EnvironmentProblem, HubProblem, InputError, UsageError
from leaderboards import build, publish
from leaderboards.hub_changes import RemoteFile, State, Target, changes
from leaderboards.site import Material, site_files
from submissions.entries import read_entry
from tests.leaderboards.publishing_hub import TOKEN, PublishingHub, Refusal

SPACE, DATASET = "spaces/org/board", "datasets/org/entries"
Published = Callable[..., None]
# The client's own way of sending large files, which its HTTP library does not like.
DATA_KEYWORD = pytest.mark.filterwarnings("ignore:Use 'content=<...>':DeprecationWarning")


TABLES = ("visa-table-3.json", "wsrvos-table-1.json")


@pytest.fixture(scope="session")
def few(received: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The entries with two tables of papers; not to be changed."""
    root = Path(shutil.copytree(received, tmp_path_factory.mktemp("few") / "entries"))
    for path in (root / "reported").iterdir():
        if path.name not in TABLES:
            path.unlink()
    return root


@pytest.fixture(scope="session")
def built(few: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site of `few`; not to be changed."""
    site = tmp_path_factory.mktemp("built") / "site"
    build.main(["--entries", str(few), "--output", str(site)])
    return site


@pytest.fixture
def entries(few: Path, tmp_path: Path) -> Path:
    """A copy of the entries, to break."""
    return Path(shutil.copytree(few, tmp_path / "entries"))


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[PublishingHub]:
    import huggingface_hub.constants as constants

    with PublishingHub() as server:
        monkeypatch.setattr(constants, "ENDPOINT", server.url)
        monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
        monkeypatch.setenv("HF_TOKEN", TOKEN)
        monkeypatch.setattr("huggingface_hub.utils._http.time.sleep", lambda _: None)
        yield server


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The seconds that were slept."""
    slept: list[float] = []
    monkeypatch.setattr("leaderboards.publish.sleep", slept.append)
    return slept


@pytest.fixture(scope="session")
def site_once() -> Callable[[Material], dict[str, bytes]]:
    """`site_files`, which makes the same site only once: how often is not what is tested here."""
    made: dict[str, dict[str, bytes]] = {}

    def once(material: Material) -> dict[str, bytes]:
        if material.digest not in made:
            made[material.digest] = site_files(material)
        return made[material.digest]

    return once


@pytest.fixture
def published(
    few: Path,
    built: Path,
    waits: list[float],
    site_once: Callable[[Material], dict[str, bytes]],
    monkeypatch: pytest.MonkeyPatch,
) -> Published:
    """Run the command, on unchanged entries and site where nothing else is said."""
    monkeypatch.setattr("leaderboards.publish.site_files", site_once)

    def run(*flags: str, entries: Path = few, site: Path = built) -> None:
        publish.main(["--space", "org/board", "--entries", str(entries), "--site", str(site), *flags])

    return run


def files_below(root: Path) -> dict[str, bytes]:
    paths = (path for path in root.rglob("*") if path.is_file())
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in paths}


def front_matter(card: bytes) -> dict[str, Any]:
    import yaml

    return dict(yaml.safe_load(card.decode().split("---\n")[1]))


def test_a_first_publication_creates_both_repositories(
    hub: PublishingHub, published: Published, built: Path, few: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    published("--entries-repo", "org/entries")
    space = hub.files(SPACE)
    assert space.pop(".gitattributes") == b"* -text\n"  # the Hub's own file stays
    card = front_matter(space.pop("README.md"))
    assert (card["sdk"], card["app_file"], card["datasets"]) == ("static", "index.html", ["org/entries"])
    assert space == files_below(built)
    assert [(one["type"], one.get("sdk")) for one in hub.created] == [("dataset", None), ("space", "static")]
    mirrored = {name[8:]: data for name, data in hub.files(DATASET).items() if name.startswith("entries/")}
    assert mirrored == files_below(few)
    assert len(hub.operations) == 2  # one commit each
    told = capsys.readouterr().out.splitlines()
    assert [line.split(": ")[0] for line in told] == [f"{hub.url}/{DATASET}", f"{hub.url}/{SPACE}"]
    assert all(re.search(r": commit [0-9a-f]{40}$", line) for line in told)


def test_publishing_again_changes_nothing(
    hub: PublishingHub, published: Published, capsys: pytest.CaptureFixture[str]
) -> None:
    published("--entries-repo", "org/entries")
    heads = dict(hub.heads)
    hub.asked.clear()
    published("--entries-repo", "org/entries")
    assert hub.heads == heads and hub.writes() == []
    assert capsys.readouterr().out.count("nothing to change") == 2


def test_only_what_changed_is_committed(hub: PublishingHub, published: Published) -> None:
    published()
    files = dict(hub.files(SPACE))
    missing = next(name for name in files if name.startswith("boards/"))
    del files[missing]
    hub.put(SPACE, {**files, "index.html": b"edited", "old/page.html": b"stale", ".gitattributes": b"kept"})
    hub.operations.clear()
    published()
    (operations,) = hub.operations
    assert sorted((one["key"], one["value"]["path"]) for one in operations) == [
        ("deletedFile", "old/page.html"),
        ("file", missing),
        ("file", "index.html"),
    ]
    assert hub.files(SPACE) == {**files, missing: hub.files(SPACE)[missing], ".gitattributes": b"kept"}


def test_a_dry_run_tells_every_change_and_touches_nothing(
    hub: PublishingHub,
    published: Published,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    published()
    there = hub.files(SPACE)
    size = len(there["site.json"])
    hub.put(SPACE, {**there, "index.html": b"edited", "old.html": b"stale", "site.json": b""})
    heads = dict(hub.heads)
    hub.asked.clear()
    capsys.readouterr()
    monkeypatch.delenv("HF_TOKEN")
    monkeypatch.setattr("huggingface_hub.get_token", lambda: None)
    published("--entries-repo", "org/entries", "--dry-run")
    told = capsys.readouterr().out
    assert hub.writes() == [] and hub.heads == heads
    assert f"{DATASET} would be created" in told and f"{SPACE} at {heads[SPACE][:12]}" in told
    assert re.search(r"added    entries/interrvos-val/both-roles-[\w-]+/entry.json  [\d,]+ bytes", told)
    assert re.search(r"changed  index.html  6 -> [\d,]+ bytes", told)
    assert f"changed  site.json  0 -> {size} bytes" in told
    assert "removed  old.html  5 bytes" in told
    assert "0 added, 3 changed, 1 removed" in told  # the card names the dataset now
    assert told.endswith("nothing was touched (--dry-run)\n")


@DATA_KEYWORD
def test_large_files_go_to_storage_and_are_compared_by_sha256(hub: PublishingHub) -> None:
    data = bytes(range(256)) * 300
    target = Target(
        "space", "org/board", {"clip.png": data}, lambda _: True, lambda _: False, lambda _: False
    )
    publish.publish([target], dry_run=False)
    publish.publish([target], dry_run=False)
    assert hub.files(SPACE)["clip.png"] == data
    assert [one["key"] for operations in hub.operations for one in operations] == ["lfsFile"]
    assert sum(asked.startswith("PUT /storage/") for asked in hub.asked) == 1
    changed = RemoteFile(len(data), "0" * 40, "1" * 64)
    assert [one.word for one in changes(target, State("1", {"clip.png": changed}))] == ["changed"]


@DATA_KEYWORD
def test_failing_storage_is_a_sentence(hub: PublishingHub, waits: list[float]) -> None:
    hub.refuse = [Refusal("PUT /storage", 403, times=99)]
    target = Target(
        "space", "org/board", {"clip.png": b"1"}, lambda _: True, lambda _: False, lambda _: False
    )
    with pytest.raises(HubProblem, match="the token may not write here"):
        publish.publish([target], dry_run=False)


# What the dataset repository holds beside the entries


def test_scores_and_exports_are_what_the_hub_reads(
    hub: PublishingHub,
    published: Published,
    entries: Path,
    place: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import yaml
    from huggingface_hub import parse_eval_result_entries

    monkeypatch.setattr(
        "leaderboards.hub_exports.hub_model",
        lambda link: "lab/model",  # the examples have no weights
    )
    published("--entries-repo", "org/entries")
    files = hub.files(DATASET)
    card = front_matter(files["README.md"])
    assert card["configs"] == [
        {"config_name": "interrvos", "data_files": [{"split": "val", "path": "scores/interrvos-val.csv"}]}
    ]
    tasks = yaml.safe_load(files["exports/eval.yaml"])["tasks"]
    assert {(one["config"], one["split"]) for one in tasks} == {("interrvos", "val")}
    entry = read_entry(place / "entry.json")
    told = yaml.safe_load(files[f"exports/lab/model/.eval_results/{entry.id}.yaml"])
    parsed = {one.task_id: one for one in parse_eval_result_entries(told)}
    assert parsed.keys() <= {one["id"] for one in tasks}
    scores = (entry.scores or {})["InterRVOS-Actor"]
    one = parsed["interrvos-val-interrvos-actor"]
    assert scores.jf is not None and abs(one.value - scores.jf) < 1e-4
    assert (one.dataset_id, one.source_url) == ("org/entries", "https://huggingface.co/spaces/org/board")
    rows = files["scores/interrvos-val.csv"].decode().splitlines()
    assert rows[0].startswith("entry,model,version") and any(entry.id in row for row in rows[1:])


def test_a_benchmark_is_declared_at_the_root_only_when_asked(
    hub: PublishingHub, published: Published
) -> None:
    published("--entries-repo", "org/entries")
    told = hub.files(DATASET)["exports/eval.yaml"]
    published("--entries-repo", "org/entries", "--benchmark")
    files = hub.files(DATASET)
    assert files["eval.yaml"] == told and "exports/eval.yaml" not in files


def test_published_entries_neither_change_nor_go(
    hub: PublishingHub, published: Published, entries: Path, place: Path, tmp_path: Path
) -> None:
    published("--entries-repo", "org/entries")
    heads = dict(hub.heads)
    name = place.name
    shutil.rmtree(place)
    build.main(["--entries", str(entries), "--output", str(tmp_path / "site")])
    with pytest.raises(
        HubProblem, match=f"(?s)entries are written once.*git pull.*{name}/entry.json: .*removed"
    ):
        published("--entries-repo", "org/entries", entries=entries, site=tmp_path / "site")
    assert hub.heads == heads  # neither repository: all are looked at first


def test_figures_of_papers_may_be_mended(
    hub: PublishingHub, published: Published, entries: Path, tmp_path: Path
) -> None:
    published("--entries-repo", "org/entries")
    (entries / "reported" / "visa-table-3.json").unlink()
    build.main(["--entries", str(entries), "--output", str(tmp_path / "site")])
    published("--entries-repo", "org/entries", entries=entries, site=tmp_path / "site")
    assert "entries/reported/visa-table-3.json" not in hub.files(DATASET)


@pytest.mark.parametrize(
    ("address", "files"),
    [(SPACE, {"app.py": b"", "README.md": b""}), (DATASET, {"train.parquet": b"", "README.md": b"mine"})],
)
def test_what_is_somebody_elses_is_left_alone(
    hub: PublishingHub, published: Published, address: str, files: dict[str, bytes]
) -> None:
    hub.put(address, files)
    with pytest.raises(HubProblem, match="holds something else and is left alone"):
        published("--entries-repo", "org/entries")
    assert hub.files(address) == files and hub.writes() == []


def test_files_of_others_in_the_dataset_stay(hub: PublishingHub, published: Published) -> None:
    hub.put(
        DATASET,
        {"entries/README.md": b"old", "inbox/one.zip": b"zip", "exports/a/b/.eval_results/c.yaml": b""},
    )
    published("--entries-repo", "org/entries")
    files = hub.files(DATASET)
    assert files["inbox/one.zip"] == b"zip" and "exports/a/b/.eval_results/c.yaml" not in files


# What goes wrong


def test_a_server_that_is_down_for_a_while_is_asked_again(
    hub: PublishingHub, published: Published, waits: list[float], built: Path
) -> None:
    hub.put(SPACE, {"README.md": b""})
    page = b"<html>down</html>"
    hub.refuse = [
        Refusal("GET /api/spaces/org/board", 503, times=2),
        Refusal("/tree/", 500),
        Refusal("validate-yaml", 502, body=page),
        Refusal("/preupload/", 429),
        Refusal("/commit/", 504),
    ]
    published()
    assert hub.files(SPACE).keys() >= files_below(built).keys() and len(hub.operations) == 1
    assert waits[:2] == [1.0, 2.0]


def test_too_many_requests_wait_as_long_as_the_hub_says(
    hub: PublishingHub, published: Published, waits: list[float]
) -> None:
    hub.put(SPACE, {"README.md": b""})
    hub.refuse = [
        Refusal("GET /api/spaces/org/board", 429, headers={"Retry-After": "17"}),
        Refusal("/commit/", 429, headers={"Retry-After": "9999"}),
    ]
    published()
    assert waits == [17.0, publish.LONGEST_WAIT]


@pytest.mark.parametrize("word", ["GET /api/spaces/org/board", "repos/create", "/commit/"])
def test_a_server_that_stays_down_is_named(
    hub: PublishingHub, published: Published, waits: list[float], word: str
) -> None:
    hub.refuse = [Refusal(word, 503, times=99)]
    with pytest.raises(HubProblem, match="does not answer now; asked 5 times"):
        published()
    assert waits == list(publish.WAITS)


def test_a_commit_whose_answer_was_lost_is_not_made_twice(
    hub: PublishingHub, published: Published, capsys: pytest.CaptureFixture[str]
) -> None:
    hub.put(SPACE, {"README.md": b""})
    hub.refuse = [Refusal("/commit/", 504, after=True)]
    published()
    assert len(hub.operations) == 1 and f"commit {hub.heads[SPACE]}" in capsys.readouterr().out


@pytest.mark.parametrize("broken_first", [False, True])
def test_somebody_elses_commit_in_between_is_a_conflict(
    hub: PublishingHub, published: Published, broken_first: bool
) -> None:
    hub.put(SPACE, {"README.md": b""})
    hub.before = [("/commit/", lambda: hub.put(SPACE, {"README.md": b"theirs"}))]
    if broken_first:
        hub.refuse = [Refusal("/commit/", 503)]
    with pytest.raises(HubProblem, match=r"somebody else changed the repository meanwhile.*--dry-run"):
        published()
    assert hub.files(SPACE) == {"README.md": b"theirs"}


def test_an_expired_token_is_named_and_never_shown(
    hub: PublishingHub,
    published: Published,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_expiredexpired")
    for flags in ([], ["--dry-run"]):
        with pytest.raises(HubProblem, match=r"does not accept the token.*hf auth login") as caught:
            published(*flags)
        assert "hf_expired" not in str(caught.value)
    assert hub.writes() == []


def test_an_answer_that_repeats_the_token_is_not_printed_with_it(
    hub: PublishingHub, published: Published
) -> None:
    hub.put(SPACE, {"README.md": b""})
    hub.refuse = [Refusal("/commit/", 400, body={"error": f"header Bearer {TOKEN} is odd"})]
    with pytest.raises(HubProblem, match=r"the Hub refuses.*\[token\]") as caught:
        published()
    assert TOKEN not in str(caught.value)


@pytest.mark.parametrize("word", ["repos/create", "/commit/"])
def test_a_token_without_the_right_to_write_is_named(
    hub: PublishingHub, published: Published, word: str
) -> None:
    hub.refuse = [Refusal(word, 403, times=9)]
    with pytest.raises(HubProblem, match=r"the token may not write here.*write access to this organisation"):
        published()


def test_without_a_token_nothing_is_asked(
    hub: PublishingHub, published: Published, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("HF_TOKEN")
    monkeypatch.setattr("huggingface_hub.get_token", lambda: None)
    with pytest.raises(EnvironmentProblem, match="needs a token of the Hub, and there is none"):
        published()
    assert hub.asked == []


def test_a_login_that_fails_is_named(
    hub: PublishingHub, published: Published, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails() -> str:
        raise RuntimeError("exchange refused")

    monkeypatch.setattr("huggingface_hub.get_token", fails)
    with pytest.raises(EnvironmentProblem, match=r"gives no token.*exchange refused"):
        published()


def test_a_repository_that_vanishes_or_hides_is_named(hub: PublishingHub, published: Published) -> None:
    hub.put(SPACE, {"README.md": b""})
    hub.before = [("/preupload/", lambda: hub.heads.pop(SPACE))]
    with pytest.raises(HubProblem, match="no such repository, or the token may not see it"):
        published()
    hub.before = [("GET /api/spaces/org/board", lambda: hub.heads.pop(SPACE, None))]
    hub.refuse = [Refusal("repos/create", 200, body={"url": f"{hub.url}/spaces/org/board"})]
    with pytest.raises(HubProblem, match="was created and cannot be seen"):
        published()


def test_files_that_the_hub_leaves_out_are_noticed(
    hub: PublishingHub, published: Published, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tests.leaderboards import publishing_hub

    told = publishing_hub.mode
    monkeypatch.setattr(
        publishing_hub, "mode", lambda path: told(path) | {"shouldIgnore": path.endswith(".csv")}
    )
    with pytest.raises(HubProblem, match=r"left out files of the commit.*\.csv.*\.gitignore"):
        published()


def test_without_a_network_the_sentence_says_so(
    hub: PublishingHub, published: Published, monkeypatch: pytest.MonkeyPatch
) -> None:
    import huggingface_hub.constants as constants

    hub.server.server_close()  # nobody listens any more
    with pytest.raises(HubProblem, match=r"the Hub cannot be reached.*check the network"):
        published()
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(HubProblem, match=r"the Hub cannot be reached.*Offline"):
        published()


def test_without_the_package_the_sentence_names_it(
    published: Published, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = builtins.__import__

    def without(name: str, *rest: Any) -> Any:
        if name.startswith("huggingface_hub"):
            raise ImportError(name)
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(EnvironmentProblem, match=r"pip install -c constraints.txt -e '\.\[publish\]'"):
        published()


# The site that is published


def test_a_missing_an_edited_and_a_stale_site_are_not_published(
    hub: PublishingHub, published: Published, built: Path, entries: Path, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=r"no site lies here.*leaderboards\.build"):
        published(site=tmp_path / "none")
    site = Path(shutil.copytree(built, tmp_path / "site"))
    (site / "index.html").write_text("edited")
    with pytest.raises(InputError, match="changed after it was built"):
        published(site=site)
    (site / "site.json").write_text(json.dumps({"format": "another"}))
    with pytest.raises(InputError, match="changed after it was built"):
        published(site=site)
    (entries / "reported" / "visa-table-3.json").unlink()
    with pytest.raises(InputError, match="not built from these entries"):
        published(entries=entries)
    assert hub.asked == []


def test_links_are_not_followed(
    hub: PublishingHub, published: Published, entries: Path, tmp_path: Path
) -> None:
    secret = tmp_path / "secret.txt"
    secret.write_text("secret")
    (entries / "notes.txt").symlink_to(secret)
    with pytest.raises(InputError, match=r"notes\.txt: a link is not published"):
        published("--entries-repo", "org/entries", entries=entries)
    assert hub.asked == []


@pytest.mark.parametrize(
    "name", ["board", "org/", "/board", "org/a/b", "org/a--b", "org/a..b", "org/a b", "org/-a"]
)
def test_names_that_no_repository_has_are_usage_errors(published: Published, name: str) -> None:
    with pytest.raises(UsageError, match="--entries-repo: no name of a repository"):
        published("--entries-repo", name)
    with pytest.raises(UsageError, match="--space"):
        publish.main(["--space", name])
