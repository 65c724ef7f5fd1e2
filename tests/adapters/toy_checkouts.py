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
        print("process", os.getpid(), flush=True)
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


TOY_VISA = """
import argparse, json, os, sys, time
import numpy as np
from PIL import Image
from model.marks import MARK
from utils.rvos_eval_dataset import EXPRESSIONS, IMAGES, LISA_ROOT

flags = argparse.ArgumentParser()
for name in ("version", "vision_pretrained", "log_base_dir", "exp_name", "dataset", "sample_rates"):
    flags.add_argument("--" + name)
flags.add_argument("--explanatory", type=float)
flags.add_argument("--val_dataset")
flags.add_argument("--balance_sample", action="store_true")
flags.add_argument("--eval_only", action="store_true")
given = flags.parse_args()
print(MARK, LISA_ROOT, *(os.environ[name] for name in ("RANK", "WORLD_SIZE", "CUDA_VISIBLE_DEVICES")))
assert given.eval_only and given.balance_sample and given.explanatory == -1 and given.sample_rates == "13"
int(os.environ["MASTER_PORT"])
for video, facts in json.load(open(EXPRESSIONS))["videos"].items():
    for key, one in facts["expressions"].items():
        words = one["exp"]
        out = os.path.join(given.log_base_dir, given.exp_name, given.val_dataset, "Annotations", video, key)
        os.makedirs(out)
        if words == "die":
            raise RuntimeError("no kernel image is available")
        if words == "memory":
            raise RuntimeError("CUDA out of memory. Tried to allocate 2 GiB")
        if words == "hang":
            time.sleep(600)
        for number, name in enumerate(sorted(facts["frames"])):
            pixels = np.array(Image.open(os.path.join(IMAGES, "JPEGImages", video, name + ".jpg")))
            mask = np.zeros(pixels.shape[:2], np.uint8)
            if words != "nothing":
                mask[: number + 1, :2] = 255
            path = os.path.join(out, name + ".png")
            if words == "garbage":
                open(path, "w").write("not a picture")
            elif words != "no masks":
                Image.fromarray(mask).convert("L").save(path)
"""

TOY_DATASET = """
from .dataset_config import LISA_ROOT, RVOS_DATA_INFO, RVOS_ROOT
IMAGES, EXPRESSIONS = (RVOS_ROOT + "/" + one for one in RVOS_DATA_INFO["revos_valid"])
"""

TOY_CLIENT = """
import argparse, json, os
flags = argparse.ArgumentParser()
flags.add_argument("--video_root")
flags.add_argument("--data_json_file")
flags.add_argument("--output_json_file")
flags.add_argument("--port", type=int, default=[8000], nargs="+")
flags.add_argument("--repeat_num", type=int, default=10)
given = flags.parse_args()
data = json.load(open(given.data_json_file))
for video, facts in data["videos"].items():
    assert os.listdir(os.path.join(given.video_root, video)) and given.repeat_num == 10
    for one in facts["expressions"].values():
        assert one["exp"] != "no sampler", "Connection refused"
        one["tp"] = {"early": 0.0, "late": 1.0, "beyond": 7.0, "text": "50%"}.get(one["exp"], 0.5)
json.dump(data, open(given.output_json_file, "w"))
"""

TOY_XMEM = """
import argparse, json, os
import numpy as np
from PIL import Image
from inference.marks import MARK

flags = argparse.ArgumentParser()
for name in ("model", "meta_exp", "generic_path", "img_dir", "dataset", "output"):
    flags.add_argument("--" + name)
flags.add_argument("--reversed", action="store_true")
flags.add_argument("--split_part", type=int, default=0)
given = flags.parse_args()
print(MARK, given.model, given.split_part, "back" if given.reversed else "forth")
asked = []
for video, facts in json.load(open(given.meta_exp))["videos"].items():
    folder = os.path.join(given.generic_path, video)
    asked += [(video, key, facts) for key in os.listdir(folder) if len(os.listdir(folder + "/" + key)) == 1]
asked.sort(key=lambda one: one[:2])
for video, key, facts in asked[given.split_part :: 4]:
    if facts["expressions"][key]["exp"] == "no tracker":
        raise RuntimeError("XMem.pth is damaged")
    (start,) = os.listdir(os.path.join(given.generic_path, video, key))
    mask = Image.open(os.path.join(given.generic_path, video, key, start)).convert("P")
    out = os.path.join(given.output, video, key)
    os.makedirs(out, exist_ok=True)
    for frame in sorted(os.listdir(os.path.join(given.img_dir, video))):
        name = frame[:-4] + ".png"
        if name <= start if given.reversed else name >= start:
            Image.fromarray(np.asarray(mask, np.uint8)).save(os.path.join(out, name))
"""


def write_visa(folder: Path) -> Path:
    """A checkout whose model answers with a corner that grows by a row a frame, and whose tracker copies."""
    files = {
        "train_ds.py": TOY_VISA,
        "model/marks.py": 'MARK = "toy VISA"\n',
        "utils/dataset_config.py": 'LISA_ROOT = "/lisa"\nRVOS_ROOT = "/nowhere"\nRVOS_DATA_INFO = {}',
        "utils/rvos_eval_dataset.py": TOY_DATASET,
        "utils_llamavid/llamavid_client.py": TOY_CLIENT,
        "XMem/eval.py": TOY_XMEM,
        "XMem/inference/marks.py": 'MARK = "toy XMem"\n',
        "weights/hf_model/config.json": "{}",
        "weights/sam_vit_h_4b8939.pth": "sam",
        "weights/XMem.pth": "xmem",
    }
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")
    return folder
