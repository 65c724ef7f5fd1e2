"""Clips of the mask player: what is in them, and what is not shown."""

from __future__ import annotations

import dataclasses
import hashlib
import io
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from benchmark.datasets import Dataset, open_dataset
from benchmark.errors import ProblemCollector, ResultError
from benchmark.types import Status
from leaderboards.board_entries import read_board_entries
from leaderboards.board_pages import board_views, player_pages
from leaderboards.boards import Board, make_boards
from leaderboards.clip_truth import About, ClipTruth, Sentence, StoredTruth
from leaderboards.clips import Clip, clips_of
from leaderboards.rendering import Pages
from leaderboards.shown_masks import FrameScores, ShownMasks, read_shown_masks
from leaderboards.site import read_material
from submissions import receive
from submissions.answers import Answer
from submissions.published_masks import MASKS
from tests.leaderboards.browser import running_browser


@pytest.fixture(scope="module")
def dataset() -> Dataset:
    return open_dataset("interrvos-synthetic", None, "val")


@pytest.fixture(scope="module")
def board(received: Path, dataset: Dataset) -> Board:
    """A board of the built-in data on which one model answers the first clip with the truth."""
    (made,) = make_boards(read_material(received).entries)
    first = dataset.videos[0]
    answers, scores = {}, {}
    for one in first.expressions:
        actor = dataset.truth(first, one.actor_ids)
        answers[one.expression_id] = Answer(first.video_id, one.expression_id, Status.OK, actor, None)
        ones = (1.0,) * len(actor)
        scores[first.video_id, one.expression_id, "actor"] = FrameScores(ones, ones)
    row = next(row for row in made.rows if row.sanity is None)
    shown = dataclasses.replace(row.one, shown=ShownMasks({first.video_id: answers}, scores))
    return dataclasses.replace(
        made,
        dataset=dataset.name,
        split=dataset.split,
        digest=dataset.digest,
        rows=(dataclasses.replace(row, one=shown),),
    )


@pytest.fixture(scope="module")
def clip(board: Board) -> Clip:
    return next(clips_of(board, {}))


def test_a_clip_holds_truth_answers_and_frames(clip: Clip, dataset: Dataset) -> None:
    data = json.loads(clip.data)
    video = dataset.videos[0]
    assert [one["text"] for one in data["expressions"]] == [one.text for one in video.expressions]
    (model,), (script,) = data["models"], clip.answers
    assert model["source"] == script.path
    call = script.content.decode().removeprefix("clipAnswers(").removesuffix(");\n")
    entry, answers = json.loads(f"[{call}]")
    assert entry == model["id"]
    for one in data["expressions"]:
        answer = answers[one["id"]]
        assert answer["actor"] == one["truth"]["actor"] and answer["target"] is None
        assert answer["scores"]["actor"] == [[100] * len(data["frames"])] * 2
    picture = Image.open(io.BytesIO(clip.strip.content))
    assert picture.size == (data["width"] * len(data["frames"]), data["height"])
    assert not set("<>&") & set(clip.data)


def test_texts_of_clips_hide_and_turn_nothing(board: Board) -> None:
    sentence = Sentence("0", "<b>\u202eevil\u0000</b>", "x\u2066", (None,), None)
    stored = StoredTruth(
        About("", 1, board.dataset, board.split, "digest"), (ClipTruth("v", 2, 2, ("0",), (sentence,)),)
    )
    folder = board.rows[0].one.folder
    licensed = dataclasses.replace(board, dataset="interrvos", digest="digest")
    (clip,) = clips_of(licensed, {folder: stored})
    assert json.loads(clip.data)["expressions"][0]["text"] == "<b>evil</b>"
    assert clip.strip is None and not set("<>&\u202e\u2066") & set(clip.data)


def test_other_data_and_rows_without_masks_have_no_clips(board: Board) -> None:
    assert next(clips_of(dataclasses.replace(board, digest="another"), {}), None) is None
    assert next(clips_of(dataclasses.replace(board, dataset="interrvos"), {}), None) is None
    bare = dataclasses.replace(board.rows[0], one=dataclasses.replace(board.rows[0].one, shown=None))
    assert next(clips_of(dataclasses.replace(board, rows=(bare,)), {}), None) is None


@pytest.fixture
def with_masks(received: Path, tmp_path: Path) -> Path:
    """Entries of which one was received with its masks."""
    words = [str(received.parent / "both.zip"), "--dataset", "interrvos", "--with-masks"]
    words += ["--data-root", str(received.parent / "data"), "--work", str(tmp_path / "work")]
    assert receive.main([*words, "--entries", str(tmp_path / "entries")]) == 0
    return tmp_path / "entries"


