"""The CUDA kernels, in Triton: masks to boundary maps, boundary maps to the six integers.

`outline` reads masks once, in vectors of 16 bytes, and never writes their bits: a lane holds 32 neighbouring
pixels of a line of truth and prediction as one word each, keeps the words of the line before in registers,
counts intersection, union and boundary pixels, and writes the boundary words. `match` dilates one side's
boundary by the disk where the other side has boundary, and counts what it meets.

    line        a row of the frame (tensors) or a column (run-length text); the counts are the same
    word        32 pixels of a line; bit i is pixel 32 k + i; bits past the end of a line are 0
    strip       one word of `ROWS` successive lines: what a lane of `outline` works on. Those that hold
                boundary bits are listed, side by side, for `match`; most do not.
    map         the boundary of one side of a frame: words x pitch, so that the same word of successive
                lines lies side by side and lanes of `match` read neighbours. Guards of zeros, a word or two
                behind every line and bands below the last line, part it from the next map: `match` reads
                across the border of a frame without asking. `pitch` is a multiple of ROWS.
    piece       some frames of a clip: a row at the start of the table, see the columns below
    program     handles BLOCK strips of one frame; the table names its piece

Sums are of integers, so the order in which programs finish, or in which strips are listed, changes nothing.
Importing this module needs Triton; `device_launches` does it only where Triton is.
"""

# mypy: disable-error-code="no-untyped-def, no-untyped-call, misc, untyped-decorator"

from __future__ import annotations

import triton
import triton.language as tl

MAX_RADIUS = 64
WORDS, BOOLS, BYTES, HALVES, FLOATS = (tl.constexpr(kind) for kind in range(5))
"""How masks lie in memory: packed words; bytes of 0 and 1; other bytes; floating point of 16 and 32 bits."""

# Columns of pieces in the table, 64-bit integers.
TRUTH, TRUTH_END, TRUTH_FRAME = (
    tl.constexpr(column) for column in range(3)
)  # address, its end, bytes of a frame
PREDICTED, PREDICTED_END, PREDICTED_FRAME = (tl.constexpr(column) for column in range(3, 6))
LINES, BITS = tl.constexpr(6), tl.constexpr(7)
FIRST_PROGRAM, PROGRAMS = tl.constexpr(8), tl.constexpr(9)  # of the piece; for each of its frames
FIRST_FRAME, FIRST_MAP = tl.constexpr(10), tl.constexpr(11)  # row in `counts`; place in `maps`
LIST = tl.constexpr(12)  # of strips, the one they go to
COLUMNS = tl.constexpr(13)

COUNT_COLUMNS = tl.constexpr(9)
"""The six integers, the truth's area, and whether truth and prediction hold a value that is not a number."""


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
def _pixels(quads, above, KIND: tl.constexpr, BELOW_ZERO: tl.constexpr):
    """Pixels of vectors (BLOCK, 4) of 16 bytes, 16, 8 or 4, as bits.

    Values are compared as integers of sign and magnitude, which order floating point numbers as they are:
    adding `above` to a magnitude carries into the top bit where it exceeds the threshold's, or, when the
    threshold is below zero, reaches it. The top bits are shifted so that those of several quads interleave,
    and a multiplication brings them side by side in the top byte.
    """
    quad = tl.arange(0, 4)[None, :].to(tl.uint32)
    if KIND <= BYTES:
        if KIND == BYTES:
            on = (_beyond(quads, above, KIND) | quads) & 0x80808080
            pairs = tl.reshape(on >> (4 - quad % 2 * 4), (quads.shape[0], 2, 2))
        else:
            pairs = tl.reshape(quads << (quad % 2 * 4), (quads.shape[0], 2, 2))
        octets = (tl.sum(pairs, axis=2) * (0x00204081 if KIND == BYTES else 0x01020408)) >> 24
        return tl.sum(octets << (tl.arange(0, 2)[None, :].to(tl.uint32) * 8), axis=1)
    else:
        beyond = _beyond(quads, above, KIND)
        on = (beyond & quads) ^ 0xFFFFFFFF if BELOW_ZERO else beyond & (quads ^ 0xFFFFFFFF)
        if KIND == HALVES:
            together = tl.sum((on & 0x80008000) >> (6 - quad * 2), axis=1)
            return (together * 0x8001) >> 24
        else:
            return tl.sum((on & 0x80000000) >> (31 - quad), axis=1)


