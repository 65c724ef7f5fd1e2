"""Every code is met by its example; every lie of an archive is a finding; nothing else ever comes out."""

from __future__ import annotations

import io
import json
import stat
import struct
import tempfile
import zipfile
import zlib
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmark.types import MaskTrack, Status
from submissions import examples
from submissions.answers import Answer
from submissions.expected import Expected, ExpectedVideo
from submissions.layouts import Form
from submissions.limits import NAME_BYTES, PNG_CHUNKS
from submissions.mask_lines import member_name, write_lines
from submissions.png_writing import chunk, png_around
from submissions.problems import CATALOGUE, Findings
from submissions.raw_zip import RawMember, raw_zip
from submissions.zip_directory import CENTRAL, STORED, FileBytes, read_directory
from tests.submissions.conftest import Judge, decode_bytes

IN_CHECKING = ("roles-mismatch", "all-empty", "no-target")  # told from the whole, after decoding


def codes(content: bytes) -> set[str]:
    return set(decode_bytes(content)[0].findings.codes)


def test_every_code_has_an_example() -> None:
    assert set(examples.FAILING) | set(examples.NO_ZIP_KNOWN) == set(CATALOGUE)


@pytest.mark.parametrize("code", [one for one in examples.FAILING if one not in IN_CHECKING])
def test_example_gets_its_code(code: str, judge: Judge) -> None:
    assert code in judge(examples.FAILING[code]()).findings.codes


@pytest.mark.parametrize("name", examples.passing())
def test_accepted_forms_have_nothing_wrong(name: str) -> None:
    known, answers = decode_bytes(examples.passing()[name])
    assert known.findings.codes == ()
    wanted = examples.answers()
    if "actor" not in (known.layout.form.value if known.layout else ""):
        assert answers == wanted
    else:
        assert [one.actor for one in answers] == [one.actor for one in wanted]
        assert {one.target for one in answers} == {None}


def test_members_in_any_order_and_compression_give_the_same_answers() -> None:
    members = list(examples.tree().items())
    turned = raw_zip([RawMember(name, data, STORED) for name, data in reversed(members)])
    assert decode_bytes(turned)[1] == decode_bytes(examples.zipped(dict(members)))[1]


def test_zip_of_the_standard_library_with_folders_and_a_comment_passes() -> None:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.mkdir("video_a")
        for name, data in examples.tree().items():
            archive.writestr(name, data)
        archive.comment = b"PK\x05\x06 is no end record here"
    assert codes(file.getvalue()) == set()


def test_a_folder_entry_for_every_folder_is_no_member_too_many() -> None:
    """`zip -r` writes one for each; trees of short videos have nearly as many folders as frames."""
    sentences = {str(number): "a thing" for number in range(700)}
    expected = Expected("short", "val", (ExpectedVideo("clip", 4, 5, ("00000",), sentences),))
    tracks = [f"clip/{name}/{role}/" for name in sentences for role in ("actor", "target")]
    folders = {"Annotations/", "clip/", *(f"clip/{name}/" for name in sentences), *tracks}
    pngs = [f"{track}00000.png" for track in tracks]
    members = [RawMember(name, b"") for name in [*sorted(folders), *pngs]]
    findings = Findings()
    with tempfile.TemporaryFile() as file:
        file.write(raw_zip(members))
        file.flush()
        directory = read_directory(FileBytes(file.fileno()), expected.limits(), findings)
    assert findings.codes == () and len(directory) == len(pngs)


