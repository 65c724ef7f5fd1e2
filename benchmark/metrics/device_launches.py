"""Counting pieces of clips on a device by one of two forms, the kernels of `triton_kernels` or plain torch.

    forms        `triton`   the kernels; CUDA (or Triton's interpreter)
                 `torch`    the packed form of `packed_tensors`; any device
                 `auto`     `triton` on CUDA where Triton is installed, else `torch`

Both give the same integers. The kernels take all pieces of a chunk in one launch for each combination of
dtypes, and one more for each half of the tolerances; what they need to know of the pieces travels in one
small table.
"""

from __future__ import annotations

import importlib.util
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from itertools import accumulate
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from benchmark.errors import EnvironmentProblem, UsageError
from benchmark.metrics import packed_tensors
from benchmark.metrics.definition import COLUMNS
from benchmark.metrics.device_clips import Piece, Size, frames_at_once, rounded
from benchmark.metrics.packed_engine import widening_steps
from benchmark.metrics.packed_tensors import Outlined

if TYPE_CHECKING:
    from torch import Tensor, device, dtype

FORMS = ("auto", "triton", "torch")
AREAS = len(COLUMNS) + 1
VECTOR_BYTES = 16
WORD_BITS = 32
LARGEST_FRAME = 1 << 30
"""Bytes of a frame up to which the kernels count them in 32 bits."""


class Launch(NamedTuple):
    """How the work is cut up; see `triton_kernels`. Changes the speed and nothing else."""

    rows: int = 16
    block: int = 128
    warps: int = 4
    strips: int = 8
    match_warps: int = 4
    match_programs: int = 16  # for each multiprocessor, at most
    unrolled: int = 18  # up to this tolerance the disk is unrolled, where a chunk has only one


LAUNCH = Launch()
INTERPRETED = Launch(rows=16, block=1024, strips=64)  # Triton's interpreter pays for each program


class Source(NamedTuple):
    """One side of a piece as the kernels read it.

    `memory` keeps `address` alive. The rest says how values become bits, see `triton_kernels`.
    """

    memory: Tensor
    address: int
    frame_bytes: int
    kind: int
    below_zero: bool = False
    above: int = 0
    nan_above: int = 0


class Part(NamedTuple):
    """A piece as the kernels read it."""

    truth: Source
    predicted: Source
    size: Size
    frames: int


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


def count_chunks(chunks: Iterable[Sequence[Piece]], frames: int, threshold: float, form: str) -> Tensor:
    """Rows (N, 9) of `frames` frames: the six integers, the truth's area, and whether each side holds NaN."""
    rows, first = None, 0
    for chunk in chunks:
        if rows is None:
            rows = empty_rows(frames, chunk[0].masks.truth.device)
        last = first + sum(len(piece.masks.truth) for piece in chunk)
        if uses_triton(chunk[0].masks.truth, form) and all(fits(piece.size, 4) for piece in chunk):
            launch([_part(piece, threshold) for piece in chunk], rows[first:last])
        else:
            for piece in chunk:
                end = first + len(piece.masks.truth)
                packed = [packed_tensors.pack(masks, rounded(threshold, masks)) for masks in piece.masks]
                sides = (
                    packed_tensors.outlined(side.words, piece.size.bits, piece.size.radius) for side in packed
                )
                rows[first:end, :AREAS] = packed_tensors.count_outlined(*sides)
                for side, column in zip(packed, (AREAS, AREAS + 1), strict=True):
                    rows[first:end, column] = side.unclear
                first = end
        first = last
    assert rows is not None
    return rows


def _part(piece: Piece, threshold: float) -> Part:
    truth, predicted = (source(masks, rounded(threshold, masks)) for masks in piece.masks)
    return Part(truth, predicted, piece.size, len(piece.masks.truth))


def count_words(truth: Tensor, predictions: Iterable[Tensor], size: Size, form: str) -> Iterator[Tensor]:
    """The six integers (N, 6) for each prediction, all as packed words (N, L, K) of `packed_tensors`.

    The torch form bounds and dilates the truth once; for the kernels that costs less than fetching it would.
    """
    if uses_triton(truth, form) and fits(size, 1):
        ours = words_source(truth)
        for predicted in predictions:
            rows = empty_rows(len(truth), truth.device)
            launch([Part(ours, words_source(predicted), size, len(truth))], rows)
            yield rows[:, : len(COLUMNS)]
        return
    outlined = packed_tensors.outlined(truth, size.bits, size.radius)
    for predicted in predictions:
        theirs = packed_tensors.outlined(predicted, size.bits, size.radius)
        yield packed_tensors.count_outlined(outlined, theirs)[:, : len(COLUMNS)]


