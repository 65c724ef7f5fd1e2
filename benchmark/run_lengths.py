"""Run lengths of a mask and their COCO text: the numbers between a dense mask and what is stored.

COCO's form: a mask is read column by column; runs of 0 and 1 alternate, starting with 0; run i > 2 is
stored as its difference to run i - 2; each number is written in base 32, least significant digit
first, 5 bits a character from '0', bit 6 meaning "more follows", the sign in the last digit's top bit.
Source: cocodataset/cocoapi, common/maskApi.c (rleToString, rleFrString), commit 8c9bcc3.

Canonical text has no zero-length run except a leading one, so equal masks have equal text, and a mask
without pixels is `None`.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from benchmark.errors import MaskError

Runs = NDArray[np.int64]
"""Alternating run lengths, background first; they sum to H x W."""

MAX_PIXELS = 1 << 31  # a larger frame is an attack or a mistake; also keeps every sum inside int64
MAX_DIGITS = 8  # base-32 digits of one number; 7 hold any run of MAX_PIXELS and its differences


def runs_from_text(text: bytes, height: int, width: int) -> Runs:
    """Run lengths of COCO compressed text, checked against the frame size.

    Raises:
        MaskError: when the text has foreign characters, is truncated, has a negative run, or does not
            sum to `height * width`.
    """
    pixels = height * width
    if height < 1 or width < 1 or pixels > MAX_PIXELS:
        raise MaskError("impossible frame size", found=f"{height}x{width}", expected="1 to 2^31 pixels")
    digits = np.frombuffer(text, np.uint8).astype(np.int64) - 48
    if digits.size == 0:
        raise MaskError("run-length text is empty", expected="COCO compressed counts")
    if int(digits.min()) < 0 or int(digits.max()) > 63:
        raise MaskError("run-length text holds characters that COCO never writes", found=_excerpt(text))
    last = (digits & 32) == 0
    if not last[-1]:
        raise MaskError("run-length text is truncated", found=_excerpt(text))
    ends = np.flatnonzero(last)
    starts = np.concatenate(([0], ends[:-1] + 1))
    lengths = ends - starts + 1
    if int(lengths.max()) > MAX_DIGITS:
        raise MaskError("run-length text holds a number that is too long", found=_excerpt(text))
    place = np.arange(digits.size) - np.repeat(starts, lengths)
    numbers = np.add.reduceat((digits & 31) << (5 * place), starts)
    negative = (digits[ends] & 16) != 0
    numbers -= negative * (np.int64(1) << (5 * lengths))
    if numbers.size > 3:
        numbers[1::2] = np.cumsum(numbers[1::2])
        numbers[2::2] = np.cumsum(numbers[2::2])
    if int(numbers.min()) < 0:
        raise MaskError("run-length text holds a negative run", found=_excerpt(text))
    total = int(numbers.sum())
    if total != pixels:
        raise MaskError(
            "run-length text does not cover its frame",
            expected=f"{pixels} pixels ({height}x{width})",
            found=f"{total} pixels",
        )
    return numbers


def text_from_runs(runs: Runs) -> bytes:
    """COCO compressed text of run lengths, exactly as given (see `canonical_runs`)."""
    numbers = runs.astype(np.int64, copy=True)
    numbers[3:] -= runs[1:-2]
    if numbers.size == 0:
        return b""
    longest = 1
    while np.any((numbers < -(1 << (5 * longest - 1))) | (numbers >= (1 << (5 * longest - 1)))):
        longest += 1
    # Digit k is the last one when what remains above it is only sign extension.
    shifts = 5 * np.arange(longest)
    digits = (numbers[:, None] >> shifts) & 31
    rest = numbers[:, None] >> (shifts + 5)
    done = np.where((digits & 16) != 0, rest == -1, rest == 0)
    last = done.argmax(axis=1)
    position = np.arange(longest)
    characters = digits + 48 + np.where(position < last[:, None], 32, 0)
    kept = characters[position <= last[:, None]]
    return bytes(kept.astype(np.uint8))


def canonical_runs(runs: Runs) -> Runs:
    """The same mask without zero-length runs (except a leading one) and without a trailing one."""
    if runs.size < 2 or np.all(runs[1:] > 0):
        return runs
    value = np.arange(runs.size) & 1
    keep = runs > 0
    values, lengths = value[keep], runs[keep]
    starts = np.flatnonzero(np.concatenate(([True], values[1:] != values[:-1])))
    merged = np.add.reduceat(lengths, starts)
    return np.concatenate(([0], merged)) if values[0] == 1 else merged


def canonical_text(text: bytes | None, height: int, width: int) -> bytes | None:
    """The canonical form of any valid COCO text; `None` if the mask has no pixel.

    Raises:
        MaskError: when the text does not decode to `height * width` pixels.
    """
    if text is None:
        return None
    tidy = canonical_runs(runs_from_text(text, height, width))
    # Always written anew: a number may also have been padded with digits that only repeat its sign.
    return None if tidy.size == 1 else text_from_runs(tidy)


def _excerpt(text: bytes) -> str:
    shown = text[:24].decode("latin-1")
    return repr(shown) + ("..." if len(text) > 24 else "")
