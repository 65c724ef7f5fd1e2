"""Writing mask PNGs: one bit a pixel, nothing beside the pixels, the same bytes everywhere."""

from __future__ import annotations

import struct
import zlib

import numpy as np
from numpy.typing import NDArray

from benchmark.masks import decode
from benchmark.png_masks import GREY, PALETTE, SIGNATURE
from submissions.png_masks import HEADER

PLAIN_PALETTE = bytes((0, 0, 0, 255, 255, 255))


def write_png(text: bytes | None, height: int, width: int) -> bytes:
    """A 1-bit PNG of run-length text; `None` is black."""
    return png_of_rows(np.packbits(decode(text, height, width), axis=1), width, depth=1)


def png_of_rows(rows: NDArray[np.uint8], width: int, *, depth: int, colour: int = GREY) -> bytes:
    """A PNG of (H, bytes per row) packed pixels."""
    unfiltered = np.zeros((rows.shape[0], rows.shape[1] + 1), np.uint8)  # each row starts with filter 0
    unfiltered[:, 1:] = rows
    pixels = zlib.compress(unfiltered.tobytes(), 6)
    return png_around(width, rows.shape[0], pixels, depth=depth, colour=colour)


def png_around(
    width: int, height: int, pixels: bytes, *, depth: int = 8, colour: int = GREY, extra: bytes = b""
) -> bytes:
    """A PNG that claims a size, whatever its compressed pixels hold."""
    header = HEADER.pack(width, height, depth, colour, 0, 0, 0)
    palette = chunk(b"PLTE", PLAIN_PALETTE) if colour == PALETTE else b""
    parts = (chunk(b"IHDR", header), palette, extra, chunk(b"IDAT", pixels), chunk(b"IEND", b""))
    return SIGNATURE + b"".join(parts)


def chunk(kind: bytes, body: bytes) -> bytes:
    """One chunk of a PNG."""
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
