"""Masks as COCO run-length text, as boolean arrays and as PNG files; unions and a canonical digest.

COCO's form: a mask is read column by column; runs of 0 and 1 alternate, starting with 0; run i > 2 is
stored as its difference to run i - 2; each number is written in base 32, least significant digit
first, 5 bits a character from '0', bit 6 meaning "more follows", the sign in the last digit's top bit.
Source: cocodataset/cocoapi, common/maskApi.c (rleToString, rleFrString), commit 8c9bcc3.

Canonical text has no zero-length run except a leading one, so equal masks have equal text, and a mask
without pixels is `None`. Everything here works on runs; a dense array exists only when asked for.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmark.errors import MaskError
from benchmark.types import BoolMasks, MaskTrack

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


def runs_from_mask(mask: NDArray[Any]) -> Runs:
    """Run lengths of one dense (H, W) mask; any non-zero pixel is foreground."""
    flat = np.asarray(mask).astype(bool, copy=False).ravel(order="F")
    changes = np.flatnonzero(flat[1:] != flat[:-1]) + 1
    edges = np.concatenate(([0], changes, [flat.size]))
    runs = np.diff(edges)
    return np.concatenate(([0], runs)) if flat[0] else runs


def mask_from_runs(runs: Runs, height: int, width: int) -> NDArray[np.bool_]:
    """Dense (H, W) mask of run lengths."""
    values = (np.arange(runs.size) & 1).astype(bool)
    return np.repeat(values, runs).reshape(width, height).T


def encode(mask: NDArray[Any]) -> bytes | None:
    """Canonical COCO text of one dense (H, W) mask; `None` if it has no pixel.

    Raises:
        MaskError: when the array is not two-dimensional or has no pixels at all.
    """
    if mask.ndim != 2 or mask.size == 0:
        raise MaskError("a mask must be a two-dimensional array", found=f"shape {mask.shape}")
    runs = runs_from_mask(mask)
    return None if runs.size == 1 else text_from_runs(runs)


def decode(text: bytes | None, height: int, width: int) -> NDArray[np.bool_]:
    """Dense (H, W) mask of COCO text; `None` is a mask without pixels.

    Raises:
        MaskError: when the text does not decode to `height * width` pixels.
    """
    if text is None:
        return np.zeros((height, width), dtype=bool)
    return mask_from_runs(runs_from_text(text, height, width), height, width)


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


def area(text: bytes | None, height: int, width: int) -> int:
    """Number of foreground pixels."""
    return 0 if text is None else int(runs_from_text(text, height, width)[1::2].sum())


def union(texts: Iterable[bytes | None], height: int, width: int) -> bytes | None:
    """Canonical text of the union of several masks of one size, without making a dense array.

    Raises:
        MaskError: when a text does not decode to `height * width` pixels.
    """
    present = [text for text in texts if text is not None]
    if not present:
        return None
    if len(present) == 1:
        return canonical_text(present[0], height, width)
    starts, ends = [], []
    for text in present:
        edges = np.cumsum(runs_from_text(text, height, width))
        paired = edges[: edges.size // 2 * 2]
        starts.append(paired[0::2])
        ends.append(paired[1::2])
    # Sweep over all run borders: foreground wherever at least one mask is open.
    positions = np.concatenate(starts + ends)
    opened = sum(part.size for part in starts)
    steps = np.ones(positions.size, np.int64)
    steps[opened:] = -1
    order = np.argsort(positions, kind="stable")  # starts come first at equal positions
    positions, depth = positions[order], np.cumsum(steps[order])
    open_at = np.flatnonzero((depth > 0) & (np.concatenate(([0], depth[:-1])) == 0))
    close_at = np.flatnonzero(depth == 0)
    borders = np.empty(open_at.size * 2, np.int64)
    borders[0::2], borders[1::2] = positions[open_at], positions[close_at]
    runs = np.diff(np.concatenate(([0], borders, [height * width])))
    if runs[-1] == 0:
        runs = runs[:-1]
    runs = canonical_runs(runs)
    return None if runs.size == 1 else text_from_runs(runs)


def encode_track(masks: BoolMasks) -> MaskTrack:
    """The track of a dense (T, H, W) array; any non-zero pixel is foreground.

    Raises:
        MaskError: when the array is not three-dimensional.
    """
    if masks.ndim != 3:
        raise MaskError("a mask track must have shape (T, H, W)", found=f"shape {masks.shape}")
    height, width = int(masks.shape[1]), int(masks.shape[2])
    return MaskTrack(height, width, tuple(encode(mask) for mask in masks))


def decode_track(track: MaskTrack) -> BoolMasks:
    """Dense boolean (T, H, W) array of a track.

    Raises:
        MaskError: when a frame's text does not decode; `where` names the frame position.
    """
    masks = np.zeros((len(track), track.height, track.width), dtype=bool)
    for index, text in enumerate(track.counts):
        if text is not None:
            try:
                masks[index] = decode(text, track.height, track.width)
            except MaskError as error:
                raise MaskError(error.problems[0].what, where=f"frame {index}") from error
    return masks


def empty_track(length: int, height: int, width: int) -> MaskTrack:
    """A track without pixels."""
    return MaskTrack(height, width, (None,) * length)


def union_tracks(tracks: Sequence[MaskTrack]) -> MaskTrack:
    """Frame-by-frame union of tracks of one size and length.

    Raises:
        MaskError: when the list is empty or the tracks differ in size or length.
    """
    if not tracks:
        raise MaskError("a union needs at least one track")
    first = tracks[0]
    shapes = {(len(track), track.height, track.width) for track in tracks}
    if len(shapes) > 1:
        raise MaskError("tracks of one union differ in size or length", found=str(sorted(shapes)))
    if len(tracks) == 1:
        return first
    frames = zip(*(track.counts for track in tracks), strict=True)
    counts = tuple(union(frame, first.height, first.width) for frame in frames)
    return MaskTrack(first.height, first.width, counts)


def track_digest(track: MaskTrack | None) -> str:
    """SHA-256 that depends on the decoded masks alone; `None` (no track) differs from an empty track."""
    digest = hashlib.sha256()
    if track is None:
        digest.update(b"none")
        return digest.hexdigest()
    digest.update(f"{len(track)} {track.height} {track.width}\n".encode())
    for text in track.counts:
        digest.update(canonical_text(text, track.height, track.width) or b"")
        digest.update(b"\n")
    return digest.hexdigest()


def read_mask_png(source: Path | bytes) -> NDArray[np.bool_]:
    """Dense (H, W) mask of a PNG; palette indices and grey values other than 0 are foreground.

    Raises:
        MaskError: when the file is not a readable 1-channel image.
    """
    from PIL import Image, UnidentifiedImageError

    where = str(source) if isinstance(source, Path) else "PNG data"
    try:
        with Image.open(io.BytesIO(source) if isinstance(source, bytes) else source) as image:
            if image.mode not in ("1", "L", "P"):
                raise MaskError(
                    "a mask PNG must have one channel",
                    where=where,
                    expected="mode 1, L or P",
                    found=image.mode,
                )
            pixels: NDArray[np.uint8] = np.asarray(image)
            foreground: NDArray[np.bool_] = pixels != 0
            return foreground
    except (UnidentifiedImageError, OSError, SyntaxError, Image.DecompressionBombError) as error:
        raise MaskError("not a readable PNG", where=where, found=str(error)) from error


def write_mask_png(mask: NDArray[Any], path: Path) -> None:
    """Write a dense (H, W) mask as an 8-bit grey PNG with values 0 and 255."""
    from PIL import Image

    Image.fromarray(np.where(np.asarray(mask) != 0, 255, 0).astype(np.uint8), mode="L").save(path)


def _excerpt(text: bytes) -> str:
    shown = text[:24].decode("latin-1")
    return repr(shown) + ("..." if len(text) > 24 else "")
