"""Datasets by name: an explicit table of readers, and what every reader offers.

A reader turns files on disk into `Video`s and hands out truth tracks and frames on demand; it never
holds all masks in memory.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from inspect import Parameter, signature
from pathlib import Path
from typing import Any, Protocol

from benchmark.command_line import unknown_name
from benchmark.errors import UsageError
from benchmark.frames import FrameSequence
from benchmark.types import MaskTrack, Video


class Dataset(Protocol):
    """What the referee needs of a dataset.

    Attributes:
        name: the name it is opened by.
        split: "train", "val", ...
        digest: SHA-256 over expressions and masks; two datasets with one digest give the same scores.
        videos: in the order of the file.
    """

    name: str
    split: str
    digest: str
    videos: Sequence[Video]

    def frame_size(self, video: Video) -> tuple[int, int]:
        """(height, width) of the truth of a video, without opening images where masks tell it."""
        ...

    def frames(self, video: Video) -> FrameSequence:
        """The pixels of a video."""
        ...

    def frames_fingerprint(self, video: Video) -> str:
        """Changes when the frame files of a video are replaced; cheap, no file is read."""
        ...

    def truth(self, video: Video, annotation_ids: Sequence[str]) -> MaskTrack:
        """Union of the annotated tracks over all frames; an empty id list gives an empty track."""
        ...


@dataclass(frozen=True)
class DatasetEntry:
    """One row of the table of datasets.

    Attributes:
        summary: one line for lists.
        needs_data_root: whether the files must be downloaded first.
        reader: opens a split; keyword arguments after the first two are its options.
        source: where its files come from.
    """

    summary: str
    needs_data_root: bool
    reader: Callable[..., Dataset]
    source: str = "the Hugging Face dataset wooj0216/InterRVOS-127K"


def _interrvos(
    data_root: Path | None,
    split: str,
    *,
    variant: str = "released",
    strict: bool = True,
    need_frames: bool = True,
) -> Dataset:
    from benchmark.datasets.interrvos import open_split

    # Another name, so that a result says which annotation it was scored on.
    name = "interrvos" if variant == "released" else f"interrvos-{variant}"
    return open_split(data_root, split, name=name, variant=variant, strict=strict, need_frames=need_frames)


def _interrvos_new(
    data_root: Path | None, split: str, *, strict: bool = True, need_frames: bool = True
) -> Dataset:
    return _interrvos(data_root, split, variant="new", strict=strict, need_frames=need_frames)


def _synthetic(
    data_root: Path | None, split: str, *, strict: bool = True, need_frames: bool = True
) -> Dataset:
    from benchmark.datasets.interrvos import open_split
    from benchmark.datasets.synthetic import cached_split

    root = cached_split(split) if data_root is None else data_root
    return open_split(root, split, name="interrvos-synthetic", strict=strict, need_frames=need_frames)


def _mevis(data_root: Path, split: str, *, strict: bool = True, need_frames: bool = True) -> Dataset:
    from benchmark.datasets.mevis_form import MEVIS, open_mevis_form

    return open_mevis_form(MEVIS, data_root, split, strict=strict, need_frames=need_frames)


def _ref_youtube_vos(
    data_root: Path, split: str, *, strict: bool = True, need_frames: bool = True
) -> Dataset:
    from benchmark.datasets.mevis_form import REF_YOUTUBE_VOS, open_mevis_form

    return open_mevis_form(REF_YOUTUBE_VOS, data_root, split, strict=strict, need_frames=need_frames)


def _ref_davis17(data_root: Path, split: str, *, strict: bool = True, need_frames: bool = True) -> Dataset:
    from benchmark.datasets.mevis_form import REF_DAVIS17, open_mevis_form

    return open_mevis_form(REF_DAVIS17, data_root, split, strict=strict, need_frames=need_frames)


DATASETS: Mapping[str, DatasetEntry] = {
    "interrvos": DatasetEntry("InterRVOS-127K in its released layout", True, _interrvos),
    "interrvos-new": DatasetEntry("the same with its new_* annotation files", True, _interrvos_new),
    "interrvos-synthetic": DatasetEntry("short rendered clips with exact masks, built in", False, _synthetic),
    "mevis": DatasetEntry("MeViS: sentences about motion", True, _mevis, "the MeViS dataset"),
    "ref-youtube-vos": DatasetEntry(
        "Ref-YouTube-VOS in the form of MeViS", True, _ref_youtube_vos, "Ref-YouTube-VOS"
    ),
    "ref-davis17": DatasetEntry(
        "Ref-DAVIS17 in the form of MeViS, one expression at a time", True, _ref_davis17, "Ref-DAVIS17"
    ),
}


def open_dataset(name: str, data_root: Path | None = None, split: str = "val", **options: Any) -> Dataset:
    """Open one split of a dataset by name.

    `interrvos` takes the options `variant` ("released" or "new"), `strict` and `need_frames`
    (see `benchmark.datasets.interrvos.open_split`); the others the last two. `interrvos-new` is `interrvos`
    in the variant "new".

    Raises:
        UsageError: for an unknown dataset or option, or a missing data root.
        DatasetError: for anything wrong in the files, with all problems.
        OutputError: when a place that must be written to (index, rendered clips) cannot be.
    """
    if name not in DATASETS:
        raise unknown_name("dataset", name, list(DATASETS), "--dataset")
    reader = DATASETS[name].reader
    known = [
        key for key, value in signature(reader).parameters.items() if value.kind is Parameter.KEYWORD_ONLY
    ]
    for option in options:
        if option not in known:
            raise unknown_name(f"option of dataset {name}", option, known, "open_dataset")
    if data_root is None and DATASETS[name].needs_data_root:
        raise UsageError(
            f"the dataset {name} needs a folder",
            where="--data-root",
            expected="the folder of the released files",
            fix=f"download {DATASETS[name].source}, or leave --dataset out: interrvos-synthetic is built in",
        )
    return reader(data_root, split, **options)
