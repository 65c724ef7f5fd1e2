"""The six integers on a device, for masks that are there already and for batches of run-length text.

    forms        `triton`   the kernels of `triton_kernels`; CUDA (or Triton's interpreter)
                 `torch`    the packed form of `packed_tensors`; any device
                 `auto`     `triton` on CUDA where Triton is installed, else `torch`

Masks never leave their device and nothing waits for it: a clip is cut into chunks of bounded size, each
chunk is packed to bits and counted, and six integers a frame come out, which `DeviceCounts.numpy`
fetches in one copy. torch and Triton are imported inside functions, so that scoring works without them.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from benchmark.errors import EnvironmentProblem, MaskError, UsageError
from benchmark.metrics import packed_tensors
from benchmark.metrics.definition import COLUMNS, Counts, boundary_radius, check_radius
from benchmark.metrics.packed_engine import widening_steps
from benchmark.metrics.packed_tensors import Outlined, Packed
from benchmark.run_lengths import runs_from_text

if TYPE_CHECKING:
    from torch import Tensor, device

FORMS = ("auto", "triton", "torch")
CHUNK_BYTES = 32 << 20
"""Packed bits of one chunk, truth and prediction together: small enough for the L2 cache of a large GPU.

The `torch` form needs some 12 times as much beside the masks, the `triton` form nothing more.
"""


class TensorPair(NamedTuple):
    """Truth and prediction of one clip: two (T, H, W) tensors of one size on one device."""

    truth: Tensor
    predicted: Tensor


@dataclass(frozen=True)
class DeviceCounts:
    """`counts` (N, 6) int64 on the device, in the order of `COLUMNS`, for the frames of all pairs.

    `truth_areas` (N,) int64 are the truth's pixels. `unclear` (N, 2) bool marks frames of truth and
    prediction that hold a value that is not a number; their counts mean nothing, and `numpy` refuses them.
    """

    counts: Tensor
    truth_areas: Tensor
    unclear: Tensor

    def numpy(self) -> Counts:
        """The integers on the host; the only place that waits for the device.

        Raises:
            MaskError: when a frame held a value that is not a number.
        """
        unclear: NDArray[np.bool_] = self.unclear.cpu().numpy()
        if unclear.any():
            frame, side = (int(index) for index in np.argwhere(unclear)[0])
            raise MaskError(
                "a mask holds values that are not numbers",
                where=f"frame {frame} of the {('truth', 'prediction')[side]}",
                expected="boolean, uint8 or finite logits",
                found="NaN",
            )
        counts: Counts = self.counts.cpu().numpy()
        return counts


def require_device() -> device:
    """The CUDA device that run-length text is counted on.

    Raises:
        EnvironmentProblem: when torch is missing or sees no CUDA device.
    """
    if importlib.util.find_spec("torch") is None:
        raise EnvironmentProblem(
            "metric engine 'cuda' needs torch, which is not installed",
            fix="pip install torch, or leave --metric-engine at auto",
        )
    import torch

    if not torch.cuda.is_available():
        raise EnvironmentProblem(
            "metric engine 'cuda' needs a CUDA device, and torch sees none on this machine",
            fix="leave --metric-engine at auto: the other engines return the same numbers",
        )
    return torch.device("cuda")


def group_counts(
    truth: Sequence[bytes | None],
    predictions: Sequence[Sequence[bytes | None]],
    height: int,
    width: int,
    radius: int,
    *,
    on: device | None = None,
    form: str = "auto",
) -> Counts:
    """Counts (N, T, 6) of N predicted tracks against one true one, all of T frames.

    A frame is COCO text, or `None` for a mask without pixels. Borders of runs travel to the device; lines
    of bits are made there, those of the truth once.

    Args:
        on: where to count; the CUDA device by default.

    Raises:
        MaskError: when a text does not decode to `height * width` pixels.
        EnvironmentProblem: when no device is given and there is no CUDA device.
    """
    where = on or require_device()
    size = Size(width, height, radius)
    step = max(1, CHUNK_BYTES // (2 * 8 * size.words))
    counts = np.zeros((len(predictions), len(truth), len(COLUMNS)), np.int64)
    for first in range(0, len(truth), step):
        part = slice(first, first + step)
        true_lines = _upload_lines(truth[part], size, "truth", first, where)
        for index, texts in enumerate(predictions):
            lines = _upload_lines(texts[part], size, "prediction", first, where)
            columns = _count_lines(true_lines, lines, [size] * len(truth[part]), form)
            counts[index, part] = columns[:, :-1].cpu().numpy()
    return counts


def track_counts(
    truth: Sequence[bytes | None],
    predicted: Sequence[bytes | None],
    height: int,
    width: int,
    radius: int,
    *,
    on: device | None = None,
    form: str = "auto",
) -> Counts:
    """Counts (T, 6) of one prediction; see `group_counts`."""
    counts: Counts = group_counts(truth, (predicted,), height, width, radius, on=on, form=form)[0]
    return counts


def _upload_lines(texts: Sequence[bytes | None], size: Size, side: str, first: int, where: device) -> Tensor:
    borders, owners = _borders(texts, size.bits, size.lines, side, first)
    places, masks = _upload(borders, where), _upload(owners, where)
    lines = packed_tensors.lines_from_borders(places, masks, len(texts), size.lines, size.bits)
    return lines.flatten()


def mask_counts(truth: NDArray[Any], predicted: NDArray[Any], radius: int) -> Counts:
    """Counts (T, 6) of two (T, H, W) arrays of bool or uint8 on the host, a chunk at a time on the device.

    Raises:
        EnvironmentProblem: when there is no CUDA device.
    """
    where = require_device()
    step = max(1, CHUNK_BYTES // (2 * truth[0].size)) if len(truth) else 1
    parts = [np.zeros((0, len(COLUMNS)), np.int64)]
    for first in range(0, len(truth), step):
        pair = (_upload(masks[first : first + step], where) for masks in (truth, predicted))
        parts.append(tensor_counts(*pair, radius=radius).numpy())
    return np.concatenate(parts)


def tensor_counts(
    truth: Tensor,
    predicted: Tensor,
    *,
    radius: int | None = None,
    threshold: float = 0.0,
    form: str = "auto",
) -> DeviceCounts:
    """The six integers of every frame of two (T, H, W) tensors on one device.

    Args:
        truth, predicted: bool or uint8 (non-zero is foreground) or floating point (above `threshold` is
            foreground: 0 for logits, 0.5 for probabilities); the two may differ in dtype.
        radius: boundary tolerance in pixels; by default `boundary_radius(H, W)`.
        threshold: rounded to the dtype of the masks it is compared with.
        form: one of `FORMS`; the result does not depend on it.

    Raises:
        MaskError: when the tensors differ in shape or device, or hold another dtype.
        UsageError: when there is no such form.
        EnvironmentProblem: when the form cannot run here.
    """
    return batch_counts([TensorPair(truth, predicted)], radius=radius, threshold=threshold, form=form)


def batch_counts(
    pairs: Sequence[TensorPair],
    *,
    radius: int | Sequence[int] | None = None,
    threshold: float = 0.0,
    form: str = "auto",
) -> DeviceCounts:
    """The six integers of the frames of many clips, of any sizes and lengths, one clip after another.

    Args and Raises: as `tensor_counts`; `radius` may also name one tolerance for each clip, and a message
    names the clip by its position.
    """
    import torch

    for index, pair in enumerate(pairs):
        _check_pair(pair, f"clip {index}" if len(pairs) > 1 else "")
    if not pairs:
        raise MaskError("a batch needs at least one pair of tensors")
    radii = _radii(pairs, radius)
    devices = {tensor.device for pair in pairs for tensor in pair}
    if len(devices) > 1:
        raise MaskError(
            "masks of one batch must be on one device", found=", ".join(sorted(map(str, devices)))
        )
    counts, unclear = [], []
    for chunk in _chunks(pairs, radii):
        truth, predicted = (_pack(chunk, side, threshold, form) for side in (0, 1))
        sizes = [size for piece in chunk for size in [piece.size] * len(piece.masks.truth)]
        counts.append(_count_lines(truth.words, predicted.words, sizes, form))
        unclear.append(torch.stack((truth.unclear, predicted.unclear), dim=1))
    columns = torch.cat(counts)
    return DeviceCounts(columns[:, :-1], columns[:, -1], torch.cat(unclear))


@dataclass(frozen=True)
class PreparedTruth:
    """A truth track that many predictions are counted against: packed, bounded and dilated once.

    Holds three bits a pixel on the truth's device, for the whole clip.
    """

    outlined: Outlined
    unclear: Tensor
    bits: int
    radius: int

    def counts(self, predicted: Tensor, *, threshold: float = 0.0) -> DeviceCounts:
        """The six integers of every frame of a prediction of the same shape, as `tensor_counts`.

        Raises:
            MaskError: when the prediction's shape or device is another, or it holds another dtype.
        """
        import torch

        words = self.outlined.words
        shape = (words.shape[0], words.shape[1], self.bits)
        if tuple(predicted.shape) != shape or predicted.device != words.device:
            raise MaskError(
                "prediction and truth differ in shape or device",
                expected=f"{shape} on {words.device} as in the truth",
                found=f"{tuple(predicted.shape)} on {predicted.device}",
            )
        _check_dtype(predicted, "prediction", "")
        packed = packed_tensors.pack(predicted, _rounded(threshold, predicted))
        theirs = packed_tensors.outlined(packed.words, self.bits, self.radius)
        columns = packed_tensors.count_outlined(self.outlined, theirs)
        unclear = torch.stack((self.unclear, packed.unclear), dim=1)
        return DeviceCounts(columns[:, :-1], columns[:, -1], unclear)


def prepare_truth(truth: Tensor, *, radius: int | None = None, threshold: float = 0.0) -> PreparedTruth:
    """Do the truth's part of the counting of a (T, H, W) tensor once; the `torch` form.

    Args and Raises: as `tensor_counts`.
    """
    _check_pair(TensorPair(truth, truth), "")
    radii = _radii([TensorPair(truth, truth)], radius)
    packed = packed_tensors.pack(truth, _rounded(threshold, truth))
    bits = int(truth.shape[2])
    outlined = packed_tensors.outlined(packed.words, bits, radii[0])
    return PreparedTruth(outlined, packed.unclear, bits, radii[0])


class Size(NamedTuple):
    """Lines of a frame, bits of a line, boundary tolerance."""

    lines: int
    bits: int
    radius: int

    @property
    def words(self) -> int:
        """64-bit words of the frame."""
        return self.lines * ((self.bits + 63) // 64)


def _check_pair(pair: TensorPair, where: str) -> None:
    import torch

    for side, masks in zip(("truth", "prediction"), pair, strict=True):
        if not isinstance(masks, torch.Tensor) or masks.ndim != 3 or not masks.shape[1] * masks.shape[2]:
            found = f"shape {tuple(masks.shape)}" if isinstance(masks, torch.Tensor) else type(masks).__name__
            raise MaskError(f"the {side} must be a (T, H, W) tensor", where=where, found=found)
        _check_dtype(masks, side, where)
    if pair.truth.shape != pair.predicted.shape:
        raise MaskError(
            "prediction and truth differ in shape",
            where=where,
            expected=f"{tuple(pair.truth.shape)} as in the truth",
            found=str(tuple(pair.predicted.shape)),
        )


def _check_dtype(masks: Tensor, side: str, where: str) -> None:
    import torch

    if masks.dtype not in (torch.bool, torch.uint8) and not masks.dtype.is_floating_point:
        raise MaskError(
            f"the {side} has a dtype that masks do not come in",
            where=where,
            expected="bool, uint8 or floating point",
            found=str(masks.dtype),
        )


def _rounded(threshold: float, masks: Tensor) -> float:
    """A threshold in the dtype of the masks that are compared with it."""
    import torch

    return float(torch.tensor(threshold, dtype=masks.dtype)) if masks.dtype.is_floating_point else threshold


class Piece(NamedTuple):
    """Some frames of a clip, and the size and tolerance they are counted at."""

    masks: TensorPair
    size: Size


def _radii(pairs: Sequence[TensorPair], radius: int | Sequence[int] | None) -> list[int]:
    if radius is None:
        return [boundary_radius(pair.truth.shape[1], pair.truth.shape[2]) for pair in pairs]
    radii = [radius] * len(pairs) if isinstance(radius, int) else list(radius)
    if len(radii) != len(pairs):
        raise MaskError("one tolerance for each clip", expected=str(len(pairs)), found=str(len(radii)))
    for each in radii:
        check_radius(each)
    return radii


def _chunks(pairs: Sequence[TensorPair], radii: Sequence[int]) -> Iterator[list[Piece]]:
    """The pairs cut along time into groups whose packed bits stay within `CHUNK_BYTES`."""
    chunk: list[Piece] = []
    room = CHUNK_BYTES
    for pair, radius in zip(pairs, radii, strict=True):
        length, height, width = pair.truth.shape
        size, first = Size(height, width, radius), 0
        frame_bytes = 2 * 8 * size.words
        while first < length:
            taken = min(length - first, max(room // frame_bytes, 0 if chunk else 1))
            if taken:
                part = TensorPair(*(masks[first : first + taken] for masks in pair))
                chunk.append(Piece(part, size))
                room -= taken * frame_bytes
                first += taken
            if first < length:
                yield chunk
                chunk, room = [], CHUNK_BYTES
    if chunk or not any(pair.truth.shape[0] for pair in pairs):
        _, height, width = pairs[0].truth.shape
        yield chunk or [Piece(pairs[0], Size(height, width, radii[0]))]


def _pack(chunk: Sequence[Piece], side: int, threshold: float, form: str) -> Packed:
    import torch

    words, unclear = [], []
    for piece in chunk:
        masks = piece.masks[side]
        pack = _launch_pack if uses_triton(masks, form) else packed_tensors.pack
        packed = pack(masks, _rounded(threshold, masks))
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


def _count_lines(truth: Tensor, predicted: Tensor, sizes: Sequence[Size], form: str) -> Tensor:
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
    device_tables = [_upload(table, truth.device) for table in host]
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


def _upload(table: NDArray[np.generic], where: device) -> Tensor:
    import torch

    return torch.from_numpy(np.ascontiguousarray(table)).to(where, non_blocking=True)


def _borders(
    texts: Sequence[bytes | None], height: int, width: int, side: str, first: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Borders of the runs of every text, and the index of the text each belongs to."""
    parts: list[NDArray[np.int64]] = [np.zeros(0, np.int64)]
    lengths = []
    for index, text in enumerate(texts):
        borders = np.zeros(0, np.int64)
        if text is not None:
            try:
                runs = runs_from_text(text, height, width)
            except MaskError as error:
                problem = replace(error.problems[0], where=f"frame {first + index} of the {side}")
                raise MaskError(problem) from error
            borders = np.cumsum(runs)[:-1]
            if np.any(runs[1:] == 0):  # valid text that is not canonical: a border twice is none
                places, times = np.unique(borders, return_counts=True)
                borders = places[times % 2 == 1]
            borders = borders[borders < height * width]
        parts.append(borders)
        lengths.append(borders.size)
    return np.concatenate(parts), np.repeat(np.arange(len(texts)), lengths)
