"""The official results.json: as it is written, split over processes, and in every wrong form."""

from __future__ import annotations

import json
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pycocotools import mask as coco

from benchmark.errors import PredictionError
from benchmark.masks import decode_track, encode_track
from benchmark.official_predictions import open_official
from benchmark.types import MaskTrack, Status
from tests.benchmark.tiny_clips import HEIGHT, WIDTH, TinyDataset, tiny_dataset

ANSWER = "Sure, [SEG] and [SEG_OBJ].<|im_end|>"


@pytest.fixture
def dataset() -> TinyDataset:
    return tiny_dataset(videos=3)


def rles(track: MaskTrack) -> list[dict[str, Any]]:
    """A track as the official script stores it: every frame has a mask, many without pixels."""
    encoded = [coco.encode(np.asfortranarray(mask.astype(np.uint8))) for mask in decode_track(track)]
    return [{"size": one["size"], "counts": one["counts"].decode()} for one in encoded]


def official(dataset: TinyDataset) -> dict[str, dict[str, Any]]:
    """The truth in the official form; expressions sorted as strings, as that script does."""
    return {
        video.video_id: {
            one.expression_id: {
                "index": 3,
                "video_id": video.video_id,
                "exp_id": one.expression_id,
                "text_prediction": ANSWER if one.is_interaction else "It is [SEG].",
                "frames": list(video.frame_names),
                "exp": f"<image>\nPlease segment {one.text.replace('.', '').strip().lower()}.",
                "prediction_masks_act": rles(dataset.truth(video, one.actor_ids)),
                "prediction_masks_tar": rles(dataset.truth(video, one.target_ids)),
            }
            for one in sorted(video.expressions, key=lambda one: one.expression_id)
        }
        for video in dataset.videos
    }


def written(path: Path, content: Any) -> Path:
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def test_the_truth_comes_back(dataset: TinyDataset, tmp_path: Path) -> None:
    path = written(tmp_path / "results.json", official(dataset))
    for place in (path, tmp_path):
        reader = open_official(place, dataset)
        assert (reader.adapter, reader.dataset_name, reader.dataset_digest) == (None, None, None)
        assert reader.run["layout"] == "official results.json"
        assert reader.run["files"][0]["bytes"] == path.stat().st_size
        assert list(reader.video_ids) == [video.video_id for video in dataset.videos]
        for video in dataset.videos:
            answers = reader.video(video.video_id)
            assert set(answers) == {one.expression_id for one in video.expressions}
            for one in video.expressions:
                answer = answers[one.expression_id]
                assert answer.expression == one.text
                assert answer.actor == dataset.truth(video, one.actor_ids)
                truth = dataset.truth(video, one.target_ids) if one.is_interaction else None
                assert answer.target == truth
    assert reader.video("not there") == {}


def test_parts_of_processes_are_joined(dataset: TinyDataset, tmp_path: Path) -> None:
    whole = official(dataset)
    for part in range(2):
        chosen = {
            video_id: {key: one for index, (key, one) in enumerate(each.items()) if index % 2 == part}
            for video_id, each in whole.items()
        }
        written(tmp_path / f"results_pid_{part}.json", chosen)
    together = written(tmp_path / "together.json", whole)
    parts, one = open_official(tmp_path, dataset), open_official(together, dataset)
    for video in dataset.videos:
        assert parts.video(video.video_id) == one.video(video.video_id)
    written(tmp_path / "results_pid_2.json", {"clip1": {"0": whole["clip1"]["0"]}})
    with pytest.raises(
        PredictionError,
        match=r"clip1, expression 0: predicted twice; found in results_pid_0.json and results",
    ):
        open_official(tmp_path, dataset)
    written(tmp_path / "results.json", whole)
    with pytest.raises(PredictionError, match=r"results.json and 3 results_pid_\*.json"):
        open_official(tmp_path, dataset)


def test_masks_without_pixels_are_told_from_no_masks_by_the_answer(
    dataset: TinyDataset, tmp_path: Path
) -> None:
    content = official(dataset)
    video = dataset.videos[0]
    nothing = rles(encode_track(np.zeros((len(video.frame_names), HEIGHT, WIDTH), bool)))
    one = content["clip0"]["0"]
    one.update(prediction_masks_act=nothing, prediction_masks_tar=nothing)

    def read(text: str | None) -> tuple[bool, bool, Status]:
        one["text_prediction"] = text
        reader = open_official(written(tmp_path / "results.json", content), dataset)
        answer = reader.video("clip0")["0"]
        return answer.actor is not None, answer.target is not None, answer.status

    assert read(ANSWER) == (True, True, Status.OK)
    assert read("Sure, [SEG_ACT] and [SEG_TAR]") == (True, True, Status.OK)
    assert read("It is [SEG].") == (True, False, Status.OK)
    assert read("I see nothing.") == (False, False, Status.NO_MASK)
    assert read(None) == (True, True, Status.OK)


