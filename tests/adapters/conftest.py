"""Tests of adapters share the tiny clips and the written forms of the referee's own tests."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "benchmark"))


@pytest.fixture
def unsynced(monkeypatch: pytest.MonkeyPatch) -> None:
    """Spare the disk: tests that write many small files need not wait for each to reach it."""
    monkeypatch.setattr(os, "fsync", lambda handle: None)
