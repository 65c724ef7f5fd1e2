"""The reader of the released layout: what it hands out, and what it says about data it cannot use."""

from __future__ import annotations

import copy
import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from benchmark.datasets import DATASETS, open_dataset
from benchmark.datasets.interrvos import InterrvosDataset, open_split
from benchmark.errors import DatasetError, UsageError
from benchmark.masks import decode_track
from benchmark.types import Expression
from tests.benchmark.small_release import FRAMES, SIZES, mask_dict, meta, rle, track_array, write_release


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INTERRVOS_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_release(tmp_path / "InterRVOS" / "val")


def changed(change: Callable[[dict[str, Any]], object]) -> dict[str, Any]:
    """The meta content after a change to its videos."""
    content = copy.deepcopy(meta())
    change(content["videos"])
    return content


def test_expressions_are_read_as_released(folder: Path) -> None:
    dataset = open_split(folder, "val")
    assert [video.video_id for video in dataset.videos] == ["222_clip000", "111_clip000"], "order of the file"
    second, first = dataset.videos
    assert first.frame_names == tuple(FRAMES)
    assert first.expressions == (
        Expression("0", "white cup held above the table", "single", ("41",)),
        Expression("7", "child handing cup to woman", "unidirectional", ("40",), ("41", "42")),
        Expression("10", "two people", "multi", ("40", "42")),
        Expression("2", "somebody", "undefined", ("42",), (), ("small", "occluded")),
    )
    assert [item.is_interaction for item in first.expressions] == [False, True, False, False]
    assert second.expressions == (Expression("0", "a dog", "single", ("50",)),)
    assert (dataset.name, dataset.split) == ("interrvos", "val")


def test_videos_are_a_sequence(folder: Path) -> None:
    videos = open_split(folder, "val").videos
    assert len(videos) == 2
    assert videos[-1] == list(videos)[1] == videos[0:2][1]
    assert videos[0] in videos
    with pytest.raises(IndexError):
        videos[2]


def test_truth_is_the_union_over_all_frames(folder: Path) -> None:
    dataset = open_split(folder, "val")
    video = dataset.videos[1]
    assert dataset.frame_size(video) == SIZES[video.video_id]
    for ids in (["41"], ["40", "42"], ["40", "41", "42"], ["42", "42"]):
        expected = np.any([track_array(annotation_id) for annotation_id in ids], axis=0)
        assert np.array_equal(decode_track(dataset.truth(video, ids)), expected)
    empty = dataset.truth(video, [])
    assert empty.is_empty
    assert (len(empty), empty.height, empty.width) == (len(FRAMES), *SIZES[video.video_id])


def test_frames_are_those_of_the_video(folder: Path) -> None:
    dataset = open_split(folder, "val")
    video = dataset.videos[0]
    frames = dataset.frames(video)
    assert (len(frames), frames.height, frames.width) == (3, *SIZES[video.video_id])
    before = dataset.frames_fingerprint(video)
    assert before == open_split(folder, "val").frames_fingerprint(video)
    path = folder / "JPEGImages" / video.video_id / "00001.jpg"
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (9, 16, 3), np.uint8)).save(path)
    assert dataset.frames_fingerprint(video) != before
    path.unlink()
    with pytest.raises(DatasetError, match=r"1 of 3 frames are missing; expected 00001\.jpg; found 2 files"):
        dataset.frames(video)
    with pytest.raises(DatasetError, match="frame file is missing"):
        dataset.frames_fingerprint(video)


@pytest.mark.parametrize("below", ["", "val", "InterRVOS/val"])
def test_the_data_root_may_be_the_split_or_above_it(tmp_path: Path, below: str) -> None:
    write_release(tmp_path / "root" / below)
    assert len(open_dataset("interrvos", tmp_path / "root", "val").videos) == 2


