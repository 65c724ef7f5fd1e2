"""SAM3 (transformers' Sam3VideoModel): everything in a clip that a short noun phrase names, tracked.

The processor of that model also lets objects of one phrase not overlap in what it shows, which is left out: a
pixel may belong to two.

    h, w of the model's mask logits
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from adapters.parts.checkpoints import check_type, count_weights
from adapters.parts.video_sessions import VideoModel
from benchmark.frames import FrameSequence
from benchmark.masks import encode
from benchmark.types import MaskTrack

# Source: transformers, Sam3ImageProcessor.
MEAN = DEVIATION = (0.5, 0.5, 0.5)


@dataclass(frozen=True, slots=True)
class Instance:
    """One thing that a phrase names, through the clip, and how sure its detection was (0 to 1)."""

    track: MaskTrack
    surety: float


class PhraseTooLong(ValueError):
    """A phrase with more tokens than SAM3 reads: the failure of one query, not of the run."""


class PhraseTracker:
    """A SAM3 video model on a device, and the clip that is open.

    Args:
        name: a folder, or a name on the Hub.
        revision: commit, branch or tag of the Hub.
        device: "cpu", "cuda", "cuda:1".

    Raises:
        CheckpointError: when it is no SAM3 video model.
    """

    def __init__(self, name: str, revision: str | None, device: str) -> None:
        import torch
        from transformers import AutoTokenizer, Sam3VideoInferenceSession, Sam3VideoModel

        check_type(name, revision, ("sam3_video",), "SAM3 video model")
        self._tokenizer: Any = AutoTokenizer.from_pretrained(name, revision=revision)
        # Whole precision: cast to bfloat16, this model strays from the original (transformers#46493).
        model = Sam3VideoModel.from_pretrained(name, revision=revision, dtype=torch.float32)
        self.model = model.eval().to(device)
        self._longest = int(model.config.detector_config.text_config.max_position_embeddings)
        self._device = device
        self.clip = VideoModel(self.model, Sam3VideoInferenceSession, MEAN, DEVIATION, device)
        self.parameters = count_weights(model)
        self._found: dict[str, list[Instance]] = {}

    def open_video(self, frames: FrameSequence) -> None:
        """Take the frames that the next phrases are about."""
        self.clip.open_video(frames)
        self._found = {}

    def close_video(self) -> None:
        """Let go of the frames."""
        self.clip.close_video()
        self._found = {}

    def find(self, phrase: str) -> list[Instance]:
        """Everything that the phrase names, surest first.

        Each phrase has a session of its own, since objects of one session suppress each other; asked
        again, a phrase costs nothing.

        Raises:
            PhraseTooLong: when it has more tokens than the model reads.
        """
        if phrase not in self._found:
            self._found[phrase] = self._track(self._session(phrase))
        return self._found[phrase]

    def _track(self, session: Any) -> list[Instance]:
        length = len(self.clip)
        masks: dict[int, list[bytes | None]] = {}
        sureties: dict[int, float] = {}
        for step in self.model.propagate_in_video_iterator(session):
            for name, logits_1hw in step.obj_id_to_mask.items():
                if name not in step.suppressed_obj_ids:
                    masks.setdefault(name, [None] * length)[step.frame_idx] = encode(
                        self.clip.masks(logits_1hw[None])[0]
                    )
                    surety = float(step.obj_id_to_score[name])
                    sureties[name] = max(surety, sureties.get(name, surety))
        found = [
            Instance(MaskTrack(*self.clip.size, tuple(track)), sureties[name])
            for name, track in masks.items()
            # Taken back after the first frames: seen too seldom, or another object twice.
            if name not in session.hotstart_removed_obj_ids and any(track)
        ]
        return sorted(found, key=lambda one: -one.surety)

    def _session(self, phrase: str) -> Any:
        tokens = self._tokenizer(
            phrase, return_tensors="pt", padding="max_length", max_length=self._longest, truncation=False
        ).to(self._device)
        if tokens.input_ids.shape[1] > self._longest:
            count = tokens.input_ids.shape[1]
            raise PhraseTooLong(f"{phrase!r} has {count} tokens, SAM3 reads {self._longest}")
        session = self.clip.session()
        number = session.add_prompt(phrase)
        session.prompt_input_ids[number] = tokens.input_ids
        session.prompt_attention_masks[number] = tokens.attention_mask
        return session
