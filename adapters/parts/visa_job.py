"""One job of `--adapter visa`: the stages of VISA's repository on a data folder laid out as it expects.

    python -m adapters.parts.visa_job --checkout DIR --python PATH --version DIR --sam FILE JOB.json
        --xmem FILE [--sampler-port N]

1. train_ds.py --eval_only on "revos_valid": a mask of every frame, each taken as the target frame;
2. with --sampler-port: utils_llamavid/llamavid_client.py, which asks the running LLaMA-VID server K times;
   without, the middle of the video, which that program takes where no answer can be read;
3. with --xmem: XMem/eval.py from the target frame's mask, forwards and `--reversed`.

Where the data lies is written into utils/dataset_config.py of the checkout. So the programs run in a
folder of links to the checkout in which that one file is followed by two lines of ours.
`XMem/tracking.py` only starts eval.py once per GPU and direction; that is done here.

Source: cilinyan/VISA, README section 4, train_ds.py, utils_llamavid/, XMem/ (snapshot 2024-08-06).
"""

from __future__ import annotations

import argparse
import json
import shutil
import socket
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from adapters.parts.original_steps import Job, StepFailure, give_up, hand_over, one_gpu, read_job, run_step
from benchmark.errors import MaskError
from benchmark.masks import read_mask_png

VIDEO = "clip"
DATASET = "revos_valid"
CONFIGURATION = "utils/dataset_config.py"
MIDDLE = 0.5
XMEM_PARTS = 4
"""Sentences are told apart by their place in a sorted list, modulo four. Source: XMem/inference/data."""


def main(arguments: Sequence[str]) -> None:
    """Run the job; what went wrong is in its answers.json."""
    given = _flags().parse_args(arguments)
    job = read_job(given.job)
    try:
        code, data = _link_code(given.checkout, job.work), _write_data(job)
        written = _segment(given, job, code)
        if given.xmem is not None:
            shares = _shares(given, job, code, data)
            written = _track(given, job, code, data, _picked(job, written, shares))
    except StepFailure as failure:
        give_up(job, failure)
        return
    for index in job.sentences:
        hand_over(job, index, written / str(index))


def _link_code(checkout: Path, work: Path) -> Path:
    """The folder that VISA is run in."""
    code = work / "code"
    (code / "utils").mkdir(parents=True)
    for path in (*checkout.iterdir(), *(checkout / "utils").iterdir()):
        if path.name not in ("utils", ".git", "__pycache__"):
            (code / path.relative_to(checkout)).symlink_to(path.resolve())
    configuration = code / CONFIGURATION
    text = (checkout / CONFIGURATION).read_text(encoding="utf-8")
    entry = ("ReVOS", "ReVOS/meta_expressions_valid_.json")
    ours = f"RVOS_ROOT = {str(work / 'data')!r}\nRVOS_DATA_INFO = {{{DATASET!r}: {entry!r}}}\n"
    configuration.unlink()
    configuration.write_text(f"{text}\n{ours}", encoding="utf-8")
    # Python looks for modules beside the file that a link leads to.
    (code / "train_ds.py").unlink()
    shutil.copyfile(checkout / "train_ds.py", code / "train_ds.py")
    return code


def _write_data(job: Job) -> Path:
    """A ReVOS of one video."""
    data = job.work / "data" / "ReVOS"
    (data / "JPEGImages").mkdir(parents=True)
    (data / "JPEGImages" / VIDEO).symlink_to(job.frames.resolve())
    asked = {
        str(index): {"exp": sentence, "obj_id": [], "anno_id": [], "type_id": 0}
        for index, sentence in job.sentences.items()
    }
    videos = {VIDEO: {"vid_id": 0, "frames": list(job.names), "expressions": asked}}
    (data / "meta_expressions_valid_.json").write_text(json.dumps({"videos": videos}), encoding="utf-8")
    return data


def _segment(given: argparse.Namespace, job: Job, code: Path) -> Path:
    """Masks of every frame: folders by sentence."""
    words = [
        given.python,
        "train_ds.py",
        f"--version={given.version}",
        f"--vision_pretrained={given.sam}",
        f"--log_base_dir={job.work / 'runs'}",
        "--exp_name=visa",
        "--balance_sample",
        "--dataset=reason_seg",
        "--sample_rates=13",
        "--explanatory=-1",  # else it opens annotations of its training set
        f"--val_dataset={DATASET}",
        "--eval_only",
    ]
    # What the launcher of deepspeed tells a single process.
    alone = {"RANK": "0", "LOCAL_RANK": "0", "WORLD_SIZE": "1", "MASTER_ADDR": "127.0.0.1"}
    variables = {**one_gpu(job.device), **alone, "MASTER_PORT": str(_free_port())}
    run_step("VISA's train_ds.py", words, code, variables)
    return job.work / "runs" / "visa" / DATASET / "Annotations" / VIDEO


