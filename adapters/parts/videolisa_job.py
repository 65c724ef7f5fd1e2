"""One job of `--adapter videolisa`: VideoLISA's own inference on a data folder laid out as it expects.

    python -m adapters.parts.videolisa_job --checkout DIR --python PATH --weights DIR JOB.json

Its script for ReasonVOS is the one that reads its data from below the current folder, so nothing in the
repository has to be changed. Every sentence becomes a video of its own there: whether a sentence is a
question is a property of the video in that format.

Source: showlab/VideoLISA, evaluation/reason_vos/inference_reason_vos.py (commits d4c87cc and 0273d32).
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from adapters.parts.original_steps import Job, StepFailure, give_up, hand_over, one_gpu, read_job, run_step

SCRIPT = "evaluation/reason_vos/inference_reason_vos.py"
EXPRESSION = "0"


def main(arguments: Sequence[str]) -> None:
    """Run the job; what went wrong is in its answers.json."""
    given = _flags().parse_args(arguments)
    job = read_job(given.job)
    _write_data(job)
    try:
        run_step("VideoLISA", _words(given, job), job.work, _variables(given.checkout, job.device))
    except StepFailure as failure:
        give_up(job, failure)
        return
    for index in job.sentences:
        hand_over(job, index, job.work / "out" / _video(index) / EXPRESSION)


def _words(given: argparse.Namespace, job: Job) -> list[str]:
    return [
        given.python,
        str(given.checkout / SCRIPT),
        f"--version={given.weights}",
        f"--vis_save_path={job.work / 'out'}",
        "--subset_num=1",
        "--subset_idx=0",
        f"--num_frames_sparse={given.sparse_frames}",
        f"--num_frames_dense={given.dense_frames}",
    ]


def _variables(checkout: Path, device: str) -> dict[str, str]:
    return {**one_gpu(device), "PYTHONPATH": str(checkout)}


def _video(index: int) -> str:
    return f"clip_{index}_0"


def _write_data(job: Job) -> None:
    """The folder ReasonVOS that the script looks for."""
    pictures = job.work / "ReasonVOS" / "JPEGImages"
    pictures.mkdir(parents=True)
    videos = {}
    for index, sentence in job.sentences.items():
        # One version looks for the key's folder, the other for what stands between its underscores.
        for name in (_video(index), str(index)):
            (pictures / name).symlink_to(job.frames.resolve())
        asked = {"obj_id": EXPRESSION, "exp_id": EXPRESSION, "exp_text": sentence}
        videos[_video(index)] = {
            "source": "clip",
            "frames": list(job.names),
            "is_sent": sentence.rstrip().endswith("?"),
            "expressions": {EXPRESSION: asked},
        }
    text = json.dumps({"videos": videos})
    (pictures.parent / "meta_expressions.json").write_text(text, encoding="utf-8")


def _flags() -> argparse.ArgumentParser:
    flags = argparse.ArgumentParser(prog="adapters.parts.videolisa_job", allow_abbrev=False)
    flags.add_argument("--checkout", type=Path, required=True)
    flags.add_argument("--python", required=True)
    flags.add_argument("--weights", required=True)
    flags.add_argument("--sparse-frames", type=int, required=True)
    flags.add_argument("--dense-frames", type=int, required=True)
    flags.add_argument("job", type=Path)
    return flags


if __name__ == "__main__":
    main(sys.argv[1:])