def test_new_files_by_option(folder: Path) -> None:
    def shorten(videos: dict[str, Any]) -> None:
        del videos["222_clip000"]

    with pytest.raises(
        DatasetError,
        match=r"no new_meta_expressions\.json.*choose the variant 'released' \(--dataset interrvos\)",
    ):
        open_split(folder, "val", variant="new")
    (folder / "new_meta_expressions.json").write_text(json.dumps(changed(shorten)))
    with pytest.raises(DatasetError, match=r"new_mask_dict\.json: the mask file is missing"):
        open_split(folder, "val", variant="new")
    (folder / "new_mask_dict.json").write_text(json.dumps(mask_dict()))
    assert len(open_split(folder, "val", variant="new").videos) == 1
    assert len(open_split(folder, "val").videos) == 2
    by_name = open_dataset("interrvos-new", folder, "val")
    assert (by_name.name, len(by_name.videos)) == ("interrvos-new", 1)
    assert open_dataset("interrvos", folder, "val", variant="new").name == "interrvos-new"
    assert open_dataset("interrvos", folder, "val").name == "interrvos"
    with pytest.raises(UsageError, match="unknown variant 'newer'"):
        open_split(folder, "val", variant="newer")


def test_frames_are_sorted_and_masks_follow_the_sorted_list(tmp_path: Path) -> None:
    def shuffle(videos: dict[str, Any]) -> None:
        videos["111_clip000"]["frames"] = ["00002", "00000", "00001"]

    dataset = open_split(write_release(tmp_path / "val", changed(shuffle)), "val")
    video = dataset.videos[1]
    assert video.frame_names == tuple(FRAMES)
    assert np.array_equal(decode_track(dataset.truth(video, ["41"])), track_array("41"))
    assert dataset.digest == open_split(write_release(tmp_path / "plain"), "val").digest


def test_ids_may_be_texts_and_repeat(tmp_path: Path) -> None:
    def as_text(videos: dict[str, Any]) -> None:
        videos["111_clip000"]["expressions"]["10"]["anno_id"] = ["40", 42, 40]

    dataset = open_split(write_release(tmp_path / "val", changed(as_text)), "val")
    assert dataset.videos[1].expressions[2].actor_ids == ("40", "42")


def test_a_video_without_any_mask_takes_its_size_from_the_frames(tmp_path: Path) -> None:
    masks = mask_dict() | {"50": [None, None, None]}
    dataset = open_split(write_release(tmp_path / "val", masks=masks), "val")
    truth = dataset.truth(dataset.videos[0], ["50"])
    assert truth.is_empty
    assert (truth.height, truth.width) == SIZES["222_clip000"]


def test_the_digest_depends_on_content_alone(tmp_path: Path) -> None:
    plain = open_split(write_release(tmp_path / "plain"), "val").digest
    same = write_release(tmp_path / "elsewhere" / "val")
    masks = {key: mask_dict()[key] for key in reversed(mask_dict())} | {"999": [None]}
    (same / "mask_dict.json").write_text(json.dumps(masks, indent=2))
    content = changed(lambda videos: videos["111_clip000"].update(vid_id=77, more=None))
    (same / "meta_expressions.json").write_text(json.dumps(content, indent=1, sort_keys=False))
    assert open_split(same, "val").digest == plain
    assert len(plain) == 64

    def text(videos: dict[str, Any]) -> None:
        videos["111_clip000"]["expressions"]["0"]["exp"] = "white cup"

    def tags(videos: dict[str, Any]) -> None:
        videos["111_clip000"]["expressions"]["2"]["tags"] = ["small"]

    def roles(videos: dict[str, Any]) -> None:
        videos["111_clip000"]["expressions"]["7"]["anno_id"] = [41]

    def frames(videos: dict[str, Any]) -> None:
        videos["111_clip000"]["frames"] = ["00000", "00001", "00003"]

    def order(videos: dict[str, Any]) -> None:
        videos["222_clip000"] = videos.pop("222_clip000")

    digests = {plain}
    for number, change in enumerate((text, tags, roles, frames, order)):
        digests.add(open_split(write_release(tmp_path / f"{number}", changed(change)), "val").digest)
    other = mask_dict()
    other["40"][0] = rle(~track_array("40")[0])
    digests.add(open_split(write_release(tmp_path / "masks", masks=other), "val").digest)
    assert len(digests) == 7


def test_a_dataset_travels_to_another_process_by_opening_it_there(folder: Path) -> None:
    dataset = open_split(folder, "val")
    twin = pickle.loads(pickle.dumps(dataset))
    assert isinstance(twin, InterrvosDataset)
    assert twin.digest == dataset.digest
    assert list(twin.videos) == list(dataset.videos)


