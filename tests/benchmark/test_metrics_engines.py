"""All engines and instruction sets return the integers of the definition, and refuse what is not a mask."""

from __future__ import annotations

import logging
import threading
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmark.errors import EnvironmentProblem, MaskError, ProtocolError, UsageError
from benchmark.masks import decode, encode, encode_track, runs_from_mask
from benchmark.metrics import compiled_engine, engines, packed_engine
from benchmark.metrics.definition import Counts, boundary_radius, frame_counts
from benchmark.metrics.engines import ENGINES, group_counts, mask_counts, pair_counts, track_counts
from benchmark.run_lengths import canonical_runs, runs_from_text, text_from_runs
from benchmark.types import MaskTrack
from tests.benchmark.mask_generators import FAMILIES, Pair, adversarial_pair, object_pair

LEVELS = compiled_engine.levels()
needs_core = pytest.mark.skipif(not LEVELS, reason="the compiled core was not built")
CPU_ENGINES = tuple(name for name in ("auto", "reference", "numpy", "cpu") if name in ENGINES)


def expected_counts(pair: Pair) -> list[int]:
    return frame_counts(pair.truth, pair.predicted, pair.radius).tolist()


def compiled_answers(pair: Pair) -> dict[str, list[int]]:
    height, width = pair.truth.shape
    texts = (encode(pair.truth),), (encode(pair.predicted),)
    answers = {}
    for level in LEVELS:
        counts = compiled_engine.track_counts(*texts, height, width, pair.radius, level)
        answers[f"text {level}"] = counts[0].tolist()
        counts = compiled_engine.mask_counts(pair.truth[None], pair.predicted[None], pair.radius, level)
        answers[f"bytes {level}"] = counts[0].tolist()
    return answers


def numpy_answer(pair: Pair) -> list[int]:
    height, width = pair.truth.shape
    texts = (encode(pair.truth),), (encode(pair.predicted),)
    return packed_engine.track_counts(*texts, height, width, pair.radius)[0].tolist()


@pytest.mark.parametrize("block", range(8))
def test_every_engine_equals_the_definition_on_adversarial_pairs(block: int) -> None:
    for index in range(350):
        pair = adversarial_pair(np.random.default_rng([block, index]), longest=260)
        expected = expected_counts(pair)
        for engine, answer in {**compiled_answers(pair), "numpy": numpy_answer(pair)}.items():
            assert answer == expected, f"{engine}, block {block}, pair {index}, {pair.family}"


@pytest.mark.parametrize("block", range(3))
def test_predictions_counted_together_give_what_each_gives_alone(block: int) -> None:
    """The truth's lines, border and reach are shared; boxes, sizes of lines and empty masks differ."""
    for index in range(120):
        rng = np.random.default_rng([77, block, index])
        pair = adversarial_pair(rng, longest=700 if index % 10 == 0 else 150)
        height, width = pair.truth.shape
        families = rng.choice(list(FAMILIES), size=int(rng.integers(1, 6)))
        others = [FAMILIES[name](rng, height, width, pair.radius) for name in families]
        masks = [pair.predicted, *others, np.zeros_like(pair.truth), pair.truth, pair.predicted]
        order = rng.permutation(len(masks))
        truth = (encode(pair.truth),)
        predictions = [(encode(masks[place]),) for place in order]
        predictions[int(rng.integers(len(predictions)))] = (None,)
        alone = [
            packed_engine.track_counts(truth, texts, height, width, pair.radius) for texts in predictions
        ]
        where = f"block {block}, pair {index}, {pair.family}"
        together = packed_engine.group_counts(truth, predictions, height, width, pair.radius)
        assert np.array_equal(together, alone), where
        for level in LEVELS:
            together = compiled_engine.group_counts(truth, predictions, height, width, pair.radius, level)
            assert np.array_equal(together, alone), f"{where}, {level}"


