"""The device engine on the processor: the torch form, and the kernels in Triton's interpreter."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

import benchmark.metrics
from benchmark.errors import EnvironmentProblem, MaskError, ProtocolError, UsageError
from benchmark.masks import encode, encode_track
from benchmark.metrics import (
    device_clips,
    device_engine,
    device_launches,
    device_plans,
    device_texts,
    engines,
)
from benchmark.metrics.definition import frame_counts
from benchmark.metrics.device_clips import Size, TensorPair
from benchmark.metrics.device_engine import batch_counts, tensor_counts
from benchmark.run_lengths import text_from_runs
from tests.benchmark.kernel_cases import CASES
from tests.benchmark.mask_generators import FAMILIES, Pair, adversarial_pair

torch.set_num_threads(1)
CPU = torch.device("cpu")


def tensors(pair: Pair) -> TensorPair:
    return TensorPair(torch.from_numpy(pair.truth)[None], torch.from_numpy(pair.predicted)[None])


def expected(pair: Pair) -> list[int]:
    counts: list[int] = frame_counts(pair.truth, pair.predicted, pair.radius).tolist()
    return counts


@pytest.mark.parametrize("seed", range(3))
def test_the_torch_form_counts_what_the_definition_says(seed: int) -> None:
    rng = np.random.default_rng(seed)
    for _ in range(30):
        pair = adversarial_pair(rng, 200)
        counted = tensor_counts(*tensors(pair), radius=pair.radius)
        assert counted.numpy()[0].tolist() == expected(pair), pair
        assert counted.truth_areas.tolist() == [np.count_nonzero(pair.truth)]


@pytest.mark.parametrize("family", sorted(FAMILIES))
@pytest.mark.parametrize("size", [(1, 70), (130, 1), (64, 128), (65, 127), (61, 67)])
def test_run_lengths_are_counted_as_their_masks(family: str, size: tuple[int, int]) -> None:
    rng = np.random.default_rng(3)
    radius = 7
    truth, predicted = (np.stack([FAMILIES[family](rng, *size, radius) for _ in range(3)]) for _ in range(2))
    counts = device_texts.track_counts(
        [encode(mask) for mask in truth], [encode(mask) for mask in predicted], *size, radius, on=CPU
    )
    assert counts.tolist() == [
        frame_counts(*pair, radius).tolist() for pair in zip(truth, predicted, strict=True)
    ]


@pytest.mark.parametrize("family", sorted(FAMILIES))
def test_predictions_of_one_truth_are_counted_as_each_alone(family: str) -> None:
    rng = np.random.default_rng(5)
    size, radius = (65, 131), 6
    masks = np.stack([[FAMILIES[family](rng, *size, radius) for _ in range(3)] for _ in range(4)])
    truth, *predictions = ([encode(mask) for mask in track] for track in masks)
    counts = device_texts.group_counts(truth, predictions, *size, radius, on=CPU)
    for index, predicted in enumerate(predictions):
        alone = device_texts.track_counts(truth, predicted, *size, radius, on=CPU)
        assert np.array_equal(counts[index], alone)
    assert device_texts.group_counts(truth, [], *size, radius, on=CPU).shape == (0, 3, 6)


def test_text_with_runs_of_no_pixel() -> None:
    text = text_from_runs(np.array([3, 0, 2, 4, 0, 0, 3]))  # 3 + 2 of background, 4 pixels, 3 of background
    plain = text_from_runs(np.array([5, 4, 3]))
    sides = ([text, None], [plain, plain])
    counts = device_texts.track_counts(*sides, 3, 4, 1, on=CPU)
    assert counts[:, :2].tolist() == [[4, 4], [0, 4]]


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_logits_and_probabilities(dtype: torch.dtype) -> None:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(3, 40, 70, generator=generator).to(dtype)
    logits[0, 0, :5] = torch.tensor([torch.inf, -torch.inf, 0.0, -0.0, 0.3], dtype=dtype)
    truth = torch.rand(3, 40, 70, generator=generator) > 0.5
    for threshold in (0.0, 0.3):
        wanted = tensor_counts(truth, logits > threshold).numpy()
        assert np.array_equal(tensor_counts(truth, logits, threshold=threshold).numpy(), wanted)
    assert np.array_equal(
        tensor_counts(truth.to(torch.uint8) * 200, logits).numpy(), tensor_counts(truth, logits).numpy()
    )


def test_clips_of_many_sizes_in_small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(1)
    pairs = []
    for frames, height, width in ((3, 20, 30), (1, 64, 65), (5, 20, 30), (0, 9, 9), (2, 128, 7)):
        masks = rng.random((2, frames, height, width)) < 0.3
        pairs.append(TensorPair(torch.from_numpy(masks[0]), torch.from_numpy(masks[1])))
    whole = batch_counts(pairs).numpy()
    assert whole.tolist() == [row for pair in pairs for row in tensor_counts(*pair).numpy().tolist()]
    for size in (1, 1500, 5000):
        monkeypatch.setattr(device_clips, "CHUNK_BYTES", size)
        assert np.array_equal(batch_counts(pairs).numpy(), whole)
    texts = [encode_track(pairs[2].truth.numpy()), encode_track(pairs[2].predicted.numpy())]
    counts = device_texts.track_counts(texts[0].counts, texts[1].counts, 20, 30, 1, on=CPU)
    assert np.array_equal(counts, whole[4:9])


def test_views_are_read_where_they_lie() -> None:
    rng = np.random.default_rng(2)
    big = torch.from_numpy(rng.random((4, 50, 90)) < 0.4)
    truth, predicted = big[:2].transpose(1, 2)[:, ::3], big[2:].transpose(1, 2)[:, ::3]
    wanted = tensor_counts(truth.contiguous(), predicted.contiguous()).numpy()
    assert np.array_equal(tensor_counts(truth, predicted).numpy(), wanted)


def test_a_prepared_truth_counts_the_same() -> None:
    rng = np.random.default_rng(4)
    truth = torch.from_numpy(rng.random((3, 60, 100)) < 0.02)
    prepared = device_engine.prepare_truth(truth)
    for _ in range(3):
        logits = torch.from_numpy(rng.normal(-1.5, 1, (3, 60, 100))).float()
        counted, whole = prepared.counts(logits), tensor_counts(truth, logits)
        assert np.array_equal(counted.numpy(), whole.numpy())
        assert torch.equal(counted.truth_areas, whole.truth_areas)
    with pytest.raises(MaskError, match="differ in shape or device"):
        prepared.counts(truth[1:])
    with pytest.raises(MaskError, match="dtype"):
        prepared.counts(truth.int())
    with pytest.raises(MaskError, match="frame 0 of the prediction"):
        prepared.counts(logits * torch.nan).numpy()


def test_a_disk_wider_than_a_word() -> None:
    rng = np.random.default_rng(5)
    for radius in (63, 64, 65, 130):
        truth, predicted = (rng.random((90, 300)) < 0.0005 for _ in range(2))
        pair = Pair(truth, predicted, radius, "dust")
        assert tensor_counts(*tensors(pair), radius=radius).numpy()[0].tolist() == expected(pair)


def test_wrong_input() -> None:
    masks = torch.zeros(2, 4, 5, dtype=torch.bool)
    logits = masks.float()
    logits[1, 2, 3] = torch.nan
    with pytest.raises(
        MaskError, match="frame 1 of the prediction: a mask holds values that are not numbers"
    ):
        tensor_counts(masks, logits).numpy()
    with pytest.raises(MaskError, match="frame 1 of the truth"):
        tensor_counts(logits, masks).numpy()
    with pytest.raises(MaskError, match="differ in shape"):
        tensor_counts(masks, masks[1:])
    with pytest.raises(MaskError, match="dtype that masks do not come in"):
        tensor_counts(masks, masks.long())
    with pytest.raises(MaskError, match="must be a \\(T, H, W\\) tensor"):
        tensor_counts(masks[0], masks[0])
    with pytest.raises(MaskError, match="on one device"):
        tensor_counts(masks, masks.to("meta"))
    with pytest.raises(MaskError, match="clip 1: prediction and truth"):
        batch_counts([TensorPair(masks, masks), TensorPair(masks, masks[:1])])
    with pytest.raises(MaskError, match="at least one pair"):
        batch_counts([])
    with pytest.raises(MaskError, match="one tolerance for each clip"):
        batch_counts([TensorPair(masks, masks)], radius=[1, 2])
    with pytest.raises(ProtocolError, match="negative"):
        tensor_counts(masks, masks, radius=-1)
    for radius in (2.5, "2", None):
        with pytest.raises(ProtocolError, match="whole number of pixels"):
            batch_counts([TensorPair(masks, masks)], radius=[radius])  # type: ignore[list-item]
    with pytest.raises(ProtocolError, match=r"whole number of pixels; found 2\.5"):
        tensor_counts(masks, masks, radius=2.5)  # type: ignore[arg-type]
    with pytest.raises(MaskError, match="threshold of masks is not a number"):
        tensor_counts(masks, logits, threshold=float("nan"))
    with pytest.raises(UsageError, match="unknown form"):
        tensor_counts(masks, masks, form="jax")
    with pytest.raises(MaskError, match="frame 1 of the prediction"):
        device_texts.track_counts([None, None], [None, b"0"], 4, 5, 1, on=CPU)


def test_tensors_that_hold_no_masks() -> None:
    """Refused alike as truth and prediction, alone and against a prepared truth."""
    masks = torch.zeros(2, 4, 5, dtype=torch.bool)
    prepared = device_engine.prepare_truth(masks)
    wrong = [
        (masks.float().to(torch.float8_e4m3fn), "has a dtype that masks do not come in"),
        (masks.float().to(torch.float8_e5m2), "has a dtype that masks do not come in"),
        (masks.to(torch.int8), "has a dtype that masks do not come in"),
        (masks.to(torch.complex64), "has a dtype that masks do not come in"),
        (masks.to_sparse(), "is not a dense tensor"),
        (masks.numpy(), r"must be a \(T, H, W\) tensor; found ndarray"),
        ([masks], r"must be a \(T, H, W\) tensor; found list"),
    ]
    for tensor, sentence in wrong:
        with pytest.raises(MaskError, match=f"the truth {sentence}"):
            tensor_counts(tensor, masks)
        with pytest.raises(MaskError, match=f"the prediction {sentence}"):
            tensor_counts(masks, tensor)
        with pytest.raises(MaskError, match=f"the truth {sentence}"):
            device_engine.prepare_truth(tensor)
        with pytest.raises(MaskError, match=f"the prediction {sentence}"):
            prepared.counts(tensor)
    for count in (lambda meta: tensor_counts(meta, meta), device_engine.prepare_truth):
        with pytest.raises(MaskError, match="'meta' hold no values"):
            count(masks.to("meta"))


def test_tolerances_of_numpy_and_clips_as_tuples() -> None:
    rng = np.random.default_rng(6)
    masks = torch.from_numpy(rng.random((2, 2, 9, 8)) < 0.5)
    wanted = tensor_counts(*masks, radius=3).numpy()
    assert np.array_equal(tensor_counts(*masks, radius=np.int64(3)).numpy(), wanted)
    assert np.array_equal(batch_counts([tuple(masks)], radius=np.array([3])).numpy(), wanted)  # type: ignore[list-item,arg-type]


def test_a_default_device_of_torch_is_of_no_concern() -> None:
    masks, logits = torch.rand(2, 2, 9, 8)
    logits -= 0.5
    wanted = tensor_counts(masks > 0.5, logits, threshold=0.1).numpy()
    with torch.device("meta"):
        found = tensor_counts(masks > 0.5, logits, threshold=0.1)
        prepared = device_engine.prepare_truth(masks > 0.5).counts(logits, threshold=0.1)
    assert np.array_equal(found.numpy(), wanted) and np.array_equal(prepared.numpy(), wanted)


def test_clips_without_frames() -> None:
    nothing, some = torch.zeros(0, 4, 5), torch.ones(1, 4, 5)
    assert batch_counts([TensorPair(nothing, nothing)] * 2).numpy().shape == (0, 6)
    assert len(batch_counts([TensorPair(nothing, nothing), TensorPair(some, some)]).numpy()) == 1
    assert device_engine.prepare_truth(nothing).counts(nothing).numpy().shape == (0, 6)


def places(size: Size, frames: int) -> device_plans.Outlining:
    """Where things would lie that are packed for the kernels on a device."""
    part = device_plans.Part(*2 * [device_plans.Bits(torch.empty(0), 0, size.bits)], size, frames)
    return device_plans._outlining([part], device_plans.LAUNCH)


def test_what_the_kernels_number_stays_below_32_bits() -> None:
    """The largest frames of every proportion that they take."""
    for radius in (0, 1, 32, 33, 64):
        for lines in (1, 2, 60, 1000, 1 << 15, 1 << 20, 1 << 24):
            for bits in (1, 33, 1000, 1 << 15, 1 << 20, 1 << 25, 1 << 28, 1 << 30):
                size = Size(lines, bits, radius)
                if device_plans.fits(size):
                    whole = places(size, 1)
                    streams = 2 * -(-lines * bits // 32)
                    assert whole.scratch_words + streams < 1 << 31, size
                    assert 32 * size.words * 2 < 1 << 31
    assert device_plans.fits(Size(4320, 7680, 64)) and device_plans.fits(Size(1 << 14, 1 << 15, 64))
    assert not device_plans.fits(Size(1, 1 << 30, 64))  # maps are taller than the frame
    assert not device_plans.fits(Size(480, 854, 65))


@pytest.mark.parametrize("size", [(1, 1), (1, 200), (90, 1), (7, 7), (64, 65), (480, 854)])
def test_memory_of_a_chunk_is_bounded_whatever_the_size(size: tuple[int, int]) -> None:
    frame = Size(*size, 1)
    frames = device_clips.frames_at_once(frame)
    streams = 8 * frames * -(-size[0] * size[1] // 32)
    assert 4 * places(frame, frames).scratch_words + streams < 2.6 * device_clips.CHUNK_BYTES


def test_kernels_are_launched_on_the_device_of_the_masks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Triton takes the current device, which need not be theirs."""
    chosen = device_plans.launching_on(torch.device("cuda:1"))
    assert isinstance(chosen, torch.cuda.device) and chosen.idx == 1
    inside: list[str] = []
    launched: list[tuple[str, list[str]]] = []

    @contextmanager
    def noted(where: torch.device) -> Iterator[None]:
        inside.append(where.type)
        yield
        inside.pop()

    class Kernel:
        def __init__(self, name: str) -> None:
            self.name = name

        def __getitem__(self, grid: tuple[int, ...]) -> Callable[..., None]:
            return lambda *_, **__: launched.append((self.name, list(inside)))

    kernels = SimpleNamespace(**{name: Kernel(name) for name in ("pack", "outline", "match")})
    monkeypatch.setitem(sys.modules, "benchmark.metrics.triton_kernels", kernels)
    monkeypatch.setattr(benchmark.metrics, "triton_kernels", kernels, raising=False)
    monkeypatch.setattr(device_launches, "uses_triton", lambda masks, form: True)
    monkeypatch.setattr(device_plans, "launching_on", noted)
    masks = torch.zeros(1, 4, 5)
    tensor_counts(masks, masks)
    device_engine.prepare_truth(masks).counts(masks)
    names = ["pack", "outline", "match"]
    assert launched == [(name, ["cpu"]) for name in [*names, "pack", *names]]


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a CUDA device")
def test_cuda_is_refused_in_one_sentence_without_a_device() -> None:
    track = encode_track(np.ones((1, 3, 3), bool))
    with pytest.raises(EnvironmentProblem, match="torch sees none on this machine") as caught:
        engines.track_counts(track, track, 1, "cuda")
    assert caught.value.exit_code == 1 and "\n" not in str(caught.value)
    with pytest.raises(EnvironmentProblem, match="torch sees none on this machine"):
        engines.mask_counts(np.ones((1, 3, 3), bool), np.ones((1, 3, 3), bool), 1, "cuda")


