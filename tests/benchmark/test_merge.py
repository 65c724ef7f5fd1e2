"""Joining shards that were made apart."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmark.errors import OutputError, PredictionError
from benchmark.evaluate import main as evaluate
from benchmark.merge import main
from benchmark.result_files import read_result
from benchmark.score import main as score
from tests.benchmark.small_release import write_release

pytestmark = pytest.mark.usefixtures("unsynced")


@pytest.fixture
def data(tmp_path: Path) -> list[str]:
    return ["--dataset", "interrvos", "--data-root", str(write_release(tmp_path / "data" / "val").parent)]


def shard(data: list[str], output: Path, part: str, adapter: str = "oracle") -> Path:
    evaluate(["--adapter", adapter, *data, "--output", str(output), "--shard", part])
    return output


def test_parts_become_one_run(data: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    parts = [shard(data, tmp_path / name, part) for name, part in (("a", "1/2"), ("b", "2/2"))]
    capsys.readouterr()
    main([*map(str, parts), "--output", str(tmp_path / "out"), *data])
    assert capsys.readouterr().out.strip() == str(tmp_path / "out" / "predictions")
    score(["--predictions", str(tmp_path / "out"), *data])
    evaluate(["--adapter", "oracle", *data, "--output", str(tmp_path / "whole")])
    joined, whole = read_result(tmp_path / "out"), read_result(tmp_path / "whole")
    assert joined.scores_digest == whole.scores_digest
    assert len(joined.provenance["predicting"]["sessions"]) == 2
    with pytest.raises(OutputError, match="predictions lie here already"):
        main([str(parts[0]), "--output", str(tmp_path / "out"), *data])


def test_what_is_missing_is_listed_and_can_be_asked(data: list[str], tmp_path: Path) -> None:
    part = shard(data, tmp_path / "a", "1/2")
    with pytest.raises(PredictionError, match=r"video 111_clip000, expression 7: no answer stored"):
        main([str(part / "predictions"), "--output", str(tmp_path / "out"), *data])
    evaluate(["--adapter", "oracle", *data, "--output", str(tmp_path / "out")])
    assert read_result(tmp_path / "out").settings["RVOS"].jf == 100.0


def test_what_is_there_twice_is_listed_and_nothing_written(data: list[str], tmp_path: Path) -> None:
    parts = [shard(data, tmp_path / name, part) for name, part in (("a", "1/2"), ("b", "1/1"))]
    with pytest.raises(PredictionError, match=r"video 222_clip000: predicted twice; found in .*a.* and .*b"):
        main([*map(str, parts), "--output", str(tmp_path / "out"), *data])
    assert not (tmp_path / "out").exists()


def test_parts_of_different_runs(data: list[str], tmp_path: Path) -> None:
    one, other = shard(data, tmp_path / "a", "1/2"), shard(data, tmp_path / "b", "2/2", "empty")
    with pytest.raises(PredictionError, match="adapter was 'oracle' and is 'empty'"):
        main([str(one), str(other), "--output", str(tmp_path / "out"), *data])


def test_folders_without_predictions(data: list[str], tmp_path: Path) -> None:
    with pytest.raises(PredictionError, match=r"no predictions here.*found nothing of the kind"):
        main([str(tmp_path), "--output", str(tmp_path / "out"), *data])
    with pytest.raises(PredictionError, match="found no such folder"):
        main([str(tmp_path / "nowhere"), "--output", str(tmp_path / "out"), *data])
