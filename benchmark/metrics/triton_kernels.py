"""The CUDA kernels, in Triton: masks to bits, bits to boundary maps, boundary maps to the six integers.

`pack` reads masks once, in vectors of 16 bytes, as one stream of pixels that knows no lines, and writes a
bit for each. `outline` cuts words of 32 pixels out of the stream at any bit, keeps the words of the line
before in registers, counts intersection, union and boundary pixels, and writes the boundary words. `match`
dilates one side's boundary by the disk where the other side has boundary, and counts what it meets.

    line        a row of the frame (tensors) or a column (run-length text); the counts are the same
    stream      the pixels of one side of a piece; bit i of word k is pixel 32 k + i. Lines begin at any bit
                of a packed tensor; those of run-length text begin at whole words.
    unit        what a lane of `pack` works on: the pixels of 16 bytes, of 32 for floats of 32 bits
    word        32 pixels of a line; bits past the end of the line are 0
    strip       one word of `ROWS` successive lines: what a lane of `outline` works on. Those that hold
                boundary bits are listed, side by side, for `match`; most do not.
    map         the boundary of one side of a frame: words x pitch, so that the same word of successive
                lines lies side by side and lanes of `match` read neighbours. Guards of zeros, a word or two
                behind every line and bands below the last line, part it from the next map, which is never
                taller: `match` reads across the border of a frame without asking. `pitch` is a multiple of
                ROWS.
    piece       some frames of a clip: a row of the table, see the columns below
    program     handles UNITS units of one stream, or BLOCK strips of one frame
    scratch     32-bit words: lengths of the lists, zeros, maps, lists, streams, see `device_plans`

Sums are of integers, so the order in which programs finish, or in which strips are listed, changes nothing.
Importing this module needs Triton; `device_plans` does it only where Triton is.
"""

# mypy: disable-error-code="no-untyped-def, no-untyped-call, misc, untyped-decorator, assignment"

from __future__ import annotations

import triton
import triton.language as tl

from benchmark.metrics import device_plans

BYTES, HALVES, FLOATS = (tl.constexpr(int(kind)) for kind in device_plans.Kind)

# Columns of streams in the table, 64-bit integers.
MEMORY, VECTORS = tl.constexpr(0), tl.constexpr(1)  # address of the masks; their vectors of 16 bytes
TARGET, STORED = tl.constexpr(2), tl.constexpr(3)  # address of the bits; units to write, whole words of them
FIRST_OF_STREAM = tl.constexpr(4)  # its first program
VALUES, FRAME_VALUES = tl.constexpr(5), tl.constexpr(6)  # in all; of a frame
NOTES = tl.constexpr(7)  # place in `rows` where NaN in the first frame is noted
STREAM_COLUMNS = tl.constexpr(8)

# Columns of pieces.
TRUTH, TRUTH_PITCH = tl.constexpr(0), tl.constexpr(1)  # address of the bits; bits from line to line
PREDICTED, PREDICTED_PITCH = tl.constexpr(2), tl.constexpr(3)
LINES, BITS = tl.constexpr(4), tl.constexpr(5)
FIRST_OF_PIECE, PROGRAMS = tl.constexpr(6), tl.constexpr(7)  # its first program; programs of each frame
FIRST_ROW = tl.constexpr(8)  # of its first frame, in `rows`
FIRST_MAP = tl.constexpr(device_plans.MAP_COLUMN)  # of its first frame, in `scratch`
LIST = tl.constexpr(10)  # of strips, the one they go to
PIECE_COLUMNS = tl.constexpr(device_plans.PIECE_COLUMNS)

ROW_COLUMNS = tl.constexpr(device_plans.ROW_COLUMNS)
STRIP_WORDS = tl.constexpr(device_plans.STRIP_WORDS)


@triton.jit
def _bit_count(words):
    pairs = words - ((words >> 1) & 0x55555555)
    nibbles = (pairs & 0x33333333) + ((pairs >> 2) & 0x33333333)
    octets = (nibbles + (nibbles >> 4)) & 0x0F0F0F0F
    return ((octets * 0x01010101) >> 24).to(tl.int32)


@triton.jit
def _beyond(quads, above, KIND: tl.constexpr):
    """Magnitudes of the values of quads with `above` added: the top bit says that they lie beyond."""
    if KIND == BYTES:
        return (quads & 0x7F7F7F7F) + 0x7F7F7F7F
    elif KIND == HALVES:
        return (quads & 0x7FFF7FFF) + above
    else:
        return (quads & 0x7FFFFFFF) + above