def test_cuda_without_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(EnvironmentProblem, match="needs torch, which is not installed"):
        device_engine.require_device()
    with pytest.raises(EnvironmentProblem, match="need the package triton"):
        device_launches.uses_triton(torch.zeros(1), "triton")


@pytest.mark.parametrize("trouble", ["Failed to find C compiler.\nMore.", ""])
def test_triton_without_a_compiler(
    trouble: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """`auto` says once that it takes the other form; who asks for the kernels is told what is missing."""

    def target() -> None:
        if trouble:
            raise RuntimeError(trouble)

    driver = SimpleNamespace(active=SimpleNamespace(get_current_target=target))
    modules = {
        "triton": SimpleNamespace(knobs=None),
        "triton.runtime": SimpleNamespace(),
        "triton.runtime.driver": SimpleNamespace(driver=driver),
    }
    for name, module in modules.items():
        monkeypatch.setitem(sys.modules, name, module)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: name)
    asks = (device_launches.what_hinders_triton, device_launches._said_once_what_hinders)
    masks = SimpleNamespace(is_cuda=True)
    try:
        for ask in asks:
            ask.cache_clear()
        for _ in range(2):
            assert device_launches.uses_triton(masks, "auto") is not bool(trouble)  # type: ignore[arg-type]
        assert [record.getMessage() for record in caplog.records] == [
            "Triton cannot launch kernels here (Failed to find C compiler.); masks on the GPU are counted by "
            "the slower form in plain torch, the same numbers. Install a C compiler (gcc or clang) and the "
            "headers of Python (python3-dev)."
        ] * bool(trouble)
        if trouble:
            with pytest.raises(EnvironmentProblem, match=r"find C compiler\.\. Fix: install a C compiler"):
                device_launches.uses_triton(masks, "triton")  # type: ignore[arg-type]
        else:
            assert device_launches.uses_triton(masks, "triton")  # type: ignore[arg-type]
    finally:
        for ask in asks:
            ask.cache_clear()