def _free_port() -> int:
    with socket.socket() as open_socket:
        open_socket.bind(("127.0.0.1", 0))
        return int(open_socket.getsockname()[1])


def _shares(given: argparse.Namespace, job: Job, code: Path, data: Path) -> dict[int, float]:
    """How far into the video each sentence's target frame lies, 0 to 1."""
    if given.sampler_port is None:
        return dict.fromkeys(job.sentences, MIDDLE)
    told = job.work / "meta_expressions_llamavid.json"
    words = [
        given.python,
        "utils_llamavid/llamavid_client.py",
        f"--video_root={data / 'JPEGImages'}",
        f"--data_json_file={data / 'meta_expressions_valid_.json'}",
        f"--output_json_file={told}",
        "--port",
        str(given.sampler_port),
        "--repeat_num=10",
    ]
    run_step("VISA's llamavid_client.py", words, code, {})
    try:
        asked: dict[str, Any] = json.loads(told.read_bytes())["videos"][VIDEO]["expressions"]
        shares = {index: float(asked[str(index)]["tp"]) for index in job.sentences}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise StepFailure(f"VISA's llamavid_client.py wrote no percentages: {error!r}") from error
    outside = [share for share in shares.values() if not 0 <= share <= 1]
    if outside:
        raise StepFailure(f"VISA's llamavid_client.py wrote a place outside the video: {outside[0]:g}")
    return shares


def _picked(job: Job, written: Path, shares: dict[int, float]) -> dict[int, Path]:
    """The mask of each sentence's target frame."""
    total = len(job.names)
    return {
        index: written / str(index) / f"{job.names[min(int(total * share), total - 1)]}.png"
        for index, share in shares.items()
    }


def _track(given: argparse.Namespace, job: Job, code: Path, data: Path, picked: dict[int, Path]) -> Path:
    """Masks carried from the target frames to all others: folders by sentence."""
    starts, tracked = job.work / "starts" / VIDEO, job.work / "tracked" / VIDEO
    seen = 0
    for index, mask in picked.items():
        if _is_empty(mask):  # XMem has nothing to follow: VISA takes all frames for empty
            (tracked / str(index)).mkdir(parents=True)
            for name in job.names:
                shutil.copyfile(mask, tracked / str(index) / f"{name}.png")
            continue
        seen += 1
        (starts / str(index)).mkdir(parents=True)
        shutil.copyfile(mask, starts / str(index) / mask.name)
    words = [
        given.python,
        "eval.py",
        f"--meta_exp={data / 'meta_expressions_valid_.json'}",
        f"--output={tracked.parent}",
        f"--generic_path={starts.parent}",
        f"--img_dir={data / 'JPEGImages'}",
        f"--model={given.xmem}",
        "--dataset=G",
    ]
    for part in range(min(seen, XMEM_PARTS)):
        for direction in ([], ["--reversed"]):
            asked = [*words, f"--split_part={part}", *direction]
            run_step("VISA's XMem/eval.py", asked, code / "XMem", one_gpu(job.device))
    return tracked


def _is_empty(mask: Path) -> bool:
    if not mask.is_file():
        raise StepFailure(f"VISA's train_ds.py wrote no mask of its target frame, {mask.name}")
    try:
        return not read_mask_png(mask).any()
    except MaskError as error:
        raise StepFailure(f"VISA's train_ds.py wrote a damaged mask: {error}") from error


def _flags() -> argparse.ArgumentParser:
    flags = argparse.ArgumentParser(prog="adapters.parts.visa_job", allow_abbrev=False)
    flags.add_argument("--checkout", type=Path, required=True)
    flags.add_argument("--python", required=True)
    flags.add_argument("--version", required=True, help="folder of the merged model")
    flags.add_argument("--sam", required=True)
    flags.add_argument("--xmem", help="without it, every frame keeps the mask VISA gave it")
    flags.add_argument("--sampler-port", type=int)
    flags.add_argument("job", type=Path)
    return flags


if __name__ == "__main__":
    main(sys.argv[1:])
