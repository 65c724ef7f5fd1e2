"""Clips on a device: what they must be, and how they are cut into chunks of bounded size."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

from benchmark.errors import MaskError
from benchmark.metrics.definition import boundary_radius, check_radius

if TYPE_CHECKING:
    from torch import Tensor, device

CHUNK_BYTES = 64 << 20
"""Bits of the boundary maps of one chunk, guards and both sides included.

The `triton` form needs up to 2.6 times as much beside the masks, the `torch` form some 12 times; it takes a
chunk of several clips clip by clip.
"""


class TensorPair(NamedTuple):
    """Truth and prediction of one clip: two (T, H, W) tensors of one size on one device."""

    truth: Tensor
    predicted: Tensor


class Size(NamedTuple):
    """Lines of a frame, bits of a line, boundary tolerance."""

    lines: int
    bits: int
    radius: int

    @property
    def words(self) -> int:
        """64-bit words of the frame."""
        return self.lines * ((self.bits + 63) // 64)


class Piece(NamedTuple):
    """Some frames of a clip, and the size and tolerance they are counted at."""

    masks: TensorPair
    size: Size


def frames_at_once(size: Size) -> int:
    """Frames of a size that fill a chunk."""
    return max(1, CHUNK_BYTES // frame_bytes(size, size.radius))


def frame_bytes(size: Size, reach: int) -> int:
    """Bytes of the boundary maps of a frame, with guards for a tolerance of `reach` around them."""
    reach = max(reach, 1)
    words = -(-size.bits // 32) + -(-reach // 32)
    return 2 * 4 * words * (size.lines + reach + 14)


def check_pair(pair: TensorPair, where: str) -> None:
    for side, masks in zip(("truth", "prediction"), pair, strict=True):
        check_tensor(masks, side, where)
    if pair.truth.shape != pair.predicted.shape:
        raise MaskError(
            "prediction and truth differ in shape",
            where=where,
            expected=f"{tuple(pair.truth.shape)} as in the truth",
            found=str(tuple(pair.predicted.shape)),
        )


def check_tensor(masks: Tensor, side: str, where: str) -> None:
    """Refuse what is no tensor of masks: of another shape, dtype or layout."""
    import torch

    if not isinstance(masks, torch.Tensor) or masks.ndim != 3 or not masks.shape[1] * masks.shape[2]:
        found = f"shape {tuple(masks.shape)}" if isinstance(masks, torch.Tensor) else type(masks).__name__
        raise MaskError(f"the {side} must be a (T, H, W) tensor", where=where, found=found)
    floats = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
    if masks.dtype not in (torch.bool, torch.uint8, *floats):
        raise MaskError(
            f"the {side} has a dtype that masks do not come in",
            where=where,
            expected="bool, uint8 or floating point of 16, 32 or 64 bits",
            found=str(masks.dtype),
        )
    if masks.layout != torch.strided:
        raise MaskError(
            f"the {side} is not a dense tensor", where=where, found=str(masks.layout), fix="call to_dense()"
        )


def check_device(where: device) -> None:
    """Refuse masks without memory."""
    if where.type == "meta":
        raise MaskError("masks on the device 'meta' hold no values")


def check_threshold(threshold: float) -> None:
    """Refuse a threshold that nothing is above."""
    if math.isnan(threshold):
        raise MaskError("the threshold of masks is not a number", found=str(threshold))


def rounded(threshold: float, masks: Tensor) -> float:
    """A threshold in the dtype of the masks that are compared with it."""
    import torch

    if not masks.dtype.is_floating_point:
        return threshold
    return float(torch.tensor(threshold, dtype=masks.dtype, device="cpu"))


def radii_of(pairs: Sequence[TensorPair], radius: int | Sequence[int] | None) -> list[int]:
    if radius is None:
        return [boundary_radius(pair.truth.shape[1], pair.truth.shape[2]) for pair in pairs]
    radii = list(radius) if isinstance(radius, Iterable) else [radius] * len(pairs)
    if len(radii) != len(pairs):
        raise MaskError("one tolerance for each clip", expected=str(len(pairs)), found=str(len(radii)))
    for each in radii:
        check_radius(each)
    return radii


def chunks(pairs: Sequence[TensorPair], radii: Sequence[int]) -> Iterator[list[Piece]]:
    """The pairs cut along time into groups whose maps stay within `CHUNK_BYTES`."""
    chunk: list[Piece] = []
    room, reach = CHUNK_BYTES, max(radii)
    for pair, radius in zip(pairs, radii, strict=True):
        length, height, width = pair.truth.shape
        size, first = Size(height, width, radius), 0
        each = frame_bytes(size, reach)
        while first < length:
            taken = min(length - first, max(room // each, 0 if chunk else 1))
            if taken:
                part = TensorPair(*(masks[first : first + taken] for masks in pair))
                chunk.append(Piece(part, size))
                room -= taken * each
                first += taken
            if first < length:
                yield chunk
                chunk, room = [], CHUNK_BYTES
    if chunk or not any(pair.truth.shape[0] for pair in pairs):
        _, height, width = pairs[0].truth.shape
        yield chunk or [Piece(pairs[0], Size(height, width, radii[0]))]
