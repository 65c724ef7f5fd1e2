"""Running scores against the scores of the same tracks one by one, on one process and on two."""

from __future__ import annotations

import multiprocessing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from benchmark.errors import MaskError
from benchmark.metrics import RunningScores, score_tracks
from benchmark.metrics.families import overall_iou
from tests.benchmark.golden_clips import expression_clips

torch.set_num_threads(1)


def tracks() -> list[tuple[np.ndarray, np.ndarray]]:
    return [
        (clip.instances[list(ids)].any(axis=0), predicted)
        for clip in expression_clips()
        for ids, predicted in zip(clip.expressions, clip.predicted, strict=True)
    ]


def add(scores: RunningScores, chosen: list[tuple[np.ndarray, np.ndarray]]) -> None:
    for truth, predicted in chosen:
        scores.update(torch.from_numpy(predicted).float() - 0.5, torch.from_numpy(truth))


def test_means_over_tracks_of_any_size() -> None:
    scores, each = RunningScores(), [score_tracks(*track) for track in tracks()]
    add(scores, tracks())
    result = scores.compute()
    assert result.j == pytest.approx(np.mean([one.j_mean for one in each]), abs=1e-15)
    assert result.f == pytest.approx(np.mean([one.f_mean for one in each]), abs=1e-15)
    assert result.jf == (result.j + result.f) / 2
    assert result.overall_iou == overall_iou([one.counted for one in each])
    assert (result.tracks, result.frames) == (len(each), sum(len(one.counted) for one in each))
    assert scores.compute() == result
    scores.reset()
    with pytest.raises(MaskError, match="no track was added"):
        scores.compute()


def test_a_batch_is_its_tracks() -> None:
    clip = expression_clips()[0]
    truth = torch.from_numpy(np.stack([clip.instances[list(ids)].any(axis=0) for ids in clip.expressions]))
    predicted = torch.from_numpy(clip.predicted)
    whole, single = RunningScores(), RunningScores()
    whole.update(predicted, truth)
    for pair in zip(predicted, truth, strict=True):
        single.update(*pair)
    assert whole.compute().j == pytest.approx(single.compute().j, abs=1e-15)
    assert whole.compute().tracks == single.compute().tracks == 7


def test_nothing_anywhere_has_no_overall_iou() -> None:
    scores = RunningScores(radius=2)
    scores.update(torch.zeros(2, 4, 4, dtype=torch.bool), torch.zeros(2, 4, 4, dtype=torch.uint8))
    result = scores.compute()
    assert (result.j, result.f, result.overall_iou) == (1.0, 1.0, None)


def test_wrong_input() -> None:
    scores, masks = RunningScores(threshold=0.5), torch.zeros(2, 4, 4)
    with pytest.raises(MaskError, match="prediction must be"):
        scores.update(masks[0], masks[0])
    with pytest.raises(MaskError, match="differ in shape"):
        scores.update(masks, masks[:1])
    with pytest.raises(MaskError, match="prediction must be a tensor; found list"):
        scores.update([masks], masks)  # type: ignore[arg-type]
    scores.update(masks, masks)
    batch = masks.repeat(3, 1, 1, 1)
    batch[1, 1, 2, 2] = torch.nan
    scores.update(masks.repeat(3, 1, 1, 1), batch)
    for _ in range(2):  # the second time too
        with pytest.raises(MaskError, match=r"track 2, frame 1 of the truth: .* not numbers"):
            scores.compute()


def one_of_two(rank: int, meeting: str, results: Any) -> None:
    torch.set_num_threads(1)
    torch.distributed.init_process_group("gloo", init_method=meeting, rank=rank, world_size=2)
    try:
        scores = RunningScores()
        add(scores, tracks()[0::2] if rank == 0 else tracks()[1::2][:4])
        results.put(scores.compute())
        if rank == 1:
            scores.update(torch.full((1, 4, 4), torch.nan), torch.zeros(1, 4, 4))
        try:  # neither waits for the other for ever
            scores.compute()
        except MaskError as error:
            results.put(str(error))
    finally:
        torch.distributed.destroy_process_group()


def test_two_processes_see_the_same_sums(tmp_path: Path) -> None:
    """This process is one of the two."""
    context = multiprocessing.get_context("spawn")
    results = context.Queue()
    meeting = f"file://{tmp_path}/meeting"
    other = context.Process(target=one_of_two, args=(1, meeting, results))
    other.start()
    one_of_two(0, meeting, results)
    answers = [results.get() for _ in range(4)]
    other.join()
    found = [answer for answer in answers if not isinstance(answer, str)]
    complaints = sorted(answer for answer in answers if isinstance(answer, str))
    assert complaints[0].startswith("another process was given masks that hold values that are not numbers")
    assert complaints[1].startswith("track 4, frame 0 of the prediction: a mask holds values that are not")
    alone = RunningScores()
    add(alone, tracks()[0::2] + tracks()[1::2][:4])
    assert found[0] == found[1]
    assert found[0].tracks == alone.compute().tracks == 11
    assert found[0].jf == pytest.approx(alone.compute().jf, abs=1e-15)
    assert found[0].overall_iou == alone.compute().overall_iou


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_masks_on_a_gpu_and_sums_over_nccl(tmp_path: Path) -> None:
    """A group of one process: NCCL takes tensors on a GPU alone."""
    here, there = RunningScores(), RunningScores()
    add(here, tracks())
    meeting = f"file://{tmp_path}/meeting"
    torch.distributed.init_process_group("nccl", init_method=meeting, rank=0, world_size=1)
    try:
        for truth, predicted in tracks():
            there.update(torch.from_numpy(predicted).cuda().float() - 0.5, torch.from_numpy(truth).cuda())
        assert there.compute() == here.compute()
    finally:
        torch.distributed.destroy_process_group()
