"""Runs referring segmentation's evaluators on the frames of `golden_clips` and writes `overlaps.json`.

Every frame of every expression is a sample of theirs. From ReferFormer (`datasets/a2d_eval.py`, the
metrics of MTTR): O-IoU, M-IoU, P@K. It adds 1e-6 to intersection and union, in float32. From ReLA
(`gres_model/evaluation/refer_evaluation.py`), where a sample may have no target: cIoU (pooled), gIoU
(mean) and N_acc, the share of samples without target for which none was claimed; a prediction without
pixels claims none.

Needs both repositories side by side in one folder, each checked out at the commit in `COMMITS`, torch and
pycocotools. Their code runs unchanged; what they only import has empty names in its place:

    python -m tests.benchmark.golden.write_overlap_golden --peers FOLDER
"""

from __future__ import annotations

import argparse
import json
import runpy
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any
from unittest import mock

import numpy as np
import torch  # noqa: F401 - before a peer does, whose modules are forgotten again
from pycocotools import mask as coco

from tests.benchmark.golden_clips import expression_clips

COMMITS = {
    "ReferFormer": "06fc218f5d8f04730f81471a15ed89ea7e4d30d8",
    "ReLA": "3ca955198da8ace68f8980b6fcbada0791cc51c2",
}
OUTPUT = Path(__file__).parent / "overlaps.json"
ONLY_IMPORTED = {
    "detectron2.utils.comm": ("all_gather", "is_main_process", "synchronize"),
    "detectron2.utils.file_io": ("PathManager",),
    "detectron2.evaluation.evaluator": ("DatasetEvaluator",),
    "torchvision.ops.boxes": ("box_area",),
}


def samples() -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Truth and prediction of every frame of every expression."""
    for clip in expression_clips():
        for ids, predicted in zip(clip.expressions, clip.predicted, strict=True):
            yield from zip(clip.instances[list(ids)].any(axis=0), predicted, strict=True)


def loaded(program: Path) -> dict[str, Any]:
    """The names of a peer's file."""
    modules: dict[str, ModuleType] = {}
    for name, members in ONLY_IMPORTED.items():
        modules[name] = ModuleType(name)
        vars(modules[name]).update({member: type(member, (), {}) for member in members})
    with mock.patch.dict(sys.modules, modules):
        return runpy.run_path(str(program))


def by_referformer(peers: Path) -> dict[str, Any]:
    truth: dict[int, list[dict[str, Any]]] = {}
    predicted: dict[int, list[dict[str, Any]]] = {}
    for index, sides in enumerate(samples()):
        for one_side, mask in zip((truth, predicted), sides, strict=True):
            text = coco.encode(np.asfortranarray(mask.astype(np.uint8)))
            one_side[index] = [{"segmentation": text, "score": 1.0}]
    names = loaded(peers / "ReferFormer/datasets/a2d_eval.py")
    at, overall, mean = names["calculate_precision_at_k_and_iou_metrics"](
        SimpleNamespace(imgs=truth, imgToAnns=truth), SimpleNamespace(imgToAnns=predicted)
    )
    return {"P@K": at.tolist(), "O-IoU": overall, "M-IoU": float(mean)}


def by_rela(peers: Path) -> dict[str, Any]:
    names = loaded(peers / "ReLA/gres_model/evaluation/refer_evaluation.py")
    evaluator = names["ReferEvaluator"]("clips", distributed=False)
    evaluator._predictions = [
        {
            "img_id": index,
            "source": "grefcoco",
            "sent": "",
            "sent_info": {},
            "pred_nt": not predicted.any(),
            "gt_nt": not truth.any(),
            "pred_mask": predicted.astype(np.int8),
            "gt_mask": truth.astype(np.int8),
        }
        for index, (truth, predicted) in enumerate(samples())
    ]
    result: dict[str, Any] = evaluator.evaluate()["grefcoco"]
    return {name: float(result[name]) for name in ("gIoU", "cIoU", "N_acc")}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--peers", type=Path, required=True)
    peers = parser.parse_args().peers.resolve()
    golden = {"commits": COMMITS, "ReferFormer": by_referformer(peers), "ReLA": by_rela(peers)}
    OUTPUT.write_text(json.dumps(golden, indent=1) + "\n")
    print(f"wrote {OUTPUT}")


if __name__ == "__main__":
    main()
