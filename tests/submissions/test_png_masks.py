"""Run lengths of PNGs equal those of the dense mask, whoever wrote the PNG."""

from __future__ import annotations

import io
import zlib
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from numpy.typing import NDArray
from PIL import Image

from benchmark import png_masks
from benchmark.mask_batches import texts_from_runs
from benchmark.masks import encode
from submissions.png_masks import PngError, decode_png, runs_of_rows
from submissions.png_writing import png_around, write_png

SHAPES = st.tuples(st.integers(1, 12), st.integers(1, 20))


@settings(deadline=None)
@given(arrays.arrays(bool, SHAPES), st.sampled_from([1, 255]))
def test_runs_of_rows_are_those_of_the_mask(mask: NDArray[np.bool_], value: int) -> None:
    runs = runs_of_rows(mask.astype(np.uint8) * np.uint8(value))
    assert texts_from_runs([runs]) == (encode(mask),)


@settings(deadline=None)
@given(arrays.arrays(np.uint8, SHAPES, elements=st.sampled_from([0, 1, 2, 254, 255])))
def test_values_are_zero_and_one_other_or_refused(pixels: NDArray[np.uint8]) -> None:
    values = set(np.unique(pixels).tolist())
    if values <= {0, 1} or values <= {0, 255}:
        runs_of_rows(pixels)
    else:
        with pytest.raises(PngError, match="png-values"):
            runs_of_rows(pixels)


def saved(image: Image.Image, **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, "PNG", **options)
    return file.getvalue()


def pngs_of(mask: NDArray[np.bool_]) -> dict[str, bytes]:
    bright = np.where(mask, 255, 0).astype(np.uint8)
    two = Image.fromarray(mask.astype(np.uint8)).convert("P")
    two.putpalette([0, 0, 0, 255, 255, 255])
    many = Image.fromarray(mask.astype(np.uint8)).convert("P")
    many.putpalette(list(range(256)) * 3)
    return {
        "grey by Pillow": saved(Image.fromarray(bright)),
        "optimised": saved(Image.fromarray(bright), optimize=True),
        "1 bit by Pillow": saved(Image.fromarray(mask)),
        "palette of two": saved(two),
        "palette of many": saved(many),
        "OpenCV": cv2.imencode(".png", bright)[1].tobytes(),
        "ours": write_png(encode(mask), *mask.shape),
    }


@pytest.mark.parametrize("size", [(7, 9), (1, 13), (16, 8), (33, 65)])
def test_pngs_of_every_writer_decode_to_the_mask(size: tuple[int, int]) -> None:
    rng = np.random.default_rng(sum(size))
    for mask in (rng.random(size) < 0.4, np.zeros(size, bool), np.ones(size, bool)):
        for writer, png in pngs_of(mask).items():
            assert texts_from_runs([decode_png(png, *size)]) == (encode(mask),), writer


def test_interlaced_and_coloured_pngs_are_refused() -> None:
    mask = np.ones((8, 8), bool)
    coloured = saved(Image.fromarray(mask).convert("RGBA"))
    deep = saved(Image.fromarray(mask.astype(np.uint16) * 65535))
    for png in (coloured, deep):
        with pytest.raises(PngError, match="png-kind"):
            decode_png(png, 8, 8)


@pytest.mark.parametrize("compiled", [True, False])
def test_rows_that_no_writer_makes_are_refused(compiled: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same verdicts with the compiled part and without it."""
    if not compiled:
        monkeypatch.setattr(png_masks, "_ROWS", None)
    rows = bytearray(8 * 9)
    assert texts_from_runs([decode_png(png_around(8, 8, zlib.compress(rows)), 8, 8)]) == (None,)
    strange = {
        "a row too few": zlib.compress(rows[:-9]),
        "a byte too many": zlib.compress(rows + b"\0"),
        "a bomb": zlib.compress(bytes(1 << 24)),
        "not deflated": b"x" * 40,
        "a filter that no PNG has": zlib.compress(b"\5" + rows[1:]),
        "a wrong checksum": zlib.compress(rows)[:-1] + b"\xff",
    }
    for what, packed in strange.items():
        with pytest.raises(PngError, match="png-invalid"):
            decode_png(png_around(8, 8, packed), 8, 8)
            pytest.fail(what)


def test_every_writer_is_read_without_the_compiled_part(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(png_masks, "_ROWS", None)
    mask = np.random.default_rng(5).random((33, 65)) < 0.4
    for writer, png in pngs_of(mask).items():
        assert texts_from_runs([decode_png(png, *mask.shape)]) == (encode(mask),), writer