def test_streamed_zip_with_sizes_after_the_data_passes() -> None:
    class Pipe(io.RawIOBase):
        def __init__(self) -> None:
            self.content = bytearray()

        def writable(self) -> bool:
            return True

        def write(self, data: Any) -> int:
            self.content += data
            return len(data)

    pipe = Pipe()
    with zipfile.ZipFile(pipe, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in examples.compact().items():
            archive.writestr(name, data)
    assert codes(bytes(pipe.content)) == set()


def test_zip_in_the_64_bit_form_passes() -> None:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, data in examples.compact().items():
            with archive.open(zipfile.ZipInfo(name), "w", force_zip64=True) as member:
                member.write(data)
    assert codes(file.getvalue()) == set()


def test_sentence_of_absent_targets_is_kept_apart_from_empty_ones() -> None:
    empty = MaskTrack(examples.HEIGHT, examples.WIDTH, (None,) * examples.FRAMES)
    video = examples.EXPECTED.videos[0]
    mine = [
        Answer(video.video_id, "0", Status.OK, empty, None),
        Answer(video.video_id, "1", Status.TIMEOUT, None, None),
    ]
    members = {**examples.compact(), member_name(video.video_id): b"".join(write_lines(video, mine))}
    assert decode_bytes(examples.zipped(members))[1][:2] == mine


def test_failures_of_a_png_tree_are_listed_beside_it() -> None:
    members = {name: data for name, data in examples.tree().items() if not name.startswith("video_a/1/")}
    members["answers.json"] = json.dumps({"video_a": {"1": "timeout"}}).encode()
    known, answers = decode_bytes(examples.zipped(members))
    assert known.findings.codes == ()
    assert answers[1] == Answer("video_a", "1", Status.TIMEOUT, None, None)


ATTACKS = {
    "zip slip in a middle part": ("path-parent", RawMember("masks/../../evil", b"x")),
    "an empty part": ("path-parent", RawMember("masks//evil", b"x")),
    "a dot": ("path-parent", RawMember("./model.json", b"x")),
    "a share of another machine": ("path-backslash", RawMember("\\\\host\\share", b"x")),
    "an alternate stream": ("path-drive", RawMember("model.json:hidden", b"x")),
    "a null byte": ("path-control", RawMember("model.json\0.png", b"x")),
    "a line break": ("path-control", RawMember("a\nb", b"x")),
    "a zero-width space": ("path-control", RawMember("model\u200b.json", b"x")),
    "a long name": ("path-encoding", RawMember("x" * (NAME_BYTES + 1), b"x")),
    "no name": ("path-encoding", RawMember("", b"x")),
    "a device": ("special-file", RawMember("null", attributes=stat.S_IFCHR << 16)),
    "a folder with bytes": ("special-file", RawMember("folder/", b"payload")),
    "strong encryption": ("encrypted", RawMember("secret", b"x", flags=0x40)),
    "an accent composed and decomposed": ("duplicate-name", RawMember("mode\u0301l.json", b"x")),
    "an archive under another name": (
        "nested-archive",
        RawMember(member_name("video_b"), raw_zip([RawMember("a", b"x")])),
    ),
    "a size beyond any file": ("member-too-large", RawMember("a", b"x", size=0xFFFFFFFE)),
    "more bytes than declared": ("size-lie", RawMember(member_name("video_b"), b"{}" * 500, size=10)),
    "fewer bytes than declared": ("size-lie", RawMember(member_name("video_b"), b"{}", size=1000)),
    "stored sizes that differ": ("size-lie", RawMember("a", b"xx", STORED, size=1)),
    "data that runs into the table": ("overlap", RawMember("a", b"x", compressed=500)),
    "no deflate stream": ("member-damaged", RawMember(member_name("video_b"), b"{}", stored=b"\xff\xff")),
    "bytes behind the stream": (
        "member-damaged",
        RawMember(member_name("video_b"), b"{}", stored=zlib.compress(b"{}", wbits=-15) + b"hidden"),
    ),
}


@pytest.mark.parametrize("name", ATTACKS)
def test_archive_attack_gets_its_code(name: str) -> None:
    code, member = ATTACKS[name]
    rest = [RawMember(one, data) for one, data in examples.compact().items() if one != member.name]
    twin = [RawMember("mod\u00e9l.json", b"x")] if code == "duplicate-name" else []
    assert code in codes(raw_zip([*rest, *twin, member]))


def test_accents_are_compared_as_file_systems_do() -> None:
    twins = [RawMember("caf\u00e9.txt", b"x"), RawMember("cafe\u0301.TXT", b"x")]
    assert "duplicate-name" in codes(raw_zip(twins))


def test_quoted_overlap_is_seen_from_the_table_alone() -> None:
    """Many entries that all point at one kernel of compressed bytes (Fifield's construction)."""
    kernel = zlib.compress(bytes(1 << 20), wbits=-15)
    members = [
        RawMember(
            f"bomb{index}", bytes(1 << 20), stored=kernel if index == 0 else b"", compressed=len(kernel)
        )
        for index in range(50)
    ]
    found = decode_bytes(raw_zip(members))[0].findings
    assert found.counts["overlap"] >= 48


def test_nested_bombs_are_never_opened() -> None:
    inner = raw_zip([RawMember("zeros", bytes(1 << 16))])
    for _ in range(5):
        inner = raw_zip([RawMember("inner.zip", inner)])
    assert "nested-archive" in codes(inner)


def test_end_record_that_claims_more_than_the_file() -> None:
    content = bytearray(examples.passing()["passing"])
    content[-10:-6] = struct.pack("<I", len(content))
    assert "zip-directory" in codes(bytes(content))


def test_zip_in_several_parts_is_refused() -> None:
    content = bytearray(examples.passing()["passing"])
    content[-18:-16] = b"\1\0"
    assert codes(bytes(content)) == {"zip-directory"}


def test_directory_entry_cut_short() -> None:
    content = raw_zip([RawMember("a", b"x", comment=b"c" * 40)])
    at = content.index(b"PK\x01\x02") + CENTRAL.size - 14  # the length of the comment
    assert "zip-directory" in codes(content[:at] + b"\xff\xff" + content[at + 2 :])


def test_truncated_at_every_offset() -> None:
    content = examples.passing()["passing"]
    for length in range(len(content)):
        assert decode_bytes(content[:length])[0].findings.errors, length


def test_member_truncated_at_every_offset() -> None:
    """A sound zip around a mask that ends early: both forms name the member."""
    name = member_name("video_a")
    members = examples.compact()
    for length in range(len(members[name]) - 1):
        assert decode_bytes(examples.zipped({**members, name: members[name][:length]}))[0].findings.errors
    tree, frame = examples.tree(), "video_a/0/actor/00000.png"
    for length in range(len(tree[frame])):
        assert codes(examples.zipped({**tree, frame: tree[frame][:length]})) == {"png-invalid"}


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_changed_bytes_never_raise(data: st.DataObject) -> None:
    form = data.draw(st.sampled_from(["passing", "passing-png"]))
    content = bytearray(examples.passing()[form])
    for _ in range(data.draw(st.integers(1, 6))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    decode_bytes(bytes(content))


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=300))
def test_any_member_content_never_raises(content: bytes) -> None:
    for name in (member_name("video_a"), "model.json"):
        decode_bytes(examples.zipped({**examples.compact(), name: content}))
    decode_bytes(examples.zipped({**examples.tree(), "answers.json": content}))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
)


