"""Mask PNGs read the fast way, against Pillow and against every row filter."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from benchmark import png_masks
from benchmark.errors import MaskError
from benchmark.png_masks import decode_index_map, frame_names, read_folder, read_index_map

BUILT = png_masks._ROWS is not None


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png(raw: bytes, width: int, height: int, depth: int = 8, colour: int = 0, interlaced: int = 0) -> bytes:
    head = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, interlaced)
    return (
        png_masks.SIGNATURE + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(raw)) + chunk(b"IEND", b"")
    )


def filtered(pixels: np.ndarray, filters: list[int]) -> bytes:
    """Rows under the given filters, one byte a pixel, as a PNG writer makes them."""
    above = np.zeros(pixels.shape[1], int)
    rows = []
    for row, number in zip(pixels.astype(int), filters, strict=True):
        left, corner = np.concatenate(([0], row[:-1])), np.concatenate(([0], above[:-1]))
        guess = left + above - corner
        distances = [abs(guess - other) for other in (left, above, corner)]
        paeth = np.choose(np.argmin(distances, axis=0), (left, above, corner))
        taken = (0 * row, left, above, (left + above) // 2, paeth)[number]
        rows.append(bytes([number]) + ((row - taken) % 256).astype(np.uint8).tobytes())
        above = row
    return b"".join(rows)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 40), st.integers(1, 9), st.sampled_from([1, 2, 256]))
def test_every_filter(seed: int, width: int, height: int, values: int) -> None:
    rng = np.random.default_rng(seed)
    pixels = np.repeat(rng.integers(0, values, (height, width)), rng.integers(1, 12), axis=1).astype(np.uint8)
    raw = filtered(pixels, rng.integers(0, 5, height).tolist())
    data = png(raw, pixels.shape[1], height)
    assert np.array_equal(decode_index_map(data), pixels)
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(data))), pixels)


@pytest.mark.parametrize("mode", ["L", "P", "1"])
@pytest.mark.parametrize("bits", [1, 2, 4, 8])
@pytest.mark.parametrize("compiled", [True, False])
def test_images_as_pillow_writes_them(
    mode: str, bits: int, compiled: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not compiled:
        monkeypatch.setattr(png_masks, "_ROWS", None)
    pixels = (
        np.random.default_rng(0).integers(0, 2 ** (1 if mode == "1" else bits), (33, 45)).astype(np.uint8)
    )
    image = Image.fromarray(pixels)
    if mode == "P":
        image.putpalette([7] * 768)
        image.save(tmp_path / "0.png", bits=bits)
    else:
        (image if mode == "L" else Image.fromarray(pixels.astype(bool))).save(tmp_path / "0.png")
    assert np.array_equal(read_index_map(tmp_path / "0.png"), pixels)


def test_interlaced_images_are_left_to_pillow() -> None:
    one = png(b"\0\x05", 1, 1, interlaced=1)
    assert decode_index_map(one).tolist() == [[5]]


@pytest.mark.parametrize("depth", [1, 2, 4, 8])
@pytest.mark.parametrize("interlaced", [0, 1])
@pytest.mark.parametrize("compiled", [True, False])
def test_grey_values_are_never_stretched(
    depth: int, interlaced: int, compiled: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not compiled:
        monkeypatch.setattr(png_masks, "_ROWS", None)
    one = png(bytes([0, 1 << (8 - depth)]), 1, 1, depth=depth, interlaced=interlaced)
    assert decode_index_map(one).tolist() == [[1]]


@pytest.mark.parametrize("kind", [b"gAMA", b"tRNS", b"acTL", b"zTXt"])
def test_chunks_that_say_nothing_about_pixels_are_not_read(kind: bytes) -> None:
    """Pillow raises ValueError of such as are cut off or inflate to megabytes."""
    body = b"k\0\0" + zlib.compress(bytes(5 << 20)) if kind == b"zTXt" else b"\0"
    one = png(b"\0\x05", 1, 1, interlaced=1)
    assert decode_index_map(one[:33] + chunk(kind, body) + one[33:]).tolist() == [[5]]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"GIF89a", "another kind of file"),
        (png(b"\0\1\2", 2, 1)[:40], "cut off"),
        (png(b"\0\1\2", 2, 1).replace(b"IHDR\0\0\0\2", b"IHDR\0\0\0\3"), "wrong checksum"),
        (png(b"\0" + b"\1" * 6, 2, 1, colour=2), "colour type 2"),
        (png(b"\0" + b"\1" * 4, 2, 1, depth=16), "16 bits"),
        (png(b"", 0, 1), "without an image"),
        (png_masks.SIGNATURE + chunk(b"IDAT", b"x"), "without an image"),
    ],
)
def test_damaged_files(data: bytes, message: str, tmp_path: Path) -> None:
    (tmp_path / "0.png").write_bytes(data)
    with pytest.raises(MaskError, match=message) as caught:
        read_index_map(tmp_path / "0.png")
    assert "0.png" in str(caught.value)


@pytest.mark.skipif(not BUILT, reason="the compiled part was not built")
@pytest.mark.parametrize(
    ("data", "message"),
    [
        (png(b"\0\1", 2, 1), "another length"),
        (png(b"\0\1\2" + b"\0" * 10**6, 2, 1), "another length"),
        (png(b"\7\1\2", 2, 1), "row filter 7"),
        (png_masks.SIGNATURE + png(b"\0\1\2", 2, 1)[8:33] + chunk(b"IDAT", b"xyz"), "not a readable PNG"),
    ],
)
def test_damaged_rows(data: bytes, message: str) -> None:
    with pytest.raises(MaskError, match=message):
        decode_index_map(data)


def test_pillow_says_what_it_cannot_read() -> None:
    broken = png_masks.SIGNATURE + png(b"\0\1\2", 2, 1, interlaced=1)[8:33] + chunk(b"IDAT", b"xyz")
    with pytest.raises(MaskError, match="not a readable PNG"):
        decode_index_map(broken)
    with pytest.raises(MaskError, match="found an image of 3 bits that Pillow does not know"):
        decode_index_map(png(b"\0\1\2", 2, 1, depth=3))


@st.composite
def packed_rows(draw: st.DrawFn) -> tuple[bytes, int, int]:
    """Zlib data of rows, of every block kind and window size, half of them with a few bytes changed."""
    height, width = draw(st.integers(1, 30)), draw(st.integers(1, 60))
    rng = np.random.default_rng(draw(st.integers(0, 10**6)))
    rows = (rng.random((height, width + 1)) < draw(st.sampled_from([0, 0.02, 0.5]))) * rng.integers(1, 256)
    rows[:, width // 2 :] |= draw(st.sampled_from([0, 255]))
    if draw(st.booleans()):
        rows = rng.integers(0, 256, rows.shape)
    rows[:, 0] = draw(st.integers(0, 4))
    raw, cut = rows.astype(np.uint8).tobytes(), draw(st.integers(0, rows.size))
    flush = draw(st.sampled_from([zlib.Z_NO_FLUSH, zlib.Z_FULL_FLUSH]))
    level, window = draw(st.integers(0, 9)), draw(st.sampled_from([9, 12, 15]))
    packer = zlib.compressobj(level, zlib.DEFLATED, window, 9, draw(st.integers(0, 4)))
    packed = bytearray(
        packer.compress(raw[:cut]) + packer.flush(flush) + packer.compress(raw[cut:]) + packer.flush()
    )
    for _ in range(draw(st.sampled_from([0, 0, 1, 3]))):
        place = draw(st.integers(0, len(packed) - 1))
        packed[place : place + draw(st.integers(0, 2))] = draw(st.binary(max_size=2))
    return bytes(packed), height, width


@pytest.mark.skipif(not BUILT, reason="the compiled part was not built")
@settings(max_examples=500, deadline=None)
@given(packed_rows())
def test_inflating_agrees_with_zlib(case: tuple[bytes, int, int]) -> None:
    from benchmark import _png_rows

    packed, height, width = case
    found, expected = bytearray(height * width), bytearray(height * width)
    status = _png_rows.decode(packed, height, width, found)
    stream = zlib.decompressobj()
    try:
        raw = stream.decompress(packed)
    except zlib.error:
        assert status == -1
        return
    if not stream.eof or len(raw) != height * (width + 1):
        assert status == -1
        return
    assert status == _png_rows.unfilter(raw, height, width, expected)
    if status == 0:
        assert found == expected


@pytest.mark.skipif(not BUILT, reason="the compiled part was not built")
def test_what_only_zlib_reads_is_left_to_it() -> None:
    """A stream without its checksum: readable, as the size is known."""
    head = struct.pack(">IIBBBBB", 2, 1, 8, 0, 0, 0, 0)
    body = zlib.compress(b"\0\5\6")[:-4]
    data = png_masks.SIGNATURE + chunk(b"IHDR", head) + chunk(b"IDAT", body) + chunk(b"IEND", b"")
    assert decode_index_map(data).tolist() == [[5, 6]]


@pytest.mark.skipif(not BUILT, reason="the compiled part was not built")
def test_the_row_filters_check_their_buffers() -> None:
    from benchmark import _png_rows

    for height, width, raw, out in (
        (1, 2, 3, 3),
        (1, 2, 2, 2),
        (0, 2, 0, 0),
        (-1, 2, 3, 2),
        (2**62, 3, 3, 3),
    ):
        with pytest.raises(ValueError, match="size of the image"):
            _png_rows.unfilter(bytes(raw), height, width, bytearray(out))
    for height, width, out in ((1, 2, 3), (0, 2, 0), (-1, 2, 2), (2**62, 3, 3)):
        with pytest.raises(ValueError, match="size of the image"):
            _png_rows.decode(zlib.compress(b"\0\1\2"), height, width, bytearray(out))


def test_folders(tmp_path: Path) -> None:
    with pytest.raises(MaskError, match="no such folder"):
        frame_names(tmp_path / "none")
    with pytest.raises(MaskError, match="found none"):
        frame_names(tmp_path)
    for name in ("00002", "00001", "00003"):
        Image.fromarray(np.full((2, 3), int(name), np.uint8)).save(tmp_path / f"{name}.png")
    names = frame_names(tmp_path)
    assert names == ["00001", "00002", "00003"]
    parts = [part.copy() for part in read_folder(tmp_path, names, 2)]
    assert not list(read_folder(tmp_path, [], 2))
    assert [part.shape for part in parts] == [(2, 2, 3), (1, 2, 3)]
    assert np.concatenate(parts)[:, 0, 0].tolist() == [1, 2, 3]
    with pytest.raises(MaskError, match="cannot read a mask PNG"):
        list(read_folder(tmp_path, [*names, "00004"], 2))
    Image.fromarray(np.zeros((3, 3), np.uint8)).save(tmp_path / "00004.png")
    with pytest.raises(MaskError, match="differ in size"):
        list(read_folder(tmp_path, [*names, "00004"], 2))


def test_the_inflating_package_has_a_name() -> None:
    assert png_masks.inflater() in (("compiled",) if BUILT else ("zlib", "zlib_ng"))
