"""What surrounds a model costs, in one run: the harness, a process boundary, masks of others.

    python -m tests.benchmarks.measure_adapters
    python -m tests.benchmarks.measure_adapters --frames 40 --rounds 3
    python -m tests.benchmarks.measure_adapters --frame-ms 20

The harness is measured against the same adapter called directly on the same frames: an adapter that
takes --frame-ms for each frame of a sentence and answers with masks of both roles at 480x854. What the
harness adds (checking, run-length coding, storing with fsync) is divided by what the model takes. The best
of --rounds counts, of both. Masks of others are read from a tree of PNG files, once by the reader alone and
once by a whole run of `precomputed`, which also checks and stores them.
"""

from __future__ import annotations

import argparse
import os
import shlex
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, final

import numpy as np
from PIL import Image

from benchmark.adapter import Adapter, load_adapter
from benchmark.answer_channel import answer_channel
from benchmark.frames import FrameArray, FrameSequence
from benchmark.inference import InferenceRules, predict_videos
from benchmark.png_predictions import THREADS
from benchmark.prediction_folder import open_folder, run_identity
from benchmark.prediction_layouts import open_foreign
from benchmark.types import AdapterInfo, BoolMasks, Expression, Prediction, Query, Video

HEIGHT, WIDTH = 480, 854
SENTENCE = "a disc"


class OneClip:
    """A dataset of one clip with one sentence."""

    name, split, digest = "one clip", "val", "d" * 64

    def __init__(self, frames: int) -> None:
        names = tuple(f"{index:05d}" for index in range(frames))
        self.videos = (Video("clip", names, (Expression("0", SENTENCE, "single", ("1",)),)),)
        self.pixels = np.zeros((frames, HEIGHT, WIDTH, 3), np.uint8)

    def frame_size(self, video: Video) -> tuple[int, int]:
        return HEIGHT, WIDTH

    def frames(self, video: Video) -> FrameSequence:
        return FrameArray(self.pixels)

    def frames_fingerprint(self, video: Video) -> str:
        return video.video_id


@final
class Paced(Adapter):
    """Answers with moving discs, after so many milliseconds for each frame."""

    uses_device = False

    def __init__(self, frame_ms: float, frames: int) -> None:
        self.frame_ms, self.actor, self.target = frame_ms, discs(frames, 300), discs(frames, 500)

    def info(self) -> AdapterInfo:
        return AdapterInfo(name="paced", version="1")

    def predict(self, queries: Sequence[Query]) -> list[Prediction]:
        time.sleep(len(queries) * len(self.actor) * self.frame_ms / 1000)
        return [Prediction(actor=self.actor, target=self.target) for _ in queries]


def discs(frames: int, left: int) -> BoolMasks:
    """A disc that wanders, one mask a frame."""
    rows, columns = np.mgrid[:HEIGHT, :WIDTH]
    centres = ((200 + index % 80, left + index % 120) for index in range(frames))
    masks = [(rows - row) ** 2 / 90**2 + (columns - column) ** 2 / 130**2 < 1 for row, column in centres]
    return np.stack(masks)


def write_tree(folder: Path, frames: int) -> Path:
    """The discs as PNGs, in the layout of Ref-YouTube-VOS."""
    place = folder / "clip" / "0"
    place.mkdir(parents=True)
    for index, mask in enumerate(discs(frames, 300)):
        Image.fromarray((mask * 255).astype(np.uint8)).save(place / f"{index:05d}.png")
    return folder


def direct(adapter: Adapter, clip: OneClip) -> None:
    """One sentence, asked as a script of its own would."""
    adapter.open_video(clip.frames(clip.videos[0]))
    adapter.predict([Query(0, SENTENCE)])
    adapter.close_video()


def harnessed(adapter: Adapter, clip: Any, output: Path) -> None:
    """The same sentence through the runner, its answer stored."""
    stored = answer_channel(adapter, clip)
    folder = open_folder(output, adapter, run_identity(adapter, 0, clip), restart=True)
    plans = [folder.plan(clip, video) for video in clip.videos]
    predict_videos(adapter, clip, folder, plans, InferenceRules(show_progress=False), stored)
    folder.finish(clip, None, ["actor"])


def handed_on(tree: Path, clip: Any, output: Path) -> None:
    """Masks that lie in a tree of PNG files, through the runner, stored."""
    harnessed(load_adapter("precomputed", {"path": str(tree)}), clip, output)


def worker(log: Path) -> Adapter:
    """An adapter in another process, at work on a small clip."""
    command = shlex.join([sys.executable, "-m", "benchmark.worker", "--adapter", "empty"])
    adapter = load_adapter("external", {"command": command, "log": str(log)})
    adapter.load("cpu", 0)
    adapter.open_video(FrameArray(np.zeros((8, 48, 64, 3), np.uint8)))
    return adapter


def best(rounds: int, call: Callable[[], object]) -> float:
    """Seconds of the fastest of several calls."""
    times = []
    for _ in range(rounds):
        began = time.perf_counter()
        call()
        times.append(time.perf_counter() - began)
    return min(times)


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print."""
    command = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    command.add_argument("--frames", type=int, default=100, metavar="N")
    command.add_argument("--frame-ms", type=float, default=50.0, metavar="MS")
    command.add_argument("--rounds", type=int, default=2, metavar="N")
    given = command.parse_args(arguments)
    clip, adapter = OneClip(given.frames), Paced(given.frame_ms, given.frames)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        alone = best(given.rounds, lambda: direct(adapter, clip))
        whole = best(given.rounds, lambda: harnessed(adapter, clip, folder / "run"))
        added, model = (1000 * seconds / given.frames for seconds in (whole - alone, alone))
        print(
            f"harness: {added:.2f} ms a frame beside {model:.1f} ms of the model ({100 * added / model:.2f}%)"
        )
        remote = worker(folder / "log")
        seconds = best(10 * given.rounds, lambda: remote.predict([Query(0, SENTENCE)]))
        remote.close_video()
        remote.unload()
        print(f"worker: {1000 * seconds:.2f} ms there and back per sentence (8 frames of 48x64)")
        dataset: Any = clip
        tree = write_tree(folder / "tree", given.frames)
        reader = open_foreign(tree, dataset)
        reading = best(5 * given.rounds, lambda: reader.video("clip"))
        storing = best(5 * given.rounds, lambda: handed_on(tree, clip, folder / "others"))
        read, stored = (60 * given.frames / seconds for seconds in (reading, storing))
        cores = min(THREADS, len(os.sched_getaffinity(0)))
        print(
            f"precomputed: {read:,.0f} PNG masks a minute on {cores} cores, {stored:,.0f} with storing them"
        )


if __name__ == "__main__":
    main()
