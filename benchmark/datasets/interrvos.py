"""The reader of InterRVOS as released: expressions, masks and frames of one split.

Both JSON files are read once and indexed; afterwards opening takes milliseconds and memory does not
depend on the size of the data: a video is read when it is asked for, a track when its truth is.

What is checked when a dataset is opened, all problems at once: both files are well-formed, every
annotation id that an expression uses has a track, as long as the frames of its video, of one size within
the video, with masks that decode; every video has a folder of frames. Whether the single frames are
there is checked when a video is opened; `python -m benchmark.datasets check` looks at everything.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import final

from benchmark.datasets.expression_index import IndexedVideos, open_expression_index
from benchmark.datasets.index_file import IndexDamaged
from benchmark.datasets.mask_index import open_mask_index
from benchmark.datasets.references import all_reference_problems, content_digest, track_problems, video_size
from benchmark.datasets.split_folder import SplitFolder, find_split, missing_image_folders
from benchmark.errors import DatasetError, Problem
from benchmark.frames import FrameSequence, ImageFolder, image_size
from benchmark.masks import empty_track, union_tracks
from benchmark.types import MaskTrack, Video

MAX_SHOWN = 20


@final
class InterrvosDataset:
    """One split; see `benchmark.datasets.Dataset` for what every dataset offers.

    Attributes:
        videos: in the order of the file; each access reads one record.
        digest: SHA-256 over what decides scores: every video (id, sorted frame names, expressions with
            id, text, caption type, annotation ids per role, tags) in the order of the file, and the
            decoded masks of every track an expression uses. It does not depend on the folder, the file
            names, whitespace, the order of keys inside an object or of tracks in the mask file, on how
            a mask is encoded, on `obj_id` and `vid_id`, on tracks nobody uses, nor on the pixels of the
            frames. The order of videos and expressions counts: it decides what a limit or a shard means.
        split_folder: where the files are.
    """

    def __init__(
        self, name: str, split: str, split_folder: SplitFolder, strict: bool, need_frames: bool
    ) -> None:
        self.name = name
        self.split = split
        self.split_folder = split_folder
        self._arguments = (name, split, split_folder, strict, need_frames)
        self._videos = open_expression_index(split_folder.expressions)
        self.videos: Sequence[Video] = self._videos
        self._masks = open_mask_index(split_folder.masks)
        if need_frames:
            _check_image_folders(split_folder, self._videos)
        if strict:
            _raise_all(all_reference_problems(self._videos, self._masks), split_folder)
        self.digest = content_digest(self._videos, self._masks)

    def frame_size(self, video: Video) -> tuple[int, int]:
        """(height, width) of a video, from its masks or, if it has none, from its first frame."""
        return video_size(self._masks, video) or image_size(self._image(video, video.frame_names[0]))

    def frames(self, video: Video) -> FrameSequence:
        """The pixels of a video.

        Raises:
            DatasetError: when frames are missing.
        """
        folder = self.split_folder.images / video.video_id
        present = set(os.listdir(folder)) if folder.is_dir() else set()
        missing = [name for name in video.frame_names if f"{name}.jpg" not in present]
        if missing:
            raise DatasetError(
                f"{len(missing)} of {len(video.frame_names)} frames are missing",
                where=str(folder),
                expected=", ".join(f"{name}.jpg" for name in missing[:3]),
                found=f"{len(present)} files" if folder.is_dir() else "no such folder",
                fix=f"unpack the image archives of {self.split_folder.source} again",
            )
        return ImageFolder([self._image(video, name) for name in video.frame_names])

    def truth(self, video: Video, annotation_ids: Sequence[str]) -> MaskTrack:
        """Union of the annotated tracks over all frames; an empty id list gives an empty track.

        Raises:
            DatasetError: naming file, video, expression, annotation id and frame, when an id has no
                track, or the track does not fit the video or does not decode.
        """
        tracks = [self._track(video, annotation_id) for annotation_id in annotation_ids]
        sized = [track for track in tracks if track.height]
        if not sized:
            return empty_track(len(video.frame_names), *self.frame_size(video))
        sizes = sorted({(track.height, track.width) for track in sized})
        if len(sizes) > 1:
            raise DatasetError(
                "tracks of one video differ in size",
                where=f"{self.split_folder.masks}: video {video.video_id}, "
                f"annotations {', '.join(annotation_ids)}",
                expected="the size of the frames",
                found=" and ".join(f"{height}x{width}" for height, width in sizes),
                fix=f"get the file again from {self.split_folder.source}",
            )
        return union_tracks(sized)

    def frames_fingerprint(self, video: Video) -> str:
        """SHA-256 over names and sizes of the frame files: changes when frames are replaced.

        Cheap (no file is read), so a file replaced by one of equal length goes unnoticed.

        Raises:
            DatasetError: when a frame is missing.
        """
        digest = hashlib.sha256()
        for name in video.frame_names:
            path = self._image(video, name)
            try:
                size = path.stat().st_size
            except OSError as error:
                raise DatasetError(
                    "frame file is missing", where=str(path), fix="extract the frames completely"
                ) from error
            digest.update(f"{name} {size}\n".encode())
        return digest.hexdigest()

    def __reduce__(self) -> tuple[type[InterrvosDataset], tuple[str, str, SplitFolder, bool, bool]]:
        # A mapped file cannot travel to another process; opening again there takes milliseconds.
        return (InterrvosDataset, self._arguments)

    def _image(self, video: Video, frame_name: str) -> Path:
        return self.split_folder.images / video.video_id / f"{frame_name}.jpg"

    def _track(self, video: Video, annotation_id: str) -> MaskTrack:
        problems = track_problems(self._masks, video, annotation_id)
        row = self._masks.row(annotation_id)
        if problems or row is None:
            raise DatasetError(problems[0])
        try:
            return self._masks.track(row)
        except IndexDamaged:
            self._masks = open_mask_index(self.split_folder.masks, rebuild=True)
            return self._track(video, annotation_id)


def open_split(
    data_root: Path | None,
    split: str,
    *,
    name: str = "interrvos",
    variant: str = "released",
    strict: bool = True,
    need_frames: bool = True,
) -> InterrvosDataset:
    """Open one split of the released layout.

    Args:
        data_root: the split's folder, or its parent or grandparent (`InterRVOS/<split>/`).
        variant: "new" reads `new_meta_expressions.json` and `new_mask_dict.json`.
        strict: raise for masks that are missing or wrong now; otherwise when their truth is asked for.
        need_frames: raise now when folders of frames are missing; scoring alone can do without.

    Raises:
        UsageError: for an unknown variant or no data root.
        DatasetError: for anything in the files that is wrong, with all problems.
        OutputError: when the index cannot be written anywhere.
    """
    return InterrvosDataset(name, split, find_split(data_root, split, variant), strict, need_frames)


def _check_image_folders(split_folder: SplitFolder, videos: IndexedVideos) -> None:
    missing = missing_image_folders(split_folder, videos.ids)
    if missing:
        raise DatasetError(
            f"{len(missing)} of {len(videos)} videos have no folder of frames",
            where=str(split_folder.images),
            expected=", ".join(f"{video_id}/" for video_id in missing[:3]),
            found="a half-extracted folder" if len(missing) < len(videos) else "none of them",
            fix=f"unpack the image archives of {split_folder.source} there again",
        )


def _raise_all(problems: Sequence[Problem], split_folder: SplitFolder) -> None:
    if len(problems) == 1:
        raise DatasetError(problems[0])
    if problems:
        headline = (
            f"{split_folder.folder}: {len(problems)} problems, {min(len(problems), MAX_SHOWN)} of them below "
            f"(python -m benchmark.datasets check {split_folder.folder} lists them all)"
        )
        raise DatasetError.from_problems(headline, problems[:MAX_SHOWN])
