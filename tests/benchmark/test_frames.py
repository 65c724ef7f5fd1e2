"""Frames of a clip: read on demand, of one size, without a name that could give an answer away."""

from __future__ import annotations

import builtins
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from benchmark import frames as frames_module
from benchmark.errors import DatasetError, EnvironmentProblem
from benchmark.frames import (
    FrameArray,
    ImageFolder,
    VideoFile,
    image_size,
    open_frames,
    read_image,
    read_video_file,
)


def picture(seed: int, height: int = 24, width: int = 40) -> Any:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Five lossless frames, so that pixels can be compared, and files that are no frames."""
    for index in range(5):
        Image.fromarray(picture(index)).save(tmp_path / f"{index:03d}.png")
    (tmp_path / "notes.txt").write_text("not a frame")
    return tmp_path


def test_a_folder_gives_its_images_in_order_of_name(folder: Path) -> None:
    frames = open_frames(folder)
    assert (len(frames), frames.height, frames.width, frames.fps) == (5, 24, 40, None)
    assert np.array_equal(frames.stack(), [picture(index) for index in range(5)])
    assert np.array_equal(frames.stack([3, 1]), [picture(3), picture(1)])
    assert np.array_equal(np.asarray(frames.as_pil(2)), picture(2))
    for outside in (-1, 5):
        with pytest.raises(IndexError):
            frames.frame(outside)


def test_frames_are_read_only_and_only_a_few_are_kept(folder: Path) -> None:
    frames = ImageFolder(sorted(folder.glob("*.png")), cache_frames=2)
    first = frames.frame(0)
    with pytest.raises(ValueError, match="read-only"):
        first[0, 0] = 0
    assert frames.frame(0) is first
    frames.frame(1)
    frames.frame(2)
    assert frames.frame(0) is not first


def test_nothing_names_the_source(folder: Path) -> None:
    """An adapter may look at public attributes; a path would tell it the video."""
    frames = open_frames(folder)
    public = {name: getattr(frames, name) for name in dir(frames) if not name.startswith("_")}
    assert not [name for name, value in public.items() if str(folder) in repr(value) and not callable(value)]


def test_a_frame_of_another_size_or_cut_off_is_named(folder: Path) -> None:
    Image.fromarray(picture(9, 10, 10)).save(folder / "001.png")
    (folder / "002.png").write_bytes((folder / "003.png").read_bytes()[:90])
    (folder / "003.png").write_text("no image")
    frames = open_frames(folder)
    with pytest.raises(DatasetError, match=r"001\.png: frames of one clip differ in size.*found 10x10"):
        frames.frame(1)
    for index in (2, 3):
        with pytest.raises(DatasetError, match=rf"00{index}\.png: frame file is not a readable image"):
            frames.frame(index)
    (folder / "004.png").unlink()
    with pytest.raises(DatasetError, match=r"004\.png: frame file is missing.*extract the frames completely"):
        frames.frame(4)


def test_headers_tell_the_size_or_what_is_wrong(folder: Path) -> None:
    assert image_size(folder / "000.png") == (24, 40)
    with pytest.raises(DatasetError, match="frame file is missing"):
        image_size(folder / "none.png")
    with pytest.raises(DatasetError, match="not a readable image"):
        image_size(folder / "notes.txt")
    with pytest.raises(DatasetError, match="frame file is missing"):
        read_image(folder / "none.png")
    with pytest.raises(DatasetError, match="a clip without frames"):
        ImageFolder([])


def test_grey_images_become_colour(tmp_path: Path) -> None:
    Image.fromarray(picture(0)[..., 0]).save(tmp_path / "0.png")
    assert open_frames(tmp_path).frame(0).shape == (24, 40, 3)


def test_a_jpeg_folder_with_plain_names_for_models_that_want_one(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    for name in ("b", "a"):
        Image.fromarray(picture(ord(name))).save(source / f"{name}.jpg")
    with open_frames(source).as_jpeg_folder() as made:
        names = sorted(path.name for path in made.iterdir())
        assert names == ["00000.jpg", "00001.jpg"]
        assert (made / "00000.jpg").read_bytes() == (source / "a.jpg").read_bytes()
    assert not made.exists()
    flat = np.full((2, 16, 16, 3), 77, np.uint8)
    with FrameArray(flat).as_jpeg_folder() as made:
        assert np.abs(read_image(made / "00001.jpg").astype(int) - 77).max() <= 2


def test_arrays_in_memory(folder: Path) -> None:
    array = np.stack([picture(0), picture(1)])
    frames = FrameArray(array, fps=5.0)
    assert (len(frames), frames.height, frames.width, frames.fps) == (2, 24, 40, 5.0)
    assert np.array_equal(frames.stack(), array)
    with pytest.raises(IndexError):
        frames.frame(2)
    for wrong in (array.astype(float), array[0], array[..., :2], array[:0]):
        with pytest.raises(DatasetError, match="one uint8 array"):
            FrameArray(wrong)


def test_a_video_file_comes_back(tmp_path: Path) -> None:
    av = pytest.importorskip("av")
    path = tmp_path / "clip.mp4"
    levels = (20, 120, 220)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=10)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for level in levels:
            frame = av.VideoFrame.from_ndarray(np.full((48, 64, 3), level, np.uint8), format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    frames = open_frames(path)
    assert (len(frames), frames.height, frames.width, frames.fps) == (3, 48, 64, 10.0)
    means = [float(frame.mean()) for frame in frames.frames()]
    assert np.allclose(means, levels, atol=6)


def write_video(path: Path, count: int, key_every: int = 7) -> None:
    """Frame n is grey, n levels above black, in H.264 with frames that refer to later ones."""
    av = pytest.importorskip("av")
    with av.open(str(path), "w") as container:
        stream = container.add_stream("h264", rate=25, options={"g": str(key_every), "bf": "2"})
        stream.width, stream.height, stream.pix_fmt = 32, 16, "yuv420p"
        for level in range(count):
            pixels = np.full((16, 32, 3), 20 + 2 * level, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(stream.encode())


def test_a_long_video_file_is_decoded_where_it_is_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "clip.mp4"
    write_video(path, 100)
    whole = read_video_file(path)
    monkeypatch.setattr(frames_module, "MOST_BYTES", 1000)
    streamed = open_frames(path)
    assert isinstance(streamed, VideoFile)
    assert (len(streamed), streamed.height, streamed.width) == (100, 16, 32)
    assert streamed.fps == whole.fps == 25
    small = VideoFile(path, cache_frames=4)
    for index in [0, 1, 2, 50, 49, 48, 47, 99, 3, *range(20, 40), *range(60, 40, -1), 0]:
        for one in (streamed, small):
            assert np.array_equal(one.frame(index), whole.frame(index)), index
            assert not one.frame(index).flags.writeable
    assert len(small._cache) <= 4 and len(streamed._cache) <= 64
    with pytest.raises(IndexError):
        streamed.frame(100)


def test_a_folder_without_frames(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("none")
    with pytest.raises(DatasetError, match="no frames in this folder; expected files"):
        open_frames(tmp_path)


def test_video_files_that_cannot_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("av")
    with pytest.raises(DatasetError, match="video file is missing"):
        open_frames(tmp_path / "none.mp4")
    (tmp_path / "text.mp4").write_text("no video")
    with pytest.raises(DatasetError, match="video file cannot be decoded"):
        read_video_file(tmp_path / "text.mp4")
    real_import = builtins.__import__

    def without_av(name: str, *arguments: Any, **options: Any) -> Any:
        if name == "av":
            raise ImportError(name)
        return real_import(name, *arguments, **options)

    monkeypatch.setattr(builtins, "__import__", without_av)
    with pytest.raises(EnvironmentProblem, match=r"reading video files needs PyAV.*pip install"):
        read_video_file(tmp_path / "text.mp4")
