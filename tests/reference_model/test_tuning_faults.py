"""What goes wrong in a fine-tuning: each time one clear sentence, and nothing finished is lost."""

from __future__ import annotations

import dataclasses
import importlib.util
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from benchmark.errors import DatasetError, EnvironmentProblem, OutputError, UsageError
from reference_model import train
from reference_model.full_training import REPORTS_FILE, Schedule, train_all, train_step
from reference_model.training_run import STATE_FILE
from reference_model.tuning_config import Precision
from reference_model.tuning_run import Progress, load_progress
from reference_model.tuning_session import make_accelerator, passes_of
from reference_model.tuning_watch import LOG_FOLDER
from tests.reference_model.small_tuning import small_session, small_tuning, write_clips

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    return write_clips(tmp_path_factory.mktemp("clips"), 6)


def spoil(session, step: int, change) -> None:
    """Change the loss of one step."""
    forward = session.room.forward

    def spoilt(batch):
        terms = forward(batch)
        return terms | {"loss": change(terms["loss"])} if session.progress.step == step else terms

    session.room.forward = session.wrapped.forward = spoilt


def weights(session):
    return {name: one.detach().clone() for name, one in session.room.named_parameters()}


@pytest.mark.parametrize(
    ("step", "change", "reason"),
    [
        (1, lambda loss: loss * float("nan"), "the loss is nan"),
        (1, lambda loss: loss * float("inf"), "the loss is inf"),
        (11, lambda loss: loss * 1000, "times the median"),
    ],
)
def test_a_bad_loss_is_left_out_with_the_names_of_its_samples(clips, capfd, step, change, reason):
    session = small_session(clips, small_tuning(videos_per_step=1), steps=step + 2)
    spoil(session, step, change)
    passes = passes_of(session)
    for _ in range(step):
        assert train_step(session, passes) is not None
    before = weights(session)
    assert train_step(session, passes) is None
    assert all(torch.equal(one, before[name]) for name, one in session.room.named_parameters())
    (left_out,) = session.progress.left_out
    assert left_out.step == step and "video synthetic-train-" in left_out.name and reason in left_out.reason
    assert f"step {step + 1}: left out interrvos-synthetic train: video" in capfd.readouterr().err
    assert train_step(session, passes) is not None


def test_a_gradient_that_is_not_finite_is_left_out(clips):
    session = small_session(clips, small_tuning(videos_per_step=1), steps=2)
    first = next(iter(session.room.model.projector.parameters()))
    hook = first.register_hook(lambda grad: grad * float("nan"))
    before = weights(session)
    assert train_step(session, passes_of(session)) is None
    assert all(torch.equal(one, before[name]) for name, one in session.room.named_parameters())
    assert "the gradient is nan" in session.progress.left_out[0].reason
    hook.remove()


def test_the_budget_of_samples_left_out(tmp_path, clips):
    session = small_session(clips, small_tuning(videos_per_step=1, most_skipped=1), steps=5)
    forward = session.room.forward
    session.room.forward = lambda batch: {"loss": forward(batch)["loss"] * float("nan")}
    with pytest.raises(DatasetError, match=r"2 samples were left out, more than the budget.*most_skipped"):
        train_all(session, Schedule(tmp_path, show=False, tensorboard=False), {})
    assert load_progress(tmp_path, session.recipe, len(session.mix))[0].step == 1
    assert (tmp_path / REPORTS_FILE).read_text().count("the loss is nan") == 2


def test_unreadable_samples_are_left_out_and_training_goes_on(tmp_path, clips):
    root = shutil.copytree(clips, tmp_path / "train")
    for path in sorted((root / "JPEGImages").iterdir())[0].iterdir():
        path.write_bytes(b"not a picture")
    session = small_session(root, small_tuning(videos_per_step=4, videos_per_pass=2), steps=2)
    train_all(session, Schedule(None, show=False), {})
    assert len(session.progress.curve) == 2
    names = {one.name for one in session.progress.left_out}
    assert len(names) == 1 and len(session.progress.left_out) == 2  # once an epoch


def test_a_pass_of_unreadable_or_text_samples_trains_no_masks(tmp_path, clips):
    text = tmp_path / "text.jsonl"
    say = {"conversations": [{"from": "human", "value": "Hello?"}, {"from": "gpt", "value": "Hello."}]}
    text.write_text(json.dumps(say) * 1 + "\n")
    session = small_session(clips, small_tuning(videos_per_step=1), steps=5, text=text)
    assert len(session.mix) == 5
    rows = [train_step(session, passes) for passes in [passes_of(session)] for _ in range(5)]
    assert all(torch.isfinite(torch.tensor(row["loss"])) for row in rows)
    (silent,) = [row for row in rows if row["mask_ce"] == 0.0]
    assert silent["text"] > 0 and silent["attention"] == 0.0


