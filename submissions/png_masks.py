"""Mask PNGs from strangers: header and chunks are judged first, then as many pixels as the frame has
are decoded, then every value is looked at.

Source: W3C PNG specification (third edition), sections 5 and 11.
"""

from __future__ import annotations

import struct
import zlib
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from benchmark.errors import MaskError
from benchmark.png_masks import GREY, PALETTE, SIGNATURE, Header, decode_pixels
from submissions.limits import PNG_CHUNKS, PNG_EXTRA_BYTES

HEADER = struct.Struct(">IIBBBBB")


class PngError(Exception):
    """A PNG that is refused; `code` is one of the catalogue."""

    def __init__(self, code: str, expected: str = "", found: str = "") -> None:
        super().__init__(f"{code}: {found}")
        self.code, self.expected, self.found = code, expected, found


class PngPixels(NamedTuple):
    """The compressed pixels of a PNG and how they are stored."""

    header: Header
    packed: bytes


def read_chunks(png: bytes, height: int, width: int) -> PngPixels:
    """The compressed pixels of a PNG of that size, nothing decompressed yet.

    Raises:
        PngError: when it is not a PNG, damaged, of another size or kind, or carries too much else.
    """
    if not png.startswith(SIGNATURE):
        raise PngError("png-invalid", "a PNG", f"bytes {png[:8]!r}")
    at, chunks, extra = len(SIGNATURE), 0, 0
    header: Header | None = None
    pixels: list[bytes] = []
    kind = b""
    while kind != b"IEND":
        if at + 12 > len(png):
            raise PngError("png-invalid", "a PNG that ends with IEND", f"an end at byte {len(png)}")
        length, kind = int.from_bytes(png[at : at + 4], "big"), png[at + 4 : at + 8]
        end = at + 12 + length
        if end > len(png):
            raise PngError("png-invalid", f"{length} bytes of {kind!r}", f"an end at byte {len(png)}")
        if zlib.crc32(png[at + 4 : end - 4]) != int.from_bytes(png[end - 4 : end], "big"):
            raise PngError("png-invalid", "matching checksums", f"a wrong one in {kind!r}")
        body = png[at + 8 : end - 4]
        if (kind == b"IHDR") != (header is None):
            raise PngError("png-invalid", "one IHDR, first", f"{kind!r} at byte {at}")
        chunks += 1
        if kind == b"IHDR":
            header = _check_header(body, height, width)
        elif kind == b"IDAT":
            pixels.append(body)
        else:
            extra += length
        if chunks > PNG_CHUNKS or extra > PNG_EXTRA_BYTES:
            allowed = f"at most {PNG_CHUNKS} chunks and {PNG_EXTRA_BYTES} bytes beside the pixels"
            raise PngError("png-chunks", allowed, f"{chunks} chunks, {extra} bytes")
        at = end
    if at != len(png):
        raise PngError("png-chunks", "nothing after the image", f"{len(png) - at} bytes")
    assert header is not None  # the first chunk is IHDR, or we have left
    return PngPixels(header, b"".join(pixels))


def _check_header(body: bytes, height: int, width: int) -> Header:
    if len(body) != HEADER.size:
        raise PngError("png-invalid", f"{HEADER.size} bytes of IHDR", f"{len(body)}")
    header = Header(*HEADER.unpack(body))
    if (header.width, header.height) != (width, height):
        raise PngError("png-size", f"{width}x{height}", f"{header.width}x{header.height}")
    unusual = header.compression or header.filtering or header.interlaced
    if header.colour not in (GREY, PALETTE) or header.depth not in (1, 8) or unusual:
        names = {0: "grey", 2: "RGB", 3: "palette", 4: "grey with alpha", 6: "RGB with alpha"}
        interlaced = ", interlaced" if header.interlaced else ""
        found = f"{header.depth}-bit {names.get(header.colour, 'unknown')}{interlaced}"
        raise PngError("png-kind", "1- or 8-bit grey or palette, not interlaced", found)
    return header


def decode_png(png: bytes, height: int, width: int) -> NDArray[np.int64]:
    """Canonical run lengths of a mask PNG, column by column, background first.

    Raises:
        PngError: when the PNG is refused; see `read_chunks` for what is looked at before decoding.
    """
    header, packed = read_chunks(png, height, width)
    try:
        pixels = decode_pixels(header, packed)
    except MaskError as error:
        found = error.problems[0].found
        raise PngError("png-invalid", f"{height} rows of {header.row_bytes} bytes", found) from error
    return runs_of_rows(pixels)


def runs_of_rows(pixels: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Canonical run lengths of (H, W) pixels with values {0,1} or {0,255}.

    Runs go down columns, pixels lie in rows: instead of turning the image, the few places are
    collected where a pixel differs from the one above it.

    Raises:
        PngError: when there are other values.
    """
    height, width = pixels.shape
    top = int(pixels.max())
    if top == 0:
        return np.array([height * width], np.int64)
    if top not in (1, 255) or (top == 255 and int((pixels + np.uint8(1)).max()) > 1):
        strange = int(np.count_nonzero((pixels != 0) & (pixels != top))) if top in (1, 255) else None
        values = np.flatnonzero(np.bincount(pixels.ravel(), minlength=256))
        shown = ", ".join(map(str, values[:6].tolist())) + (", ..." if values.size > 6 else "")
        count = int(np.count_nonzero((pixels != 0) & (pixels != 255))) if strange is None else strange
        raise PngError("png-values", "values {0,1} or {0,255}", f"values {shown}; {count} pixels of others")
    # Position in column order of every pixel that differs from the one above it in its column, or, for
    # the first row, from the last one of the column before.
    rows, columns = np.divmod(np.flatnonzero(pixels[1:] != pixels[:-1]), width)
    inner = columns * height + rows + 1
    before = np.concatenate((np.zeros(1, np.uint8), pixels[-1, :-1]))
    borders = np.flatnonzero(pixels[0] != before) * height
    changes = np.sort(np.concatenate((inner, borders)))
    return np.diff(np.concatenate(([0], changes, [height * width])))
