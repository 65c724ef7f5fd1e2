"""Masks against pycocotools, and the properties that hashing, scoring and storing rely on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from pycocotools import mask as coco

from benchmark import masks
from benchmark.errors import MaskError
from benchmark.mask_batches import canonical_texts
from benchmark.run_lengths import canonical_runs, canonical_text, runs_from_text, text_from_runs
from benchmark.types import MaskTrack

SIDES = st.integers(1, 40)


def dense(draw: st.DrawFn, height: int, width: int) -> Any:
    """Noise, or stretches of one value: both short and long runs, both borders touched."""
    if draw(st.booleans()):
        return draw(arrays(np.bool_, (height, width)))
    cuts = sorted(draw(st.lists(st.integers(0, height * width), max_size=12)))
    flat = np.zeros(height * width, bool)
    for start, end in zip(cuts[::2], cuts[1::2], strict=False):
        flat[start:end] = True
    by_column = flat.reshape(width, height).T
    # The two layouts in memory are encoded in two ways.
    return np.ascontiguousarray(by_column) if draw(st.booleans()) else by_column


@st.composite
def mask_arrays(draw: st.DrawFn) -> Any:
    return dense(draw, draw(SIDES), draw(SIDES))


@st.composite
def track_arrays(draw: st.DrawFn, tracks: int = 1) -> Any:
    """(tracks, T, H, W), with frames that are empty or full among them."""
    frames, height, width = draw(st.integers(1, 4)), draw(SIDES), draw(SIDES)
    result = np.zeros((tracks, frames, height, width), bool)
    for track in range(tracks):
        for frame in range(frames):
            kind = draw(st.sampled_from(["empty", "full", "any", "any"]))
            result[track, frame] = dense(draw, height, width) if kind == "any" else kind == "full"
    return result


def coco_text(mask: Any) -> bytes:
    text: bytes = coco.encode(np.asfortranarray(mask.astype(np.uint8)))["counts"]
    return text


@given(mask_arrays())
@example(np.ones((1, 1), bool))
@example(np.eye(3, dtype=bool))
def test_encoding_equals_pycocotools_and_comes_back(mask: Any) -> None:
    text = masks.encode(mask)
    assert text == (coco_text(mask) if mask.any() else None)
    height, width = mask.shape
    assert np.array_equal(masks.decode(text, height, width), mask)
    assert masks.area(text, height, width) == mask.sum()
    assert masks.canonical_text(coco_text(mask), height, width) == text


@pytest.mark.parametrize("pixels", [1, 15, 16, 511, 512, 16383, 16384, 524287, 524288, 1 << 25])
def test_every_number_of_digits_survives(pixels: int) -> None:
    """Around the powers of 32 a number gains a digit, where its sign bit would be misread."""
    for background in (pixels, pixels - 1, 0):
        runs = np.array([background, pixels, 1, 2 * pixels, 3, 1])
        height = int(runs.sum())
        text = text_from_runs(runs)
        assert np.array_equal(runs_from_text(text, height, 1), runs)
        encoded = coco.frPyObjects({"size": [height, 1], "counts": runs.tolist()}, height, 1)
        assert encoded["counts"] == text


@st.composite
def untidy_runs(draw: st.DrawFn) -> Any:
    runs = draw(st.lists(st.integers(0, 70), min_size=1, max_size=12).filter(any))
    return np.array(runs, np.int64)


@given(untidy_runs(), st.integers(0, 3))
def test_one_mask_has_one_canonical_text_however_it_was_written(runs: Any, padding: int) -> None:
    """Zero-length runs in the middle and numbers padded with sign digits are both legal to read."""
    height = int(runs.sum())
    mask = masks.mask_from_runs(runs, height, 1)
    plain = text_from_runs(runs)
    padded = pad_first_number(plain, padding)
    expected = coco_text(mask) if mask.any() else None
    for text in (plain, padded):
        assert np.array_equal(masks.decode(text, height, 1), mask)
        assert canonical_text(text, height, 1) == expected
        assert canonical_texts([text, None, text], height, 1) == ((expected, None, expected), {})
    tidy = canonical_runs(runs)
    assert tidy.sum() == height and np.all(tidy[1:] > 0)


def pad_first_number(text: bytes, digits: int) -> bytes:
    """The same number with more base-32 digits that only repeat its (positive) sign."""
    end = next(index for index, character in enumerate(text) if not (character - 48) & 32)
    if not digits:
        return text
    more = bytes([text[end] + 32]) + bytes([48 + 32]) * (digits - 1) + b"0"
    return text[:end] + more + text[end + 1 :]


@given(track_arrays(tracks=3))
@settings(max_examples=150)
def test_union_equals_or_on_pixels_for_any_number_of_tracks(arrays_of_tracks: Any) -> None:
    tracks = [masks.encode_track(array) for array in arrays_of_tracks]
    for count in (1, 2, 3):
        joined = masks.union_tracks(tracks[:count])
        expected = np.any(arrays_of_tracks[:count], axis=0)
        assert joined == masks.encode_track(expected)
        assert np.array_equal(masks.decode_track(joined), expected)
    height, width = tracks[0].height, tracks[0].width
    frame = [track.counts[0] for track in tracks]
    assert masks.union(frame, height, width) == masks.union_tracks(tracks).counts[0]


@given(track_arrays(tracks=2))
def test_union_reads_texts_that_are_not_canonical(arrays_of_tracks: Any) -> None:
    height, width = arrays_of_tracks.shape[2:]
    untidy = [
        MaskTrack(height, width, tuple(pad_first_number(coco_text(mask), 1) for mask in array))
        for array in arrays_of_tracks
    ]
    assert masks.union_tracks(untidy) == masks.encode_track(arrays_of_tracks.any(axis=0))


@given(track_arrays())
def test_a_track_written_frame_by_frame_is_the_same(array: Any) -> None:
    track = masks.encode_track(array[0])
    assert track.counts == tuple(masks.encode(mask) for mask in array[0])
    assert track.is_empty == (not array.any())


@given(st.lists(st.binary(max_size=12), min_size=1, max_size=6), SIDES, SIDES)
@example([b"0", b"00"], 1, 1)
@example([b"P" * 9 + b"0"], 1, 1)
def test_malformed_text_is_refused_and_the_batch_agrees_with_the_single_reader(
    texts: list[bytes], height: int, width: int
) -> None:
    batch = canonical_texts(texts, height, width)
    for index, text in enumerate(texts):
        try:
            expected = canonical_text(text, height, width)
        except MaskError as error:
            assert batch.texts[index] is None
            assert str(batch.errors[index]) == str(error)
        else:
            assert batch.texts[index] == expected
            assert index not in batch.errors


@given(st.lists(mask_arrays(), min_size=1, max_size=4), st.data())
def test_batch_of_good_and_damaged_texts(arrays_: list[Any], data: st.DataObject) -> None:
    """One damaged text must not change what its neighbours decode to."""
    height, width = arrays_[0].shape
    texts: list[bytes | None] = [coco_text(mask) for mask in arrays_ if mask.shape == (height, width)]
    whole = list(texts)
    victim = data.draw(st.integers(0, len(texts) - 1))
    text = texts[victim] or b""
    cut = data.draw(st.integers(0, max(0, len(text) - 1)))
    texts[victim] = text[:cut] + data.draw(st.sampled_from([b"", b"~", b"P", b" ", b"0"]))
    batch = canonical_texts(texts, height, width)
    for index in set(range(len(texts))) - {victim}:
        assert batch.texts[index] == canonical_text(whole[index], height, width)


@pytest.mark.parametrize(
    ("text", "height", "width", "said"),
    [
        (b"", 2, 2, "empty"),
        (b"4", 0, 2, "impossible frame size"),
        (b"4", 1 << 16, 1 << 16, "impossible frame size"),
        (b"\x1f4", 2, 2, "characters that COCO never writes"),
        ("4é".encode(), 2, 2, "characters that COCO never writes"),
        (b"4P", 2, 2, "truncated"),
        (b"PPPPPPPP0", 2, 2, "too long"),
        (b"O5", 2, 2, "negative run"),
        (b"5", 2, 2, "expected 4 pixels (2x2); found 5 pixels"),
        (b"3", 2, 2, "expected 4 pixels (2x2); found 3 pixels"),
    ],
)
def test_what_is_wrong_with_a_text_is_said(text: bytes, height: int, width: int, said: str) -> None:
    with pytest.raises(MaskError, match=said.replace("(", r"\(").replace(")", r"\)")):
        masks.decode(text, height, width)
    if height == width == 2:
        with pytest.raises(MaskError, match="mask 1: "):
            masks.union_tracks([MaskTrack(2, 2, (None, text)), MaskTrack(2, 2, (None, b"04"))])
        with pytest.raises(MaskError, match="frame 1: "):
            masks.decode_track(MaskTrack(2, 2, (None, text)))


def test_arrays_of_the_wrong_shape_are_refused() -> None:
    with pytest.raises(MaskError, match="two-dimensional"):
        masks.encode(np.zeros((2, 2, 2), bool))
    with pytest.raises(MaskError, match="two-dimensional"):
        masks.encode(np.zeros((0, 2), bool))
    with pytest.raises(MaskError, match=r"shape \(T, H, W\)"):
        masks.encode_track(np.zeros((2, 2), bool))
    with pytest.raises(MaskError, match="needs frames and pixels"):
        masks.encode_track(np.zeros((0, 2, 2), bool))
    with pytest.raises(MaskError, match="at least one track"):
        masks.union_tracks([])
    with pytest.raises(MaskError, match="differ in size or length"):
        masks.union_tracks([masks.empty_track(2, 3, 3), masks.empty_track(2, 3, 4)])
    assert masks.union([], 3, 3) is None
    assert masks.union([None, None], 3, 3) is None


def test_the_digest_depends_on_pixels_alone_and_tells_no_track_from_an_empty_one() -> None:
    array = np.zeros((2, 5, 7), bool)
    array[0, 1:4, 2:3] = True
    track = masks.encode_track(array)
    text = track.counts[0]
    assert text is not None
    padded = MaskTrack(5, 7, (pad_first_number(text, 2), coco_text(array[1])))
    digests = {masks.track_digest(track), masks.track_digest(padded)}
    assert len(digests) == 1
    others = [None, masks.empty_track(2, 5, 7), masks.empty_track(2, 7, 5), masks.empty_track(3, 5, 7)]
    digests |= {masks.track_digest(other) for other in others}
    digests.add(masks.track_digest(MaskTrack(5, 7, (None, text))))
    assert len(digests) == 6


def test_png_masks_come_back_and_strange_files_are_refused(tmp_path: Path) -> None:
    from PIL import Image

    mask = np.random.default_rng(0).random((9, 13)) < 0.5
    masks.write_mask_png(mask, tmp_path / "mask.png")
    assert np.array_equal(masks.read_mask_png(tmp_path / "mask.png"), mask)
    assert np.array_equal(masks.read_mask_png((tmp_path / "mask.png").read_bytes()), mask)
    Image.fromarray(mask).convert("P").save(tmp_path / "palette.png")
    assert masks.read_mask_png(tmp_path / "palette.png").shape == (9, 13)
    Image.new("RGB", (3, 3)).save(tmp_path / "colour.png")
    with pytest.raises(MaskError, match="one channel"):
        masks.read_mask_png(tmp_path / "colour.png")
    (tmp_path / "broken.png").write_bytes((tmp_path / "mask.png").read_bytes()[:40])
    with pytest.raises(MaskError, match="not a readable PNG"):
        masks.read_mask_png(tmp_path / "broken.png")