@needs_core
@pytest.mark.parametrize("size", [(480, 854), (1080, 1920)])
def test_groups_at_video_sizes(size: tuple[int, int]) -> None:
    rng = np.random.default_rng(size[0])
    masks = [mask for _ in range(3) for mask in object_pair(rng, *size)]
    track, predictions = (encode(masks[0]),) * 2, [(encode(mask), None) for mask in masks[1:]]
    radius = boundary_radius(*size)
    expected = packed_engine.group_counts(track, predictions, *size, radius)
    for level in LEVELS:
        assert np.array_equal(
            compiled_engine.group_counts(track, predictions, *size, radius, level), expected
        )


@pytest.mark.parametrize("engine", CPU_ENGINES)
def test_groups_of_tracks_and_of_none(engine: str) -> None:
    masks = np.random.default_rng(4).random((4, 3, 20, 30)) < 0.2
    truth, *predictions = (encode_track(each) for each in masks)
    counts = group_counts(truth, predictions, 2, engine)
    assert counts.shape == (3, 3, 6)
    for own, predicted in zip(counts, predictions, strict=True):
        assert np.array_equal(own, track_counts(truth, predicted, 2, "reference"))
    assert group_counts(truth, (), 2, engine).shape == (0, 3, 6)
    with pytest.raises(MaskError, match="differ in length"):
        group_counts(truth, [predictions[0], MaskTrack(20, 30, (None,))], 2, engine)
    broken = MaskTrack(20, 30, (None, b"~", None))
    with pytest.raises(MaskError, match="frame 1 of the prediction"):
        group_counts(truth, [predictions[0], broken], 2, engine)


@needs_core
@pytest.mark.parametrize("family", FAMILIES)
def test_levels_equal_numpy_on_large_frames(family: str) -> None:
    """Frames of several tiles a line, where the definition would be slow."""
    rng = np.random.default_rng(len(family))
    for height, width in ((1080, 300), (513, 600), (1400, 40)):
        radius = int(rng.integers(1, 41))
        pair = Pair(*(FAMILIES[family](rng, height, width, radius) for _ in range(2)), radius, family)
        answers = compiled_answers(pair)
        assert set(map(tuple, answers.values())) == {tuple(numpy_answer(pair))}, f"{height}x{width} {radius}"


@needs_core
@pytest.mark.parametrize("size", [(480, 854), (720, 1280), (1080, 1920), (2160, 3840)])
def test_levels_equal_numpy_on_objects_at_video_sizes(size: tuple[int, int]) -> None:
    rng = np.random.default_rng(size[0])
    for _ in range(2):
        pair = Pair(*object_pair(rng, *size), boundary_radius(*size), "object")
        assert set(map(tuple, compiled_answers(pair).values())) == {tuple(numpy_answer(pair))}


@needs_core
@pytest.mark.parametrize("radius", [0, 1, 2, 3, 6, 7, 8, 12, 18, 31, 40, 61, 62, 63, 64, 90, 130])
def test_every_radius_is_right(radius: int) -> None:
    """Also beyond the core's limit of 62, where the NumPy engine takes over."""
    rng = np.random.default_rng(radius)
    for height, width in ((150, 90), (600, 30)):
        truth = FAMILIES["lone_border_pixels"](rng, height, width, max(radius, 1))
        predicted = FAMILIES["dust"](rng, height, width, radius)
        tracks = encode_track(truth[None]), encode_track(predicted[None])
        expected = frame_counts(truth, predicted, radius).tolist()
        for engine in CPU_ENGINES:
            assert track_counts(*tracks, radius, engine)[0].tolist() == expected
            assert mask_counts(truth[None], predicted[None], radius, engine)[0].tolist() == expected


