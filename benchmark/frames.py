"""Frames of a clip, read when they are asked for: image folders, arrays in memory, video files.

A `FrameSequence` is all that an adapter sees of a video: how many frames, their size, their pixels.
It carries no video id and no original frame names, since either could be used to look up an answer.
"""

from __future__ import annotations

import abc
import tempfile
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from benchmark.errors import DatasetError, EnvironmentProblem

if TYPE_CHECKING:
    from PIL.Image import Image as PilImage

RgbFrame = NDArray[np.uint8]  # (H, W, 3)


class FrameSequence(abc.ABC):
    """The frames of one clip in temporal order, all of one size.

    Attributes:
        height: pixels.
        width: pixels.
        fps: frames per second, or `None` where the source does not say.
    """

    height: int
    width: int
    fps: float | None

    @abc.abstractmethod
    def __len__(self) -> int:
        """Number of frames T."""

    @abc.abstractmethod
    def frame(self, index: int) -> RgbFrame:
        """Frame `index` as uint8 RGB (H, W, 3); read-only.

        Raises:
            DatasetError: when the frame cannot be read or has another size than the first.
            IndexError: when `index` is outside 0..T-1.
        """

    def frames(self, indices: Sequence[int] | None = None) -> Iterator[RgbFrame]:
        """The chosen frames, or all, one at a time."""
        for index in range(len(self)) if indices is None else indices:
            yield self.frame(index)

    def stack(self, indices: Sequence[int] | None = None) -> NDArray[np.uint8]:
        """The chosen frames, or all, as one (T, H, W, 3) array."""
        return np.stack(list(self.frames(indices)))

    def as_pil(self, index: int) -> PilImage:
        """Frame `index` as a PIL image."""
        from PIL import Image

        return Image.fromarray(self.frame(index))

    @contextmanager
    def as_jpeg_folder(self) -> Iterator[Path]:
        """A temporary folder of `00000.jpg`, `00001.jpg`, ...; removed on leaving the block.

        For models that insist on integer-named files. Files that are JPEG already are linked, not
        compressed again.
        """
        with tempfile.TemporaryDirectory(prefix="frames-") as folder:
            for index in range(len(self)):
                self._place_jpeg(index, Path(folder) / f"{index:05d}.jpg")
            yield Path(folder)

    def _place_jpeg(self, index: int, path: Path) -> None:
        self.as_pil(index).save(path, quality=95, subsampling=0)


class FrameArray(FrameSequence):
    """Frames that are in memory already, (T, H, W, 3) uint8."""

    def __init__(self, array: NDArray[np.uint8], fps: float | None = None) -> None:
        if array.ndim != 4 or array.shape[-1] != 3 or array.dtype != np.uint8 or not len(array):
            raise DatasetError(
                "frames must be one uint8 array (T, H, W, 3)",
                found=f"{array.dtype} {array.shape}",
            )
        self._array = array
        self.height, self.width = int(array.shape[1]), int(array.shape[2])
        self.fps = fps

    def __len__(self) -> int:
        return len(self._array)

    def frame(self, index: int) -> RgbFrame:
        if not 0 <= index < len(self):
            raise IndexError(f"frame {index} of {len(self)}")
        view: RgbFrame = self._array[index]
        view.flags.writeable = False
        return view


