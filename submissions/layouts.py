"""Which form a submission has and where its files lie, told from names alone.

Accepted are the compact form (`masks/VIDEO.jsonl`) and PNG trees, with or without `Annotations/`:

    VIDEO/EXPRESSION/actor/FRAME.png and .../target/FRAME.png
    VIDEO/EXPRESSION/FRAME.png                                   actor only: MeViS, Ref-YouTube-VOS

Anything else that can be understood (another folder around it, roles outside the videos) is named, gets
the command that repairs it, and is checked to the end as if it lay in the right place.
"""

from __future__ import annotations

import enum
import itertools
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from benchmark.types import Role
from submissions.expected import Expected, ExpectedVideo
from submissions.mask_lines import FOLDER, SUFFIX, member_name
from submissions.problems import Findings
from submissions.zip_directory import Directory

MODEL = "model.json"
ANSWERS = "answers.json"
ROOTS = ("", "Annotations/")
SAMPLE = 4000
ROLES = tuple(role.value for role in Role)
SYSTEM_FILES = re.compile(r"(^|/)(__MACOSX/.*|\.DS_Store|\._[^/]*|Thumbs\.db|desktop\.ini)$")
_DAVIS = re.compile(r"(^|/)anno_[0-3]/")
_SHAPES = (
    (re.compile(r"(^|/)[0-9a-f]{10}(/|$)"), "a Ref-YouTube-VOS zip"),
    (re.compile(r"(^|/)[0-9a-f]{12}(/|$)"), "a MeViS zip"),
)


class Form(enum.StrEnum):
    """How masks are written."""

    RUN_LENGTH = "rle"
    PNG_ROLES = "png"  # a folder per role inside each expression
    PNG_ACTOR = "png-actor-only"
    PNG_OUTSIDE = "png-roles-outside"  # role/video/expression: understood, to be repaired


@dataclass(frozen=True, slots=True)
class Layout:
    """The form of a submission and the folder that holds it ("" or ending with "/")."""

    form: Form
    root: str

    @property
    def accepted(self) -> bool:
        """Whether it may stay as it is."""
        if self.form is Form.RUN_LENGTH:
            return self.root == ""
        return self.form is not Form.PNG_OUTSIDE and self.root in ROOTS

    @property
    def roles(self) -> tuple[Role, ...]:
        """The roles whose masks this form can hold."""
        return (Role.ACTOR,) if self.form is Form.PNG_ACTOR else (Role.ACTOR, Role.TARGET)

    def lines_of(self, video: ExpectedVideo) -> str:
        """The member that holds a video in the compact form."""
        return self.root + member_name(video.video_id)

    def folder_of(self, video: ExpectedVideo, expression_id: str, role: Role) -> str:
        """The folder that holds the PNGs of one track."""
        inner = f"{video.video_id}/{expression_id}/"
        if self.form is Form.PNG_ACTOR:
            return self.root + inner
        if self.form is Form.PNG_OUTSIDE:
            return f"{self.root}{role.value}/{inner}"
        return f"{self.root}{inner}{role.value}/"


def find_layout(directory: Directory, expected: Expected, words: str, findings: Findings) -> Layout | None:
    """The layout of a zip; `None` when nothing in it can be a prediction on this dataset.

    Args:
        words: the zip and the flags of its dataset, for commands in messages.
    """
    lines = [name for name in directory.usable() if name.endswith(SUFFIX)]
    pngs = list(itertools.islice(_pngs(directory), SAMPLE))
    if lines and pngs:
        findings.add("mixed-forms", "zip", found=f"{lines[0]} and {pngs[0]}")
    layout = _of_lines(lines, expected) or _of_pngs(pngs, expected)
    if layout is None:
        if not len(directory) and findings.errors:
            return None  # what is wrong with the archive has been said
        _say_what_it_is(list(itertools.islice(directory.usable(), SAMPLE)), pngs, expected, findings)
    elif not layout.accepted:
        findings.add(
            "wrong-root",
            layout.root or "zip",
            expected="model.json and masks/, or video folders, at the top of the zip",
            found=_named_root(layout),
            fix=_repair(words),
        )
    return layout


def _repair(words: str) -> str:
    return f"python -m submissions.pack {words} -o repaired.zip --model model.json"