@needs_core
@pytest.mark.parametrize("radius", [0, 1, 2])
@pytest.mark.parametrize(
    "height", [62, 63, 64, 65, 66, 126, 128, 129, 254, 255, 256, 257, 510, 512, 513, 514]
)
def test_lines_that_fill_their_words_do_not_leak_into_each_other(height: int, radius: int) -> None:
    """Lines lie side by side in memory; the gap between them must hold whatever the radius is."""
    rng = np.random.default_rng([height, radius])
    truth, predicted = rng.random((2, height + 3, 21)) < 0.5
    for below in (0, 3):  # the box ends where the frame ends, or before
        truth[height:], predicted[height:] = False, False
        pair = Pair(truth[: height + below], predicted[: height + below], radius, "noise")
        expected = expected_counts(pair)
        for engine, answer in compiled_answers(pair).items():
            assert answer == expected, f"{engine}, {below} rows below"


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_runs_of_no_pixel_change_nothing(data: st.DataObject) -> None:
    height, width = data.draw(st.integers(1, 20)), data.draw(st.integers(1, 20))
    runs = [0]
    for run in data.draw(st.lists(st.integers(0, 40), max_size=30)):
        runs.append(min(run, height * width - sum(runs)))
    runs.append(height * width - sum(runs))
    runs += [0] * data.draw(st.integers(0, 3))
    text = text_from_runs(np.array(runs))
    mask = decode(text, height, width)
    track = MaskTrack(height, width, (text,))
    other = MaskTrack(height, width, (encode(np.roll(mask, 1)),))
    expected = frame_counts(mask, np.roll(mask, 1), 2).tolist()
    for engine in CPU_ENGINES:
        assert track_counts(track, other, 2, engine)[0].tolist() == expected
    assert np.array_equal(canonical_runs(np.array(runs)), runs_from_mask(mask))


@settings(max_examples=400, deadline=None)
@given(st.binary(max_size=40) | st.text(st.characters(min_codepoint=44, max_codepoint=115), max_size=40))
def test_core_and_decoder_refuse_the_same_texts(noise: bytes | str) -> None:
    text = noise if isinstance(noise, bytes) else noise.encode()
    height, width = 7, 9
    try:
        runs_from_text(text, height, width)
    except MaskError as problem:
        for engine in ("cpu", "numpy"):
            tracks = MaskTrack(height, width, (None, text)), MaskTrack(height, width, (None, None))
            with pytest.raises(MaskError) as refusal:
                track_counts(*tracks, 1, engine)
            assert str(refusal.value) == f"frame 1 of the truth: {problem}"
    else:
        tracks = MaskTrack(height, width, (text,)), MaskTrack(height, width, (None,))
        assert np.array_equal(track_counts(*tracks, 1, "cpu"), track_counts(*tracks, 1, "reference"))


MALFORMED = {
    b"": "run-length text is empty",
    b"1\x80": "characters that COCO never writes",
    b"o1P": "truncated",
    b"PPPPPPPPP0": "a number that is too long",
    b"O" * 3: "a negative run",
    b"11": "does not cover its frame; expected 12 pixels (3x4); found 2 pixels",
    b"oooooo7" * 3: "does not cover its frame",
}


@pytest.mark.parametrize("level", [*LEVELS, "numpy"])
@pytest.mark.parametrize("text", MALFORMED)
def test_malformed_text_is_an_error_that_names_the_frame(text: bytes, level: str) -> None:
    truth, predicted = (None, b"048", None), (None, None, text)
    with pytest.raises(MaskError) as refusal:
        if level == "numpy":
            packed_engine.track_counts(truth, predicted, 3, 4, 1)
        else:
            compiled_engine.track_counts(truth, predicted, 3, 4, 1, level)
    assert str(refusal.value).startswith("frame 2 of the prediction: ")
    assert MALFORMED[text] in str(refusal.value)