def test_a_damaged_index_heals_itself_while_in_use(folder: Path) -> None:
    """Damage inside the masks is not looked for when opening, only when the track is read."""
    open_split(folder, "val")
    path = folder / "mask_dict.index"
    raw = bytearray(path.read_bytes())
    raw[60] ^= 1
    path.unlink()
    path.write_bytes(raw)
    dataset = open_split(folder, "val")
    video = dataset.videos[1]
    assert np.array_equal(decode_track(dataset.truth(video, ["40"])), track_array("40"))
    assert path.read_bytes() != raw


# --- what is wrong is said when opening -----------------------------------------------------------


def first(videos: dict[str, Any]) -> Any:
    return videos["111_clip000"]["expressions"]


META_PROBLEMS: list[tuple[Callable[[dict[str, Any]], object], str]] = [
    (
        lambda v: first(v)["7"].pop("exp"),
        r'expression 7: "exp" is wrong; .* found absent',
    ),
    (lambda v: first(v)["7"].update(exp=" "), r'"exp" is wrong; expected the sentence; found a blank text'),
    (lambda v: first(v)["7"].update(exp=5), r'"exp" is wrong; expected the sentence; found a number'),
    (lambda v: first(v)["7"].update(anno_id=[]), r'"anno_id" names no track.*found \[\]'),
    (lambda v: first(v)["7"].pop("anno_id"), r'"anno_id" names no track.*found absent'),
    (lambda v: first(v)["7"].update(anno_id=7), r'"anno_id": annotation ids are wrong.*found a number'),
    (lambda v: first(v)["7"].update(anno_id=[True]), r"an annotation id is wrong.*found true or false"),
    (lambda v: first(v)["7"].update(anno_id=[1.5]), r"an annotation id is wrong.*found a number"),
    (lambda v: first(v)["7"].update(caption_type=3), r'"caption_type" is wrong; expected a text'),
    (lambda v: first(v)["7"].update(tags="small"), r'"tags" is wrong; expected a list of texts'),
    (lambda v: first(v)["7"].update({"subject/object": []}), r'"subject/object": is of the wrong type'),
    (lambda v: first(v)["7"]["subject/object"].update(anno_id=[3]), r"is of the wrong type.*found a list"),
    (lambda v: first(v).update({"../x": first(v)["7"]}), r"an expression id is unusable"),
    (lambda v: first(v).update({"8": None}), r"expression 8: is of the wrong type.*found null"),
    (lambda v: v["111_clip000"].update(expressions=[]), r'"expressions" is wrong.*found \[\]'),
    (lambda v: first(v)["7"].update(exp="cup \ud800"), r'"exp" is wrong.*found an escape that is only half'),
    (lambda v: first(v)["7"].update(caption_type="\ud800"), r'"caption_type" is wrong.*found an escape'),
    (lambda v: first(v)["7"].update(tags=["\udfff"]), r'"tags" is wrong; expected a list of texts'),
    (lambda v: first(v)["7"].update(anno_id=["\ud800"]), r"an annotation id is wrong"),
    (lambda v: first(v).update({"\ud800": first(v)["7"]}), r"expression '\\ud800': an expression id is unus"),
    (lambda v: first(v).update({"": first(v)["7"]}), r"expression '': an expression id is unusable"),
    (lambda v: v["111_clip000"].update(frames=["\ud800"]), r"a frame name must be the name of a file"),
    (lambda v: v.update({"\ud800": v["111_clip000"]}), r"a video id must be the name of a folder"),
    (lambda v: v["111_clip000"].update(frames=[]), r'"frames" is wrong.*found \[\]'),
    (lambda v: v["111_clip000"].pop("frames"), r'"frames" is wrong.*found absent'),
    (lambda v: v["111_clip000"].update(frames=[1, 2, 3]), r'"frames" is wrong.*found a list'),
    (lambda v: v["111_clip000"].update(frames=["a", "a", "b"]), r"frames are repeated.*found a"),
    (lambda v: v["111_clip000"].update(frames=["../../etc"]), r"a frame name must be the name of a file"),
    (lambda v: v.update({"a/b": v["111_clip000"]}), r"a video id must be the name of a folder"),
    (lambda v: v.update({"x": []}), r"video x: is of the wrong type; expected an object; found \[\]|a list"),
    (lambda v: v.clear(), r"the file names no video"),
]


