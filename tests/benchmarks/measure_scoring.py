"""Measures the whole job at the size of InterRVOS val, stored predictions to result.json, in its own process.

    python -m tests.benchmarks.measure_scoring FOLDER
    python -m tests.benchmarks.measure_scoring FOLDER --scale 0.1 --profile
    REFEREE_SA2VA=CHECKOUT python -m tests.benchmarks.measure_scoring FOLDER --scale 0.1 --peer

FOLDER gets the dataset (see val_sized_dataset) and predictions of it, once for each scale: the truth with
every run moved a little, actors for all expressions and targets for the interactions, as an official
results.json and as the folder that benchmark.evaluate writes. Printed are wall and processor seconds and peak
memory of `benchmark.score` for both forms, with --profile what the time went into (one thread, the compiled
core as one line), with --peer the time of Sa2VA's evaluation script for the actors alone and the ratio.
"""

from __future__ import annotations

import argparse
import cProfile
import json
import os
import pstats
import resource
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmark.adapter import Adapter
from benchmark.datasets import Dataset, open_dataset
from benchmark.prediction_folder import open_folder, run_identity
from benchmark.prediction_records import StoredPrediction
from benchmark.protocol import SETTINGS
from benchmark.run_lengths import canonical_runs, runs_from_text, text_from_runs
from benchmark.scoring import usable_cores
from benchmark.types import AdapterInfo, Expression, MaskTrack, Prediction, Query, Role, Status, Video
from tests.benchmarks.val_sized_dataset import write_dataset

SENTENCE = "Sure, [SEG_ACT] and [SEG_TAR]."
FORMS = {"results.json": "results.json", "folder": "run"}


class NoModel(Adapter):
    """Stands where the adapter of a run is written down."""

    def info(self) -> AdapterInfo:
        """Name and roles."""
        return AdapterInfo(name="moved-truth", version="1", roles=(Role.ACTOR, Role.TARGET))

    def predict(self, queries: Sequence[Query]) -> list[Prediction]:
        """Never called: the predictions are made from the truth."""
        raise NotImplementedError


def make(folder: Path, scale: float) -> Path:
    """The dataset and its predictions; returns their folder, which is written once."""
    place = folder / f"scale-{scale:g}"
    if (place / "made").exists():
        return place
    write_dataset(place / "data" / "val", scale, images=True)
    dataset = opened(place)
    adapter = NoModel()
    output = open_folder(place / "run", adapter, run_identity(adapter, 0, dataset), restart=True)
    output.confirm_loaded(adapter, run_identity(adapter, 0, dataset))
    output.begin_session({})
    rng = np.random.default_rng(3)
    with (place / "results.json").open("w") as official, (place / "actors.json").open("w") as actors:
        for position, video in enumerate(dataset.videos):
            answers = [_answer(dataset, video, one, rng) for one in video.expressions]
            output.writer(output.plan(dataset, video)).add(answers)
            between = "{" if position == 0 else ", "
            for file, keys in ((official, ("prediction_masks_act", "prediction_masks_tar")), (actors, ())):
                file.write(f'{between}"{video.video_id}": {json.dumps(_official(video, answers, keys))}')
        official.write("}")
        actors.write("}")
    output.finish(dataset, None, SETTINGS)
    (place / "made").touch()
    return place


def opened(place: Path) -> Dataset:
    """The dataset of a folder."""
    return open_dataset("interrvos", place / "data", "val", need_frames=False)


def _answer(dataset: Dataset, video: Video, one: Expression, rng: np.random.Generator) -> StoredPrediction:
    actor = _moved(dataset.truth(video, one.actor_ids), rng)
    target = _moved(dataset.truth(video, one.target_ids), rng) if one.is_interaction else None
    return StoredPrediction(
        video.video_id, one.expression_id, one.text, Status.OK, actor, target, seconds=0.1
    )


def _moved(track: MaskTrack, rng: np.random.Generator) -> MaskTrack:
    """The track with both ends of every run moved by up to three pixels."""
    return replace(track, counts=tuple(_moved_text(text, track, rng) for text in track.counts))


def _moved_text(text: bytes | None, track: MaskTrack, rng: np.random.Generator) -> bytes | None:
    if text is None:
        return None
    pixels = track.height * track.width
    borders = np.cumsum(runs_from_text(text, track.height, track.width))[:-1]
    borders = np.clip(borders + rng.integers(-3, 4, borders.size), 0, pixels)
    borders = np.maximum.accumulate(borders)
    runs = canonical_runs(np.diff(np.concatenate(([0], borders, [pixels]))))
    return text_from_runs(runs) if runs.size > 1 else None


def _official(video: Video, answers: list[StoredPrediction], keys: tuple[str, ...]) -> dict[str, Any]:
    facts = {"frames": list(video.frame_names), "text_prediction": SENTENCE}
    tracks = {
        one.expression_id: [_coco(track, one.actor) for track in (one.actor, one.target)] for one in answers
    }
    return {
        name: {**facts, **dict(zip(keys or ("prediction_masks",), masks, strict=False))}
        for name, masks in tracks.items()
    }


