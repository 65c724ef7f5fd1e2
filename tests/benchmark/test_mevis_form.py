"""MeViS and what was rewritten in its form: actors only, three places to lie, hidden masks said."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmark.datasets import open_dataset
from benchmark.errors import DatasetError, UsageError
from tests.benchmark.small_release import meta, write_release


def write_mevis(folder: Path) -> Path:
    """A split as MeViS has it: neither caption types nor roles."""
    write_release(folder)
    content = meta()
    for video in content["videos"].values():
        for said in video["expressions"].values():
            for key in ("caption_type", "subject/object", "tags"):
                said.pop(key, None)
    (folder / "meta_expressions.json").write_text(json.dumps(content))
    return folder


@pytest.mark.parametrize(
    ("name", "folder", "split"),
    [
        ("mevis", "mevis/valid_u", "valid_u"),
        ("ref-youtube-vos", "ref_ytbvos/train", "train"),
        ("ref-davis17", "ref_davis/valid", "valid"),
    ],
)
def test_actors_are_read_from_every_place(tmp_path: Path, name: str, folder: str, split: str) -> None:
    split_folder = write_mevis(tmp_path / folder)
    for root in (tmp_path, split_folder.parent, split_folder):
        dataset = open_dataset(name, root, split)
        assert (dataset.name, dataset.split, len(dataset.videos)) == (name, split, 2)
        said = [one for video in dataset.videos for one in video.expressions]
        assert {one.caption_type for one in said} == {"undefined"}
        assert not any(one.is_interaction or one.target_ids for one in said)
    video = dataset.videos[0]
    assert not dataset.truth(video, video.expressions[0].actor_ids).is_empty


def test_what_is_missing_is_said(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"needs a folder.*download the MeViS dataset"):
        open_dataset("mevis", None, "train")
    with pytest.raises(DatasetError, match=r"no meta_expressions.json of mevis here.*valid_u"):
        open_dataset("mevis", tmp_path, "train")
    folder = write_mevis(tmp_path / "mevis" / "valid")
    (folder / "mask_dict.json").unlink()
    with pytest.raises(DatasetError, match=r"kept on a server.*train, valid_u"):
        open_dataset("mevis", tmp_path, "valid")
    (write_mevis(tmp_path / "mevis" / "train") / "mask_dict.json").unlink()
    with pytest.raises(DatasetError, match="the mask file is missing"):
        open_dataset("mevis", tmp_path, "train")
    folder = write_mevis(tmp_path / "ref_davis" / "train")
    (folder / "JPEGImages" / "222_clip000").rename(folder / "elsewhere")
    with pytest.raises(DatasetError, match=r"have no folder of frames.*Ref-DAVIS17"):
        open_dataset("ref-davis17", tmp_path, "train")
