"""Masks as COCO run-length text, as boolean arrays and as PNG files; unions and a canonical digest.

Equal masks have equal canonical text (see `benchmark.run_lengths`), and a mask without pixels is `None`.
Unions and digests work on run lengths; a dense array exists only when asked for.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmark.errors import MaskError
from benchmark.mask_batches import texts_from_runs, union_of_texts
from benchmark.run_lengths import (
    Runs,
    canonical_text,
    text_from_runs,
)
from benchmark.run_lengths import runs_from_text as runs_from_text
from benchmark.types import BoolMasks, MaskTrack

MANY_CHANGES = 16
"""One change in so many pixels is many: somewhat above it, sorting them takes longer than turning."""


def runs_from_mask(mask: NDArray[Any]) -> Runs:
    """Run lengths of one dense (H, W) mask; any non-zero pixel is foreground."""
    dense = np.asarray(mask).astype(bool, copy=False)
    changes = _changes_by_column(dense)
    edges = np.concatenate(([0], changes, [dense.size]))
    runs = np.diff(edges)
    return np.concatenate(([0], runs)) if dense.flat[0] else runs


def _changes_by_column(mask: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Where the value changes along the columns, ascending.

    Turning rows into columns takes longer than all the rest. Few changes are found in row order and
    sorted, which is the same; many, such as those of noise, would be long in sorting.
    """
    height, width = mask.shape
    if not mask.flags.f_contiguous and height > 1:
        within = np.flatnonzero(mask[1:] != mask[:-1])
        if within.size < mask.size // MANY_CHANGES:
            row, column = np.divmod(within, width)
            between = (np.flatnonzero(mask[0, 1:] != mask[-1, :-1]) + 1) * height
            return np.sort(np.concatenate((column * height + row + 1, between)))
    flat = mask.ravel(order="F")
    return np.flatnonzero(flat[1:] != flat[:-1]) + 1


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


def area(text: bytes | None, height: int, width: int) -> int:
    """Number of foreground pixels."""
    return 0 if text is None else int(runs_from_text(text, height, width)[1::2].sum())


def union(texts: Sequence[bytes | None], height: int, width: int) -> bytes | None:
    """Canonical text of the union of several masks of one size, without making a dense array.

    Raises:
        MaskError: when a text does not decode to `height * width` pixels.
    """
    return union_of_texts([[text] for text in texts], height, width)[0] if texts else None


def encode_track(masks: BoolMasks) -> MaskTrack:
    """The track of a dense (T, H, W) array; any non-zero pixel is foreground.

    Raises:
        MaskError: when the array is not three-dimensional.
    """
    if masks.ndim != 3:
        raise MaskError("a mask track must have shape (T, H, W)", found=f"shape {masks.shape}")
    height, width = int(masks.shape[1]), int(masks.shape[2])
    if not masks.size:
        raise MaskError("a mask track needs frames and pixels", found=f"shape {masks.shape}")
    return MaskTrack(height, width, texts_from_runs([runs_from_mask(mask) for mask in masks]))


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
    counts = union_of_texts([track.counts for track in tracks], first.height, first.width)
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
