"""Which form predictions have that others wrote, told from what lies there, with the reason.

Known are:

    results.json, results_pid_*.json                 ReVIOSa's and Sa2VA's inference scripts
    [Annotations/]VIDEO/EXPRESSION/FRAME.png         Ref-YouTube-VOS, MeViS, VideoLISA
    [Annotations/]VIDEO/EXPRESSION/ROLE/FRAME.png    a folder `actor` and, where one is claimed, `target`
    ROLE/VIDEO/EXPRESSION/FRAME.png                  the same, roles outside
    anno_0/VIDEO/INDEX.png, anno_1/...               Ref-DAVIS17: ReferFormer, VideoLISA; value = object
    a JSON list of {image_id, segmentation, score}   A2D and JHMDB evaluation: ReferFormer, MTTR

Every form is looked for; two at once, or none, is an error that says what was seen. A tree counts only
with videos and expressions of the dataset in it, and a folder that looks like the dataset is refused:
its `Annotations/` would be scored as if a model had drawn them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmark.coco_predictions import CocoReader
from benchmark.datasets import Dataset
from benchmark.errors import PredictionError
from benchmark.official_predictions import MERGED_NAME, PARTS, open_official
from benchmark.png_predictions import IndexedReader, MissingFrames, TreeReader, TreeShape
from benchmark.predictions import PredictionReader, refuse_unknown_videos
from benchmark.types import Role, Video

TREE_ROOT = "Annotations"
DATASET_FILES = ("JPEGImages", "meta_expressions.json", "mask_dict.json")
VIDEOLISA_OVERLAY = "masked_img_*.jpg"
_ANNOTATOR = re.compile(r"anno_(\d)")


@dataclass(frozen=True, slots=True)
class Recognised:
    """One form that fits.

    Attributes:
        layout: its name, for people.
        why: what was seen that tells it.
        reader: opens it.
    """

    layout: str
    why: str
    reader: Callable[[dict[str, Any]], PredictionReader]

    def open(self) -> PredictionReader:
        """The reader; its `run` says layout and reason."""
        return self.reader({"layout": self.layout, "recognised_by": self.why})


def open_foreign(path: Path, dataset: Dataset, missing_frames: MissingFrames = "error") -> PredictionReader:
    """Predictions in a form of somebody else.

    Args:
        missing_frames: whether a frame without a mask fails its query or is a mask without pixels.

    Raises:
        PredictionError: when no form or more than one fits, or the predictions are another dataset's.
    """
    return recognise(path, dataset, missing_frames).open()


def recognise(path: Path, dataset: Dataset, missing_frames: MissingFrames = "error") -> Recognised:
    """The one form that `path` has.

    Raises:
        PredictionError: when no form or more than one fits.
    """
    if path.is_file():
        return _of_file(path, dataset, missing_frames)
    if not path.is_dir():
        raise PredictionError(
            "no predictions here",
            where=str(path),
            expected="a folder or a JSON file",
            found="no such file or folder",
        )
    if seen := [name for name in DATASET_FILES if (path / name).exists()]:
        raise PredictionError(
            "this is a dataset, not predictions",
            where=str(path),
            found=", ".join(seen),
            fix="name the folder that the model wrote",
        )
    fitting = list(_of_folder(path, dataset, missing_frames))
    if len(fitting) == 1:
        return fitting[0]
    if fitting:
        raise PredictionError(
            "predictions in several forms lie here",
            where=str(path),
            found="; ".join(f"{one.layout} ({one.why})" for one in fitting),
            fix="name the one that is meant, or move the others away",
        )
    raise _nothing_fits(path, dataset)


def _of_file(path: Path, dataset: Dataset, missing_frames: MissingFrames) -> Recognised:
    with path.open("rb") as file:
        start = file.read(1 << 12).removeprefix(b"\xef\xbb\xbf").lstrip()[:1]
    if start == b"{":
        return Recognised(
            "official results.json", "a JSON object", lambda facts: open_official(path, dataset, facts)
        )
    if start == b"[":
        return Recognised(
            "COCO list with scores",
            "a JSON list",
            lambda facts: CocoReader(path, dataset, facts, missing_frames),
        )
    raise PredictionError(
        "not predictions in a known form",
        where=str(path),
        expected="a JSON object (results.json) or a JSON list (COCO)",
        found=f"a file that begins with {start!r}" if start else "an empty file",
        fix="unpack archives first, or give a zip to `python -m submissions.check`",
    )


def _of_folder(path: Path, dataset: Dataset, missing_frames: MissingFrames) -> Iterator[Recognised]:
    parts = sorted(path.glob(PARTS))
    if (path / MERGED_NAME).is_file() or parts:
        name = "official results.json" if not parts else "official results_pid_*.json"
        why = f"{len(parts)} files {PARTS}" if parts else MERGED_NAME
        yield Recognised(name, why, lambda facts: open_official(path, dataset, facts))
    if (one := _indexed(path, dataset)) is not None:
        yield one
    for root in (path, path / TREE_ROOT):
        shape, why = _tree(root, dataset)
        if shape is not None:
            yield _tree_layout(shape, why, path, dataset, missing_frames)
    if (shape := _roles_outside(path, dataset)) is not None:
        why = f"{' and '.join(f'{role}/' for role in shape.roles)} with videos of {dataset.name} in them"
        yield _tree_layout(shape, why, path, dataset, missing_frames)


def _tree_layout(
    shape: TreeShape, why: str, path: Path, dataset: Dataset, missing_frames: MissingFrames
) -> Recognised:
    inside = f"{TREE_ROOT}/" if shape.root != path else ""
    name = f"binary PNG tree {inside}VIDEO/EXPRESSION/FRAME.png"
    if shape.roles:
        name = f"binary PNG tree {inside}VIDEO/EXPRESSION/ROLE/FRAME.png"
    if shape.roles_outside:
        name = "binary PNG tree ROLE/VIDEO/EXPRESSION/FRAME.png"
    if not shape.roles and any(shape.root.glob(f"*/*/{VIDEOLISA_OVERLAY}")):
        name, why = f"{name} (VideoLISA's)", f"{why}; overlays {VIDEOLISA_OVERLAY} beside the masks"

    def reader(facts: dict[str, Any]) -> PredictionReader:
        roots = [shape.root / role for role in shape.roles] if shape.roles_outside else [shape.root]
        for root in roots:
            _refuse_foreign_folders(root, dataset)
        return TreeReader(shape, dataset, facts, missing_frames)

    return Recognised(name, why, reader)


def _tree(root: Path, dataset: Dataset) -> tuple[TreeShape | None, str]:
    """The shape of a tree whose videos lie in `root`, from the first video that tells it."""
    for video in dataset.videos:
        folder = root / video.video_id
        if not folder.is_dir():
            continue
        for expression in (folder / one.expression_id for one in video.expressions):
            if not expression.is_dir():
                continue
            roles = [role for role in Role if (expression / role).is_dir()]
            if roles:
                why = (
                    f"{expression.relative_to(root)}/{roles[0]}/ is a role of an expression of {dataset.name}"
                )
                return TreeShape(root, tuple(Role)), why
            if any(expression.glob("*.png")):
                why = (
                    f"{expression.relative_to(root)}/ is an expression of {dataset.name} and holds PNG files"
                )
                return TreeShape(root), why
    return None, ""


def _roles_outside(path: Path, dataset: Dataset) -> TreeShape | None:
    roles = tuple(role for role in Role if _tree(path / role, dataset)[0] is not None)
    return TreeShape(path, roles, roles_outside=True) if roles else None


def _indexed(path: Path, dataset: Dataset) -> Recognised | None:
    numbers = sorted(
        int(match[1])
        for folder in path.iterdir()
        if folder.is_dir() and (match := _ANNOTATOR.fullmatch(folder.name))
    )
    if not numbers:
        return None
    if numbers != list(range(len(numbers))):
        raise PredictionError(
            "annotators are missing",
            where=str(path),
            expected=f"anno_0 to anno_{numbers[-1]}",
            found=", ".join(f"anno_{number}" for number in numbers),
        )
    for number in numbers:
        _refuse_foreign_folders(path / f"anno_{number}", dataset)

    def reader(facts: dict[str, Any]) -> PredictionReader:
        return IndexedReader(path, len(numbers), dataset, facts)

    why = f"folders anno_0 to anno_{numbers[-1]}"
    return Recognised("indexed PNG maps per annotator (Ref-DAVIS17)", why, reader)


def _refuse_foreign_folders(root: Path, dataset: Dataset) -> None:
    """Check the first level of folders against the videos; ids may hold a slash."""
    known = {video.video_id.split("/")[0]: video.video_id for video in dataset.videos}
    found = {
        known.get(folder.name, folder.name): folder
        for folder in sorted(root.iterdir())
        if folder.is_dir() and not folder.name.startswith((".", "__MACOSX"))
    }
    refuse_unknown_videos(found, dataset, "a tree of PNG files", root)


def _nothing_fits(path: Path, dataset: Dataset) -> PredictionError:
    inside = [one.name + ("/" if one.is_dir() else "") for one in sorted(path.iterdir())]
    shown = ", ".join(inside[:5]) + (", ..." if len(inside) > 5 else "")
    found, fix = shown or "an empty folder", ""
    for root in (path, path / TREE_ROOT):
        flat = next((video for video in dataset.videos if _holds_frames(root, video)), None)
        if flat is not None:
            found = f"masks of video {flat.video_id} without a folder per expression"
            fix = "write VIDEO/EXPRESSION/FRAME.png: nothing else tells which sentence a mask answers"
    deeper = [one for one in sorted(path.iterdir()) if one.is_dir()]
    if not fix and len(deeper) == 1:
        fix = f"perhaps {deeper[0]} is meant"
    example = dataset.videos[0].video_id if dataset.videos else "VIDEO"
    return PredictionError(
        "no predictions here",
        where=str(path),
        expected=f"a folder written by benchmark.evaluate, {MERGED_NAME}, {PARTS}, anno_0/ ..., or "
        f"[{TREE_ROOT}/]VIDEO/EXPRESSION/FRAME.png with videos such as {example}",
        found=found,
        fix=fix
        or f"check --dataset and --split: these are not predictions on {dataset.name} {dataset.split}",
    )


def _holds_frames(root: Path, video: Video) -> bool:
    return (root / video.video_id / f"{video.frame_names[0]}.png").is_file()
