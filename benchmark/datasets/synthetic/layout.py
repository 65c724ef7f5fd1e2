"""Storing a synthetic split on disk in the released InterRVOS layout, and the cache it is kept in.

    <folder>/JPEGImages/<video id>/00000.jpg ...
    <folder>/meta_expressions.json      as released, each expression with the additional key "tags"
    <folder>/mask_dict.json             one track per object; null where the object is not visible
    <folder>/manifest.json              written last: what made the folder, and digests of all its files

A folder appears under its name only when it is complete. Frames are not flushed to the disk one by one,
but a frame that a power cut swallowed no longer has its digest: a cached folder whose files differ from
their digests is rendered again. Folders of another generator lie under another name.
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmark.datasets.synthetic.clips import SyntheticClip, clip, find_split
from benchmark.errors import OutputError
from benchmark.masks import encode

GENERATOR_VERSION = "1"
CACHE_VARIABLE = "INTERRVOS_CACHE"
EXPRESSIONS_FILE, MASKS_FILE, MANIFEST_FILE = "meta_expressions.json", "mask_dict.json", "manifest.json"
JPEG_QUALITY = 92
BAR_FROM_CLIPS = 200  # fewer clips are written within a few seconds


def write_split(root: Path, split: str, count: int | None = None) -> Path:
    """Write the first `count` clips of a split (all by default) to `root/split` and return that folder.

    Raises:
        UsageError: when the split does not exist.
        OutputError: when `root/split` exists already or cannot be written.
    """
    clips = find_split(split).clips if count is None else count
    folder = Path(root) / split
    if folder.exists():
        raise OutputError(
            "refusing to overwrite a folder",
            where=str(folder),
            fix="remove it first, or choose another place",
        )
    with _writing(folder):
        partial = _write_partial(folder, split, clips)
        try:
            os.rename(partial, folder)
        except BaseException:
            shutil.rmtree(partial, ignore_errors=True)
            raise
    return folder


def cached_split(split: str) -> Path:
    """The folder of a whole split in the cache, rendered on first use.

    The cache is `$INTERRVOS_CACHE`, or `~/.cache/interrvos-referee`. Several processes may ask at once:
    each renders into a folder of its own, and the first to finish gives it its name.

    Raises:
        UsageError: when the split does not exist.
        OutputError: when the cache cannot be written.
    """
    clips = find_split(split).clips
    folder = cache_folder() / "interrvos-synthetic" / f"{GENERATOR_VERSION}-{_source_digest()[:16]}" / split
    if is_intact(folder):
        return folder
    with _writing(folder):
        partial = _write_partial(folder, split, clips)
        try:
            _move_into_place(partial, folder)
        finally:
            shutil.rmtree(partial, ignore_errors=True)
    return folder


def cache_folder() -> Path:
    """Where rendered splits are kept."""
    named = os.environ.get(CACHE_VARIABLE)
    return Path(named) if named else Path.home() / ".cache" / "interrvos-referee"


def is_intact(folder: Path) -> bool:
    """Whether a folder has a manifest and all its files are still the ones that were written."""
    try:
        manifest = json.loads((folder / MANIFEST_FILE).read_bytes())
        return bool(manifest["digests"] == _digests(folder, list(manifest["digests"])))
    except (OSError, ValueError, KeyError, TypeError):
        return False  # whatever is wrong with it, the mend is to render again


def _move_into_place(partial: Path, folder: Path) -> None:
    if folder.exists() and not is_intact(folder):
        aside = _unused_name(folder)
        os.rename(folder, aside)
        shutil.rmtree(aside)
    try:
        os.rename(partial, folder)
    except OSError:
        if not is_intact(folder):  # otherwise another process was faster, with the same result
            raise


def _unused_name(folder: Path) -> Path:
    return folder.with_name(f".{folder.name}-{os.getpid()}-{secrets.token_hex(4)}")


@contextmanager
def _writing(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise OutputError(
            "cannot write the synthetic clips",
            where=str(error.filename or folder),
            found=error.strerror or type(error).__name__,
            fix=f"choose a writable place with enough room; the cache is named by {CACHE_VARIABLE}",
        ) from error


def _write_partial(folder: Path, split: str, clips: int) -> Path:
    """Write a complete split beside its later place; returns the temporary folder."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    partial = _unused_name(folder)
    partial.mkdir()
    try:
        videos: dict[str, Any] = {}
        masks: dict[str, list[dict[str, Any] | None]] = {}
        for index in _progress(clips, split):
            rendered = clip(split, index)
            first_annotation = len(masks)
            video_id = f"synthetic-{split}-{index:05d}_clip000"
            videos[video_id] = _video_entry(rendered, index, first_annotation)
            for place in range(len(rendered.objects)):
                masks[str(first_annotation + place)] = _mask_entry(rendered, place)
            _write_frames(partial / "JPEGImages" / video_id, rendered)
        _write_json(partial / EXPRESSIONS_FILE, {"videos": videos}, indent=1)
        _write_json(partial / MASKS_FILE, masks)
        _write_manifest(partial, split, list(videos))
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise
    return partial