@triton.jit
def _line(side, line, keep, KIND: tl.constexpr, BELOW_ZERO: tl.constexpr):
    """A word of a line and the pixel behind it, 33 bits, of every lane; and whether a NaN may be near.

    Args:
        side: what `_side` returns.
        keep: which of the 33 bits are pixels of the line; none for lines past the last one.
    """
    start, limit, first, pitch, above, nan_above = side
    place = first + line * pitch
    if KIND == WORDS:
        word = tl.load(start + place, mask=keep != 0, other=0).to(tl.uint32, bitcast=True)
        behind = tl.load(start + place + 1, mask=(keep >> 32) != 0, other=0).to(tl.uint32, bitcast=True)
        return (word.to(tl.uint64) | (behind.to(tl.uint64) << 32)) & keep, tl.zeros_like(word)
    else:
        ITEM: tl.constexpr = 4 if KIND == FLOATS else (2 if KIND == HALVES else 1)
        vector = place >> 4
        readable = tl.where(keep != 0, limit - vector, 0)
        # Two hints make each of these one load of 16 bytes.
        vectors = start + tl.multiple_of(vector * 4, 4)[:, None] + tl.arange(0, 4)[None, :]
        window = tl.zeros_like(keep)
        suspect = tl.zeros_like(vector).to(tl.uint32)
        for index in tl.static_range(2 * ITEM + 1):
            quads = tl.load(vectors + 4 * index, mask=(readable > index)[:, None], other=0)
            quads = quads.to(tl.uint32, bitcast=True)
            pixels = _pixels(quads, above, KIND, BELOW_ZERO)
            window |= pixels.to(tl.uint64) << (16 // ITEM * index)
            if KIND == HALVES:
                suspect |= tl.max(_beyond(quads, nan_above, KIND) & 0x80008000, axis=1)
            elif KIND == FLOATS:
                suspect |= tl.max(_beyond(quads, nan_above, KIND) & 0x80000000, axis=1)
        return (window >> ((place & 15) // ITEM).to(tl.uint64)) & keep, suspect


@triton.jit
def _side(address, end, word, bits, above, nan_above, KIND: tl.constexpr):
    """Where the strips of one side of a frame are read.

    Returns the frame's memory as 32-bit words from a 16-byte border on, how many vectors of 16 bytes may be
    read from there, the place of each lane's word in the first line (in bytes; for packed masks in words),
    the distance of two lines, and the thresholds of `_marks`.
    """
    ITEM: tl.constexpr = 4 if KIND == FLOATS else (2 if KIND == HALVES else 1)
    border = address & -16
    start = tl.multiple_of(border.to(tl.pointer_type(tl.int32)), 16)
    limit = tl.minimum((end - border + 15) >> 4, 1 << 27).to(tl.int32)
    lead = (address - border).to(tl.int32)
    if KIND == WORDS:
        return start, limit, lead // 4 + word, (bits + 63) // 64 * 2, above, nan_above
    return start, limit, lead + word * (32 * ITEM), bits * ITEM, above, nan_above


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
def _four_lines(side, line, lines, first, keep, last_bit, KIND: tl.constexpr, BELOW_ZERO: tl.constexpr):
    """Words and boundary words (BLOCK, 4) of four successive lines, and the line after them.

    `first` is what `_line` returned for the first of them.
    """
    one, two = line + 1 < lines, line + 2 < lines
    three, four = line + 3 < lines, line + 4 < lines
    second, suspect_1 = _line(side, line + 1, tl.where(one, keep, 0), KIND, BELOW_ZERO)
    third, suspect_2 = _line(side, line + 2, tl.where(two, keep, 0), KIND, BELOW_ZERO)
    fourth, suspect_3 = _line(side, line + 3, tl.where(three, keep, 0), KIND, BELOW_ZERO)
    fifth, suspect_4 = _line(side, line + 4, tl.where(four, keep, 0), KIND, BELOW_ZERO)
    words = _four(first.to(tl.uint32), second.to(tl.uint32), third.to(tl.uint32), fourth.to(tl.uint32))
    borders = _four(
        _border(first, second, last_bit, tl.where(one, 0xFFFFFFFF, 0).to(tl.uint32)),
        _border(second, third, last_bit, tl.where(two, 0xFFFFFFFF, 0).to(tl.uint32)),
        _border(third, fourth, last_bit, tl.where(three, 0xFFFFFFFF, 0).to(tl.uint32)),
        _border(fourth, fifth, last_bit, tl.where(four, 0xFFFFFFFF, 0).to(tl.uint32)),
    )
    return words, borders, fifth, suspect_1 | suspect_2 | suspect_3 | suspect_4


@triton.jit
def _note_nan(
    note, suspect, address, line, word, lines, bits, nan_above, KIND: tl.constexpr, ROWS: tl.constexpr
):
    """Set `note` if a pixel of the strips is not a number.

    Vectors reach past the end of a line and of a frame, so that those of a suspect are looked at one by one.
    """
    if tl.max(suspect, axis=0) > 0:
        DTYPE: tl.constexpr = tl.int16 if KIND == HALVES else tl.int32
        TOP: tl.constexpr = 15 if KIND == HALVES else 31
        MAGNITUDE: tl.constexpr = (1 << TOP) - 1
        values = address.to(tl.pointer_type(DTYPE))
        above = nan_above.to(tl.uint32) & MAGNITUDE
        bit = word[:, None] * 32 + tl.arange(0, 32)[None, :]
        found = tl.zeros_like(line).to(tl.uint32)
        for row in range(ROWS):
            inside = (line + row < lines)[:, None] & (bit < bits)
            place = (line + row)[:, None] * bits + bit
            magnitude = tl.load(values + place, mask=inside, other=0).to(tl.uint32) & MAGNITUDE
            found = tl.maximum(found, tl.max((magnitude + above) >> TOP, axis=1))
        tl.atomic_max(note, tl.max(found.to(tl.int32), axis=0).to(tl.int64))


@triton.jit(
    do_not_specialize=[
        "programs_at",
        "lists_at",
        "first_program",
        "guard_words",
        "guard_bands",
        "truth_above",
        "truth_nan_above",
        "predicted_above",
        "predicted_nan_above",
    ]
)
def outline(
    table,
    programs_at,
    lists_at,
    first_program,
    guard_words,
    guard_bands,
    maps,
    counts,
    strips,
    lengths,
    truth_above,
    truth_nan_above,
    predicted_above,
    predicted_nan_above,
    TRUTH_KIND: tl.constexpr,
    TRUTH_BELOW_ZERO: tl.constexpr,
    PREDICTED_KIND: tl.constexpr,
    PREDICTED_BELOW_ZERO: tl.constexpr,
    ROWS: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """Boundary maps, four of the six integers, the truth's area, and the lists of strips with boundary."""
    program = first_program + tl.program_id(0)
    piece = table + tl.load(table + programs_at + program) * COLUMNS
    lines = tl.load(piece + LINES).to(tl.int32)
    bits = tl.load(piece + BITS).to(tl.int32)
    programs = tl.load(piece + PROGRAMS).to(tl.int32)
    place = program - tl.load(piece + FIRST_PROGRAM).to(tl.int32)
    frame = place // programs
    lane = (place - frame * programs) * BLOCK + tl.arange(0, BLOCK)
    words = (bits + 31) // 32 + guard_words
    bands = (lines + ROWS - 1) // ROWS + guard_bands
    band = lane // words
    word = lane - band * words
    top = band * ROWS

    # Those of the 33 pixels that belong to the line; in the guards there are none, and nothing is read.
    pixels = tl.maximum(tl.minimum(bits - word * 32, 33), 0).to(tl.uint64)
    one = tl.full((BLOCK,), 1, tl.uint64)
    keep = tl.where(top < lines, (one << pixels) - 1, 0)
    last_bit = tl.where(pixels <= 32, (one << pixels >> 1).to(tl.uint32), 0)
    truth_address = tl.load(piece + TRUTH) + frame * tl.load(piece + TRUTH_FRAME)
    predicted_address = tl.load(piece + PREDICTED) + frame * tl.load(piece + PREDICTED_FRAME)
    truth = _side(
        truth_address, tl.load(piece + TRUTH_END), word, bits, truth_above, truth_nan_above, TRUTH_KIND
    )
    predicted = _side(
        predicted_address,
        tl.load(piece + PREDICTED_END),
        word,
        bits,
        predicted_above,
        predicted_nan_above,
        PREDICTED_KIND,
    )
    pitch = bands * ROWS
    place_of_maps = tl.load(piece + FIRST_MAP) + frame.to(tl.int64) * 2 * words * pitch
    truth_map = tl.multiple_of(maps + place_of_maps, 16)
    predicted_map = tl.multiple_of(truth_map + words * pitch, 16)

    truth_line, truth_suspect = _line(truth, top, keep, TRUTH_KIND, TRUTH_BELOW_ZERO)
    predicted_line, predicted_suspect = _line(predicted, top, keep, PREDICTED_KIND, PREDICTED_BELOW_ZERO)
    intersection = tl.zeros((BLOCK,), tl.int32)
    truth_area = tl.zeros((BLOCK,), tl.int32)
    predicted_area = tl.zeros((BLOCK,), tl.int32)
    truth_border = tl.zeros((BLOCK,), tl.int32)
    predicted_border = tl.zeros((BLOCK,), tl.int32)
    for row in range(0, ROWS, 4):
        line = top + row
        truths, truth_borders, truth_line, suspect = _four_lines(
            truth, line, lines, truth_line, keep, last_bit, TRUTH_KIND, TRUTH_BELOW_ZERO
        )
        truth_suspect |= suspect
        predictions, predicted_borders, predicted_line, suspect = _four_lines(
            predicted, line, lines, predicted_line, keep, last_bit, PREDICTED_KIND, PREDICTED_BELOW_ZERO
        )
        predicted_suspect |= suspect
        in_map = tl.multiple_of(word * pitch + line, 4)[:, None] + tl.arange(0, 4)[None, :]
        written = (line < pitch)[:, None]
        tl.store(truth_map + in_map, truth_borders.to(tl.int32, bitcast=True), mask=written)
        tl.store(predicted_map + in_map, predicted_borders.to(tl.int32, bitcast=True), mask=written)
        intersection += tl.sum(_bit_count(truths & predictions), axis=1)
        truth_area += tl.sum(_bit_count(truths), axis=1)
        predicted_area += tl.sum(_bit_count(predictions), axis=1)
        truth_border += tl.sum(_bit_count(truth_borders), axis=1)
        predicted_border += tl.sum(_bit_count(predicted_borders), axis=1)

    frame_in_counts = (tl.load(piece + FIRST_FRAME) + frame).to(tl.int32)
    row_of_counts = counts + frame_in_counts.to(tl.int64) * COUNT_COLUMNS
    common, truth_pixels = tl.sum(intersection), tl.sum(truth_area)
    union = truth_pixels + tl.sum(predicted_area) - common
    if union > 0:
        tl.atomic_add(row_of_counts + 0, common.to(tl.int64))
        tl.atomic_add(row_of_counts + 1, union.to(tl.int64))
        tl.atomic_add(row_of_counts + 6, truth_pixels.to(tl.int64))
    of_truth, of_prediction = (truth_border > 0).to(tl.int32), (predicted_border > 0).to(tl.int32)
    listed = tl.sum(of_truth + of_prediction)
    if listed > 0:
        tl.atomic_add(row_of_counts + 2, tl.sum(truth_border).to(tl.int64))
        tl.atomic_add(row_of_counts + 3, tl.sum(predicted_border).to(tl.int64))
        which = tl.load(piece + LIST)
        taken = tl.atomic_add(lengths + which, listed) + tl.load(table + lists_at + which)
        before = tl.cumsum(of_truth + of_prediction) - of_truth - of_prediction
        target = strips + tl.multiple_of((taken + before) * 4, 4)[:, None]
        in_truth_map = place_of_maps.to(tl.int32) + word * pitch + top
        in_predicted_map = in_truth_map + words * pitch
        pitches = tl.zeros_like(top) + pitch
        count = tl.zeros_like(top) + frame_in_counts * COUNT_COLUMNS + 4
        field = tl.arange(0, 4)[None, :]
        strip = _four(in_truth_map, in_predicted_map, pitches, count)
        tl.store(target + field, strip, mask=(of_truth > 0)[:, None])
        strip = _four(in_predicted_map, in_truth_map, pitches, count + 1)
        tl.store(target + 4 * of_truth[:, None] + field, strip, mask=(of_prediction > 0)[:, None])
    if TRUTH_KIND >= HALVES:
        _note_nan(
            row_of_counts + 7,
            truth_suspect,
            truth_address,
            top,
            word,
            lines,
            bits,
            truth_nan_above,
            TRUTH_KIND,
            ROWS,
        )
    if PREDICTED_KIND >= HALVES:
        _note_nan(
            row_of_counts + 8,
            predicted_suspect,
            predicted_address,
            top,
            word,
            lines,
            bits,
            predicted_nan_above,
            PREDICTED_KIND,
            ROWS,
        )


@triton.jit
def _word(words):
    return tl.load(words).to(tl.uint32, bitcast=True)


@triton.jit
def _three(before, middle, behind, distance, pitch, WIDE: tl.constexpr):
    """A word of a map with those before and behind it; with `WIDE`, each with the next one on top of it."""
    if WIDE:
        low = _word(before - pitch + distance).to(tl.uint64)
        high = _word(before + distance).to(tl.uint64)
        low_1 = _word(middle + distance).to(tl.uint64)
        high_1 = _word(behind + distance).to(tl.uint64)
        low_2 = _word(behind + pitch + distance).to(tl.uint64)
        return low | (high << 32), low_1 | (high_1 << 32), low_2
    else:  # not a second `return` alone: the two have other dtypes, and only one may be compiled
        return _word(before + distance), _word(middle + distance), _word(behind + distance)


@triton.jit
def _gather(before, middle, behind, places, distance, WIDE: tl.constexpr):
    """OR the lines at a distance, above and below, to the three words."""
    above = _three(places[0], places[1], places[2], -distance, places[3], WIDE)
    below = _three(places[0], places[1], places[2], distance, places[3], WIDE)
    return before | above[0] | below[0], middle | above[1] | below[1], behind | above[2] | below[2]


@triton.jit
def _widen(before, middle, behind, step, WIDE: tl.constexpr):
    """OR every bit into the places `step` before and behind it."""
    step = tl.full((1, 1), step, before.dtype)
    back = (64 if WIDE else 32) - step
    wider_before = before | (before << step) | ((before >> step) | (middle << back))
    wider_middle = middle | ((middle << step) | (before >> back)) | ((middle >> step) | (behind << back))
    wider_behind = behind | ((behind << step) | (middle >> back)) | (behind >> step)
    return wider_before, wider_middle, wider_behind


@triton.jit(do_not_specialize=["lists_at", "lists", "first_list"])
def match(
    table,
    lists_at,
    lists,
    first_list,
    maps,
    counts,
    strips,
    lengths,
    PLAN: tl.constexpr,
    WIDE: tl.constexpr,
    ROWS: tl.constexpr,
    STRIPS: tl.constexpr,
):
    """Boundary pixels of each side within the disk of the other's, for the strips of the lists.

    The Horner scheme of `packed_engine.widening_steps`. `PLAN` holds the steps when all strips have one
    tolerance, which unrolls the disk; else the table does: of every list, where its strips begin, its
    tolerance, and where its plan lies, which says where the steps after the lines at each distance begin.
    A bit travels by the tolerance at most, so that one word on each side makes the middle one exact up to
    32 pixels, and two (`WIDE`) up to 64.
    """
    which = first_list + tl.program_id(1)
    length = tl.load(lengths + which)
    of_list = table + lists_at + which
    first = strips + tl.load(of_list) * 4
    for group in range(tl.program_id(0) * STRIPS, length, tl.num_programs(0) * STRIPS):
        index = group + tl.arange(0, STRIPS)
        strip = first + tl.minimum(index, length - 1) * 4
        own, other, pitch, count = tl.load(strip), tl.load(strip + 1), tl.load(strip + 2), tl.load(strip + 3)
        row, pitch = tl.arange(0, ROWS)[None, :], pitch[:, None]
        column = maps + other[:, None] + row
        places = (column - pitch, column, column + pitch, pitch)
        before, middle, behind = _three(places[0], column, places[2], 0, pitch, WIDE)
        if PLAN is None:
            radius = tl.load(of_list + lists).to(tl.int32)
            plan = table + tl.load(of_list + 2 * lists)
            for distance in range(radius + 1):
                if distance > 0:
                    before, middle, behind = _gather(before, middle, behind, places, distance, WIDE)
                for place in range(tl.load(plan + distance), tl.load(plan + distance + 1)):
                    before, middle, behind = _widen(before, middle, behind, tl.load(table + place), WIDE)
        else:
            for distance in tl.static_range(len(PLAN)):
                if distance > 0:
                    before, middle, behind = _gather(before, middle, behind, places, distance, WIDE)
                for place in tl.static_range(len(PLAN[distance])):
                    before, middle, behind = _widen(before, middle, behind, PLAN[distance][place], WIDE)
        border = tl.load(maps + own[:, None] + row).to(tl.uint32, bitcast=True)
        met = tl.sum(_bit_count(border & middle.to(tl.uint32)), axis=1)
        tl.atomic_add(counts + count, met.to(tl.int64), mask=(index < length) & (met > 0))
