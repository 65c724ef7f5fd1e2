"""Chunks of masks for the kernels of `triton_kernels`: their table, the memory they share, the launches.

All pieces of a chunk are packed in one launch for each way that masks are compared, outlined in one more,
and matched in one, or two where tolerances lie on both sides of 32 pixels. What the kernels must know of the
pieces travels in one small table; the host waits for nothing.
"""

from __future__ import annotations

import enum
from bisect import bisect_left
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import cache
from itertools import accumulate
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from benchmark.metrics.device_clips import Size, frame_bytes
from benchmark.metrics.packed_engine import widening_steps

if TYPE_CHECKING:
    from torch import Tensor, device, dtype

VECTOR_BYTES = 16
WORD_BITS = 32
STRIP_WORDS = 4
"""Of an entry of a list of strips."""
ROW_COLUMNS, NOTES_AT = 9, 7
"""Of a frame's row: the six integers, the truth's area, and from `NOTES_AT` on whether truth and prediction
hold a value that is not a number."""
PIECE_COLUMNS, MAP_COLUMN = 11, 9
MAX_RADIUS = 64
"""Tolerance up to which `triton_kernels.match` is exact."""
LARGEST_FRAME = 1 << 30
"""Pixels of a frame, with its lines filled up to whole words, that the kernels number in 32 bits."""
LARGEST_MAPS = 1 << 31
"""Bytes of the boundary maps of a frame: words of what a chunk takes in all are numbered in 32 bits, too."""


class Launch(NamedTuple):
    """How the work is cut up; see `triton_kernels`. Changes the speed and nothing else."""

    units: int = 512
    rows: int = 8
    block: int = 128
    strips: int = 16
    warps: int = 4
    match_programs: int = 16  # for each multiprocessor, at most


LAUNCH = Launch()
INTERPRETED = Launch(units=8192, block=1024, strips=256)  # Triton's interpreter pays for each program


class Kind(enum.IntEnum):
    """How masks lie in memory."""

    BYTES = 0
    """Any byte but 0 is foreground; so are booleans, which views of bytes may fill with more than 0 and 1."""
    HALVES = 1
    """Floating point of 16 bits, either form."""
    FLOATS = 2


class Comparison(NamedTuple):
    """How values become bits, see `triton_kernels.pack`."""

    kind: Kind
    below_zero: bool = False
    above: int = 0
    nan_above: int = 0


