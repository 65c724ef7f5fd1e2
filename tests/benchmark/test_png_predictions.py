"""PNG trees and indexed maps: equal to what was written, and every damage the failure of its query."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from benchmark.errors import PredictionError
from benchmark.masks import encode_track
from benchmark.prediction_layouts import open_foreign
from benchmark.types import Expression, Status, Video
from tests.benchmark.foreign_forms import write_frames, write_tree
from tests.benchmark.tiny_clips import HEIGHT, WIDTH, TinyDataset, oracle_answers, random_masks, tiny_dataset

TREE = "{video}/{expression}"


@pytest.fixture
def dataset() -> TinyDataset:
    return tiny_dataset(videos=1)


@pytest.fixture
def tree(dataset: TinyDataset, tmp_path: Path) -> Path:
    return write_tree(tmp_path / "tree", dataset.videos, oracle_answers(dataset), TREE)


def test_any_value_but_zero_is_foreground(dataset: TinyDataset, tmp_path: Path) -> None:
    truth = oracle_answers(dataset)["clip0"]
    for value in (1, 100, 255):
        tree = write_tree(tmp_path / str(value), dataset.videos, {"clip0": truth}, TREE, value)
        read = open_foreign(tree, dataset).video("clip0")
        assert {name: one.actor for name, one in read.items()} == {n: o.actor for n, o in truth.items()}


def test_an_expression_without_a_folder_has_no_prediction(dataset: TinyDataset, tree: Path) -> None:
    for path in (tree / "clip0" / "2").iterdir():
        path.unlink()
    (tree / "clip0" / "2").rmdir()
    reader = open_foreign(tree, dataset)
    assert "2" not in reader.video("clip0") and len(reader.video("clip0")) == 4
    assert reader.video("no such video") == {}


def test_one_damaged_mask_fails_its_query_alone(dataset: TinyDataset, tree: Path) -> None:
    clip = tree / "clip0"
    (clip / "0" / "00001.png").unlink()
    Image.new("L", (WIDTH + 1, HEIGHT)).save(clip / "1" / "00000.png")
    (clip / "2" / "00002.png").write_bytes((clip / "2" / "00002.png").read_bytes()[:40])
    levels = np.arange(HEIGHT * WIDTH).reshape(HEIGHT, WIDTH).astype(np.uint8)
    Image.fromarray(levels).save(clip / "3" / "00000.png")
    Image.new("RGB", (WIDTH, HEIGHT)).save(clip / "10" / "00000.png")
    read = open_foreign(tree, dataset).video("clip0")
    assert {one.status for one in read.values()} == {Status.ERROR}
    assert all(one.actor is None for one in read.values())
    said = {name: str(one.message) for name, one in read.items()}
    assert "1 of 3 frames have no mask; expected 00001.png; found 2 PNG files" in said["0"]
    assert f"wrong mask size; expected {HEIGHT}x{WIDTH}; found {HEIGHT}x{WIDTH + 1}" in said["1"]
    assert "not a readable PNG" in said["2"]
    assert "holds several values; expected 0 and one other value; found 1, 2, 3, 4, ..." in said["3"]
    assert (
        "one channel of at most 8 bits; expected a grey or palette image; found colour type 2" in said["10"]
    )


def test_missing_frames_may_mean_empty_masks_if_said(dataset: TinyDataset, tree: Path) -> None:
    (tree / "clip0" / "0" / "00001.png").unlink()
    for path in (tree / "clip0" / "1").iterdir():
        path.unlink()
    read = open_foreign(tree, dataset, "empty").video("clip0")
    assert read["0"].actor is not None and read["0"].actor.counts[1] is None
    # A folder without any mask is a run that was stopped, not a claim.
    assert read["1"].status is Status.ERROR and "3 of 3 frames" in str(read["1"].message)


def test_masks_of_other_frames_are_told(dataset: TinyDataset, tree: Path) -> None:
    (tree / "clip0" / "0" / "00777.png").touch()
    read = open_foreign(tree, dataset).video("clip0")
    assert read["0"].status is Status.OK and "1 PNG files in" in str(read["0"].message)


def test_an_expression_answered_with_no_role_is_no_mask(dataset: TinyDataset, tmp_path: Path) -> None:
    form = f"{TREE}/{{role}}"
    tree = write_tree(tmp_path / "roles", dataset.videos, oracle_answers(dataset), form)
    for path in (tree / "clip0" / "3" / "actor").iterdir():
        path.unlink()
    (tree / "clip0" / "3" / "actor").rmdir()
    read = open_foreign(tree, dataset).video("clip0")
    assert read["3"].status is Status.NO_MASK
    assert read["10"].status is Status.OK and read["10"].target is None


def davis(objects: int, annotators: int) -> TinyDataset:
    """Expression number = object * annotators + annotator; ids with a slash, as ReVOS has them."""
    generator = np.random.default_rng(objects)
    labels = generator.integers(0, objects + 1, (3, HEIGHT, WIDTH))
    tracks = {str(one): encode_track(labels == one + 1) for one in range(objects)}
    expressions = tuple(
        Expression(str(number), f"sentence {number}", "single", (str(number // annotators),))
        for number in range(objects * annotators)
    )
    return TinyDataset((Video("a/b", ("00000", "00005", "00010"), expressions),), tracks)


def write_indexed(root: Path, dataset: TinyDataset, annotators: int, names: tuple[str, ...]) -> Path:
    """The objects' true maps, the same for each annotator."""
    labels = np.zeros((3, HEIGHT, WIDTH), np.uint8)
    for name, track in dataset.tracks.items():
        from benchmark.masks import decode_track

        labels[decode_track(track)] = int(name) + 1
    for annotator in range(annotators):
        folder = root / f"anno_{annotator}" / dataset.videos[0].video_id
        folder.mkdir(parents=True)
        for name, label in zip(names, labels, strict=True):
            image = Image.fromarray(label)
            image.putpalette([5, 5, 5] * 256)
            image.save(folder / f"{name}.png")
    return root


