"""Runs the evaluators of other projects on the clips of `golden_clips` and writes `presets.json`.

Needs their repositories side by side in one folder, each checked out at the commit in `COMMITS` (SA-V's
evaluator is the copy inside Long_RVOS), and scikit-image, scipy, pandas, opencv-python, pycocotools,
termcolor. Their programs run unchanged, in one process:

    python -m tests.benchmark.golden.write_golden --peers FOLDER [--only mosev2]
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import importlib.util
import io
import json
import multiprocessing
import os
import queue
import runpy
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from PIL import Image
from pycocotools import mask as coco

from tests.benchmark.golden_clips import (
    ExpressionClip,
    IndexClip,
    expression_clips,
    groups,
    index_clips,
    leaving_clips,
)

COMMITS = {
    "davis2017-evaluation": "ac7c43fca936f9722837b7fbd337d284ba37004b",
    "vos-benchmark": "acb47337f2c5677c0e6556590baad0563dfbb000",
    "Long_RVOS": "447682a4fba314e81897645a91ff1a178da493d3",
    "MeViS": "7c0620b9dc0ab7802747957f221674f175c8a47b",
    "VISA": "ec158fde9cdf87f702399c73618aa0f1127062e9",
    "Sa2VA": "9832e1a80e74ed513e8072bf882a09bdd80566c4",
    "MOSE-api": "241977ae2ceceee054fa2a2c8a2690838c451369",
}
OUTPUT = Path(__file__).parent / "presets.json"


class InProcess:
    """Stands in for multiprocessing.Process: the work is done at `start`."""

    def __init__(self, target: Callable[..., None], args: tuple[Any, ...]) -> None:
        self.target, self.args = target, args

    def start(self) -> None:
        self.target(*self.args)

    def join(self) -> None:
        pass


class InProcessManager:
    """Stands in for multiprocessing.Manager."""

    dict = staticmethod(dict)


@contextlib.contextmanager
def one_process(folder: Path, *import_from: Path) -> Iterator[None]:
    """The current folder and import path of a peer's program, without other processes or output."""
    saved = {name: getattr(multiprocessing, name) for name in ("Queue", "Process", "Manager")}
    path, argv, cwd, known = list(sys.path), list(sys.argv), Path.cwd(), set(sys.modules)
    multiprocessing.Queue = queue.Queue  # type: ignore[misc, assignment]
    multiprocessing.Process = InProcess  # type: ignore[misc, assignment]
    multiprocessing.Manager = InProcessManager  # type: ignore[misc, assignment]
    sys.path[:0] = [str(place) for place in import_from]
    os.chdir(folder)
    try:
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            yield
    finally:
        for name, value in saved.items():
            setattr(multiprocessing, name, value)
        sys.path[:], sys.argv[:] = path, argv
        os.chdir(cwd)
        for name in set(sys.modules) - known:
            module = sys.modules[name]
            home = f"{getattr(module, '__file__', '')} {getattr(module, '__path__', '')}"
            if any(str(place) in home for place in import_from):
                del sys.modules[name]


def run_program(program: Path, *arguments: str) -> None:
    sys.argv[:] = [str(program), *arguments]
    runpy.run_path(str(program), run_name="__main__")


def write_png(pixels: np.ndarray, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels.astype(np.uint8)).save(path)


def write_maps(clips: list[IndexClip], which: str, root: Path) -> None:
    for clip in clips:
        for index, pixels in enumerate(getattr(clip, which)):
            write_png(pixels, root / clip.name / f"{index:05d}.png")


def rle(mask: np.ndarray) -> dict[str, Any]:
    encoded = coco.encode(np.asfortranarray(mask.astype(np.uint8)))
    return {"size": encoded["size"], "counts": encoded["counts"].decode()}


