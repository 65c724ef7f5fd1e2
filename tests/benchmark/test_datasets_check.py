"""`python -m benchmark.datasets`: every problem of a dataset at once, and what the dataset holds."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image

from benchmark.datasets.__main__ import main
from benchmark.datasets.check import check_split, format_report
from benchmark.datasets.split_folder import find_split
from tests.benchmark.small_release import mask_dict, meta, rle, track_array, write_release

WHOLE = """\
caption type            videos   expressions  interactions       objects        frames
multi                        1             1             0             2             3
single                       2             2             0             2             6
undefined                    1             1             0             1             3
unidirectional               1             1             1             3             3
all                          2             5             1             4             6

occluded                                   1
small                                      1
"""


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INTERRVOS_CACHE", str(tmp_path / "cache"))


def test_a_whole_split_has_no_problems_and_is_counted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = write_release(tmp_path / "val")
    assert main(["check", str(folder)]) == 0
    shown = capsys.readouterr().out
    assert WHOLE in shown
    assert shown.endswith(f"{folder}: no problems\n")
    assert "problem:" not in shown
    assert (
        'note: without "caption_type": counted as "undefined"\n    video 111_clip000, expression 2\n' in shown
    )
    for note in (
        '"object" is null: no target',
        '"object" is absent: no target',
        '"subject/object" is absent',
    ):
        assert f"note: {note}" in shown


def test_everything_wrong_is_found_in_one_run(tmp_path: Path) -> None:
    content, masks = meta(), mask_dict()
    videos = content["videos"]
    expressions = videos["111_clip000"]["expressions"]
    expressions["2"]["exp"] = ""  # the whole video becomes unreadable
    videos["333_clip000"] = {"frames": ["00001", "00000", "2"], "expressions": {"0": expressions["0"]}}
    videos["444_clip000"] = {"frames": ["00000"], "expressions": {}}
    folder = write_release(tmp_path / "val", content, masks | {"77": ["?"]})
    videos["222_clip000"]["expressions"]["1"] = {
        "exp": "a cat",
        "caption_type": "odd",
        "anno_id": [51, 50],
        "subject/object": {"anno_id": {"subject": [50], "object": [50]}},
    }
    (folder / "meta_expressions.json").write_text(json.dumps(content))
    dog = folder / "JPEGImages" / "222_clip000"
    (dog / "00000.jpg").write_bytes((dog / "00000.jpg").read_bytes()[:-2])
    Image.new("RGB", (50, 40)).save(dog / "00001.jpg")
    (dog / "00002.jpg").write_text("no picture")
    (dog / "extra.jpg").write_text("")
    odd = folder / "JPEGImages" / "333_clip000"
    odd.mkdir()
    Image.new("RGB", (20, 12)).save(odd / "00000.jpg")
    report = check_split(find_split(folder, "val"))
    assert {what: group.count for what, group in report.problems.items()} == {
        '"exp" is wrong': 1,
        "an annotation id has no track": 1,
        "a frame file is cut off": 1,
        "a frame has another size than its masks": 1,
        "frame file is not a readable image": 1,
        "frames of one video differ in size": 1,
        "a frame file is missing": 2,
        "a video has no folder of frames": 1,
        "a mask must be an RLE object or null": 1,
    }
    assert set(report.notes) == {
        "frames are not sorted; they are sorted as text, and masks follow that order",
        "frame names differ in length, so their order as text may not be that in time",
        '"object" is null: no target',
        '"object" is absent: no target',
        '"subject/object" is absent: no target',
        'without "caption_type": counted as "undefined"',
        "caption_type 'odd' is none of single, multi, bidirectional, unidirectional",
        '"subject" and the top-level "anno_id" differ; the top level is the truth',
        "a track is both actor and target",
        "a video without expressions",
        "a folder holds files that are no frames of the video",
        "a track is used by no expression",
    }
    assert main(["check", str(folder)]) == 1


def test_repeated_findings_are_grouped(tmp_path: Path) -> None:
    folder = write_release(tmp_path / "val")
    for path in (folder / "JPEGImages").glob("*/*.jpg"):
        path.unlink()
    report = check_split(find_split(folder, "val"))
    text = format_report(report)
    assert report.problem_count == 6
    assert "problem: a frame file is missing (6 times)\n" in text
    assert "    and 3 more\n" in text
    assert text.count("00001.jpg") == 1
    assert text.endswith(f"{folder}: 6 problems")


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("mask_dict.json", '{"40": [', "problem: the JSON is cut off"),
        ("meta_expressions.json", "[]", "problem: malformed JSON at byte 0"),
        ("mask_dict.json", None, "problem: the mask file is missing"),
    ],
)
def test_what_can_still_be_checked_is_checked(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, text: str | None, said: str
) -> None:
    """A file that cannot be read at all does not hide what is wrong elsewhere."""
    folder = write_release(tmp_path / "val")
    (folder / "JPEGImages").rename(folder / "images")
    (folder / name).unlink()
    if text is not None:
        (folder / name).write_text(text)
    assert main(["check", str(folder)]) == 1
    shown = capsys.readouterr().out
    assert said in shown
    assert "problem: the image folder is missing" in shown
    assert shown.endswith(f"{folder}: 2 problems\n")


def test_rle_of_another_size_than_the_pictures(tmp_path: Path) -> None:
    masks = mask_dict() | {"50": [rle(mask.T) for mask in ~track_array("50")]}
    report = check_split(find_split(write_release(tmp_path / "val", masks=masks), "val"))
    (group,) = report.problems.values()
    assert group.count == 3
    assert group.first[0].what == "a frame has another size than its masks"
    assert (group.first[0].expected, group.first[0].found) == ("16x9 as the masks", "image 9x16")


def test_a_damaged_index_is_made_anew_by_the_check(tmp_path: Path) -> None:
    folder = write_release(tmp_path / "val")
    check_split(find_split(folder, "val"))
    index = folder / "mask_dict.index"
    whole = index.read_bytes()
    index.unlink()
    index.write_bytes(whole[:60] + bytes([whole[60] ^ 1]) + whole[61:])
    assert check_split(find_split(folder, "val")).problem_count == 0
    assert index.read_bytes() == whole


def test_all_splits_of_a_root_or_one_of_them(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for split in ("train", "val"):
        write_release(tmp_path / "InterRVOS" / split)
    assert main(["check", str(tmp_path)]) == 0
    shown = capsys.readouterr().out
    assert "InterRVOS/train: no problems" in shown and "InterRVOS/val: no problems" in shown
    assert main(["check", str(tmp_path), "--split", "train"]) == 0
    assert "InterRVOS/val" not in capsys.readouterr().out


def test_without_a_folder_the_built_in_set_is_checked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = write_release(tmp_path / "val")
    monkeypatch.setattr("benchmark.datasets.synthetic.cached_split", lambda split: folder, raising=False)
    assert main(["check"]) == 0
    assert f"{folder}: no problems" in capsys.readouterr().out


@pytest.mark.parametrize("arguments", [[], ["list"]])
def test_the_table_of_datasets(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == 0
    rows = capsys.readouterr().out.splitlines()
    assert [row.split()[0] for row in rows] == [
        "interrvos",
        "interrvos-new",
        "interrvos-synthetic",
        "mevis",
        "ref-youtube-vos",
        "ref-davis17",
    ]
    assert "--data-root DIR" in rows[0] and "built in" in rows[2]