@pytest.mark.parametrize(("change", "said"), META_PROBLEMS)
def test_wrong_expressions_are_refused(tmp_path: Path, change: Any, said: str) -> None:
    folder = write_release(tmp_path / "val", changed(change))
    with pytest.raises(DatasetError, match=said) as caught:
        open_split(folder, "val")
    assert "meta_expressions.json" in str(caught.value)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"video": {}}', 'the file has no "videos"'),
        ('{"videos": []}', '"videos" is wrong.*found a list'),
        ('{"videos": {}, "videos": {}}', 'found "videos" twice'),
        ('{"videos": {"a": {"frames": ["0"], "frames": ["0"], "expressions": {}}}}', "a key occurs twice"),
        ('{"videos": {"a": {"frames": ["0"], "expressions": {}}, "a": {}}}', "the video occurs twice"),
        ('{"videos": {"a": {"frames": ["0"', "the JSON is cut off"),
    ],
)
def test_wrong_json_is_refused(folder: Path, text: str, said: str) -> None:
    (folder / "meta_expressions.json").write_text(text)
    with pytest.raises(DatasetError, match=said):
        open_split(folder, "val")


def test_many_problems_are_shown_at_once(tmp_path: Path) -> None:
    def spoil(videos: dict[str, Any]) -> None:
        for number in range(50):
            first(videos)[f"bad{number}"] = {"exp": "", "anno_id": [40]}

    folder = write_release(tmp_path / "val", changed(spoil))
    with pytest.raises(DatasetError, match="50 problems, the first 20 below") as caught:
        open_split(folder, "val")
    assert len(caught.value.problems) == 20
    assert "python -m benchmark.datasets check" in str(caught.value)


def test_every_mask_that_does_not_fit_is_named_when_opening_or_when_asked_for(tmp_path: Path) -> None:
    masks = mask_dict()
    del masks["41"]
    masks["42"] = masks["42"][:2]
    masks["40"][2]["counts"] = "!"
    folder = write_release(tmp_path / "val", masks=masks)
    with pytest.raises(DatasetError) as caught:
        open_split(folder, "val")
    said = str(caught.value)
    place = "mask_dict.json: video 111_clip000, "
    assert f"{place}expressions 0, 7: an annotation id has no track; expected the key '41'" in said
    assert f"{place}expressions 7, 10, 2, annotation 42: the track has another length than the video" in said
    assert f"{place}expressions 7, 10, annotation 40, frame 00002: run-length text holds characters" in said
    assert "3 problems" in said
    dataset = open_split(folder, "val", strict=False)
    video = dataset.videos[1]
    for annotation_id, what in (("41", "no track"), ("42", "another length"), ("40", "frame 00002")):
        with pytest.raises(DatasetError, match=what):
            dataset.truth(video, [annotation_id])
    assert not dataset.truth(dataset.videos[0], ["50"]).is_empty
    with pytest.raises(DatasetError, match="no expression: an annotation id has no track"):
        dataset.truth(video, ["12345"])


def test_masks_of_one_video_must_have_one_size(tmp_path: Path) -> None:
    masks = mask_dict()
    masks["42"] = [rle(np.eye(5, dtype=bool))] * 3
    folder = write_release(tmp_path / "val", masks=masks)
    with pytest.raises(
        DatasetError, match=r"differ in size; expected 9x16|differ in size; expected 12x20"
    ) as caught:
        open_split(folder, "val")
    assert "annotation 42" in str(caught.value)
    dataset = open_split(folder, "val", strict=False)
    with pytest.raises(DatasetError, match=r"differ in size.*found 5x5"):
        dataset.truth(dataset.videos[1], ["40", "42"])


