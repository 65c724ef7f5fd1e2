"""The examples of the format as files, their dataset, and a decoder that needs no other process."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from benchmark.datasets import Dataset, open_dataset
from submissions import checking, examples
from submissions.answers import Answer, pack_answer
from submissions.decoder import Decoded, Share, decode
from submissions.expected import Expected
from submissions.limits import Limits
from submissions.sandbox import AnswerTaker
from submissions.zip_directory import FileBytes

Judge = Callable[[bytes], Decoded]


@pytest.fixture(scope="session")
def data_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny dataset of the examples."""
    root = tmp_path_factory.mktemp("data")
    examples.write_dataset(root)
    return root


@pytest.fixture(scope="session")
def dataset(data_root: Path) -> Dataset:
    return open_dataset("interrvos", data_root, "val", need_frames=False)


@pytest.fixture(scope="session")
def on_data(data_root: Path) -> list[str]:
    """The flags that name the tiny dataset."""
    return ["--dataset", "interrvos", "--data-root", str(data_root)]


@pytest.fixture
def passing(tmp_path: Path) -> Path:
    """A compact submission that passes."""
    return put(tmp_path / "passing.zip", examples.passing()["passing"])


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return put(tmp_path / "model.json", examples.model_json())


@pytest.fixture(scope="session")
def judge() -> Judge:
    """Decode the bytes of a zip in this process."""

    def judged(content: bytes) -> Decoded:
        return decode_bytes(content)[0]

    return judged


@pytest.fixture
def in_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Decode without another process: for tests of what comes after decoding, of which there are many."""

    def decode_here(
        path: Path,
        expected: Expected,
        take: AnswerTaker,
        limits: Limits | None = None,
        words: str | None = None,
    ) -> Decoded:
        handle = os.open(path, os.O_RDONLY)
        try:
            return decode(
                FileBytes(handle),
                expected,
                limits or expected.limits(),
                words or path.name,
                lambda answer: take(answer, pack_answer(answer)),
                Share(),
            )
        finally:
            os.close(handle)

    monkeypatch.setattr(checking, "decode_safely", decode_here)


def decode_bytes(content: bytes) -> tuple[Decoded, list[Answer]]:
    handle = os.memfd_create("zip")
    answers: list[Answer] = []
    try:
        with os.fdopen(os.dup(handle), "wb") as file:
            file.write(content)
        expected = examples.EXPECTED
        known = decode(FileBytes(handle), expected, expected.limits(), "my.zip", answers.append, Share())
    finally:
        os.close(handle)
    return known, answers


def put(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path
