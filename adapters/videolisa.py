"""VideoLISA, its own repository run untouched in its own environment.

    python -m adapters doctor videolisa --option checkout=/src/VideoLISA
    python -m benchmark.evaluate --adapter videolisa --option checkout=/src/VideoLISA \
        --option python=/envs/videolisa/bin/python --option weights=/weights/VideoLISA-3.8B --device cuda
    python -m benchmark.evaluate --adapter zero-shot-target --option of=videolisa \
        --option of.checkout=/src/VideoLISA --device cuda

For each video the repository's inference script for ReasonVOS is started once, for all of its sentences. Its
prompt is "Please segment the ... in this scene." in lower case, and for a sentence that ends in "?" the
sentence with "Please output the segmentation masks."; the scripts for MeViS and Ref-YouTube-VOS, whose
data folders are written into them, say "in this image". Its answer "Sure, [SEG]." is given to it, so it
never abstains. The refinement by XMem2, a stage of its own, is not run.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import final

from adapters.parts.checkpoints import folders_digest, is_folder, requirement
from adapters.parts.option_checks import check_counts, loaded
from adapters.parts.original_program import Original, commit_of, start, weights_gib
from adapters.parts.videolisa_job import SCRIPT
from benchmark.adapter import Adapter, Requirements
from benchmark.frames import FrameSequence
from benchmark.types import AdapterInfo, Prediction, Query, Role

REPOSITORY = "https://github.com/showlab/VideoLISA"
# Source: the repository's pyproject.toml and README.
PACKAGES = {"torch": "", "transformers": "", "peft": "", "opencv-python": "", "flash-attn": ""}


@final
class VideoLisa(Adapter):
    """Runs a checkout of VideoLISA by its own command line.

    Args:
        checkout: the repository's folder.
        python: the interpreter of its environment; `.venv/bin/python` of the checkout if not given.
        weights: the merged model: a folder, or a name on the Hub.
        sparse_frames: frames that the language side sees as one token each.
        dense_frames: of those, frames that it sees in full.
        timeout: seconds for one start of the program.
        sentences_per_run: sentences of a video that one start answers.
        log: file that keeps what it prints.
    """

    summary = "VideoLISA: the original repository in its own environment (--option checkout=DIR)"
    works_elsewhere = True

    def __init__(
        self,
        checkout: Path = Path("VideoLISA"),
        python: str | None = None,
        weights: str = "ZechenBai/VideoLISA-3.8B",
        sparse_frames: int = 32,
        dense_frames: int = 4,
        timeout: float | None = None,
        sentences_per_run: int = 64,
        log: Path | None = None,
    ) -> None:
        check_counts(sparse_frames=sparse_frames, dense_frames=dense_frames)
        self._checkout = checkout.absolute()
        self._python = python or str(self._checkout / ".venv" / "bin" / "python")
        self._weights = weights
        self._sparse, self._dense = sparse_frames, dense_frames
        self._limits = {"timeout": timeout, "queries_per_job": sentences_per_run, "log": log}
        self.max_queries = max(1, sentences_per_run)
        self._external: Adapter | None = None

    def info(self) -> AdapterInfo:
        return AdapterInfo(
            name="videolisa",
            version="1",
            roles=(Role.ACTOR,),
            revision=commit_of(self._checkout),
            licence="Apache-2.0 (classifier of its pyproject.toml)",
            base_models=("LLaVA-Phi-3-V", "CLIP ViT-L/14-336", "SAM ViT-H"),
            trained_on=("mevis:train", "ref-youtube-vos:train", "ref-davis17:train", "youtube-vos:train"),
            weights_digest=folders_digest(self._weights),
            frame_policy=f"{self._sparse} sparse, {self._dense} dense frames to the language side, SAM all",
        )

    def requirements(self) -> Requirements:
        folder = Path(self._weights)
        return Requirements(
            packages=PACKAGES,
            interpreter=self._python,
            files=self._files(),
            programs=(self._python,),
            weights=(requirement(self._weights, None),),
            gpu_memory_gib=weights_gib(folder) if is_folder(self._weights) else None,
            environment="one of its own (Python 3.10, flash-attn) and on a GPU",
            setup=(
                f"git clone {REPOSITORY} {self._checkout}",
                f"python3.10 -m venv {self._checkout}/.venv",
                f"{self._checkout}/.venv/bin/pip install -e {self._checkout}",
                f"{self._checkout}/.venv/bin/pip install flash-attn --no-build-isolation",
            ),
        )

    def load(self, device: str, seed: int) -> None:
        """Check that everything is there; the weights are read anew for each start of the program."""
        files = dict(self._files())
        weights = self._weights
        if is_folder(weights):
            weights = str(Path(weights).absolute())
            files[f"{weights}/config.json"] = "hf download ZechenBai/VideoLISA-3.8B, or name its folder"
        told = {"checkout": self._checkout, "python": self._python, "weights": weights}
        flags = [f"--{key}={value}" for key, value in told.items()]
        flags += [f"--sparse-frames={self._sparse}", f"--dense-frames={self._dense}"]
        job = "adapters.parts.videolisa_job"
        original = Original("videolisa", self._checkout, self._python, files, job, tuple(flags))
        self._external = start(original, device, seed, self._limits)

    def open_video(self, frames: FrameSequence) -> None:
        self._started().open_video(frames)

    def predict(self, queries: Sequence[Query]) -> list[Prediction]:
        return self._started().predict(queries)

    def close_video(self) -> None:
        if self._external is not None:
            self._external.close_video()

    def unload(self) -> None:
        if self._external is not None:
            self._external.unload()
        self._external = None

    def _files(self) -> dict[str, str]:
        return {str(self._checkout / SCRIPT): f"git clone {REPOSITORY} {self._checkout}"}

    def _started(self) -> Adapter:
        return loaded(self._external, "videolisa")
