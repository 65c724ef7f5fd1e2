"""Files of weights: whatever is not plain tensors, or not whole, gets its sentence."""

from __future__ import annotations

import json
import pathlib

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file

from benchmark.errors import CheckpointError
from reference_model.weight_files import read_folder, read_json, read_pickle

WEIGHTS = {"a": torch.arange(3.0), "b": torch.ones(2, 2)}


class Harmful:
    """Unpickling this would write a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return pathlib.Path.touch, (self.path,)


@pytest.mark.parametrize("wrapper", [None, "model", "state_dict", "module"])
def test_pickles_of_tensors(tmp_path, wrapper):
    torch.save(WEIGHTS if wrapper is None else {wrapper: WEIGHTS, "epoch": 3}, tmp_path / "a.pt")
    found = read_pickle(tmp_path / "a.pt")
    assert all(torch.equal(found[name], one) for name, one in WEIGHTS.items())


def test_a_folder_of_deepspeed(tmp_path):
    (tmp_path / "iter_1.pth").mkdir()
    torch.save({"module": WEIGHTS}, tmp_path / "iter_1.pth" / "mp_rank_00_model_states.pt")
    assert set(read_pickle(tmp_path / "iter_1.pth")) == set(WEIGHTS)
    with pytest.raises(CheckpointError, match=r"mp_rank_00_model_states.pt: weights are missing"):
        read_pickle(tmp_path)


def test_a_pickle_with_code_is_refused_and_not_run(tmp_path):
    torch.save({"state_dict": WEIGHTS, "meta": Harmful(tmp_path / "harm")}, tmp_path / "a.pth")
    with pytest.raises(CheckpointError, match=r"a.pth: the pickle holds more than tensors.*state_dict alone"):
        read_pickle(tmp_path / "a.pth")
    assert not (tmp_path / "harm").exists()


@pytest.mark.parametrize("size", [0, 1, 10, 100, -200, -5])
def test_truncated_pickles(tmp_path, size):
    torch.save({"model": WEIGHTS}, tmp_path / "a.pt")
    (tmp_path / "a.pt").write_bytes((tmp_path / "a.pt").read_bytes()[:size])
    with pytest.raises(CheckpointError, match=r"a.pt: (weights are damaged|the pickle holds more)"):
        read_pickle(tmp_path / "a.pt")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "found an empty file"),
        (b"hello world, no pickle at all", "found a file that begins with b'hello world, no "),
        (b"version https://git-lfs.github.com/spec/v1\noid", "pointer of Git LFS.*git lfs pull"),
        (b'@\0\0\0\0\0\0\0{"a":{}}', "found safetensors.*--released or --internvl"),
        (b"\x80\x02garbage", "weights are damaged|holds more than tensors"),
    ],
)
def test_files_that_torch_never_wrote(tmp_path, content, message):
    (tmp_path / "a.pt").write_bytes(content)
    with pytest.raises(CheckpointError, match=f"a.pt: .*{message}") as caught:
        read_pickle(tmp_path / "a.pt")
    assert "list index" not in str(caught.value) and "weights_only` argument" not in str(caught.value)


@settings(deadline=None)
@given(
    legacy=st.booleans(),
    changes=st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.binary(max_size=3)), min_size=1),
)
def test_damaged_pickles_are_read_or_refused(tmp_path_factory, legacy, changes):
    path = tmp_path_factory.mktemp("damaged") / "a.pt"
    torch.save({"model": WEIGHTS}, path, _use_new_zipfile_serialization=not legacy)
    content = bytearray(path.read_bytes())
    for place, value in changes:
        start = int(place * len(content))
        content[start : start + 2] = value
    path.write_bytes(content)
    try:
        assert all(isinstance(one, torch.Tensor) for one in read_pickle(path).values())
    except CheckpointError as error:
        assert str(path) in str(error)


@settings(deadline=None)
@given(st.floats(0, 1, exclude_max=True))
def test_truncated_safetensors(tmp_path_factory, share):
    folder = tmp_path_factory.mktemp("truncated")
    save_file(WEIGHTS, folder / "model.safetensors")
    whole = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(CheckpointError, match="damaged or not safetensors"):
        read_folder(folder)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (torch.ones(2), "no weights in this file.*found Tensor"),
        ([torch.ones(2)], "no weights in this file.*found list"),
        ({}, "no weights in this file.*found dict"),
        ({"a": torch.ones(1), "epoch": 3}, "not only tensors among the weights.*epoch"),
    ],
)
def test_pickles_without_weights(tmp_path, content, message):
    torch.save(content, tmp_path / "a.pt")
    with pytest.raises(CheckpointError, match=message):
        read_pickle(tmp_path / "a.pt")


def write_shards(folder, names, binary=False):
    ending, write = ("bin", torch.save) if binary else ("safetensors", save_file)
    stem = "pytorch_model" if binary else "model"
    files = {name: f"{stem}-{n}.{ending}" for n, name in enumerate(WEIGHTS)}
    for name, file in files.items():
        write({name: WEIGHTS[name]}, folder / file)
    index = folder / f"{stem}.{ending}.index.json"
    index.write_text(
        json.dumps({"weight_map": {name: files.get(name, "model-0.safetensors") for name in names}})
    )


@pytest.mark.parametrize("binary", [False, True])
def test_shards(tmp_path, binary):
    write_shards(tmp_path, WEIGHTS, binary)
    assert set(read_folder(tmp_path)) == set(WEIGHTS)


def test_single_files(tmp_path):
    torch.save(WEIGHTS, tmp_path / "pytorch_model.bin")
    assert set(read_folder(tmp_path)) == set(WEIGHTS)
    save_file({"c": torch.ones(1)}, tmp_path / "model.safetensors")
    assert set(read_folder(tmp_path)) == {"c"}, "safetensors are preferred"


def test_folders_that_are_not_whole(tmp_path):
    with pytest.raises(CheckpointError, match="no weights here"):
        read_folder(tmp_path)
    write_shards(tmp_path, [*WEIGHTS, "c"])
    with pytest.raises(CheckpointError, match=r"shards do not fit their index; found missing \['c'\]"):
        read_folder(tmp_path)
    (tmp_path / "model-1.safetensors").unlink()
    with pytest.raises(CheckpointError, match=r"model-1.safetensors: weights are missing"):
        read_folder(tmp_path)
    (tmp_path / "model.safetensors.index.json").write_text("{}")
    with pytest.raises(CheckpointError, match="index of the shards cannot be read"):
        read_folder(tmp_path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "configuration is missing"),
        ("{", "configuration cannot be read"),
        ("[]", "configuration is not an object; found list"),
    ],
)
def test_configurations(tmp_path, content, message):
    if content is not None:
        (tmp_path / "config.json").write_text(content)
    with pytest.raises(CheckpointError, match=message):
        read_json(tmp_path / "config.json")
