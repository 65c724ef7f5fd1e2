"""Sa2VA (arXiv 2501.04001) through the code that its checkpoints carry.

That code calls `.cuda()`, needs its own versions of transformers (4.49 for the InternVL2.5 sizes, 4.57 for
the others) and was replaced several times under the same names. So it is asked for explicitly, with a pinned
commit, and usually in an environment of its own:

    python -m benchmark.evaluate --adapter external --option command="/envs/sa2va/bin/python
        -m benchmark.worker --adapter sa2va --option size=4b --option revision=COMMIT
        --option trust_remote_code=true"
"""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, final

import numpy as np

from adapters.parts.checkpoints import folders_digest
from benchmark.adapter import Adapter, Requirements
from benchmark.errors import AdapterError, CheckpointError, EnvironmentProblem, UsageError
from benchmark.frames import FrameSequence
from benchmark.types import AdapterInfo, BoolMasks, Prediction, Query, Role, Status

PROMPTS: Mapping[str, tuple[str, str]] = {
    # Statement, question. Source: bytedance/Sa2VA, .../evaluation/dataset/refVOS.py (commit 9832e1a).
    "official": (
        "<image>\nPlease segment {expression}.",
        "<image>\n {expression} Please respond with a segmentation mask.",
    ),
    # Source: the InterRVOS paper, "Quantitative results"; `<image>` is what the code needs beside it.
    "interrvos": ("<image>\nPlease segment {expression} in this video.",) * 2,
    "verbatim": ("<image>\n{expression}",) * 2,
}
FRAMES_SEEN = 5
"""The language side sees the first five frames, whatever the length. Source: modeling_sa2va_chat.py."""
SEG = "[SEG]"
LEGACY = {"transformers": ">=4.42,<4.50", "torchvision": "", "peft": "", "timm": "", "einops": ""}
LATEST = {**LEGACY, "transformers": ">=4.57,<5"}
QWEN = {"transformers": ">=4.57,<5", "torchvision": "", "qwen-vl-utils": ""}
"""What the code of the checkpoints imports; its Qwen family does without peft, timm and einops."""


@dataclass(frozen=True, slots=True)
class Release:
    """One released size: its Hub name, what it is built on, and the packages that its code needs."""

    model: str
    base: str
    packages: Mapping[str, str]
    billions: float


def _release(name: str, base: str, packages: Mapping[str, str], billions: float) -> Release:
    return Release(f"ByteDance/{name}", base, {"torch": ">=2.3", **packages}, billions)


RELEASES: Mapping[str, Release] = {
    "1b": _release("Sa2VA-1B", "InternVL2.5-1B", LEGACY, 1),
    "4b": _release("Sa2VA-4B", "InternVL2.5-4B", LEGACY, 4),
    "8b": _release("Sa2VA-8B", "InternVL2.5-8B", LEGACY, 8),
    "26b": _release("Sa2VA-26B", "InternVL2.5-26B", LEGACY, 26),
    "internvl3-2b": _release("Sa2VA-InternVL3-2B", "InternVL3-2B", LATEST, 2),
    "internvl3-8b": _release("Sa2VA-InternVL3-8B", "InternVL3-8B", LATEST, 8),
    "internvl3-14b": _release("Sa2VA-InternVL3-14B", "InternVL3-14B", LATEST, 14),
    "qwen2.5-vl-3b": _release("Sa2VA-Qwen2_5-VL-3B", "Qwen2.5-VL-3B", QWEN, 3),
    "qwen2.5-vl-7b": _release("Sa2VA-Qwen2_5-VL-7B", "Qwen2.5-VL-7B", QWEN, 7),
    "qwen3-vl-2b": _release("Sa2VA-Qwen3-VL-2B", "Qwen3-VL-2B", QWEN, 2),
    "qwen3-vl-4b": _release("Sa2VA-Qwen3-VL-4B", "Qwen3-VL-4B", QWEN, 4),
}
IMPROVED: Mapping[str, Release] = {
    size: Release(f"kumuji/Sa2VA-i-{size.upper()}", RELEASES[size].base, RELEASES[size].packages, billions)
    for size, billions in (("1b", 1.0), ("4b", 4.0), ("8b", 8.0), ("26b", 26.0))
}
"""Sa2VA-i (arXiv 2509.19082): the same weights with SAM2's own decoder restored for propagation."""