def test_a_pass_without_any_readable_sample_adds_nothing(clips):
    from reference_model.conversation_batches import make_batch
    from reference_model.full_recipes import tuning_of

    session = small_session(clips)
    loss = session.wrapped(make_batch([], session.room.model, tuning_of(session.recipe)))["loss"]
    loss.backward()
    gradients = [one.grad for one in session.room.parameters() if one.requires_grad]
    # Every weight has a gradient, of zeros: a process that has nothing to read does not stop the others.
    assert float(loss.detach()) == 0.0
    assert not any(one is None or bool(one.any()) for one in gradients)


def test_a_very_long_expression_is_cut_and_said_once(tmp_path, clips, capfd):
    root = shutil.copytree(clips, tmp_path / "train")
    meta = json.loads((root / "meta_expressions.json").read_text())
    for video in meta["videos"].values():
        for said in video["expressions"].values():
            said["exp"] = " ".join(["running"] * 1000)
    (root / "meta_expressions.json").write_text(json.dumps(meta))
    session = small_session(root, small_tuning(videos_per_step=1, expressions=1), steps=12)
    passes = passes_of(session)
    for _ in range(12):
        assert train_step(session, passes) is not None
    lines = capfd.readouterr().err.splitlines()
    assert lines and len(lines) == len(set(lines))
    assert all("7999 characters are too long for a question and cut to" in one for one in lines)


def test_no_interaction_in_a_batch(tmp_path, clips):
    root = shutil.copytree(clips, tmp_path / "train")
    meta = json.loads((root / "meta_expressions.json").read_text())
    videos = list(meta["videos"].values())
    for video in videos[:-3]:  # the last two are held back
        said = video["expressions"].items()
        video["expressions"] = {key: one for key, one in said if one["caption_type"] != "unidirectional"}
    (root / "meta_expressions.json").write_text(json.dumps(meta))
    session = small_session(root, small_tuning(videos_per_step=1), steps=4)
    train_all(session, Schedule(None, show=False), {})
    assert all(torch.isfinite(torch.tensor(row["loss"])) for row in session.progress.curve)


@pytest.mark.parametrize("frames", [1, 2, 3, 4])
def test_videos_of_one_to_four_frames(tmp_path, clips, frames):
    root = shutil.copytree(clips, tmp_path / "train")
    for name, key in (("meta_expressions.json", "videos"), ("mask_dict.json", None)):
        content = json.loads((root / name).read_text())
        if key:
            for video in content[key].values():
                video["frames"] = video["frames"][:frames]
        else:
            content = {one: track[:frames] for one, track in content.items()}
        (root / name).write_text(json.dumps(content))
    session = small_session(root, small_tuning(videos_per_step=1, frames=4), steps=1)
    assert train_step(session, passes_of(session)) is not None


def ran_out() -> list[Exception]:
    """How a GPU, Python and torch on a CPU say it; the last really asked for too much."""
    with pytest.raises(RuntimeError, match="can't allocate memory") as failed:
        torch.empty(2**62, dtype=torch.uint8)
    return [torch.OutOfMemoryError("CUDA out of memory"), MemoryError(), failed.value]


@pytest.mark.parametrize("error", ran_out())
def test_out_of_memory_says_what_to_lower_and_keeps_the_state(tmp_path, clips, error):
    session = small_session(clips, small_tuning(videos_per_step=1), steps=3)
    forward = session.room.forward

    def full(batch):
        if session.progress.step == 1:
            raise error
        return forward(batch)

    session.room.forward = full
    with pytest.raises(EnvironmentProblem, match=r"step 2 on cpu.*memory does not.*--videos-per-pass"):
        train_all(session, Schedule(tmp_path, show=False, tensorboard=False), {})
    assert load_progress(tmp_path, session.recipe, len(session.mix))[0].step == 1


def test_machines_that_cannot_do_what_is_asked(monkeypatch, clips, tmp_path):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    with pytest.raises(EnvironmentProblem, match=r"bfloat16.*--precision float32"):
        make_accelerator(Precision.BFLOAT16, "auto")
    with pytest.raises(EnvironmentProblem, match="this CUDA device is not here"):
        make_accelerator(Precision.FLOAT32, "cuda")
    words = ["--recipe", "reviosa_1b", "--data-root", str(clips), "--output", str(tmp_path / "run")]
    with pytest.raises(EnvironmentProblem, match="bfloat16"):
        train.main(words)
    missing, find = ("peft", "accelerate", "tensorboard"), importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name in missing else find(name))
    with pytest.raises(EnvironmentProblem, match=r"needs peft, accelerate, tensorboard.*\[training\]"):
        train.main(words)


