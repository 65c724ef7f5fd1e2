"""Result files: read back what was written, never overwrite another result, notice what was edited."""

from __future__ import annotations

import csv
import dataclasses
import errno
import json
from collections.abc import Callable
from pathlib import Path

import jsonschema
import numpy as np
import pytest

import benchmark
from benchmark.errors import OutputError, ResultError
from benchmark.metrics.scores import boundary_accuracy, region_similarity
from benchmark.result_files import read_expressions, read_result, write_result
from benchmark.results import Result
from tests.benchmark.tiny_clips import empty_answers, oracle_answers, random_answers, scored, tiny_dataset

FILES = ("result.json", "expressions.csv", "frame_scores.npz")


@pytest.fixture(scope="module")
def result() -> Result:
    dataset = tiny_dataset()
    stored = random_answers(dataset)
    del stored["clip2"]["0"]
    return scored(dataset, stored)


@pytest.fixture(scope="module")
def other() -> Result:
    dataset = tiny_dataset()
    return scored(dataset, oracle_answers(dataset))


def in_memory_only(result: Result) -> Result:
    return dataclasses.replace(result, expressions=(), frame_counts=None)


def test_a_result_reads_back_equal(result: Result, tmp_path: Path) -> None:
    path = write_result(result, tmp_path / "deep" / "folder")
    assert sorted(one.name for one in path.parent.iterdir()) == sorted(FILES)
    found = read_result(path)
    assert dataclasses.replace(found, files={}) == in_memory_only(result)
    assert read_result(path.parent) == found
    assert read_expressions(path, found) == result.expressions
    assert set(found.files) == set(FILES[1:])


def test_a_name_ending_in_json_names_all_three(result: Result, tmp_path: Path) -> None:
    path = write_result(result, tmp_path / "ours.json")
    assert path == tmp_path / "ours.json"
    names = ["ours.expressions.csv", "ours.frame_scores.npz", "ours.json"]
    assert sorted(one.name for one in tmp_path.iterdir()) == names
    assert read_expressions(path, read_result(path)) == result.expressions


def test_the_same_result_twice_gives_the_same_bytes(result: Result, tmp_path: Path) -> None:
    write_result(result, tmp_path / "one")
    write_result(result, tmp_path / "two")
    for name in FILES:
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


def test_scoring_again_leaves_the_first_provenance(result: Result, tmp_path: Path) -> None:
    path = write_result(result, tmp_path)
    before = path.read_bytes()
    write_result(dataclasses.replace(result, provenance={"command": "later"}), tmp_path)
    assert path.read_bytes() == before


ADDED = ("frames_per_second", "gpu_seconds", "gpu_seconds_per_expression", "peak_gpu_memory_bytes")


def test_a_result_from_before_some_costs_were_kept_is_read_and_written_anew(
    result: Result, tmp_path: Path
) -> None:
    path = write_result(result, tmp_path)
    stored = json.loads(path.read_bytes())
    for name in ADDED:
        del stored["cost"][name]
    path.write_text(json.dumps(stored))
    schema = json.loads((Path(benchmark.__file__).parent / "result.schema.json").read_bytes())
    jsonschema.validate(stored, schema)
    found = read_result(path)
    assert [getattr(found.cost, name) for name in ADDED] == [None] * 4
    assert found.cost.seconds == result.cost.seconds and found.scores_digest == result.scores_digest
    write_result(result, tmp_path)  # it says the same, and more
    assert read_result(path).cost == result.cost
    dearer = dataclasses.replace(result.cost, seconds=1e6)
    with pytest.raises(OutputError, match="another result lies here"):
        write_result(dataclasses.replace(result, cost=dearer), tmp_path)


def test_another_result_is_not_overwritten_unless_asked(
    result: Result, other: Result, tmp_path: Path
) -> None:
    path = write_result(result, tmp_path)
    before = [(tmp_path / name).read_bytes() for name in FILES]
    with pytest.raises(OutputError, match="another result lies here"):
        write_result(other, tmp_path)
    assert [(tmp_path / name).read_bytes() for name in FILES] == before
    write_result(other, tmp_path, replace=True)
    assert read_result(path).scores_digest == other.scores_digest


def test_a_file_that_is_no_result_is_not_overwritten_either(result: Result, tmp_path: Path) -> None:
    (tmp_path / "result.json").write_text("my notes")
    with pytest.raises(OutputError, match="another result lies here"):
        write_result(result, tmp_path)
    assert (tmp_path / "result.json").read_text() == "my notes"


def test_a_partial_result_makes_way(result: Result, tmp_path: Path) -> None:
    dataset = tiny_dataset()
    partial = scored(dataset, random_answers(dataset), run={"limit": 3})
    assert partial.partial is not None
    path = write_result(partial, tmp_path)
    write_result(result, tmp_path)
    assert read_result(path).partial is None


