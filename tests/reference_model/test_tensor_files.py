"""The streamed file is the library's file, byte for byte."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load, save

from benchmark.errors import CheckpointError, OutputError
from reference_model.tensor_files import CODES, write_tensors

SHAPES = st.lists(st.integers(0, 3), max_size=3)
NAMES = st.text(st.characters(codec="ascii", categories=("L", "N", "P")), min_size=1, max_size=8)
TENSORS = st.dictionaries(NAMES, st.tuples(st.sampled_from(list(CODES)), SHAPES), max_size=6)


@settings(deadline=None)
@given(kinds=TENSORS, metadata=st.sampled_from([None, {"format": "pt"}]))
def test_bytes_are_those_of_the_library(tmp_path_factory, kinds, metadata):
    path = tmp_path_factory.mktemp("tensors") / "a.safetensors"
    tensors = {
        name: (torch.arange(torch.Size(shape).numel()) % 2).view(shape).to(dtype)
        for name, (dtype, shape) in kinds.items()
    }
    write_tensors(path, tensors, metadata)
    assert path.read_bytes() == save(tensors, metadata)


def test_views_are_written_as_they_look(tmp_path):
    whole = torch.arange(12.0).view(3, 4)
    write_tensors(tmp_path / "a", {"turned": whole.T, "part": whole[1:, 1], "one": torch.tensor(5)})
    found = load((tmp_path / "a").read_bytes())
    assert torch.equal(found["turned"], whole.T)
    assert torch.equal(found["part"], whole[1:, 1])
    assert found["one"].item() == 5


def test_types_without_a_name(tmp_path):
    with pytest.raises(CheckpointError, match=r"a type that is not stored; found z \(torch.complex64\)"):
        write_tensors(tmp_path / "a", {"z": torch.ones(1, dtype=torch.complex64), "b": torch.ones(1)})
    assert not list(tmp_path.iterdir())


def test_places_that_are_not_there(tmp_path):
    with pytest.raises(OutputError):
        write_tensors(tmp_path / "nowhere" / "a", {"b": torch.ones(1)})
