"""Pictures of predictions: actor blue, target red, both at once violet; beside them frame and truth.

`png` gives one strip of a few frames per expression, `mp4` one clip of all frames (needs PyAV). Each
carries the sentence, how the query ended, and its scores.
"""

from __future__ import annotations

import importlib.util
import io
import sys
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from benchmark.datasets import Dataset
from benchmark.errors import EnvironmentProblem
from benchmark.frames import FrameSequence, RgbFrame
from benchmark.masks import decode
from benchmark.prediction_files import file_name
from benchmark.predictions import PredictionReader, StoredPrediction
from benchmark.results import Result
from benchmark.stored_files import make_folder, write_atomically
from benchmark.types import Expression, MaskTrack, Video

if TYPE_CHECKING:
    from PIL.Image import Image as PilImage

KINDS = ("png", "mp4")
FOLDER = "overlays"
BLUE, RED, VIOLET = (30, 110, 255), (240, 50, 40), (200, 60, 230)
STRIP_FRAMES = 6
TILE_PIXELS = 240  # long side of a frame in a picture, about
LINE_PIXELS = 20
MARGIN = 6
PNG_LEVEL = 1  # noisy pictures hardly shrink further, and level 6 takes nine tenths of the drawing time
FALLBACK_FPS = 8  # for clips whose source does not say


@dataclass(frozen=True, slots=True)
class Shown:
    """One expression with all that is drawn of it; `None` for a track that is not there."""

    sentence: str
    outcome: str
    rows: Mapping[str, tuple[MaskTrack | None, MaskTrack | None]]


def check_kind(kind: str | None) -> None:
    """Refuse mp4 where it cannot be written, before anything long has begun.

    Raises:
        EnvironmentProblem: when PyAV is not installed.
    """
    if kind == "mp4" and importlib.util.find_spec("av") is None:
        raise EnvironmentProblem(
            "writing video files needs PyAV",
            where="--save-overlays mp4",
            fix="pip install -c constraints.txt -e '.[video]', or --save-overlays png",
        )


def save_overlays(
    dataset: Dataset, predictions: PredictionReader, result: Result, output: Path, kind: str
) -> Path:
    """Draw every expression of a dataset; returns the folder, one subfolder per video.

    Args:
        dataset: as narrowed for the run.
        result: where the scores come from; it must hold its rows.
        kind: one of `KINDS`.

    Raises:
        EnvironmentProblem: when PyAV is needed and not installed.
        OutputError: when the place cannot be written to.
    """
    check_kind(kind)
    scores = _scores(result)
    folder = output / FOLDER
    for video in tqdm(dataset.videos, desc="drawing", unit="video", file=sys.stderr):
        place = folder / file_name(video.video_id, "")
        make_folder(place)
        frames = dataset.frames(video)
        stored = predictions.video(video.video_id)
        for one in video.expressions:
            shown = _shown(dataset, video, one, stored.get(one.expression_id), scores)
            draw = _strip_png if kind == "png" else _clip_mp4
            write_atomically(place / file_name(one.expression_id, f".{kind}"), draw(frames, shown))
    return folder


