"""Small stand-ins for published repositories: their command lines and layouts, nothing of their insides."""

from __future__ import annotations

from pathlib import Path

TOY_VIDEOLISA = """
import argparse, json, os, sys, time
from glob import glob
import numpy as np
from PIL import Image
from model.marks import MARK  # found only when the checkout is on the path

flags = argparse.ArgumentParser()
flags.add_argument("--version")
flags.add_argument("--vis_save_path")
flags.add_argument("--subset_num", default=8, type=int)
flags.add_argument("--subset_idx", default=0, type=int)
flags.add_argument("--num_frames_sparse", default=50, type=int)
flags.add_argument("--num_frames_dense", default=4, type=int)
given = flags.parse_args()
print(MARK, given.version, given.num_frames_sparse, given.num_frames_dense, flush=True)
print("gpu", os.environ["CUDA_VISIBLE_DEVICES"], file=sys.stderr, flush=True)
videos = json.load(open("ReasonVOS/meta_expressions.json"))["videos"]
jobs = [(key, one) for key, video in videos.items() for one in video["expressions"].values()]
for key, one in jobs[given.subset_idx :: given.subset_num]:
    name = "_".join(key.split("_")[1:-1]) if {older} else key
    files = sorted(glob(f"ReasonVOS/JPEGImages/{name}/*.jpg"))
    if not files:
        raise FileNotFoundError(name)
    words = one["exp_text"]
    folder = os.path.join(given.vis_save_path, key, str(one["obj_id"]))
    os.makedirs(folder, exist_ok=True)
    if words == "die":
        raise RuntimeError("flash-attn is not installed")
    if words == "memory":
        raise RuntimeError("CUDA out of memory. Tried to allocate 2 GiB")
    if words == "killed":
        os.kill(os.getpid(), 9)
    if words == "hang":
        time.sleep(600)
    for number, file in enumerate(files):
        if words == "few" and number == 1:
            continue
        pixels = np.array(Image.open(file))
        mask = np.zeros(pixels.shape[:2], np.uint8)
        mask[: number + 1, : 5 if videos[key]["is_sent"] else 2] = 255
        if words == "small":
            mask = mask[:4, :4]
        path = os.path.join(folder, os.path.basename(file).split(".")[0] + ".png")
        if words == "garbage":
            open(path, "w").write("not a picture")
        else:
            Image.fromarray(mask).save(path)
"""


def write_videolisa(folder: Path, older: bool = False) -> Path:
    """A checkout whose inference script answers with a corner that grows by a row a frame."""
    script = folder / "evaluation" / "reason_vos" / "inference_reason_vos.py"
    script.parent.mkdir(parents=True)
    script.write_text(TOY_VIDEOLISA.replace("{older}", str(older)), encoding="utf-8")
    (folder / "model").mkdir()
    (folder / "model" / "marks.py").write_text('MARK = "toy VideoLISA"\n', encoding="utf-8")
    (folder / ".git" / "refs" / "heads").mkdir(parents=True)
    (folder / ".git" / "HEAD").write_text("ref: refs/heads/main\n", encoding="utf-8")
    (folder / ".git" / "refs" / "heads" / "main").write_text("a" * 40 + "\n", encoding="utf-8")
    return folder
