"""The measuring of a training step runs on a CPU at small sizes, so that it stays correct."""

from __future__ import annotations

import json

import pytest
import torch

from tests.benchmarks import measure_full_size_training as measuring


def test_it_measures_both_variants_of_a_sibling(tmp_path, capsys, monkeypatch):
    path = tmp_path / "rows.json"
    words = ["--recipes", "reviosa_1b_tiny", "--device", "cpu", "--rounds", "1", "--output", str(path)]
    monkeypatch.setattr("sys.argv", ["measure", *words])
    measuring.main()
    rows = json.loads(path.read_text())["rows"]
    assert [one["checkpointing"] for one in rows] == [True, False]
    assert rows[0]["tera_operations"] == rows[1]["tera_operations"] > 0
    assert rows[0]["videos"] == 2 and rows[0]["role_tokens"] == 16
    assert "reviosa_1b_tiny" in capsys.readouterr().out


def test_what_would_begin_too_late_is_left_out_and_said(capsys):
    assert measuring.run(["reviosa_1b_tiny"], torch.device("cpu"), 1, -1.0) == []
    assert "left out" in capsys.readouterr().out


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_it_runs_on_a_gpu():
    (first, second) = measuring.run(["reviosa_1b_tiny"], torch.device("cuda"), 1, 60.0)
    assert first.peak_gib is not None and second.peak_gib is not None
