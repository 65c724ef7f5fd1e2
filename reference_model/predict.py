"""Ask a ReVIOSa model who acts and who is acted on, in a folder of frames or a video file.

Writes the clip with the actor in blue and the target in red, as a PNG strip or an mp4, and prints what
the model said.

    python -m reference_model.predict --video frames/ --expression "red disc pushing blue square" \\
        --output overlay.png
    python -m reference_model.predict --video clip.mp4 --expression "disc circling square" --output out.mp4
    python -m reference_model.predict --video clip.mp4 --expression "blue disc" --output out.png \\
        --checkpoint runs/tiny
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmark.command_line import parser, run_command
from benchmark.errors import UsageError
from benchmark.frames import FrameSequence, open_frames
from benchmark.types import BoolMasks
from reference_model.environment import require_packages, torch_device

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from reference_model.checkpoint import LoadedCheckpoint
    from reference_model.mask_decoder import Levels
    from reference_model.model import Reviosa


@dataclass(frozen=True, slots=True)
class Answer:
    """What the model says about one expression.

    Attributes:
        actor: boolean (T, H, W) at the size of the frames; `None` when no actor token was written.
        target: the same for the target.
        text: the answer, verbatim.
        frames_used: positions of the frames that the language model saw.
        written: the token ids of the answer, without the end of the turn.
    """

    actor: BoolMasks | None
    target: BoolMasks | None
    text: str
    frames_used: tuple[int, ...]
    written: tuple[int, ...] = ()


def load_predictor(checkpoint: Path | None = None, device: str = "auto") -> Predictor:
    """A model ready to answer; the shipped checkpoint if none is named.

    Raises:
        EnvironmentProblem: packages or the device are missing.
        CheckpointError: the checkpoint is missing or damaged.
    """
    require_packages()
    from reference_model.checkpoint import SHIPPED, load_checkpoint

    loaded = load_checkpoint(SHIPPED if checkpoint is None else checkpoint)
    return Predictor(loaded.model, torch_device(device), loaded)


class Predictor:
    """Answers expressions about one open video at a time; everything of the video is computed once."""

    def __init__(self, model: Reviosa, device: torch.device, loaded: LoadedCheckpoint | None = None) -> None:
        self.model = model.to(device).eval()
        self.loaded = loaded
        self._device = device
        self._video: _OpenVideo | None = None

    def open_video(self, frames: FrameSequence) -> None:
        """Look at a clip."""
        self._video = _OpenVideo(self.model, frames, self._device)

    def close_video(self) -> None:
        """Forget the clip."""
        self._video = None

    def answer(self, expressions: Sequence[str]) -> list[Answer]:
        """One answer per expression, in order; all are asked together.

        Raises:
            UsageError: when no video is open.
        """
        import torch

        if self._video is None:
            raise UsageError("no video is open", fix="call open_video first")
        if not expressions:
            return []
        with torch.inference_mode():
            return self._video.answer(expressions)

    def visual_tokens(self) -> Tensor:
        """Visual tokens (1, F, P, D) of the frames of the open clip that the language model sees.

        Raises:
            UsageError: when no video is open.
        """
        if self._video is None:
            raise UsageError("no video is open", fix="call open_video first")
        return self._video.visual


class _OpenVideo:
    """The clip that is being asked about."""

    def __init__(self, model: Reviosa, frames: FrameSequence, device: torch.device) -> None:
        import torch

        from reference_model.training_data import language_frame_indices

        self._model, self._frames, self._device = model, frames, device
        self.shown = language_frame_indices(len(frames), model.config.frames)
        with torch.inference_mode():
            pixels = self._pixels(self.shown, model.config.vision_language.image_size)
            self.visual = model.vision_language.visual_tokens(pixels[None])
        self._features: OrderedDict[int, Levels] = OrderedDict()

    def answer(self, expressions: Sequence[str]) -> list[Answer]:
        model = self._model
        written, hidden = model.vision_language.generate(
            model.frames_ids(len(self.shown)),
            [model.question_ids(expression) for expression in expressions],
            self.visual,
            model.end_id,
            model.config.prompts.max_answer_tokens,
        )
        written = [model.until_stop(ids) for ids in written]
        # (expression, role) of every object to follow; the first token of a role counts.
        found = [
            (number, role, hidden[number][ids.index(token)])
            for number, ids in enumerate(written)
            for role, token in enumerate(model.role_ids)
            if token in ids
        ]
        masks = self._follow([vector for _, _, vector in found])
        tracks = {(number, role): masks[row] for row, (number, role, _) in enumerate(found)}
        texts = model.tokenizer.batch_decode(written)
        return [
            Answer(
                tracks.get((number, 0)), tracks.get((number, 1)), texts[number], tuple(self.shown), tuple(ids)
            )
            for number, ids in enumerate(written)
        ]

    def _follow(self, vectors: Sequence[Tensor]) -> BoolMasks:
        import torch

        from reference_model.losses import resized_logits

        height, width = self._frames.height, self._frames.width
        masks = np.zeros((len(vectors), len(self._frames), height, width), dtype=bool)
        if not vectors:
            return masks
        decoder = self._model.mask_decoder
        prompts = self._model.projector(torch.stack(list(vectors)))
        clip = torch.zeros(len(vectors), dtype=torch.long, device=self._device)
        length = len(self._frames)
        prompted = range(length) if self._model.config.frames.prompt_every_frame else ()
        steps = decoder.follow(self._levels, length, clip, prompts, self.shown, prompted)
        for frame, decoded in steps:
            logits = resized_logits(decoder.shown(decoded), height, width)
            masks[:, frame] = (logits > 0).cpu().numpy()
        return masks

    def _levels(self, frames: Sequence[int]) -> Levels:
        """Feature maps of one frame; its neighbours are computed with it and kept for a while."""
        (frame,) = frames
        chunk = self._model.config.frames.encode_chunk
        if frame not in self._features:
            wanted = [one for one in range(frame, len(self._frames)) if one not in self._features][:chunk]
            size = self._model.config.mask_decoder.image_size
            levels = self._model.mask_decoder.encode(self._pixels(wanted, size))
            for slot, one in enumerate(wanted):
                self._features[one] = [level[None, slot : slot + 1] for level in levels]
        found = self._features[frame]
        while len(self._features) > 8 * chunk:
            self._features.popitem(last=False)
        return found

    def _pixels(self, frames: Sequence[int], side: int) -> Tensor:
        from reference_model.training_data import normalised_frames

        return normalised_frames(self._frames.stack(frames), side).to(self._device)


def build_parser() -> Any:
    """The command line."""
    command = parser("reference_model.predict", __doc__)
    command.add_argument("--video", type=Path, required=True, help="folder of frames, or a video file")
    command.add_argument("--expression", required=True, help="the sentence to look for")
    command.add_argument("--output", type=Path, required=True, help="picture to write: .png or .mp4")
    command.add_argument("--checkpoint", type=Path, help="folder of a model (default: the shipped one)")
    command.add_argument("--device", default="auto", help="auto, cpu or cuda (default: auto)")
    return command


def main(arguments: Sequence[str]) -> int:
    """Predict one expression and write the overlay."""
    from reference_model.overlay import check_output, write_overlay

    options = build_parser().parse_args(arguments)
    check_output(options.output)
    frames = open_frames(options.video)
    predictor = load_predictor(options.checkpoint, options.device)
    predictor.open_video(frames)
    (answer,) = predictor.answer([options.expression])
    write_overlay(options.output, frames, answer.actor, answer.target)
    print(f"the model says: {answer.text}")
    for role, track in (("actor", answer.actor), ("target", answer.target)):
        seen = (
            "not claimed"
            if track is None
            else f"seen in {int(track.any((1, 2)).sum())} of {len(track)} frames"
        )
        print(f"{role}: {seen}")
    print(options.output)
    return 0


if __name__ == "__main__":
    run_command(main)
