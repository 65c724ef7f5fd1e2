"""Write a tiny dataset, a submission that passes, and one that fails for every code of the check.

  python -m submissions.examples EXAMPLES
  python -m submissions.check EXAMPLES/passing.zip --dataset interrvos --data-root EXAMPLES/dataset
  python -m submissions.check EXAMPLES/failing/rle-size.zip --dataset interrvos \\
      --data-root EXAMPLES/dataset

Each failing zip is named after the code that `check` reports for it. The only code without one is
decoder-stopped: no zip is known that gets that far.

Exit codes: 0 written, 1 the place cannot be written to, 2 usage, 3 internal.
"""

from __future__ import annotations

import json
import stat
import zlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmark.command_line import parser, run_command
from benchmark.masks import encode
from benchmark.png_masks import SIGNATURE
from benchmark.stored_files import make_folder, write_atomically, write_json
from benchmark.types import MaskTrack, Status
from submissions.answers import Answer
from submissions.expected import Expected, ExpectedVideo
from submissions.limits import LINE_BYTES, SPARE_MEMBERS
from submissions.mask_lines import member_name, write_lines
from submissions.model_card import template
from submissions.png_writing import chunk, png_around
from submissions.problems import CATALOGUE
from submissions.raw_zip import RawMember, raw_zip
from submissions.zip_directory import STORED

HEIGHT, WIDTH, FRAMES = 12, 16, 3
FRAME_NAMES = tuple(f"{5 * index:05d}" for index in range(FRAMES))
SENTENCES = {"0": "red disc pushing blue square", "1": "blue square being pushed by red disc"}
EXPECTED = Expected(
    "interrvos",
    "val",
    tuple(ExpectedVideo(name, HEIGHT, WIDTH, FRAME_NAMES, SENTENCES) for name in ("video_a", "video_b")),
)
NO_ZIP_KNOWN = ("decoder-stopped",)


def object_masks(video: int, role: int) -> NDArray[np.bool_]:
    """(T, H, W) masks of a rectangle that moves; it is out of sight in the last frame of a target."""
    masks = np.zeros((FRAMES, HEIGHT, WIDTH), dtype=bool)
    for frame in range(FRAMES - role):
        top, left = 1 + frame + 2 * video, 1 + 7 * role + frame
        masks[frame, top : top + 4, left : left + 5] = True
    return masks


def tracks_of(video: int, expression_id: str) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """True masks of actor and target; the second expression says the first in the passive voice."""
    del expression_id  # both voices have one truth
    return object_masks(video, 0), object_masks(video, 1)


def answers() -> list[Answer]:
    """The right answer to everything."""
    return [
        Answer(one.video_id, expression_id, Status.OK, *map(_track, tracks_of(index, expression_id)))
        for index, one in enumerate(EXPECTED.videos)
        for expression_id in one.sentences
    ]


def _track(masks: NDArray[np.bool_]) -> MaskTrack:
    return MaskTrack(HEIGHT, WIDTH, tuple(encode(mask) for mask in masks))


def model_json(**changes: Any) -> bytes:
    """A model.json that passes, with some values changed."""
    facts = {**json.loads(template(None)), "name": "Example", "version": "1", **changes}
    return json.dumps(facts).encode()


def compact() -> dict[str, bytes]:
    """The members of a compact submission that passes."""
    members = {"model.json": model_json()}
    for video in EXPECTED.videos:
        mine = [one for one in answers() if one.video_id == video.video_id]
        members[member_name(video.video_id)] = b"".join(write_lines(video, mine))
    return members


def png(pixels: NDArray[np.uint8], *, colour: int = 0, extra: bytes = b"") -> bytes:
    """An 8-bit PNG of an (H, W) array, or of (H, W, channels) for colours."""
    height, width = pixels.shape[:2]
    raw = b"".join(b"\0" + row.tobytes() for row in pixels)
    return png_around(width, height, zlib.compress(raw), colour=colour, extra=extra)


