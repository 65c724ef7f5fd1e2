"""The index of a mask file: what it holds, when it is trusted, and where it lies."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from benchmark.datasets import index_store
from benchmark.datasets.index_file import IndexDamaged, IndexFile, IndexWriter
from benchmark.datasets.index_store import index_places, open_index, sample_digest
from benchmark.datasets.mask_index import KIND, build_mask_index, open_mask_index, read_track
from benchmark.errors import DatasetError, OutputError
from benchmark.masks import decode_track, encode_track
from tests.benchmark.small_release import TRACKS, mask_dict, rle, track_array


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("INTERRVOS_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "data" / "mask_dict.json"
    path.parent.mkdir()
    path.write_text(json.dumps(mask_dict()))
    return path


@pytest.fixture
def builds(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Every time an index is built, its source is added here."""
    made: list[Path] = []

    def counting(source: Path, writer: IndexWriter) -> Any:
        made.append(source)
        return build_mask_index(source, writer)

    monkeypatch.setattr("benchmark.datasets.mask_index.build_mask_index", counting)
    return made


def same_tracks(index: Any) -> bool:
    tracks = {key: index.track(index.row(key)) for key in TRACKS}
    return all(np.array_equal(decode_track(tracks[key]), track_array(key)) for key in TRACKS)


def test_tracks_come_back_exactly_whatever_the_form_of_the_json(tmp_path: Path) -> None:
    """Key order, whitespace, escapes and extra keys are the writer's freedom."""
    content = mask_dict()
    reordered = {
        key: [
            mask and {"extra": [1, {}], "counts": mask["counts"], "size": mask["size"]}
            for mask in content[key]
        ]
        for key in reversed(content)
    }
    escaped = json.dumps(content).replace("N", "\\u004e")
    assert "\\u004e" in escaped
    forms = [json.dumps(content), json.dumps(content, indent=3), json.dumps(reordered), escaped]
    for number, text in enumerate(forms):
        path = tmp_path / f"{number}.json"
        path.write_text(text)
        index = open_mask_index(path)
        assert len(index) == len(TRACKS) and not index.faults
        assert same_tracks(index)
        assert index.row("4") is None and index.row("400") is None and index.row("") is None


def test_all_null_and_empty_tracks_and_an_empty_file(tmp_path: Path) -> None:
    path = tmp_path / "masks.json"
    path.write_text('{"1": [null, null], "2": [], "\u00e9": [null]}')
    index = open_mask_index(path)
    rows = [index.row(key) for key in ("1", "2", "\u00e9")]
    assert [index.track(row).counts for row in rows if row is not None] == [(None, None), (), (None,)]
    assert index.size(0) is None
    path.write_text("{}")
    assert len(open_mask_index(path)) == 0
    assert open_mask_index(path).row("1") is None


def test_a_mask_without_pixels_and_an_untidy_one_are_brought_to_one_form() -> None:
    empty, full = {"size": [2, 3], "counts": "6"}, {"size": [2, 3], "counts": "060J"}
    track = read_track("1", [tuple(empty.items()), None, tuple(full.items())])
    assert track.texts == (None, None, b"06")
    assert not track.faults


GOOD = tuple(rle(np.eye(4, dtype=bool)).items())


@pytest.mark.parametrize(
    ("value", "frame", "what", "found"),
    [
        ("text", None, "a track must be a list", "a text"),
        ((("size", 1),), None, "a track must be a list", "an object"),
        ([GOOD, 5], 1, "a mask must be an RLE object or null", "a number"),
        ([(("size", [4, 4]),)], 0, "an RLE object lacks a key", "size"),
        ([()], 0, "an RLE object lacks a key", "no key"),
        ([(*GOOD, ("size", [4, 4]))], 0, "a key of an RLE object is repeated", "size, counts, size"),
        ([(("size", [4]), ("counts", "x"))], 0, "the size of an RLE object is wrong", "[4]"),
        ([(("size", [4, True]), ("counts", "x"))], 0, "the size of an RLE object is wrong", "[4, True]"),
        ([(("size", [0, 4]), ("counts", "x"))], 0, "the size of an RLE object is wrong", "[0, 4]"),
        (
            [(("size", [4, 1 << 40]), ("counts", "x"))],
            0,
            "the size of an RLE object is wrong",
            "[4, 109",
        ),
        ([(("size", [4, 4]), ("counts", [3, 13]))], 0, "the counts of an RLE object are wrong", "a list"),
        ([(("size", [4, 4]), ("counts", "é"))], 0, "run-length text holds characters", "é"),
        ([(("size", [4, 4]), ("counts", "5"))], 0, "run-length text does not cover its frame", "5 pixels"),
        ([GOOD, (("size", [2, 8]), ("counts", "88"))], 1, "masks of one track differ in size", "2x8"),
    ],
)
def test_what_is_wrong_with_a_track_is_said(value: Any, frame: int | None, what: str, found: str) -> None:
    (fault,) = read_track("40", value).faults
    assert fault.frame == frame
    assert what in fault.what and found in fault.found and fault.expected
    assert fault.where().startswith("annotation 40")


