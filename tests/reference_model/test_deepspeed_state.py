"""DeepSpeed: its settings, the stage that is refused, and which folders of states stay."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from benchmark.errors import CheckpointError, UsageError
from reference_model.deepspeed_state import configure, is_deepspeed, load_folder, remove_older
from reference_model.full_recipes import tuning_of
from reference_model.recipes import find_recipe


def launched(stage: int) -> SimpleNamespace:
    plugin = SimpleNamespace(zero_stage=stage, deepspeed_config={"bf16": {"enabled": True}})
    kind = SimpleNamespace(value="DEEPSPEED")
    return SimpleNamespace(state=SimpleNamespace(deepspeed_plugin=plugin), distributed_type=kind)


def test_it_is_told_how_large_a_pass_and_a_step_are():
    accelerator = launched(2)
    assert is_deepspeed(accelerator)
    configure(accelerator, tuning_of(find_recipe("reviosa_1b")), 4)
    assert accelerator.state.deepspeed_plugin.deepspeed_config == {
        "bf16": {"enabled": True},
        "train_micro_batch_size_per_gpu": 2,
        "gradient_accumulation_steps": 4,
        "gradient_clipping": 1.0,
    }


def test_spread_weights_are_refused():
    with pytest.raises(UsageError, match=r"stage 3 of DeepSpeed is not supported.*--use_fsdp"):
        configure(launched(3), tuning_of(find_recipe("reviosa_1b")), 4)


def test_only_the_state_that_is_named_stays(tmp_path):
    session = SimpleNamespace(progress=SimpleNamespace(step=20))
    for step in (10, 20):
        (tmp_path / f"deepspeed-step-{step:06d}").mkdir()
    (tmp_path / "validation").mkdir()
    remove_older(session, tmp_path)
    assert sorted(one.name for one in tmp_path.iterdir()) == ["deepspeed-step-000020", "validation"]
    session.progress.step = 10
    with pytest.raises(CheckpointError, match=r"step-000010: the state of DeepSpeed is missing"):
        load_folder(session, tmp_path)