@pytest.mark.skipif(importlib.util.find_spec("triton") is None, reason="Triton is not installed")
def test_the_kernels_in_the_interpreter() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.benchmark.kernel_cases"],
        cwd=Path(__file__).resolve().parents[2],
        env={**os.environ, "TRITON_INTERPRET": "1", "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
    )
    if "only 0-dimensional arrays can be converted" in done.stderr:
        pytest.skip("the interpreter of this Triton does not know this NumPy (3.6 and 2.4: 3.9 does)")
    assert done.stdout == "equal\n", done.stderr


def on_gpu(test: Callable[..., None]) -> Callable[..., None]:
    """Marks a test that needs a CUDA device."""
    skip = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
    return pytest.mark.gpu(skip(test))


@on_gpu
@pytest.mark.parametrize("form", ["triton", "torch"])
def test_on_a_gpu(form: str) -> None:
    rng = np.random.default_rng(9)
    pairs = [adversarial_pair(rng, 400) for _ in range(300)]
    clips = [TensorPair(*(masks.cuda() for masks in tensors(pair))) for pair in pairs]
    found = batch_counts(clips, radius=[pair.radius for pair in pairs], form=form)
    assert found.numpy().tolist() == [expected(pair) for pair in pairs]
    assert found.truth_areas.tolist() == [np.count_nonzero(pair.truth) for pair in pairs]