@settings(max_examples=150, deadline=None)
@given(
    st.dictionaries(
        st.sampled_from(["expression", "status", "sentence", "actor", "target", "size", "frames", "video"]),
        JSON
        | st.sampled_from(["0", "ok", "video_a"])
        | st.lists(st.text("0123456789PQ`o", max_size=8), max_size=3),
    )
)
def test_any_line_never_raises(line: dict[str, Any]) -> None:
    name = member_name("video_a")
    text = json.dumps(line).encode()
    for content in (text, examples.compact()[name] + text, text + b"\n" + text):
        decode_bytes(examples.zipped({**examples.compact(), name: content}))


RLE_ATTACKS = {
    "a run that is negative": ("rle-invalid", "0o"),
    "a number of nine digits": ("rle-invalid", "ooooooooo0"),
    "a number that never ends": ("rle-invalid", "ooo"),
    "more pixels than the frame": ("rle-size", "ooooo?1"),
    "other characters": ("rle-invalid", "\u00e9"),
    "a text longer than the frame": ("rle-invalid", "1" * 1000),
}


@pytest.mark.parametrize("name", RLE_ATTACKS)
def test_run_length_attack_gets_its_code(name: str, judge: Judge) -> None:
    code, text = RLE_ATTACKS[name]
    members = examples.compact()
    first = members[member_name("video_a")].splitlines()
    line = {**json.loads(first[1]), "actor": [text, None, None]}
    members[member_name("video_a")] = b"\n".join([first[0], json.dumps(line).encode(), *first[2:]])
    assert judge(examples.zipped(members)).findings.codes == (code,)


def test_coco_objects_are_accepted_and_their_size_is_looked_at() -> None:
    members = examples.compact()
    lines = members[member_name("video_a")].splitlines()
    line = json.loads(lines[1])

    def with_size(height: int) -> bytes:
        actor = [{"size": [height, examples.WIDTH], "counts": one} for one in line["actor"]]
        text = json.dumps({**line, "actor": actor}).encode()
        return examples.zipped({**members, member_name("video_a"): b"\n".join([lines[0], text, *lines[2:]])})

    known, answers = decode_bytes(with_size(examples.HEIGHT))
    assert known.findings.codes == () and answers == examples.answers()
    assert codes(with_size(examples.HEIGHT + 1)) == {"rle-size"}


def _png_code(content: bytes) -> set[str]:
    return codes(examples.zipped({**examples.tree(), "video_a/0/actor/00000.png": content}))


def test_png_attacks_get_their_codes() -> None:
    size = (examples.WIDTH, examples.HEIGHT)
    pixels = zlib.compress(bytes(examples.HEIGHT * (examples.WIDTH + 1)))
    good = png_around(*size, pixels)
    assert _png_code(good) == set()
    assert _png_code(good + b"payload") == {"png-chunks"}
    assert _png_code(png_around(*size, pixels, extra=chunk(b"tEXt", b"") * PNG_CHUNKS)) == {"png-chunks"}
    assert _png_code(png_around(*size, pixels, extra=chunk(b"zTXt", b"x" * 20_000))) == {"png-chunks"}
    assert _png_code(png_around(*size, zlib.compress(b""))) == {"png-invalid"}
    assert _png_code(png_around(*size, b"not deflate")) == {"png-invalid"}
    assert _png_code(png_around(*size, pixels, depth=16)) == {"png-kind"}
    assert _png_code(png_around(*size, pixels, colour=6)) == {"png-kind"}
    assert _png_code(png_around(0, 0, pixels)) == {"png-size"}
    assert _png_code(good.replace(b"IDAT", b"IDAX")) == {"png-invalid"}
    twice = good[:33] + good[8:]
    assert _png_code(twice) == {"png-invalid"}


