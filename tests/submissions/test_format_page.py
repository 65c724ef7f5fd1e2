"""The page of the format: its example passes, its commands and codes are the real ones."""

from __future__ import annotations

import importlib
import re
from pathlib import Path

import pytest

import submissions
from submissions import examples
from submissions.check import format_check
from submissions.checking import check_submission
from submissions.code_table import IN_WORDS, table_of_codes
from submissions.mask_lines import member_name
from submissions.problems import CATALOGUE, Findings, finding, format_findings, plain
from submissions.strict_json import StrictJsonError, loads
from tests.submissions.conftest import put

PAGE = (Path(submissions.__file__).parent / "README.md").read_text(encoding="utf-8")


def test_example_of_the_page_passes(tmp_path: Path) -> None:
    blocks = dict(re.findall(r"<!-- example: (\S+) -->\n```\n(.*?)```", PAGE, re.DOTALL))
    second = blocks["masks/video_a.jsonl"].replace("video_a", "video_b").encode()
    members = {name: text.encode() for name, text in blocks.items()}
    path = put(tmp_path / "my.zip", examples.zipped({**members, member_name("video_b"): second}))
    checked = check_submission(path, examples.EXPECTED)
    assert checked.passed, format_check(checked, "my.zip")


def test_table_of_codes_is_fresh() -> None:
    assert PAGE.endswith(f"<!-- codes -->\n\n{table_of_codes()}")
    assert list(IN_WORDS) == [code for code in CATALOGUE if code in IN_WORDS]
    assert set(IN_WORDS) == set(CATALOGUE)


def test_commands_of_the_page_exist() -> None:
    for name in set(re.findall(r"python -m (submissions\.\w+)", PAGE)):
        assert hasattr(importlib.import_module(name), "main"), name


def test_examples_are_written_as_the_page_says(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    examples.main([str(tmp_path / "e")])
    assert "61 failing submissions" in capsys.readouterr().out
    names = {path.stem for path in (tmp_path / "e" / "failing").iterdir()}
    assert names == set(examples.FAILING)
    assert (tmp_path / "e" / "dataset" / "val" / "mask_dict.json").is_file()


def test_texts_of_strangers_are_shown_plain() -> None:
    assert plain("a\u202eb\x1b[31m\n") == "a\\u202eb\\u001b[31m\\u000a"
    assert len(plain("x" * 1000)) == 300


def test_findings_are_grouped_and_cut_but_counted() -> None:
    findings = Findings()
    for index in range(1200):
        findings.add("missing-frame", f"{index:05d}.png")
    findings.add("all-empty", "submission")
    assert findings.counts["missing-frame"] == 1200 and len(findings.places["missing-frame"]) == 1000
    assert (findings.errors, findings.warnings) == (1200, 1)
    text = format_findings(findings.as_json())
    assert "error missing-frame: a frame has no mask (1200 places)" in text and "... and 1195 more" in text
    other = Findings()
    other.merge(findings)
    assert other.as_json() == findings.as_json()


def test_unknown_codes_are_refused() -> None:
    with pytest.raises(ValueError, match="no such code"):
        finding("no-such-code", "a")


@pytest.mark.parametrize(
    ("text", "code"),
    [
        (b"{", "json-invalid"),
        (b"\xff", "json-invalid"),
        (b'{"a": 1, "a": 1}', "json-duplicate-key"),
        (b"[NaN]", "json-not-finite"),
        (b"[-Infinity]", "json-not-finite"),
        (b"[1e999]", "json-not-finite"),
        (b"[" + b"9" * 5000 + b"]", "json-invalid"),
        (b"[" * 9 + b"]" * 9, "json-too-deep"),
        (b"[" * 100_000, "json-too-deep"),
    ],
)
def test_strict_json_refuses(text: bytes, code: str) -> None:
    with pytest.raises(StrictJsonError) as caught:
        loads(text)
    assert caught.value.code == code


def test_strict_json_accepts_eight_levels() -> None:
    assert loads(b"[" * 8 + b"]" * 8) == [[[[[[[[]]]]]]]]
    assert loads(b'{"a": [1.5, null, "b"]}') == {"a": [1.5, None, "b"]}
