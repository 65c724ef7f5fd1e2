"""Receiving: the same submission twice is one entry, and being killed anywhere changes nothing."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from benchmark.datasets import Dataset
from benchmark.errors import EnvironmentProblem, HubProblem, InputError, OutputError, ResultError, UsageError
from benchmark.stored_files import file_digest
from submissions import entries, examples, reception
from submissions.entries import EntryFolder, Source, Standing, read_entry
from submissions.make_key import make_key
from submissions.receipt import read_public_key, signed_by
from submissions.receive import main, only_one
from submissions.reception import Office, receive_zip
from tests.submissions.conftest import put
from tests.submissions.fake_hub import FakeHub, Repository

pytestmark = pytest.mark.usefixtures("in_process")
FILE = Source("file", "my.zip", None, None, None)


@pytest.fixture
def office(tmp_path: Path, dataset: Dataset) -> Callable[..., Office]:
    def made(**changes: Any) -> Office:
        facts: dict[str, Any] = {
            "dataset": dataset,
            "expected": examples.EXPECTED,
            "entries": tmp_path / "entries",
            "work": tmp_path / "received",
            "standing": Standing.RESCORED,
            "hidden": False,
            "key": None,
            "correction": None,
            "arguments": (),
        }
        return Office(**{**facts, **changes})

    return made


def folders(place: Path) -> list[Path]:
    found = place / "entries" / "interrvos-val"
    return sorted(found.iterdir()) if found.is_dir() else []


@pytest.fixture
def flags(tmp_path: Path, on_data: list[str]) -> list[str]:
    return [*on_data, "--entries", str(tmp_path / "entries"), "--work", str(tmp_path / "received")]


def test_a_submission_becomes_a_signed_entry_once(
    tmp_path: Path, passing: Path, flags: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    key = tmp_path / "key.pem"
    make_key(key)
    assert main([str(passing), *flags, "--key", str(key)]) == 0
    assert "entry (re-scored by us)" in capsys.readouterr().out
    (folder,) = folders(tmp_path)
    names = {path.name for path in folder.iterdir()}
    assert names == {"entry.json", "receipt.json", "result.json", "expressions.csv"}
    entry = read_entry(folder / "entry.json")
    receipt = EntryFolder(tmp_path / "entries", "interrvos", "val").receipt(entry)
    assert receipt is not None and signed_by(receipt, [read_public_key(key)])
    assert entry.scores == receipt.statement.scores and entry.shares == ()

    before = {path: path.read_bytes() for path in folder.iterdir()}
    again = put(tmp_path / "again.zip", examples.passing()["passing-png"])
    assert main([str(again), *flags, "--key", str(key)]) == 0
    assert "received before" in capsys.readouterr().out
    assert folders(tmp_path) == [folder]
    assert {path: path.read_bytes() for path in folder.iterdir()} == before
    # The report of either zip tells the whole story.
    reports = list((tmp_path / "received" / "reports").rglob("*.txt"))
    assert len(reports) == 2
    assert all("J&F" in one.read_text() and "receipt: signed" in one.read_text() for one in reports)


def test_refused_zips_leave_a_report_and_no_entry(
    tmp_path: Path, flags: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    bad = put(tmp_path / "bad.zip", examples.FAILING["rle-size"]())
    assert main([str(bad), *flags]) == 1
    assert "rle-size" in capsys.readouterr().out and folders(tmp_path) == []
    reports = list((tmp_path / "received" / "reports").rglob("*.json"))
    assert len(reports) == 1
    told = json.loads(reports[0].read_text())
    assert not told["accepted"] and told["findings"][0]["code"] == "rle-size"
    assert "rle-size" in reports[0].with_suffix(".txt").read_text()
    log = [json.loads(line) for line in (tmp_path / "received" / "log.jsonl").read_text().splitlines()]
    assert [line["errors"] for line in log] == [["rle-size"]]


STEPS = (
    (reception, "score_checked"),
    (reception, "write_result"),
    (reception, "write_receipt"),
    (entries, "write_json"),
    (entries.os, "rename"),
    (entries, "sync_folder"),
    (reception, "_report"),
    (reception, "write_json"),
)


class Killed(BaseException):
    """Stands for the end of the process."""


@pytest.mark.parametrize(("module", "name"), STEPS, ids=[name for _, name in STEPS])
@pytest.mark.parametrize("after", [False, True])
def test_killed_at_any_step_and_repeated_ends_in_the_same_state(
    module: Any,
    name: str,
    after: bool,
    tmp_path: Path,
    passing: Path,
    office: Callable[..., Office],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    real = getattr(module, name)

    def killed(*arguments: Any, **named: Any) -> None:
        if after:
            real(*arguments, **named)
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(module, name, killed)
        # A killed process cleans nothing up.
        patch.setattr(entries.shutil, "rmtree", lambda *_, **__: None)
        with pytest.raises(Killed):
            receive_zip(passing, FILE, office())
    outcome = receive_zip(passing, FILE, office())
    assert outcome.accepted and outcome.entry is not None
    assert [folder.name for folder in folders(tmp_path)] == [outcome.entry.id]
    assert {path.name for path in folders(tmp_path)[0].iterdir()} >= {"entry.json", "receipt.json"}
    assert office().was_received(outcome.entry.zip_sha256)
    assert not list(tmp_path.rglob(".unfinished-*"))


def test_kill_dash_nine_and_repeat(tmp_path: Path, passing: Path, flags: list[str]) -> None:
    command = [sys.executable, "-m", "submissions.receive", str(passing), *flags]
    root = Path(__file__).resolve().parents[2]
    process = subprocess.Popen(command, cwd=root, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while process.poll() is None and not (tmp_path / "received" / "private").is_dir():
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert main([str(passing), *flags]) == 0
    assert len(folders(tmp_path)) == 1
    assert not list((tmp_path / "entries").rglob(".unfinished-*"))


def test_statuses_and_corrections_are_new_entries(
    tmp_path: Path, passing: Path, flags: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    main([str(passing), *flags, "--check-only"])
    (first,) = folders(tmp_path)
    checked = read_entry(first / "entry.json")
    assert checked.status is Standing.FILES_CHECKED and checked.scores is None
    assert {path.name for path in first.iterdir()} == {"entry.json"}

    before = (first / "entry.json").read_bytes()
    why = ["--supersedes", first.name, "--reason", "the truth is here now", "--author", "A. Referee"]
    main([str(passing), *flags, *why, "--re-run"])
    second = next(folder for folder in folders(tmp_path) if folder != first)
    entry = read_entry(second / "entry.json")
    assert entry.status is Standing.RERUN and entry.supersedes is not None
    assert (entry.supersedes.entry, entry.supersedes.author) == (first.name, "A. Referee")
    assert entry.supersedes.date == entry.received_at
    assert (first / "entry.json").read_bytes() == before
    assert f"supersedes {first.name}: the truth is here now" in capsys.readouterr().out


def test_shared_masks_surface_by_themselves(tmp_path: Path, passing: Path, flags: list[str]) -> None:
    main([str(passing), *flags])
    copied = {**examples.compact(), "model.json": examples.model_json(name="Another")}
    main([str(put(tmp_path / "copy.zip", examples.zipped(copied))), *flags])
    entry = next(
        read_entry(folder / "entry.json") for folder in folders(tmp_path) if folder.name.startswith("another")
    )
    (shared,) = entry.shares
    assert (shared.videos, shared.of) == (2, 2) and shared.entry.startswith("example-1-")
    # Empty masks are alike in all submissions and say nothing.
    empty = put(tmp_path / "empty.zip", examples.FAILING["all-empty"]())
    main([str(empty), *flags])
    assert [one.shares for one in EntryFolder(tmp_path / "entries", "interrvos", "val").all()].count(()) == 2


def test_hidden_truth_leaves_rounded_aggregates(tmp_path: Path, passing: Path, flags: list[str]) -> None:
    main([str(passing), *flags, "--public-report"])
    (folder,) = folders(tmp_path)
    assert {path.name for path in folder.iterdir()} == {"entry.json", "receipt.json"}
    assert read_entry(folder / "entry.json").rounded
    assert (tmp_path / "received" / "private" / folder.name / "expressions.csv").is_file()


def test_wrong_uses_are_named(tmp_path: Path, passing: Path, flags: list[str]) -> None:
    zipped = str(passing)
    with pytest.raises(UsageError, match="give one source"):
        main(flags)
    with pytest.raises(UsageError, match="--revision"):
        main([zipped, *flags, "--revision", "abc"])
    with pytest.raises(UsageError, match="exclude each other"):
        main([zipped, *flags, "--check-only", "--re-run"])
    with pytest.raises(UsageError, match="needs all of its facts"):
        main([zipped, *flags, "--supersedes", "x"])
    with pytest.raises(UsageError, match="no such entry"):
        main([zipped, *flags, "--supersedes", "x", "--reason", "y", "--author", "z"])
    with pytest.raises(InputError, match="the inbox is missing"):
        main(["--watch", str(tmp_path / "none"), *flags])
    file = put(tmp_path / "file", b"")
    with pytest.raises(OutputError):
        main([zipped, *flags[:-4], "--entries", str(file / "x"), "--work", str(tmp_path / "received")])


def test_only_one_receives_at_a_time(tmp_path: Path) -> None:
    refused = pytest.raises(InputError, match="another process is receiving")
    with only_one(tmp_path / "lock"), refused, only_one(tmp_path / "lock"):
        pass
    with only_one(tmp_path / "lock"):
        pass


def test_damaged_entries_are_named(tmp_path: Path, passing: Path, flags: list[str]) -> None:
    main([str(passing), *flags])
    (folder,) = folders(tmp_path)
    shutil.copytree(folder, folder.with_name("other"))
    with pytest.raises(ResultError, match="an entry of another name"):
        read_entry(folder.with_name("other") / "entry.json")
    put(folder / "entry.json", b"{}")
    with pytest.raises(ResultError, match="key is missing"):
        read_entry(folder / "entry.json")
    put(folder / "entry.json", b"{")
    with pytest.raises(ResultError, match="not a readable entry"):
        read_entry(folder / "entry.json")


def test_inbox_is_polled_and_each_zip_is_received_once(
    tmp_path: Path, flags: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    inbox = tmp_path / "inbox"
    inbox.mkdir()
    for name in ("passing", "passing-mevis"):
        put(inbox / f"{name}.zip", examples.passing()[name])
    put(inbox / "bad.zip", examples.FAILING["missing-video"]())
    put(inbox / "notes.txt", b"not a zip")
    os.utime(inbox / "bad.zip", (0, 0))
    monkeypatch.setattr("submissions.receive.SETTLED_SECONDS", 0.01)
    assert main(["--watch", str(inbox), "--once", *flags]) == 0
    assert len(folders(tmp_path)) == 2
    told = capsys.readouterr()
    assert [line for line in told.err.splitlines() if line.startswith("receiving")] == [
        "receiving bad.zip",
        "receiving passing-mevis.zip",
        "receiving passing.zip",
    ]
    assert main(["--watch", str(inbox), "--once", *flags]) == 0
    assert "receiving" not in capsys.readouterr().err


def test_watching_goes_on_until_it_is_stopped(
    tmp_path: Path, flags: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    inbox = tmp_path / "inbox"
    inbox.mkdir()
    seen: list[float] = []

    def slept(seconds: float) -> None:
        seen.append(seconds)
        if len(seen) == 1:  # the zip comes after the first round
            put(inbox / "late.zip", examples.FAILING["not-a-zip"]())
            os.utime(inbox / "late.zip", (0, 0))
        elif len(seen) == 3:
            raise KeyboardInterrupt

    monkeypatch.setattr("submissions.receive.sleep", slept)
    with pytest.raises(KeyboardInterrupt):
        main(["--watch", str(inbox), "--poll", "7", *flags])
    assert seen == [7.0, 7.0, 7.0]
    assert len(list((tmp_path / "received" / "reports").rglob("*.json"))) == 1


def test_unreadable_zip_does_not_stop_the_others(
    tmp_path: Path, flags: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    inbox = tmp_path / "inbox"
    inbox.mkdir()
    for name in ("a.zip", "b.zip"):
        os.utime(put(inbox / name, examples.passing()["passing"]), (0, 0))

    def refused(path: Path) -> str:
        if path.name == "a.zip":
            raise PermissionError("not for you")
        return file_digest(path)

    monkeypatch.setattr("submissions.receive.file_digest", refused)
    assert main(["--watch", str(inbox), "--once", *flags]) == 0
    assert "a.zip cannot be read: not for you" in capsys.readouterr().out and len(folders(tmp_path)) == 1


def test_watching_outlives_a_hub_that_is_away(
    hub: FakeHub,
    tmp_path: Path,
    flags: list[str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    hub.repositories["org/submissions"] = Repository()
    hub.repositories["org/submissions"].commit("main", {"one.zip": examples.passing()["passing"]})
    hub.refuse = [401]
    rounds: list[float] = []

    def slept(seconds: float) -> None:
        rounds.append(seconds)
        if len(rounds) == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr("submissions.receive.sleep", slept)
    with pytest.raises(KeyboardInterrupt):
        main(["--hub", "org/submissions", *flags])
    assert "the Hub did not give" in capsys.readouterr().err and len(folders(tmp_path)) == 1


def test_zip_that_is_still_being_written_waits(
    tmp_path: Path, flags: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    inbox = tmp_path / "inbox"
    inbox.mkdir()
    path = put(inbox / "half.zip", b"PK")
    monkeypatch.setattr("submissions.receive.sleep", lambda _: os.utime(path, (1, 1)))
    assert main(["--watch", str(inbox), "--once", *flags]) == 0
    assert not (tmp_path / "received" / "reports").exists()


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeHub]:
    import huggingface_hub.constants as constants

    with FakeHub() as server:
        for name, value in (("ENDPOINT", server.url), ("HF_HUB_DISABLE_XET", True)):
            monkeypatch.setattr(constants, name, value)
        monkeypatch.setattr(
            constants, "HUGGINGFACE_CO_URL_TEMPLATE", server.url + "/{repo_id}/resolve/{revision}/{filename}"
        )
        monkeypatch.setenv("HF_ENDPOINT", server.url)
        yield server


def test_repository_is_an_inbox_at_pinned_revisions(
    hub: FakeHub, tmp_path: Path, flags: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    forms = examples.passing()
    repository = hub.repositories["org/submissions"] = Repository()
    first = repository.commit("main", {"a/one.zip": forms["passing"], "README.md": b"hello"})
    second = repository.request(
        3, {"two.zip": forms["passing-mevis"], "bad.zip": examples.FAILING["symlink"]()}
    )
    assert main(["--hub", "org/submissions", "--once", *flags]) == 0
    sources = {one.source for one in EntryFolder(tmp_path / "entries", "interrvos", "val").all()}
    assert sources == {
        Source("hub", "one.zip", "org/submissions", first, None),
        Source("hub", "two.zip", "org/submissions", second, 3),
    }
    assert "symlink" in capsys.readouterr().out
    assert not any("README" in asked for asked in hub.asked)
    downloads = [asked for asked in hub.asked if asked.startswith("GET /datasets")]
    assert len(downloads) == 3 and all(first in asked or second in asked for asked in downloads)
    assert not list((tmp_path / "received").glob("hub-*"))


def test_only_the_asked_revision_is_read(hub: FakeHub, tmp_path: Path, flags: list[str]) -> None:
    repository = hub.repositories["org/submissions"] = Repository()
    old = repository.commit("main", {"one.zip": examples.passing()["passing"]})
    repository.commit("main", {"one.zip": examples.passing()["passing-mevis"]})
    repository.request(1, {"two.zip": b""})
    assert main(["--hub", "org/submissions", "--revision", old, "--once", *flags]) == 0
    (entry,) = EntryFolder(tmp_path / "entries", "interrvos", "val").all()
    assert entry.source.revision == old and not any("discussions" in asked for asked in hub.asked)


def test_too_large_and_known_files_are_not_downloaded(
    hub: FakeHub, tmp_path: Path, office: Callable[..., Office]
) -> None:
    from submissions.hub_inbox import HubInbox

    big = bytes(examples.EXPECTED.limits().zip_bytes + 1)
    repository = hub.repositories["org/submissions"] = Repository()
    repository.commit("main", {"big.zip": big, "known.zip": bytes(100_000)})
    (tmp_path / "received").mkdir()
    inbox = HubInbox("org/submissions", None, tmp_path / "received")
    known = next(one for one in inbox.zips() if one.name == "known.zip")
    assert known.sha256 is not None
    path = office().report_path(known.sha256)
    path.parent.mkdir(parents=True)
    put(path, b"{}")
    told = list(inbox.round(office()))
    assert [one.text[:22] for one in told] == ["big.zip: zip-too-large"]
    assert list(inbox.round(office())) == []
    assert not any("/resolve/" in asked for asked in hub.asked)


def test_refusals_of_the_hub_are_named(
    hub: FakeHub, tmp_path: Path, flags: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(HubProblem, match=r"the Hub did not give[\s\S]*org/none"):
        main(["--hub", "org/none", "--once", *flags])
    repository = hub.repositories["org/submissions"] = Repository()
    repository.commit("main", {"one.zip": examples.passing()["passing"]})
    with pytest.raises(HubProblem, match="the Hub did not give"):
        main(["--hub", "org/submissions", "--revision", "unknown", "--once", *flags])
    hub.refuse = [401]
    with pytest.raises(HubProblem, match="HF_TOKEN"):
        main(["--hub", "org/submissions", "--once", *flags])
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(EnvironmentProblem, match=r"pip install -c constraints.txt -e '\.\[publish\]'"):
        main(["--hub", "org/submissions", "--once", *flags])
