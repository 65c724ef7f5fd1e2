"""Pictures of predictions: colours, captions, both kinds of file."""

from __future__ import annotations

import importlib.util
import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from benchmark.errors import EnvironmentProblem
from benchmark.evaluate import main
from benchmark.frames import FrameArray, read_video_file
from benchmark.masks import encode_track
from benchmark.overlays import BLUE, RED, VIOLET, Shown, _strip_png, check_kind, overlay
from tests.benchmark.small_release import meta, write_release

pytestmark = pytest.mark.usefixtures("unsynced")
GREY = np.full((40, 60, 3), 100, np.uint8)


def box(top: int, left: int, bottom: int, right: int) -> np.ndarray:
    mask = np.zeros(GREY.shape[:2], bool)
    mask[top:bottom, left:right] = True
    return mask


def test_actor_is_blue_target_red_and_both_violet() -> None:
    actor, target = box(5, 5, 25, 35), box(5, 25, 25, 55)
    shown = overlay(GREY, actor, target)
    assert shown.dtype == np.uint8
    for mask, colour in ((actor & ~target, BLUE), (target & ~actor, RED), (actor & target, VIOLET)):
        row, column = (int(one.mean()) for one in np.nonzero(mask))
        assert np.allclose(shown[row, column], 0.45 * 100 + 0.55 * np.array(colour), atol=1)
    assert tuple(shown[5, 10]) == BLUE
    assert tuple(shown[5, 50]) == RED
    assert np.array_equal(shown[~(actor | target)], GREY[~(actor | target)])


def test_two_roles_on_one_object_stay_visible() -> None:
    mask = box(5, 5, 25, 35)
    shown = overlay(GREY, mask, mask)
    assert tuple(shown[5, 10]) == VIOLET


def test_a_strip_carries_frame_prediction_and_truth() -> None:
    frames = FrameArray(np.stack([GREY] * 9))
    track = encode_track(np.stack([box(0, 0, 40, 60)] * 9))
    sentence = "a very long sentence that has to be wrapped into lines " * 8
    shown = Shown(
        sentence, "ok", {"frame": (None, None), "prediction": (track, None), "truth": (None, track)}
    )
    picture = np.asarray(Image.open(io.BytesIO(_strip_png(frames, shown))))
    lower = picture[-400:]
    assert (lower == GREY[0, 0]).all(-1).sum() > 20_000
    for colour in (BLUE, RED):
        tint = np.round(0.45 * 100 + 0.55 * np.array(colour))
        assert (np.abs(lower.astype(float) - tint) <= 2).all(-1).sum() > 20_000


@pytest.mark.parametrize("kind", ["png", "mp4"])
def test_the_command_draws_every_expression(
    kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if kind == "mp4":
        pytest.importorskip("av")
    data = write_release(tmp_path / "data" / "val").parent
    output = tmp_path / "out"
    arguments = ["--adapter", "oracle", "--dataset", "interrvos", "--data-root", str(data)]
    main([*arguments, "--output", str(output), "--save-overlays", *([kind] if kind == "mp4" else [])])
    assert f"overlays: {output / 'overlays'}" in capsys.readouterr().out
    drawn = {path.relative_to(output / "overlays").as_posix() for path in output.rglob(f"*.{kind}")}
    assert drawn == {
        f"{video_id}/{expression_id}.{kind}"
        for video_id, video in meta()["videos"].items()
        for expression_id in video["expressions"]
    }
    if kind == "mp4":
        clip = read_video_file(output / "overlays" / "111_clip000" / "7.mp4")
        assert len(clip) == len(meta()["videos"]["111_clip000"]["frames"])


def test_mp4_without_pyav_is_told_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(EnvironmentProblem, match=r"writing video files needs PyAV.*pip install"):
        check_kind("mp4")
    check_kind("png")
    check_kind(None)
