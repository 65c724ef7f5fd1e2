"""Many run-length texts of one frame size at once: bring a whole track to canonical form quickly.

A single text costs tens of microseconds in NumPy, most of it call overhead, and a split holds millions.
Here the texts of a track are joined and judged by one set of array operations; only texts that are not
canonical already (rare: COCO's own encoder writes canonical text) go through `benchmark.masks`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from benchmark.errors import MaskError
from benchmark.masks import MAX_DIGITS, canonical_text


class CanonicalTexts(NamedTuple):
    """Canonical texts in the order given, and the reason for each position that has none."""

    texts: tuple[bytes | None, ...]
    errors: dict[int, MaskError]


def canonical_texts(texts: Sequence[bytes | None], height: int, width: int) -> CanonicalTexts:
    """The canonical form of every text; a text that does not decode becomes `None` with its error.

    Equal to calling `benchmark.masks.canonical_text` on each one.
    """
    present = [(index, text) for index, text in enumerate(texts) if text]
    tidy = are_canonical([text for _, text in present], height, width)
    result = list(texts)
    errors: dict[int, MaskError] = {}
    doubtful = [index for (index, _), good in zip(present, tidy.tolist(), strict=True) if not good]
    empty = [index for index, text in enumerate(texts) if text == b""]
    for index in sorted(doubtful + empty):
        try:
            result[index] = canonical_text(texts[index], height, width)
        except MaskError as error:
            result[index] = None
            errors[index] = error
    return CanonicalTexts(tuple(result), errors)


def are_canonical(texts: Sequence[bytes], height: int, width: int) -> NDArray[np.bool_]:
    """Per non-empty text, True only if it is valid, canonical and holds a pixel.

    False may also mean "cannot tell from the batch": one text that breaks the number structure makes the
    whole batch False, so that each text is then judged on its own.
    """
    if not texts:
        return np.zeros(0, dtype=bool)
    undecided = np.zeros(len(texts), dtype=bool)
    digits = np.frombuffer(b"".join(texts), np.uint8) - np.uint8(48)  # smaller characters wrap above 63
    text_ends = np.cumsum([len(text) for text in texts])
    is_last = (digits & 32) == 0
    if digits.max() > 63 or not is_last[text_ends - 1].all():
        return undecided
    ends = np.flatnonzero(is_last)
    starts = np.concatenate(([0], ends[:-1] + 1))
    lengths = ends - starts + 1
    longest = int(lengths.max())
    if longest > MAX_DIGITS:
        return undecided
    first = np.concatenate(([0], np.searchsorted(ends, text_ends)[:-1]))
    counts = np.diff(np.append(first, ends.size))
    numbers = _numbers(digits, starts, ends, lengths, longest)
    position = np.arange(numbers.size) - np.repeat(first, counts)
    runs = _undo_differences(numbers, first, counts, position)
    text_of = np.repeat(np.arange(len(texts)), counts)
    wrong = (runs < 0) | ((runs == 0) & (position > 0)) | _is_padded(digits, ends, lengths)
    bad = np.bincount(text_of[wrong], minlength=len(texts)) > 0
    sums = np.add.reduceat(runs, first)
    result: NDArray[np.bool_] = ~bad & (sums == height * width) & (counts >= 2)
    return result


def _numbers(
    digits: NDArray[np.uint8],
    starts: NDArray[np.int64],
    ends: NDArray[np.int64],
    lengths: NDArray[np.int64],
    longest: int,
) -> NDArray[np.int64]:
    numbers = (digits[starts] & 31).astype(np.int64)
    for place in range(1, longest):
        reaching = np.flatnonzero(lengths > place)
        numbers[reaching] += (digits[starts[reaching] + place] & 31).astype(np.int64) << (5 * place)
    negative = np.flatnonzero(digits[ends] & 16)
    numbers[negative] -= np.int64(1) << (5 * lengths[negative])
    return numbers


def _undo_differences(
    numbers: NDArray[np.int64],
    first: NDArray[np.int64],
    counts: NDArray[np.int64],
    position: NDArray[np.int64],
) -> NDArray[np.int64]:
    """Runs of each text: from its fourth number on, a number is a difference to the one two before."""
    summed = np.empty_like(numbers)
    summed[0::2] = np.cumsum(numbers[0::2])
    summed[1::2] = np.cumsum(numbers[1::2])
    # What had been summed before the chain of odd (even) positions of a text began.
    final = numbers.size - 1
    odd, even = np.minimum(first + 1, final), np.minimum(first + 2, final)
    before = np.where(
        position & 1,
        np.repeat(summed[odd] - numbers[odd], counts),
        np.repeat(summed[even] - numbers[even], counts),
    )
    runs: NDArray[np.int64] = summed - before
    runs[first] = numbers[first]
    return runs


def _is_padded(
    digits: NDArray[np.uint8], ends: NDArray[np.int64], lengths: NDArray[np.int64]
) -> NDArray[np.bool_]:
    """Numbers whose last digit only repeats the sign: the same value has a shorter text."""
    top = digits[ends] & 31
    sign_before = digits[np.maximum(ends - 1, 0)] & 16
    padded: NDArray[np.bool_] = (lengths > 1) & (
        ((top == 0) & (sign_before == 0)) | ((top == 31) & (sign_before != 0))
    )
    return padded
