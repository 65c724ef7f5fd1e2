"""The measuring of conversions runs at a small size, within this process."""

from __future__ import annotations

import pytest

from reference_model import convert, released_recipes, sam2_weights
from tests.benchmarks import measure_conversion as measuring
from tests.reference_model.original_checkpoints import SMALL_SAM2, small_recipe


@pytest.fixture(autouse=True)
def small_size(monkeypatch):
    monkeypatch.setitem(sam2_weights.SIZES, "small", SMALL_SAM2)
    monkeypatch.setitem(released_recipes.RELEASED, "small", small_recipe)


def test_what_went_out_comes_back(tmp_path, monkeypatch):
    def here(*words: object) -> measuring.Cost:
        assert convert.main([str(word) for word in words]) == 0
        return measuring.Cost(0.0, 0)

    monkeypatch.setattr(measuring, "convert", here)
    costs = measuring.measure(tmp_path, small_recipe(), rows=800)
    assert len(costs) == 2
    assert {one.name for one in tmp_path.iterdir()} == {"ours", "released", "again"}


def test_the_command_in_a_process_of_its_own_is_timed_or_fails_aloud(tmp_path):
    with pytest.raises(measuring.subprocess.CalledProcessError):
        measuring.convert("--checkpoint", tmp_path / "nowhere", "--output", tmp_path / "out")
    cost = measuring.convert("--help")
    assert cost.seconds > 0 and cost.peak_bytes > 2**20