def _progress(clips: int, split: str) -> Iterator[int]:
    if clips < BAR_FROM_CLIPS:
        return iter(range(clips))
    from tqdm import tqdm

    return iter(tqdm(range(clips), desc=f"rendering interrvos-synthetic {split}", unit="clip"))


def _frame_names(rendered: SyntheticClip) -> list[str]:
    return [f"{t:05d}" for t in range(len(rendered.frames))]


def _video_entry(rendered: SyntheticClip, index: int, first_annotation: int) -> dict[str, Any]:
    expressions = {}
    for number, expression in enumerate(rendered.expressions):
        actors, targets = list(expression.actors), list(expression.targets)
        actor_annotations = [first_annotation + place for place in actors]
        target_annotations = [first_annotation + place for place in targets]
        expressions[str(number)] = {
            "exp": expression.text,
            "obj_id": actors,
            "anno_id": actor_annotations,
            "caption_type": expression.caption_type,
            "subject/object": {
                "obj_id": {"subject": actors, "object": targets},
                "anno_id": {"subject": actor_annotations, "object": target_annotations},
            },
            "tags": list(expression.tags),
        }
    return {"vid_id": index, "frames": _frame_names(rendered), "expressions": expressions}


def _mask_entry(rendered: SyntheticClip, place: int) -> list[dict[str, Any] | None]:
    track: list[dict[str, Any] | None] = []
    for mask in rendered.masks[place]:
        counts = encode(mask)
        size = [int(mask.shape[0]), int(mask.shape[1])]
        track.append(None if counts is None else {"size": size, "counts": counts.decode("ascii")})
    return track


def _write_frames(folder: Path, rendered: SyntheticClip) -> None:
    from PIL import Image

    folder.mkdir(parents=True)
    for name, frame in zip(_frame_names(rendered), rendered.frames, strict=True):
        # Full chroma resolution: an object may be a dozen pixels wide, and is named by its colour.
        Image.fromarray(frame).save(folder / f"{name}.jpg", quality=JPEG_QUALITY, subsampling=0)


def _write_manifest(folder: Path, split: str, video_ids: list[str]) -> None:
    parts = [EXPRESSIONS_FILE, MASKS_FILE, *(f"JPEGImages/{video_id}" for video_id in video_ids)]
    manifest = {
        "dataset": "interrvos-synthetic",
        "split": split,
        "generator_version": GENERATOR_VERSION,
        "generator_digest": _source_digest(),
        "digests": _digests(folder, parts),
    }
    _write_json(folder / MANIFEST_FILE, manifest, indent=1)


def _write_json(path: Path, content: Any, indent: int | None = None) -> None:
    with path.open("w", encoding="utf-8") as file:
        file.write(json.dumps(content, indent=indent) + "\n")
        file.flush()
        os.fsync(file.fileno())


def _digests(folder: Path, parts: list[str]) -> dict[str, str]:
    """SHA-256 of files, and of folders (names and contents of their files in order)."""
    return {part: _digest(folder / part) for part in parts}


def _digest(path: Path) -> str:
    digest = hashlib.sha256()
    if path.is_dir():
        for file in sorted(path.iterdir()):
            digest.update(file.name.encode() + b"\0")
            digest.update(hashlib.sha256(file.read_bytes()).digest())
    else:
        digest.update(path.read_bytes())
    return digest.hexdigest()


def _source_digest() -> str:
    """SHA-256 over the modules of this package, so that a changed generator is never confused."""
    modules = sorted(Path(__file__).parent.glob("*.py"))
    return hashlib.sha256(b"".join(module.read_bytes() for module in modules)).hexdigest()
