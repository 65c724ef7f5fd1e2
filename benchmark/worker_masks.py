"""Masks that a program in another process wrote, as tracks; what cannot be used fails its own query.

Accepted are a folder of 00000.png, 00001.png, ..., a `.npy` array (T, H, W), and a `.json` file
{"size": [H, W], "counts": [COCO run-length text or null per frame]}.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmark.errors import MaskError
from benchmark.frames import FrameSequence
from benchmark.masks import encode_track, read_mask_png, union
from benchmark.types import MaskTrack, Prediction, Query, Role, Status


def answer_of_folders(masks: Path, index: int) -> dict[str, Any] | None:
    """The answer that the folders INDEX/actor and INDEX/target are, if there is a folder INDEX."""
    roles = {role.value: f"{index}/{role}" for role in Role if (masks / str(index) / role).is_dir()}
    return {"index": index, **roles} if roles or (masks / str(index)).is_dir() else None


def read_answers(
    answer: Mapping[str, Any], queries: Sequence[Query], masks: Path, frames: FrameSequence
) -> list[Prediction]:
    """One prediction per query of what a program answered."""
    given = answer.get("answers")
    listed = given if isinstance(given, list) else []
    by_index = {one.get("index"): one for one in listed if isinstance(one, dict)}
    return [_prediction(by_index.get(query.index), masks, frames) for query in queries]


def _prediction(given: Mapping[str, Any] | None, masks: Path, frames: FrameSequence) -> Prediction:
    if given is None:
        return Prediction(status=Status.ERROR, message="the program gave no answer to this sentence")
    try:
        status = Status(given.get("status") or Status.OK)
        actor, target = (_track(given.get(role), masks, frames) for role in ("actor", "target"))
        return Prediction(
            actor=actor,
            target=target,
            status=status,
            text=_text(given, "text"),
            message=_text(given, "message"),
            prompt=_text(given, "prompt"),
            score=_finite(given, "score", -math.inf),
            gpu_seconds=_finite(given, "gpu_seconds", 0),
            peak_memory_bytes=_bytes(given, "peak_memory_bytes"),
            peak_gpu_memory_bytes=_bytes(given, "peak_gpu_memory_bytes"),
        )
    except (MaskError, ValueError, TypeError, OSError) as error:
        return Prediction(
            status=Status.ERROR, message=str(error).removesuffix("."), text=_text(given, "text")
        )


def _text(given: Mapping[str, Any], name: str) -> str | None:
    value = given.get(name)
    return value if value is None or isinstance(value, str) else json.dumps(value)


def _finite(given: Mapping[str, Any], name: str, lowest: float) -> float | None:
    if given.get(name) is None:
        return None
    value = float(given[name])
    if not math.isfinite(value) or value < lowest:
        raise ValueError(f"{name} is {value}, which it cannot be")
    return value


def _bytes(given: Mapping[str, Any], name: str) -> int | None:
    value = _finite(given, name, 0)
    return None if value is None else int(value)


def _track(name: object, masks: Path, frames: FrameSequence) -> MaskTrack | None:
    if name is None:
        return None
    path = (masks / str(name)).resolve()
    if not path.is_relative_to(masks.resolve()):
        raise MaskError("masks outside the folder that was given", found=str(name))
    if path.is_dir():
        return _png_track(path, frames)
    if path.suffix == ".npy" and path.is_file():
        return _array_track(path, frames)
    if path.suffix == ".json" and path.is_file():
        return _run_length_track(path, frames)
    raise MaskError(
        "no masks where the program says they are",
        found=str(name),
        expected="a folder of PNG files, a .npy or a .json file",
    )


def _png_track(folder: Path, frames: FrameSequence) -> MaskTrack:
    wanted = [folder / f"{index:05d}.png" for index in range(len(frames))]
    missing = [path.name for path in wanted if not path.is_file()]
    if missing:
        raise MaskError(
            f"{len(missing)} of {len(wanted)} frames have no mask",
            expected=missing[0],
            found=", ".join(sorted(path.name for path in folder.iterdir())[:3]) or "an empty folder",
        )
    arrays = [read_mask_png(path) for path in wanted]
    for index, array in enumerate(arrays):
        _check_size(array.shape, frames, f"mask {index}")
    return encode_track(np.stack(arrays))


def _array_track(path: Path, frames: FrameSequence) -> MaskTrack:
    # Mapped: what is not of the right shape is never read, however large it says it is.
    array = np.load(path, mmap_mode="r", allow_pickle=False)
    if array.ndim != 3 or len(array) != len(frames):
        raise MaskError(
            "masks have the wrong shape", expected=f"({len(frames)}, H, W)", found=str(array.shape)
        )
    _check_size(array.shape[1:], frames, path.name)
    if array.dtype != np.bool_ and not np.isin(array, (0, array.max() or 1)).all():
        raise MaskError(
            "masks hold other numbers than two", expected="bool, 0 and 1 or 0 and 255", found=path.name
        )
    return encode_track(array)


def _run_length_track(path: Path, frames: FrameSequence) -> MaskTrack:
    value = json.loads(path.read_text(encoding="utf-8"))
    counts = value.get("counts") if isinstance(value, dict) else None
    if not isinstance(counts, list) or len(counts) != len(frames):
        raise MaskError("one run-length text per frame is needed", expected=f"{len(frames)}", found=path.name)
    _check_size(tuple(value.get("size") or ()), frames, path.name)
    size = (frames.height, frames.width)
    texts = [None if text is None else union([str(text).encode()], *size) for text in counts]
    return MaskTrack(*size, tuple(texts))


def _check_size(found: tuple[int, ...], frames: FrameSequence, where: str) -> None:
    if found != (frames.height, frames.width):
        raise MaskError(
            "wrong mask size", where=where, expected=f"{frames.height}x{frames.width}", found=str(found)
        )
