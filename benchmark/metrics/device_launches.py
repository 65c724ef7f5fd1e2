"""Counting pieces of clips on a device by one of two forms, the kernels of `triton_kernels` or plain torch.

    forms        `triton`   the kernels, as `device_plans` launches them; CUDA (or Triton's interpreter)
                 `torch`    the packed form of `packed_tensors`; any device
                 `auto`     `triton` on CUDA where Triton is installed and can launch, else `torch`

Both give the same integers.
"""

from __future__ import annotations

import importlib.util
import logging
import subprocess
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from typing import TYPE_CHECKING, NamedTuple

from benchmark.errors import EnvironmentProblem, UsageError
from benchmark.metrics import device_plans, packed_tensors
from benchmark.metrics.definition import COLUMNS
from benchmark.metrics.device_clips import Piece, Size, frames_at_once, rounded
from benchmark.metrics.device_plans import NOTES_AT, ROW_COLUMNS, Bits, Part
from benchmark.metrics.packed_tensors import Outlined

if TYPE_CHECKING:
    from torch import Tensor, device

FORMS = ("auto", "triton", "torch")
_COMPILER_HELPS = "install a C compiler (gcc or clang) and the headers of Python (python3-dev)"

_LOG = logging.getLogger(__name__)


def uses_triton(masks: Tensor, form: str) -> bool:
    """Whether masks on this device are counted by the Triton kernels.

    Raises:
        UsageError: when there is no such form.
        EnvironmentProblem: when `triton` is asked for and cannot run.
    """
    if form not in FORMS:
        raise UsageError("unknown form of the device engine", expected=" or ".join(FORMS), found=form)
    if form == "torch":
        return False
    installed = importlib.util.find_spec("triton") is not None
    if form == "auto":
        return installed and masks.is_cuda and not _said_once_what_hinders(what_hinders_triton())
    if not installed:
        raise EnvironmentProblem("the Triton kernels need the package triton", fix="pip install triton")
    from triton import knobs

    if not (masks.is_cuda or knobs.runtime.interpret):
        raise EnvironmentProblem(
            "the Triton kernels need masks on a CUDA device",
            found=f"masks on {masks.device}",
            fix="use form 'torch', or TRITON_INTERPRET=1 to try the kernels without a GPU",
        )
    if masks.is_cuda and (hindrance := what_hinders_triton()):
        raise EnvironmentProblem("Triton cannot launch kernels here", found=hindrance, fix=_COMPILER_HELPS)
    return True


@cache
def what_hinders_triton() -> str:
    """Why Triton cannot launch kernels on this machine's CUDA devices; "" where it can.

    Its first launch builds a small library, with a C compiler and the headers of Python.
    """
    from triton.runtime.driver import driver

    try:
        driver.active.get_current_target()
    except (RuntimeError, OSError, ImportError, subprocess.CalledProcessError) as error:
        return str(error).splitlines()[0] if str(error) else type(error).__name__
    return ""


@cache
def _said_once_what_hinders(hindrance: str) -> bool:
    if hindrance:
        _LOG.warning(
            "Triton cannot launch kernels here (%s); masks on the GPU are counted by the slower form in "
            "plain torch, the same numbers. %s.",
            hindrance,
            _COMPILER_HELPS[0].upper() + _COMPILER_HELPS[1:],
        )
    return bool(hindrance)


def count_chunks(chunks: Iterable[Sequence[Piece]], frames: int, threshold: float, form: str) -> Tensor:
    """Rows (N, `ROW_COLUMNS`) of `frames` frames, see `device_plans.count`."""
    rows, first = None, 0
    for chunk in chunks:
        if rows is None:
            rows = empty_rows(frames, chunk[0].masks.truth.device)
        last = first + sum(len(piece.masks.truth) for piece in chunk)
        fits = all(device_plans.fits(piece.size) for piece in chunk)
        if fits and uses_triton(chunk[0].masks.truth, form):
            device_plans.count([_part(piece, threshold) for piece in chunk], rows[first:last])
        else:
            for piece in chunk:
                end = first + len(piece.masks.truth)
                truth, predicted = (_packed(masks, threshold) for masks in piece.masks)
                ours = _outlined(truth.words, piece.size)
                _count_outlined(ours, predicted, piece.size, rows[first:end])
                rows[first:end, NOTES_AT] = truth.unclear
                first = end
        first = last
    assert rows is not None
    return rows


