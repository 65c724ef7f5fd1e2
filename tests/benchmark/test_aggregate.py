"""Aggregation against the official procedure, written a second time from its description with OpenCV."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from benchmark.aggregate import headline, track_score
from benchmark.masks import decode_track, empty_track
from benchmark.types import MaskTrack, Status
from tests.benchmark.tiny_clips import (
    TinyDataset,
    answer,
    empty_answers,
    oracle_answers,
    random_answers,
    scored,
    tiny_dataset,
)

Masks = NDArray[np.bool_]


def official_j(truth: Masks, predicted: Masks) -> float:
    union = np.sum(truth | predicted)
    return 1.0 if union == 0 else float(np.sum(truth & predicted) / union)


def official_boundary(mask: Masks) -> Masks:
    east, south, south_east = np.zeros_like(mask), np.zeros_like(mask), np.zeros_like(mask)
    east[:, :-1] = mask[:, 1:]
    south[:-1, :] = mask[1:, :]
    south_east[:-1, :-1] = mask[1:, 1:]
    boundary = (mask ^ east) | (mask ^ south) | (mask ^ south_east)
    boundary[-1, :] = mask[-1, :] ^ east[-1, :]
    boundary[:, -1] = mask[:, -1] ^ south[:, -1]
    boundary[-1, -1] = False
    return boundary


def official_f(truth: Masks, predicted: Masks) -> float:
    radius = int(np.ceil(0.008 * np.linalg.norm(truth.shape)))
    span = np.arange(-radius, radius + 1)
    disk = (span[:, None] ** 2 + span[None, :] ** 2 <= radius**2).astype(np.uint8)
    gt, fg = official_boundary(truth), official_boundary(predicted)
    fg_dilated = cv2.dilate(fg.astype(np.uint8), disk)
    gt_dilated = cv2.dilate(gt.astype(np.uint8), disk)
    n_fg, n_gt = np.sum(fg), np.sum(gt)
    if n_fg == 0 and n_gt == 0:
        return 1.0
    if n_fg == 0 or n_gt == 0:
        return 0.0
    precision = np.sum(fg * gt_dilated) / float(n_fg)
    recall = np.sum(gt * fg_dilated) / float(n_gt)
    return 0.0 if precision + recall == 0 else float(2 * precision * recall / (precision + recall))


def official_scores(dataset: TinyDataset, stored: dict, role: str, interactions: bool) -> dict[str, float]:
    """Frames into a list per expression, expressions into a list, numpy means, percentages."""
    js, fs = [], []
    for video in dataset.videos:
        for expression in video.expressions:
            if interactions and not expression.is_interaction:
                continue
            ids = expression.actor_ids if role == "actor" else expression.target_ids
            truth = decode_track(dataset.truth(video, ids))
            track: MaskTrack | None = getattr(stored[video.video_id][expression.expression_id], role)
            predicted = np.zeros_like(truth) if track is None else decode_track(track)
            js.append(np.array([official_j(*pair) for pair in zip(truth, predicted, strict=True)]).mean())
            fs.append(np.array([official_f(*pair) for pair in zip(truth, predicted, strict=True)]).mean())
    return {
        "J": 100 * float(np.mean(js)),
        "F": 100 * float(np.mean(fs)),
        "J&F": 100 * float((np.mean(js) + np.mean(fs)) / 2),
    }


@pytest.mark.parametrize("seed", range(4))
def test_headlines_equal_the_official_procedure_to_the_last_bit(seed: int) -> None:
    dataset = tiny_dataset(seed, videos=7)
    stored = random_answers(dataset, seed + 100)
    result = scored(dataset, stored)
    expected = {
        "InterRVOS-Actor": official_scores(dataset, stored, "actor", interactions=True),
        "InterRVOS-Target": official_scores(dataset, stored, "target", interactions=True),
        "RVOS": official_scores(dataset, stored, "actor", interactions=False),
    }
    found = {name: {"J": one.j, "F": one.f, "J&F": one.jf} for name, one in result.settings.items()}
    assert found == expected


def test_the_oracle_scores_exactly_100_with_no_doubt() -> None:
    dataset = tiny_dataset()
    result = scored(dataset, oracle_answers(dataset))
    for one in result.settings.values():
        assert (one.j, one.f, one.jf) == (100.0, 100.0, 100.0)
        assert one.intervals.jf == (100.0, 100.0)


def test_empty_predictions_score_the_share_of_frames_without_truth() -> None:
    dataset = tiny_dataset()
    result = scored(dataset, empty_answers(dataset))
    shares: dict[str, list[float]] = {name: [] for name in result.settings}
    for video in dataset.videos:
        for expression in video.expressions:
            for name, ids in (
                ("InterRVOS-Actor", expression.actor_ids if expression.is_interaction else None),
                ("InterRVOS-Target", expression.target_ids if expression.is_interaction else None),
                ("RVOS", expression.actor_ids),
            ):
                if ids is not None:
                    counts = dataset.truth(video, ids).counts
                    shares[name].append(sum(text is None for text in counts) / len(counts))
    for name, one in result.settings.items():
        assert one.j == one.f == one.jf == pytest.approx(100 * np.mean(shares[name]), abs=1e-12)
        assert (one.truth_absent.j, one.truth_present.j) == (100.0, 0.0)


@pytest.mark.parametrize("status", [Status.ERROR, Status.OUT_OF_MEMORY, Status.TIMEOUT, Status.PARSE_ERROR])
def test_failures_score_0_also_where_the_truth_is_empty(status: Status) -> None:
    dataset = tiny_dataset()
    stored = {
        video.video_id: {
            one.expression_id: answer(video, one, None, None, status=status, message="it broke")
            for one in video.expressions
        }
        for video in dataset.videos
    }
    result = scored(dataset, stored)
    for one in result.settings.values():
        assert (one.j, one.f, one.jf) == (0.0, 0.0, 0.0)
        assert (one.truth_absent.j, one.truth_absent.f) == (0.0, 0.0)
        assert one.failed == {status.value: one.expressions}
        assert one.missing == 0


def test_abstaining_is_an_empty_answer_and_no_failure() -> None:
    dataset = tiny_dataset()
    stored = {
        video.video_id: {
            one.expression_id: answer(video, one, None, None, status=Status.ABSTAIN)
            for one in video.expressions
        }
        for video in dataset.videos
    }
    silent = scored(dataset, empty_answers(dataset))
    assert scored(dataset, stored).settings["RVOS"].j == silent.settings["RVOS"].j


def test_a_missing_video_and_a_missing_expression_score_0_and_are_counted() -> None:
    dataset = tiny_dataset(videos=4)
    stored = oracle_answers(dataset)
    dropped = stored.pop("clip3")
    del stored["clip0"]["1"]
    result = scored(dataset, stored)
    rvos = result.settings["RVOS"]
    assert rvos.missing == len(dropped) + 1
    answered = rvos.expressions - rvos.missing
    assert rvos.jf == pytest.approx(100 * answered / rvos.expressions, abs=1e-12)
    assert result.settings["InterRVOS-Actor"].missing == 3
    assert result.predictions.expressions == answered
    assert result.predictions.videos == 3


def test_an_unclaimed_track_scores_as_a_track_without_pixels() -> None:
    dataset = tiny_dataset()
    unclaimed = scored(dataset, empty_answers(dataset))
    stored = {
        video.video_id: {
            one.expression_id: answer(video, one, *[empty_track(len(video.frame_names), 18, 25)] * 2)
            for one in video.expressions
        }
        for video in dataset.videos
    }
    empty = scored(dataset, stored)
    assert empty.settings == unclaimed.settings
    assert empty.role_errors is not None
    assert unclaimed.role_errors is not None
    assert (empty.role_errors.target_claimed.percent, unclaimed.role_errors.target_claimed.percent) == (
        100,
        0,
    )
    assert empty.role_errors.missed_target.percent == 100


def test_frames_with_and_without_truth_are_averaged_apart() -> None:
    counts = np.array([[0, 0, 0, 0, 0, 0], [5, 10, 4, 4, 4, 2], [0, 8, 0, 3, 0, 0]])
    score = track_score(counts, np.array([0, 10, 0]), 100, zero=False)
    assert (score.frames, score.absent_frames) == (3, 2)
    assert (score.present_j, score.absent_j) == (0.5, 0.5)
    assert score.size == 0.1
    assert score.j == np.mean([1.0, 0.5, 0.0])


def test_frames_without_truth_by_their_own_rule() -> None:
    """A frame that is filled has the official F of 1; J on these frames is the share left empty."""
    left_empty, filled, touched = [0] * 6, [0, 100, 0, 0, 0, 0], [0, 1, 0, 3, 0, 0]
    score = track_score(np.array([left_empty, filled, touched]), np.array([0, 0, 0]), 100, zero=False)
    assert (score.absent_j, score.absent_f) == (1 / 3, 2 / 3)


def test_headline_of_nothing_is_nothing() -> None:
    assert headline([], []) is None