def tree(
    name: str = "{video}/{expression}/{role}/{frame}.png", roles: Sequence[str] = ("actor", "target")
) -> dict[str, bytes]:
    """The members of a PNG submission, laid out as `name` says."""
    members = {"model.json": model_json(roles=list(roles))}
    for index, video in enumerate(EXPECTED.videos):
        for expression_id in video.sentences:
            tracks = dict(zip(("actor", "target"), tracks_of(index, expression_id), strict=True))
            for role in roles:
                for frame, mask in zip(FRAME_NAMES, tracks[role], strict=True):
                    place = name.format(
                        video=video.video_id, expression=expression_id, role=role, frame=frame
                    )
                    members[place] = png(np.where(mask, 255, 0).astype(np.uint8))
    return members


def zipped(members: Mapping[str, bytes]) -> bytes:
    """A plain zip."""
    return raw_zip([RawMember(name, data) for name, data in members.items()])


def passing() -> dict[str, bytes]:
    """Zips that pass: every accepted form of one and the same predictions, and two of actors alone."""
    return {
        "passing": zipped(compact()),
        "passing-png": zipped(tree()),
        "passing-png-annotations": zipped(tree("Annotations/{video}/{expression}/{role}/{frame}.png")),
        "passing-mevis": zipped(tree("{video}/{expression}/{frame}.png", ["actor"])),
        "passing-ref-youtube-vos": zipped(tree("Annotations/{video}/{expression}/{frame}.png", ["actor"])),
    }


def _plus(*members: RawMember, base: Mapping[str, bytes] | None = None, **options: Any) -> bytes:
    """The passing submission with members added."""
    kept = [RawMember(name, data) for name, data in (base or compact()).items()]
    return raw_zip([*kept, *members], **options)


def _changed(members: Mapping[str, bytes], name: str, data: bytes | None) -> bytes:
    """A submission with one member replaced, or left out."""
    rest = {one: content for one, content in members.items() if one != name}
    return zipped(rest if data is None else {**rest, name: data})


def _line(**changes: Any) -> bytes:
    """A compact submission whose second line of video_a is changed."""
    name = member_name("video_a")
    head, first, *rest = compact()[name].splitlines(keepends=True)
    text = json.dumps({**json.loads(first), **changes}).encode() + b"\n"
    return _changed(compact(), name, b"".join([head, text, *rest]))


def _frames(*frames: str | None) -> bytes:
    return _line(actor=list(frames))


def _mask_png(content: bytes) -> bytes:
    return _changed(tree(), "video_a/0/actor/00000.png", content)


def _without(start: str) -> bytes:
    return zipped({name: data for name, data in tree().items() if not name.startswith(start)})


def _with_model(text: bytes) -> bytes:
    return _changed(compact(), "model.json", text)


def _grey() -> NDArray[np.uint8]:
    pixels = np.zeros((HEIGHT, WIDTH), np.uint8)
    pixels[2:5, 2:5] = 254
    pixels[6, 6] = 255
    return pixels