@on_gpu
@pytest.mark.parametrize("case", CASES)
def test_the_kernels_on_a_gpu(case: Callable[[torch.device], None]) -> None:
    case(torch.device("cuda"))


@on_gpu
@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="one CUDA device")
def test_masks_on_another_gpu_than_the_current_one() -> None:
    masks = torch.from_numpy(np.random.default_rng(7).random((2, 3, 60, 90)) < 0.4)
    wanted = tensor_counts(*masks).numpy()
    assert np.array_equal(tensor_counts(*masks.to("cuda:1")).numpy(), wanted)


def logits_on_a_gpu(frames: int) -> TensorPair:
    generator = torch.Generator(device="cuda").manual_seed(0)
    smooth = torch.randn(2, frames, 30, 54, generator=generator, device="cuda")
    truth, predicted = torch.nn.functional.interpolate(smooth, (240, 427), mode="bilinear")
    return TensorPair(truth > 0.3, predicted)


@on_gpu
def test_a_prepared_truth_on_a_gpu() -> None:
    truth, logits = logits_on_a_gpu(5)
    whole = tensor_counts(truth, logits)
    counted = device_engine.prepare_truth(truth).counts(logits)
    assert torch.equal(counted.counts, whole.counts)
    assert torch.equal(counted.truth_areas, whole.truth_areas)