def test_tracks_that_do_not_fit_together_are_refused() -> None:
    track = MaskTrack(3, 4, (None, None))
    with pytest.raises(MaskError, match="differ in frame size; expected 3x4 as in the truth; found 4x3"):
        track_counts(track, MaskTrack(4, 3, (None, None)), 1)
    with pytest.raises(MaskError, match="differ in length; expected 2 frames as in the truth; found 1"):
        track_counts(track, MaskTrack(3, 4, (None,)), 1)
    with pytest.raises(ProtocolError, match="cannot be negative"):
        track_counts(track, track, -3)
    with pytest.raises(UsageError, match=r"unknown metric engine.*found fast"):
        track_counts(track, track, 1, "fast")
    masks = np.zeros((2, 3, 4), bool)
    with pytest.raises(MaskError, match="differ in length"):
        mask_counts(masks, masks[:1], 1)
    for wrong in (masks[0], masks.astype(np.float32), masks[:, :0]):
        with pytest.raises(MaskError, match=r"\(T, H, W\) array of bool or uint8"):
            mask_counts(wrong, wrong, 1)


def test_empty_tracks_and_tracks_without_frames() -> None:
    for engine in CPU_ENGINES:
        assert track_counts(MaskTrack(5, 6, ()), MaskTrack(5, 6, ()), 2, engine).shape == (0, 6)
        empty = MaskTrack(5, 6, (None, None))
        assert not track_counts(empty, empty, 2, engine).any()


def test_strided_and_reversed_arrays_are_read_as_they_are() -> None:
    rng = np.random.default_rng(3)
    base = (rng.random((3, 40, 140)) < 0.3).astype(np.uint8) * 7
    views = [
        base[:, ::2, 10:110],
        base[:, ::-1],
        base[::-1, :, ::-1],
        base.transpose(0, 2, 1),
        base[:, :, ::3],
    ]
    for view in views:
        other = np.roll(view, 1, axis=2)
        expected = mask_counts(np.ascontiguousarray(view), np.ascontiguousarray(other), 3, "reference")
        assert np.array_equal(mask_counts(view, other, 3, "cpu"), expected)
        view.flags.writeable = False
        assert np.array_equal(mask_counts(view, other, 3, "cpu"), expected)


@pytest.mark.parametrize("threads", [1, 3, None])
def test_many_pairs_come_back_in_order_on_any_number_of_threads(threads: int | None) -> None:
    rng = np.random.default_rng(8)
    pairs = []
    for length in range(1, 31):
        masks = rng.random((2, length, 20, 30)) < 0.2
        pairs.append((encode_track(masks[0]), encode_track(masks[1]), 1 + length % 4))
    results = list(pair_counts(iter(pairs), threads=threads))
    assert [len(counts) for counts in results] == list(range(1, 31))
    for counts, pair in zip(results, pairs, strict=True):
        assert np.array_equal(counts, track_counts(*pair, "reference"))
    broken = [*pairs[:2], (MaskTrack(2, 2, (b"~",)), MaskTrack(2, 2, (None,)), 1)]
    answers = pair_counts(broken, threads=threads)
    assert [len(next(answers)) for _ in range(2)] == [1, 2]
    with pytest.raises(MaskError, match="frame 0 of the truth"):
        next(answers)


def test_the_caller_counts_what_no_thread_has_begun(monkeypatch: pytest.MonkeyPatch) -> None:
    counting = set()

    def slow(*pair: object) -> Counts:
        counting.add(threading.get_ident())
        time.sleep(0.02)
        return np.zeros((engines.FRAMES_A_GROUP, 6), np.int64)

    monkeypatch.setattr(engines, "track_counts", slow)
    track = MaskTrack(2, 2, (None,) * engines.FRAMES_A_GROUP)
    assert len(list(pair_counts([(track, track, 1)] * 6, threads=2))) == 6
    assert threading.get_ident() in counting and len(counting) == 2


