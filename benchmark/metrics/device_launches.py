"""Packing and counting on a device by one of two forms, the kernels of `triton_kernels` or plain torch.

    forms        `triton`   the kernels; CUDA (or Triton's interpreter)
                 `torch`    the packed form of `packed_tensors`; any device
                 `auto`     `triton` on CUDA where Triton is installed, else `torch`

Both give the same integers.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from benchmark.errors import EnvironmentProblem, UsageError
from benchmark.metrics import packed_tensors
from benchmark.metrics.definition import COLUMNS
from benchmark.metrics.device_clips import Piece, Size, rounded
from benchmark.metrics.packed_engine import widening_steps
from benchmark.metrics.packed_tensors import Packed

if TYPE_CHECKING:
    from torch import Tensor, device

FORMS = ("auto", "triton", "torch")


def pack(chunk: Sequence[Piece], side: int, threshold: float, form: str) -> Packed:
    import torch

    words, unclear = [], []
    for piece in chunk:
        masks = piece.masks[side]
        pack = _launch_pack if uses_triton(masks, form) else packed_tensors.pack
        packed = pack(masks, rounded(threshold, masks))
        words.append(packed.words.flatten())
        unclear.append(packed.unclear)
    return Packed(torch.cat(words), torch.cat(unclear))


def uses_triton(masks: Tensor, form: str) -> bool:
    """Whether masks on this device are counted by the Triton kernels.

    Raises:
        UsageError: when there is no such form.
        EnvironmentProblem: when `triton` is asked for and cannot run.
    """
    if form not in FORMS:
        raise UsageError("unknown form of the device engine", expected=" or ".join(FORMS), found=form)
    if form == "torch":
        return False
    installed = importlib.util.find_spec("triton") is not None
    if form == "auto":
        return installed and masks.is_cuda
    if not installed:
        raise EnvironmentProblem("the Triton kernels need the package triton", fix="pip install triton")
    from triton import knobs

    if not (masks.is_cuda or knobs.runtime.interpret):
        raise EnvironmentProblem(
            "the Triton kernels need masks on a CUDA device",
            found=f"masks on {masks.device}",
            fix="use form 'torch', or TRITON_INTERPRET=1 to try the kernels without a GPU",
        )
    return True


def _launch_pack(masks: Tensor, threshold: float) -> Packed:
    import torch

    from benchmark.metrics import triton_kernels

    if masks.dtype is torch.float64:  # kernel arguments have 32 bits, too few for its threshold
        unclear = torch.isnan(masks).flatten(1).any(dim=1)
        return _launch_pack(masks > threshold, 0.0)._replace(unclear=unclear)
    frames, lines, bits = masks.shape
    halves = 2 * ((bits + 63) // 64)
    words = torch.empty(frames * lines * halves // 2, dtype=torch.int64, device=masks.device)
    unclear = torch.zeros(frames, dtype=torch.int32, device=masks.device)
    total, block = frames * lines * halves, block_words(masks, 64)
    grid = ((total + block - 1) // block,)
    if not total:
        return Packed(words, unclear.bool())
    aligned = masks.is_contiguous() and bits % 4 == 0 and masks.data_ptr() % 4 == 0
    if aligned and not masks.dtype.is_floating_point:
        triton_kernels.pack_bytes[grid](
            masks.view(torch.uint8).view(torch.int32),
            words.view(torch.int32),
            total,
            bits // 4,
            halves,
            ZERO_OR_ONE=masks.dtype is torch.bool,
            BLOCK=block,
        )
    else:
        triton_kernels.pack_values[grid](
            masks.view(torch.uint8) if masks.dtype is torch.bool else masks,
            words.view(torch.int32),
            unclear,
            *masks.stride(),
            total,
            lines,
            bits,
            halves,
            threshold,
            IS_FLOAT=masks.dtype.is_floating_point,
            BLOCK=block,
        )
    return Packed(words, unclear.bool())


def count_lines(truth: Tensor, predicted: Tensor, sizes: Sequence[Size], form: str) -> Tensor:
    """Counts and truth areas (N, 7) of packed frames that lie one behind the other, one size each."""
    import torch

    if uses_triton(truth, form):
        from benchmark.metrics import triton_kernels

        if all(size.radius <= triton_kernels.MAX_RADIUS for size in sizes):
            return _launch_count(truth, predicted, sizes)
    parts = [torch.zeros((0, len(COLUMNS) + 1), dtype=torch.int64, device=truth.device)]
    place = first = 0
    while first < len(sizes):
        size, last = sizes[first], first
        while last < len(sizes) and sizes[last] == size:
            last += 1
        end = place + (last - first) * size.words
        shape = (last - first, size.lines, -1)
        views = [words[place:end].view(shape) for words in (truth, predicted)]
        ours, theirs = (packed_tensors.outlined(view, size.bits, size.radius) for view in views)
        parts.append(packed_tensors.count_outlined(ours, theirs))
        place, first = end, last
    return torch.cat(parts)


def count_group(
    truth: Tensor, predictions: Iterable[Tensor], size: Size, frames: int, form: str
) -> Iterator[Tensor]:
    """`count_lines` of several predictions of one truth track, all of one size.

    The torch form bounds and dilates the truth once; the kernels do that in registers, where it costs less
    than fetching it would.
    """
    sizes = [size] * frames
    if uses_triton(truth, form):
        yield from (count_lines(truth, predicted, sizes, form) for predicted in predictions)
        return
    shape = (frames, size.lines, -1)
    ours = packed_tensors.outlined(truth.view(shape), size.bits, size.radius)
    for predicted in predictions:
        theirs = packed_tensors.outlined(predicted.view(shape), size.bits, size.radius)
        yield packed_tensors.count_outlined(ours, theirs)


def _launch_count(truth: Tensor, predicted: Tensor, sizes: Sequence[Size]) -> Tensor:
    import torch

    from benchmark.metrics import triton_kernels

    counts = torch.zeros((len(sizes), len(COLUMNS) + 1), dtype=torch.int32, device=truth.device)
    if not sizes:
        return counts.long()
    block = block_words(truth, 128)
    words = np.array([size.words for size in sizes])
    tiles = -(-words // block)
    radii = sorted({size.radius for size in sizes})
    disks = disk_tables(tuple(radii))
    columns = np.array(sizes, np.int64)
    host = (
        np.repeat(np.arange(len(sizes)), tiles).astype(np.int32),
        (np.cumsum(tiles) - tiles).astype(np.int32),
        np.cumsum(words) - words,
        *columns.T.astype(np.int32),
        disks.start[np.searchsorted(radii, columns[:, 2])],
        disks.plan,
        disks.steps,
    )
    device_tables = [upload(table, truth.device) for table in host]
    grid = (int(tiles.sum()),)
    triton_kernels.count_tiles[grid](truth, predicted, *device_tables, counts, BLOCK=block)
    return counts.long()


class DiskTables(NamedTuple):
    """Disks of several radii as the kernels read them.

    For the i-th radius, `steps[plan[start[i] + d] : plan[start[i] + d + 1]]` are the widening steps after
    the lines at distance d.
    """

    start: NDArray[np.int32]
    plan: NDArray[np.int32]
    steps: NDArray[np.int32]


@cache
def disk_tables(radii: tuple[int, ...]) -> DiskTables:
    """The tables of ascending radii."""
    start: list[int] = []
    plan: list[int] = []
    steps = [0]  # a table cannot be empty: step 0 is never read
    for radius in radii:
        start.append(len(plan))
        for part in widening_steps(radius):
            plan.append(len(steps))
            steps.extend(part)
        plan.append(len(steps))
    return DiskTables(*(np.array(table, np.int32) for table in (start, plan, steps)))


def block_words(masks: Tensor, on_device: int) -> int:
    """Words a program handles; Triton's interpreter pays per program, so it gets few large ones."""
    return on_device if masks.is_cuda else 4096


def upload(table: NDArray[np.generic], where: device) -> Tensor:
    import torch

    return torch.from_numpy(np.ascontiguousarray(table)).to(where, non_blocking=True)