def _pngs(directory: Directory) -> Iterator[str]:
    """PNG names spread over the whole zip."""
    names = directory.names
    step = max(1, len(names) // SAMPLE)
    for name in itertools.chain(names[::step], names[:SAMPLE]):
        if name.lower().endswith(".png") and not SYSTEM_FILES.search(name):
            yield name


def _of_lines(lines: Iterable[str], expected: Expected) -> Layout | None:
    known = {member_name(video.video_id) for video in expected.videos}
    roots = Counter(
        name[: name.rindex(FOLDER)]
        for name in lines
        if FOLDER in name and name[name.rindex(FOLDER) :] in known
    )
    return Layout(Form.RUN_LENGTH, roots.most_common(1)[0][0]) if roots else None


def _of_pngs(pngs: Iterable[str], expected: Expected) -> Layout | None:
    depth = max((video.video_id.count("/") + 1 for video in expected.videos), default=1)
    found: Counter[Layout] = Counter()
    for name in pngs:
        layout = _layout_of(name.split("/"), depth, expected)
        if layout is not None:
            found[layout] += 1
    return min(found, key=lambda one: (-found[one], one.root)) if found else None


def _layout_of(parts: list[str], depth: int, expected: Expected) -> Layout | None:
    """The layout in which one name would be right: the first folder that is a video decides."""
    for start in range(len(parts) - 1):
        for stop in range(start + 1, min(start + depth, len(parts) - 2) + 1):
            if "/".join(parts[start:stop]) not in expected.by_id:
                continue
            rest = parts[stop:]
            root = "".join(f"{part}/" for part in parts[:start])
            if len(rest) == 3 and rest[1] in ROLES:
                return Layout(Form.PNG_ROLES, root)
            if len(rest) == 2 and start > 0 and parts[start - 1] in ROLES:
                return Layout(Form.PNG_OUTSIDE, "".join(f"{part}/" for part in parts[: start - 1]))
            if len(rest) == 2:
                return Layout(Form.PNG_ACTOR, root)
    return None


def _named_root(layout: Layout) -> str:
    """What a misplaced submission looks like, by name."""
    if layout.form is Form.PNG_OUTSIDE:
        return "an InterRVOS work folder: actor/ and target/ lie outside the videos"
    if layout.form is Form.RUN_LENGTH:
        return f"a zip made around the folder {layout.root}"
    if layout.root.endswith("Annotations/"):
        return f"a Ref-YouTube-VOS zip inside the folder {layout.root.removesuffix('Annotations/')}"
    if layout.form is Form.PNG_ACTOR:
        return f"a MeViS zip made around the folder {layout.root}"
    return f"a zip made around the folder {layout.root}"


def _say_what_it_is(names: list[str], pngs: list[str], expected: Expected, findings: Findings) -> None:
    """Name what a zip is that holds nothing of this dataset."""
    described = f"{expected.dataset} {expected.split}, videos such as {expected.videos[0].video_id}"
    tails = {name.rsplit("/", 1)[-1] for name in names}
    if any(_DAVIS.search(name) for name in pngs):
        found = "a Ref-DAVIS17 zip: four folders anno_0 to anno_3 of indexed masks"
        findings.add("other-dataset", "zip", expected=described, found=found)
    elif pngs or any(name.endswith(SUFFIX) and FOLDER in name for name in names):
        sample = pngs[0] if pngs else next(name for name in names if name.endswith(SUFFIX))
        kind = next((kind for shape, kind in _SHAPES if shape.search(sample)), "predictions")
        findings.add("other-dataset", "zip", expected=described, found=f"{kind} with {sample}")
    elif {"run.json", "manifest.json"} & tails:
        findings.add(
            "unknown-layout",
            "zip",
            found="a prediction folder of benchmark.evaluate, zipped as it is",
            fix="python -m submissions.pack FOLDER -o my.zip --model model.json",
        )
    elif any(name.endswith(".json") and name.rsplit("/", 1)[-1] not in (MODEL, ANSWERS) for name in names):
        found = next(name for name in names if name.endswith(".json") and name not in (MODEL, ANSWERS))
        source = found.rsplit("/", 1)[-1]
        findings.add(
            "unknown-layout",
            found,
            found="a JSON file, perhaps the official results.json",
            fix=f"unzip it, then python -m submissions.pack {source} -o my.zip --model model.json",
        )
    else:
        few = ", ".join(names[:3]) or "no file at all"
        findings.add("unknown-layout", "zip", expected=described, found=few)


def report_unexpected(
    directory: Directory, layout: Layout | None, expected: Expected, findings: Findings
) -> None:
    """Every member that the dataset does not expect."""
    root = layout.root if layout else ""
    known = {MODEL, ANSWERS, root + MODEL, root + ANSWERS}
    known.update(layout.lines_of(video) for video in expected.videos if layout)
    frames: dict[str, frozenset[str]] = {}
    for name in directory.usable():
        if SYSTEM_FILES.search(name):
            findings.add("system-files", name)
        elif name in known or layout is None:
            continue  # of nothing we know, one sentence about the whole says more than one about each
        elif layout.form is Form.RUN_LENGTH:
            inside = name.startswith(layout.root + FOLDER) and name.endswith(SUFFIX)
            findings.add("unknown-video" if inside else "unexpected-member", name)
        else:
            code = _png_code(name, layout, expected, frames)
            if code:
                findings.add(code, name)


def _png_code(name: str, layout: Layout, expected: Expected, frames: dict[str, frozenset[str]]) -> str | None:
    """What is unexpected about a member of a PNG tree; `None` when it is expected."""
    if not name.startswith(layout.root) or not name.endswith(".png"):
        return "unexpected-member"
    parts = name[len(layout.root) :].split("/")
    stem = parts.pop()[: -len(".png")]
    if layout.form is Form.PNG_OUTSIDE and parts and parts[0] in ROLES:
        parts = parts[1:]
    elif layout.form is Form.PNG_ROLES and parts and parts[-1] in ROLES:
        parts = parts[:-1]
    elif layout.form is not Form.PNG_ACTOR:
        return "unexpected-member"
    if len(parts) < 2:
        return "unexpected-member"
    video_id, expression_id = "/".join(parts[:-1]), parts[-1]
    video = expected.by_id.get(video_id)
    if video is None:
        return "unknown-video"
    if expression_id not in video.sentences:
        return "unknown-expression"
    if video_id not in frames:
        frames[video_id] = frozenset(video.frame_names)
    return None if stem in frames[video_id] else "unknown-frame"
