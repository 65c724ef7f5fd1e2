"""What the kernels of the device engine must count, on whatever runs them: a GPU, or a stand-in for one.

    TRITON_INTERPRET=1 python -m tests.benchmark.kernel_cases     Triton's interpreter

Each case compares form "triton" with the definition, or with form "torch" where masks hold no bits.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from unittest.mock import patch

import numpy as np
import torch
from numpy.typing import NDArray

from benchmark.masks import encode
from benchmark.metrics import device_clips, device_texts
from benchmark.metrics.definition import frame_counts
from benchmark.metrics.device_clips import TensorPair
from benchmark.metrics.device_engine import batch_counts, prepare_truth, tensor_counts
from tests.benchmark.mask_generators import FAMILIES

SIZES = ((70, 131), (1, 200), (33, 64), (90, 1), (64, 130), (7, 7))
TOLERANCES = (5, 1, 33, 8, 64, 0, 32)


def track(rng: np.random.Generator, family: str, frames: int, size: tuple[int, int]) -> NDArray[np.bool_]:
    return np.stack([FAMILIES[family](rng, *size, 5) for _ in range(frames)])


def wanted(truth: NDArray[np.bool_], predicted: NDArray[np.bool_], radius: int) -> list[list[int]]:
    return [frame_counts(*pair, radius).tolist() for pair in zip(truth, predicted, strict=True)]


def as_kind(masks: torch.Tensor, kind: int) -> torch.Tensor:
    """The same masks as booleans, bytes, logits of 16, 32 or 64 bits."""
    if kind == 0:
        return masks
    if kind == 1:
        return masks.to(torch.uint8) * 200
    return masks.to((torch.bfloat16, torch.float16, torch.float32, torch.float64)[kind - 2]) - 0.5


def mixed_sizes_tolerances_and_dtypes(on: torch.device) -> None:
    """One launch: every family, 1 to 3 frames, lines that begin at any bit, disks up to 64 pixels."""
    rng = np.random.default_rng(0)
    pairs, radii, expected = [], [], []
    for index, family in enumerate(sorted(FAMILIES)):
        truth, predicted = (track(rng, family, 1 + index % 3, SIZES[index % len(SIZES)]) for _ in range(2))
        radii.append(TOLERANCES[index % len(TOLERANCES)])
        expected += wanted(truth, predicted, radii[-1])
        kinds = (0, index % 6) if index % 2 else (1, (index + 3) % 6)
        sides = (torch.from_numpy(masks).to(on) for masks in (truth, predicted))
        pairs.append(TensorPair(*map(as_kind, sides, kinds)))
    found = batch_counts(pairs, radius=radii, form="triton")
    assert found.numpy().tolist() == expected
    areas = [int(mask.count_nonzero()) for pair in pairs for mask in pair.truth > 0]
    assert found.truth_areas.tolist() == areas


def a_tall_frame_behind_a_low_one(on: torch.device) -> None:
    """A wide disk at the left border of a frame, with boundary all over the smaller frame before it."""
    rng = np.random.default_rng(4)
    low = [rng.random((2, 9, 70)) < 0.5 for _ in range(2)]
    tall = [np.zeros((1, 90, 40), np.bool_) for _ in range(2)]
    tall[1][:, ::11, 0] = True
    sides = [[torch.from_numpy(masks).to(on) for masks in pair] for pair in (low, tall)]
    found = batch_counts([TensorPair(*pair) for pair in sides], radius=[3, 60], form="triton").numpy()
    assert found.tolist() == wanted(*low, 3) + wanted(*tall, 60)


def thresholds(on: torch.device) -> None:
    """Values at, next to and far from thresholds of either sign, infinite ones too."""
    generator = torch.Generator().manual_seed(0)
    truth = (torch.rand(2, 31, 37, generator=generator) > 0.5).to(on)
    for dtype in (torch.float16, torch.bfloat16, torch.float32, torch.float64):
        for threshold in (0.0, 0.3, -0.3):
            logits = torch.randn(2, 31, 37, generator=generator).to(dtype)
            edge = torch.tensor(threshold, dtype=dtype)
            beside = [torch.nextafter(edge.float(), torch.tensor(sign * torch.inf)) for sign in (1, -1)]
            specials = [torch.inf, -torch.inf, 0.0, -0.0, float(edge), *map(float, beside)]
            logits[0, 0, : len(specials)] = torch.tensor(specials, dtype=torch.float64).to(dtype)
            found = tensor_counts(truth, logits.to(on), threshold=threshold, form="triton").numpy()
            expected = tensor_counts(truth.cpu(), logits, threshold=threshold, form="torch").numpy()
            assert np.array_equal(found, expected), (dtype, threshold)


def values_that_are_not_numbers(on: torch.device) -> None:
    """Frames that end within a vector of 16 bytes; each NaN is noted for its own frame and side."""
    for dtype in (torch.float16, torch.bfloat16, torch.float32, torch.float64):
        clean = torch.zeros(5, 3, 7, dtype=dtype)
        wrong = clean.clone()
        wrong[1, 2, 6], wrong[2, 0, 0], wrong[4, 2, 6] = torch.nan, -torch.nan, torch.nan
        places = [False, True, True, False, True]
        for truth, predicted, column in ((wrong, clean, 0), (clean, wrong, 1)):
            unclear = tensor_counts(truth.to(on), predicted.to(on), form="triton").unclear
            assert unclear[:, column].tolist() == places and not unclear[:, 1 - column].any(), dtype


def text(on: torch.device) -> None:
    """Run-length text: lines are columns, and begin at whole words."""
    rng = np.random.default_rng(1)
    truth, predicted = (track(rng, "blobs", 3, (70, 131)) for _ in range(2))
    texts = [[encode(mask) for mask in masks] for masks in (truth, predicted)]
    found = device_texts.track_counts(*texts, 70, 131, 4, on=on, form="triton")
    assert found.tolist() == wanted(truth, predicted, 4)


def prepared_truth_in_parts(on: torch.device) -> None:
    """A truth packed once, a clip cut into chunks of two frames, and both together."""
    rng = np.random.default_rng(2)
    truth, predicted = (track(rng, "blobs", 5, (41, 67)) for _ in range(2))
    ours, theirs = (torch.from_numpy(masks).to(on) for masks in (truth, predicted))
    expected = wanted(truth, predicted, 6)
    prepared = prepare_truth(ours, radius=6, form="triton")
    assert prepared.counts(theirs.float() - 0.5).numpy().tolist() == expected
    size = device_clips.Size(41, 67, 6)
    with patch.object(device_clips, "CHUNK_BYTES", 2 * device_clips.frame_bytes(size, 6)):
        assert tensor_counts(ours, theirs, radius=6, form="triton").numpy().tolist() == expected
        counted = prepare_truth(ours.half() - 0.5, radius=6, form="triton").counts(theirs)
    assert counted.numpy().tolist() == expected
    assert counted.truth_areas.tolist() == truth.sum((1, 2)).tolist()


def views(on: torch.device) -> None:
    """Masks that begin at any address, or lie with steps between their pixels."""
    rng = np.random.default_rng(3)
    big = torch.from_numpy(rng.random((4, 50, 91)) < 0.4).to(on)
    for cut in (lambda masks: masks[1:3], lambda masks: masks[:, 3:], lambda masks: masks[..., ::3]):
        truth, predicted = cut(big), cut(big.flip(0))
        expected = wanted(truth.cpu().numpy(), predicted.cpu().numpy(), 3)
        assert tensor_counts(truth, predicted, radius=3, form="triton").numpy().tolist() == expected


CASES: tuple[Callable[[torch.device], None], ...] = (
    mixed_sizes_tolerances_and_dtypes,
    a_tall_frame_behind_a_low_one,
    thresholds,
    values_that_are_not_numbers,
    text,
    prepared_truth_in_parts,
    views,
)


def main() -> None:
    """All cases, on the processor."""
    torch.set_num_threads(1)
    for case in CASES:
        case(torch.device("cpu"))
    sys.stdout.write("equal\n")


if __name__ == "__main__":
    main()
