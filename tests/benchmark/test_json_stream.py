"""The streaming reader must read what json reads, in any chunking, and say where a file breaks."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from benchmark.datasets.json_stream import JsonStream, json_kind
from benchmark.errors import DatasetError

SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
)


def plain(value: Any) -> Any:
    if isinstance(value, tuple):
        return {key: plain(item) for key, item in value}
    return [plain(item) for item in value] if isinstance(value, list) else value


def read(path: Path, chunk_bytes: int = 1 << 20) -> dict[str, Any]:
    with JsonStream(path, chunk_bytes=chunk_bytes) as stream:
        content = {key: plain(stream.value()) for key in stream.members()}
        stream.finish()
        assert stream.sha256.hexdigest() == hashlib.sha256(path.read_bytes()).hexdigest()
    return content


@given(
    st.dictionaries(st.text(max_size=6), VALUES, max_size=4),
    st.sampled_from([None, 1, "\t"]),
    st.booleans(),
    st.integers(1, 9),
)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=80)
def test_reads_what_json_reads_in_any_chunking(
    tmp_path: Path, content: dict[str, Any], indent: Any, ascii_only: bool, chunk: int
) -> None:
    path = tmp_path / "file.json"
    text = json.dumps(content, indent=indent, ensure_ascii=ascii_only)
    path.write_bytes(f" \r\n{text}\n".encode("utf-8", "replace"))
    assert read(path, chunk) == json.loads(path.read_bytes())


@pytest.mark.parametrize("chunk", [5, 1 << 20])
def test_every_cut_is_called_a_cut(tmp_path: Path, chunk: int) -> None:
    """An incomplete download is told from a damaged one, whatever token the end falls into."""
    content = {"40": [{"size": [4, 4], "counts": '\\"P1\u00e9'}, None, True, -12.5e-30], "é": {"c": [[], {}]}}
    whole = (json.dumps(content) + "\n").encode()
    path = tmp_path / "cut.json"
    for length in range(len(whole) - 1):
        path.write_bytes(whole[:length])
        with pytest.raises(
            DatasetError, match=rf"cut\.json: the JSON is cut off; .*its end at byte {length}\."
        ):
            read(path, chunk)


def test_a_cut_inside_a_character_is_a_cut(tmp_path: Path) -> None:
    path = tmp_path / "cut.json"
    path.write_bytes('{"é'.encode()[:-1])
    with pytest.raises(DatasetError, match="cut off"):
        read(path)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[1]", r"malformed JSON at byte 0; expected an object; found '\[1\]'"),
        ('{"a" 1}', "at byte 5; expected ':' after a key"),
        ('{"a": 1 "b": 2}', "at byte 8; expected ',' or '}'"),
        ('{"a": 1,}', "at byte 8; expected a key in double quotes"),
        ("{'a': 1}", "at byte 1; expected a key in double quotes"),
        ('{"é": [1, nil, 2, 3, 4, 5, 6, 7, 8, 9, 10]}', r"at byte 11 \(Expecting value\)"),
        ('{"a": [1, 2, x]}', r"at byte 13 \(Expecting value\); expected valid JSON; found 'x\]}'"),
        ('{"a": "line\nbreak and much more text after it"}', r"Invalid control character"),
        ('{"a": "\\q and a long text after the wrong escape"}', r"Invalid \\escape"),
        ('{"a": 1} {"b": 2}', "at byte 9; expected the end of the file"),
        ('{"a": ' + "[" * 200_000, "nested less deeply"),
        ('{"a": ' + "1" * 5000 + "}", "a number of ordinary length"),
    ],
)
def test_malformed_json_is_located(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "bad.json"
    path.write_text(text)
    for chunk in (7, 1 << 20):
        if len(text) < 1000 or chunk > 7:
            with pytest.raises(DatasetError, match=said):
                read(path, chunk)


def test_a_value_without_end_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("benchmark.datasets.json_stream.MAX_VALUE_CHARACTERS", 1000)
    path = tmp_path / "long.json"
    path.write_text('{"a": "' + "x" * 5000)
    with pytest.raises(DatasetError, match="one value below 1000 characters"):
        read(path, 64)


def test_not_utf8(tmp_path: Path) -> None:
    path = tmp_path / "latin.json"
    path.write_bytes(b'{"a": "\xe9t\xe9"}   ')
    with pytest.raises(DatasetError, match="not UTF-8 text at or after byte 0"):
        read(path)


def test_duplicate_keys_stay_visible_and_kinds_have_names(tmp_path: Path) -> None:
    path = tmp_path / "twice.json"
    path.write_text('{"a": {"x": 1, "x": [2]}}')
    with JsonStream(path) as stream:
        values = [stream.value() for _ in stream.members()]
    assert values == [(("x", 1), ("x", [2]))]
    kinds = [json_kind(value) for value in (None, True, 1, 1.5, "", [], ())]
    assert kinds == ["null", "true or false", "a number", "a number", "a text", "a list", "an object"]


def test_a_file_that_cannot_be_opened(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="the file cannot be read"):
        JsonStream(tmp_path)