def count_prepared(
    words: Tensor, outlined: Outlined | None, predicted: Tensor, size: Size, threshold: float
) -> Tensor:
    """Rows of `count_chunks` for a truth of packed words; by the kernels where it was not outlined."""
    rows, bound = empty_rows(len(words), words.device), rounded(threshold, predicted)
    step = frames_at_once(size)
    for first in range(0, len(words), step):
        part = slice(first, first + step)
        if outlined is None:
            ours, theirs = words_source(words[part]), source(predicted[part], bound)
            launch([Part(ours, theirs, size, len(words[part]))], rows[part])
        else:
            packed = packed_tensors.pack(predicted[part], bound)
            reached = packed_tensors.outlined(packed.words, size.bits, size.radius)
            of_truth = Outlined(*(side[part] for side in outlined))
            rows[part, :AREAS] = packed_tensors.count_outlined(of_truth, reached)
            rows[part, AREAS + 1] = packed.unclear
    return rows


def empty_rows(frames: int, where: device) -> Tensor:
    """Rows of zeros for `launch` to add to."""
    import torch

    return torch.zeros((frames, AREAS + 2), dtype=torch.int64, device=where)


def fits(size: Size, item: int) -> bool:
    """Whether the kernels can count frames of this size and tolerance, with values of `item` bytes."""
    from benchmark.metrics import triton_kernels

    return bool(size.radius <= triton_kernels.MAX_RADIUS) and size.lines * size.bits * item <= LARGEST_FRAME


