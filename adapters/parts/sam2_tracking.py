"""SAM2 (transformers' Sam2VideoModel) that follows boxes through a clip, forwards and backwards.

The processor of that model needs torchvision; its prompts are written out here, and a test holds them equal.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from adapters.parts.box_answers import FrameBox
from adapters.parts.checkpoints import check_type, count_weights
from adapters.parts.video_sessions import VideoModel
from benchmark.frames import FrameSequence
from benchmark.masks import encode
from benchmark.types import MaskTrack

if TYPE_CHECKING:
    from torch import Tensor

# Source: transformers, Sam2ImageProcessor (ImageNet's).
MEAN = (0.485, 0.456, 0.406)
DEVIATION = (0.229, 0.224, 0.225)
TOP_LEFT, BOTTOM_RIGHT = 2, 3
"""Labels of the two points that a box is given as. Source: transformers, Sam2VideoProcessor."""


class BoxTracker:
    """A SAM2 video model on a device, and the clip that is open.

    Args:
        name: a folder, or a name on the Hub.
        revision: commit, branch or tag of the Hub.
        device: "cpu", "cuda", "cuda:1".

    Raises:
        CheckpointError: when it is no SAM2 video model.
    """

    def __init__(self, name: str, revision: str | None, device: str) -> None:
        import torch
        from transformers import Sam2VideoInferenceSession, Sam2VideoModel

        check_type(name, revision, ("sam2_video", "sam2"), "SAM2 video model")
        # Whole precision: the memory of bfloat16 drifts, and the model is small beside a language model.
        model = Sam2VideoModel.from_pretrained(name, revision=revision, dtype=torch.float32)
        self.model = model.eval().to(device)
        self.clip = VideoModel(self.model, Sam2VideoInferenceSession, MEAN, DEVIATION, device)
        self.parameters = count_weights(model)

    def open_video(self, frames: FrameSequence) -> None:
        """Take the frames that the next boxes are on."""
        self.clip.open_video(frames)

    def close_video(self) -> None:
        """Let go of the frames."""
        self.clip.close_video()

    def track(self, boxes: Sequence[FrameBox]) -> list[MaskTrack]:
        """The track of the object in each box.

        Objects do not influence one another; those boxed on one frame are followed together.
        """
        tracks: dict[int, MaskTrack] = {}
        for frame in dict.fromkeys(box.frame for box in boxes):
            together = [index for index, box in enumerate(boxes) if box.frame == frame]
            followed = self._follow(frame, [boxes[index] for index in together])
            tracks.update(zip(together, followed, strict=True))
        return [tracks[index] for index in range(len(boxes))]

    def _follow(self, frame: int, boxes: Sequence[FrameBox]) -> list[MaskTrack]:
        """Tracks of boxes on one frame; each mask is encoded as it comes, so that no stack of them is held.

        The model's loop takes an object with a box elsewhere for one prompted by nothing, so each frame
        gets a session of its own.
        """
        session = self.clip.session()
        for number, box in enumerate(boxes):
            session.add_point_inputs(session.obj_id_to_idx(number), frame, self.box_prompt(box))
        session.obj_with_new_inputs = list(range(len(boxes)))
        texts: list[list[bytes | None]] = [[None] * len(self.clip) for _ in boxes]
        steps = itertools.chain(
            [self.model(session, frame_idx=frame)],
            self.model.propagate_in_video_iterator(session, start_frame_idx=frame),
            self.model.propagate_in_video_iterator(session, start_frame_idx=frame, reverse=True),
        )
        for step in steps:
            for number, mask in enumerate(self.clip.masks(step.pred_masks)):
                texts[number][step.frame_idx] = encode(mask)
            _forget_large_masks(session, step.frame_idx)
        return [MaskTrack(*self.clip.size, tuple(one)) for one in texts]

    def box_prompt(self, box: FrameBox) -> dict[str, Tensor]:
        """A box as the model's session wants it: two labelled points in pixels of the model's input."""
        import torch

        side = self.model.config.image_size
        down, across = (side / length for length in self.clip.size)
        corners = [[box.left * across, box.top * down], [box.right * across, box.bottom * down]]
        labels = torch.tensor([[[TOP_LEFT, BOTTOM_RIGHT]]], dtype=torch.int32)
        return {"point_coords": torch.tensor([[corners]], dtype=torch.float32), "point_labels": labels}


def _forget_large_masks(session: Any, frame: int) -> None:
    """Masks are also kept at the size of the model's input: most of a session's memory, and never read."""
    for outputs in session.output_dict_per_obj.values():
        for kept in outputs.values():
            kept.get(frame, {}).pop("high_res_masks", None)
