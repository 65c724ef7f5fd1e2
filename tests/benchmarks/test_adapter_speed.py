"""What the harness and a process boundary cost per sentence, and how fast masks of others are read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from benchmark.prediction_layouts import open_foreign
from benchmark.predictions import open_predictions
from benchmark.types import Query
from tests.benchmarks.measure_adapters import (
    SENTENCE,
    OneClip,
    Paced,
    direct,
    harnessed,
    main,
    worker,
    write_tree,
)

FRAMES = 100


@pytest.mark.parametrize("around", ["nothing", "the harness"])
def test_a_model_that_takes_no_time(benchmark: Any, tmp_path: Path, around: str) -> None:
    clip: Any = OneClip(FRAMES)
    adapter = Paced(0, FRAMES)
    if around == "nothing":
        benchmark(direct, adapter, clip)
    else:
        benchmark(harnessed, adapter, clip, tmp_path)
        assert open_predictions(tmp_path, clip).video("clip")["0"].target is not None
    benchmark.extra_info["frames"] = FRAMES


def test_reading_png_masks(benchmark: Any, tmp_path: Path) -> None:
    dataset: Any = OneClip(FRAMES)
    reader = open_foreign(write_tree(tmp_path, FRAMES), dataset)
    read = benchmark(reader.video, "clip")
    assert read["0"].actor is not None
    benchmark.extra_info["masks"] = FRAMES


def test_worker_round_trip_per_sentence(benchmark: Any, tmp_path: Path) -> None:
    adapter = worker(tmp_path / "log")
    answers = benchmark(adapter.predict, [Query(0, SENTENCE)])
    assert answers[0].actor is not None
    adapter.close_video()
    adapter.unload()


def test_all_of_it_in_one_run(capsys: pytest.CaptureFixture[str]) -> None:
    main(["--frames", "4", "--frame-ms", "1", "--rounds", "1"])
    lines = capsys.readouterr().out.splitlines()
    assert [line.partition(":")[0] for line in lines] == ["harness", "worker", "precomputed"]
