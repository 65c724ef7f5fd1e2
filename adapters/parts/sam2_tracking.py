"""SAM2 (transformers' Sam2VideoModel) that follows boxes through a clip, forwards and backwards.

The processor of that model needs torchvision; the little that it does is written out here, and a test
holds the prompts equal.

    T frames    N objects    H, W of the frames    S side of SAM2's input    h, w of its mask logits
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from adapters.parts.box_answers import FrameBox
from adapters.parts.checkpoints import check_folder
from benchmark.errors import CheckpointError
from benchmark.frames import FrameSequence
from benchmark.masks import encode
from benchmark.types import BoolMasks, MaskTrack

if TYPE_CHECKING:
    from torch import Tensor

PACKAGES: Mapping[str, str] = {"torch": ">=2.6", "transformers": ">=5.3,<6", "safetensors": ""}
"""5.0 of transformers has a fault in Sam2Video's position encodings, 4.57 returns tuples."""

RGB = tuple[float, float, float]
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
        from transformers import AutoConfig, Sam2VideoModel

        check_folder(name)
        found = AutoConfig.from_pretrained(name, revision=revision).model_type
        if found not in ("sam2_video", "sam2"):
            raise CheckpointError("not a SAM2 video model", where=name, expected="sam2_video", found=found)
        # Whole precision: the memory of bfloat16 drifts, and the model is small beside a language model.
        model = Sam2VideoModel.from_pretrained(name, revision=revision, dtype=torch.float32)
        self.model = model.eval().to(device)
        self._device = device
        self._pixels: Tensor | None = None

    @property
    def parameters(self) -> int:
        """Number of weights."""
        return sum(one.numel() for one in self.model.parameters())

    def open_video(self, frames: FrameSequence) -> None:
        """Take the frames that the next boxes are on."""
        self._height, self._width = frames.height, frames.width
        self._pixels = resized(frames, int(self.model.config.image_size), MEAN, DEVIATION)

    def close_video(self) -> None:
        """Let go of the frames."""
        self._pixels = None

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
        assert self._pixels is not None
        session = self._session()
        for number, box in enumerate(boxes):
            session.add_point_inputs(session.obj_id_to_idx(number), frame, self.box_prompt(box))
        session.obj_with_new_inputs = list(range(len(boxes)))
        texts: list[list[bytes | None]] = [[None] * len(self._pixels) for _ in boxes]
        steps = itertools.chain(
            [self.model(session, frame_idx=frame)],
            self.model.propagate_in_video_iterator(session, start_frame_idx=frame),
            self.model.propagate_in_video_iterator(session, start_frame_idx=frame, reverse=True),
        )
        for step in steps:
            for number, mask in enumerate(self._full_size(step.pred_masks)):
                texts[number][step.frame_idx] = encode(mask)
            _forget_large_masks(session, step.frame_idx)
        return [MaskTrack(self._height, self._width, tuple(one)) for one in texts]

    def _session(self) -> Any:
        from transformers import Sam2VideoInferenceSession

        return Sam2VideoInferenceSession(
            video=self._pixels,
            video_height=self._height,
            video_width=self._width,
            inference_device=self._device,
            inference_state_device=self._device,
            video_storage_device="cpu",
            dtype=self.model.dtype,
        )

    def box_prompt(self, box: FrameBox) -> dict[str, Tensor]:
        """A box as the model's session wants it: two labelled points in pixels of the model's input."""
        import torch

        side = self.model.config.image_size
        across, down = side / self._width, side / self._height
        corners = [[box.left * across, box.top * down], [box.right * across, box.bottom * down]]
        labels = torch.tensor([[[TOP_LEFT, BOTTOM_RIGHT]]], dtype=torch.int32)
        return {"point_coords": torch.tensor([[corners]], dtype=torch.float32), "point_labels": labels}

    def _full_size(self, logits_N1hw: Tensor) -> BoolMasks:
        import torch

        size = (self._height, self._width)
        full = torch.nn.functional.interpolate(
            logits_N1hw.float(), size, mode="bilinear", align_corners=False
        )
        masks: BoolMasks = (full[:, 0] > 0).cpu().numpy()
        return masks


def _forget_large_masks(session: Any, frame: int) -> None:
    """Masks are also kept at the size of the model's input: most of a session's memory, and never read."""
    for outputs in session.output_dict_per_obj.values():
        for kept in outputs.values():
            kept.get(frame, {}).pop("high_res_masks", None)


def resized(frames: FrameSequence, side: int, mean: RGB, deviation: RGB) -> Tensor:
    """All frames as the model's input (T, 3, S, S): squeezed to a square, normalised."""
    import torch

    mean_311, deviation_311 = (torch.tensor(one)[:, None, None] for one in (mean, deviation))
    pixels = torch.empty((len(frames), 3, side, side))
    for index, frame in enumerate(frames.frames()):
        image = torch.from_numpy(frame.copy()).permute(2, 0, 1).float()[None]
        small = torch.nn.functional.interpolate(
            image, (side, side), mode="bilinear", antialias=True, align_corners=False
        )
        pixels[index] = (small[0].round().clamp(0, 255) / 255 - mean_311) / deviation_311
    return pixels