class ImageFolder(FrameSequence):
    """Frames that are image files; the last few decoded ones are kept.

    Args:
        paths: files in temporal order.
        cache_frames: how many decoded frames to keep.

    Raises:
        DatasetError: when there is no frame or the first one cannot be read.
    """

    def __init__(self, paths: Sequence[Path], fps: float | None = None, cache_frames: int = 32) -> None:
        if not paths:
            raise DatasetError("a clip without frames")
        self._paths = tuple(paths)
        self._cache: OrderedDict[int, RgbFrame] = OrderedDict()
        self._cache_frames = cache_frames
        self.fps = fps
        self.height, self.width = image_size(self._paths[0])

    def __len__(self) -> int:
        return len(self._paths)

    def frame(self, index: int) -> RgbFrame:
        if not 0 <= index < len(self):
            raise IndexError(f"frame {index} of {len(self)}")
        if index in self._cache:
            self._cache.move_to_end(index)
            return self._cache[index]
        pixels = read_image(self._paths[index])
        if pixels.shape[:2] != (self.height, self.width):
            raise DatasetError(
                "frames of one clip differ in size",
                where=str(self._paths[index]),
                expected=f"{self.height}x{self.width} as the first frame",
                found=f"{pixels.shape[0]}x{pixels.shape[1]}",
                fix="extract the frames again from one source",
            )
        pixels.flags.writeable = False
        self._cache[index] = pixels
        if len(self._cache) > self._cache_frames:
            self._cache.popitem(last=False)
        return pixels

    def _place_jpeg(self, index: int, path: Path) -> None:
        source = self._paths[index]
        if source.suffix.lower() not in (".jpg", ".jpeg"):
            super()._place_jpeg(index, path)
            return
        try:
            path.symlink_to(source.resolve())
        except OSError:  # file systems without links
            path.write_bytes(source.read_bytes())


def image_size(path: Path) -> tuple[int, int]:
    """(height, width) of an image file, from its header alone.

    Raises:
        DatasetError: when the file is missing or not an image.
    """
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(path) as image:
            return image.height, image.width
    except FileNotFoundError as error:
        raise DatasetError(
            "frame file is missing", where=str(path), fix="extract the frames completely"
        ) from error
    except (UnidentifiedImageError, OSError, SyntaxError) as error:
        raise DatasetError("frame file is not a readable image", where=str(path), found=str(error)) from error


def read_image(path: Path) -> RgbFrame:
    """One image file as uint8 RGB (H, W, 3).

    Raises:
        DatasetError: when the file is missing, truncated or not an image.
    """
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(path) as image:
            return np.array(image.convert("RGB"))
    except FileNotFoundError as error:
        raise DatasetError(
            "frame file is missing", where=str(path), fix="extract the frames completely"
        ) from error
    except (UnidentifiedImageError, OSError, SyntaxError) as error:
        raise DatasetError("frame file is not a readable image", where=str(path), found=str(error)) from error


def read_video_file(path: Path) -> FrameArray:
    """All frames of a video file (mp4, webm, ...), decoded with PyAV.

    Raises:
        EnvironmentProblem: when PyAV is not installed.
        DatasetError: when the file is missing or holds no readable video.
    """
    rate, decoded = None, []
    with opened_video(path) as (container, stream):
        rate = float(stream.average_rate) if stream.average_rate else None
        decoded = [frame.to_ndarray(format="rgb24") for frame in container.decode(stream)]
    if not decoded:
        raise DatasetError("video file holds no frame", where=str(path))
    return FrameArray(_of_one_size(decoded, path), rate)


@contextmanager
def opened_video(path: Path) -> Iterator[tuple[Any, Any]]:
    """The container of a video file and its first video stream.

    Raises:
        EnvironmentProblem: when PyAV is not installed.
        DatasetError: when the file is missing, or reading it fails in the block.
    """
    try:
        import av
    except ImportError as error:
        raise EnvironmentProblem(
            "reading video files needs PyAV", fix="pip install -c constraints.txt -e '.[video]'"
        ) from error
    if not path.is_file():
        raise DatasetError("video file is missing", where=str(path))
    try:
        with av.open(str(path)) as container:
            yield container, container.streams.video[0]
    except (av.FFmpegError, IndexError) as error:
        raise DatasetError("video file cannot be decoded", where=str(path), found=str(error)) from error


