"""A model that answers expressions about one open video at a time, in the way that `InferenceOptions` say.

Legend of shape suffixes:
    T frames   H, W source size   C colour channels   D width of the language model   L written tokens
    M frames that are encoded at once, or objects   S side of a resized frame   h, w mask size
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from benchmark.errors import UsageError
from benchmark.frames import FrameSequence
from benchmark.masks import encode
from benchmark.types import BoolMasks, MaskTrack
from reference_model.environment import require_packages, torch_device
from reference_model.inference_options import InferenceMode, InferenceOptions, Propagation, default_options

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from reference_model.checkpoint import LoadedCheckpoint
    from reference_model.generation import Ends, Prefix, Written
    from reference_model.model import Reviosa
    from reference_model.sam2_backends import MaskFollower
    from reference_model.video_features import VideoFeatures

MOST_DENSE_BYTES = 2**31
"""Masks of one call that would take more memory than this are kept as run lengths."""

Masks = BoolMasks | MaskTrack


@dataclass(frozen=True, slots=True)
class Answer:
    """What the model says about one expression.

    Attributes:
        actor: boolean (T, H, W) at the size of the frames, or run lengths where that would be very large;
            `None` when no actor token was written.
        target: the same for the target.
        text: the answer, verbatim.
        frames_used: positions of the frames that the language model saw.
        written: the token ids of the answer, without the end of the turn.
    """

    actor: Masks | None
    target: Masks | None
    text: str
    frames_used: tuple[int, ...]
    written: tuple[int, ...] = ()


class QuestionTooLong(ValueError):
    """A question that the language model cannot read; a run goes on after it, as after any failed query."""


def load_predictor(
    checkpoint: Path | None = None,
    device: str = "auto",
    mode: InferenceMode | str = InferenceMode.DEFAULT,
    changes: Sequence[str] = (),
    precision: str = "auto",
    backend: str = "transformers",
) -> Predictor:
    """A model ready to answer; the shipped checkpoint if none is named.

    Args:
        changes: single options that differ from the mode, as `name=value`.
        precision: `float32`, `bfloat16`, or `auto`: bfloat16 on a GPU for weights that are stored so.
        backend: whose SAM2 runs, `transformers` or `sam2`.

    Raises:
        EnvironmentProblem: packages or the device are missing.
        CheckpointError: the checkpoint is missing or damaged.
        UsageError: an unknown mode, option, precision or backend.
    """
    require_packages()
    from reference_model.checkpoint import SHIPPED, load_checkpoint
    from reference_model.inference_options import options_for, with_changes
    from reference_model.precision import computing_type
    from reference_model.sam2_backends import make_follower

    place = torch_device(device)
    loaded = load_checkpoint(SHIPPED if checkpoint is None else checkpoint)
    options = with_changes(options_for(mode, loaded.recipe.model), changes)
    dtype = computing_type(precision, place, loaded.stored_type)
    follower = make_follower(backend, loaded.model)
    return Predictor(loaded.model, place, loaded, options, dtype, follower)


class Predictor:
    """Answers expressions about one open video at a time.

    Args:
        options: how; those of the default mode if not given.
        dtype: what it computes in; float32 if not given. In bfloat16 SAM2 runs under autocast.
        follower: SAM2; the model's own mask decoder if not given.
    """

    def __init__(
        self,
        model: Reviosa,
        device: torch.device,
        loaded: LoadedCheckpoint | None = None,
        options: InferenceOptions | None = None,
        dtype: torch.dtype | None = None,
        follower: MaskFollower | None = None,
    ) -> None:
        from reference_model.precision import with_weights_in

        self.model = with_weights_in(model, dtype, device).eval()
        self.loaded = loaded
        self.options = options or default_options(model.config)
        self.follower = model.mask_decoder if follower is None else follower.moved_to(device, dtype)
        self._device, self._dtype = device, dtype
        self._video: _OpenVideo | None = None

    def open_video(self, frames: FrameSequence) -> None:
        """Look at a clip."""
        self.close_video()
        self._video = _OpenVideo(self, frames, self._device, self._dtype)

    def close_video(self) -> None:
        """Forget the clip."""
        if self._video is not None:
            self._video.close()
        self._video = None

    def answer(self, expressions: Sequence[str]) -> list[Answer]:
        """One answer per expression, in order.

        Raises:
            UsageError: when no video is open.
            QuestionTooLong: when a question does not fit into the language model.
            torch.OutOfMemoryError: when the device has too little memory.
        """
        import torch

        video = self._opened()
        if not expressions:
            return []
        with torch.inference_mode():
            return video.answer(expressions)

    def visual_tokens(self) -> Tensor:
        """Visual tokens (1, F, P, D) of the frames of the open clip that the language model sees.

        Raises:
            UsageError: when no video is open.
        """
        return self._opened().visual_tokens()

    def _opened(self) -> _OpenVideo:
        if self._video is None:
            raise UsageError("no video is open", fix="call open_video first")
        return self._video


class _OpenVideo:
    """The clip that is being asked about."""

    def __init__(
        self, predictor: Predictor, frames: FrameSequence, device: torch.device, dtype: torch.dtype | None
    ) -> None:
        import torch

        from reference_model.frame_choice import chosen_frames

        self._model, self._follower = predictor.model, predictor.follower
        self._options, self._frames = predictor.options, frames
        self._device, self._dtype = device, dtype or torch.float32
        options = self._options
        self.shown = chosen_frames(len(frames), options.language_frames, options.frame_policy)
        self._visual: Tensor | None = None
        self._prefix: Prefix | None = None
        self._features: VideoFeatures | None = None

    def close(self) -> None:
        if self._features is not None:
            self._features.close()

    def visual_tokens(self) -> Tensor:
        import torch

        if self._visual is None:
            side = self._model.config.vision_language.image_size
            with torch.inference_mode():
                pixels = self._pixels(self.shown, side, rounded=False)
                self._visual = self._model.vision_language.visual_tokens(pixels[None])
        return self._visual

    def answer(self, expressions: Sequence[str]) -> list[Answer]:
        if self._options.shared_prefix:
            return self._answer_together(expressions)
        answers = []
        for expression in expressions:
            self._visual = self._prefix = None
            answers += self._answer_together([expression])
        return answers

    def _answer_together(self, expressions: Sequence[str]) -> list[Answer]:
        model = self._model
        written = self._write(expressions)
        # (expression, role, vector) of every object to follow; the first token of a role counts.
        found = [
            (number, role, one.hidden_LD[one.ids.index(token)])
            for number, one in enumerate(written)
            for role, token in enumerate(model.role_ids)
            if token in self._counted(one)
        ]
        masks = self._follow([vector for _, _, vector in found])
        tracks = {(number, role): masks[row] for row, (number, role, _) in enumerate(found)}
        texts = model.tokenizer.batch_decode([one.ids for one in written])
        return [
            Answer(
                tracks.get((number, 0)),
                tracks.get((number, 1)),
                texts[number],
                tuple(self.shown),
                tuple(one.ids),
            )
            for number, one in enumerate(written)
        ]

    def _write(self, expressions: Sequence[str]) -> list[Written]:
        from reference_model.generation import read_prefix, write_answers

        options, model = self._options, self._model
        ids = model.frames_ids(len(self.shown))
        questions = [
            model.question_ids(one, cut=options.cut_questions, keep_marks=options.keep_question_marks)
            for one in expressions
        ]
        ends = self._ends(len(ids) + max(len(one) for one in questions))
        if self._prefix is None:
            self._prefix = read_prefix(model.vision_language, ids, self.visual_tokens())
        return write_answers(model.vision_language, self._prefix, questions, ends)

    def _ends(self, asked: int) -> Ends:
        from reference_model.generation import Ends

        model, options = self._model, self._options
        most = model.config.vision_language.max_positions
        if asked >= most:
            raise QuestionTooLong(
                f"the question has {asked} tokens with the {len(self.shown)} frames, and the language model "
                f"reads fewer than {most}"
            )
        tokens = {model.end_id, model.padding_id} if options.padding_ends else {model.end_id}
        says = model.says_end if model.config.prompts.stop_text is not None else None
        return Ends(frozenset(tokens), min(options.answer_tokens, most - asked), says)

    def _counted(self, one: Written) -> list[int]:
        """The tokens of an answer that may stand for an object."""
        dropped = one.cut and self._options.drop_last_token
        return one.ids[: len(one.hidden_LD) - dropped] if one.ids else []

    def _follow(self, vectors: Sequence[Tensor]) -> list[Masks]:
        most = self._options.objects_at_once if self._options.one_session else 1
        masks: list[Masks] = []
        size = len(vectors) * len(self._frames) * self._frames.height * self._frames.width
        for start in range(0, len(vectors), most):
            masks += self._follow_together(vectors[start : start + most], size > MOST_DENSE_BYTES)
        return masks

    def _follow_together(self, vectors: Sequence[Tensor], compressed: bool) -> list[Masks]:
        import torch

        options, length = self._options, len(self._frames)
        height, width = self._frames.height, self._frames.width
        texts: list[list[bytes | None]] = [[None] * length for _ in vectors]
        dense = np.zeros((0 if compressed else len(vectors), length, height, width), dtype=bool)
        prompts = self._model.projector(torch.stack(list(vectors)))
        with self._autocast():
            steps = self._follower.follow(
                self._session_features(),
                length,
                torch.zeros(len(vectors), dtype=torch.long, device=self._device),
                prompts,
                self.shown,
                range(length) if options.prompt_every_frame else (),
                options.propagation is Propagation.BOTH_WAYS,
                torch.bfloat16 if options.rounded_memory else None,
            )
            for frame, decoded in steps:
                logits = self._follower.shown(decoded) if options.hide_absent else decoded.logits_Mhw
                seen = self._at_source_size(logits, frame in self.shown).cpu().numpy()
                if compressed:
                    for row, mask in enumerate(seen):
                        texts[row][frame] = encode(mask)
                else:
                    dense[:, frame] = seen
        if compressed:
            return [MaskTrack(height, width, tuple(row)) for row in texts]
        return list(dense)

    def _at_source_size(self, logits_Mhw: Tensor, prompted: bool) -> Tensor:
        from reference_model.losses import resized_logits

        size = (self._frames.height, self._frames.width)
        if not self._options.two_steps:
            return resized_logits(logits_Mhw.float(), *size) > 0
        side = self._model.config.mask_decoder.image_size
        # The released code keeps prompted frames in float32 and all others in what they were computed in.
        large = resized_logits(logits_Mhw.float() if prompted else logits_Mhw, side, side)
        # Not the same as "above 0": float32 rounds the sigmoid of a tiny number to one half.
        return resized_logits(large.float(), *size).sigmoid() > 0.5

    def _session_features(self) -> VideoFeatures:
        """Features that are shared by all sessions, or those of a session of its own."""
        from reference_model.propagation import frame_order
        from reference_model.video_features import VideoFeatures

        options, side = self._options, self._model.config.mask_decoder.image_size
        if self._features is None or not options.one_session:
            self.close()
            both_ways = options.propagation is Propagation.BOTH_WAYS
            self._features = VideoFeatures(
                frame_order(len(self._frames), self.shown, both_ways),
                lambda frames: self._pixels(frames, side, options.rounded_pixels),
                self._encode,
                options.encode_chunk,
                options.features_kept,
                ahead=self._device.type == "cuda",
            )
        return self._features

    def _encode(self, pixels_MCSS: Tensor) -> list[Tensor]:
        with self._autocast():
            return self._follower.encode(pixels_MCSS)

    def _autocast(self) -> AbstractContextManager[object]:
        import torch

        if self._dtype is torch.float32:
            return nullcontext()
        return torch.autocast(self._device.type, self._dtype)

    def _pixels(self, frames: Sequence[int], side: int, rounded: bool) -> Tensor:
        from reference_model.frame_pixels import normalised_frames

        resize = self._model.config.frames.resize
        pixels = normalised_frames(self._frames.stack(frames), side, resize, rounded)
        return pixels.to(self._device, self._dtype)
