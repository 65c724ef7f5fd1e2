"""Mask PNGs read quickly: index maps of whole folders, a few frames at a time.

Mask images inflate to long stretches of zeros. Nine tenths of the usual reading time is inflating them,
for which the compiled part of this package has code of its own, some twenty times faster than zlib on such
data (`inflate.h`). Where it was not built, zlib-ng inflates, several times faster than zlib, if it is
installed (`pip install -c constraints.txt -e '.[fast-png]'`), and Pillow undoes the row filters. PNGs other
than 8-bit or smaller grey and palette images in plain row order are read by Pillow. The pixels are the same.
"""

from __future__ import annotations

import importlib
import struct
import zlib
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from benchmark.errors import MaskError
from benchmark.run_lengths import MAX_PIXELS

try:
    from benchmark import _png_rows as _compiled
except ImportError:  # not built: no compiler at installation, or the sources are used uninstalled
    _ROWS = None
else:
    _ROWS = _compiled

SIGNATURE = b"\x89PNG\r\n\x1a\n"
HEADER_END = 33
"""Bytes of the signature and the first chunk, which is the header."""
GREY, PALETTE = 0, 3

IndexMap = NDArray[np.uint8]
"""(H, W): grey values or palette indices; 0 is background."""


class Header(NamedTuple):
    """What a PNG says about itself (its IHDR chunk)."""

    width: int
    height: int
    depth: int
    colour: int
    compression: int
    filtering: int
    interlaced: int

    @property
    def row_bytes(self) -> int:
        """Bytes of a row, without the filter number before it."""
        return (self.width * self.depth + 7) // 8


def read_index_map(path: Path, out: IndexMap | None = None, size: tuple[int, int] | None = None) -> IndexMap:
    """Grey values or palette indices of a one-channel PNG.

    Args:
        out: where to put them if it has the right size, as it saves time; the result may lie elsewhere.
        size: (height, width) that it must have; of another one, nothing is inflated.

    Raises:
        MaskError: when the file is missing, damaged, of another size, or has more than one channel.
    """
    return decode_index_map(_read(path), str(path), out, size)


def image_size(path: Path) -> tuple[int, int]:
    """(height, width) of a PNG, from its header alone.

    Raises:
        MaskError: when the file is missing or does not begin as a PNG does.
    """
    start = _read(path, HEADER_END)
    if len(start) < HEADER_END or not start.startswith(SIGNATURE) or start[12:16] != b"IHDR":
        raise MaskError("not a readable PNG", where=str(path), found="another kind of file, or it is cut off")
    width, height = struct.unpack_from(">II", start, 16)
    return height, width


def _read(path: Path, length: int = -1) -> bytes:
    try:
        with open(path, "rb", buffering=0) as file:
            return file.read(length)
    except OSError as error:
        raise MaskError("cannot read a mask PNG", where=str(path), found=error.strerror or "") from error


def decode_index_map(
    data: bytes,
    where: str = "PNG data",
    out: IndexMap | None = None,
    size: tuple[int, int] | None = None,
) -> IndexMap:
    """As `read_index_map`, from the bytes of a file; `where` is for messages."""
    header, packed = _chunks(data, where)
    if header.colour not in (GREY, PALETTE) or header.depth > 8:
        raise MaskError(
            "a mask PNG must have one channel of at most 8 bits",
            where=where,
            expected="a grey or palette image",
            found=f"colour type {header.colour} of {header.depth} bits",
        )
    if size is not None and (header.height, header.width) != size:
        raise MaskError(
            "wrong mask size",
            where=where,
            expected=f"{size[0]}x{size[1]}",
            found=f"{header.height}x{header.width}",
            fix="write masks at the size of the frames",
        )
    if _ROWS is None or header.interlaced or header.depth not in (1, 2, 4, 8):
        return _read_with_pillow(header, packed, where)
    return decode_pixels(header, packed, where, out)


def decode_pixels(
    header: Header, packed: bytes, where: str = "PNG data", out: IndexMap | None = None
) -> IndexMap:
    """Index map of the compressed pixels of a grey or palette PNG of 1, 2, 4 or 8 bits, not interlaced.

    Of what `packed` inflates to, no more is ever held than the size in `header` needs.

    Raises:
        MaskError: when it inflates to another number of bytes, or has an unknown row filter.
    """
    size = (header.height, header.row_bytes)
    rows = out if out is not None and header.depth == 8 and out.shape == size else np.empty(size, np.uint8)
    unknown = _ROWS.decode(packed, *size, rows) if _ROWS else -1
    if unknown < 0:  # unusual data, which zlib may read, or say what is wrong with
        raw = _inflate(packed, header.height * (header.row_bytes + 1), where)
        if _ROWS is None:
            rows[:] = _unfiltered_by_pillow(raw, size, where)
        else:
            unknown = _ROWS.unfilter(raw, *size, rows)
    if unknown > 0:
        raise MaskError("not a readable PNG", where=where, found=f"row filter {unknown}")
    return rows if header.depth == 8 else _unpacked(rows, header)


def frame_names(folder: Path) -> list[str]:
    """Names of the PNG files of a folder, in alphabetical order, without their ending.

    Raises:
        MaskError: when the folder is missing or holds none.
    """
    names = sorted(path.stem for path in folder.glob("*.png")) if folder.is_dir() else []
    if not names:
        raise MaskError(
            "no mask PNGs here",
            where=str(folder),
            expected="a folder of files such as 00000.png",
            found="no such folder" if not folder.is_dir() else "none",
        )
    return names


