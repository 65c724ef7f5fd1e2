"""Fine-tuning at full size, on small siblings: it learns, it resumes exactly, it leaves a usable model."""

from __future__ import annotations

import errno
import json
import shutil

import pytest
import torch
from safetensors import safe_open

from benchmark.errors import CheckpointError, OutputError, UsageError
from benchmark.stored_files import as_output_error
from reference_model import analyze_attention, train, validate
from reference_model.checkpoint import load_checkpoint, read_tensors
from reference_model.dataset_mix import names_of_parts, open_parts
from reference_model.full_recipes import tuning_of
from reference_model.full_training import Schedule, save_state, train_all, train_step
from reference_model.lora import trained_parameters
from reference_model.tensor_files import write_tensors
from reference_model.training_run import STATE_FILE, goes_on_by_resuming
from reference_model.tuning_config import Precision
from reference_model.tuning_run import load_progress
from reference_model.tuning_session import passes_of, restore_tensors, state_tensors
from tests.reference_model.small_tuning import small_session, small_tuning, write_clips


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    return write_clips(tmp_path_factory.mktemp("clips"))


def losses_of(session):
    return [{key: row[key] for key in row if key != "seconds"} for row in session.progress.curve]


def test_a_run_that_is_stopped_and_resumed_equals_one_that_never_stopped(tmp_path, clips):
    whole = small_session(clips, steps=3)
    train_all(whole, Schedule(None, show=False), {})
    cut = small_session(clips, steps=3)
    train_step(cut, passes_of(cut))
    save_state(cut, tmp_path)
    resumed = small_session(clips, steps=3)
    resumed.progress, tensors = load_progress(tmp_path, resumed.recipe, len(resumed.mix))
    assert resumed.progress.step == 1
    restore_tensors(resumed, tensors, "here")
    train_all(resumed, Schedule(None, show=False), {})
    assert losses_of(resumed) == losses_of(whole)[1:]
    for name, one in state_tensors(whole).items():
        assert torch.equal(one, state_tensors(resumed)[name]), name


@pytest.mark.parametrize("there", [False, True])
def test_moments_go_where_the_optimizer_wants_them(clips, there):
    """The fused AdamW of a GPU counts its steps on the GPU, and only there; `meta` stands in for one."""
    session = small_session(clips)
    parameter = torch.nn.Parameter(torch.empty(2, device="meta"))
    session.room = torch.nn.ParameterDict({"one": parameter})
    session.wrapped = session.room
    session.optimizer = torch.optim.AdamW([parameter], capturable=there)  # as `fused`
    stored = {"trained.one": torch.ones(2), "optimizer.one.step": torch.tensor(7.0)}
    stored |= {f"optimizer.one.{key}": torch.ones(2) for key in ("exp_avg", "exp_avg_sq")}
    restore_tensors(session, stored, "here")
    state = session.optimizer.state[parameter]
    assert state["step"].device.type == ("meta" if there else "cpu")
    assert {state[key].device.type for key in ("exp_avg", "exp_avg_sq")} == {"meta"}


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_a_run_on_a_gpu_is_resumed(tmp_path, clips):
    words = ["--recipe", "reviosa_1b_tiny", "--data-root", str(clips), "--device", "cuda", "--no-tensorboard"]
    words += ["--precision", "bfloat16", "--videos-per-step", "2", "--workers", "0", "--steps", "4"]
    assert train.main([*words, "--output", str(tmp_path / "whole"), "--save-every", "2"]) == 0
    shutil.copytree(tmp_path / "whole", tmp_path / "cut")
    state = tmp_path / "cut" / STATE_FILE
    tensors = read_tensors(state)
    with safe_open(state, "pt") as file:
        facts = json.loads(file.metadata()["tuning"])
    facts["progress"] |= {"step": 3, "curve": [], "unlogged": []}
    write_tensors(state, tensors, {"tuning": json.dumps(facts)})
    assert train.main([*words, "--output", str(tmp_path / "cut"), "--resume"]) == 0
    assert load_checkpoint(tmp_path / "cut").facts["steps"] == 4