@triton.jit
def _pixels(quads, quad, above, KIND: tl.constexpr, BELOW_ZERO: tl.constexpr):
    """Pixels of units as bits; `quad` numbers the quads (4 bytes) of a unit.

    Values are compared as integers of sign and magnitude, which order floating point numbers as they are:
    adding `above` to a magnitude carries into the top bit where it exceeds the threshold's, or, when the
    threshold is below zero, reaches it. A byte is foreground when any bit of it is set. Pixels of several
    quads are put between each other, and brought side by side.
    """
    beyond = _beyond(quads, above, KIND)
    if KIND == BYTES:  # two quads to a word, four bits apart; a multiplication brings them to its top byte
        on = ((beyond | quads) & 0x80808080) >> (4 - quad % 2 * 4)
        pairs = tl.sum(tl.reshape(on, (quads.shape[0], 2, 2)), axis=2)
        pair = tl.arange(0, 2)[None, :].to(tl.uint32)
        return tl.sum(((pairs * 0x00204081) >> 24) << (8 * pair), axis=1)
    else:
        on = (beyond & quads) ^ 0xFFFFFFFF if BELOW_ZERO else beyond & (quads ^ 0xFFFFFFFF)
        if KIND == HALVES:
            # The pixels of quad j go to bits 2 j and 2 j + 16.
            apart = tl.sum((on & 0x80008000) >> (15 - 2 * quad), axis=1)
            return apart | (apart >> 15)
        else:
            return tl.sum((on >> 31) << quad, axis=1)


@triton.jit
def _owner(firsts, count, COLUMNS: tl.constexpr, program):
    """Which of `count` rows of a table a program belongs to; `firsts` are their first programs, ascending."""
    low, high = 0 * count, count
    while high - low > 1:
        middle = (low + high) // 2
        begun = tl.load(firsts + middle * COLUMNS) <= program
        low, high = tl.where(begun, middle, low), tl.where(begun, high, middle)
    return low


@triton.jit(do_not_specialize=["streams", "first_program", "rows", "above", "nan_above"])
def pack(
    table,
    streams,
    first_program,
    rows,
    above,
    nan_above,
    KIND: tl.constexpr,
    BELOW_ZERO: tl.constexpr,
    UNITS: tl.constexpr,
):
    """The bits of streams, and notes of frames that hold a value that is not a number."""
    program = first_program + tl.program_id(0)
    stream = table + _owner(table + FIRST_OF_STREAM, streams, STREAM_COLUMNS, program) * STREAM_COLUMNS
    QUADS: tl.constexpr = 8 if KIND == FLOATS else 4
    first_unit = (program - tl.load(stream + FIRST_OF_STREAM).to(tl.int32)) * UNITS
    unit = first_unit + tl.arange(0, UNITS)
    quad = tl.arange(0, QUADS)[None, :]
    place = tl.multiple_of(unit * QUADS, QUADS)[:, None] + quad
    readable = tl.multiple_of(tl.load(stream + VECTORS).to(tl.int32) * 4, 4)
    address = tl.load(stream + MEMORY)
    memory = tl.multiple_of(address.to(tl.pointer_type(tl.int32)), 16)
    quads = tl.load(memory + place, mask=place < readable, other=0, eviction_policy="evict_first")
    quads = quads.to(tl.uint32, bitcast=True)
    quad = quad.to(tl.uint32)
    above = above.to(tl.uint32)
    pixels = _pixels(quads, quad, above, KIND, BELOW_ZERO)
    stored = unit < tl.load(stream + STORED).to(tl.int32)
    if KIND == BYTES:
        target = tl.load(stream + TARGET).to(tl.pointer_type(tl.int16))
        tl.store(target + unit, pixels.to(tl.int16), mask=stored)
    else:
        target = tl.load(stream + TARGET).to(tl.pointer_type(tl.int8))
        tl.store(target + unit, pixels.to(tl.int8), mask=stored)
        nan_above = nan_above.to(tl.uint32)
        tops = _beyond(quads, nan_above, KIND) & (0x80008000 if KIND == HALVES else 0x80000000)
        if tl.max(tl.max(tops, axis=1), axis=0) != 0:
            _note_nan(stream, memory, first_unit * QUADS, rows, nan_above, KIND, UNITS * QUADS)


