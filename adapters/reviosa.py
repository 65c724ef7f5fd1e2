"""ReVIOSa, the reference model of this project; without options, the small checkpoint that ships with it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, final

from benchmark.adapter import Adapter, Requirements
from benchmark.errors import AdapterError
from benchmark.frames import FrameSequence
from benchmark.types import AdapterInfo, Prediction, Query, Status

if TYPE_CHECKING:
    from reference_model.predictor import Answer, Predictor


@final
class Reviosa(Adapter):
    """Runs a ReVIOSa checkpoint.

    Args:
        checkpoint: folder that `reference_model.train` wrote; the shipped one if not given.
        threads: CPU threads of torch. One is as fast as two for the shipped model, and many times
            faster when another process is busy.
        mode: `default` is what the project recommends, `official` the released pipeline step by step.
        changes: single options of the mode that differ, as in `propagation=forward,one-session=false`.
        precision: `float32`, `bfloat16`, or `auto`: bfloat16 on a GPU for weights stored so.
        sam2_backend: whose SAM2 runs.
    """

    summary = "ReVIOSa: a vision-language model whose two tokens prompt SAM2"
    uses_device = True
    max_queries = 16  # bounds memory: all masks of one call are held at source size

    def __init__(
        self,
        checkpoint: Path | None = None,
        threads: int = 1,
        mode: Literal["default", "official"] = "default",
        changes: str = "",
        precision: Literal["auto", "float32", "bfloat16"] = "auto",
        sam2_backend: Literal["transformers", "sam2"] = "transformers",
    ) -> None:
        self._checkpoint = checkpoint
        self._threads = threads
        self._mode, self._precision, self._sam2_backend = mode, precision, sam2_backend
        self._changes = tuple(text for text in changes.split(",") if text)
        self._predictor: Predictor | None = None

    def info(self) -> AdapterInfo:
        options = {
            "checkpoint": str(self._checkpoint) if self._checkpoint else "shipped",
            "mode": self._mode,
            "changes": ",".join(self._changes),
            "precision": self._precision,
            "sam2_backend": self._sam2_backend,
        }
        if self._predictor is None or self._predictor.loaded is None:
            stored = self._stored_facts()
            return AdapterInfo(
                name="reviosa",
                version="1",
                revision=stored.get("recipe", {}).get("name"),
                weights_digest=stored.get("weights_digest"),
                options=options,
                shares_video_features=True,
            )
        loaded = self._predictor.loaded
        asked = self._predictor.options
        prompted = "every frame" if asked.prompt_every_frame else "the same frames"
        return AdapterInfo(
            name="reviosa",
            version="1",
            revision=loaded.recipe.name,
            licence="Apache-2.0",
            trained_on=tuple(loaded.facts["trained_on"]),
            parameters=sum(one.numel() for one in self._predictor.model.parameters()),
            weights_digest=loaded.digest,
            shares_video_features=asked.one_session and asked.shared_prefix,
            frame_policy=f"{asked.frame_policy}, {asked.language_frames} frames; prompts on {prompted}",
            options=options,
        )

    def requirements(self) -> Requirements:
        return Requirements(
            packages={"torch": ">=2.6", "transformers": ">=5.3,<6", "safetensors": ""},
            weights=(str(self._checkpoint.absolute()),) if self._checkpoint else (),
            environment="this project's own, with the extra `models`",
            setup=("pip install -c constraints.txt -e '.[models]'",),
        )

    def load(self, device: str, seed: int) -> None:
        """Read the checkpoint. Decoding is greedy, so the seed is not needed."""
        from reference_model.environment import require_packages
        from reference_model.predictor import load_predictor

        require_packages()
        if device == "cpu":
            import torch

            torch.set_num_threads(self._threads)
        self._predictor = load_predictor(
            self._checkpoint, device, self._mode, self._changes, self._precision, self._sam2_backend
        )

    def open_video(self, frames: FrameSequence) -> None:
        self._loaded().open_video(frames)

    def predict(self, queries: Sequence[Query]) -> list[Prediction]:
        answers = self._loaded().answer([query.expression for query in queries])
        return [_prediction(answer) for answer in answers]

    def close_video(self) -> None:
        if self._predictor is not None:
            self._predictor.close_video()

    def unload(self) -> None:
        self._predictor = None

    def _stored_facts(self) -> Mapping[str, Any]:
        """What the checkpoint's configuration says of it, read without torch; nothing where there is none."""
        import reference_model

        shipped = Path(str(reference_model.__file__)).parent / "checkpoints" / "tiny"
        try:
            stored = json.loads(((self._checkpoint or shipped) / "config.json").read_bytes())
        except (OSError, ValueError):
            return {}  # `load` says what is wrong with it
        return stored if isinstance(stored, dict) else {}

    def _loaded(self) -> Predictor:
        if self._predictor is None:
            raise AdapterError("the model is not loaded", where="adapter reviosa", fix="call load first")
        return self._predictor


def _prediction(answer: Answer) -> Prediction:
    claimed = answer.actor is not None or answer.target is not None
    return Prediction(
        actor=answer.actor,
        target=answer.target,
        status=Status.OK if claimed else Status.NO_MASK,
        text=answer.text,
        frames_used=answer.frames_used,
    )