def read_folder(folder: Path, names: Sequence[str], at_once: int) -> Iterator[NDArray[np.uint8]]:
    """Index maps (n, H, W) of the named frames of a folder, at most `at_once` frames each.

    Every part lies in the same memory and is overwritten by the next.

    Raises:
        MaskError: naming the first file that is missing, damaged or of another size than the first.
    """
    if not names:
        return
    height, width = image_size(folder / f"{names[0]}.png")
    if not 0 < height * width <= MAX_PIXELS:
        raise MaskError("not a readable PNG", where=str(folder / f"{names[0]}.png"), found="no image")
    # New memory for every frame would cost more than what is done with it.
    maps = np.empty((min(at_once, len(names)), height, width), np.uint8)
    for first in range(0, len(names), at_once):
        part = names[first : first + at_once]
        for index, name in enumerate(part):
            read = read_index_map(folder / f"{name}.png", out=maps[index])
            if read.shape != (height, width):
                raise MaskError(
                    "frames of one track differ in size",
                    where=str(folder / f"{name}.png"),
                    expected=f"{height}x{width}",
                    found=f"{read.shape[0]}x{read.shape[1]}",
                )
            if read.base is not maps:
                maps[index] = read
        yield maps[: len(part)]


def inflater() -> str:
    """What inflates: "compiled", which is code of this package, else the package "zlib_ng", or "zlib".

    Loads the package, which the compiled code falls back on.
    """
    module = _inflate_module()
    if _ROWS is not None:
        return "compiled"
    return "zlib" if module is zlib else "zlib_ng"


@cache
def _inflate_module() -> Any:
    try:
        return importlib.import_module("zlib_ng.zlib_ng")
    except ImportError:
        return zlib


def _chunks(data: bytes, where: str) -> tuple[Header, bytes]:
    """The header and all compressed data, every chunk's checksum verified."""
    header, parts, place = None, [], len(SIGNATURE)
    if not data.startswith(SIGNATURE):
        raise MaskError("not a readable PNG", where=where, found="another kind of file")
    while len(data) - place >= 12:
        length, kind = struct.unpack_from(">I4s", data, place)
        body, place = data[place + 8 : place + 8 + length], place + 12 + length
        if place > len(data):
            break
        if zlib.crc32(body, zlib.crc32(kind)) != int.from_bytes(data[place - 4 : place], "big"):
            raise MaskError("not a readable PNG", where=where, found="a chunk with a wrong checksum")
        if kind == b"IHDR" and length == 13:
            header = Header(*struct.unpack(">IIBBBBB", body))
        elif kind == b"IDAT":
            parts.append(body)
        elif kind == b"IEND":
            break
    if header is None or not parts or not 0 < header.width * header.height <= MAX_PIXELS:
        raise MaskError("not a readable PNG", where=where, found="it is cut off, or without an image")
    return header, parts[0] if len(parts) == 1 else b"".join(parts)


def _inflate(packed: bytes, size: int, where: str) -> bytes:
    module = _inflate_module()
    stream = module.decompressobj()
    try:
        raw: bytes = stream.decompress(packed, size + 1)  # no further, however much there is
    except module.error as error:
        raise MaskError("not a readable PNG", where=where, found=str(error)) from error
    if len(raw) != size or not (stream.eof or stream.decompress(stream.unconsumed_tail, 1) == b""):
        raise MaskError("not a readable PNG", where=where, found="an image of another length than it says")
    return raw


def _unfiltered_by_pillow(raw: bytes, size: tuple[int, int], where: str) -> IndexMap:
    """Rows without their filters; Pillow undoes them only in compressed data, so it gets stored blocks."""
    from PIL import Image

    try:
        image = Image.frombytes("L", size[::-1], zlib.compress(raw, 0), "zip", "L", False)
    except (OSError, ValueError, SyntaxError) as error:
        raise MaskError("not a readable PNG", where=where, found=str(error)) from error
    return np.frombuffer(image.tobytes(), np.uint8).reshape(size)


def _unpacked(rows: IndexMap, header: Header) -> IndexMap:
    """One byte a pixel from rows of 1, 2 or 4 bits a pixel, the first in the highest bits."""
    if header.depth == 1:
        return np.unpackbits(rows, axis=1, count=header.width)
    shifts = np.arange(8 - header.depth, -1, -header.depth, dtype=np.uint8)
    pixels = (rows[:, :, None] >> shifts) & np.uint8((1 << header.depth) - 1)
    return pixels.reshape(header.height, -1)[:, : header.width]


def _read_with_pillow(header: Header, packed: bytes, where: str) -> IndexMap:
    """As `decode_pixels`, of any depth and interlaced too.

    Pillow gets header and pixels alone: of other chunks it refuses some that say nothing about the pixels. It
    gets them as palette indices: grey values of 2 and 4 bits it would stretch to 8.
    """
    import io

    from PIL import Image, UnidentifiedImageError

    head = struct.pack(">IIBBBBB", *header._replace(colour=PALETTE))
    data = SIGNATURE + b"".join(_chunk(*one) for one in ((b"IHDR", head), (b"IDAT", packed), (b"IEND", b"")))
    try:
        with Image.open(io.BytesIO(data)) as image:
            return np.array(image).astype(np.uint8)
    except UnidentifiedImageError as error:
        found = f"an image of {header.depth} bits that Pillow does not know"
        raise MaskError("not a readable PNG", where=where, found=found) from error
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise MaskError("not a readable PNG", where=where, found=str(error)) from error


def _chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(body, zlib.crc32(kind)))