FAILING: Mapping[str, Callable[[], bytes]] = {
    "not-a-zip": lambda: b"Rar!\x1a\x07\x00" + bytes(64),
    "zip-directory": lambda: raw_zip([RawMember("model.json", model_json())], entries=3),
    "zip-too-large": lambda: bytes(EXPECTED.limits().zip_bytes + 1),
    "too-many-members": lambda: raw_zip([RawMember(f"x{one}") for one in range(SPARE_MEMBERS + 200)]),
    "member-too-large": lambda: _plus(RawMember("big.txt", size=EXPECTED.limits().member_bytes + 1)),
    "total-too-large": lambda: _plus(
        *(
            RawMember(f"big{one}", np.random.default_rng(one).bytes(300_000), size=50 << 20)
            for one in range(8)
        )
    ),
    "ratio-too-high": lambda: _plus(RawMember("zeros.txt", bytes(4 << 20))),
    "overlap": lambda: raw_zip([RawMember("a.txt", b"x"), RawMember("b.txt", b"x", offset=0)]),
    "header-mismatch": lambda: _changed_header(),
    "duplicate-name": lambda: _plus(RawMember("MODEL.JSON", b"{}")),
    "path-absolute": lambda: _plus(RawMember("/etc/passwd", b"x")),
    "path-drive": lambda: _plus(RawMember("C:/autoexec.bat", b"x")),
    "path-parent": lambda: _plus(RawMember("../../evil.txt", b"x")),
    "path-backslash": lambda: _plus(RawMember("..\\evil.txt", b"x")),
    "path-control": lambda: _plus(RawMember("a\u202egnp.txt", b"x")),
    "path-encoding": lambda: _plus(RawMember(b"\xff\xfe.txt", b"x")),
    "symlink": lambda: _plus(RawMember("link", b"/etc/passwd", attributes=stat.S_IFLNK << 16)),
    "special-file": lambda: _plus(RawMember("pipe", attributes=stat.S_IFIFO << 16)),
    "encrypted": lambda: _plus(RawMember("secret.txt", b"x", flags=1)),
    "nested-archive": lambda: _plus(RawMember("inner.zip", zipped(compact()))),
    "compression": lambda: _plus(RawMember("a.txt", b"x", method=14, stored=b"x")),
    "size-lie": lambda: _lying(size=10),
    "member-damaged": lambda: _lying(crc=1),
    "unknown-layout": lambda: zipped({"model.json": model_json(), "predictions.npz": b"numbers"}),
    "wrong-root": lambda: zipped(tree("results/{video}/{expression}/{role}/{frame}.png")),
    "other-dataset": lambda: zipped({"model.json": model_json(), "0123456789/0/00000.png": b""}),
    "mixed-forms": lambda: zipped({**tree(), **compact()}),
    "missing-video": lambda: _changed(compact(), member_name("video_b"), None),
    "missing-expression": lambda: _without("video_a/1/"),
    "missing-role": lambda: _without("video_a/1/actor/"),
    "missing-frame": lambda: _changed(tree(), "video_a/0/target/00005.png", None),
    "unknown-video": lambda: _plus(RawMember("masks/video_c.jsonl", b"{}")),
    "unknown-expression": lambda: _line(expression="99"),
    "unknown-frame": lambda: _plus(RawMember("video_a/0/actor/00001.png", b""), base=tree()),
    "unexpected-member": lambda: _plus(RawMember("masks/README.txt", b"hello")),
    "system-files": lambda: _plus(RawMember("__MACOSX/._model.json", b"x")),
    "json-invalid": lambda: _with_model(b"{'name': 'Example'}"),
    "json-too-large": lambda: _long_line(),
    "json-too-deep": lambda: _with_model(b'{"notes": ' + b"[" * 5000 + b"]" * 5000 + b"}"),
    "json-duplicate-key": lambda: _with_model(b'{"name": "A", "name": "B"}'),
    "json-not-finite": lambda: _with_model(b'{"parameters": 1e999}'),
    "model-missing": lambda: _changed(compact(), "model.json", None),
    "model-unknown-key": lambda: _with_model(model_json(rank=1)),
    "model-missing-key": lambda: _with_model(b'{"name": "Example"}'),
    "model-value": lambda: _with_model(model_json(parameters=-1, licence=7)),
    "roles-mismatch": lambda: _with_model(model_json(roles=["actor"])),
    "masks-head": lambda: _changed(compact(), member_name("video_a"), _head(size=[WIDTH, HEIGHT])),
    "masks-line": lambda: _line(status="perfect"),
    "duplicate-expression": lambda: _line(expression="1"),
    "other-sentence": lambda: _line(sentence="green disc pushing blue square"),
    "frame-count": lambda: _frames(None, None),
    "rle-invalid": lambda: _frames("~~~", None, None),
    "rle-size": lambda: _frames("5555", None, None),
    "answers-file": lambda: zipped({**tree(), "answers.json": b'{"video_a": {"0": "perfect"}}'}),
    "png-invalid": lambda: _mask_png(SIGNATURE + b"not really"),
    "png-size": lambda: _mask_png(png_around(20_000, 20_000, zlib.compress(bytes(50_000_000)), depth=1)),
    "png-kind": lambda: _mask_png(png(np.zeros((HEIGHT, WIDTH, 3), np.uint8), colour=2)),
    "png-chunks": lambda: _mask_png(png(_grey(), extra=chunk(b"tEXt", b"Comment\0" + bytes(40_000)))),
    "png-values": lambda: _mask_png(png(_grey())),
    "all-empty": lambda: _all_empty(),
    "no-target": lambda: _targets_left_out(),
}
"""For every code a zip that gets it."""


