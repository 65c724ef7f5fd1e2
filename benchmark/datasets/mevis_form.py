"""The reader of datasets in the form of MeViS: the layout of InterRVOS without targets and caption types.

MeViS has it by nature; Ref-YouTube-VOS and Ref-DAVIS have it as the authors of InterRVOS rewrote them
(`meta_expressions.json` with `anno_id`, `mask_dict.json` of run lengths). The original form of the latter
two, one pickle of masks or none, is another one and not read here. Every expression has one role: the actor.

    DIR/JPEGImages/<video>/<frame>.jpg    DIR/meta_expressions.json    DIR/mask_dict.json
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from benchmark.datasets.interrvos import InterrvosDataset
from benchmark.datasets.split_folder import IMAGE_FOLDER, VARIANTS, SplitFolder
from benchmark.errors import DatasetError


@dataclass(frozen=True, slots=True)
class MevisFormSource:
    """One dataset of this form.

    Attributes:
        name: the name it is opened by.
        folder: what its folder is called below the folder of all datasets.
        splits: the ones that have masks.
        scored_elsewhere: the ones whose masks are kept on a server.
        source: where the files come from.
    """

    name: str
    folder: str
    splits: tuple[str, ...]
    scored_elsewhere: tuple[str, ...]
    source: str


MEVIS = MevisFormSource(
    "mevis", "mevis", ("train", "valid_u"), ("valid",), "the MeViS dataset (henghuiding.github.io/MeViS)"
)
REF_YOUTUBE_VOS = MevisFormSource(
    "ref-youtube-vos", "ref_ytbvos", ("train",), ("valid",), "Ref-YouTube-VOS, rewritten in the form of MeViS"
)
REF_DAVIS17 = MevisFormSource(
    "ref-davis17", "ref_davis", ("train", "valid"), (), "Ref-DAVIS17, rewritten in the form of MeViS"
)


def open_mevis_form(
    source: MevisFormSource,
    data_root: Path,
    split: str,
    *,
    strict: bool = True,
    need_frames: bool = True,
) -> InterrvosDataset:
    """Open one split.

    Args:
        data_root: the split's folder, its parent, or the folder of all datasets (`mevis/<split>/`).
        strict, need_frames: as `benchmark.datasets.interrvos.open_split`.

    Raises:
        DatasetError: when the split has no masks to score with, the folder is not there, or anything in its
            files is wrong.
    """
    expressions, masks = VARIANTS["released"]
    places = (data_root / source.folder / split, data_root / split, data_root)
    folder = next((place for place in places if (place / expressions).is_file()), None)
    if folder is None:
        raise DatasetError(
            f"no {expressions} of {source.name} here",
            where=str(data_root),
            expected=f"{split}/{expressions} or {source.folder}/{split}/{expressions}",
            found="a folder without them" if data_root.is_dir() else "no such folder",
            fix=f"get {source.source} and name its folder; splits with masks: {', '.join(source.splits)}",
        )
    if not (folder / masks).is_file():
        hidden = split in source.scored_elsewhere
        raise DatasetError(
            "the masks of this split are kept on a server" if hidden else "the mask file is missing",
            where=str(folder / masks),
            fix=f"use a split with masks: {', '.join(source.splits)}"
            if hidden
            else f"get it from {source.source}",
        )
    found = SplitFolder(folder, folder / expressions, folder / masks, folder / IMAGE_FOLDER, source.source)
    return InterrvosDataset(source.name, split, found, strict, need_frames)
