"""The CUDA kernels, in Triton: masks to bits, and bits to the six integers.

`pack_values` and `pack_bytes` read masks once and write one bit a pixel; `count_tiles` derives the
boundary, dilates it by the disk and counts, all in registers. Layout and words are those of
`packed_tensors`. Importing this module needs Triton; `device_engine` does it only where Triton is.

A tile is `BLOCK` neighbouring words of one pair. Each word is worked on with the word before and the
word behind it in its line, which makes the middle one exact for tolerances up to 64 pixels: a bit
travels by `radius` at most, and the outer words hold all bits that can reach the middle one. Tiles
without boundary bits (most of them, on real masks) skip the disk.
"""

# mypy: disable-error-code="no-untyped-def, no-untyped-call, misc, untyped-decorator"

from __future__ import annotations

import triton
import triton.language as tl

MAX_RADIUS = 64


@triton.jit
def pack_values(
    values,
    words,
    unclear,
    frame_stride,
    line_stride,
    pixel_stride,
    total,
    lines,
    bits,
    halves,
    threshold,
    IS_FLOAT: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """Masks of any dtype and strides to `total` half words of 32 bits, `halves` to a line.

    `unclear[frame]` becomes 1 where a value is not a number.
    """
    half = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    inside = half < total
    frame = half // (lines * halves)
    line = (half // halves) % lines
    place = tl.arange(0, 32)
    pixel = (half % halves)[:, None] * 32 + place[None, :]
    address = frame * frame_stride + line * line_stride
    value = tl.load(
        values + address[:, None] + pixel * pixel_stride, mask=inside[:, None] & (pixel < bits), other=0
    )
    if IS_FLOAT:
        number = value.to(tl.float32)
        wrong = tl.max((number != number).to(tl.int32), axis=1)
        tl.atomic_max(unclear + frame, wrong, mask=inside & (wrong > 0))
        # Pixels past the end of a line were read as 0, which may lie above the threshold.
        on = (number > threshold) & (pixel < bits)
    else:
        on = value != 0
    packed = tl.sum(on.to(tl.uint32) << place[None, :].to(tl.uint32), axis=1)
    tl.store(words + half, packed.to(tl.int32, bitcast=True), mask=inside)


@triton.jit
def pack_bytes(quads, words, total, lines_quads, halves, ZERO_OR_ONE: tl.constexpr, BLOCK: tl.constexpr):
    """Masks of bytes in contiguous lines of `4 * lines_quads` pixels, read four pixels at a time."""
    half = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    inside = half < total
    group = tl.arange(0, 8)
    quad = (half % halves)[:, None] * 8 + group[None, :]
    address = (half // halves)[:, None] * lines_quads + quad
    four = tl.load(quads + address, mask=inside[:, None] & (quad < lines_quads), other=0)
    four = four.to(tl.uint32, bitcast=True)
    if not ZERO_OR_ONE:
        # The top bit of a byte becomes "not zero".
        four = (((four & 0x7F7F7F7F) + 0x7F7F7F7F) | four) >> 7
        four = four & 0x01010101
    nibble = (four * 0x01020408) >> 24  # the four lowest bits side by side
    packed = tl.sum((nibble & 15) << (4 * group[None, :]).to(tl.uint32), axis=1)
    tl.store(words + half, packed.to(tl.int32, bitcast=True), mask=inside)


@triton.jit
def _word(words, line, word, lines, per_line):
    inside = (line >= 0) & (line < lines) & (word >= 0) & (word < per_line)
    return tl.load(words + line * per_line + word, mask=inside, other=0).to(tl.uint64, bitcast=True)


@triton.jit
def _border(here, behind, below, below_behind, last_bit):
    """Boundary bits of a word, from the word behind it and the two on the next line."""
    # Bits past the end of a line are 0, so that the last one only has to be repeated.
    along = (here >> 1) | (behind << 63) | (here & last_bit)
    diagonal = (below >> 1) | (below_behind << 63) | (below & last_bit)
    return (here ^ below) | (here ^ along) | (here ^ diagonal)


@triton.jit
def _bit_count(words):
    pairs = words - ((words >> 1) & 0x5555555555555555)
    nibbles = (pairs & 0x3333333333333333) + ((pairs >> 2) & 0x3333333333333333)
    octets = (nibbles + (nibbles >> 4)) & 0x0F0F0F0F0F0F0F0F
    return ((octets * 0x0101010101010101) >> 56).to(tl.int32)


@triton.jit
def _reached(words, line, word, lines, per_line, last_0, last_1, last_2, radius, plan, steps):
    """Bits of each word that lie within the disk of a boundary bit of the map `words`.

    The Horner scheme of `packed_engine.widening_steps`: `plan[d] .. plan[d + 1]` are the steps to take
    after the lines at distance d.
    """
    # Words word - 1 .. word + 2 of the line itself, and of the line below it.
    up_0 = _word(words, line, word - 1, lines, per_line)
    up_1 = _word(words, line, word, lines, per_line)
    up_2 = _word(words, line, word + 1, lines, per_line)
    up_3 = _word(words, line, word + 2, lines, per_line)
    below = tl.minimum(line + 1, lines - 1)
    down_0 = _word(words, below, word - 1, lines, per_line)
    down_1 = _word(words, below, word, lines, per_line)
    down_2 = _word(words, below, word + 1, lines, per_line)
    down_3 = _word(words, below, word + 2, lines, per_line)
    in_line = word > 0  # before the first word of a line there is nothing, though its first bit may be set
    before = tl.where(in_line, _border(up_0, up_1, down_0, down_1, last_0), 0)
    middle = _border(up_1, up_2, down_1, down_2, last_1)
    behind = _border(up_2, up_3, down_2, down_3, last_2)
    for distance in range(radius + 1):
        if distance > 0:
            # Downwards: the line at `distance` was read before, the one below it is new.
            below = tl.minimum(line + distance + 1, lines - 1)
            new_0 = _word(words, below, word - 1, lines, per_line)
            new_1 = _word(words, below, word, lines, per_line)
            new_2 = _word(words, below, word + 1, lines, per_line)
            new_3 = _word(words, below, word + 2, lines, per_line)
            inside = line + distance < lines
            before |= tl.where(inside & in_line, _border(down_0, down_1, new_0, new_1, last_0), 0)
            middle |= tl.where(inside, _border(down_1, down_2, new_1, new_2, last_1), 0)
            behind |= tl.where(inside, _border(down_2, down_3, new_2, new_3, last_2), 0)
            down_0, down_1, down_2, down_3 = new_0, new_1, new_2, new_3
            # Upwards: the line at `distance` is new, the one below it was read before.
            above = line - distance
            new_0 = _word(words, above, word - 1, lines, per_line)
            new_1 = _word(words, above, word, lines, per_line)
            new_2 = _word(words, above, word + 1, lines, per_line)
            new_3 = _word(words, above, word + 2, lines, per_line)
            inside = above >= 0
            before |= tl.where(inside & in_line, _border(new_0, new_1, up_0, up_1, last_0), 0)
            middle |= tl.where(inside, _border(new_1, new_2, up_1, up_2, last_1), 0)
            behind |= tl.where(inside, _border(new_2, new_3, up_2, up_3, last_2), 0)
            up_0, up_1, up_2, up_3 = new_0, new_1, new_2, new_3
        first = tl.load(plan + distance)
        last = tl.load(plan + distance + 1)
        for index in range(first, last):
            step = tl.load(steps + index).to(tl.uint64)
            back = 64 - step
            wider_before = before | (before << step) | (before >> step) | (middle << back)
            wider_middle = middle | (middle << step) | (before >> back) | (middle >> step) | (behind << back)
            behind = behind | (behind << step) | (middle >> back) | (behind >> step)
            before = wider_before
            middle = wider_middle
    return middle


@triton.jit
def count_tiles(
    truth,
    predicted,
    pair_of_tile,
    first_tile,
    first_word,
    line_count,
    bit_count,
    radius_of,
    plan_of,
    plans,
    steps,
    counts,
    BLOCK: tl.constexpr,
):
    """Adds the six integers of one tile, and the truth's area, to `counts[pair]` (seven columns).

    The sums are of integers, so the order of the tiles cannot matter.
    """
    tile = tl.program_id(0)
    pair = tl.load(pair_of_tile + tile)
    lines = tl.load(line_count + pair)
    bits = tl.load(bit_count + pair)
    base = tl.load(first_word + pair)
    per_line = (bits + 63) // 64
    place = (tile - tl.load(first_tile + pair)) * BLOCK + tl.arange(0, BLOCK)
    inside = place < lines * per_line
    line = place // per_line
    word = place % per_line
    line = tl.where(inside, line, lines + 1)  # reads nothing
    truth += base
    predicted += base
    # The last bit of a line has no successor; these mark it in the words before, here and behind.
    mark = tl.full((BLOCK,), 1, tl.uint64) << ((bits - 1) % 64).to(tl.uint64)
    none = tl.zeros((BLOCK,), tl.uint64)
    last_0 = tl.where(word - 1 == per_line - 1, mark, none)
    last_1 = tl.where(word == per_line - 1, mark, none)
    last_2 = tl.where(word + 1 == per_line - 1, mark, none)
    below = tl.where(inside, tl.minimum(line + 1, lines - 1), lines + 1)

    in_truth = _word(truth, line, word, lines, per_line)
    truth_border = _border(
        in_truth,
        _word(truth, line, word + 1, lines, per_line),
        _word(truth, below, word, lines, per_line),
        _word(truth, below, word + 1, lines, per_line),
        last_1,
    )
    in_predicted = _word(predicted, line, word, lines, per_line)
    predicted_border = _border(
        in_predicted,
        _word(predicted, line, word + 1, lines, per_line),
        _word(predicted, below, word, lines, per_line),
        _word(predicted, below, word + 1, lines, per_line),
        last_1,
    )
    union = tl.sum(_bit_count(in_truth | in_predicted))
    truth_bits = tl.sum(_bit_count(truth_border))
    predicted_bits = tl.sum(_bit_count(predicted_border))
    if union + truth_bits + predicted_bits > 0:
        row = counts + pair.to(tl.int64) * 7
        tl.atomic_add(row + 0, tl.sum(_bit_count(in_truth & in_predicted)))
        tl.atomic_add(row + 1, union)
        tl.atomic_add(row + 2, truth_bits)
        tl.atomic_add(row + 3, predicted_bits)
        tl.atomic_add(row + 6, tl.sum(_bit_count(in_truth)))
        radius = tl.load(radius_of + pair)
        plan = plans + tl.load(plan_of + pair)
        if truth_bits > 0:
            near = _reached(
                predicted, line, word, lines, per_line, last_0, last_1, last_2, radius, plan, steps
            )
            tl.atomic_add(row + 4, tl.sum(_bit_count(truth_border & near)))
        if predicted_bits > 0:
            near = _reached(truth, line, word, lines, per_line, last_0, last_1, last_2, radius, plan, steps)
            tl.atomic_add(row + 5, tl.sum(_bit_count(predicted_border & near)))