@pytest.mark.parametrize("names", [("00000", "00005", "00010"), ("00000", "00001", "00002")])
def test_indexed_maps_give_each_expression_its_object(tmp_path: Path, names: tuple[str, ...]) -> None:
    dataset = davis(objects=3, annotators=4)
    reader = open_foreign(write_indexed(tmp_path, dataset, 4, names), dataset)
    assert reader.run["recognised_by"] == "folders anno_0 to anno_3"
    read = reader.video("a/b")
    assert len(read) == 12 and reader.video("other") == {}
    for one in dataset.videos[0].expressions:
        assert read[one.expression_id].actor == dataset.tracks[one.actor_ids[0]]


def test_indexed_maps_with_foreign_objects_or_frames(tmp_path: Path) -> None:
    dataset = davis(objects=2, annotators=1)
    root = write_indexed(tmp_path, dataset, 1, ("00000", "00001", "00002"))
    folder = root / "anno_0" / "a/b"
    Image.fromarray(np.full((HEIGHT, WIDTH), 9, np.uint8)).save(folder / "00002.png")
    read = open_foreign(root, dataset).video("a/b")
    assert "objects that no expression is about" in str(read["0"].message) and "found [9]" in str(
        read["1"].message
    )
    (folder / "00001.png").rename(folder / "00004.png")
    read = open_foreign(root, dataset).video("a/b")
    assert read["0"].status is Status.ERROR and "not one per frame" in str(read["0"].message)


def test_a_video_without_one_annotators_maps_lacks_those_predictions(tmp_path: Path) -> None:
    dataset = davis(objects=1, annotators=2)
    root = write_indexed(tmp_path, dataset, 2, ("00000", "00001", "00002"))
    (root / "anno_1" / "a").rename(tmp_path.parent / f"{tmp_path.name}-away")
    assert set(open_foreign(root, dataset).video("a/b")) == {"0"}


def test_indexed_maps_need_ref_davis_numbering(tmp_path: Path) -> None:
    dataset = davis(objects=2, annotators=2)
    video = dataset.videos[0]
    dataset.videos = (replace(video, expressions=video.expressions[:3]),)
    root = write_indexed(tmp_path, dataset, 2, ("00000", "00001", "00002"))
    with pytest.raises(
        PredictionError, match=r"do not fit this dataset.* 2 for each object; found 3 expressions"
    ):
        open_foreign(root, dataset)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**31))
def test_what_is_written_is_read(tmp_path_factory: pytest.TempPathFactory, seed: int) -> None:
    dataset = tiny_dataset(seed % 7, videos=1)
    video = dataset.videos[0]
    track = encode_track(random_masks(np.random.default_rng(seed), len(video.frame_names)))
    root = tmp_path_factory.mktemp("tree")
    write_frames(root / "clip0" / "0", video, track)
    assert open_foreign(root, dataset).video("clip0")["0"].actor == track