def davis(peers: Path, work: Path, clips: list[IndexClip], task: str, which: str) -> dict[str, Any]:
    root = work / "davis"
    name = "Annotations" if task == "semi-supervised" else "Annotations_unsupervised"
    write_maps(clips, "truth", root / name / "480p")
    for clip in clips:
        for index, pixels in enumerate(clip.truth):
            (root / "JPEGImages/480p" / clip.name).mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(root / "JPEGImages/480p" / clip.name / f"{index:05d}.jpg"), pixels)
    (root / "ImageSets/2017").mkdir(parents=True, exist_ok=True)
    (root / "ImageSets/2017/val.txt").write_text("".join(f"{clip.name}\n" for clip in clips))
    write_maps(clips, which, work / which)
    with one_process(work, peers / "davis2017-evaluation"):
        evaluation = importlib.import_module("davis2017.evaluation")
        result = evaluation.DAVISEvaluation(str(root), task=task, gt_set="val").evaluate(str(work / which))
    report = {}
    for measure in "JF":
        for short, long in (("M", ""), ("R", "-recall"), ("D", "-decay")):
            report[measure + long] = [float(value) for value in result[measure][short]]
    return report


def vos_benchmark(peers: Path, work: Path, clips: list[IndexClip]) -> dict[str, Any]:
    write_maps(clips, "truth", work / "vos_truth")
    write_maps(clips, "predicted", work / "vos_predicted")
    with one_process(work, peers / "vos-benchmark"):
        module = importlib.import_module("vos_benchmark.benchmark")
        jf, j, f, objects = module.benchmark(
            [str(work / "vos_truth")], [str(work / "vos_predicted")], num_processes=1, verbose=False
        )
    return {"J&F": jf[0], "J": j[0], "F": f[0], "objects": sum(len(pair[0]) for pair in objects[0].values())}


def sav(peers: Path, work: Path, clips: list[ExpressionClip]) -> dict[str, Any]:
    for clip in clips:
        for number, ids in enumerate(clip.expressions):
            truth = clip.instances[list(ids)].any(axis=0)
            if not truth[1:-1].any():
                continue  # the program ends there
            for side, masks in (("truth", truth), ("predicted", clip.predicted[number])):
                for index, mask in enumerate(masks):
                    write_png(
                        mask * 255, work / f"sav_{side}" / clip.name / f"{number:03d}" / f"{index:05d}.png"
                    )
    with one_process(work, peers / "Long_RVOS/sam2/sav_dataset"):
        module = importlib.import_module("utils.sav_benchmark")
        jf, j, f, objects = module.benchmark(
            [str(work / "sav_truth")], [str(work / "sav_predicted")], True, 1, verbose=False
        )
    return {"J&F": jf[0], "J": j[0], "F": f[0], "objects": sum(len(pair[0]) for pair in objects[0].values())}


def write_expressions(clips: list[ExpressionClip], work: Path, names: tuple[str, ...]) -> None:
    """Expressions, masks, foreground and predictions in the forms that the RVOS programs read."""
    videos, masks, foreground, answers = {}, {}, {}, {}
    for clip in clips:
        _, frames, height, width = clip.instances.shape
        kinds = groups(names, len(clip.expressions))
        videos[clip.name] = {
            "frames": [f"{index:05d}" for index in range(frames)],
            "height": height,
            "width": width,
            "expressions": {
                str(number): {
                    "exp": "a thing",
                    "anno_id": [f"{clip.name}{instance}" for instance in ids],
                    "obj_id": str(number),
                    "type": {"hybrid": "static+dynamic"}.get(kinds[number], kinds[number]),
                    "type_id": names.index(kinds[number]),
                }
                for number, ids in enumerate(clip.expressions)
            },
        }
        for instance, track in enumerate(clip.instances):
            masks[f"{clip.name}{instance}"] = [rle(mask) if mask.any() else None for mask in track]
        foreground[clip.name] = {
            "masks_rle": [[rle(mask) for mask in frame] for frame in clip.instances.swapaxes(0, 1)]
        }
        answers[clip.name] = {
            str(number): {"prediction_masks": [rle(mask) for mask in track]}
            for number, track in enumerate(clip.predicted)
        }
        for number, ids in enumerate(clip.expressions):
            truth = clip.instances[list(ids)].any(axis=0)
            for index in range(frames):
                write_png(
                    clip.predicted[number, index] * 255,
                    work / "answers" / clip.name / str(number) / f"{index:05d}.png",
                )
                annotations = work / "data/long_rvos/valid/Annotations"
                write_png(truth[index] * 255, annotations / clip.name / str(number) / f"{index:05d}.png")
    (work / "expressions.json").write_text(json.dumps({"videos": videos}))
    (work / "data/long_rvos/valid/meta_expressions.json").write_text(json.dumps({"videos": videos}))
    (work / "masks.json").write_text(json.dumps(masks))
    (work / "foreground.json").write_text(json.dumps(foreground))
    (work / "answers.json").write_text(json.dumps(answers))


