"""Sa2VA and Sa2VA-i on a checkpoint with code of its own that answers as theirs does."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from adapters.sa2va import IMPROVED, PROMPTS, RELEASES
from benchmark.adapter import Adapter, load_adapter
from benchmark.errors import AdapterError, CheckpointError, EnvironmentProblem, UsageError
from benchmark.frames import FrameArray
from benchmark.types import Prediction, Query, Role, Status
from tests.adapters.toy_sa2va import write_checkpoint

FRAMES = FrameArray(np.random.default_rng(0).integers(0, 255, (7, 6, 9, 3), np.uint8))
COMMIT = "0123456789abcdef0123456789abcdef01234567"


pytestmark = pytest.mark.usefixtures("modules_of_remote_code")


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    return write_checkpoint(tmp_path / "toy")


def loaded(checkpoint: Path, name: str = "sa2va", **options: str) -> Adapter:
    adapter = load_adapter(name, {"checkpoint": str(checkpoint), "trust_remote_code": "true", **options})
    adapter.load("cpu", 0)
    adapter.open_video(FRAMES)
    return adapter


def ask(adapter: Adapter, sentence: str) -> Prediction:
    (answer,) = adapter.predict([Query(0, sentence)])
    return answer


def rows(answer: Prediction) -> list[int]:
    """Rows that hold pixels, the same in each frame."""
    assert isinstance(answer.actor, np.ndarray) and answer.actor.shape == (7, 6, 9)
    assert (answer.actor == answer.actor[:1]).all()
    return [int(row) for row in np.flatnonzero(answer.actor[0].any(axis=1))]


def test_answers_traps_and_policies(checkpoint: Path) -> None:
    adapter = loaded(checkpoint)
    answer = ask(adapter, "red disc")
    assert rows(answer) == [0, 1] and answer.status is Status.OK and answer.target is None
    assert answer.text == "Sure, [SEG].<|im_end|>" and answer.frames_used == (0, 1, 2, 3, 4)
    assert answer.prompt == "<image>\nPlease segment red disc."
    assert (
        ask(adapter, "who is it?").prompt == "<image>\n who is it? Please respond with a segmentation mask."
    )
    assert rows(ask(adapter, "two")) == [0, 1] and rows(ask(adapter, "tensor")) == [0, 1]
    silent, lost = ask(adapter, "silent"), ask(adapter, "lost")
    assert (silent.status, silent.actor, silent.message) == (Status.NO_MASK, None, None)
    assert lost.status is Status.NO_MASK and "it was the last token" in str(lost.message)
    partly = ask(adapter, "partly")
    assert partly.status is Status.OK and rows(partly) == rows(ask(adapter, "dog"))
    assert partly.message == "1 of 2 [SEG] came without a mask (as the last token does)"
    said = {word: ask(adapter, word) for word in ("logits", "small", "short", "nothing")}
    assert all(one.status is Status.ERROR and one.actor is None for one in said.values())
    assert "logits or probabilities (float64)" in str(said["logits"].message)
    assert "mask 0 has shape (7, 1, 9), expected (7, 6, 9)" in str(said["small"].message)
    assert "mask 0 has shape (1, 6, 9)" in str(said["short"].message)
    assert said["nothing"].message == "prediction_masks is NoneType, not a list"
    with pytest.raises(TypeError, match="returned str, not a dictionary"):
        ask(adapter, "text only")
    info = adapter.info()
    assert info.roles == (Role.ACTOR,) and info.parameters == 3 and info.weights_digest
    adapter.close_video()
    adapter.unload()


def test_options(checkpoint: Path) -> None:
    adapter = loaded(checkpoint, multi_seg="union", prompt="interrvos", chunk_frames="3")
    answer = ask(adapter, "two")
    assert rows(answer) == [0, 1, 4, 5]
    assert answer.prompt == "<image>\nPlease segment two in this video."
    assert answer.text == " | ".join(["Sure, [SEG] and [SEG]."] * 3)
    assert answer.frames_used == (0, 1, 2, 3, 4, 5, 6)
    assert ask(adapter, "silent").actor is None


def test_sa2va_i_tells_the_frames_it_chose(tmp_path: Path) -> None:
    adapter = loaded(write_checkpoint(tmp_path / "improved", improved=True), "sa2va-i", key_frames="4")
    answer = ask(adapter, "who?")
    assert answer.prompt == "<image>\nPlease segment who?." and answer.frames_used == (0, 2, 4, 6)
    assert adapter.info().name == "sa2va_i" and "4 frames spread" in str(adapter.info().frame_policy)
    assert adapter.requirements().weights
    adapter.close_video()
    adapter.unload()


def test_a_target_by_the_papers_prompt(checkpoint: Path) -> None:
    options = {"of": "sa2va", "of.checkpoint": str(checkpoint), "of.trust_remote_code": "true"}
    adapter = load_adapter("zero-shot-target", options)
    adapter.load("cpu", 0)
    adapter.open_video(FRAMES)
    answer = ask(adapter, "dog")
    assert answer.prompt == (
        "<image>\nPlease segment the object that is directly interacting with dog in the image."
    )
    assert answer.target is not None


def test_a_processor_where_the_code_needs_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from transformers import AutoProcessor

    seen: list[Any] = []

    def record(name: str, **more: Any) -> str:
        seen.append(more)
        return "processor"

    # The class is patched: loading remote code replaces the module `transformers` itself.
    monkeypatch.setattr(AutoProcessor, "from_pretrained", record)
    folder = write_checkpoint(tmp_path / "qwen", name="ToyQwen")
    adapter = loaded(folder, size="qwen3-vl-4b")
    assert ask(adapter, "dog").status is Status.OK
    assert seen == [{"trust_remote_code": True, "revision": "main"}]


@pytest.mark.parametrize(
    ("options", "pattern"),
    [
        ({"revision": COMMIT}, r"brings code of its own.* --trust-remote-code"),
        ({"trust_remote_code": "true"}, r"needs a pinned revision.*found None"),
        ({"trust_remote_code": "true", "revision": "main"}, r"ByteDance/Sa2VA-4B: .*found 'main'"),
    ],
)
def test_nothing_is_fetched_without_consent_and_a_pinned_commit(
    options: dict[str, str], pattern: str
) -> None:
    with pytest.raises(AdapterError, match=pattern):
        load_adapter("sa2va", options).load("cpu", 0)


def test_folders_that_are_no_sa2va(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(CheckpointError, match="no checkpoint here"):
        loaded(tmp_path / "empty")
    with pytest.raises(CheckpointError, match="no checkpoint here"):  # said before consent is asked for
        load_adapter("sa2va", {"checkpoint": str(tmp_path / "missing")}).load("cpu", 0)
    folder = write_checkpoint(tmp_path / "plain")
    code = (folder / "modeling_toy.py").read_text().replace("def predict_forward", "def other")
    (folder / "modeling_toy.py").write_text(code)
    with pytest.raises(CheckpointError, match="this checkpoint is no Sa2VA"):
        loaded(folder)


def test_code_that_needs_a_gpu_says_so_before_the_run(tmp_path: Path) -> None:
    with pytest.raises(EnvironmentProblem, match="moves everything to a GPU"):
        loaded(write_checkpoint(tmp_path / "on_gpu", on_gpu=True))


def test_sizes() -> None:
    for name, releases in (("sa2va", RELEASES), ("sa2va_i", IMPROVED)):
        for size, release in releases.items():
            adapter = load_adapter(name, {"size": size, "revision": COMMIT})
            assert adapter.info().base_models[0] == release.base
            needs = adapter.requirements()
            assert needs.weights == (f"{release.model}@{COMMIT}",)
            assert ("qwen-vl-utils" in needs.packages) is ("Qwen" in release.model)
        with pytest.raises(UsageError, match="no release of size '3b'"):
            load_adapter(name, {"size": "3b"})


def test_every_prompt_holds_the_mark_without_which_the_code_fails() -> None:
    assert all(text.startswith("<image>\n") for pair in PROMPTS.values() for text in pair)