def _lying(**lies: int) -> bytes:
    members = {name: RawMember(name, data) for name, data in compact().items()}
    name = member_name("video_a")
    members[name] = RawMember(name, compact()[name], **lies)  # type: ignore[arg-type]
    return raw_zip(list(members.values()))


def _long_line() -> bytes:
    name = member_name("video_a")
    long = RawMember(name, b" " * (LINE_BYTES + 2), STORED)
    return raw_zip([long, *(RawMember(one, data) for one, data in compact().items() if one != name)])


def _changed_header() -> bytes:
    name = member_name("video_a")
    members = [RawMember(one, data) for one, data in compact().items() if one != name]
    lie = RawMember(name, compact()[name], local_name=name.replace("_a", "_b").encode())
    return raw_zip([*members, lie])


def _head(**changes: Any) -> bytes:
    head, *rest = compact()[member_name("video_a")].splitlines(keepends=True)
    return b"".join([json.dumps({**json.loads(head), **changes}).encode() + b"\n", *rest])


def _rewritten(change: Callable[[dict[str, Any]], None]) -> bytes:
    members = compact()
    for video in EXPECTED.videos:
        name = member_name(video.video_id)
        head, *lines = members[name].splitlines()
        values = [json.loads(line) for line in lines]
        for value in values:
            change(value)
        members[name] = b"\n".join([head, *(json.dumps(value).encode() for value in values)])
    return zipped(members)


def _all_empty() -> bytes:
    return _rewritten(lambda line: line.update(actor=[None] * FRAMES, target=[None] * FRAMES))


def _targets_left_out() -> bytes:
    return _rewritten(lambda line: line.update(target=None))


def write_dataset(folder: Path) -> None:
    """The tiny dataset in the released layout."""
    from PIL import Image

    videos, masks = {}, {}
    for index, video in enumerate(EXPECTED.videos):
        frames = folder / "val" / "JPEGImages" / video.video_id
        make_folder(frames)
        for frame, name in enumerate(FRAME_NAMES):
            pixels = np.full((HEIGHT, WIDTH, 3), 90, np.uint8)
            pixels[object_masks(index, 0)[frame]] = (200, 40, 40)
            pixels[object_masks(index, 1)[frame]] = (40, 40, 200)
            Image.fromarray(pixels).save(frames / f"{name}.jpg")
        for role in (0, 1):
            masks[str(2 * index + role)] = [_coco(mask) for mask in object_masks(index, role)]
        pair = {"subject": [2 * index], "object": [2 * index + 1]}
        shared = {"caption_type": "unidirectional", "obj_id": [0], "anno_id": [2 * index]}
        both = {"obj_id": {"subject": [0], "object": [1]}, "anno_id": pair}
        videos[video.video_id] = {
            "vid_id": index,
            "frames": list(FRAME_NAMES),
            "expressions": {
                key: {"exp": text, **shared, "subject/object": both} for key, text in video.sentences.items()
            },
        }
    write_json(folder / "val" / "meta_expressions.json", {"videos": videos})
    write_json(folder / "val" / "mask_dict.json", masks)


def _coco(mask: NDArray[np.bool_]) -> dict[str, Any] | None:
    text = encode(mask)
    return None if text is None else {"size": [HEIGHT, WIDTH], "counts": text.decode("ascii")}


def main(arguments: Sequence[str]) -> None:
    """The command; see the module's docstring."""
    command = parser("submissions.examples", __doc__)
    command.add_argument("folder", type=Path, metavar="EXAMPLES")
    chosen = command.parse_args(arguments)
    make_folder(chosen.folder / "failing")
    write_dataset(chosen.folder / "dataset")
    write_atomically(chosen.folder / "model.json", model_json())
    for name, content in passing().items():
        write_atomically(chosen.folder / f"{name}.zip", content)
    for code, build in FAILING.items():
        write_atomically(chosen.folder / "failing" / f"{code}.zip", build())
    print(f"{len(passing())} passing and {len(FAILING)} failing submissions in {chosen.folder}")
    print(f"{len(CATALOGUE)} codes are known; no zip is known for {', '.join(NO_ZIP_KNOWN)}")


if __name__ == "__main__":
    run_command(main)