def test_weights_that_cannot_be_spread_are_not_copied_in_silence(monkeypatch):
    monkeypatch.setenv("ACCELERATE_USE_FSDP", "true")
    make_accelerator(Precision.FLOAT32, "cpu")  # alone there is nothing to spread
    monkeypatch.setattr("accelerate.Accelerator.num_processes", 2)
    with pytest.raises(EnvironmentProblem, match=r"FSDP.*GPUs only.*2 processes on cpu.*--use_fsdp"):
        make_accelerator(Precision.FLOAT32, "cpu")


def test_options_that_do_not_go_together(clips, tmp_path):
    words = ["--recipe", "reviosa_1b_tiny", "--data-root", str(clips), "--output", str(tmp_path / "run")]
    with pytest.raises(UsageError, match=r"cannot share a step evenly.*divide by 2 x 1"):
        train.main([*words, "--videos-per-step", "3"])
    with pytest.raises(UsageError, match=r"begins with two pretrained halves.*--sam2 absent"):
        train.main([*words[2:], "--recipe", "reviosa_1b", "--precision", "float32"])
    with pytest.raises(UsageError, match="--sam2 absent"):
        train.main([*words, "--internvl", "somewhere"])


def test_logs_that_cannot_be_written(tmp_path, clips):
    session = small_session(clips, small_tuning(videos_per_step=1), steps=1)
    (tmp_path / LOG_FOLDER).write_text("a file where the folder should be")
    with pytest.raises(OutputError, match=f"{LOG_FOLDER}: cannot write; found a file where a folder"):
        train_all(session, Schedule(tmp_path, show=False), {})


def test_an_interrupt_ends_the_step_and_is_resumed(tmp_path, clips):
    session = small_session(clips, small_tuning(videos_per_step=1), steps=4)
    forward = session.room.forward

    def interrupted(batch):
        if session.progress.step == 1:
            os.kill(os.getpid(), signal.SIGINT)
        return forward(batch)

    session.room.forward = interrupted
    before = signal.getsignal(signal.SIGINT)  # a shell's background job starts with it ignored
    with pytest.raises(KeyboardInterrupt):
        train_all(session, Schedule(tmp_path, show=False, tensorboard=False), {})
    assert load_progress(tmp_path, session.recipe, len(session.mix))[0].step == session.progress.step == 2
    assert signal.getsignal(signal.SIGINT) is before


def test_a_second_interrupt_stops_at_once_and_saves_no_half_step(tmp_path, clips):
    session = small_session(clips, small_tuning(videos_per_step=1), steps=4)

    def twice(batch):
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGINT)

    session.room.forward = twice
    with pytest.raises(KeyboardInterrupt):
        train_all(session, Schedule(tmp_path, show=False, tensorboard=False), {})
    assert session.progress.step == 0 and not (tmp_path / STATE_FILE).exists()


def test_a_verdict_needs_some_losses_to_compare_with():
    progress = Progress(0, 100)
    assert progress.verdict(1e9, 10.0) is None
    for _ in range(10):
        progress.remember(1.0)
    assert progress.verdict(9.9, 10.0) is None
    assert "10 times the median 1" in progress.verdict(10.1, 10.0)
    assert progress.verdict(float("nan"), 10.0) == "the loss is nan"
    for _ in range(100):
        progress.remember(2.0)
    assert len(progress.recent) == 50


def test_a_killed_run_goes_on_with_the_same_losses(tmp_path, clips):
    words = [sys.executable, "-m", "reference_model.train", "--recipe", "reviosa_1b_tiny", "--workers", "0"]
    words += ["--data-root", str(clips), "--videos-per-step", "2", "--steps", "7", "--save-every", "1"]
    words += ["--no-tensorboard", "--output", str(tmp_path / "run")]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    running = subprocess.Popen(words, cwd=ROOT, env=environment, stderr=subprocess.PIPE)
    deadline = time.monotonic() + 120
    while not (tmp_path / "run" / STATE_FILE).exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    running.send_signal(signal.SIGKILL)
    running.communicate()
    assert running.returncode == -signal.SIGKILL
    assert train.main([*words[3:], "--resume"]) == 0
    assert train.main([*words[3:-1], str(tmp_path / "whole")]) == 0
    curves = [
        [line.split(",") for line in (tmp_path / one / "losses.csv").read_text().splitlines()]
        for one in ("run", "whole")
    ]
    without_seconds = [[[*row[:2], *row[3:]] for row in curve] for curve in curves]
    assert without_seconds[0] == without_seconds[1] and len(without_seconds[0]) > 1


def test_the_progress_goes_to_json_and_back(tmp_path, clips):
    session = small_session(clips)
    session.progress.leave_out(["a clip"], "why", 5)
    from reference_model.full_training import save_state

    save_state(session, tmp_path)
    progress, _ = load_progress(tmp_path, session.recipe, len(session.mix))
    assert dataclasses.asdict(progress) == dataclasses.asdict(session.progress)