def mevis(peers: Path, work: Path, clips: list[ExpressionClip]) -> dict[str, Any]:
    write_expressions(clips, work, ("one",))
    tools = peers / "MeViS/tools"
    with one_process(work, tools):
        run_program(
            tools / "eval_mevis.py",
            "--mevis_exp_path=expressions.json",
            "--mevis_mask_path=masks.json",
            "--mevis_pred_path=answers",
            "--save_name=mevis.json",
        )
    scores = json.loads((work / "mevis.json").read_text())
    return {"J": [pair[0] for pair in scores.values()], "F": [pair[1] for pair in scores.values()]}


def revos_by_visa(peers: Path, work: Path, clips: list[ExpressionClip]) -> dict[str, Any]:
    write_expressions(clips, work, ("referring", "reasoning"))
    tools = peers / "VISA/tools"
    with one_process(work, tools):
        run_program(
            tools / "eval_revos.py",
            str(work / "answers"),
            "--visa_exp_path=expressions.json",
            "--visa_mask_path=masks.json",
            "--visa_foreground_mask_path=foreground.json",
        )
    result: dict[str, Any] = json.loads((work / "revos_valid.json").read_text())
    return result


def by_sa2va(
    peers: Path, work: Path, clips: list[ExpressionClip], names: tuple[str, ...], program: str
) -> dict[str, Any]:
    write_expressions(clips, work, names)
    tools = peers / "Sa2VA/tools/eval"
    arguments = [str(work / "answers.json"), "--exp_path=expressions.json", "--mask_path=masks.json"]
    if program == "eval_revos.py":
        arguments.append("--foreground_mask_path=foreground.json")
    arguments.append("--save_json_name=sa2va.json")
    with one_process(work, peers / "Sa2VA", tools):
        run_program(tools / program, *arguments)
    result: dict[str, Any] = json.loads((work / "sa2va.json").read_text())
    return result


def long_rvos(peers: Path, work: Path, clips: list[ExpressionClip]) -> dict[str, Any]:
    write_expressions(clips, work, ("static", "dynamic", "hybrid"))
    tools = peers / "Long_RVOS/eval/eval_long_rvos"
    result = {}
    for group in ("static", "dynamic", "hybrid"):
        with one_process(work, tools):
            run_program(tools / f"eval_{group}.py", f"--pred_path={work}/answers")
        scores = json.loads((work / f"{group}_valid.json").read_text())
        columns = np.array(list(scores.values()))
        result[group] = dict(zip(("J", "F", "tIoU", "vIoU"), columns.T.tolist(), strict=True))
    return result


