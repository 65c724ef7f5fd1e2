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
from benchmark.metrics import device_clips, device_plans, device_texts
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


def bytes_of_any_value(on: torch.device) -> None:
    """Every byte at every place of a vector; also as booleans, whose bytes may be more than 0 and 1."""
    values = torch.arange(256, dtype=torch.uint8)
    masks = torch.stack([values.roll(shift) for shift in range(16)]).view(1, 16, 256)
    masks = torch.cat((masks, masks.flip(2) * (masks % 3 == 0)))
    truth, predicted = masks.to(on), masks.flip(0).contiguous().to(on)
    expected = wanted((masks != 0).numpy(), (masks.flip(0) != 0).numpy(), 2)
    for kinds in ((torch.uint8, torch.bool), (torch.bool, torch.bool), (torch.uint8, torch.uint8)):
        sides = (side.view(kind) for side, kind in zip((truth, predicted), kinds, strict=True))
        assert tensor_counts(*sides, radius=2, form="triton").numpy().tolist() == expected, kinds


def no_tolerance(on: torch.device) -> None:
    """Tolerance 0 alone in a launch, on frames taller than anything before their maps."""
    rng = np.random.default_rng(5)
    for size in ((90, 131), (1, 1), (300, 2)):
        truth, predicted = (rng.random((2, *size)) < 0.3 for _ in range(2))
        sides = (torch.from_numpy(masks).to(on) for masks in (truth, predicted))
        found = tensor_counts(*sides, radius=0, form="triton").numpy()
        assert found.tolist() == wanted(truth, predicted, 0), size


def frames_of_a_pixel_or_a_line(on: torch.device) -> None:
    """Clips without frames among clips of tiny ones; chunks begin at any row."""
    rng = np.random.default_rng(6)
    pairs, radii, expected = [], [], []
    for index, (frames, *size) in enumerate(((77, 1, 1), (0, 5, 5), (9, 1, 33), (0, 1, 1), (9, 65, 1))):
        truth, predicted = (rng.random((frames, *size)) < 0.5 for _ in range(2))
        radii.append((1, 64, 32, 3, 33)[index])
        expected += wanted(truth, predicted, radii[-1])
        pairs.append(TensorPair(*(torch.from_numpy(masks).to(on) for masks in (truth, predicted))))
    for chunk in (1 << 20, 9 * device_clips.frame_bytes(device_clips.Size(1, 1, 1), 64)):
        with patch.object(device_clips, "CHUNK_BYTES", chunk):
            assert batch_counts(pairs, radius=radii, form="triton").numpy().tolist() == expected


def tensors_as_they_come(on: torch.device) -> None:
    """Logits that are trained, a frame repeated without memory of its own, bytes of 255, inference."""
    rng = np.random.default_rng(7)
    truth, predicted = (rng.random((3, 24, 37)) < 0.4 for _ in range(2))
    truth[:] = truth[0]
    expected = wanted(truth, predicted, 2)
    logits = (torch.from_numpy(predicted).to(on).double() - 0.5).requires_grad_()
    ours = torch.from_numpy(truth[:1]).to(on)
    for kind in (torch.float16, torch.bfloat16, torch.float32, torch.float64):
        trained = logits.to(kind)
        counted = tensor_counts(ours.expand(3, -1, -1), trained, radius=2, form="triton")
        assert counted.numpy().tolist() == expected, kind
        prepared = prepare_truth(trained, radius=2, form="triton").counts(ours.expand(3, -1, -1))
        assert prepared.numpy()[:, 4:].tolist() == [[row[5], row[4]] for row in expected], kind
    with torch.inference_mode():
        prepared_truth = prepare_truth(ours.expand(3, -1, -1).to(torch.uint8) * 255, radius=2, form="triton")
        counted = tensor_counts(ours.expand(3, -1, -1), logits.abs() > logits, radius=2, form="triton")
    assert counted.numpy()[:, 0].tolist() == (truth & ~predicted).sum((1, 2)).tolist()
    device_plans._comparison.cache_clear()
    with torch.device("meta"):  # where tensors are made that name no device
        counted = tensor_counts(ours.expand(3, -1, -1), logits.float(), radius=2, form="triton")
    assert counted.numpy().tolist() == expected
    assert prepared_truth.counts(logits).numpy().tolist() == expected


CASES: tuple[Callable[[torch.device], None], ...] = (
    mixed_sizes_tolerances_and_dtypes,
    a_tall_frame_behind_a_low_one,
    thresholds,
    values_that_are_not_numbers,
    text,
    prepared_truth_in_parts,
    views,
    bytes_of_any_value,
    no_tolerance,
    frames_of_a_pixel_or_a_line,
    tensors_as_they_come,
)


def main() -> None:
    """All cases, on the processor."""
    torch.set_num_threads(1)
    for case in CASES:
        case(torch.device("cpu"))
    sys.stdout.write("equal\n")


if __name__ == "__main__":
    main()
