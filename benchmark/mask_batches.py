"""Many run-length texts of one frame size at once: canonical form, union and writing of whole tracks.

A single text costs tens of microseconds in NumPy, most of it call overhead, and a split holds millions.
Here the texts of a track are treated at once: by the compiled part of the package, or, where that was not
built, joined and by one set of array operations; only texts that are not canonical already then go through
`benchmark.run_lengths`. The texts that come out are the same.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from benchmark.errors import MaskError
from benchmark.run_lengths import MAX_DIGITS, MAX_PIXELS, Runs, canonical_runs, canonical_text, runs_from_text

try:
    from benchmark import _run_texts as _compiled
except ImportError:  # not built: no compiler at installation, or the sources are used uninstalled
    _JOIN = None
else:
    _JOIN = _compiled.join


class CanonicalTexts(NamedTuple):
    """Canonical texts in the order given, and the reason for each position that has none."""

    texts: tuple[bytes | None, ...]
    errors: dict[int, MaskError]


def canonical_texts(texts: Sequence[bytes | None], height: int, width: int) -> CanonicalTexts:
    """The canonical form of every text; a text that does not decode becomes `None` with its error.

    Equal to calling `benchmark.run_lengths.canonical_text` on each one.
    """
    if _JOIN and 0 < height * width <= MAX_PIXELS and min(height, width) > 0:
        joined, malformed = _JOIN((tuple(texts),), height * width)
        return CanonicalTexts(joined, {index: _fault(texts[index], height, width) for index in malformed})
    present = [(index, text) for index, text in enumerate(texts) if text]
    tidy = _canonical_runs_of([text for _, text in present], height, width).canonical
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


def union_of_texts(
    tracks: Sequence[Sequence[bytes | None]], height: int, width: int
) -> tuple[bytes | None, ...]:
    """Frame by frame, the canonical text of the union of several tracks of one size and length.

    Raises:
        MaskError: when a text does not decode to `height * width` pixels; `where` names the position.
    """
    if len(tracks) == 1:
        return _all_canonical(tracks[0], height, width)
    pixels = height * width
    if _JOIN and 0 < pixels <= MAX_PIXELS and min(height, width) > 0:
        joined, malformed = _JOIN(tuple(tuple(track) for track in tracks), pixels)
        if not malformed:
            return joined
    stride = pixels + 1  # one more, so that a run at the end of a frame does not touch the next frame
    starts, ends = [], []
    for track in tracks:
        frames = [index for index, text in enumerate(track) if text is not None]
        texts = [text for text in track if text is not None]
        for runs in _borders(frames, texts, height, width, stride):
            starts.append(runs[0])
            ends.append(runs[1])
    length = len(tracks[0])
    if not sum(part.size for part in starts):
        return (None,) * length
    opened, closed = _merged(np.sort(np.concatenate(starts)), np.sort(np.concatenate(ends)))
    frame_of = opened // stride
    per_frame = np.bincount(frame_of, minlength=length)
    borders = np.stack((opened, closed), axis=1) - (frame_of * stride)[:, None]
    firsts = np.cumsum(per_frame) - per_frame
    runs_of_frames = [
        _runs_between(borders[start : start + count].ravel(), pixels)
        for start, count in zip(firsts.tolist(), per_frame.tolist(), strict=True)
    ]
    return texts_from_runs(runs_of_frames)


def texts_from_runs(runs_of_frames: Sequence[Runs]) -> tuple[bytes | None, ...]:
    """The text of each frame's canonical runs; `None` for a single run, which is all background."""
    chosen = [index for index, runs in enumerate(runs_of_frames) if runs.size > 1]
    result: list[bytes | None] = [None] * len(runs_of_frames)
    if not chosen:
        return tuple(result)
    counts = np.array([runs_of_frames[index].size for index in chosen])
    runs = np.concatenate([runs_of_frames[index] for index in chosen])
    first = np.cumsum(counts) - counts
    differs = np.arange(runs.size) - np.repeat(first, counts) > 2
    numbers = runs.copy()
    numbers[differs] -= runs[np.flatnonzero(differs) - 2]
    lengths = np.ones(numbers.size, np.int64)
    for digits in range(1, MAX_DIGITS):
        half = np.int64(1) << (5 * digits - 1)
        beyond = (numbers < -half) | (numbers >= half)
        if not beyond.any():
            break
        lengths += beyond
    ends = np.cumsum(lengths)
    characters = np.empty(int(ends[-1]), np.uint8)
    for place in range(int(lengths.max())):
        reaching = np.flatnonzero(lengths > place)
        digit = ((numbers[reaching] >> (5 * place)) & 31) + 48 + 32 * (lengths[reaching] > place + 1)
        characters[ends[reaching] - lengths[reaching] + place] = digit
    text = characters.tobytes()
    edges = [0, *ends[first + counts - 1].tolist()]
    for position, index in enumerate(chosen):
        result[index] = text[edges[position] : edges[position + 1]]
    return tuple(result)


