"""The table of all codes on the page of the format, with the failing example of each in words."""

from __future__ import annotations

from collections.abc import Mapping

from submissions.problems import CATALOGUE

IN_WORDS: Mapping[str, str] = {
    "not-a-zip": "a RAR file with the ending .zip",
    "zip-directory": "one member, while the end record claims three",
    "zip-too-large": "a file of more bytes than this dataset can need",
    "too-many-members": "more than a thousand files beside the expected ones",
    "member-too-large": "`big.txt` declares more bytes than a video can need",
    "total-too-large": "eight members declare 50 MiB each",
    "ratio-too-high": "4 MiB of zeros in 4 KiB",
    "overlap": "`b.txt` points at the bytes of `a.txt`",
    "header-mismatch": "`masks/video_a.jsonl` calls itself `masks/video_b.jsonl` in its own header",
    "duplicate-name": "`model.json` and `MODEL.JSON`",
    "path-absolute": "`/etc/passwd`",
    "path-drive": "`C:/autoexec.bat`",
    "path-parent": "`../../evil.txt`",
    "path-backslash": "`..\\\\evil.txt`",
    "path-control": "a name with a mark that turns the direction of reading",
    "path-encoding": "a name of bytes that are no text",
    "symlink": "`link`, which points to `/etc/passwd`",
    "special-file": "a named pipe",
    "encrypted": "`secret.txt` with a password",
    "nested-archive": "`inner.zip`",
    "compression": "a member compressed with LZMA",
    "size-lie": "`masks/video_a.jsonl` declares 10 bytes and holds more",
    "member-damaged": "`masks/video_a.jsonl` with a wrong checksum",
    "unknown-layout": "`predictions.npz`",
    "wrong-root": "`results/video_a/0/actor/00000.png`",
    "other-dataset": "`0123456789/0/00000.png`",
    "mixed-forms": "`masks/` and a PNG tree in one zip",
    "missing-video": "no `masks/video_b.jsonl`",
    "missing-expression": "no `video_a/1/`",
    "missing-role": "`video_a/1/target/` without `video_a/1/actor/`",
    "missing-frame": "no `video_a/0/target/00005.png`",
    "unknown-video": "`masks/video_c.jsonl`",
    "unknown-expression": "an answer to expression 99",
    "unknown-frame": "`video_a/0/actor/00001.png` where frames are 00000, 00005, 00010",
    "unexpected-member": "`masks/README.txt`",
    "system-files": "`__MACOSX/._model.json`",
    "json-invalid": "`model.json` with single quotes",
    "json-too-large": "a line of more than 32 MiB",
    "json-too-deep": "5000 brackets in `model.json`",
    "json-duplicate-key": "`model.json` with two names",
    "json-not-finite": "`model.json` with 1e999 parameters",
    "model-missing": "no `model.json`",
    "model-unknown-key": "`model.json` with a key `rank`",
    "model-missing-key": "`model.json` with a name alone",
    "model-value": "`model.json` with -1 parameters",
    "roles-mismatch": "`model.json` says actor alone, and targets are there",
    "masks-head": "`size` is width and height instead of height and width",
    "masks-line": "status `perfect`",
    "duplicate-expression": "expression 1 twice",
    "other-sentence": "the sentence of another expression",
    "frame-count": "two masks for three frames",
    "rle-invalid": "`~~~` as run-length text",
    "rle-size": "run lengths that do not fill 12 x 16 pixels",
    "answers-file": "`answers.json` with status `perfect`",
    "png-invalid": "a PNG signature and then something else",
    "png-size": "a header of 20,000 x 20,000 pixels",
    "png-kind": "an RGB mask",
    "png-chunks": "40 KB of comments in a mask",
    "png-values": "values 0, 254 and 255",
    "decoder-stopped": "no zip is known that gets this far",
    "all-empty": "not one pixel (a warning)",
    "no-target": "every target `null` (a warning)",
}
"""What `submissions.examples` writes for each code."""


def table_of_codes() -> str:
    """The table of the page of the format: every code, its meaning, its example, its mend."""
    rows = ["| code | meaning | failing example | mend |", "|---|---|---|---|"]
    rows += [
        f"| `{kind.code}` | {kind.title} | {IN_WORDS[kind.code]} | {kind.mend} |"
        for kind in CATALOGUE.values()
    ]
    return "\n".join(rows) + "\n"
