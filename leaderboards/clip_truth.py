"""What a player must know of a clip besides answers: its sentences and the true masks, frames left out.

Of data that is built into this project it is read when the site is built. Of other data, whoever has them
runs `leaderboards.outlines` once, which keeps it beside the entries:

    ENTRIES/DATASET-SPLIT/outlines.jsonl.gz     a line about the data, then one per clip

The frames of such data are not ours to publish; readers show their own ones to the player.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from benchmark.datasets import Dataset
from benchmark.errors import MaskError, ProblemCollector, ResultError
from benchmark.json_records import from_json, to_json
from benchmark.masks import runs_from_text
from benchmark.stored_files import write_atomically
from benchmark.types import MaskTrack, Video

OUTLINES = "outlines.jsonl.gz"
FORMAT = "interrvos-referee outlines"
VERSION = 1
LARGEST = 512 << 20  # bytes of text

Texts = tuple[str | None, ...]  # one COCO run-length text per frame; None without pixels


@dataclass(frozen=True, slots=True)
class Sentence:
    """An expression with its true masks; `target` is `None` where it names none."""

    id: str
    text: str
    type: str
    actor: Texts
    target: Texts | None


@dataclass(frozen=True, slots=True)
class ClipTruth:
    """One clip."""

    video: str
    height: int
    width: int
    frames: tuple[str, ...]
    sentences: tuple[Sentence, ...]


@dataclass(frozen=True, slots=True)
class About:
    """Whose clips these are."""

    format: str
    version: int
    dataset: str
    split: str
    digest: str


@dataclass(frozen=True, slots=True)
class StoredTruth:
    """The clips of one dataset and split that may be shown."""

    about: About
    clips: tuple[ClipTruth, ...]


def truth_of(dataset: Dataset, video: Video) -> ClipTruth:
    """What a player must know of a clip."""
    height, width = dataset.frame_size(video)
    sentences = tuple(
        Sentence(
            *(one.expression_id, one.text, one.caption_type),
            actor=mask_texts(dataset.truth(video, one.actor_ids)),
            target=mask_texts(dataset.truth(video, one.target_ids)) if one.target_ids else None,
        )
        for one in video.expressions
    )
    return ClipTruth(video.video_id, height, width, tuple(video.frame_names), sentences)


def mask_texts(track: MaskTrack) -> Texts:
    """A track as texts."""
    return tuple(None if text is None else text.decode("ascii") for text in track.counts)


def write_truth(dataset: Dataset, clips: Iterable[ClipTruth], path: Path) -> None:
    """Write the clips of a dataset; the same clips give the same bytes.

    Raises:
        OutputError: when the place cannot be written to.
    """
    about = About(FORMAT, VERSION, dataset.name, dataset.split, dataset.digest)
    lines = [json.dumps(to_json(one), separators=(",", ":")) for one in (about, *clips)]
    write_atomically(path, gzip.compress("".join(f"{line}\n" for line in lines).encode(), mtime=0))


def read_truths(root: Path, problems: ProblemCollector) -> Mapping[str, StoredTruth]:
    """The stored clips below a folder of entries, by folder; what is wrong goes to `problems`."""
    found = {}
    for path in sorted(root.glob(f"*/{OUTLINES}")):
        try:
            found[path.parent.name] = _read(path)
        except ResultError as error:
            problems.problems.extend(error.problems)
    return found


def _read(path: Path) -> StoredTruth:
    problems = ProblemCollector()
    try:
        with gzip.open(path) as file:
            text = file.read(LARGEST + 1)
        if len(text) > LARGEST:
            raise ValueError(f"more than {LARGEST} bytes of text")
        lines = [json.loads(line) for line in text.splitlines()]
    except (OSError, EOFError, ValueError, RecursionError) as error:
        raise ResultError("not a file of outlines", where=str(path), found=str(error)) from error
    about = from_json(About, lines[0] if lines else None, problems, f"{path}: line 1")
    if about is not None and (about.format, about.version) != (FORMAT, VERSION):
        found = f"{about.format} {about.version}"
        problems.add("another format", where=str(path), expected=f"{FORMAT} {VERSION}", found=found)
    clips = [
        clip
        for number, line in enumerate(lines[1:], 2)
        if (clip := from_json(ClipTruth, line, problems, f"{path}: line {number}")) is not None
    ]
    for number, clip in enumerate(clips, 2):
        for problem in _wrong_masks(clip):
            problems.add(problem, where=f"{path}: line {number}", found=clip.video)
    problems.raise_if_any(ResultError, f"outlines of {path}")
    assert about is not None  # no problem means a record
    return StoredTruth(about, tuple(clips))


def _wrong_masks(clip: ClipTruth) -> Iterator[str]:
    for sentence in clip.sentences:
        for track in (sentence.actor, sentence.target or ()):
            if track and len(track) != len(clip.frames):
                yield "a track of another length than its clip"
            elif any(not _fits(text, clip) for text in track if text is not None):
                yield "a mask that does not fit its frame"


def _fits(text: str, clip: ClipTruth) -> bool:
    try:
        runs_from_text(text.encode("ascii"), clip.height, clip.width)
    except (MaskError, UnicodeEncodeError):
        return False
    return True
