"""Two processes train as one: gradients, losses and weights, with copies of the model and with shards."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from reference_model.checkpoint import load_checkpoint
from reference_model.full_training import Schedule, train_all
from reference_model.tuning_run import load_progress
from reference_model.tuning_session import state_tensors
from tests.reference_model.small_tuning import small_session, write_clips
from tests.reference_model.two_processes import STEPS

ROOT = Path(__file__).resolve().parents[2]


def run_two(clips: Path, output: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    world = {"WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    words = [sys.executable, "-m", "tests.reference_model.two_processes", str(clips), str(output)]
    running = [
        subprocess.Popen(
            words,
            cwd=ROOT,
            env=os.environ | world | {"RANK": rank, "LOCAL_RANK": rank, "OMP_NUM_THREADS": "1"},
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in "01"
    ]
    said = [one.communicate()[1] for one in running]
    assert [one.returncode for one in running] == [0, 0], "\n".join(said)


@pytest.fixture(scope="module")
def both(tmp_path_factory):
    clips = write_clips(tmp_path_factory.mktemp("clips"))
    output = tmp_path_factory.mktemp("output")
    run_two(clips, output)
    alone = small_session(clips, steps=STEPS)
    train_all(alone, Schedule(None, show=False), {})
    return alone, output


@pytest.mark.parametrize("kind", ["copies", "spread"])
def test_two_processes_give_the_gradients_and_weights_of_one(both, kind):
    alone, output = both
    progress, tensors = load_progress(output / kind, alone.recipe, len(alone.mix))
    assert progress.step == STEPS
    expected = state_tensors(alone)
    assert set(tensors) == set(expected)
    for name, one in expected.items():
        # Keys may all move together without any effect: the gradient of their bias is rounding noise, which
        # AdamW scales up to a step. The moments, made of the gradients alone, show that it is noise.
        if not (name.startswith("trained.") and name.endswith("k_proj.bias")):
            atol = 1e-7 if name.startswith("optimizer.") else 2e-6
            torch.testing.assert_close(tensors[name], one, rtol=1e-3, atol=atol, msg=name)


def test_two_processes_report_the_losses_of_one(both):
    alone, output = both
    progress, _ = load_progress(output / "copies", alone.recipe, len(alone.mix))
    for ours, theirs in zip(progress.curve, alone.progress.curve, strict=True):
        assert set(ours) == set(theirs)
        for name in set(ours) - {"stage", "seconds"}:
            assert ours[name] == pytest.approx(theirs[name], rel=1e-5)


@pytest.mark.parametrize("kind", ["copies", "spread"])
def test_the_model_that_two_processes_leave_is_whole(both, kind):
    _, output = both
    assert load_checkpoint(output / kind).facts["steps"] == STEPS
