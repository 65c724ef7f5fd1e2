"""Stored answers of others, evaluated like a model: through their own channel, with all the runner offers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from benchmark.adapter import Adapter, load_adapter
from benchmark.answer_channel import answer_channel, fingerprint
from benchmark.errors import AdapterError, PredictionError
from benchmark.evaluate import main
from benchmark.masks import encode_track
from benchmark.prediction_records import StoredPrediction
from benchmark.types import Query, Role, Status, Video
from tests.benchmark.foreign_forms import coco_entries, write_tree
from tests.benchmark.small_release import TRACKS, meta, track_array, write_release
from tests.benchmark.tiny_clips import oracle_answers, tiny_dataset

pytestmark = pytest.mark.usefixtures("unsynced")


@pytest.fixture
def release(tmp_path: Path) -> Path:
    return write_release(tmp_path / "release")


def truth_tree(root: Path) -> Path:
    """The truth of the small release as both roles' PNG files."""
    for video_id, content in meta()["videos"].items():
        video = Video(video_id, tuple(content["frames"]), ())
        stored: dict[str, Any] = {}
        for name, one in content["expressions"].items():
            actors = sum(track_array(str(number)) for number in one["anno_id"]) > 0
            targets = ((one.get("subject/object") or {}).get("anno_id") or {}).get("object") or []
            target = sum(track_array(str(number)) for number in targets) > 0 if targets else None
            stored[name] = StoredPrediction(
                video_id,
                name,
                one["exp"],
                Status.OK,
                encode_track(actors),
                None if target is None else encode_track(target),
            )
        write_tree(root, [video], {video_id: stored}, "{video}/{expression}/{role}")
    return root


def evaluate(release: Path, stored: Path, output: Path, *words: str) -> dict[str, Any]:
    where = ["--dataset", "interrvos", "--data-root", str(release), "--output", str(output)]
    main(["--adapter", "precomputed", "--option", f"path={stored}", *where, *words])
    result: dict[str, Any] = json.loads((output / "result.json").read_text())
    return result


def test_the_truth_written_by_others_scores_100(
    release: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tree = truth_tree(tmp_path / "tree")
    result = evaluate(release, tree, tmp_path / "out", "--option", "model=LMPM")
    assert {one["J&F"] for one in result["settings"].values()} == {100.0}
    assert result["adapter"]["name"] == "precomputed(LMPM)"
    said = capsys.readouterr().out
    assert "stored answers: binary PNG tree VIDEO/EXPRESSION/ROLE/FRAME.png, recognised by" in said


def test_a_query_without_an_answer_scores_0_and_is_counted(release: Path, tmp_path: Path) -> None:
    tree = truth_tree(tmp_path / "tree")
    (tree / "222_clip000" / "0").rename(tmp_path / "away")
    result = evaluate(release, tree, tmp_path / "out")
    assert result["settings"]["RVOS"]["failed"] == {"error": 1}
    assert result["settings"]["RVOS"]["J&F"] == pytest.approx(80.0)


def test_changed_files_are_not_taken_for_the_same_run(release: Path, tmp_path: Path) -> None:
    tree = truth_tree(tmp_path / "tree")
    evaluate(release, tree, tmp_path / "out")
    before = fingerprint(tree)
    (tree / "222_clip000" / "extra.txt").write_text("new")
    assert fingerprint(tree) != before
    with pytest.raises(PredictionError, match=r"belong to another run.*weights_digest was"):
        evaluate(release, tree, tmp_path / "out")


def test_a_finished_run_can_be_handed_on(release: Path, tmp_path: Path) -> None:
    first = tmp_path / "first"
    where = ["--dataset", "interrvos", "--data-root", str(release)]
    main(["--adapter", "full_frame", *where, "--output", str(first)])
    result = evaluate(release, first, tmp_path / "second")
    assert result["adapter"]["name"] == "precomputed(full_frame)"
    assert result["settings"] == json.loads((first / "result.json").read_text())["settings"]


def test_an_actor_tree_leaves_target_undefined(release: Path, tmp_path: Path) -> None:
    tree = truth_tree(tmp_path / "tree")
    video = next(iter(meta()["videos"]))
    for expression in (tree / video).iterdir():
        for path in sorted((expression / "actor").iterdir()):
            (tmp_path / "actors" / video / expression.name).mkdir(parents=True, exist_ok=True)
            path.rename(tmp_path / "actors" / video / expression.name / path.name)
    adapter = load_adapter("precomputed", {"path": str(tmp_path / "actors")})
    from benchmark.datasets import open_dataset

    channel = answer_channel(adapter, open_dataset("interrvos", release))
    assert channel is not None and adapter.info().roles == (Role.ACTOR,)


def test_missing_frames_as_empty_masks(tmp_path: Path) -> None:
    dataset = tiny_dataset(videos=1)
    entries = coco_entries(dataset.videos, oracle_answers(dataset))
    path = tmp_path / "list.json"
    path.write_text(json.dumps(entries[1:]))
    for word, status in (("error", Status.ERROR), ("empty", Status.OK)):
        adapter = load_adapter("precomputed", {"path": str(path), "missing_frames": word})
        channel = answer_channel(adapter, dataset)
        assert channel is not None
        answers = channel.of(dataset.videos[0], dataset.videos[0].expressions)
        adapter.open_answers(answers)
        queries = [Query(index, one.text) for index, one in enumerate(dataset.videos[0].expressions)]
        assert adapter.predict(queries) == answers and answers[0].status is status


def test_facts_given_by_hand(tmp_path: Path) -> None:
    options = {"path": str(tmp_path), "licence": "MIT", "trained_on": "mevis:train, revos:train"}
    info = load_adapter("precomputed", options).info()
    assert info.licence == "MIT" and info.trained_on == ("mevis:train", "revos:train")


def test_inside_another_adapter_it_has_no_channel(tmp_path: Path) -> None:
    adapter = load_adapter("precomputed", {"path": str(tmp_path)})
    with pytest.raises(AdapterError, match=r"no stored answers were handed over.*by itself"):
        adapter.predict([Query(0, "somebody")])


def test_other_adapters_have_no_channel() -> None:
    empty = load_adapter("empty")
    assert answer_channel(empty, tiny_dataset(videos=1)) is None
    for call in (Adapter.describe_answers, Adapter.open_answers):
        with pytest.raises(TypeError, match="Empty sets stored_answers but does not define"):
            call(empty, [])  # type: ignore[arg-type]


def test_the_small_release_has_the_tracks_that_are_written() -> None:
    named = {
        str(n)
        for video in meta()["videos"].values()
        for e in video["expressions"].values()
        for n in e["anno_id"]
    }
    assert named <= set(TRACKS)