def _coco(track: MaskTrack | None, like: MaskTrack | None) -> list[dict[str, Any]]:
    """Masks as pycocotools writes them, which has no null."""
    assert like is not None
    size, empty = [like.height, like.width], text_from_runs(np.array([like.height * like.width]))
    texts = track.counts if track else (None,) * len(like)
    return [{"size": size, "counts": (text or empty).decode()} for text in texts]


PEER_SCRIPT = Path("tools/eval/eval_mevis.py")


def command(place: Path, form: str) -> list[str]:
    """What a user would type after `python -m benchmark.score`."""
    options = {"--predictions": place / form, "--output": place / f"scores-{form}", "--dataset": "interrvos"}
    options["--data-root"] = place / "data"
    return [str(part) for option in options.items() for part in option] + ["--force"]


def timed(arguments: list[str], **settings: Any) -> tuple[float, float, float]:
    """Wall seconds, processor seconds and peak MiB of a process with its children."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    began = time.perf_counter()
    done = subprocess.run(arguments, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, **settings)
    wall, after = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        said = done.stderr.strip().splitlines()[-1:] or ["nothing"]
        raise SystemExit(f"{' '.join(arguments)}\nended with {done.returncode} and said: {said[0]}")
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return wall, cpu, after.ru_maxrss / 1024


def profile(place: Path, form: str) -> Iterator[str]:
    """The twenty most expensive functions, their callees left out, in percent of the run."""
    from benchmark import score, scoring

    profiler = cProfile.Profile()
    setattr(scoring, "ThreadPoolExecutor", InThisThread)  # noqa: B010 - not a name it exports
    profiler.runcall(score.main, command(place, form))
    stats = pstats.Stats(profiler)
    total = stats.total_tt  # type: ignore[attr-defined]
    rows = sorted(((row[2], key) for key, row in stats.stats.items()), reverse=True)  # type: ignore[attr-defined]
    for spent, (file, _, name) in rows[:20]:
        yield f"  {100 * spent / total:5.1f}%  {spent:6.2f} s  {Path(file).name} {name}"


class InThisThread:
    """A pool whose work is done at once, where the profiler sees it."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        pass

    def __enter__(self) -> InThisThread:
        return self

    def __exit__(self, *error: object) -> None:
        pass

    def submit(self, function: Any, *arguments: Any) -> Any:
        """A finished future."""
        from concurrent.futures import Future

        future: Future[Any] = Future()
        future.set_result(function(*arguments))
        return future


def peer(place: Path, checkout: Path) -> tuple[float, float, float]:
    """Sa2VA's evaluation of the actors, unchanged, with as many workers as it starts."""
    script = checkout / PEER_SCRIPT
    data = place / "data" / "val"
    arguments = [sys.executable, str(script), str(place / "actors.json")]
    arguments += ["--mevis_exp_path", str(data / "meta_expressions.json")]
    arguments += ["--mevis_mask_path", str(data / "mask_dict.json")]
    return timed(arguments, env={**os.environ, "PYTHONPATH": str(checkout)}, cwd=place)


def main() -> None:
    """Make what is needed, measure, print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--scale", type=float, default=1.0)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--forms", nargs="+", choices=FORMS, default=list(FORMS))
    parser.add_argument("--profile", action="store_true")
    parser.add_argument("--peer", action="store_true")
    chosen = parser.parse_args()
    checkout = Path(os.environ.get("REFEREE_SA2VA", ""))
    if chosen.peer and chosen.profile:
        parser.error("--peer compares with our wall time, which --profile does not take")
    if chosen.peer and not (checkout / PEER_SCRIPT).is_file():
        parser.error(f"--peer needs REFEREE_SA2VA=CHECKOUT of Sa2VA; no file {checkout / PEER_SCRIPT}")
    place = make(chosen.folder, chosen.scale).resolve()
    print(f"{usable_cores()} cores, load {os.getloadavg()[0]:.1f}, scale {chosen.scale:g}")
    walls = []
    for form in chosen.forms:
        name = FORMS[form]
        if chosen.profile:
            print(f"{form}:", *profile(place, name), sep="\n")
            continue
        arguments = [sys.executable, "-m", "benchmark.score", *command(place, name)]
        runs = [timed(arguments) for _ in range(chosen.rounds)]
        wall, cpu, memory = (min(column) for column in zip(*runs, strict=True))
        walls.append(wall)
        print(f"{form:14} {wall:6.2f} s wall, {cpu:6.2f} s of processors, peak {memory:.0f} MiB")
    if chosen.peer:
        wall, cpu, _ = peer(place, checkout.resolve())
        print(f"{'Sa2VA, actors':14} {wall:6.2f} s wall, {cpu:6.2f} s of processors")
        print(f"  {wall / min(walls):.0f} times our wall time, for the actors alone")


if __name__ == "__main__":
    main()
