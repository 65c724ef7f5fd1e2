"""Masks as bits in torch tensors of 64-bit words, on any device: packing, boundary, disk, counting.

    N masks    L lines of a mask    B bits of a line    K = ceil(B / 64) words of a line

Bit i of word k is pixel 64 k + i of its line; bits past the end of a line are 0. A line is an image row
when masks come as tensors and an image column when they come as run-length text (which runs down the
columns): neither the boundary rule nor the disk changes when a frame is transposed. This is
`packed_engine` for many masks at once and without a word of NumPy; `triton_kernels` does the same in
registers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from benchmark.metrics.packed_engine import widening_steps

if TYPE_CHECKING:
    from torch import Tensor

WORD_BITS = 64


class Packed(NamedTuple):
    """`words` (N, L, K) int64, and `unclear` (N,) bool: frames that hold a value that is not a number."""

    words: Tensor
    unclear: Tensor


def words_per_line(bits: int) -> int:
    """Words that hold a line of `bits` pixels."""
    return (bits + WORD_BITS - 1) // WORD_BITS


def pack(masks: Tensor, threshold: float) -> Packed:
    """Bits of (N, L, B) masks: non-zero for bool and uint8, above `threshold` for floating point."""
    import torch

    count, lines, bits = masks.shape
    if masks.dtype.is_floating_point:
        unclear = torch.isnan(masks).flatten(1).any(dim=1)
        pixels = masks > threshold
    else:
        unclear = torch.zeros(count, dtype=torch.bool, device=masks.device)
        pixels = masks != 0
    words = words_per_line(bits)
    padded = torch.zeros((count, lines, words * WORD_BITS), dtype=torch.uint8, device=masks.device)
    padded[:, :, :bits] = pixels
    places = torch.tensor([1 << place for place in range(8)], dtype=torch.uint8, device=masks.device)
    as_bytes = (padded.view(count, lines, words * 8, 8) * places).sum(dim=3, dtype=torch.uint8)
    # The bytes of a word are least significant first on every device that torch runs on.
    return Packed(as_bytes.view(torch.int64).view(count, lines, words), unclear)


def lines_from_borders(borders: Tensor, owners: Tensor, count: int, lines: int, bits: int) -> Tensor:
    """Bits (N, L, K) of masks given by the borders of their runs.

    Args:
        borders: (M,) int64 positions in the column-major frame at which the value changes, strictly
            increasing within a mask; a position equal to L x B (the end of the frame) is left out.
        owners: (M,) int64, the mask of each border.
    """
    import torch

    words = words_per_line(bits)
    line, bit = borders // bits, borders % bits
    place = (owners * lines + line) * words + bit // WORD_BITS
    one = torch.ones((), dtype=torch.int64, device=borders.device)
    toggles = torch.zeros(count * lines * words, dtype=torch.int64, device=borders.device)
    toggles.index_add_(0, place, one << (bit % WORD_BITS))  # distinct bits: the sum is their union
    changes = bit_count(toggles).view(count, lines * words) & 1
    for distance in (1, 2, 4, 8, 16, 32):  # each bit becomes the parity of the borders up to it
        toggles ^= toggles << distance
    before = ((changes.cumsum(dim=1) - changes) & 1).view(-1)
    filled = (toggles ^ -before).view(count, lines, words)
    spare = words * WORD_BITS - bits
    if spare:
        filled[:, :, -1] &= (1 << (WORD_BITS - spare)) - 1
    return filled


def boundary(words: Tensor, bits: int) -> Tensor:
    """Boundary bits (N, L, K) of packed masks; see `definition.boundary_map`."""
    import torch

    following = torch.cat((words[:, 1:], words[:, -1:]), dim=1)
    along, diagonal = _next_bit(words, bits), _next_bit(following, bits)
    return (words ^ following) | (words ^ along) | (words ^ diagonal)


def dilate(borders: Tensor, radius: int) -> Tensor:
    """Bits within the disk of a set bit, for (N, L, K) packed maps; the same scheme as `packed_engine`."""
    import torch

    count, lines, words = borders.shape
    guard = radius // WORD_BITS + 1  # zero words around every line: bits that leave it must come back
    wide = torch.zeros((count, lines, words + 2 * guard), dtype=torch.int64, device=borders.device)
    wide[:, :, guard : guard + words] = borders
    reached = wide.clone()
    for shift, steps in enumerate(widening_steps(radius)):
        if 0 < shift < lines:
            reached[:, :-shift] |= wide[:, shift:]
            reached[:, shift:] |= wide[:, :-shift]
        for step in steps:
            reached = _widen(reached, step)
    return reached[:, :, guard : guard + words]


class Outlined(NamedTuple):
    """Packed masks (N, L, K) with their boundaries and what those reach: all that one side contributes."""

    words: Tensor
    border: Tensor
    reached: Tensor


def outlined(words: Tensor, bits: int, radius: int) -> Outlined:
    """Boundary and dilated boundary of packed masks."""
    border = boundary(words, bits)
    return Outlined(words, border, dilate(border, radius))


def count_outlined(truth: Outlined, predicted: Outlined) -> Tensor:
    """The six integers and the truth's area, (N, 7) int64, on the masks' device."""
    import torch

    maps = (
        truth.words & predicted.words,
        truth.words | predicted.words,
        truth.border,
        predicted.border,
        truth.border & predicted.reached,
        predicted.border & truth.reached,
        truth.words,
    )
    if not truth.words.shape[0]:
        return torch.zeros((0, len(maps)), dtype=torch.int64, device=truth.words.device)
    return torch.stack([bit_count(words).flatten(1).sum(dim=1) for words in maps], dim=1)


def bit_count(words: Tensor) -> Tensor:
    """Set bits of every int64 word."""
    pairs = words - ((words >> 1) & 0x5555555555555555)
    nibbles = (pairs & 0x3333333333333333) + ((pairs >> 2) & 0x3333333333333333)
    octets = (nibbles + (nibbles >> 4)) & 0x0F0F0F0F0F0F0F0F
    return (octets * 0x0101010101010101) >> 56


def _next_bit(words: Tensor, bits: int) -> Tensor:
    """Each bit's successor in its line; the last bit is followed by itself."""
    result = _down(words, 1)
    last = 1 << ((bits - 1) % WORD_BITS)
    last = last - (1 << WORD_BITS) if last >= 1 << (WORD_BITS - 1) else last  # as a signed word
    result[:, :, -1] = (result[:, :, -1] & ~last) | (words[:, :, -1] & last)
    return result


def _widen(words: Tensor, step: int) -> Tensor:
    """OR every bit into the places `step` before and behind it."""
    return words | _up(words, step) | _down(words, step)


def _up(words: Tensor, step: int) -> Tensor:
    moved = words << step
    moved[:, :, 1:] |= (words[:, :, :-1] >> (WORD_BITS - step)) & ((1 << step) - 1)
    return moved


def _down(words: Tensor, step: int) -> Tensor:
    # `>>` repeats the sign of a word; the mask makes it a shift of bits.
    moved = (words >> step) & ((1 << (WORD_BITS - step)) - 1)
    moved[:, :, :-1] |= words[:, :, 1:] << (WORD_BITS - step)
    return moved
