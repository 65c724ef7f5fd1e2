"""Finding a split of the released layout on disk, and saying what is missing when it is not there."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

from benchmark.command_line import unknown_name
from benchmark.errors import DatasetError, UsageError

DOWNLOAD = "the Hugging Face dataset wooj0216/InterRVOS-127K"
IMAGE_FOLDER = "JPEGImages"
SPLITS = ("train", "val")

VARIANTS = {
    "released": ("meta_expressions.json", "mask_dict.json"),
    "new": ("new_meta_expressions.json", "new_mask_dict.json"),
}


@dataclass(frozen=True)
class SplitFolder:
    """The three parts of a split."""

    folder: Path
    expressions: Path
    masks: Path
    images: Path
    source: str = DOWNLOAD  # where the files come from, for messages


def find_split(
    data_root: Path | None, split: str, variant: str = "released", need_masks: bool = True
) -> SplitFolder:
    """The split at `data_root`: the folder itself, its `<split>/`, or its `InterRVOS/<split>/`.

    Raises:
        UsageError: for an unknown variant or split, or no data root.
        DatasetError: when the folder, the files or the images are not there.
    """
    if variant not in VARIANTS:
        raise UsageError(
            f"unknown variant {variant!r}", where="variant", expected=" or ".join(sorted(VARIANTS))
        )
    if data_root is None:
        raise UsageError(
            "the dataset needs a folder", where="--data-root", fix=f"download {DOWNLOAD} and name its folder"
        )
    folder = _folder(data_root, split, variant)
    expressions, masks = (folder / name for name in VARIANTS[variant])
    if need_masks and not masks.is_file():
        raise DatasetError(
            "the mask file is missing",
            where=str(masks),
            found=_contents(folder),
            fix=f"get it from {DOWNLOAD}",
        )
    return SplitFolder(folder, expressions, masks, folder / IMAGE_FOLDER)


def splits_at(data_root: Path, variant: str) -> list[str]:
    """The splits that lie at `data_root`; for the folder of one split, its own name or "val"."""
    name = VARIANTS[variant][0]
    if (data_root / name).is_file():
        here = data_root.resolve().name
        return [here if here in SPLITS else "val"]
    return [
        split
        for split in SPLITS
        if any((parent / split / name).is_file() for parent in (data_root, data_root / "InterRVOS"))
    ]


def _folder(data_root: Path, split: str, variant: str) -> Path:
    if not data_root.is_dir():
        what = "the data root is a file" if data_root.exists() else "the data root does not exist"
        raise DatasetError(
            what, where=str(data_root), expected="a folder", fix=f"download {DOWNLOAD} and name its folder"
        )
    name = VARIANTS[variant][0]
    if (data_root / name).is_file():
        here = data_root.resolve().name
        # A folder that lies flat does not say which split it is: a typing error would name the result.
        if split not in (*SPLITS, here):
            raise unknown_name("split", split, SPLITS, "--split")
        if here in SPLITS and here != split:
            raise DatasetError(
                f"the data root is the folder of split {here!r}",
                where=str(data_root),
                expected=f"split {split!r}",
                fix=f"say --split {here}, or name its parent folder",
            )
        return data_root
    for folder in (data_root / split, data_root / "InterRVOS" / split):
        if (folder / name).is_file():
            return folder
    raise DatasetError(
        f"no {name} here, nor in {split}/ or InterRVOS/{split}/",
        where=str(data_root),
        expected=f"the released layout: {name}, {VARIANTS[variant][1]}, {IMAGE_FOLDER}/<video>/<frame>.jpg",
        found=_contents(data_root),
        fix=_mend(data_root, split, variant),
    )


def _mend(data_root: Path, split: str, variant: str) -> str:
    for folder in (data_root, data_root / split, data_root / "InterRVOS" / split):
        for other, (expressions, _) in VARIANTS.items():
            if other != variant and (folder / expressions).is_file():
                dataset = "interrvos" if other == "released" else f"interrvos-{other}"
                return f"{folder} has {expressions}: choose the variant {other!r} (--dataset {dataset})"
    known = [item.name for parent in (data_root, data_root / "InterRVOS") for item in _folders(parent)]
    near = get_close_matches(split, known, n=1, cutoff=0.4)
    hint = f"did you mean --split {near[0]}? Otherwise " if near and near[0] != split else ""
    return f"{hint}download {DOWNLOAD} and unpack it there"


def missing_image_folders(split: SplitFolder, video_ids: Sequence[str]) -> list[str]:
    """The videos without a folder of frames.

    Raises:
        DatasetError: when there is no image folder at all.
    """
    if not split.images.is_dir():
        raise DatasetError(
            "the frames are missing",
            where=str(split.images),
            expected=f"{len(video_ids)} folders of jpg files",
            found="no such folder",
            fix=f"unpack the image archives of {split.source} there",
        )
    present = set(os.listdir(split.images))
    return [video_id for video_id in video_ids if video_id not in present]


def _folders(parent: Path) -> list[Path]:
    return [item for item in parent.iterdir() if item.is_dir()] if parent.is_dir() else []


def _contents(folder: Path) -> str:
    names = sorted(item.name + ("/" if item.is_dir() else "") for item in folder.iterdir())
    if not names:
        return "an empty folder"
    return ", ".join(names[:6]) + (f" and {len(names) - 6} more" if len(names) > 6 else "")
