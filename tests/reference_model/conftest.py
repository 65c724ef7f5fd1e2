"""Every test of the model runs on one thread: more are far slower beside another busy process."""

from __future__ import annotations

import pytest
import torch


@pytest.fixture(autouse=True)
def _one_thread():
    torch.set_num_threads(1)
