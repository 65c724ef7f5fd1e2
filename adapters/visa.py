"""VISA, its own repository run untouched in its own environment.

    python -m adapters doctor visa --option checkout=/src/VISA --option weights=/weights/VISA-7B
    python -m benchmark.evaluate --adapter visa --option checkout=/src/VISA \
        --option python=/envs/visa/bin/python --option weights=/weights/VISA-7B --device cuda
    python -m benchmark.evaluate --adapter zero-shot-target --option of=visa --option of.checkout=/src/VISA \
        --option of.weights=/weights/VISA-7B --option of.sampler=middle --device cuda

For each video the repository's stages are run for all of its sentences: train_ds.py --eval_only (a mask of
every frame), the client of its frame sampler, XMem from the target frame both ways. What the repository
does differs from the paper: references are uniform, not Global-Local; the sampler asks for one of eleven
percentages, draws without a seed, and takes the middle where no answer can be read. Its answer
"It is [SEG]." is given to it, so it never abstains.

The sampler is a server that must be running on this machine before the run starts:

    cd /src/VISA && /envs/visa/bin/python utils_llamavid/llamavid_server.py --vision_tower EVA \
        --image_processor CLIP --model-path LLAMA_VID --port 8000
"""

from __future__ import annotations

import socket
from collections.abc import Sequence
from pathlib import Path
from typing import Literal, final

from adapters.parts.checkpoints import folders_digest
from adapters.parts.option_checks import loaded
from adapters.parts.original_program import Original, commit_of, start, weights_gib
from adapters.parts.visa_job import CONFIGURATION
from benchmark.adapter import Adapter, Requirements
from benchmark.errors import AdapterError
from benchmark.frames import FrameSequence
from benchmark.types import AdapterInfo, Prediction, Query, Role

REPOSITORY = "https://github.com/cilinyan/VISA"
SAM = "https://dl.fbaipublicfiles.com/segment_anything/sam_vit_h_4b8939.pth"
# Source: the repository's requirements.txt; what its README and scripts need beside it, in any version.
PACKAGES = {
    "torch": "==1.13.1",
    "transformers": "==4.31.0",
    "peft": "==0.4.0",
    **dict.fromkeys(("deepspeed", "tensorboard", "opencv-python", "termcolor"), ""),
}
CLIP = "openai/clip-vit-large-patch14"
"""Named in its code and brought by it from the Hub."""


@final
class Visa(Adapter):
    """Runs a checkout of VISA by its own command lines.

    Args:
        checkout: the repository's folder.
        python: the interpreter of its environment; `.venv/bin/python` of the checkout if not given.
        weights: a folder with `hf_model/` (the merged model), `sam_vit_h_4b8939.pth` and `XMem.pth`;
            `weights` in the checkout if not given.
        tracker: `xmem` carries the target frame's mask to the others, `none` keeps VISA's own masks.
        sampler: who names the target frame: the repository's LLaMA-VID server, or the middle.
        sampler_port: where that server listens.
        timeout: seconds for one start of all stages.
        sentences_per_run: sentences of a video that one start answers.
        log: file that keeps what they print.
    """

    summary = "VISA: the original repository in its own environment (--option checkout=DIR)"
    works_elsewhere = True

    def __init__(
        self,
        checkout: Path = Path("VISA"),
        python: str | None = None,
        weights: Path | None = None,
        tracker: Literal["xmem", "none"] = "xmem",
        sampler: Literal["llama-vid", "middle"] = "llama-vid",
        sampler_port: int = 8000,
        timeout: float | None = None,
        sentences_per_run: int = 64,
        log: Path | None = None,
    ) -> None:
        self._checkout = checkout.absolute()
        self._python = python or str(self._checkout / ".venv" / "bin" / "python")
        weights = (weights or self._checkout / "weights").absolute()
        self._model, self._sam = weights / "hf_model", weights / "sam_vit_h_4b8939.pth"
        self._xmem = weights / "XMem.pth" if tracker == "xmem" else None
        # Without a tracker there is no target frame to name.
        self._port = sampler_port if sampler == "llama-vid" and self._xmem else None
        self._limits = {"timeout": timeout, "queries_per_job": sentences_per_run, "log": log}
        self.max_queries = max(1, sentences_per_run)
        self._external: Adapter | None = None

    def info(self) -> AdapterInfo:
        chosen = "the frame that LLaMA-VID names" if self._port else "the frame in the middle"
        policy = "every frame with up to 12 uniform ones to the language side"
        return AdapterInfo(
            name="visa",
            version="1",
            roles=(Role.ACTOR,),
            revision=commit_of(self._checkout),
            licence="none stated in the repository",
            base_models=("Chat-UniVi", "SAM ViT-H", *(("XMem",) if self._xmem else ())),
            trained_on=(
                "revos:train",
                "mevis:train",
                "ref-youtube-vos:train",
                "ref-davis17:train",
                "lv-vis:train",
            ),
            weights_digest=folders_digest(str(self._model)),
            deterministic=self._port is None,
            frame_policy=f"{policy}; {chosen} is tracked to all" if self._xmem else policy,
        )

    def requirements(self) -> Requirements:
        return Requirements(
            packages=PACKAGES,
            interpreter=self._python,
            files=self._files(),
            programs=(self._python,),
            weights=(CLIP,),
            gpu_memory_gib=weights_gib(self._model, self._sam),
            environment="one of its own (torch 1.13, transformers 4.31) and on a GPU",
            setup=(
                f"git clone {REPOSITORY} {self._checkout}",
                f"python3.10 -m venv {self._checkout}/.venv",
                f"{self._checkout}/.venv/bin/pip install -r {self._checkout}/requirements.txt",
                f"{self._checkout}/.venv/bin/pip install deepspeed tensorboard termcolor",
            ),
        )

    def load(self, device: str, seed: int) -> None:
        """Check that everything is there; the weights are read anew for each start of the stages."""
        told: dict[str, object] = {
            "checkout": self._checkout,
            "python": self._python,
            "version": self._model,
            "sam": self._sam,
            "xmem": self._xmem,
            "sampler-port": self._port,
        }
        flags = tuple(f"--{key}={value}" for key, value in told.items() if value is not None)
        job = "adapters.parts.visa_job"
        original = Original("visa", self._checkout, self._python, self._files(), job, flags)
        self._external = start(original, device, seed, self._limits)
        if self._port is not None:
            _check_sampler(self._port)

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
        clone = f"git clone {REPOSITORY} {self._checkout}"
        merge = f"merge the model as its README says and put it at {self._model}"
        files = {
            str(self._checkout / "train_ds.py"): clone,
            str(self._checkout / CONFIGURATION): clone,
            str(self._model / "config.json"): merge,
            str(self._sam): f"curl -L -o {self._sam} {SAM}",
        }
        if self._xmem is not None:
            files[str(self._checkout / "XMem" / "eval.py")] = clone
            files[str(self._xmem)] = f"put the weights of hkchengrex/XMem at {self._xmem}"
        if self._port is not None:
            files[str(self._checkout / "utils_llamavid" / "llamavid_client.py")] = clone
        return files

    def _started(self) -> Adapter:
        return loaded(self._external, "visa")


def _check_sampler(port: int) -> None:
    """Its client takes the middle, or ends oddly, where the server does not answer."""
    try:
        socket.create_connection(("localhost", port), timeout=5).close()
    except OSError as error:
        raise AdapterError(
            "the frame sampler does not answer",
            where=f"--option sampler_port={port}",
            found=str(error),
            fix="start utils_llamavid/llamavid_server.py of the checkout, or --option sampler=middle",
        ) from error