class Masks(NamedTuple):
    """Masks (T, H, W) as `pack` reads them; `memory` keeps `address` alive."""

    memory: Tensor
    address: int
    vectors: int
    frame_values: int
    frames: int
    pitch: int
    comparison: Comparison

    @property
    def words(self) -> int:
        """Words of 32 bits that they take."""
        return -(-self.frames * self.frame_values // WORD_BITS)


class Bits(NamedTuple):
    """Masks that are bits already, lines `pitch` bits apart; `memory` keeps `address` alive."""

    memory: Tensor
    address: int
    pitch: int


class Part(NamedTuple):
    """A piece as the kernels read it."""

    truth: Masks | Bits
    predicted: Masks | Bits
    size: Size
    frames: int


def fits(size: Size) -> bool:
    """Whether the kernels can count frames of this size and tolerance."""
    return (
        size.radius <= MAX_RADIUS
        and 64 * size.words <= LARGEST_FRAME
        and frame_bytes(size, MAX_RADIUS) <= LARGEST_MAPS
    )


def masks_of(masks: Tensor, threshold: float) -> Masks:
    """Masks (T, H, W) where they lie; copied if they do not fill whole vectors of bytes.

    Args:
        threshold: rounded to their dtype.
    """
    import torch

    if masks.dtype is torch.float64:
        signs = (masks > threshold).to(torch.bfloat16)
        masks, threshold = signs.masked_fill_(masks.isnan(), torch.nan), 0.0
    masks = masks.contiguous()
    frames, lines, bits = masks.shape
    memory, size = masks, masks.numel() * masks.element_size()
    vectors = -(-size // VECTOR_BYTES)
    if masks.data_ptr() % VECTOR_BYTES or size % VECTOR_BYTES:
        memory = torch.zeros(vectors * VECTOR_BYTES, dtype=torch.uint8, device=masks.device)
        memory[:size] = masks.view(-1).view(torch.uint8)
    return Masks(
        memory, memory.data_ptr(), vectors, lines * bits, frames, bits, _comparison(masks.dtype, threshold)
    )


def bits_of(words: Tensor) -> Bits:
    """Packed words (N, L, K) of `packed_tensors`."""
    words = words.contiguous()
    return Bits(words, words.data_ptr(), 64 * words.shape[2])


@cache
def _comparison(kind: dtype, threshold: float) -> Comparison:
    import torch

    if not kind.is_floating_point:
        return Comparison(Kind.BYTES)
    width = 8 * int(kind.itemsize)
    as_integer = torch.int16 if width == 16 else torch.int32

    def magnitude(value: float) -> int:
        pattern = int(torch.tensor(abs(value), dtype=kind, device="cpu").view(as_integer))
        return pattern & ((1 << (width - 1)) - 1)

    twice = 0x10001 if width == 16 else 1
    largest, below_zero = (1 << (width - 1)) - 1, threshold < 0
    above = largest - magnitude(threshold) + int(below_zero)
    of_kind = Kind.HALVES if width == 16 else Kind.FLOATS
    return Comparison(of_kind, below_zero, above * twice, (largest - magnitude(float("inf"))) * twice)


def pack(masks: Masks) -> tuple[Bits, Tensor]:
    """The bits of masks, and whether each frame holds a value that is not a number, (T,) bool."""
    import torch

    where = masks.memory.device
    words = torch.empty(masks.words, dtype=torch.int32, device=where)
    notes = torch.zeros((masks.frames, ROW_COLUMNS), dtype=torch.int64, device=where)
    bits = Bits(words, words.data_ptr(), masks.pitch)
    cut = cut_for(words)
    packing = _packing([Stream(masks, bits.address, 0)], cut)
    with launching_on(where):
        _launch_pack(packing, upload(packing.table, where), notes, cut)
    return bits, notes[:, 0] > 0


def count(parts: Sequence[Part], rows: Tensor) -> None:
    """Add the counts of the frames of all parts to `rows`, one part after another.

    Args:
        rows: (N, `ROW_COLUMNS`) int64: the six integers, the truth's area, and whether truth and prediction
            hold a value that is not a number; zeros at first.
    """
    with launching_on(rows.device):
        _count(parts, rows)


def launching_on(where: device) -> AbstractContextManager[object]:
    """Triton launches on the current device, wherever the tensors are."""
    import torch

    return torch.cuda.device(where) if where.type == "cuda" else nullcontext()


def _count(parts: Sequence[Part], rows: Tensor) -> None:
    import torch

    from benchmark.metrics import triton_kernels

    where = rows.device
    cut = cut_for(rows)
    outlining = _outlining(parts, cut)
    if not outlining.programs:
        return
    scratch = torch.empty(outlining.scratch_words, dtype=torch.int32, device=where)
    scratch[: outlining.head].zero_()
    packing = _packing(_streams(parts, outlining, scratch.data_ptr()), cut)
    pieces_at = len(packing.table)
    lists_at = pieces_at + outlining.pieces.size
    tables = (packing.table, outlining.pieces.ravel(), _lists(outlining, lists_at))
    table = upload(np.concatenate(tables), where)

    _launch_pack(packing, table, rows, cut)
    triton_kernels.outline[(outlining.programs,)](
        table,
        pieces_at,
        len(parts),
        lists_at,
        outlining.guard_words,
        outlining.guard_bands,
        rows,
        scratch,
        ROWS=cut.rows,
        BLOCK=cut.block,
        num_warps=cut.warps,
    )
    most = -(-outlining.strips // cut.strips)
    programs = min(most, cut.match_programs * _multiprocessors(where))
    radii = outlining.radii
    narrow = bisect_left(radii, WORD_BITS + 1)
    for first, last in ((0, narrow), (narrow, len(radii))):
        if first < last:
            triton_kernels.match[(programs, last - first)](
                table,
                lists_at,
                len(radii),
                first,
                rows,
                scratch,
                WIDE=first >= narrow,
                ROWS=cut.rows,
                STRIPS=cut.strips,
                num_warps=cut.warps,
            )


def cut_for(tensor: Tensor) -> Launch:
    """How work on a tensor's device is cut up."""
    return LAUNCH if tensor.is_cuda else INTERPRETED


class Stream(NamedTuple):
    """Masks, the address of their bits, and the place in `rows` where NaN in the first frame is noted."""

    masks: Masks
    target: int
    notes: int


class Packing(NamedTuple):
    """What `triton_kernels.pack` must know: a row of its columns for each stream, one behind the other."""

    table: NDArray[np.int64]
    streams: int
    groups: list[tuple[Comparison, int, int]]
    """First and last program of the streams that are compared in one way."""


def _packing(streams: list[Stream], cut: Launch) -> Packing:
    streams = sorted(streams, key=lambda stream: stream.masks.comparison)
    columns: list[int] = []
    groups: list[tuple[Comparison, int, int]] = []
    first = 0
    for masks, target, notes in streams:
        bits = 16 if masks.comparison.kind == Kind.BYTES else 8
        stored = masks.words * (WORD_BITS // bits)
        values = masks.frames * masks.frame_values
        columns += (masks.address, masks.vectors, target, stored, first, values, masks.frame_values, notes)
        last = first + -(-stored // cut.units)
        if groups and groups[-1][0] == masks.comparison:
            groups[-1] = (masks.comparison, groups[-1][1], last)
        else:
            groups.append((masks.comparison, first, last))
        first = last
    return Packing(np.array(columns, np.int64), len(streams), groups)


def _launch_pack(packing: Packing, table: Tensor, rows: Tensor, cut: Launch) -> None:
    from benchmark.metrics import triton_kernels

    for comparison, first, last in packing.groups:
        if first < last:
            triton_kernels.pack[(last - first,)](
                table,
                packing.streams,
                first,
                rows,
                comparison.above,
                comparison.nan_above,
                KIND=int(comparison.kind),
                BELOW_ZERO=comparison.below_zero,
                UNITS=cut.units,
                num_warps=cut.warps,
            )


class Outlining(NamedTuple):
    """What `outline` and `match` must know, and how `scratch` is divided.

    `scratch` holds the lengths of the lists and zeros (`head` words together), the maps, the lists of strips
    from `strips_at` on, one for each of `radii`, and the streams from `streams_at` on.
    """

    pieces: NDArray[np.int64]
    """(parts, PIECE_COLUMNS); the addresses of the bits are set later."""
    programs: int
    radii: list[int]
    strips: int
    """Entries that the lists have room for: a strip of every word of every frame, of both sides."""
    strips_before: list[int]
    """Those of the lists before each."""
    head: int
    strips_at: int
    streams_at: int
    scratch_words: int
    guard_words: int
    guard_bands: int


def _outlining(parts: Sequence[Part], cut: Launch) -> Outlining:
    radii = sorted({part.size.radius for part in parts})
    reach = max(radii[-1], 1)  # `match` reads the words beside a word whatever the tolerance
    guard_words, guard_bands = -(-reach // WORD_BITS), -(-reach // cut.rows)
    bands = [-(-part.size.lines // cut.rows) + guard_bands for part in parts]
    zeros = (guard_words * max(bands) + guard_bands) * cut.rows  # in the way of the first map's guards
    head = -(-len(radii) // cut.rows) * cut.rows + zeros
    pieces = np.zeros((len(parts), PIECE_COLUMNS), np.int64)
    of_list = [0] * len(radii)
    first_program = first_row = 0
    strips = [0] * len(parts)
    for index, part in enumerate(parts):
        size = part.size
        words = -(-size.bits // WORD_BITS)
        strips[index] = (words + guard_words) * bands[index]
        each = -(-strips[index] // cut.block)
        which = bisect_left(radii, size.radius)
        pieces[index, 4:] = (size.lines, size.bits, first_program, each, first_row, 0, which)
        of_list[which] += 2 * part.frames * words * (bands[index] - guard_bands)
        first_program += part.frames * each
        first_row += part.frames
    # Tall maps first: what lies before a map is its guard too, so that it must be as tall.
    map_words = head
    for index in sorted(range(len(parts)), key=lambda index: -bands[index]):
        pieces[index, MAP_COLUMN] = map_words
        map_words += 2 * parts[index].frames * strips[index] * cut.rows
    stream_words = sum(side.words for part in parts for side in part[:2] if isinstance(side, Masks))
    strips_at = -(-map_words // STRIP_WORDS) * STRIP_WORDS
    streams_at = strips_at + sum(of_list) * STRIP_WORDS
    return Outlining(
        pieces,
        first_program,
        radii,
        sum(of_list),
        list(accumulate(of_list[:-1], initial=0)),
        head,
        strips_at,
        streams_at,
        streams_at + stream_words,
        guard_words,
        guard_bands,
    )


def _streams(parts: Sequence[Part], outlining: Outlining, scratch: int) -> list[Stream]:
    """The masks that must be packed, with places in the scratch memory; all sides are noted in the pieces."""
    streams: list[Stream] = []
    place = outlining.streams_at
    first_row = 0
    for part, piece in zip(parts, outlining.pieces, strict=True):
        for side, source in enumerate((part.truth, part.predicted)):
            if isinstance(source, Masks):
                address = scratch + 4 * place
                place += source.words
                streams.append(Stream(source, address, first_row * ROW_COLUMNS + NOTES_AT + side))
            else:
                address = source.address
            piece[2 * side : 2 * side + 2] = address, source.pitch
        first_row += part.frames
    return streams


def _lists(outlining: Outlining, lists_at: int) -> NDArray[np.int64]:
    """What `match` reads: of each list its begin, its tolerance, and where its codes begin; all codes."""
    radii = outlining.radii
    starts = [outlining.strips_at // STRIP_WORDS + before for before in outlining.strips_before]
    lengths = [radius + 1 for radius in radii[:-1]]
    codes_at = accumulate(lengths, initial=lists_at + 3 * len(radii))
    codes = [code for radius in radii for code in disk_codes(radius)]
    return np.array([*starts, *radii, *codes_at, *codes], np.int64)


@cache
def disk_codes(radius: int) -> tuple[int, ...]:
    """For each line distance 0..radius the steps of `widening_steps`, a byte each, the first one lowest."""
    return tuple(
        sum(step << (8 * place) for place, step in enumerate(steps)) for steps in widening_steps(radius)
    )


@cache
def _multiprocessors(where: device) -> int:
    import torch

    return int(torch.cuda.get_device_properties(where).multi_processor_count) if where.type == "cuda" else 1


def upload(table: NDArray[np.generic], where: device) -> Tensor:
    """An array on a device; nothing waits for the copy."""
    import torch

    on_host = torch.from_numpy(np.require(table, requirements=("C", "W")))  # torch wants it writable
    return (on_host.pin_memory() if where.type == "cuda" else on_host).to(where, non_blocking=True)
