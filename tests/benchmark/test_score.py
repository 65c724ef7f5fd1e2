"""Scoring stored predictions: what counts, what is refused, and that equal input gives equal bytes."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmark import scoring
from benchmark.errors import MaskError, OutputError, PredictionError, UsageError
from benchmark.json_records import to_json
from benchmark.masks import empty_track
from benchmark.metrics import device_engine, device_texts
from benchmark.metrics.engines import group_counts, track_counts
from benchmark.prediction_records import StoredPrediction
from benchmark.protocol import load_protocols
from benchmark.result_files import read_result
from benchmark.score import default_output, main, score_predictions
from benchmark.scoring import FrameSpool, answer_digest
from benchmark.selection import select_expressions
from benchmark.types import MaskTrack, Role, Status
from tests.benchmark.tiny_clips import (
    HEIGHT,
    WIDTH,
    TinyReader,
    answer,
    empty_answers,
    oracle_answers,
    random_answers,
    scored,
    tiny_dataset,
)

ROOT = Path(__file__).resolve().parents[2]


def blocks(result: Any) -> str:
    """The JSON text of everything but provenance."""
    return json.dumps({key: value for key, value in to_json(result).items() if key != "provenance"})


def test_scoring_twice_gives_the_same_bytes() -> None:
    dataset = tiny_dataset()
    stored = random_answers(dataset)
    assert blocks(scored(dataset, stored)) == blocks(scored(dataset, stored))


@pytest.mark.parametrize("engine", ["reference", "numpy", "cpu"])
def test_no_number_depends_on_the_engine(engine: str) -> None:
    dataset = tiny_dataset()
    stored = random_answers(dataset)
    assert blocks(scored(dataset, stored, engine=engine)) == blocks(scored(dataset, stored))


def test_no_number_depends_on_the_device_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    """Engine "cuda" with the processor in place of its device."""
    torch = pytest.importorskip("torch")
    for module in (device_engine, device_texts):
        monkeypatch.setattr(module, "require_device", lambda: torch.device("cpu"))
    dataset = tiny_dataset()
    stored = random_answers(dataset)
    assert blocks(scored(dataset, stored, engine="cuda")) == blocks(scored(dataset, stored))


def test_truth_is_counted_once_for_all_expressions_of_the_same_objects(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    dataset = tiny_dataset()
    stored = random_answers(dataset)
    groups: list[tuple[MaskTrack, int]] = []
    pairs: list[MaskTrack] = []

    def group(truth: MaskTrack, predictions: list[MaskTrack], *rest: Any) -> Any:
        groups.append((truth, len(predictions)))
        return group_counts(truth, predictions, *rest)

    def pair(truth: MaskTrack, *rest: Any) -> Any:
        pairs.append(truth)
        return track_counts(truth, *rest)

    monkeypatch.setattr(scoring, "group_counts", group)
    monkeypatch.setattr(scoring, "track_counts", pair)
    scored(dataset, stored)
    distinct = {
        (video.video_id, tuple(sorted(set(ids))))
        for video in dataset.videos
        for one in video.expressions
        for ids in ((one.actor_ids, one.target_ids) if one.is_interaction else (one.actor_ids,))
    }
    assert len(groups) == len(distinct)
    assert max(count for _, count in groups) > 2  # among them one for "no prediction"
    # A pair of its own is counted only where a predicted actor lay on the target: is the target on the actor?
    interactions = [one for video in dataset.videos for one in video.expressions if one.is_interaction]
    assert len(pairs) <= len(interactions)


def test_a_mask_that_does_not_decode_is_named_among_its_group() -> None:
    dataset = tiny_dataset()
    stored = oracle_answers(dataset)
    broken = MaskTrack(HEIGHT, WIDTH, (None, b"~~", None))
    stored["clip0"]["1"] = dataclasses.replace(stored["clip0"]["1"], target=broken)
    with pytest.raises(PredictionError, match="video clip0, expression 1, target, frame 1 of the prediction"):
        scored(dataset, stored)


def test_truth_that_does_not_decode_is_named() -> None:
    dataset = tiny_dataset()
    stored = random_answers(dataset)
    broken = MaskTrack(HEIGHT, WIDTH, (None, None, b"~~"))
    dataset = dataclasses.replace(dataset, tracks={**dataset.tracks, "0d": broken})
    with pytest.raises(MaskError, match="video clip0, annotation 0d, frame 2 of the truth"):
        scored(dataset, stored)


def test_no_number_depends_on_the_order_of_the_prediction_file() -> None:
    dataset = tiny_dataset()
    stored = random_answers(dataset)
    reversed_order = {video: dict(reversed(answers.items())) for video, answers in reversed(stored.items())}
    assert blocks(scored(dataset, reversed_order)) == blocks(scored(dataset, stored))


def test_no_number_depends_on_the_number_of_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    dataset = tiny_dataset()
    stored = random_answers(dataset)
    many = blocks(scored(dataset, stored))
    monkeypatch.setattr("benchmark.scoring.usable_cores", lambda: 1)
    assert blocks(scored(dataset, stored)) == many


def test_the_order_of_the_dataset_moves_a_number_by_rounding_at_most() -> None:
    dataset = tiny_dataset()
    stored = random_answers(dataset)
    straight = scored(dataset, stored).settings["RVOS"]
    turned = scored(dataclasses.replace(dataset, videos=dataset.videos[::-1]), stored).settings["RVOS"]
    assert turned.jf == pytest.approx(straight.jf, abs=1e-12)
    assert turned.intervals.jf == pytest.approx(straight.intervals.jf, abs=1e-7)


def test_the_seed_moves_intervals_and_nothing_else() -> None:
    dataset = tiny_dataset()
    stored = random_answers(dataset)
    one, two = (scored(dataset, stored, seed=seed).settings["RVOS"] for seed in (0, 1))
    assert (one.j, one.f, one.jf) == (two.j, two.f, two.jf)
    assert one.intervals != two.intervals


def test_settings_can_be_scored_alone_with_the_same_numbers() -> None:
    dataset = tiny_dataset()
    stored = random_answers(dataset)
    together = scored(dataset, stored)
    alone = scored(dataset, stored, ["target"])
    assert list(alone.settings) == ["InterRVOS-Target"]
    assert alone.settings["InterRVOS-Target"].jf == together.settings["InterRVOS-Target"].jf
    assert alone.dataset.expressions == 10
    assert alone.partial is None


def test_each_set_of_truth_ids_is_fetched_once_per_video() -> None:
    dataset = tiny_dataset()
    scored(dataset, random_answers(dataset))
    assert len(dataset.asked) == len(set(dataset.asked))
    assert ("clip0", ("0a", "0b", "0c")) in dataset.asked  # ids of a union in one order


def test_videos_are_read_one_at_a_time_and_only_a_few_ahead(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("benchmark.scoring.usable_cores", lambda: 2)
    dataset = tiny_dataset(videos=9)
    stored = random_answers(dataset)
    read: list[str] = []

    class Watched(TinyReader):
        def video(self, video_id: str) -> Mapping[str, StoredPrediction]:
            read.append(video_id)
            return super().video(video_id)

    finished: list[int] = []
    original = FrameSpool.add

    def add(spool: FrameSpool, *arguments: Any) -> None:
        finished.append(len(read))
        original(spool, *arguments)

    monkeypatch.setattr(FrameSpool, "add", add)
    score_predictions(dataset, Watched(stored), load_protocols(), provenance={})
    assert read == [video.video_id for video in dataset.videos]
    assert finished[0] == 3  # the first video is done with when the third has been read


def test_a_limited_run_is_scored_on_what_it_was_limited_to_and_marked() -> None:
    dataset = tiny_dataset()
    stored = oracle_answers(dataset)
    few = {"clip0": stored["clip0"], "clip1": {"0": stored["clip1"]["0"]}}
    result = scored(dataset, few, run={"limit": 6})
    assert result.settings["RVOS"].jf == 100
    assert (result.dataset.videos, result.dataset.expressions) == (2, 6)
    assert result.partial is not None
    assert (result.partial.reason, result.partial.expressions) == ("limited to 6 expressions", 6)
    assert result.partial.expressions_of_split == 23
    assert scored(dataset, stored, run={"limit": 23}).partial is None


def test_a_dataset_that_was_narrowed_by_hand_is_marked_too() -> None:
    dataset = tiny_dataset()
    narrowed = select_expressions(dataset, lambda one: one.caption_type == "single")
    result = score_predictions(
        narrowed, TinyReader(oracle_answers(dataset)), load_protocols(["rvos"]), provenance={}
    )
    assert result.partial is not None
    assert result.partial.reason == "a part of the split"
    assert result.dataset.expressions == 8


def test_predictions_of_another_dataset_are_refused() -> None:
    dataset = tiny_dataset()
    with pytest.raises(PredictionError, match="another version of the dataset"):
        scored(dataset, empty_answers(dataset), dataset_digest="e" * 64)
    scored(dataset, empty_answers(dataset), dataset_digest=None)  # the official file knows no digest


@pytest.mark.parametrize(
    ("role", "track", "message"),
    [
        (
            Role.ACTOR,
            empty_track(3, HEIGHT, WIDTH + 1),
            "video clip0, expression 0, actor.*differ in frame size",
        ),
        (Role.TARGET, empty_track(4, HEIGHT, WIDTH), "video clip0, expression 0, target.*differ in length"),
    ],
)
def test_a_track_that_does_not_fit_is_named_with_its_place(role: Role, track: Any, message: str) -> None:
    dataset = tiny_dataset()
    stored = oracle_answers(dataset)
    stored["clip0"]["0"] = dataclasses.replace(stored["clip0"]["0"], **{role.value: track})
    with pytest.raises(PredictionError, match=message):
        scored(dataset, stored)


def test_the_prediction_digest_follows_masks_and_statuses() -> None:
    dataset = tiny_dataset()
    stored = random_answers(dataset)
    before = scored(dataset, stored).predictions.digest
    slower = {
        video: {name: dataclasses.replace(one, seconds=9.0) for name, one in answers.items()}
        for video, answers in stored.items()
    }
    assert scored(dataset, slower).predictions.digest == before
    changed = stored["clip0"]["0"]
    for other in (
        dataclasses.replace(changed, actor=None),
        dataclasses.replace(changed, actor=empty_track(3, HEIGHT, WIDTH)),
        dataclasses.replace(changed, status=Status.ERROR),
        None,
    ):
        assert answer_digest("clip0", "0", other) != answer_digest("clip0", "0", changed)


def test_cost_adds_up_what_was_measured() -> None:
    dataset = tiny_dataset(videos=2)
    stored = empty_answers(dataset)
    stored["clip0"]["0"] = dataclasses.replace(stored["clip0"]["0"], seconds=None, peak_memory_bytes=7)
    stored["clip0"]["1"] = dataclasses.replace(stored["clip0"]["1"], peak_memory_bytes=9)
    cost = scored(dataset, stored, run={"totals": {"video_seconds": 1.0}}).cost
    assert (cost.seconds, cost.timed_expressions, cost.peak_memory_bytes) == (5.0, 8, 9)
    assert (cost.seconds_per_video, cost.seconds_per_expression) == (2.5, 0.625)
    untimed = {
        video: {name: dataclasses.replace(one, seconds=None) for name, one in answers.items()}
        for video, answers in stored.items()
    }
    cost = scored(dataset, untimed).cost
    assert (cost.seconds, cost.seconds_per_video, cost.parameters) == (None, None, None)


def test_frames_too_large_for_the_frame_file_are_refused() -> None:
    dataset = tiny_dataset()
    result = scored(dataset, empty_answers(dataset))
    assert result.frame_counts is not None
    with pytest.raises(MaskError, match="too large for the frame file"):
        FrameSpool().add(result.frame_counts.tracks[0], np.full((1, 6), 2**31))


# The command, on a released layout on disk and predictions in the official form.


@pytest.fixture
def released(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A split folder with two videos, and results.json beside it, made from the tiny clips."""
    monkeypatch.setenv("INTERRVOS_CACHE", str(tmp_path / "cache"))
    dataset = tiny_dataset(videos=2)
    meta: dict[str, Any] = {}
    for video in dataset.videos:
        expressions = {}
        for one in video.expressions:
            actors = [int(name, 16) for name in one.actor_ids]
            targets = [int(name, 16) for name in one.target_ids]
            expressions[one.expression_id] = {
                "exp": one.text,
                "caption_type": one.caption_type,
                "obj_id": actors,
                "anno_id": actors,
                "subject/object": {
                    "obj_id": {"subject": actors, "object": targets},
                    "anno_id": {"subject": actors, "object": targets},
                },
                "tags": list(one.tags),
            }
        frames = list(video.frame_names)
        meta[video.video_id] = {"vid_id": 0, "frames": frames, "expressions": expressions}
    split = tmp_path / "data" / "val"
    split.mkdir(parents=True)
    masks = {
        str(int(name, 16)): [
            None if text is None else {"size": [HEIGHT, WIDTH], "counts": text.decode()}
            for text in track.counts
        ]
        for name, track in dataset.tracks.items()
    }
    (split / "meta_expressions.json").write_text(json.dumps({"videos": meta}))
    (split / "mask_dict.json").write_text(json.dumps(masks))
    write_official(dataset, random_answers(dataset), tmp_path / "results.json")
    yield tmp_path