def count_words(truth: Tensor, predictions: Iterable[Tensor], size: Size, form: str) -> Iterator[Tensor]:
    """The six integers (N, 6) for each prediction, all as packed words (N, L, K) of `packed_tensors`.

    The torch form bounds and dilates the truth once; for the kernels that costs less than fetching it would.
    """
    if device_plans.fits(size) and uses_triton(truth, form):
        ours = device_plans.bits_of(truth)
        for predicted in predictions:
            rows = empty_rows(len(truth), truth.device)
            device_plans.count([Part(ours, device_plans.bits_of(predicted), size, len(truth))], rows)
            yield rows[:, : len(COLUMNS)]
        return
    outlined = _outlined(truth, size)
    for predicted in predictions:
        yield packed_tensors.count_outlined(outlined, _outlined(predicted, size))[:, : len(COLUMNS)]


class Prepared(NamedTuple):
    """A truth that many predictions are counted against, in parts of `frames_at_once` frames.

    A part is packed, for the kernels; for the torch form also bounded and dilated. `unclear` (T,) bool are
    frames that hold a value that is not a number.
    """

    parts: tuple[Bits | Outlined, ...]
    unclear: Tensor
    size: Size


def prepare(truth: Tensor, size: Size, threshold: float, form: str) -> Prepared:
    """Do the truth's part of the counting of a (T, H, W) tensor once."""
    import torch

    parts: list[Bits | Outlined] = []
    unclear = [torch.zeros(0, dtype=torch.bool, device=truth.device)]
    kernels = device_plans.fits(size) and uses_triton(truth, form)
    for masks in truth.split(frames_at_once(size)) if len(truth) else ():
        if kernels:
            bits, wrong = device_plans.pack(device_plans.masks_of(masks, rounded(threshold, masks)))
            parts.append(bits)
            unclear.append(wrong)
        else:
            packed = _packed(masks, threshold)
            parts.append(_outlined(packed.words, size))
            unclear.append(packed.unclear)
    return Prepared(tuple(parts), torch.cat(unclear), size)


def count_prepared(truth: Prepared, predicted: Tensor, threshold: float) -> Tensor:
    """Rows of `count_chunks` of one prediction."""
    rows = empty_rows(len(predicted), predicted.device)
    step = frames_at_once(truth.size)
    for index, ours in enumerate(truth.parts):
        part = slice(index * step, (index + 1) * step)
        masks = predicted[part]
        if isinstance(ours, Bits):
            theirs = device_plans.masks_of(masks, rounded(threshold, masks))
            device_plans.count([Part(ours, theirs, truth.size, len(masks))], rows[part])
        else:
            _count_outlined(ours, _packed(masks, threshold), truth.size, rows[part])
    rows[:, NOTES_AT] = truth.unclear
    return rows


def empty_rows(frames: int, where: device) -> Tensor:
    """Rows of zeros for `device_plans.count` to add to."""
    import torch

    return torch.zeros((frames, ROW_COLUMNS), dtype=torch.int64, device=where)


def _part(piece: Piece, threshold: float) -> Part:
    truth, predicted = (device_plans.masks_of(masks, rounded(threshold, masks)) for masks in piece.masks)
    return Part(truth, predicted, piece.size, len(piece.masks.truth))


def _packed(masks: Tensor, threshold: float) -> packed_tensors.Packed:
    return packed_tensors.pack(masks, rounded(threshold, masks))


def _outlined(words: Tensor, size: Size) -> Outlined:
    return packed_tensors.outlined(words, size.bits, size.radius)


def _count_outlined(truth: Outlined, predicted: packed_tensors.Packed, size: Size, rows: Tensor) -> None:
    rows[:, :NOTES_AT] = packed_tensors.count_outlined(truth, _outlined(predicted.words, size))
    rows[:, NOTES_AT + 1] = predicted.unclear
