"""Tests of adapters share the tiny clips and the written forms of the referee's own tests."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
for folder in (HERE.parent / "benchmark", HERE):
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))


@pytest.fixture
def unsynced(monkeypatch: pytest.MonkeyPatch) -> None:
    """Spare the disk: tests that write many small files need not wait for each to reach it."""
    monkeypatch.setattr(os, "fsync", lambda handle: None)