def test_frame_counts_give_the_scores_of_the_table(result: Result, tmp_path: Path) -> None:
    path = write_result(result, tmp_path)
    with np.load(path.with_name("frame_scores.npz"), allow_pickle=False) as stored:
        frames = {name: stored[name] for name in stored.files}
    assert list(frames["columns"])[:2] == ["intersection", "union"]
    assert frames["counts"].dtype == np.int32
    assert frames["frames"].sum() == len(frames["counts"])
    rows = {
        (one.score.setting, one.score.video_id, one.score.expression_id): one for one in result.expressions
    }
    settings = {"actor": "RVOS", "target": "InterRVOS-Target"}
    checked = 0
    for index, role in enumerate(frames["role"]):
        first, length = frames["first"][index], frames["frames"][index]
        counts = frames["counts"][first : first + length].astype(np.int64)
        key = (settings[role], frames["video_id"][index], frames["expression_id"][index])
        track = rows[key].score.track
        factor = 0.0 if frames["zero"][index] else 1.0
        assert track.j == factor * np.mean(region_similarity(counts))
        assert track.f == factor * np.mean(boundary_accuracy(counts))
        checked += 1
    assert checked == 33
    assert frames["zero"].sum() == 2  # both roles of the missing expression


def test_the_table_is_plain_csv(result: Result, tmp_path: Path) -> None:
    path = write_result(result, tmp_path)
    with open(path.with_name("expressions.csv"), encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == len(result.expressions)
    texts = {row["expression"] for row in rows}
    assert 'blue, "pushed"\nby red' in texts
    missing = [row for row in rows if row["status"] == "missing"]
    assert len(missing) == 3
    assert all((row["J"], row["seconds"]) == ("0.0", "") for row in missing)


def edit(change: Callable[[dict], None]) -> Callable[[Path], None]:
    def apply(path: Path) -> None:
        stored = json.loads(path.read_text())
        change(stored)
        path.write_text(json.dumps(stored))

    return apply


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda path: path.unlink(), "result is missing"),
        (
            lambda path: (
                path.unlink(),
                path.parent.rename(path.parent.with_suffix(".x")),
                path.parent.touch(),
            ),
            "result is missing",
        ),
        (lambda path: path.write_text('{"schema'), "not readable JSON"),
        (lambda path: path.write_bytes(b"\xff\xfe"), "not readable JSON"),
        (lambda path: path.write_text("[" * 100_000), "not readable JSON"),
        (lambda path: path.write_text("[1]"), "not a JSON object"),
        (edit(lambda stored: stored.update(schema_version=99)), "another schema version"),
        (edit(lambda stored: stored["settings"]["RVOS"].update(J=99.5)), "the file was edited"),
        (edit(lambda stored: stored["dataset"].update(videos="x")), r"/dataset/videos: wrong value"),
        (edit(lambda stored: stored.pop("cost")), r"/cost: key is missing"),
    ],
)
def test_a_damaged_result_is_refused(
    result: Result, tmp_path: Path, damage: Callable[[Path], None], message: str
) -> None:
    path = write_result(result, tmp_path)
    damage(path)
    with pytest.raises(ResultError, match=message):
        read_result(path)


def test_a_table_that_is_missing_or_edited_is_refused(result: Result, tmp_path: Path) -> None:
    path = write_result(result, tmp_path)
    found = read_result(path)
    table = path.with_name("expressions.csv")
    table.write_text(table.read_text().replace("0.5", "0.6"))
    with pytest.raises(ResultError, match="not the one this result was written with"):
        read_expressions(path, found)
    table.unlink()
    with pytest.raises(ResultError, match="the file of expressions is missing"):
        read_expressions(path, found)


def test_a_table_of_other_columns_is_refused(result: Result, tmp_path: Path) -> None:
    from benchmark.stored_files import file_digest

    path = write_result(result, tmp_path)
    table = path.with_name("expressions.csv")
    table.write_text("a,b\n1,2\n")
    found = dataclasses.replace(read_result(path), files={table.name: file_digest(table)})
    with pytest.raises(ResultError, match="unexpected columns"):
        read_expressions(path, found)


def test_a_place_that_cannot_be_written_to_is_named(result: Result, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="a file where a folder is needed"):
        write_result(result, tmp_path / "file" / "folder")


def test_a_full_disk_leaves_the_old_result_and_no_litter(
    result: Result, other: Result, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_result(result, tmp_path)

    def full(*arguments: object, **options: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("benchmark.result_files.np.savez", full)
    with pytest.raises(OutputError, match=r"frame_scores\.npz: cannot write; found No space left on device"):
        write_result(other, tmp_path, replace=True)
    assert sorted(one.name for one in tmp_path.iterdir()) == sorted(FILES)
    found = read_result(path)
    assert found.scores_digest == result.scores_digest
    # The table was replaced before the disk was full: noticed, not mixed up.
    with pytest.raises(ResultError, match="not the one this result was written with"):
        read_expressions(path, found)


def test_a_result_over_no_expression_is_written_too(tmp_path: Path) -> None:
    dataset = tiny_dataset(videos=1)
    dataset.videos = [dataclasses.replace(dataset.videos[0], expressions=dataset.videos[0].expressions[3:4])]
    result = scored(dataset, empty_answers(dataset), ["target"])
    path = write_result(result, tmp_path)
    setting = read_result(path).settings["InterRVOS-Target"]
    assert (setting.expressions, setting.j, setting.undefined) == (
        0,
        None,
        "no expression of this setting was scored",
    )


def test_sentences_longer_than_a_csv_reader_allows(result: Result, tmp_path: Path) -> None:
    row = result.expressions[0]
    long = dataclasses.replace(row, score=dataclasses.replace(row.score, expression="cup " * 50_000))
    path = write_result(dataclasses.replace(result, expressions=(long,)), tmp_path)
    assert read_expressions(path, read_result(path)) == (long,)