@final
class Sa2va(Adapter):
    """Runs a Sa2VA checkpoint by its own `predict_forward`.

    Args:
        size: one of the released sizes.
        checkpoint: a folder with weights and code instead of the released ones.
        revision: commit of the Hub repository, 40 hexadecimal digits; needed unless a folder is given.
        trust_remote_code: that the code in the checkpoint may be run; must be said.
        multi_seg: the mask of the first [SEG] (official) or the union over all of them.
        prompt: `official`, `interrvos` (the paper's wording) or `verbatim` (the sentence is the prompt).
        chunk_frames: frames given at once; changes the results, bounds the memory. All if not given.
        improved: Sa2VA-i; see the adapter `sa2va_i`.
        key_frames: of Sa2VA-i, how many frames the language side sees, spread over the video.
        flash_attention: use flash-attn, which must be installed.
    """

    summary = "Sa2VA, eleven released sizes, through the checkpoint's own code"
    max_queries = 1  # nothing is shared between sentences

    def __init__(
        self,
        size: str = "4b",
        checkpoint: Path | None = None,
        revision: str | None = None,
        trust_remote_code: bool = False,
        multi_seg: Literal["first", "union"] = "first",
        prompt: Literal["official", "interrvos", "verbatim"] = "official",
        chunk_frames: int | None = None,
        improved: bool = False,
        key_frames: int = 5,
        flash_attention: bool = False,
    ) -> None:
        releases = IMPROVED if improved else RELEASES
        if size not in releases:
            raise UsageError(
                f"no release of size {size!r}",
                where="adapter sa2va_i" if improved else "adapter sa2va",
                expected=", ".join(releases),
                fix="choose one with --option size=..., or give a folder with --option checkpoint=...",
            )
        self._release = releases[size]
        self._checkpoint, self._revision, self._trusted = checkpoint, revision, trust_remote_code
        self._multi_seg, self._chunk_frames = multi_seg, chunk_frames
        self._statement, self._question = PROMPTS[prompt]
        self._improved, self._key_frames = improved, key_frames
        self._flash_attention = flash_attention
        self._model: Any = None

    def info(self) -> AdapterInfo:
        policy = f"first {FRAMES_SEEN} frames to the language side, all to SAM2"
        if self._improved:
            policy = f"{self._key_frames} frames spread over the video to the language side, all to SAM2"
        return AdapterInfo(
            name="sa2va_i" if self._improved else "sa2va",
            version="1",
            roles=(Role.ACTOR,),
            revision=self._revision,
            licence="Apache-2.0",
            base_models=(self._release.base, "SAM2 Hiera-L"),
            trained_on=("revos:train", "mevis:train", "ref-youtube-vos:train"),
            parameters=sum(one.numel() for one in self._model.parameters()) if self._model else None,
            weights_digest=folders_digest(str(self._checkpoint)) if self._checkpoint else None,
            frame_policy=policy,
            options={"model": str(self._checkpoint or self._release.model)},
        )

    def requirements(self) -> Requirements:
        packages = dict(self._release.packages)
        pinned = f"@{self._revision}" if self._revision else ""
        lines = " ".join(f"'{name}{rule}'" for name, rule in packages.items())
        return Requirements(
            packages=packages,
            weights=(str(self._checkpoint.absolute()) if self._checkpoint else self._release.model + pinned,),
            gpu_memory_gib=2 * self._release.billions,  # the weights alone, two bytes a parameter
            environment="one of its own, reached through --adapter external and benchmark.worker",
            setup=(
                "python3.11 -m venv /envs/sa2va",
                f"/envs/sa2va/bin/pip install numpy pillow tqdm {lines}",
            ),
        )

    def load(self, device: str, seed: int) -> None:
        self._check_consent()
        import torch
        import transformers

        torch.manual_seed(seed)
        name = str(self._checkpoint or self._release.model)
        shared = {"trust_remote_code": True, "revision": self._revision or "main"}
        dtype_word = "dtype" if int(transformers.__version__.split(".")[0]) >= 5 else "torch_dtype"
        kinds: dict[str, Any] = {dtype_word: torch.bfloat16 if device != "cpu" else torch.float32}
        if not self._is_qwen:
            kinds["use_flash_attn"] = self._flash_attention
        model = transformers.AutoModel.from_pretrained(name, low_cpu_mem_usage=True, **kinds, **shared)
        self._check_device(model, device)
        if device != "cpu":
            torch.cuda.set_device(device if ":" in device else "cuda:0")  # its code says .cuda()
        self._model = model.eval().to(device)
        self._inputs = {"tokenizer": transformers.AutoTokenizer.from_pretrained(name, **shared)}
        if self._is_qwen or "qwen" in type(model).__name__.lower():
            self._inputs["processor"] = transformers.AutoProcessor.from_pretrained(name, **shared)

    def open_video(self, frames: FrameSequence) -> None:
        self._frames = frames
        self._video = [frames.as_pil(index) for index in range(len(frames))]

    def predict(self, queries: Sequence[Query]) -> list[Prediction]:
        return [self._answer(query.expression) for query in queries]

    def close_video(self) -> None:
        self._video = []

    def unload(self) -> None:
        self._model = None

    @property
    def _is_qwen(self) -> bool:
        return "qwen-vl-utils" in self._release.packages

    def _check_consent(self) -> None:
        if self._checkpoint is not None and not (self._checkpoint / "config.json").is_file():
            raise CheckpointError(
                "no checkpoint here", where=str(self._checkpoint), expected="config.json and weights"
            )
        if not self._trusted:
            raise AdapterError(
                "the checkpoint brings code of its own, which would be run here",
                where=str(self._checkpoint or self._release.model),
                fix="read that code; if you trust it: --trust-remote-code "
                "(in a worker --option trust_remote_code=true)",
            )
        if self._checkpoint is None and not re.fullmatch(r"[0-9a-f]{40}", self._revision or ""):
            raise AdapterError(
                "code from the Hub needs a pinned revision: weights and code were replaced under one name",
                where=self._release.model,
                expected="--option revision=COMMIT, 40 hexadecimal digits",
                found=repr(self._revision),
                fix=f"take the commit from https://huggingface.co/{self._release.model}/commits/main",
            )

    def _check_device(self, model: Any, device: str) -> None:
        if not hasattr(type(model), "predict_forward"):
            raise CheckpointError(
                "this checkpoint is no Sa2VA",
                where=str(self._checkpoint or self._release.model),
                expected="a model with predict_forward",
                found=type(model).__name__,
            )
        if device == "cpu" and any(".cuda(" in text for text in _own_code(model)):
            raise EnvironmentProblem(
                "the checkpoint's code moves everything to a GPU",
                where=type(model).__name__,
                found="no GPU, or --device cpu",
                fix="run it on a machine with a GPU",
            )

    def _answer(self, expression: str) -> Prediction:
        template = self._question if "?" in expression else self._statement
        if self._improved:
            template = self._statement  # Sa2VA-i has no form for questions
        prompt = template.format(expression=expression)
        size = self._chunk_frames or len(self._video)
        parts, texts, seen, counts = [], [], [], []
        for first in range(0, len(self._video), size):
            chunk = self._video[first : first + size]
            output = self._forward(chunk, prompt)
            texts.append(str(output.get("prediction", "")))
            seen += [first + index for index in self._seen(output, len(chunk))]
            masks = self._masks(output, len(chunk))
            if isinstance(masks, str):
                return Prediction(status=Status.ERROR, message=masks, text=texts[-1], prompt=prompt)
            parts.append(masks)
            counts.append(len(output["prediction_masks"]))
        claimed = any(part is not None for part in parts)
        lengths = [len(self._video[first : first + size]) for first in range(0, len(self._video), size)]
        track = np.concatenate(
            [
                np.zeros((length, *self._size()), bool) if part is None else part
                for part, length in zip(parts, lengths, strict=True)
            ]
        )
        return Prediction(
            actor=track if claimed else None,
            status=Status.OK if claimed else Status.NO_MASK,
            text=" | ".join(texts),
            prompt=prompt,
            message=_lost_tokens(texts, counts),
            frames_used=tuple(seen),
        )

    def _forward(self, video: list[Any], prompt: str) -> Mapping[str, Any]:
        import torch

        more = {"sample_num_frames": self._key_frames} if self._improved else {}
        with torch.inference_mode():
            output = self._model.predict_forward(video=video, text=prompt, **self._inputs, **more)
        if not isinstance(output, Mapping):
            raise TypeError(f"predict_forward returned {type(output).__name__}, not a dictionary")
        return output

    def _seen(self, output: Mapping[str, Any], length: int) -> list[int]:
        if self._improved and "sample_idx" in output:
            return [int(index) for index in output["sample_idx"]]
        return list(range(min(FRAMES_SEEN, length)))

    def _size(self) -> tuple[int, int]:
        return self._frames.height, self._frames.width

    def _masks(self, output: Mapping[str, Any], length: int) -> BoolMasks | str | None:
        """The masks of one call; `None` without [SEG]; a sentence when they cannot be used."""
        given = output.get("prediction_masks")
        if not isinstance(given, list | tuple):
            return f"prediction_masks is {type(given).__name__}, not a list"
        tracks = []
        for index, one in enumerate(given):
            array = np.asarray(one.cpu() if hasattr(one, "cpu") else one)
            if array.shape != (length, *self._size()):
                return f"mask {index} has shape {array.shape}, expected {(length, *self._size())}"
            if array.dtype != np.bool_ and not np.isin(array, (0, 1)).all():
                return f"mask {index} holds logits or probabilities ({array.dtype}), expected booleans"
            tracks.append(array.astype(bool))
        if not tracks:
            return None
        return tracks[0] if self._multi_seg == "first" else np.logical_or.reduce(tracks)


def _own_code(model: Any) -> list[str]:
    """The code that came with the checkpoint; the Qwen family says `.cuda()` in its SAM2 alone."""
    package = type(model).__module__.rpartition(".")[0] + "."
    loaded = [module for name, module in sys.modules.items() if name.startswith(package)]
    return [Path(one.__file__).read_text(encoding="utf-8") for one in loaded if one.__file__]


def _lost_tokens(texts: Sequence[str], masks: Sequence[int]) -> str | None:
    """The code loses a [SEG] that is the very last token: hidden states exist for input tokens only."""
    said = [text.count(SEG) for text in texts]
    if any(tokens and not made for tokens, made in zip(said, masks, strict=True)):
        return f"the answer holds {SEG}, but no mask came with it (it was the last token)"
    lost = sum(max(0, tokens - made) for tokens, made in zip(said, masks, strict=True))
    return f"{lost} of {sum(said)} {SEG} came without a mask (as the last token does)" if lost else None