def overlay(frame: RgbFrame, actor: NDArray[np.bool_], target: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """A frame (H, W, 3) with both masks (H, W) tinted and outlined."""
    shown = frame.astype(np.float64)
    for mask, colour in ((actor & ~target, BLUE), (target & ~actor, RED), (actor & target, VIOLET)):
        shown[mask] = 0.45 * shown[mask] + 0.55 * np.array(colour)
    edges = (_outline(actor), _outline(target))
    for edge, colour in ((edges[0], BLUE), (edges[1], RED), (edges[0] & edges[1], VIOLET)):
        shown[edge] = colour
    return shown.round().astype(np.uint8)


def _outline(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    padded = np.pad(mask, 1)
    inner = padded[:-2, 1:-1] & padded[2:, 1:-1] & padded[1:-1, :-2] & padded[1:-1, 2:]
    outline: NDArray[np.bool_] = mask & ~inner
    return outline


def _scores(result: Result) -> dict[tuple[str, str], list[str]]:
    scores = defaultdict(list)
    for row in result.expressions:
        one = row.score
        percent = 50 * (one.track.j + one.track.f)
        scores[one.video_id, one.expression_id].append(f"{one.setting} J&F {percent:.1f}")
    return dict(scores)


def _shown(
    dataset: Dataset,
    video: Video,
    expression: Expression,
    prediction: StoredPrediction | None,
    scores: Mapping[tuple[str, str], list[str]],
) -> Shown:
    ended = "missing" if prediction is None else prediction.status.value
    reason = f": {prediction.message}" if prediction and prediction.message else ""
    numbers = scores.get((video.video_id, expression.expression_id), [])
    target = dataset.truth(video, expression.target_ids) if expression.is_interaction else None
    return Shown(
        sentence=expression.text,
        outcome=" | ".join([*numbers, f"{ended}{reason}"]),
        rows={
            "frame": (None, None),
            "prediction": (prediction.actor, prediction.target) if prediction else (None, None),
            "truth": (dataset.truth(video, expression.actor_ids), target),
        },
    )


def _strip_png(frames: FrameSequence, shown: Shown) -> bytes:
    chosen = np.unique(np.linspace(0, len(frames) - 1, min(STRIP_FRAMES, len(frames))).round().astype(int))
    content = io.BytesIO()
    _picture(frames, [int(index) for index in chosen], shown).save(content, "PNG", compress_level=PNG_LEVEL)
    return content.getvalue()


def _clip_mp4(frames: FrameSequence, shown: Shown) -> bytes:
    import av

    content = io.BytesIO()
    codec = "libx264" if "libx264" in av.codecs_available else "mpeg4"
    rate = Fraction(frames.fps or FALLBACK_FPS).limit_denominator(1001)
    with av.open(content, "w", format="mp4") as container:
        stream: Any = container.add_stream(codec, rate=rate)
        for index, picture in enumerate(_clip_pictures(frames, shown)):
            if index == 0:
                stream.width, stream.height, stream.pix_fmt = picture.width, picture.height, "yuv420p"
            for packet in stream.encode(av.VideoFrame.from_image(picture)):
                container.mux(packet)
        for packet in stream.encode():
            container.mux(packet)
    return content.getvalue()


def _clip_pictures(frames: FrameSequence, shown: Shown) -> Iterator[PilImage]:
    for index in range(len(frames)):
        picture = _picture(frames, [index], shown, across=True)
        even = (picture.width // 2 * 2, picture.height // 2 * 2)  # yuv420p halves both sides
        yield picture.crop((0, 0, *even))


def _picture(frames: FrameSequence, indices: list[int], shown: Shown, across: bool = False) -> PilImage:
    """Tiles with a heading. A column per frame and a row per kind; the other way round if `across`."""
    from PIL import Image, ImageDraw

    height, width = _tile_size(frames)
    rows, columns = (len(indices), len(shown.rows)) if across else (len(shown.rows), len(indices))
    picture_width = max(MARGIN + columns * (width + MARGIN), 2 * TILE_PIXELS)
    heading = [*_wrapped(shown.sentence, picture_width), *_wrapped(shown.outcome, picture_width)]
    top = MARGIN + LINE_PIXELS * len(heading)
    row_height = height + LINE_PIXELS
    picture = Image.new("RGB", (picture_width, top + rows * row_height + MARGIN), "white")
    draw = ImageDraw.Draw(picture)
    for line, text in enumerate(heading):
        draw.text((MARGIN, MARGIN + line * LINE_PIXELS), text, fill="black", font=_font())
    for kind_index, (kind, (actor, target)) in enumerate(shown.rows.items()):
        for place, index in enumerate(indices):
            row, column = (place, kind_index) if across else (kind_index, place)
            x, y = MARGIN + column * (width + MARGIN), top + row * row_height
            label = kind if kind_index else f"frame {index}"
            draw.text((x, y), label, fill=(90, 90, 90), font=_font())
            tile = overlay(frames.frame(index), _mask(actor, index, frames), _mask(target, index, frames))
            shrunk = Image.fromarray(tile).resize((width, height), Image.Resampling.LANCZOS)
            picture.paste(shrunk, (x, y + LINE_PIXELS))
    return picture


def _tile_size(frames: FrameSequence) -> tuple[int, int]:
    scale = TILE_PIXELS / max(frames.height, frames.width)
    return max(1, round(frames.height * scale)), max(1, round(frames.width * scale))


def _mask(track: MaskTrack | None, index: int, frames: FrameSequence) -> NDArray[np.bool_]:
    if track is None:
        return np.zeros((frames.height, frames.width), dtype=bool)
    return decode(track.counts[index], track.height, track.width)


def _wrapped(text: str, width: int) -> list[str]:
    """The text in lines that fit into a picture."""
    lines: list[str] = []
    for word in text.split():
        longer = f"{lines[-1]} {word}" if lines else word
        if lines and _font().getlength(longer) <= width - 2 * MARGIN:
            lines[-1] = longer
        else:
            lines.append(word)
    return lines


def _font() -> Any:
    from PIL import ImageFont

    return ImageFont.load_default(14)
