"""One prediction drawn onto its clip: actor blue, target red, both at once violet."""

from __future__ import annotations

import importlib.util
import io
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmark.errors import EnvironmentProblem, UsageError
from benchmark.frames import FrameSequence
from benchmark.masks import decode
from benchmark.stored_files import write_atomically
from benchmark.types import BoolMasks, MaskTrack

Track = BoolMasks | MaskTrack

BLUE, RED, VIOLET = (30, 110, 255), (240, 50, 40), (200, 60, 230)
STRENGTH = 0.55
STRIP_FRAMES = 6
STRIP_PIXELS = 240  # height of a strip at most
FALLBACK_FPS = 8  # for clips whose source does not say


def check_output(path: Path) -> None:
    """Refuse what cannot be written before anything long has begun.

    Raises:
        UsageError: for an ending other than .png and .mp4.
        EnvironmentProblem: when an mp4 is wanted and PyAV is not installed.
    """
    if path.suffix not in (".png", ".mp4"):
        raise UsageError("unknown kind of picture", where=f"--output {path}", expected=".png or .mp4")
    if path.suffix == ".mp4" and importlib.util.find_spec("av") is None:
        raise EnvironmentProblem(
            "writing video files needs PyAV", fix="pip install -c constraints.txt -e '.[video]'"
        )


def write_overlay(path: Path, frames: FrameSequence, actor: Track | None, target: Track | None) -> None:
    """Draw the masks and write a strip of a few frames (.png) or the whole clip (.mp4).

    Raises:
        OutputError: when the place cannot be written to.
    """
    if path.suffix == ".png":
        chosen = np.unique(np.linspace(0, len(frames) - 1, STRIP_FRAMES).round().astype(int))
        write_atomically(path, _png([painted(frames, int(one), actor, target) for one in chosen]))
    else:
        write_atomically(path, _mp4(frames, actor, target))


def painted(
    frames: FrameSequence, index: int, actor: Track | None, target: Track | None
) -> NDArray[np.uint8]:
    """One frame (H, W, 3) with its masks."""
    pixels = np.array(frames.frame(index), np.float32)
    nothing = np.zeros(pixels.shape[:2], bool)
    acts = nothing if actor is None else mask_at(actor, index)
    suffers = nothing if target is None else mask_at(target, index)
    for mask, colour in ((acts & ~suffers, BLUE), (suffers & ~acts, RED), (acts & suffers, VIOLET)):
        pixels[mask] = (1 - STRENGTH) * pixels[mask] + STRENGTH * np.array(colour, np.float32)
    return pixels.round().astype(np.uint8)


def mask_at(track: Track, index: int) -> NDArray[np.bool_]:
    """One frame (H, W) of a track."""
    if isinstance(track, MaskTrack):
        return decode(track.counts[index], track.height, track.width)
    return track[index]


def frames_with_mask(track: Track) -> int:
    """Number of frames with at least one pixel."""
    if isinstance(track, MaskTrack):
        return sum(text is not None for text in track.counts)
    return int(track.any((1, 2)).sum())


def _png(pictures: list[NDArray[np.uint8]]) -> bytes:
    from PIL import Image

    strip = Image.fromarray(np.concatenate(pictures, axis=1))
    if strip.height > STRIP_PIXELS:
        strip = strip.resize((strip.width * STRIP_PIXELS // strip.height, STRIP_PIXELS))
    content = io.BytesIO()
    strip.save(content, format="PNG")
    return content.getvalue()


def _mp4(frames: FrameSequence, actor: Track | None, target: Track | None) -> bytes:
    from fractions import Fraction

    import av

    content = io.BytesIO()
    rate = Fraction(frames.fps or FALLBACK_FPS).limit_denominator(1000)
    with av.open(content, "w", format="mp4") as container:
        stream = container.add_stream("h264", rate=rate)
        # H.264 in its common form stores colour for 2x2 pixels: the sides must be even.
        stream.height, stream.width = frames.height // 2 * 2, frames.width // 2 * 2
        stream.pix_fmt = "yuv420p"
        for index in range(len(frames)):
            picture = painted(frames, index, actor, target)[: stream.height, : stream.width]
            for packet in stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")):
                container.mux(packet)
        for packet in stream.encode():
            container.mux(packet)
    return content.getvalue()
