"""Everything that is wrong with a split on disk, found in one run, and what it holds by caption type.

Opening a dataset stops at what makes it unusable as a whole; this looks at every video, frame file and
track. Findings of one kind are grouped: the first few in full, the rest as a count.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from tqdm import tqdm

from benchmark.datasets.expression_index import video_members
from benchmark.datasets.index_file import IndexDamaged
from benchmark.datasets.json_stream import JsonStream
from benchmark.datasets.mask_index import MEND_RLE, MaskIndex, open_mask_index
from benchmark.datasets.references import track_problems, video_size
from benchmark.datasets.split_folder import DOWNLOAD, SplitFolder
from benchmark.errors import DatasetError, Problem
from benchmark.frames import image_size
from benchmark.types import Expression, Video

SHOWN_OF_A_GROUP = 3
JPEG_END = b"\xff\xd9"
JPEG_TAIL_BYTES = 4096  # some writers pad after the end marker


@dataclass
class Group:
    """Findings of one kind: how many, and the first of them."""

    count: int = 0
    first: list[Problem] = field(default_factory=list)

    def add(self, problem: Problem) -> None:
        """Count one more, and keep it if it is among the first."""
        self.count += 1
        if len(self.first) < SHOWN_OF_A_GROUP:
            self.first.append(problem)


@dataclass
class Counts:
    """What expressions of one caption type refer to; `frames` are those of their videos."""

    videos: int = 0
    expressions: int = 0
    interactions: int = 0
    objects: int = 0
    frames: int = 0


@dataclass
class CheckReport:
    """The outcome of a check; `problems` and `notes` are grouped by what they say."""

    split_folder: SplitFolder
    problems: dict[str, Group] = field(default_factory=dict)
    notes: dict[str, Group] = field(default_factory=dict)
    counts: dict[str, Counts] = field(default_factory=dict)
    total: Counts = field(default_factory=Counts)
    tags: Counter[str] = field(default_factory=Counter)

    @property
    def problem_count(self) -> int:
        """How many problems there are, grouped ones counted singly."""
        return sum(group.count for group in self.problems.values())

    def add_problems(self, problems: Iterable[Problem]) -> None:
        """Sort problems into their groups."""
        for problem in problems:
            self.problems.setdefault(problem.what, Group()).add(problem)

    def add_note(self, what: str, where: str) -> None:
        """Sort a note into its group."""
        self.notes.setdefault(what, Group()).add(Problem(what, where))


def check_split(split_folder: SplitFolder) -> CheckReport:
    """Look at every part of a split; shows progress on stderr."""
    report = CheckReport(split_folder)
    masks = _masks(split_folder, report)
    used = np.zeros(len(masks) if masks else 0, dtype=bool)
    if not split_folder.images.is_dir():
        report.add_problems(
            [_problem("the image folder is missing", split_folder.images, "one folder per video")]
        )
    try:
        with (
            tqdm(
                desc=f"checking {split_folder.folder}", unit=" videos", total=_video_count(split_folder)
            ) as bar,
            JsonStream(split_folder.expressions) as stream,
        ):
            for member in video_members(stream):
                report.add_problems(member.findings.problems)
                for what, where in member.findings.notes:
                    report.add_note(what, where)
                if member.video is not None:
                    _check_video(member.video, masks, used, report)
                bar.update()
    except DatasetError as error:
        report.add_problems(error.problems)
    if masks is not None:
        _check_unused(masks, used, report)
    return report


def _video_count(split_folder: SplitFolder) -> int:
    """How many videos there are to look at, for the progress bar."""
    with JsonStream(split_folder.expressions) as stream:
        return sum(1 for _ in video_members(stream))


def _masks(split_folder: SplitFolder, report: CheckReport) -> MaskIndex | None:
    if not split_folder.masks.is_file():
        report.add_problems([_problem("the mask file is missing", split_folder.masks, "the released file")])
        return None
    try:
        masks = open_mask_index(split_folder.masks)
        try:
            for row in tqdm(range(len(masks)), desc="verifying the mask index", unit=" tracks"):
                masks.track(row)
        except IndexDamaged:
            masks = open_mask_index(split_folder.masks, rebuild=True)
        return masks
    except DatasetError as error:
        report.add_problems(error.problems)
        return None


def _check_video(video: Video, masks: MaskIndex | None, used: np.ndarray, report: CheckReport) -> None:
    annotation_ids = dict.fromkeys(
        id for item in video.expressions for id in (*item.actor_ids, *item.target_ids)
    )
    if masks is not None:
        for annotation_id in annotation_ids:
            report.add_problems(track_problems(masks, video, annotation_id))
            row = masks.row(annotation_id)
            if row is not None:
                used[row] = True
    if report.split_folder.images.is_dir():
        _check_frames(video, video_size(masks, video) if masks else None, report)
    _count(video, report)


def _check_frames(video: Video, mask_size: tuple[int, int] | None, report: CheckReport) -> None:
    """Every frame file is there, is a whole JPEG, and has the size of the masks."""
    folder = report.split_folder.images / video.video_id
    where = f"{folder}"
    if not folder.is_dir():
        report.add_problems(
            [_problem("a video has no folder of frames", folder, f"{len(video.frame_names)} frames")]
        )
        return
    present = set(os.listdir(folder))
    extra = present - {f"{name}.jpg" for name in video.frame_names}
    if extra:
        report.add_note(
            "a folder holds files that are no frames of the video", f"{where}: {len(extra)} files"
        )
    sizes: Counter[tuple[int, int]] = Counter()
    for name in video.frame_names:
        path = folder / f"{name}.jpg"
        if path.name not in present:
            report.add_problems([_problem("a frame file is missing", path, "a jpg file")])
            continue
        try:
            size = image_size(path)
        except DatasetError as error:
            report.add_problems(error.problems)
            continue
        sizes[size] += 1
        if not _has_end(path):
            report.add_problems([_problem("a frame file is cut off", path, "a JPEG end marker")])
        if mask_size and size != mask_size:
            found = f"image {size[0]}x{size[1]}"
            expected = f"{mask_size[0]}x{mask_size[1]} as the masks"
            report.add_problems(
                [Problem("a frame has another size than its masks", str(path), expected, found)]
            )
    if len(sizes) > 1:
        found = ", ".join(f"{count} of {height}x{width}" for (height, width), count in sizes.most_common(3))
        report.add_problems([Problem("frames of one video differ in size", where, "one size", found)])


def _has_end(path: Path) -> bool:
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - JPEG_TAIL_BYTES))
        return JPEG_END in file.read()


def _check_unused(masks: MaskIndex, used: np.ndarray, report: CheckReport) -> None:
    for row in np.flatnonzero(~used).tolist():
        annotation_id = masks.ids[row].decode()
        report.add_note("a track is used by no expression", f"annotation {annotation_id}")
        report.add_problems(
            Problem(fault.what, f"{masks.source}: {fault.where()}", fault.expected, fault.found, MEND_RLE)
            for fault in masks.faults_of(annotation_id)
        )


def _count(video: Video, report: CheckReport) -> None:
    by_type: dict[str, list[Expression]] = {}
    for expression in video.expressions:
        by_type.setdefault(expression.caption_type, []).append(expression)
        report.tags.update(expression.tags)
    for caption_type, expressions in by_type.items():
        _add(report.counts.setdefault(caption_type, Counts()), video, expressions)
    _add(report.total, video, video.expressions)


def _add(counts: Counts, video: Video, expressions: Iterable[Expression]) -> None:
    chosen = list(expressions)
    counts.videos += 1
    counts.frames += len(video.frame_names)
    counts.expressions += len(chosen)
    counts.interactions += sum(item.is_interaction for item in chosen)
    counts.objects += len({id for item in chosen for id in (*item.actor_ids, *item.target_ids)})


def _problem(what: str, path: Path, expected: str) -> Problem:
    return Problem(what, str(path), expected, "", f"get it again from {DOWNLOAD}")


def format_report(report: CheckReport) -> str:
    """The report as text: problems, notes, counts."""
    lines = []
    for kind, groups in (("problem", report.problems), ("note", report.notes)):
        for what, group in groups.items():
            times = f" ({group.count:,} times)" if group.count > 1 else ""
            lines.append(f"{kind}: {what}{times}")
            lines.extend(f"    {_short(problem)}" for problem in group.first)
            if group.count > len(group.first):
                lines.append(f"    and {group.count - len(group.first):,} more")
    lines += ["", *_count_table(report)]
    if report.tags:
        lines += ["", *(f"{tag:<32}{count:>12,}" for tag, count in sorted(report.tags.items()))]
    found = f"{report.problem_count:,} problem{'s' if report.problem_count != 1 else ''}"
    lines += ["", f"{report.split_folder.folder}: {found if report.problem_count else 'no problems'}"]
    return "\n".join(lines)


def _short(problem: Problem) -> str:
    parts = [problem.where]
    if problem.expected:
        parts.append(f"expected {problem.expected}")
    if problem.found:
        parts.append(f"found {problem.found}")
    return "; ".join(parts) + (f". Fix: {problem.fix}" if problem.fix else "")


def _count_table(report: CheckReport) -> list[str]:
    columns = ("videos", "expressions", "interactions", "objects", "frames")
    lines = ["caption type".ljust(16) + "".join(name.rjust(14) for name in columns)]
    for name, counts in [*sorted(report.counts.items()), ("all", report.total)]:
        lines.append(name.ljust(16) + "".join(f"{getattr(counts, column):>14,}" for column in columns))
    return lines
