"""Outlines of data whose frames are not ours: kept, checked, and shown over frames of the reader's own."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from benchmark.errors import ResultError, UsageError
from leaderboards import outlines
from leaderboards.clip_truth import OUTLINES
from leaderboards.site import read_material, site_files
from leaderboards.site_files import write_site
from submissions import receive
from submissions.examples import FRAME_NAMES
from tests.leaderboards.browser import running_browser


@pytest.fixture
def kept(received: Path, tmp_path: Path) -> Path:
    """Entries of which one has masks, with the true outlines beside them."""
    data = str(received.parent / "data")
    words = [str(received.parent / "both.zip"), "--dataset", "interrvos", "--with-masks", "--data-root", data]
    root = tmp_path / "entries"
    assert receive.main([*words, "--work", str(tmp_path / "work"), "--entries", str(root)]) == 0
    outlines.main(["--dataset", "interrvos", "--data-root", data, "--entries", str(root)])
    return root


def lines(root: Path) -> list[Any]:
    (path,) = root.glob(f"*/{OUTLINES}")
    return [json.loads(line) for line in gzip.decompress(path.read_bytes()).splitlines()]


def test_clips_are_shown_without_frames(kept: Path) -> None:
    files = site_files(read_material(kept))
    names = [name for name in files if name.startswith("player/interrvos-val/")]
    assert len(names) == len(lines(kept))  # a line about the data; a page of all clips
    assert not [name for name in files if name.endswith((".webp", ".jpg", ".png"))]
    assert b"data-strip" not in b"".join(files[name] for name in names)
    assert files == site_files(read_material(kept))


def test_one_clip_can_be_chosen(received: Path, kept: Path) -> None:
    words = ["--dataset", "interrvos", "--data-root", str(received.parent / "data"), "--entries", str(kept)]
    video = lines(kept)[1]["video"]
    outlines.main([*words, "--videos", video])
    assert [one["video"] for one in lines(kept)[1:]] == [video]
    with pytest.raises(UsageError, match="the split has no such video"):
        outlines.main([*words, "--videos", f"{video}x"])
    with pytest.raises(UsageError, match="built in"):
        outlines.main(["--dataset", "interrvos-synthetic"])
    with pytest.raises(UsageError, match="there are no entries of this data"):
        outlines.main([*words[:-1], str(kept / "none")])


def of_other_data(stored: list[Any]) -> None:
    stored[0]["digest"] = "0" * 64


def test_outlines_of_other_data_are_not_shown(kept: Path) -> None:
    rewrite(kept, of_other_data)
    assert not [name for name in site_files(read_material(kept)) if name.startswith("player/")]


def rewrite(root: Path, change: Callable[[list[Any]], None]) -> None:
    stored = lines(root)
    change(stored)
    (path,) = root.glob(f"*/{OUTLINES}")
    path.write_bytes(gzip.compress("".join(f"{json.dumps(line)}\n" for line in stored).encode()))


def longer(stored: list[Any]) -> None:
    stored[1]["sentences"][0]["actor"].append(None)


def unfit(stored: list[Any]) -> None:
    stored[1]["sentences"][0]["actor"][0] = "1"


def unknown(stored: list[Any]) -> None:
    stored[1]["colour"] = "red"


def newer(stored: list[Any]) -> None:
    stored[0]["version"] = 99


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (longer, "line 2: a track of another length than its clip"),
        (unfit, "line 2: a mask that does not fit its frame"),
        (unknown, "line 2/colour: unknown key"),
        (newer, "another format"),
        (list.clear, "line 1"),
    ],
)
def test_damaged_outlines_are_named(kept: Path, change: Callable[[list[Any]], None], sentence: str) -> None:
    rewrite(kept, change)
    with pytest.raises(ResultError, match=r"outlines\.jsonl\.gz") as caught:
        read_material(kept)
    assert sentence in str(caught.value)


def test_what_is_no_archive_is_named(kept: Path) -> None:
    (path,) = kept.glob(f"*/{OUTLINES}")
    path.write_bytes(path.read_bytes()[:40])
    with pytest.raises(ResultError, match="not a file of outlines"):
        read_material(kept)


def test_frames_of_the_reader_lie_under_the_outlines_and_go_nowhere(
    received: Path, kept: Path, tmp_path: Path
) -> None:
    write_site(site_files(read_material(kept)), tmp_path / "site")
    video = lines(kept)[1]["video"]
    frames = received.parent / "data" / "val" / "JPEGImages"
    with running_browser() as browser:
        page = browser.new_page()
        wrong: list[str] = []
        page.on("console", lambda message: wrong.append(message.text))
        page.on("pageerror", lambda error: wrong.append(str(error)))
        asked: list[str] = []
        page.on("request", lambda request: asked.append(request.url))
        page.goto(f"file://{tmp_path}/site/player/interrvos-val/index.html#video={video}&frame=1")
        told = page.locator(".own-frames output")
        assert "no frames yet" in told.text_content()
        grey = [119, 119, 119, 255]
        assert colour(page) == grey
        folder = page.locator("input[webkitdirectory]")
        folder.set_input_files(frames)
        told.get_by_text(f"all {len(FRAME_NAMES)} frames found").wait_for()
        page.wait_for_timeout(200)
        assert max(abs(one - 90) for one in colour(page)[:3]) < 12  # what the frames are painted with
        other = next(one["video"] for one in lines(kept)[2:])
        folder.set_input_files(frames / other)
        told.get_by_text(f"their folder is called {other}, the clip {video}").wait_for()
        folder.set_input_files(frames.parent.parent.parent / "entries" / "reported")
        told.get_by_text("none of the chosen files is a frame").wait_for()
        assert colour(page) == grey
        spoilt = tmp_path / video
        spoilt.mkdir()
        for name in FRAME_NAMES:
            (spoilt / f"{name}.jpg").write_bytes(b"no picture")
        folder.set_input_files(spoilt)
        told.get_by_text("is not a picture that can be read").wait_for()
        assert [one for one in asked if not one.startswith("file:")] == [] == wrong
        page.close()


def colour(page: Any) -> list[int]:
    """The colour of the corner of the first pane, where no object is."""
    return page.evaluate(
        "[...document.querySelector('#player canvas').getContext('2d').getImageData(2, 2, 1, 1).data]"
    )
