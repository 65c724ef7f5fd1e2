"""What the reference model's adapter knows of its weights before loading them."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from benchmark.adapter import load_adapter

ROOT = Path(__file__).resolve().parents[2]


def test_weights_are_told_apart_before_loading(tmp_path: Path) -> None:
    stored = {"format": 1, "weights_digest": "abc", "recipe": {"name": "tiny"}, "training": {}}
    (tmp_path / "config.json").write_text(json.dumps(stored))
    info = load_adapter("reviosa", {"checkpoint": str(tmp_path)}).info()
    assert (info.weights_digest, info.revision) == ("abc", "tiny")
    for damage in ("{", "[]"):
        (tmp_path / "config.json").write_text(damage)
        assert load_adapter("reviosa", {"checkpoint": str(tmp_path)}).info().weights_digest is None
    assert load_adapter("reviosa", {"checkpoint": str(tmp_path / "gone")}).info().weights_digest is None


def test_facts_need_no_torch() -> None:
    script = (
        "import sys; from benchmark.adapter import load_adapter; load_adapter('reviosa').info();"
        "print('torch' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "False"
