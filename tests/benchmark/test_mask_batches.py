"""Whole tracks by compiled code and by NumPy: the same texts, and the same words about what is no mask."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmark import mask_batches
from benchmark.errors import MaskError
from benchmark.mask_batches import canonical_texts, union_of_texts
from benchmark.masks import encode
from benchmark.run_lengths import text_from_runs
from tests.benchmark.mask_generators import FAMILIES

BUILT = mask_batches._JOIN is not None
needs_compiled = pytest.mark.skipif(not BUILT, reason="the compiled part was not built")


def told(work: Callable[[], Any]) -> Any:
    """The result, or what the error says."""
    try:
        return work()
    except MaskError as error:
        return str(error)


def both_ways(work: Callable[..., Any], *arguments: Any) -> tuple[Any, Any]:
    with pytest.MonkeyPatch.context() as patch:
        compiled = told(lambda: work(*arguments))
        patch.setattr(mask_batches, "_JOIN", None)
        return compiled, told(lambda: work(*arguments))


@st.composite
def texts(draw: st.DrawFn, pixels: int) -> bytes | None:
    """Masks in canonical and other forms, texts with something wrong, noise, none at all."""
    kind = draw(st.sampled_from(["runs", "runs", "runs", "changed", "noise", "none"]))
    if kind == "none":
        return None
    if kind == "noise":
        return draw(
            st.binary(max_size=6)
            | st.text(st.characters(min_codepoint=47, max_codepoint=112)).map(lambda text: text.encode())
        )
    cuts = sorted(draw(st.lists(st.integers(0, pixels), max_size=9)))
    runs = np.diff([0, *cuts, pixels])  # runs of no pixel among them
    text = bytearray(text_from_runs(runs))
    if kind == "changed":
        place = draw(st.integers(0, len(text) - 1))
        text[place] = draw(st.integers(0, 255))
        del text[len(text) - draw(st.integers(0, 2)) :]
    return bytes(text)


@needs_compiled
@settings(max_examples=300, deadline=None)
@given(st.data())
def test_tracks_of_any_texts(data: st.DataObject) -> None:
    height, width = data.draw(st.integers(1, 9)), data.draw(st.integers(1, 90))
    frames = data.draw(st.integers(1, 3))
    tracks = [
        [data.draw(texts(height * width)) for _ in range(frames)] for _ in range(data.draw(st.integers(1, 4)))
    ]
    compiled, plain = both_ways(union_of_texts, tracks, height, width)
    assert compiled == plain
    compiled, plain = both_ways(canonical_texts, tracks[0], height, width)
    assert compiled.texts == plain.texts
    assert {at: str(error) for at, error in compiled.errors.items()} == {
        at: str(error) for at, error in plain.errors.items()
    }


@pytest.mark.parametrize("family", FAMILIES)
def test_unions_of_masks_of_every_kind(family: str) -> None:
    rng = np.random.default_rng(len(family))
    for height, width in ((1, 300), (211, 1), (67, 101)):
        masks = np.array([[FAMILIES[family](rng, height, width, 3) for _ in range(2)] for _ in range(3)])
        tracks = [[encode(mask) for mask in track] for track in masks]
        expected = tuple(encode(mask) for mask in masks.any(axis=0))
        assert both_ways(union_of_texts, tracks, height, width) == (expected, expected)


def test_frames_as_large_as_they_may_be() -> None:
    side = 1 << 16
    for height, width in ((1 << 31, 1), (side, side // 2)):
        pixels = height * width
        first = text_from_runs(np.array([0, 1, pixels - 2, 1]))
        second = text_from_runs(np.array([1, pixels - 2, 1]))
        whole = text_from_runs(np.array([0, pixels]))
        assert union_of_texts([[first], [second]], height, width) == (whole,)
    for height, width in ((side, side), (0, 4)):
        compiled, plain = both_ways(union_of_texts, [[b"04"], [b"04"]], height, width)
        assert compiled == plain
        assert "impossible frame size" in compiled


def test_texts_that_are_canonical_already_are_not_copied() -> None:
    text = encode(np.eye(5, dtype=bool))
    assert canonical_texts([text, None], 5, 5).texts[0] is text


@needs_compiled
def test_the_compiled_part_checks_what_it_is_given() -> None:
    from benchmark import _run_texts

    for tracks, pixels in (((), 4), (((b"04",), ()), 4), (((b"04",),), 0), (((b"04",),), 2**31 + 1)):
        with pytest.raises(ValueError, match="tuple"):
            _run_texts.join(tracks, pixels)
    for wrong in ([], ("04",), ((4,),)):
        with pytest.raises((TypeError, ValueError)):
            _run_texts.join(wrong, 4)  # type: ignore[arg-type]
