"""Synthetic splits on disk: the released layout, and a cache that is never half-written or stale."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from benchmark.datasets import open_dataset
from benchmark.datasets.synthetic import FRAMES, HEIGHT, WIDTH, cached_split, clip, clips, layout, write_split
from benchmark.errors import OutputError, UsageError
from benchmark.masks import decode, decode_track

CLIPS = 2


@pytest.fixture
def small_val(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A val split of a few clips and a cache of its own; returns the cache folder."""
    monkeypatch.setitem(clips.SPLITS, "val", replace(clips.SPLITS["val"], clips=CLIPS))
    monkeypatch.setenv(layout.CACHE_VARIABLE, str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The first 12 clips of val on disk; among them objects that enter and leave."""
    return write_split(tmp_path_factory.mktemp("synthetic"), "val", 12)


def load(path: Path) -> Any:
    return json.loads(path.read_text())


def test_expressions_have_the_released_form_and_tags(written: Path) -> None:
    videos = load(written / "meta_expressions.json")["videos"]
    assert list(videos) == [f"synthetic-val-{index:05d}_clip000" for index in range(12)]
    next_annotation = 0
    for index, video in enumerate(videos.values()):
        shown = clip("val", index)
        assert list(video) == ["vid_id", "frames", "expressions"]
        assert video["vid_id"] == index
        assert video["frames"] == [f"{t:05d}" for t in range(FRAMES)]
        assert list(video["expressions"]) == [str(number) for number in range(len(shown.expressions))]
        for entry, e in zip(video["expressions"].values(), shown.expressions, strict=True):
            subject = [next_annotation + k for k in e.actors]
            assert entry == {
                "exp": e.text,
                "obj_id": list(e.actors),
                "anno_id": subject,
                "caption_type": e.caption_type,
                "subject/object": {
                    "obj_id": {"subject": list(e.actors), "object": list(e.targets)},
                    "anno_id": {"subject": subject, "object": [next_annotation + k for k in e.targets]},
                },
                "tags": list(e.tags),
            }
        next_annotation += len(shown.objects)


def test_masks_survive_the_file_and_unseen_frames_are_null(written: Path) -> None:
    tracks = load(written / "mask_dict.json")
    annotation, nulls = 0, 0
    for index in range(12):
        for masks in clip("val", index).masks:
            track = tracks[str(annotation)]
            assert len(track) == FRAMES
            for entry, mask in zip(track, masks, strict=True):
                if entry is None:
                    assert not mask.any()
                    nulls += 1
                else:
                    assert entry["size"] == [HEIGHT, WIDTH] and mask.any()
                    np.testing.assert_array_equal(decode(entry["counts"].encode(), HEIGHT, WIDTH), mask)
            annotation += 1
    assert annotation == len(tracks) and nulls > 0


def test_frames_on_disk_are_close_to_the_rendered_ones(written: Path) -> None:
    shown = clip("val", 2)
    folder = written / "JPEGImages" / "synthetic-val-00002_clip000"
    assert sorted(path.name for path in folder.iterdir()) == [f"{t:05d}.jpg" for t in range(FRAMES)]
    for t in range(FRAMES):
        with Image.open(folder / f"{t:05d}.jpg") as image:
            stored = np.asarray(image).astype(int)
        assert np.abs(stored - shown.frames[t]).mean() < 4


def test_the_reader_gives_back_what_was_rendered(written: Path) -> None:
    dataset = open_dataset("interrvos-synthetic", written, "val")
    for index, video in enumerate(dataset.videos):
        shown = clip("val", index)
        assert dataset.frame_size(video) == (HEIGHT, WIDTH)
        by_text = {e.text: e for e in shown.expressions}
        for e in video.expressions:
            source = by_text[e.text]
            assert (e.caption_type, e.tags) == (source.caption_type, source.tags)
            assert e.is_interaction == bool(source.targets)
            for ids, members in ((e.actor_ids, source.actors), (e.target_ids, source.targets)):
                truth = decode_track(dataset.truth(video, ids))
                np.testing.assert_array_equal(truth, shown.masks[list(members)].any(axis=0))


def test_an_existing_folder_is_not_overwritten(written: Path) -> None:
    with pytest.raises(OutputError, match="refusing to overwrite a folder"):
        write_split(written.parent, "val", 1)


def test_an_unknown_split_writes_nothing(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no split 'test'"):
        write_split(tmp_path / "out", "test")
    assert not (tmp_path / "out").exists()


def test_the_cache_is_written_once_and_then_only_read(small_val: Path) -> None:
    folder = cached_split("val")
    assert small_val in folder.parents
    assert len(load(folder / "meta_expressions.json")["videos"]) == CLIPS
    before = (folder / "manifest.json").stat().st_mtime_ns
    assert cached_split("val") == folder
    assert (folder / "manifest.json").stat().st_mtime_ns == before


def first_frame(folder: Path) -> Path:
    return min(folder.glob("JPEGImages/*/*.jpg"))


@pytest.mark.parametrize(
    "damage",
    [
        lambda folder: first_frame(folder).write_bytes(first_frame(folder).read_bytes()[:100]),
        lambda folder: first_frame(folder).unlink(),
        lambda folder: (folder / "mask_dict.json").write_text("{}"),
        lambda folder: (folder / "manifest.json").unlink(),
        lambda folder: (folder / "manifest.json").write_text('{"digests": 3'),
        lambda folder: (folder / "manifest.json").write_text("[]"),
    ],
    ids=["cut frame", "lost frame", "other masks", "no manifest", "cut manifest", "wrong manifest"],
)
def test_a_damaged_cache_is_rendered_again(small_val: Path, damage: Any) -> None:
    folder = cached_split("val")
    frame, masks = first_frame(folder).read_bytes(), (folder / "mask_dict.json").read_bytes()
    damage(folder)
    assert not layout.is_intact(folder)
    assert cached_split("val") == folder and layout.is_intact(folder)
    assert first_frame(folder).read_bytes() == frame
    assert (folder / "mask_dict.json").read_bytes() == masks
    assert [path.name for path in folder.parent.iterdir()] == ["val"], "nothing else may stay behind"


def test_files_that_others_add_do_not_spoil_the_cache(small_val: Path) -> None:
    folder = cached_split("val")
    (folder / "mask_dict.json.index").write_bytes(b"an index of the reader")
    assert layout.is_intact(folder)


def test_another_generator_has_another_folder(small_val: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = cached_split("val")
    monkeypatch.setattr(layout, "_source_digest", lambda: "0" * 64)
    assert cached_split("val") != folder
    assert layout.is_intact(folder)


def test_several_at_once_all_get_a_whole_split(small_val: Path) -> None:
    with ThreadPoolExecutor(3) as pool:
        folders = set(pool.map(lambda _: cached_split("val"), range(3)))
    (folder,) = folders
    assert layout.is_intact(folder)
    assert [path.name for path in folder.parent.iterdir()] == ["val"]


def test_an_interrupted_rendering_leaves_nothing(small_val: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(split: str, index: int) -> Any:
        if index == 1:
            raise KeyboardInterrupt
        return clip(split, index)

    monkeypatch.setattr(layout, "clip", interrupted)
    with pytest.raises(KeyboardInterrupt):
        cached_split("val")
    assert [path for path in small_val.rglob("*") if path.is_file()] == []


def test_a_cache_that_cannot_be_written_is_named(
    small_val: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv(layout.CACHE_VARIABLE, str(tmp_path / "file"))
    with pytest.raises(OutputError, match=r"cannot write the synthetic clips.*INTERRVOS_CACHE"):
        cached_split("val")


def test_the_cache_lies_in_the_home_folder_by_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(layout.CACHE_VARIABLE, raising=False)
    assert layout.cache_folder() == Path.home() / ".cache" / "interrvos-referee"