@on_gpu
def test_text_on_a_gpu() -> None:
    truth, logits = (masks.cpu().numpy() for masks in logits_on_a_gpu(5))
    texts = [[encode(mask) for mask in masks] for masks in (truth, logits > 0)]
    found = device_texts.track_counts(*texts, 240, 427, 4)
    assert found.tolist() == [frame_counts(*pair, 4).tolist() for pair in zip(truth, logits > 0, strict=True)]


@on_gpu
def test_the_same_integers_every_time() -> None:
    pair = logits_on_a_gpu(40)
    first = tensor_counts(*pair)
    for _ in range(20):
        again = tensor_counts(*pair)
        assert torch.equal(again.counts, first.counts) and torch.equal(again.truth_areas, first.truth_areas)


@on_gpu
def test_memory_does_not_grow_with_the_clip(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device_clips, "CHUNK_BYTES", 1 << 20)
    peaks = []
    for frames in (100, 400):
        pair = logits_on_a_gpu(frames)
        tensor_counts(*pair)
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        tensor_counts(*pair)
        peaks.append(torch.cuda.max_memory_allocated() - before)
        del pair
    assert peaks[1] < peaks[0] + (1 << 18)  # the integers themselves: 72 bytes a frame


@on_gpu
def test_nothing_waits_and_no_mask_travels() -> None:
    """The host is told when torch would make it wait: copies to it, and anything else that synchronises."""
    pair = logits_on_a_gpu(50)
    tensor_counts(*pair)  # compiles
    torch.cuda.synchronize()
    torch.cuda.set_sync_debug_mode("error")
    try:
        counted = tensor_counts(*pair)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert counted.numpy().shape == (50, 6)


def test_the_kernels_want_a_device() -> None:
    if importlib.util.find_spec("triton") is None:
        pytest.skip("Triton is not installed")
    with pytest.raises(EnvironmentProblem, match="masks on a CUDA device"):
        device_launches.uses_triton(torch.zeros(1), "triton")
