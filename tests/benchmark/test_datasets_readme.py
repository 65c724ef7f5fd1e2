"""The manual of the datasets folder does not lie: its example runs, its tables name what there is."""

from __future__ import annotations

import re
from inspect import signature
from pathlib import Path

import pytest

from benchmark.datasets import DATASETS
from benchmark.datasets.interrvos import open_split
from tests.benchmark.small_release import write_release

MANUAL = (Path(__file__).resolve().parents[2] / "benchmark" / "datasets" / "README.md").read_text("utf-8")


def test_the_example_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (example,) = re.findall(r"```python\n(.*?)```", MANUAL, re.DOTALL)
    write_release(tmp_path / "data" / "InterRVOS" / "val")
    monkeypatch.chdir(tmp_path)
    exec(compile(example, "README.md", "exec"), {})
    shown = capsys.readouterr().out.splitlines()
    assert shown[0] == "222_clip000 a dog 3 9 16"
    assert len(shown) == 5


def test_every_dataset_and_option_is_in_the_tables() -> None:
    for name in DATASETS:
        assert f"| `{name}` |" in MANUAL
    options = set(signature(open_split).parameters) - {"data_root", "split", "name"}
    table = MANUAL.split("## Options of `interrvos`")[1].split("##")[0]
    assert set(re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE)) == options
