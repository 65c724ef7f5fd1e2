"""A split in the released layout, small enough to write in a test, and free to be damaged in it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from pycocotools import mask as coco

SIZES = {"111_clip000": (12, 20), "222_clip000": (9, 16)}
FRAMES = ["00000", "00001", "00002"]
# annotation id -> video
TRACKS = {"40": "111_clip000", "41": "111_clip000", "42": "111_clip000", "50": "222_clip000"}


def track_array(annotation_id: str) -> Any:
    """Boolean (T, H, W) of one track; its second frame is empty for odd ids."""
    height, width = SIZES[TRACKS[annotation_id]]
    array = np.random.default_rng(int(annotation_id)).random((len(FRAMES), height, width)) < 0.3
    if int(annotation_id) % 2:
        array[1] = False
    return array


def rle(mask: Any) -> dict[str, Any]:
    """One mask as released."""
    encoded = coco.encode(np.asfortranarray(mask.astype(np.uint8)))
    return {"size": encoded["size"], "counts": encoded["counts"].decode()}


def mask_dict() -> dict[str, Any]:
    """Content of mask_dict.json; frames without pixels are null."""
    return {
        annotation_id: [rle(mask) if mask.any() else None for mask in track_array(annotation_id)]
        for annotation_id in TRACKS
    }


def roles(actors: list[int], targets: list[int] | None) -> dict[str, Any]:
    """The member "subject/object" of an expression."""
    inner = {"subject": actors, "object": targets}
    return {"obj_id": inner, "anno_id": inner}


def meta() -> dict[str, Any]:
    """Content of meta_expressions.json: every form that "object" takes is in it."""
    first = {
        "0": {
            "exp": "white cup held above the table",
            "caption_type": "single",
            "obj_id": [1],
            "anno_id": [41],
            "subject/object": roles([41], []),
        },
        "7": {
            "exp": "child handing cup to woman",
            "caption_type": "unidirectional",
            "obj_id": [0],
            "anno_id": [40],
            "subject/object": roles([40], [41, 42]),
        },
        "10": {
            "exp": "two people",
            "caption_type": "multi",
            "obj_id": [0, 2],
            "anno_id": [40, 42],
            "subject/object": roles([40, 42], None),
        },
        "2": {"exp": "somebody", "anno_id": [42], "tags": ["small", "occluded"]},
    }
    second = {
        "0": {
            "exp": "a dog",
            "caption_type": "single",
            "anno_id": [50],
            "subject/object": {"anno_id": {"subject": [50]}},
        }
    }
    return {
        "videos": {
            "222_clip000": {"vid_id": 3, "frames": FRAMES, "expressions": second},
            "111_clip000": {"vid_id": 1, "frames": FRAMES, "expressions": first},
        }
    }


def write_release(
    folder: Path, expressions: dict[str, Any] | None = None, masks: dict[str, Any] | None = None
) -> Path:
    """Write a split, whole unless other contents are given; returns its folder."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "meta_expressions.json").write_text(json.dumps(meta() if expressions is None else expressions))
    (folder / "mask_dict.json").write_text(json.dumps(mask_dict() if masks is None else masks))
    for video_id, (height, width) in SIZES.items():
        images = folder / "JPEGImages" / video_id
        images.mkdir(parents=True, exist_ok=True)
        for name in FRAMES:
            Image.new("RGB", (width, height), (90, 120, 30)).save(images / f"{name}.jpg")
    return folder