@triton.jit
def _note_nan(stream, memory, first_quad, rows, nan_above, KIND: tl.constexpr, QUADS: tl.constexpr):
    """Note the frames of the values of some quads that are not numbers."""
    EACH: tl.constexpr = 2 if KIND == HALVES else 1
    frame_values = tl.load(stream + FRAME_VALUES).to(tl.int32)
    readable = tl.load(stream + VALUES).to(tl.int32)
    notes = rows + tl.load(stream + NOTES)
    for place in range(first_quad, first_quad + QUADS, 128):
        quad = place + tl.arange(0, 128)
        for half in tl.static_range(EACH):
            value = quad * EACH + half
            inside = value < readable
            quads = tl.load(memory + quad, mask=inside, other=0).to(tl.uint32, bitcast=True)
            top = _beyond(quads, nan_above, KIND) >> (31 if KIND == FLOATS else 15 + 16 * half)
            frame = (value // frame_values).to(tl.int64)
            tl.store(notes + frame * ROW_COLUMNS, tl.full((128,), 1, tl.int64), mask=inside & (top % 2 != 0))


@triton.jit
def _window(bits, place, pixels, keep):
    """A word of a line and the pixel behind it, 33 bits from any bit of a stream on, of every lane.

    Args:
        pixels: how many of them belong to the line.
        keep: ones for these.
    """
    word, shift = bits + (place >> 5), place & 31
    low = tl.load(word, mask=pixels > 0, other=0).to(tl.uint32, bitcast=True)
    high = tl.load(word + 1, mask=shift + pixels > 32, other=0).to(tl.uint32, bitcast=True)
    return ((low.to(tl.uint64) | (high.to(tl.uint64) << 32)) >> shift.to(tl.uint64)) & keep


@triton.jit
def _border(line, below, last_bit, has_below):
    """Boundary bits of words, from their 33 bits and those of the next line, where there is one."""
    here, under = line.to(tl.uint32), below.to(tl.uint32)
    along = (line >> 1).to(tl.uint32) | (here & last_bit)
    diagonal = (below >> 1).to(tl.uint32) | (under & last_bit)
    return (here ^ along) | (((here ^ under) | (here ^ diagonal)) & has_below)


@triton.jit
def _four(first, second, third, fourth):
    """Four words of each lane as its row of a matrix."""
    rows = tl.join(tl.join(first, third), tl.join(second, fourth))
    return tl.reshape(rows, (first.shape[0], 4))


@triton.jit
def _store_four(scratch, place, words, mask):
    """Store four words of each lane side by side, at a place that is a multiple of four."""
    four = _four(words[0], words[1], words[2], words[3]).to(tl.int32, bitcast=True)
    tl.store(scratch + tl.multiple_of(place, 4)[:, None] + tl.arange(0, 4)[None, :], four, mask=mask[:, None])


@triton.jit
def _three(first, second, third):
    """Three small numbers in one, 21 bits each."""
    return first.to(tl.int64) | (second.to(tl.int64) << 21) | (third.to(tl.int64) << 42)


@triton.jit(do_not_specialize=["pieces_at", "pieces", "lists_at", "guard_words", "guard_bands", "rows"])
def outline(
    table,
    pieces_at,
    pieces,
    lists_at,
    guard_words,
    guard_bands,
    rows,
    scratch,
    ROWS: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """Boundary maps, four of the six integers, the truth's area, and the lists of strips with boundary."""
    program = tl.program_id(0)
    piece = table + pieces_at
    piece += _owner(piece + FIRST_OF_PIECE, pieces, PIECE_COLUMNS, program) * PIECE_COLUMNS
    lines = tl.load(piece + LINES).to(tl.int32)
    bits = tl.load(piece + BITS).to(tl.int32)
    programs = tl.load(piece + PROGRAMS).to(tl.int32)
    place = program - tl.load(piece + FIRST_OF_PIECE).to(tl.int32)
    frame = place // programs
    lane = (place - frame * programs) * BLOCK + tl.arange(0, BLOCK)
    words = (bits + 31) // 32 + guard_words
    pitch = ((lines + ROWS - 1) // ROWS + guard_bands) * ROWS
    band = lane // words
    word = lane - band * words
    top = band * ROWS

    # Those of the 33 pixels that belong to the line; in the guards there are none, and nothing is read.
    pixels = tl.where(top < lines, tl.maximum(tl.minimum(bits - word * 32, 33), 0), 0)
    one = tl.full((BLOCK,), 1, tl.uint64)
    keep = (one << pixels.to(tl.uint64)) - 1
    last_bit = ((keep + 1) >> 1).to(tl.uint32)  # none where another pixel follows
    truth = tl.load(piece + TRUTH).to(tl.pointer_type(tl.int32))
    predicted = tl.load(piece + PREDICTED).to(tl.pointer_type(tl.int32))
    truth_pitch = tl.load(piece + TRUTH_PITCH).to(tl.int32)
    predicted_pitch = tl.load(piece + PREDICTED_PITCH).to(tl.int32)
    in_truth = (frame * lines + top) * truth_pitch + word * 32
    in_predicted = (frame * lines + top) * predicted_pitch + word * 32
    first_map = tl.load(piece + FIRST_MAP).to(tl.int32) + frame * 2 * words * pitch
    in_truth_map = tl.multiple_of(first_map + word * pitch + top, 4)
    in_predicted_map = tl.multiple_of(in_truth_map + words * pitch, 4)
    written = top < pitch

    truth_0 = _window(truth, in_truth, pixels, keep)
    predicted_0 = _window(predicted, in_predicted, pixels, keep)
    common = tl.zeros((BLOCK,), tl.int32)
    truth_area = tl.zeros((BLOCK,), tl.int32)
    predicted_area = tl.zeros((BLOCK,), tl.int32)
    truth_border = tl.zeros((BLOCK,), tl.int32)
    predicted_border = tl.zeros((BLOCK,), tl.int32)
    for row in tl.static_range(0, ROWS, 4):
        truth_borders = ()
        predicted_borders = ()
        for step in tl.static_range(4):
            below = tl.where(top + (row + step + 1) < lines, pixels, 0)
            has_below = tl.where(below > 0, 0xFFFFFFFF, 0).to(tl.uint32)
            in_truth += truth_pitch
            in_predicted += predicted_pitch
            truth_1 = _window(truth, in_truth, below, keep)
            predicted_1 = _window(predicted, in_predicted, below, keep)
            on, claimed = truth_0.to(tl.uint32), predicted_0.to(tl.uint32)
            border = _border(truth_0, truth_1, last_bit, has_below)
            truth_border += _bit_count(border)
            truth_borders += (border,)
            border = _border(predicted_0, predicted_1, last_bit, has_below)
            predicted_border += _bit_count(border)
            predicted_borders += (border,)
            common += _bit_count(on & claimed)
            truth_area += _bit_count(on)
            predicted_area += _bit_count(claimed)
            truth_0, predicted_0 = truth_1, predicted_1
        _store_four(scratch, in_truth_map + row, truth_borders, written)
        _store_four(scratch, in_predicted_map + row, predicted_borders, written)

    row_of_frame = tl.load(piece + FIRST_ROW).to(tl.int32) + frame
    counts = rows + row_of_frame.to(tl.int64) * ROW_COLUMNS
    # Three sums at once, of 21 bits each: a program has at most 2**20 pixels on each side.
    areas = tl.sum(_three(common, truth_area, predicted_area), axis=0)
    listed = (truth_border > 0).to(tl.int32) + (predicted_border > 0).to(tl.int32)
    borders = tl.sum(_three(truth_border, predicted_border, listed), axis=0)
    if areas != 0:
        intersection, of_truth = areas & 0x1FFFFF, (areas >> 21) & 0x1FFFFF
        tl.atomic_add(counts + 0, intersection)
        tl.atomic_add(counts + 1, of_truth + (areas >> 42) - intersection)
        tl.atomic_add(counts + 6, of_truth)
    if borders != 0:
        tl.atomic_add(counts + 2, borders & 0x1FFFFF)
        tl.atomic_add(counts + 3, (borders >> 21) & 0x1FFFFF)
        taken = (borders >> 42).to(tl.int32)
        which = tl.load(piece + LIST)
        first = tl.load(table + lists_at + which).to(tl.int32) + tl.atomic_add(scratch + which, taken)
        entry = (first + tl.cumsum(listed) - listed) * STRIP_WORDS
        pitches = tl.zeros_like(lane) + pitch
        column = tl.zeros_like(lane) + row_of_frame * ROW_COLUMNS + 4
        strip = (in_truth_map, in_predicted_map, pitches, column)
        _store_four(scratch, entry, strip, truth_border > 0)
        strip = (in_predicted_map, in_truth_map, pitches, column + 1)
        entry += tl.where(truth_border > 0, STRIP_WORDS, 0)
        _store_four(scratch, entry, strip, predicted_border > 0)


@triton.jit
def _line(column, pitch, distance, WIDE: tl.constexpr):
    """The words before, at and behind a place of a map, of the line at a distance; wide ones are pairs."""
    place = column + distance
    if WIDE:
        first = tl.load(place - 2 * pitch).to(tl.uint32, bitcast=True).to(tl.uint64)
        second = tl.load(place - pitch).to(tl.uint32, bitcast=True).to(tl.uint64)
        third = tl.load(place).to(tl.uint32, bitcast=True).to(tl.uint64)
        fourth = tl.load(place + pitch).to(tl.uint32, bitcast=True).to(tl.uint64)
        fifth = tl.load(place + 2 * pitch).to(tl.uint32, bitcast=True).to(tl.uint64)
        return first | (second << 32), third | (fourth << 32), fifth
    else:
        before = tl.load(place - pitch).to(tl.uint32, bitcast=True)
        middle = tl.load(place).to(tl.uint32, bitcast=True)
        behind = tl.load(place + pitch).to(tl.uint32, bitcast=True)
        return before, middle, behind


@triton.jit
def _widen(before, middle, behind, step, WIDE: tl.constexpr):
    """OR every bit into the places `step` before and behind it."""
    back = (64 if WIDE else 32) - step
    wider_before = before | (before << step) | ((before >> step) | (middle << back))
    wider_middle = middle | ((middle << step) | (before >> back)) | ((middle >> step) | (behind << back))
    wider_behind = behind | ((behind << step) | (middle >> back)) | (behind >> step)
    return wider_before, wider_middle, wider_behind


@triton.jit(do_not_specialize=["lists_at", "lists", "first_list", "rows"])
def match(
    table,
    lists_at,
    lists,
    first_list,
    rows,
    scratch,
    WIDE: tl.constexpr,
    ROWS: tl.constexpr,
    STRIPS: tl.constexpr,
):
    """Boundary pixels of each side within the disk of the other's, for the strips of the lists.

    The Horner scheme of `packed_engine.widening_steps`: the table holds the tolerance of every list, and for
    each of its distances the steps to take after the lines there, a byte each, the first one lowest. A bit
    travels by the tolerance at most, so that one word on each side makes the middle one exact up to 32
    pixels, and two (`WIDE`) up to 64.
    """
    which = first_list + tl.program_id(1)
    length = tl.load(scratch + which)
    of_list = table + lists_at + which
    first = scratch + tl.load(of_list) * STRIP_WORDS
    radius = tl.load(of_list + lists).to(tl.int32)
    codes = table + tl.load(of_list + 2 * lists)
    row = tl.arange(0, ROWS)[None, :]
    for group in range(tl.program_id(0) * STRIPS, length, tl.num_programs(0) * STRIPS):
        index = group + tl.arange(0, STRIPS)
        strip = first + tl.minimum(index, length - 1) * STRIP_WORDS
        own, other, pitch, count = tl.load(strip), tl.load(strip + 1), tl.load(strip + 2), tl.load(strip + 3)
        column, pitch = scratch + other[:, None] + row, pitch[:, None]
        before, middle, behind = _line(column, pitch, 0, WIDE)
        for distance in range(radius + 1):
            if distance > 0:
                before_0, middle_0, behind_0 = _line(column, pitch, -distance, WIDE)
                before_1, middle_1, behind_1 = _line(column, pitch, distance, WIDE)
                before |= before_0 | before_1
                middle |= middle_0 | middle_1
                behind |= behind_0 | behind_1
            code = tl.load(codes + distance)
            while code != 0:
                before, middle, behind = _widen(before, middle, behind, (code & 0xFF).to(before.dtype), WIDE)
                code = code >> 8
        border = tl.load(scratch + own[:, None] + row).to(tl.uint32, bitcast=True)
        met = tl.sum(_bit_count(border & middle.to(tl.uint32)), axis=1)
        tl.atomic_add(rows + count, met.to(tl.int64), mask=(index < length) & (met > 0))