def write_official(dataset: Any, stored: Any, path: Path) -> None:
    """Predictions as the official inference script stores them: masks for every frame, of both roles."""
    nothing = np.array([HEIGHT * WIDTH])
    from benchmark.run_lengths import text_from_runs

    def listed(track: Any, length: int) -> list[dict[str, Any]]:
        counts = track.counts if track else (None,) * length
        texts = [text or text_from_runs(nothing) for text in counts]
        return [{"size": [HEIGHT, WIDTH], "counts": text.decode()} for text in texts]

    def said(one: StoredPrediction) -> str:
        return "Sure, [SEG]." if one.target is None else "Sure, [SEG] and [SEG_OBJ]."

    content: dict[str, Any] = {}
    for video in dataset.videos:
        length = len(video.frame_names)
        content[video.video_id] = {
            one.expression_id: {
                "index": 0,
                "video_id": video.video_id,
                "exp_id": one.expression_id,
                "text_prediction": said(stored[video.video_id][one.expression_id]),
                "frames": list(video.frame_names),
                "exp": f"<image>\nPlease segment {one.text}.",
                "prediction_masks_act": listed(stored[video.video_id][one.expression_id].actor, length),
                "prediction_masks_tar": listed(stored[video.video_id][one.expression_id].target, length),
            }
            for one in video.expressions
        }
    path.write_text(json.dumps(content))


