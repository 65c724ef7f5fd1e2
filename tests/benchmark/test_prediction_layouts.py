"""Which form a place has, and that no form is taken for another."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmark.errors import PredictionError
from benchmark.prediction_layouts import recognise
from benchmark.predictions import open_predictions
from benchmark.types import Role
from tests.benchmark.foreign_forms import coco_entries, write_frames, write_official, write_tree
from tests.benchmark.tiny_clips import TinyDataset, empty_answers, oracle_answers, tiny_dataset

ACTOR_TREE = "{video}/{expression}"


@pytest.fixture
def dataset() -> TinyDataset:
    return tiny_dataset(videos=2)


@pytest.fixture
def place(tmp_path: Path) -> Path:
    place = tmp_path / "place"
    place.mkdir()
    return place


@pytest.mark.parametrize(
    ("form", "layout", "roles"),
    [
        (ACTOR_TREE, "binary PNG tree VIDEO/EXPRESSION/FRAME.png", {"actor"}),
        (f"Annotations/{ACTOR_TREE}", "binary PNG tree Annotations/VIDEO/EXPRESSION/FRAME.png", {"actor"}),
        (f"{ACTOR_TREE}/{{role}}", "binary PNG tree VIDEO/EXPRESSION/ROLE/FRAME.png", {"actor", "target"}),
        (f"{{role}}/{ACTOR_TREE}", "binary PNG tree ROLE/VIDEO/EXPRESSION/FRAME.png", {"actor", "target"}),
    ],
)
def test_trees_are_told_apart_and_read_alike(
    dataset: TinyDataset, place: Path, form: str, layout: str, roles: set[str]
) -> None:
    truth = oracle_answers(dataset)
    write_tree(place, dataset.videos, truth, form)
    reader = open_predictions(place, dataset)
    assert reader.run["layout"] == layout
    assert "of tiny" in reader.run["recognised_by"]
    assert reader.adapter is not None and set(reader.adapter.roles) == roles
    assert set(reader.video_ids) == set(truth)
    for video_id, answers in truth.items():
        read = reader.video(video_id)
        assert {name: one.actor for name, one in read.items()} == {n: o.actor for n, o in answers.items()}
        if Role.TARGET in reader.adapter.roles:
            assert {name: one.target for name, one in read.items()} == {
                n: o.target for n, o in answers.items()
            }


def test_overlays_beside_the_masks_tell_videolisa(dataset: TinyDataset, place: Path) -> None:
    write_tree(place, dataset.videos, oracle_answers(dataset), ACTOR_TREE, value=100)
    (place / "clip0" / "0" / "masked_img_0.jpg").touch()
    found = recognise(place, dataset)
    assert found.layout.endswith("(VideoLISA's)") and "masked_img_" in found.why
    assert found.open().video("clip0")["0"].message is None


def test_official_files_split_merged_and_without_targets(dataset: TinyDataset, place: Path) -> None:
    stored = oracle_answers(dataset)
    write_official(place / "results_pid_0.json", dataset.videos[:1], stored, targets=False)
    write_official(place / "results_pid_1.json", dataset.videos[1:], stored, targets=False)
    reader = open_predictions(place, dataset)
    assert reader.run["layout"] == "official results_pid_*.json"
    assert reader.run["recognised_by"] == "2 files results_pid_*.json"
    assert reader.adapter is not None and reader.adapter.roles == (Role.ACTOR,)
    assert reader.video("clip1")["2"].actor == stored["clip1"]["2"].actor
    merged = open_predictions(
        write_official(place / "merged.json", dataset.videos, stored, targets=False), dataset
    )
    assert merged.run["layout"] == "official results.json" and set(merged.video_ids) == set(stored)


def test_official_files_with_targets_may_claim_both_roles(dataset: TinyDataset, place: Path) -> None:
    whole = {video: {"0": answers["0"]} for video, answers in oracle_answers(dataset).items()}
    path = write_official(place / "results.json", dataset.videos, whole, targets=True)
    assert open_predictions(path, dataset).adapter is None
    assert open_predictions(place, dataset).video("clip0")["0"].target == whole["clip0"]["0"].target


def test_a_json_list_is_coco_and_nothing_else(dataset: TinyDataset, place: Path) -> None:
    path = place / "anything.json"
    path.write_text(json.dumps(coco_entries(dataset.videos, oracle_answers(dataset))))
    assert open_predictions(path, dataset).run["layout"] == "COCO list with scores"
    path.write_text("PK\x03\x04")
    with pytest.raises(PredictionError, match=r"known form; .*begins with b'P'.* unpack archives"):
        open_predictions(path, dataset)
    path.write_text("")
    with pytest.raises(PredictionError, match="an empty file"):
        open_predictions(path, dataset)


def test_two_forms_at_once_are_refused(dataset: TinyDataset, place: Path) -> None:
    stored = oracle_answers(dataset)
    write_official(place / "results.json", dataset.videos, stored, targets=False)
    write_tree(place, dataset.videos, stored, f"Annotations/{ACTOR_TREE}")
    with pytest.raises(
        PredictionError, match=r"several forms.*\(results\.json\); binary PNG tree Annotations/"
    ):
        open_predictions(place, dataset)


@pytest.mark.parametrize("beside", ["JPEGImages", "mask_dict.json"])
def test_the_dataset_itself_is_not_scored_as_a_prediction(
    dataset: TinyDataset, place: Path, beside: str
) -> None:
    write_tree(place, dataset.videos, oracle_answers(dataset), f"Annotations/{ACTOR_TREE}")
    (place / beside).touch()
    with pytest.raises(PredictionError, match=f"this is a dataset, not predictions; found {beside}"):
        open_predictions(place, dataset)


def test_masks_without_a_folder_per_expression(dataset: TinyDataset, place: Path) -> None:
    video = dataset.videos[0]
    write_frames(place / "Annotations" / video.video_id, video, dataset.tracks["0a"])
    with pytest.raises(
        PredictionError, match=r"clip0 without a folder per expression.* VIDEO/EXPRESSION/FRAME"
    ):
        open_predictions(place, dataset)


def test_videos_of_another_dataset(dataset: TinyDataset, place: Path) -> None:
    write_tree(place, dataset.videos, empty_answers(dataset) | oracle_answers(dataset), ACTOR_TREE)
    (place / "stranger").mkdir()
    (place / ".cache").mkdir()
    with pytest.raises(PredictionError, match=r"predictions of another dataset.* with stranger"):
        open_predictions(place, dataset)


def test_a_folder_around_it_is_named(dataset: TinyDataset, place: Path) -> None:
    write_tree(place / "run7", dataset.videos, oracle_answers(dataset), ACTOR_TREE)
    with pytest.raises(PredictionError, match=r"such as clip0; found run7/\. Fix: perhaps .*run7 is meant"):
        open_predictions(place, dataset)
    (place / "other").mkdir()
    with pytest.raises(PredictionError, match="check --dataset and --split"):
        open_predictions(place, dataset)


def test_a_missing_annotator(dataset: TinyDataset, place: Path) -> None:
    for number in (0, 2):
        (place / f"anno_{number}").mkdir()
    with pytest.raises(PredictionError, match="annotators are missing; expected anno_0 to anno_2"):
        open_predictions(place, dataset)