def _of_one_size(frames: Sequence[RgbFrame], path: Path) -> NDArray[np.uint8]:
    first = frames[0].shape
    for index, frame in enumerate(frames):
        if frame.shape != first:
            raise DatasetError(
                "frames of one clip differ in size",
                where=f"{path}, frame {index}",
                expected=f"{first[0]}x{first[1]} as the first frame",
                found=f"{frame.shape[0]}x{frame.shape[1]}",
                fix="encode the video again in one size",
            )
    return np.stack(frames)


class VideoFile(FrameSequence):
    """Frames of a video file that are decoded when they are asked for; the last few are kept.

    The file is read through once to find the times of its frames. Going backwards costs a jump to the key
    frame before.

    Args:
        cache_frames: how many decoded frames to keep.

    Raises:
        EnvironmentProblem: when PyAV is not installed.
        DatasetError: when the file is missing or holds no readable video.
    """

    def __init__(self, path: Path, cache_frames: int = 64) -> None:
        self._path, self._cache_frames = path, cache_frames
        self._cache: OrderedDict[int, RgbFrame] = OrderedDict()
        with opened_video(path) as (container, stream):
            self.fps = float(stream.average_rate) if stream.average_rate else None
            seen = [(frame.pts, frame.height, frame.width) for frame in container.decode(stream)]
        if not seen:
            raise DatasetError("video file holds no frame", where=str(path))
        self._times = [pts for pts, _, _ in seen]
        _, self.height, self.width = seen[0]
        if any(pts is None for pts in self._times):
            raise DatasetError(
                "the frames of this video file have no times",
                where=str(path),
                fix="extract the frames into a folder, or encode the video again",
            )

    def __len__(self) -> int:
        return len(self._times)

    def frame(self, index: int) -> RgbFrame:
        if not 0 <= index < len(self):
            raise IndexError(f"frame {index} of {len(self)}")
        if index not in self._cache:
            self._decode_up_to(index)
        self._cache.move_to_end(index)
        return self._cache[index]

    def _decode_up_to(self, index: int) -> None:
        """Decode from the key frame before `index`; what comes just before and after it is kept, too."""
        place = {pts: number for number, pts in enumerate(self._times)}
        last = min(index + self._cache_frames // 2, len(self) - 1)
        with opened_video(self._path) as (container, stream):
            container.seek(self._times[index], stream=stream)
            for decoded in container.decode(stream):
                number = place.get(decoded.pts)
                if number is None or number <= index - self._cache_frames // 2:
                    continue
                if number not in self._cache:
                    pixels = decoded.to_ndarray(format="rgb24")
                    if pixels.shape[:2] != (self.height, self.width):
                        _of_one_size([np.empty((self.height, self.width, 3), np.uint8), pixels], self._path)
                    pixels.flags.writeable = False
                    self._cache[number] = pixels
                if number >= last:
                    break
        if index not in self._cache:
            raise DatasetError(
                "video file cannot be decoded",
                where=f"{self._path}, frame {index}",
                found="no such frame after a jump to the key frame before it",
                fix="extract the frames into a folder, or encode the video again",
            )
        while len(self._cache) > self._cache_frames:
            oldest = next(one for one in self._cache if one != index)
            del self._cache[oldest]


MOST_BYTES = 2**30
"""Frames of a video file that take more memory than this are decoded when they are asked for."""


def open_frames(source: Path) -> FrameSequence:
    """Frames of a folder of images (sorted by name) or of a video file.

    Raises:
        DatasetError: when there is nothing readable at `source`.
    """
    if source.is_dir():
        kinds = {".jpg", ".jpeg", ".png", ".webp", ".bmp"}
        paths = sorted(path for path in source.iterdir() if path.suffix.lower() in kinds)
        if not paths:
            raise DatasetError(
                "no frames in this folder", where=str(source), expected=f"files {', '.join(sorted(kinds))}"
            )
        return ImageFolder(paths)
    with opened_video(source) as (_, stream):
        # Some containers don't say how many frames they hold.
        large = not stream.frames or stream.frames * stream.height * stream.width * 3 > MOST_BYTES
    return VideoFile(source) if large else read_video_file(source)