def command(released: Path, *more: str) -> list[str]:
    paths = ["--predictions", str(released / "results.json"), "--data-root", str(released / "data" / "val")]
    return [*paths, "--dataset", "interrvos", *more]


def test_the_command_scores_the_official_file_as_our_own_records(
    released: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main(command(released))
    path = released / "results-scores" / "result.json"
    printed = capsys.readouterr().out
    assert printed.rstrip().endswith(str(path))
    assert "predictions of an unnamed model on interrvos val" in printed
    found = read_result(path)
    dataset = tiny_dataset(videos=2)
    expected = scored(dataset, random_answers(dataset))
    for name, one in found.settings.items():
        assert (one.j, one.f, one.jf) == tuple(
            getattr(expected.settings[name], key) for key in ("j", "f", "jf")
        )
        assert one.intervals == expected.settings[name].intervals
    assert found.role_errors == expected.role_errors
    assert found.predictions == expected.predictions  # the digest does not depend on the container
    assert found.provenance["command"].startswith("python -m benchmark.score --predictions ")


def test_the_command_writes_the_same_scores_again_and_keeps_the_file(released: Path) -> None:
    main(command(released, "--output", str(released / "one.json")))
    before = (released / "one.json").read_bytes()
    main(command(released, "--output", str(released / "one.json"), "--metric-engine", "reference"))
    assert (released / "one.json").read_bytes() == before
    with pytest.raises(OutputError, match="another result lies here"):
        main(command(released, "--output", str(released / "one.json"), "--seed", "5"))
    main(command(released, "--output", str(released / "one.json"), "--seed", "5", "--force"))
    assert read_result(released / "one.json").statistics.seed == 5


def test_the_command_shows_groups_and_settings_on_request(
    released: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main(command(released, "--settings", "rvos", "--breakdown"))
    printed = capsys.readouterr().out
    assert "InterRVOS-Actor" not in printed
    assert "caption type" in printed


@pytest.mark.parametrize(
    ("more", "error", "message"),
    [
        (["--settings", "actor,targt"], UsageError, "did you mean target"),
        (["--seed", "-1"], UsageError, "a seed cannot be negative"),
        (["--dataset", "intervos"], UsageError, "did you mean interrvos"),
        (["--predictions", "nowhere.json"], PredictionError, "nowhere.json"),
    ],
)
def test_wrong_arguments_are_named(released: Path, more: list[str], error: type, message: str) -> None:
    with pytest.raises(error, match=message):
        main(command(released, *more))


def test_results_go_beside_the_predictions() -> None:
    assert default_output(Path("runs/mine/predictions")) == Path("runs/mine")
    assert default_output(Path("runs/mine")) == Path("runs/mine")
    assert default_output(Path("theirs/results.json")) == Path("theirs/results-scores")


def test_scoring_imports_no_model_package(released: Path) -> None:
    """The whole command in a fresh process: nothing heavy may be loaded, not even lazily."""
    program = (
        "import sys; from benchmark.score import main; main(sys.argv[1:]);"
        "import benchmark.compare;"
        "loaded = [n for n in ('torch', 'transformers', 'cv2', 'pycocotools', 'av') if n in sys.modules];"
        "sys.exit(f'loaded: {loaded}' if loaded else 0)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, *command(released)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_an_expression_answered_for_no_role_still_counts() -> None:
    dataset = tiny_dataset(videos=1)
    video = dataset.videos[0]
    stored = {"clip0": {one.expression_id: answer(video, one, None, None) for one in video.expressions}}
    assert scored(dataset, stored).predictions.expressions == 5
