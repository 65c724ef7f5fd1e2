"""Frames as the squares of normalised values that the two halves of a model see.

Legend of shape suffixes:
    T frames   H, W source size   C colour channels   S side of a resized frame
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from reference_model.config import Resize

IMAGE_MEAN = (0.485, 0.456, 0.406)  # ImageNet, as both InternVL and SAM2 use
IMAGE_DEVIATION = (0.229, 0.224, 0.225)


def normalised_frames(
    frames_THWC: NDArray[np.uint8],
    side: int,
    resize: Resize = Resize.BILINEAR,
    rounded: bool = False,
) -> Tensor:
    """Float frames (T, C, S, S), resized without keeping the aspect ratio, ImageNet mean and deviation.

    Args:
        rounded: mean and deviation are rounded to bfloat16 first, as the released inference does for SAM2.
    """
    if resize is Resize.BICUBIC:
        frames_THWC = bicubic_frames(frames_THWC, side)
    pixels = torch.from_numpy(np.ascontiguousarray(frames_THWC)).permute(0, 3, 1, 2).float() / 255
    if pixels.shape[-2:] != (side, side):
        pixels = F.interpolate(pixels, (side, side), mode="bilinear", align_corners=False, antialias=True)
    mean, deviation = torch.tensor(IMAGE_MEAN), torch.tensor(IMAGE_DEVIATION)
    if rounded:
        mean, deviation = mean.bfloat16().float(), deviation.bfloat16().float()
    return (pixels - mean.view(3, 1, 1)) / deviation.view(3, 1, 1)


def bicubic_frames(frames_THWC: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    """Frames (T, S, S, C), resized one by one by Pillow's bicubic filter: whole values, antialiased."""
    from PIL import Image

    resized = [
        np.asarray(Image.fromarray(frame).resize((side, side), Image.Resampling.BICUBIC))
        for frame in frames_THWC
    ]
    return np.stack(resized)
