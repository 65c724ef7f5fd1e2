"""Every adapter that loads weights here, through the whole command, on the CPU and on a GPU.

Weights are tiny and random; only the words are put into the language models' mouths, after they were asked.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from adapters.parts.box_answers import FrameBox
from adapters.parts.sam2_tracking import BoxTracker
from adapters.parts.vision_language_chat import PictureChat, Reply
from benchmark.evaluate import main
from benchmark.frames import FrameArray
from benchmark.masks import decode_track
from benchmark.types import BoolMasks
from tests.adapters.tiny_checkpoints import write_grounding_dino, write_internvl, write_qwen, write_sam2
from tests.adapters.toy_sa2va import write_checkpoint

pytestmark = pytest.mark.usefixtures("unsynced", "modules_of_remote_code")
GPU = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")]
CUDA = pytest.param("cuda", marks=GPU)
BOXES = json.dumps(
    {
        "actor": [{"frame": 1, "bbox_2d": [9, 9, 50, 50]}],
        "target": [{"frame": 1, "bbox_2d": [5, 5, 20, 20]}],
    }
)
CHAT = ["--option", "max_tokens=4"]
VISA = [*CHAT, "--option", "answers=2", "--option", "references=3", "--option", "sampler_frames=2"]


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("weights")
    write_qwen(folder / "qwen"), write_internvl(folder / "internvl")
    write_grounding_dino(folder / "gdino"), write_sam2(folder / "sam2")
    write_checkpoint(folder / "sa2va"), write_checkpoint(folder / "sa2va-cuda", on_gpu=True)
    return folder


@pytest.fixture
def told_boxes(monkeypatch: pytest.MonkeyPatch) -> None:
    real = PictureChat.ask

    def ask(chat: PictureChat, pictures: Any, words: str, max_tokens: int) -> Reply:
        return Reply(BOXES, real(chat, pictures, words, max_tokens).sizes)

    monkeypatch.setattr(PictureChat, "ask", ask)


def evaluated(output: Path, device: str, *words: str) -> Mapping[str, Any]:
    main([*words, "--device", device, "--limit", "2", "--output", str(output)])
    result: Mapping[str, Any] = json.loads((output / "result.json").read_bytes())
    return result


@pytest.mark.parametrize("device", ["cpu", CUDA])
@pytest.mark.parametrize(
    ("adapter", "words", "named"),
    [
        ("reviosa", [], {}),
        ("mllm-sam2", CHAT, {"model": "qwen", "sam2": "sam2"}),
        ("mllm-sam2", CHAT, {"model": "internvl", "sam2": "sam2"}),
        ("visa-style", VISA, {"model": "internvl", "sam2": "sam2"}),
        ("gdino-sam2", ["--option", "threshold=0"], {"model": "gdino", "sam2": "sam2"}),
        ("zero-shot-target", ["--option", "of=gdino-sam2"], {"of.model": "gdino", "of.sam2": "sam2"}),
        ("sa2va", ["--trust-remote-code"], {"checkpoint": "sa2va"}),
    ],
    ids=lambda one: one if isinstance(one, str) else "-".join(one.values()) if isinstance(one, dict) else "",
)
def test_to_the_end(
    weights: Path,
    tmp_path: Path,
    told_boxes: None,
    adapter: str,
    words: list[str],
    named: dict[str, str],
    device: str,
) -> None:
    for option, name in named.items():
        words = [*words, "--option", f"{option}={weights / name}"]
    result = evaluated(tmp_path, device, "--adapter", adapter, *words)
    assert result["settings"]["RVOS"]["failed"] == {}
    cost = result["cost"]
    assert cost["frames_per_second"] > 0 and cost["peak_memory_bytes"] > 0
    if device == "cpu":
        assert (cost["gpu_seconds"], cost["peak_gpu_memory_bytes"]) == (None, None)
    else:
        # All of its time is spent on one GPU, whose memory holds at least the weights.
        assert cost["gpu_seconds"] == pytest.approx(cost["seconds"])
        assert cost["peak_gpu_memory_bytes"] >= 2 * cost["parameters"]


@pytest.mark.parametrize("device", [CUDA])
def test_a_checkpoint_whose_code_says_cuda(weights: Path, tmp_path: Path, device: str) -> None:
    result = evaluated(
        *(tmp_path, device, "--adapter", "sa2va", "--trust-remote-code"),
        *("--option", f"checkpoint={weights / 'sa2va-cuda'}"),
    )
    assert result["settings"]["RVOS"]["failed"] == {} and result["cost"]["gpu_seconds"] > 0


@pytest.mark.parametrize("device", [CUDA])
def test_a_gpu_follows_boxes_as_the_cpu_does(weights: Path, device: str) -> None:
    frames = FrameArray(np.random.default_rng(0).integers(0, 255, (5, 40, 60, 3), np.uint8))

    def masks(where: str) -> BoolMasks:
        tracker = BoxTracker(str(weights / "sam2"), None, where)
        tracker.open_video(frames)
        return np.stack([decode_track(one) for one in tracker.track([FrameBox(2, 5, 5, 40, 30)])])

    assert (masks(device) == masks("cpu")).mean() > 0.95