@needs_core
def test_a_level_is_forced_by_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    assert LEVELS[-1] == "portable"
    monkeypatch.setenv(compiled_engine.LEVEL_VARIABLE, "portable")
    assert compiled_engine.chosen_level() == "portable"
    monkeypatch.setenv(compiled_engine.LEVEL_VARIABLE, "avx1024")
    with pytest.raises(EnvironmentProblem, match=r"cannot run; expected .*portable; found avx1024.*unset"):
        track_counts(MaskTrack(2, 2, ()), MaskTrack(2, 2, ()), 1)
    monkeypatch.delenv(compiled_engine.LEVEL_VARIABLE)
    assert compiled_engine.chosen_level() == LEVELS[0]


def test_without_the_core_numpy_counts_and_says_so_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(compiled_engine, "_CORE", None)
    monkeypatch.setattr(compiled_engine, "MISSING_REASON", "no compiler")
    engines._say_once_that_it_is_slower.cache_clear()
    masks = np.random.default_rng(1).random((2, 4, 30, 40)) < 0.4
    tracks = encode_track(masks[0]), encode_track(masks[1])
    with caplog.at_level(logging.WARNING):
        for engine in ("auto", "cpu"):
            assert np.array_equal(track_counts(*tracks, 3, engine), track_counts(*tracks, 3, "reference"))
            assert np.array_equal(mask_counts(*masks, 3, engine), track_counts(*tracks, 3, "reference"))
    said = [record.getMessage() for record in caplog.records]
    assert len(said) == 1
    assert "no compiler" in said[0] and "NumPy" in said[0]
    engines._say_once_that_it_is_slower.cache_clear()
    with pytest.raises(EnvironmentProblem, match="was not built; found no compiler"):
        compiled_engine.chosen_level()


@needs_core
def test_a_frame_beyond_memory_is_an_error() -> None:
    """One row of 2^31 - 1 pixels would need a line of its own for every pixel."""
    width = 2**31 - 1
    track = MaskTrack(1, width, (text_from_runs(np.array([0, 1, width - 2, 1])),))
    with pytest.raises(MaskError, match=f"too large to be counted in memory; found 1x{width}"):
        track_counts(track, track, 1, "cpu")


@needs_core
def test_the_core_checks_what_python_hands_it() -> None:
    from benchmark.metrics import _core

    counts, level = np.zeros((1, 6), np.int64), LEVELS[0]
    masks = np.zeros((1, 4, 5), np.uint8)
    with pytest.raises(ValueError, match="no level 'sse9'"):
        _core.count_texts((None,), ((None,),), 4, 5, 1, counts, "sse9")
    with pytest.raises(ValueError, match="radius 63"):
        _core.count_masks(masks, masks, 63, counts, level)
    with pytest.raises(ValueError, match="frame size"):
        _core.count_texts((None,), ((None,),), 0, 5, 1, counts, level)
    with pytest.raises(ValueError, match="different length"):
        _core.count_texts((None,), ((None,), (None, None)), 4, 5, 1, counts, level)
    for wrong in (np.zeros((2, 6), np.int64), np.zeros((1, 6)), np.zeros((1, 6), np.int32)):
        with pytest.raises(ValueError, match="int64"):
            _core.count_texts((None,), ((None,),), 4, 5, 1, wrong, level)
    with pytest.raises((ValueError, BufferError)):
        counts.flags.writeable = False
        _core.count_texts((None,), ((None,),), 4, 5, 1, counts, level)
    for truth, predictions in ((("text",), ((None,),)), ((None,), (("text",),)), ((None,), ([None],))):
        with pytest.raises(TypeError):
            _core.count_texts(truth, predictions, 4, 5, 1, np.zeros((1, 6), np.int64), level)  # type: ignore[arg-type]
    for wrong in (masks[0], masks.astype(np.uint16), masks[:, :, ::2]):
        with pytest.raises(ValueError, match="one-byte items"):
            _core.count_masks(wrong, masks, 1, np.zeros((1, 6), np.int64), level)
    with pytest.raises(ValueError, match="different shape"):
        _core.count_masks(masks, masks[:, :3], 1, np.zeros((1, 6), np.int64), level)