def test_what_is_trained_moves_and_nothing_else(clips):
    session = small_session(clips, steps=3)  # LoRA moves from the second step on, its first factor later
    before = {name: one.detach().clone() for name, one in session.room.named_parameters()}
    train_all(session, Schedule(None, show=False), {})
    moved = {name for name, one in session.room.named_parameters() if (one != before[name]).any()}
    trained = set(trained_parameters(session.room))
    assert moved <= trained
    # Of three candidate masks the one that is best by its own word learns; the others may never be it.
    assert all("output_hypernetworks_mlps" in name for name in trained - moved)
    words = {
        "lora_A",
        "lora_B",
        "embed_tokens",
        "lm_head",
        "multi_modal_projector",
        "projector",
        "mask_decoder",
    }
    assert all(words & set(name.split(".")) for name in moved)
    still = (
        "vision_tower",
        "memory_attention",
        "vision_encoder.backbone",
        "prompt_encoder",
        "iou_prediction",
    )
    assert not any(part in name for part in still for name in moved)


def test_the_command_trains_resumes_and_leaves_a_model(tmp_path, clips, capsys):
    words = ["--recipe", "reviosa_1b_tiny", "--data-root", str(clips), "--workers", "0"]
    words += ["--output", str(tmp_path / "run"), "--videos-per-step", "2"]
    watching = ["--validate-every", "2", "--validation-clips", "1", "--checkpoint-every", "1"]
    assert train.main([*words, "--steps", "2", "--seed", "5", *watching]) == 0
    shown = capsys.readouterr()
    assert "weights are trained" in shown.out and "more than 50 samples had to be left out" in shown.out
    assert "step 2: actor J&F" in shown.err
    assert (tmp_path / "run" / "validation" / "step-000002" / "clip-0.png").stat().st_size > 1000
    assert load_checkpoint(tmp_path / "run" / "step-000001").facts["steps"] == 1
    values = {"train/loss", "train/text", "train/learning_rate", "validation/actor"}
    assert logged(tmp_path / "run" / "tensorboard") >= values
    loaded = load_checkpoint(tmp_path / "run")
    assert loaded.facts["steps"] == 2 and loaded.facts["trained_on"] == ["interrvos-synthetic:train"]
    assert not any("lora" in name for name in loaded.model.state_dict())
    for name in ("losses.csv", "left-out.csv", "tensorboard", STATE_FILE):
        assert (tmp_path / "run" / name).exists()
    with pytest.raises(OutputError, match="there is a training in this folder"):
        train.main([*words, "--steps", "2"])
    with pytest.raises(UsageError, match="another number of steps"):
        train.main([*words, "--steps", "3", "--resume"])
    with pytest.raises(CheckpointError, match="another seed; expected --seed 5"):
        train.main([*words, "--steps", "2", "--seed", "0", "--resume"])
    # What is not trained comes from the seed as well: written again, the model is the same.
    assert train.main([*words, "--steps", "2", "--resume"]) == 0
    assert load_checkpoint(tmp_path / "run").digest == loaded.digest
    (tmp_path / "run" / STATE_FILE).unlink()
    with pytest.raises(OutputError, match="there is a model in this folder"):
        train.main([*words, "--steps", "2"])


def test_a_sibling_is_validated_and_analysed_on_a_folder(tmp_path, clips, capsys):
    """Its clips may be read from a folder in training, so they may be here."""
    train_all(small_session(clips, steps=1), Schedule(tmp_path / "run", show=False, tensorboard=False), {})
    words = ["--checkpoint", str(tmp_path / "run"), "--data-root", str(clips), "--clips", "1"]
    assert validate.main([*words, "--device", "cpu"]) == 0
    assert capsys.readouterr().out.splitlines()[1].startswith("all")
    # It has learnt nothing yet; that its clips were read is what counts.
    with pytest.raises(CheckpointError, match=r"wrote no actor token.*1 clips"):
        analyze_attention.main([*words, "--output", str(tmp_path / "analysis"), "--device", "cpu"])


