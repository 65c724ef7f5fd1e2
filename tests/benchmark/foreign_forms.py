"""Predictions written in the forms of others."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from pycocotools import mask as coco

from benchmark.masks import decode_track
from benchmark.prediction_records import StoredPrediction
from benchmark.types import MaskTrack, Video

Stored = Mapping[str, Mapping[str, StoredPrediction]]


def write_frames(folder: Path, video: Video, track: MaskTrack, value: int = 255) -> None:
    """One PNG per frame."""
    folder.mkdir(parents=True)
    for name, mask in zip(video.frame_names, decode_track(track), strict=True):
        Image.fromarray((mask * value).astype(np.uint8)).save(folder / f"{name}.png")


def write_tree(root: Path, videos: Any, stored: Stored, form: str, value: int = 255) -> Path:
    """`form` holds {video}, {expression} and, where both roles are written, {role}."""
    for video in videos:
        for name, one in stored[video.video_id].items():
            for role, track in (("actor", one.actor), ("target", one.target)):
                if track is None or (role == "target" and "{role}" not in form):
                    continue
                inner = form.format(video=video.video_id, expression=name, role=role)
                write_frames(root / inner, video, track, value)
    return root


def rle(mask: Any) -> dict[str, Any]:
    """A mask as COCO writes it."""
    encoded = coco.encode(np.asfortranarray(mask.astype(np.uint8)))
    return {"size": encoded["size"], "counts": encoded["counts"].decode()}


def coco_entries(videos: Any, stored: Stored) -> list[dict[str, Any]]:
    """Every actor's masks as detections of score 0.5."""
    return [
        {"image_id": f"v_{video.video_id}_f_{frame}_i_{name}", "segmentation": rle(mask), "score": 0.5}
        for video in videos
        for name, one in stored[video.video_id].items()
        if one.actor is not None
        for frame, mask in zip(video.frame_names, decode_track(one.actor), strict=True)
    ]


def write_official(path: Path, videos: Any, stored: Stored, *, targets: bool) -> Path:
    """results.json of ReVIOSa, or, without targets, of Sa2VA."""
    content: dict[str, Any] = {}
    for video in videos:
        for name, one in stored[video.video_id].items():
            record: dict[str, Any] = {"exp": f"Please segment {one.expression}.", "frames": video.frame_names}
            for key, track in (("act", one.actor), ("tar", one.target)):
                if track is not None and (key == "act" or targets):
                    member = f"prediction_masks_{key}" if targets else "prediction_masks"
                    record[member] = [rle(mask) for mask in decode_track(track)]
            content.setdefault(video.video_id, {})[name] = record
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))
    return path