def mosev2(peers: Path, work: Path, clips: list[IndexClip]) -> dict[str, Any]:
    """What the program's own functions return for each object, in its pieces and before it rounds."""
    for which in ("truth", "predicted"):
        write_maps(clips, which, work / which)
    places = {which: str(work / which) for which in ("truth", "predicted")}
    columns = ("J", "F", "F-at-frame-tolerance")
    columns += tuple(f"{measure}-{kind}" for kind in ("disappearance", "reappearance") for measure in "JF")
    result: dict[str, Any] = {}
    tools = peers / "MOSE-api/MOSEv2/sam2_rcms/tools"
    with one_process(work, tools):
        program = importlib.import_module("score")
        for clip in clips:
            frames, height, width = clip.truth.shape
            meta = {clip.name: {"length": frames, "height": height, "width": width}}
            for number in (int(value) for value in np.unique(clip.truth) if value):
                pieces = []
                for start in range(1, frames - 1, program.MAX_FRAMES_PER_CHUNK):
                    end = min(start + program.MAX_FRAMES_PER_CHUNK, frames - 1)
                    pieces.append(
                        program.process_video_chunk(
                            clip.name, meta, places["predicted"], places["truth"], start, end, number, 0
                        )
                    )
                values = program.merge_chunk_results(pieces, clip.name, number)
                result[f"{clip.name} {number}"] = {
                    column: float(value)
                    for column, value in zip(columns, values, strict=True)
                    if value is not None
                }
    return result


def frame_measures(peers: Path, clips: list[ExpressionClip]) -> dict[str, Any]:
    """A and R of every frame by the function both ReVOS programs use, at each program's pixel values."""
    place = peers / "VISA/tools/metrics.py"
    spec = importlib.util.spec_from_file_location("visa_metrics", place)
    assert spec and spec.loader
    metrics = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(metrics)
    result: dict[str, Any] = {}
    for script, value in (("visa", 255), ("sa2va", 1)):
        for clip in clips:
            foreground = clip.instances.sum(axis=0).astype(np.uint8)
            for number, ids in enumerate(clip.expressions):
                truth = clip.instances[list(ids)].sum(axis=0).astype(np.uint8)
                predicted = clip.predicted[number].astype(np.uint8) * np.uint8(value)
                a = metrics.get_r2vos_accuracy(truth, predicted)
                r = metrics.get_r2vos_robustness(truth, predicted, foreground)
                result[f"{script} {clip.name} {number}"] = {"A": a.tolist(), "R": r.tolist()}
    return result


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--peers", type=Path, required=True)
    parser.add_argument("--only", nargs="+", metavar="PRESET", help="run these and keep what is there")
    options = parser.parse_args()
    peers = options.peers.resolve()
    maps, expressions = index_clips(), expression_clips()
    apart, both = expressions[:1], expressions
    jobs: dict[str, Callable[[Path], Any]] = {
        "davis-semi": lambda work: davis(peers, work, maps, "semi-supervised", "predicted"),
        "davis-unsup": lambda work: davis(peers, work, maps, "unsupervised", "proposals"),
        "vos-benchmark": lambda work: vos_benchmark(peers, work, maps),
        "sav": lambda work: sav(peers, work, both),
        "mevis": lambda work: mevis(peers, work, both),
        "revos": lambda work: by_sa2va(peers, work, apart, ("referring", "reasoning"), "eval_revos.py"),
        "revos by VISA": lambda work: revos_by_visa(peers, work, both),
        "ref-sav": lambda work: by_sa2va(peers, work, apart, ("long", "short"), "eval_ref_sav.py"),
        "long-rvos": lambda work: long_rvos(peers, work, both),
        "mosev2": lambda work: mosev2(peers, work, [*maps, *leaving_clips()]),
        "frame measures": lambda work: frame_measures(peers, both),
    }
    golden: dict[str, Any] = json.loads(OUTPUT.read_text()) if options.only else {}
    golden["commits"] = COMMITS
    for name in options.only or jobs:
        job = jobs[name]
        with tempfile.TemporaryDirectory() as work:
            golden[name] = job(Path(work))
    OUTPUT.write_text(json.dumps(golden, indent=1) + "\n")
    print(f"wrote {OUTPUT}")


if __name__ == "__main__":
    main()