class _Batch(NamedTuple):
    """Runs of many texts in one array; rows of texts that are not `canonical` mean nothing."""

    canonical: NDArray[np.bool_]
    runs: Runs
    first: NDArray[np.int64]
    counts: NDArray[np.int64]


def _canonical_runs_of(texts: Sequence[bytes], height: int, width: int) -> _Batch:
    """Decode non-empty texts; `canonical` is True only for a text that is valid and canonical.

    False may also mean "cannot tell from the batch": one text that breaks the number structure makes the
    whole batch False, so that each text is then judged on its own.
    """
    nothing = np.zeros(0, np.int64)
    undecided = _Batch(np.zeros(len(texts), dtype=bool), nothing, nothing, nothing)
    if not texts:
        return undecided
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
    return _Batch(~bad & (sums == height * width) & (counts >= 2), runs, first, counts)


def _all_canonical(texts: Sequence[bytes | None], height: int, width: int) -> tuple[bytes | None, ...]:
    tidy = canonical_texts(texts, height, width)
    for index, error in sorted(tidy.errors.items()):
        raise _at(index, error)
    return tidy.texts


def _fault(text: bytes | None, height: int, width: int) -> MaskError:
    try:
        canonical_text(text, height, width)
    except MaskError as error:
        return error
    raise RuntimeError("the compiled and the readable decoder disagree about a text")


def _at(position: int, error: MaskError) -> MaskError:
    problem = error.problems[0]
    return MaskError(problem.what, where=f"mask {position}", expected=problem.expected, found=problem.found)


def _borders(
    frames: Sequence[int], texts: Sequence[bytes], height: int, width: int, stride: int
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Starts and ends of the foreground runs of one track, frame t beginning at t * stride."""
    batch = _canonical_runs_of(texts, height, width) if all(texts) else None
    if batch is not None and batch.canonical.all() and len(texts):
        frame_of = np.repeat(np.asarray(frames), batch.counts)
        edges = (
            np.cumsum(batch.runs)
            + (frame_of - np.repeat(np.arange(len(texts)), batch.counts)) * (height * width)
            + frame_of
        )
        position = np.arange(batch.runs.size) - np.repeat(batch.first, batch.counts)
        foreground = np.flatnonzero(position & 1)
        yield edges[foreground - 1], edges[foreground]
        return
    for frame, text in zip(frames, texts, strict=True):
        try:
            runs = canonical_runs(runs_from_text(text, height, width))
        except MaskError as error:
            raise _at(frame, error) from error
        edges = np.cumsum(runs) + frame * stride
        paired = edges[: edges.size // 2 * 2]
        yield paired[0::2], paired[1::2]


def _merged(
    starts: NDArray[np.int64], ends: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Union of intervals given by sorted starts and sorted ends; touching ones become one."""
    gap = np.flatnonzero(ends[:-1] < starts[1:])  # as many ended before as have started
    return starts[np.concatenate(([0], gap + 1))], ends[np.concatenate((gap, [ends.size - 1]))]


def _runs_between(borders: NDArray[np.int64], pixels: int) -> Runs:
    tail = [] if borders.size and borders[-1] == pixels else [pixels]
    edges = np.concatenate(([0], borders, tail)).astype(np.int64)
    return edges[1:] - edges[:-1]


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