def test_png_of_278_bytes_with_400_million_pixels_is_not_decoded() -> None:
    rows = zlib.compressobj(9)
    packed = b"".join(rows.compress(bytes(2501)) for _ in range(20_000)) + rows.flush()
    bomb = png_around(20_000, 20_000, packed, depth=1)
    assert len(zlib.compress(bomb, 9)) < 400
    assert _png_code(bomb) == {"png-size"}


def test_more_pixels_than_the_header_says_are_not_decoded() -> None:
    bomb = png_around(examples.WIDTH, examples.HEIGHT, zlib.compress(bytes(50 << 20)))
    assert _png_code(bomb) <= {"png-invalid"}


def test_anti_aliased_pixels_are_counted_not_thresholded(judge: Judge) -> None:
    found = judge(examples.FAILING["png-values"]()).findings.places["png-values"][0]
    assert found.found == "values 0, 254, 255; 9 pixels of others"
    soft = np.zeros((examples.HEIGHT, examples.WIDTH), np.uint8)
    soft[0, :3] = (1, 2, 3)
    assert _png_code(examples.png(soft)) == {"png-values"}


def test_ones_and_255s_mean_the_same() -> None:
    members = examples.tree()
    ones = np.where(examples.object_masks(0, 0)[0], 1, 0).astype(np.uint8)
    changed = {**members, "video_a/0/actor/00000.png": examples.png(ones)}
    assert decode_bytes(examples.zipped(changed))[1] == examples.answers()


ROOTS = {
    "out/Annotations/{video}/{expression}/{frame}.png": "a Ref-YouTube-VOS zip inside the folder out/",
    "valid/{video}/{expression}/{frame}.png": "a MeViS zip made around the folder valid/",
    "mine/{video}/{expression}/{role}/{frame}.png": "a zip made around the folder mine/",
    "{role}/{video}/{expression}/{frame}.png": "an InterRVOS work folder: actor/ and target/ lie outside",
}


@pytest.mark.parametrize("name", ROOTS)
def test_wrong_roots_are_recognised_and_offered_a_repair(name: str) -> None:
    roles = ["actor", "target"] if "{role}" in name else ["actor"]
    known, answers = decode_bytes(examples.zipped(examples.tree(name, roles)))
    assert known.findings.codes == ("wrong-root",)
    place = known.findings.places["wrong-root"][0]
    assert place.found.startswith(ROOTS[name])
    assert place.fix == "python -m submissions.pack my.zip -o repaired.zip --model model.json"
    assert [one.actor for one in answers] == [one.actor for one in examples.answers()]


def test_compact_form_around_a_folder_is_recognised() -> None:
    moved = {f"mine/{name}": data for name, data in examples.compact().items()}
    known, answers = decode_bytes(examples.zipped(moved))
    assert known.findings.codes == ("wrong-root",)
    assert known.layout is not None and known.layout.form is Form.RUN_LENGTH
    assert answers == examples.answers()


OTHERS = {
    "a Ref-YouTube-VOS zip": ("other-dataset", "Annotations/0062f687f1/0/00000.png"),
    "a MeViS zip": ("other-dataset", "0123456789ab/0/00000.png"),
    "a Ref-DAVIS17 zip": ("other-dataset", "anno_0/bike-packing/00000.png"),
    "predictions with elsewhere/0/00000.png": ("other-dataset", "elsewhere/0/00000.png"),
    "a prediction folder of benchmark.evaluate": ("unknown-layout", "predictions/run.json"),
    "a JSON file, perhaps the official results.json": ("unknown-layout", "results.json"),
}


@pytest.mark.parametrize("words", OTHERS)
def test_zips_of_something_else_are_named(words: str) -> None:
    code, name = OTHERS[words]
    known, _ = decode_bytes(examples.zipped({"model.json": examples.model_json(), name: b"{}"}))
    assert known.findings.places[code][0].found.startswith(words)


def test_all_problems_come_in_one_pass() -> None:
    members = examples.tree()
    del members["video_a/0/actor/00005.png"], members["video_b/1/target/00000.png"]
    members["video_a/1/actor/00000.png"] = b"no png"
    members["video_b/0/actor/00000.png"] = examples.png(np.full((3, 3), 255, np.uint8))
    members["extra.txt"] = b"x"
    members["model.json"] = b"{}"
    wanted = {"missing-frame", "png-invalid", "png-size", "unexpected-member", "model-missing-key"}
    found = decode_bytes(examples.zipped(members))[0].findings
    assert set(found.codes) == wanted and found.counts["missing-frame"] == 2