def test_faults_are_kept_with_the_index_up_to_a_bound(tmp_path: Path) -> None:
    path = tmp_path / "masks.json"
    path.write_text(json.dumps({str(key): [7] * 50 for key in range(200)} | mask_dict()))
    for _ in range(2):
        index = open_mask_index(path)
        assert index.fault_count == 50 * (200 - len(TRACKS))
        assert len(index.faults) == 2000
        assert len(index.faults_of("0")) == 20
        assert same_tracks(index)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"1": [], "1": []}', r"annotation id '1' occurs twice \(second at byte 14\)"),
        ('{"": []}', "an annotation id is unusable"),
        ('{"a\\u0000": []}', "an annotation id is unusable"),
        ('{"\\ud800": []}', "an annotation id is unusable"),
        (json.dumps({"x" * 300: []}), "an annotation id is unusable"),
        ('{"1": [null', "cut off"),
        ("", "cut off"),
        ("[]", "expected an object"),
    ],
)
def test_a_file_that_cannot_be_indexed_leaves_nothing_behind(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "masks.json"
    path.write_text(text)
    with pytest.raises(DatasetError, match=said):
        open_mask_index(path)
    assert list(tmp_path.iterdir()) == [path]


def test_an_unchanged_file_is_read_once(source: Path, builds: list[Path]) -> None:
    for _ in range(3):
        assert same_tracks(open_mask_index(source))
    assert builds == [source]


def test_a_touched_or_copied_file_is_hashed_but_not_read_again(source: Path, builds: list[Path]) -> None:
    open_mask_index(source)
    os.utime(source, (1, 1))
    index = open_mask_index(source)
    assert same_tracks(index) and len(builds) == 1
    assert IndexFile(index.path, KIND).modified_ns == 10**9, "the new time is kept, so the hash is made once"


def test_a_changed_file_is_read_again_even_if_size_and_time_are_the_same(
    source: Path, builds: list[Path]
) -> None:
    open_mask_index(source)
    before = source.stat()
    text = source.read_text()
    source.write_text(text.replace('"40"', '"49"'))
    os.utime(source, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert source.stat().st_size == before.st_size
    assert open_mask_index(source).row("49") is not None
    assert len(builds) == 2


def test_the_sample_covers_first_and_last_blocks_of_a_large_file(tmp_path: Path) -> None:
    path = tmp_path / "large"
    data = bytearray(index_store.SAMPLE_BLOCKS * index_store.SAMPLE_BYTES * 3)
    path.write_bytes(data)
    digests = {sample_digest(path)}
    for place in (0, len(data) - 1):
        changed = bytearray(data)
        changed[place] = 1
        path.write_bytes(changed)
        digests.add(sample_digest(path))
    assert len(digests) == 3


def test_another_file_with_equal_sample_and_size_is_noticed_by_the_full_hash(
    tmp_path: Path, builds: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(index_store, "SAMPLE_BYTES", 1)
    monkeypatch.setattr(index_store, "SAMPLE_BLOCKS", 2)
    path = tmp_path / "masks.json"
    path.write_text(json.dumps(mask_dict()))
    open_mask_index(path)
    path.write_text(json.dumps(mask_dict()).replace('"40"', '"49"'))
    os.utime(path, (5, 5))
    assert open_mask_index(path).row("49") is not None
    assert len(builds) == 2


@given(st.data())
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40, deadline=None)
def test_a_damaged_index_is_noticed_and_made_anew(source: Path, data: st.DataObject) -> None:
    """Any flipped byte or lost tail: found at opening, or by the track's own checksum when it is read."""
    index = open_mask_index(source)
    raw = bytearray(index.path.read_bytes())
    if data.draw(st.booleans()):
        raw = raw[: data.draw(st.integers(0, len(raw) - 1))]
    else:
        place = data.draw(st.integers(0, len(raw) - 1))
        raw[place] ^= 1 << data.draw(st.integers(0, 7))
    index.path.unlink()  # the old mapping stays valid, as it does for a reader in another process
    index.path.write_bytes(raw)
    try:
        assert same_tracks(open_mask_index(source))
    except IndexDamaged:
        assert same_tracks(open_mask_index(source, rebuild=True))
    assert same_tracks(index)


def test_an_index_of_another_kind_is_not_taken(source: Path) -> None:
    index = open_mask_index(source)
    with pytest.raises(IndexDamaged):
        IndexFile(index.path, "expressions 1")


def test_a_folder_marked_read_only_gets_its_index_in_the_cache(source: Path, cache: Path) -> None:
    source.parent.chmod(0o555)
    try:
        index = open_mask_index(source)
        assert cache in index.path.parents
        assert list(source.parent.iterdir()) == [source]
        assert same_tracks(open_mask_index(source))
        os.utime(source, (7, 7))
        assert open_mask_index(source).path == index.path
    finally:
        source.parent.chmod(0o755)
    source.parent.rename(source.parent.with_name("moved"))
    assert open_mask_index(source.parent.with_name("moved") / source.name).path.parent.name == "moved"


def test_a_stale_index_beside_read_only_data_is_passed_over(source: Path, cache: Path) -> None:
    open_mask_index(source)
    os.utime(source, (9, 9))
    source.parent.chmod(0o555)
    try:
        assert cache in open_mask_index(source).path.parents
    finally:
        source.parent.chmod(0o755)


def test_no_place_for_an_index_is_one_sentence(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("INTERRVOS_CACHE", str(tmp_path / "file"))
    source.parent.chmod(0o555)
    try:
        with pytest.raises(OutputError, match=r"index of a dataset file cannot be written.*INTERRVOS_CACHE"):
            open_mask_index(source)
    finally:
        source.parent.chmod(0o755)


def test_a_full_disk_is_one_sentence_and_leaves_no_part(source: Path) -> None:
    def build(path: Path, writer: IndexWriter) -> Any:
        writer.append("entries", b"x" * 100)
        raise OSError(28, "No space left on device")

    with pytest.raises(OutputError, match="found No space left on device"):
        open_index(source, "other", build)
    assert list(source.parent.iterdir()) == [source]


def test_a_source_that_changes_while_it_is_read_is_read_again(source: Path) -> None:
    calls = []

    def build(path: Path, writer: IndexWriter) -> Any:
        calls.append(path)
        if len(calls) == 1:
            path.write_text(json.dumps(mask_dict()) + "   ")
        return build_mask_index(path, writer)

    index = open_index(source, KIND, build)
    assert len(calls) == 2
    assert index.source.size == source.stat().st_size


def test_leftovers_of_killed_builders_are_removed_and_live_ones_are_not(source: Path) -> None:
    place, _ = index_places(source)
    dead = source.with_name(f".unfinished-{place.name}-dead")
    alive = source.with_name(f".unfinished-{place.name}-alive")
    dead.write_text("")
    alive.write_text("")
    os.utime(dead, (1, 1))
    open_mask_index(source)
    assert alive.exists() and not dead.exists()


def test_an_unreadable_source(source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(DatasetError, match="cannot be read"):
        open_mask_index(source)


def test_processes_may_race(source: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from benchmark.datasets.mask_index import open_mask_index;"
        "opened = (open_mask_index(Path(sys.argv[1]), rebuild=True) for _ in range(5));"
        "print(*(index.track(0).counts for index in opened), sep='\\n')"
    )
    command = [sys.executable, "-c", program, str(source)]
    racing = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    outputs = {process.communicate()[0] for process in racing}
    assert [process.returncode for process in racing] == [0, 0]
    assert outputs == {f"{encode_track(track_array('40')).counts}\n" * 5}
    assert not [path for path in source.parent.iterdir() if path.name.startswith(".")]


def test_memory_of_indexing_does_not_grow_with_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("benchmark.datasets.json_stream.CHUNK_BYTES", 1 << 14)
    noise = np.random.default_rng(0).random((3, 50, 50)) < 0.5
    frames = json.dumps([rle(mask) for mask in noise])
    peaks, sizes = [], []
    for tracks in (20, 400):
        path = tmp_path / f"{tracks}.json"
        path.write_text("{" + ", ".join(f'"{key}": {frames}' for key in range(tracks)) + "}")
        tracemalloc.start()
        index = open_mask_index(path)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        sizes.append(path.stat().st_size)
        assert index.track(tracks - 1) == encode_track(noise)
    assert sizes[1] > 3 * peaks[1]
    assert peaks[1] - peaks[0] < 0.15 * (sizes[1] - sizes[0]), "more than the table of tracks is kept"