def test_a_track_with_more_faults_than_are_kept_in_words(tmp_path: Path) -> None:
    frames = [f"{index:05d}" for index in range(30)]

    def lengthen(videos: dict[str, Any]) -> None:
        videos["222_clip000"]["frames"] = frames

    folder = write_release(tmp_path / "val", changed(lengthen), mask_dict() | {"50": [7] * 30})
    with pytest.raises(DatasetError, match="more masks of a track are wrong; found 10 more"):
        dataset = open_split(folder, "val", strict=False)
        raise DatasetError.from_problems("all", _problems(dataset))


def _problems(dataset: InterrvosDataset) -> Any:
    from benchmark.datasets.references import track_problems

    return track_problems(dataset._masks, dataset.videos[0], "50")


# --- what is wrong with the folder -----------------------------------------------------------------


def test_missing_folders_are_one_sentence_with_the_place_to_get_the_data(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_text("")
    for root, said in (
        ("missing", "the data root does not exist"),
        ("file", "the data root is a file"),
        ("empty", r"no meta_expressions\.json here, nor in val/ or InterRVOS/val/.*found an empty folder"),
    ):
        with pytest.raises(DatasetError, match=said) as caught:
            open_split(tmp_path / root, "val")
        assert "wooj0216/InterRVOS-127K" in str(caught.value)
        assert "\n" not in str(caught.value)


def test_the_wrong_split_is_not_read_as_the_right_one(tmp_path: Path) -> None:
    folder = write_release(tmp_path / "train")
    with pytest.raises(DatasetError, match=r"of split 'train'; expected split 'val'.*--split train"):
        open_split(folder, "val")
    with pytest.raises(DatasetError, match=r"did you mean --split train\?"):
        open_split(tmp_path, "tran")
    assert open_split(folder, "train").split == "train"


def test_half_extracted_frames(folder: Path) -> None:
    images = folder / "JPEGImages"
    for path in (images / "222_clip000").iterdir():
        path.unlink()
    (images / "222_clip000").rmdir()
    said = "1 of 2 videos have no folder of frames; expected 222_clip000/; found a half-extracted folder"
    with pytest.raises(DatasetError, match=said):
        open_split(folder, "val")
    images.rename(folder / "images")
    with pytest.raises(DatasetError, match="the frames are missing; expected 2 folders of jpg files"):
        open_split(folder, "val")
    dataset = open_split(folder, "val", need_frames=False)
    assert not dataset.truth(dataset.videos[0], ["50"]).is_empty
    with pytest.raises(DatasetError, match=r"3 of 3 frames are missing.*found no such folder"):
        dataset.frames(dataset.videos[0])


def test_opening_by_name(folder: Path) -> None:
    others = {"mevis", "ref-youtube-vos", "ref-davis17"}
    assert set(DATASETS) == {"interrvos", "interrvos-new", "interrvos-synthetic"} | others
    assert open_dataset("interrvos", folder, "val", strict=False, need_frames=False).digest
    with pytest.raises(UsageError, match=r"unknown dataset 'intervos'.*did you mean interrvos"):
        open_dataset("intervos", folder)
    with pytest.raises(UsageError, match=r"unknown option of .*'varient'.*did you mean variant"):
        open_dataset("interrvos", folder, varient="new")
    with pytest.raises(UsageError, match=r"needs a folder.*interrvos-synthetic is built in"):
        open_dataset("interrvos")
    with pytest.raises(UsageError, match="the dataset needs a folder"):
        open_split(None, "val")


def test_the_synthetic_set_is_read_by_the_same_reader(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("benchmark.datasets.synthetic.cached_split", lambda split: folder, raising=False)
    dataset = open_dataset("interrvos-synthetic")
    assert dataset.name == "interrvos-synthetic"
    assert dataset.digest == open_dataset("interrvos", folder).digest
    assert open_dataset("interrvos-synthetic", folder.parent).videos[0].video_id == "222_clip000"


def test_a_flat_folder_takes_no_name_that_is_no_split(tmp_path: Path) -> None:
    flat = write_release(tmp_path / "downloads")
    assert open_split(flat, "val").split == "val"
    with pytest.raises(UsageError, match=r"unknown split 'vla'; expected train, val.*did you mean val\?"):
        open_split(flat, "vla")
    own = write_release(tmp_path / "mine")
    assert open_split(own, "mine").split == "mine"
