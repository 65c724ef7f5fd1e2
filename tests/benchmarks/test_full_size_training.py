"""The measuring of a training step runs on a CPU at small sizes, so that it stays correct."""

from __future__ import annotations

import json

import pytest
import torch

from reference_model.tuning_config import Precision
from tests.benchmarks import measure_full_size_training as measuring

FLOAT32 = measuring.Pass(Precision.FLOAT32)


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
    assert measuring.run(["reviosa_1b_tiny"], torch.device("cpu"), 1, -1.0, FLOAT32) == []
    assert "left out" in capsys.readouterr().out


def test_what_does_not_fit_is_said_and_the_rest_is_kept(tmp_path, capsys, monkeypatch):
    measure = measuring.measure

    def full(bench, checkpointing, *more):
        if not checkpointing:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return measure(bench, checkpointing, *more)

    path = tmp_path / "rows.json"
    words = ["--recipes", "reviosa_1b_tiny", "--device", "cpu", "--rounds", "1", "--output", str(path)]
    monkeypatch.setattr(measuring, "measure", full)
    monkeypatch.setattr("sys.argv", ["measure", *words, "--videos", "1", "--frames", "1"])
    with pytest.raises(SystemExit, match="1"):
        measuring.main()
    (row,) = json.loads(path.read_text())["rows"]
    assert row["checkpointing"] and row["videos"] == 1
    assert "left out from here, CUDA out of memory" in capsys.readouterr().out


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_it_runs_on_a_gpu():
    asked = measuring.Pass(Precision.BFLOAT16)
    (first, second) = measuring.run(["reviosa_1b_tiny"], torch.device("cuda"), 1, 60.0, asked)
    assert first.peak_gib is not None and second.peak_gib is not None