def test_masks_beside_an_entry_are_read(with_masks: Path) -> None:
    problems = ProblemCollector()
    (one,) = read_board_entries(with_masks, problems)
    assert problems.problems == [] and one.shown is not None
    assert {role for _, _, role in one.shown.frames} == {"actor", "target"}
    assert all(set(scores.j) == {1.0} for scores in one.shown.frames.values())


def test_half_or_edited_masks_are_found(with_masks: Path, tmp_path: Path) -> None:
    (place,) = with_masks.glob("*/*")
    (one,) = read_board_entries(with_masks, ProblemCollector())
    half = Path(shutil.copytree(place, tmp_path / "half"))
    (half / MASKS).unlink()
    with pytest.raises(ResultError, match="go with the scores of their frames"):
        read_shown_masks(half, one.entry, one.result)
    (place / "frame_scores.npz").write_bytes(b"other")
    with pytest.raises(ResultError, match="not the scores of frames"):
        read_shown_masks(place, one.entry, one.result)


def test_scores_of_frames_that_are_no_arrays_are_found(with_masks: Path) -> None:
    (place,) = with_masks.glob("*/*")
    (one,) = read_board_entries(with_masks, ProblemCollector())
    assert one.result is not None
    (place / "frame_scores.npz").write_bytes(b"other")
    digest = hashlib.sha256(b"other").hexdigest()
    result = dataclasses.replace(one.result, files={**one.result.files, "frame_scores.npz": digest})
    with pytest.raises(ResultError, match="not a file of scores of frames"):
        read_shown_masks(place, one.entry, result)


# --- in a browser


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with running_browser() as found:
        yield found


def test_the_player_scrubs_and_keeps_its_place(
    browser: Any, board: Board, clip: Clip, tmp_path: Path
) -> None:
    files = dict(player_pages(Pages("0" * 64), board_views(board, (clip,))))
    for name, content in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(content)
    page = browser.new_page()
    wrong: list[str] = []
    page.on("console", lambda message: wrong.append(message.text))
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.goto(f"file://{tmp_path}/player/{board.slug}/index.html#video={clip.video}&frame=3")
    page.wait_for_url("**/synthetic-val-00000*")
    scrubber = page.get_by_label("Frame", exact=True)
    assert scrubber.input_value() == "3"
    for key, frame in (("End", "11"), ("Home", "0"), ("ArrowLeft", "11"), ("ArrowRight", "0")):
        page.keyboard.press(key)  # wherever the reader is
        assert scrubber.input_value() == frame
    for _ in range(3):
        page.keyboard.press("ArrowRight")
    page.keyboard.press("Space")
    page.get_by_role("button", name="Pause").click()
    scrubber.fill("3")
    scrubber.focus()
    page.keyboard.press("ArrowRight")
    page.get_by_role("button", name="Next frame").click()
    page.get_by_label("Sentence").select_option(index=1)
    page.get_by_label("View").select_option("actor")
    page.locator("#player figure").nth(1).locator("canvas").wait_for()
    assert page.locator("#player output").text_content() == "frame 6 of 12"
    assert page.locator("#player canvas").count() == 2
    assert "actor J 100, F 100" in page.locator("#player figcaption").last.text_content()
    link = page.url
    page.goto("about:blank")
    page.goto(link)
    assert scrubber.input_value() == "5" and page.get_by_label("View").input_value() == "actor"
    page.evaluate("location.hash = '#models=a,b&exp=__proto__&frame=1e9&view=__proto__'")  # of nothing here
    page.get_by_text("frame 12 of 12").first.wait_for()
    assert page.get_by_label("View").input_value() == "outlines"
    assert page.locator("#player canvas").count() == 1
    page.goto("about:blank")
    page.goto(link)
    page.get_by_role("checkbox", name="Both roles").uncheck()
    assert page.locator("#player canvas").count() == 1
    page.set_viewport_size({"width": 320, "height": 800})
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert wrong == []
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="needs axe-playwright-python")
    found = axe.Axe().run(page).response["violations"]
    assert [(one["id"], [node["html"][:120] for node in one["nodes"]][:3]) for one in found] == []
    page.close()


def test_masks_that_are_not_there_are_said(browser: Any, board: Board, clip: Clip, tmp_path: Path) -> None:
    path = f"player/{board.slug}/{clip.page}.html"
    files = dict(player_pages(Pages("0" * 64), board_views(board, (clip,))))
    (tmp_path / path).parent.mkdir(parents=True)
    (tmp_path / path).write_bytes(files[path])
    page = browser.new_page()
    page.goto(f"file://{tmp_path}/{path}")
    page.get_by_text("its masks could not be read here").wait_for()
    assert page.locator("#player canvas").count() == 1  # the truth comes with the page
    page.close()