def test_a_model_says_which_clips_it_has_seen(tmp_path, clips):
    own = tmp_path / "my-clips"
    shutil.copytree(clips, own)
    (text := tmp_path / "talk.jsonl").write_text(
        '{"conversations": [{"from": "human", "value": "a"}, {"from": "gpt", "value": "b"}]}'
    )
    config = tuning_of(small_tuning())
    assert names_of_parts(open_parts(config, own, text), own) == [
        "interrvos-synthetic:train",
        "text:talk.jsonl",
    ]
    video = json.loads((own / "meta_expressions.json").read_text())["videos"].popitem()[0]
    for file in ("meta_expressions.json", "mask_dict.json"):
        path = own / file
        path.write_text(path.read_text().replace(video, "a-film"))
    (own / "JPEGImages" / video).rename(own / "JPEGImages" / "a-film")
    assert names_of_parts(open_parts(config, own, None), own) == ["my-clips:train"]
    (tmp_path / "films").mkdir()
    inner = own.rename(tmp_path / "films" / "train")
    assert names_of_parts(open_parts(config, inner, None), inner) == ["films:train"]


def test_a_full_disk_and_ctrl_c_say_resume_once_there_is_a_state(tmp_path):
    full = OSError(errno.ENOSPC, "No space left on device")

    def stop(error, resumed):
        with goes_on_by_resuming(tmp_path, resumed):
            if isinstance(error, OSError):
                raise as_output_error(error, tmp_path) from error
            raise error

    for state, resumed, sentence in (
        (False, False, "run the same command again"),
        (True, False, "add --resume to the command"),
        (True, True, "run the same command again"),
    ):
        if state:
            (tmp_path / STATE_FILE).write_bytes(b"")
        with pytest.raises(OutputError, match=f"cannot write.*No space left.*{sentence}"):
            stop(full, resumed)
        with pytest.raises(KeyboardInterrupt) as raised:
            stop(KeyboardInterrupt(), resumed)
        assert ("add --resume" in str(raised.value)) == (state and not resumed)
    with pytest.raises(OutputError, match="choose a writable place"):
        stop(OSError(errno.EROFS, "Read-only"), False)


@pytest.mark.parametrize("name", ["reviosa_1b_tiny", "reviosa_qwen2_5_vl_3b_tiny"])
def test_bfloat16_trains_saves_and_validates(tmp_path, clips, capfd, name):
    """What a GPU does, here on a CPU, which the command refuses: it would take for ever at full size."""
    recipe = small_tuning(name, precision=Precision.BFLOAT16, videos_per_step=1)
    session = small_session(clips, recipe, steps=2)
    kinds = {one.requires_grad: one.dtype for one in session.room.parameters()}
    assert kinds == {True: torch.float32, False: torch.bfloat16}
    watching = Schedule(tmp_path, validate_every=2, validation_clips=1, show=False, tensorboard=False)
    train_all(session, watching, {})
    assert len(session.progress.curve) == 2 and not session.progress.left_out
    assert "step 2: actor J&F" in capfd.readouterr().err
    assert load_checkpoint(tmp_path).stored_type is torch.bfloat16


def logged(folder):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(folder))
    events.Reload()
    return set(events.Tags()["scalars"])


def test_a_state_of_another_recipe_or_a_damaged_one_is_refused(tmp_path, clips):
    session = small_session(clips)
    save_state(session, tmp_path)
    with pytest.raises(CheckpointError, match="another recipe"):
        load_progress(tmp_path, small_tuning(learning_rate=1.0), len(session.mix))
    with pytest.raises(CheckpointError, match="started otherwise"):
        load_progress(tmp_path, session.recipe, 5)
    (tmp_path / STATE_FILE).write_bytes((tmp_path / STATE_FILE).read_bytes()[:100])
    with pytest.raises(CheckpointError, match="damaged"):
        load_progress(tmp_path, session.recipe, len(session.mix))
    with pytest.raises(CheckpointError, match="no training to resume"):
        load_progress(tmp_path / "nowhere", session.recipe, len(session.mix))