def source(masks: Tensor, threshold: float) -> Source:
    """Masks (T, H, W) for the kernels, where they lie; copied if they do not fill whole vectors of bytes."""
    import torch

    from benchmark.metrics import triton_kernels

    if masks.dtype is torch.float64:
        sides = torch.where(masks > threshold, 1.0, -1.0)
        masks, threshold = torch.where(masks.isnan(), masks, sides).bfloat16(), 0.0
    masks = masks.contiguous()
    item = masks.element_size()
    memory, size = masks, masks.numel() * item
    if masks.data_ptr() % VECTOR_BYTES or size % VECTOR_BYTES:
        memory = torch.zeros(-(-size // VECTOR_BYTES) * VECTOR_BYTES, dtype=torch.uint8, device=masks.device)
        memory[:size] = masks.view(-1).view(torch.uint8)
    address = memory.data_ptr()
    frame_bytes = masks.shape[1] * masks.shape[2] * item
    if not masks.dtype.is_floating_point:
        kind = triton_kernels.BOOLS if masks.dtype is torch.bool else triton_kernels.BYTES
        return Source(memory, address, frame_bytes, kind.value)
    kind = triton_kernels.HALVES if item == 2 else triton_kernels.FLOATS
    return Source(memory, address, frame_bytes, kind.value, *_comparison(masks.dtype, threshold))


def words_source(words: Tensor) -> Source:
    """Packed words (N, L, K) of `packed_tensors` for the kernels."""
    from benchmark.metrics import triton_kernels

    words = words.contiguous()
    return Source(words, words.data_ptr(), 8 * words[0].numel(), triton_kernels.WORDS.value)


class Comparison(NamedTuple):
    """`above` and `nan_above` of `triton_kernels._marks`, and whether the threshold is below zero."""

    below_zero: bool
    above: int
    nan_above: int


@cache
def _comparison(kind: dtype, threshold: float) -> Comparison:
    import torch

    width = 8 * int(kind.itemsize)
    as_integer = torch.int16 if width == 16 else torch.int32

    def magnitude(value: float) -> int:
        pattern = int(torch.tensor(abs(value), dtype=kind).view(as_integer))
        return pattern & ((1 << (width - 1)) - 1)

    twice = 0x10001 if width == 16 else 1
    largest, below_zero = (1 << (width - 1)) - 1, threshold < 0
    above = largest - magnitude(threshold) + int(below_zero)
    return Comparison(below_zero, above * twice, (largest - magnitude(float("inf"))) * twice)


def launch(parts: Sequence[Part], rows: Tensor) -> None:
    """Add the counts of the frames of all parts to `rows`, one part after another, by the kernels."""
    import torch

    from benchmark.metrics import triton_kernels

    where = rows.device
    cut = LAUNCH if rows.is_cuda else INTERPRETED
    plan = _planned(parts, cut)
    if not plan.programs:
        return
    lists = len(plan.radii)
    maps = torch.empty(plan.map_words, dtype=torch.int32, device=where)
    maps[: plan.head].zero_()  # also the lengths of the lists of strips, which lie there
    strips = torch.empty(8 * cut.block * plan.programs, dtype=torch.int32, device=where)
    table = upload(plan.table, where)
    for first, last, truth, predicted in plan.groups:
        triton_kernels.outline[(last - first,)](
            table,
            plan.programs_at,
            plan.lists_at,
            first,
            plan.guard_words,
            plan.guard_bands,
            maps,
            rows,
            strips,
            maps,
            truth.above,
            truth.nan_above,
            predicted.above,
            predicted.nan_above,
            TRUTH_KIND=truth.kind,
            TRUTH_BELOW_ZERO=truth.below_zero,
            PREDICTED_KIND=predicted.kind,
            PREDICTED_BELOW_ZERO=predicted.below_zero,
            ROWS=cut.rows,
            BLOCK=cut.block,
            num_warps=cut.warps,
        )
    most = -(-2 * cut.block * plan.programs // cut.strips)
    programs = min(most, cut.match_programs * _multiprocessors(where))
    narrow = sum(radius <= WORD_BITS for radius in plan.radii)
    for first, last in ((0, narrow), (narrow, lists)):
        if first < last:
            triton_kernels.match[(programs, last - first)](
                table,
                plan.lists_at,
                lists,
                first,
                maps,
                rows,
                strips,
                maps,
                PLAN=widening_steps(plan.radii[0]) if lists == 1 and plan.radii[0] <= cut.unrolled else None,
                WIDE=first >= narrow,
                ROWS=cut.rows,
                STRIPS=cut.strips,
                num_warps=cut.match_warps,
            )


class Planned(NamedTuple):
    """What the kernels must know of the parts: one table, and where things lie in it and in the maps."""

    table: NDArray[np.int64]
    programs_at: int
    lists_at: int
    groups: list[tuple[int, int, Source, Source]]
    """First and last program of the parts of the same dtypes."""
    radii: list[int]
    programs: int
    map_words: int
    head: int
    guard_words: int
    guard_bands: int


def _planned(parts: Sequence[Part], cut: Launch) -> Planned:
    radii = sorted({part.size.radius for part in parts})
    first_frames = list(accumulate((part.frames for part in parts), initial=0))
    order = sorted(range(len(parts)), key=lambda index: (parts[index].truth[3:], parts[index].predicted[3:]))
    guard_words, guard_bands = -(-radii[-1] // WORD_BITS), -(-radii[-1] // cut.rows)
    bands = [-(-part.size.lines // cut.rows) + guard_bands for part in parts]
    zeros = (guard_words * max(bands) + guard_bands) * cut.rows  # in the way of the first map's guards
    head = -(-len(radii) // cut.rows) * cut.rows + zeros
    pieces: list[int] = []
    groups: list[tuple[int, int, Source, Source]] = []
    taken = [0] * len(radii)
    owners = []
    programs, map_words = 0, head
    for place, index in enumerate(order):
        truth, predicted, size, frames = parts[index]
        strips = (-(-size.bits // WORD_BITS) + guard_words) * bands[index]
        each = -(-strips // cut.block)
        for side in (truth, predicted):
            pieces += (side.address, side.address + frames * side.frame_bytes, side.frame_bytes)
        which = bisect_left(radii, size.radius)
        pieces += (size.lines, size.bits, programs, each, first_frames[index], map_words, which)
        last = programs + frames * each
        if groups and groups[-1][2][3:] == truth[3:] and groups[-1][3][3:] == predicted[3:]:
            groups[-1] = (groups[-1][0], last, *groups[-1][2:])
        elif frames:
            groups.append((programs, last, truth, predicted))
        owners.append(np.full(last - programs, place))
        taken[which] += last - programs
        programs = last
        map_words += 2 * frames * strips * cut.rows
    starts = [2 * cut.block * before for before in accumulate(taken[:-1], initial=0)]
    lists = _lists(starts, radii, len(pieces))
    table = np.concatenate((np.array(pieces + lists, np.int64), *owners))
    programs_at = len(pieces) + len(lists)
    return Planned(
        table, programs_at, len(pieces), groups, radii, programs, map_words, head, guard_words, guard_bands
    )


def _lists(starts: list[int], radii: list[int], base: int) -> list[int]:
    """The part of the table behind `base` that `match` reads: starts, tolerances, plans, steps."""
    plans_at = base + 3 * len(radii)
    steps_at = plans_at + sum(radius + 2 for radius in radii)
    where: list[int] = []
    plans: list[int] = []
    steps: list[int] = []
    for radius in radii:
        where.append(plans_at + len(plans))
        for part in widening_steps(radius):
            plans.append(steps_at + len(steps))
            steps.extend(part)
        plans.append(steps_at + len(steps))
    return [*starts, *radii, *where, *plans, *steps]


@cache
def _multiprocessors(where: device) -> int:
    import torch

    return int(torch.cuda.get_device_properties(where).multi_processor_count) if where.type == "cuda" else 1


def upload(table: NDArray[np.generic], where: device) -> Tensor:
    """An array on a device; nothing waits for the copy."""
    import torch

    on_host = torch.from_numpy(np.ascontiguousarray(table))
    return (on_host.pin_memory() if where.type == "cuda" else on_host).to(where, non_blocking=True)