def test_single_mask_models(dataset: TinyDataset, tmp_path: Path) -> None:
    content = official(dataset)
    for one in content["clip0"].values():
        one["prediction_masks"] = one.pop("prediction_masks_act")
        del one["prediction_masks_tar"]
    answers = open_official(written(tmp_path / "results.json", content), dataset).video("clip0")
    assert all(answer.target is None and answer.actor is not None for answer in answers.values())


def test_frames_in_another_order_are_put_right(dataset: TinyDataset, tmp_path: Path) -> None:
    content = official(dataset)
    for one in content["clip2"].values():
        for key in ("frames", "prediction_masks_act", "prediction_masks_tar"):
            one[key] = one[key][::-1]
    answers = open_official(written(tmp_path / "results.json", content), dataset).video("clip2")
    video = dataset.videos[2]
    assert answers["0"].actor == dataset.truth(video, video.expressions[0].actor_ids)


def changed(**values: Any) -> Any:
    return lambda one: one.update(values)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (changed(prediction_masks_act=None), "prediction_masks_act: the masks are null.*without --submit"),
        (
            lambda one: one["prediction_masks_tar"].__setitem__(1, None),
            "prediction_masks_tar, mask 1: the mask is null; expected a run-length mask. Fix: write a frame",
        ),
        (
            lambda one: one.update(prediction_masks_tar=[None] * 3),
            "prediction_masks_tar: the masks are null.*without --submit",
        ),
        (
            lambda one: one["prediction_masks_act"].pop(),
            "one mask per frame is needed; expected 3 masks; found 2",
        ),
        (changed(prediction_masks_act="x"), "one mask per frame is needed.*found a text"),
        (
            lambda one: one["prediction_masks_act"][0].update(size=[1, 2]),
            r"prediction_masks_act, mask 0: wrong mask size; expected \[18, 25\]; found \[1, 2\]",
        ),
        (lambda one: one["prediction_masks_act"][2].update(counts="z!"), "mask 2: run-length text"),
        (lambda one: one["prediction_masks_act"][2].update(counts=[450]), "not a run-length mask"),
        (lambda one: one["prediction_masks_act"].__setitem__(0, 7), "wrong mask size"),
        (changed(frames=["1", "2"]), "other frames than the dataset's; expected 3 frames; found 2 frames"),
        (changed(frames="all"), "other frames.*found a text"),
        (changed(exp="<image>\nPlease segment a dog."), "answer to another sentence; expected 'red pushing"),
        (lambda one: (one.pop("prediction_masks_act"), None)[1], "no masks; expected an object with"),
    ],
)
def test_wrong_expressions(dataset: TinyDataset, tmp_path: Path, change: Any, sentence: str) -> None:
    content = official(dataset)
    change(content["clip0"]["0"])
    reader = open_official(written(tmp_path / "results.json", content), dataset)
    with pytest.raises(PredictionError, match=rf"results\.json: video clip0, expression 0.*{sentence}"):
        reader.video("clip0")
    assert reader.video("clip1")


def test_expressions_that_do_not_exist(dataset: TinyDataset, tmp_path: Path) -> None:
    content = official(dataset)
    content["clip0"]["99"] = content["clip0"]["0"]
    reader = open_official(written(tmp_path / "results.json", content), dataset)
    with pytest.raises(PredictionError, match="expression 99: the dataset has no such expression"):
        reader.video("clip0")


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("", "cut off"),
        ("[]", "malformed JSON at byte 0"),
        ('{"clip0": 3}', "video clip0: not predictions in the official form; .*found a number"),
        ('{"clip0": {"0": {}}', "cut off"),
        ('{"clip0": {"0": {}}} x', "malformed"),
        ('{"clip0": {"0": {}, "0": {}}}', "clip0, expression 0: predicted twice"),
        ("{}", "holds no prediction"),
        ('{"clip0": {}}', "holds no prediction"),
        ('{"clip0": {}, "elsewhere": {"0": {}}}', "predictions of another dataset.*elsewhere"),
    ],
)
def test_wrong_files(dataset: TinyDataset, tmp_path: Path, content: str, sentence: str) -> None:
    with pytest.raises(PredictionError, match=sentence):
        open_official(written(tmp_path / "results.json", content), dataset)


def test_a_file_many_times_larger_than_what_is_held(tmp_path: Path) -> None:
    dataset = tiny_dataset(videos=12)
    content = official(dataset)
    for each in content.values():
        for one in each.values():
            one["note"] = ["x" * 50_000] * 20
    path = written(tmp_path / "results.json", content)
    del content
    tracemalloc.start()
    assert open_official(path, dataset).video("clip0")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < path.stat().st_size / 2
