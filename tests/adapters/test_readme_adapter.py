"""The complete adapter of adapters/README.md, as it stands there, from file to score."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import pytest

from benchmark.datasets.synthetic import write_split
from benchmark.evaluate import main

README = Path(__file__).resolve().parents[2] / "adapters" / "README.md"


def test_the_adapter_of_the_manual_runs_and_finds_things(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    blocks = re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
    assert len(blocks) == 1
    assert len(blocks[0].splitlines()) <= 30, "the manual promises 30 lines"
    (tmp_path / "colour_words.py").write_text(blocks[0], encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    data = write_split(tmp_path / "data", "val", 4).parent

    def percent(adapter: str, *options: str) -> dict[str, float]:
        output = tmp_path / adapter.partition(":")[0]
        asked = ["--adapter", adapter, *options, "--data-root", str(data), "--output", str(output)]
        main(asked)
        result = json.loads((output / "result.json").read_bytes())
        assert not any(sum(one["failed"].values()) for one in result["settings"].values())
        return {name: one["J&F"] for name, one in result["settings"].items()}

    found = percent("colour_words:ColourWords", "--option", "tolerance=70")
    guessed = percent("centre_box")
    sys.modules.pop("colour_words")
    for setting, score in guessed.items():
        assert found[setting] > score + 5, setting
