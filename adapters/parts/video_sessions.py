"""What SAM2 and SAM3 have in common in transformers: frames going in, a session, masks coming out.

Their processors need torchvision; the little that they do is written out here.

    T frames    N objects    H, W of the frames    S side of the model's input    h, w of its mask logits
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from benchmark.frames import FrameSequence
from benchmark.types import BoolMasks

if TYPE_CHECKING:
    from torch import Tensor

RGB = tuple[float, float, float]


class VideoModel:
    """A video model on a device, and the clip that is open.

    Args:
        model: in whole precision, on the device already.
        sessions: transformers' class of its inference sessions.
        mean: of the colours, as its image processor has it.
        deviation: of the colours.
        device: "cpu", "cuda", "cuda:1".
    """

    def __init__(self, model: Any, sessions: Any, mean: RGB, deviation: RGB, device: str) -> None:
        self.model, self._sessions, self._device = model, sessions, device
        self._mean, self._deviation = mean, deviation
        self._pixels: Tensor | None = None
        self.size = (0, 0)

    def __len__(self) -> int:
        return 0 if self._pixels is None else len(self._pixels)

    def open_video(self, frames: FrameSequence) -> None:
        """Take the frames that the next sessions are about."""
        self.size = (frames.height, frames.width)
        self._pixels = resized(frames, int(self.model.config.image_size), self._mean, self._deviation)

    def close_video(self) -> None:
        """Let go of the frames."""
        self._pixels = None

    def session(self) -> Any:
        """A new session on the open clip; the frames stay on the CPU and go to the device one by one."""
        assert self._pixels is not None
        return self._sessions(
            video=self._pixels,
            video_height=self.size[0],
            video_width=self.size[1],
            inference_device=self._device,
            inference_state_device=self._device,
            video_storage_device="cpu",
            dtype=self.model.dtype,
        )

    def masks(self, logits_N1hw: Tensor) -> BoolMasks:
        """Masks (N, H, W) at the size of the frames."""
        import torch

        full = torch.nn.functional.interpolate(
            logits_N1hw.float(), self.size, mode="bilinear", align_corners=False
        )
        masks: BoolMasks = (full[:, 0] > 0).cpu().numpy()
        return masks


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
