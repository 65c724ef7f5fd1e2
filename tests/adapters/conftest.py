"""What the tests of adapters share."""

from __future__ import annotations

import os

import pytest


@pytest.fixture
def unsynced(monkeypatch: pytest.MonkeyPatch) -> None:
    """Spare the disk: tests that write many small files need not wait for each to reach it."""
    monkeypatch.setattr(os, "fsync", lambda handle: None)
