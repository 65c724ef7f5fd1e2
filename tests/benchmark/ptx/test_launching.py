"""Triton's own JIT on the PTX machine: kernels are specialised and compiled as for a device, and run."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.benchmark.ptx.snippets import needs_compiler

pytestmark = [
    needs_compiler,
    pytest.mark.skipif(importlib.util.find_spec("triton") is None, reason="Triton is not installed"),
]
ROOT = Path(__file__).resolve().parents[3]

# In a process of its own: Triton keeps its cache where the environment says, and warns as it likes.
KERNELS = '''
import re
import torch, triton, triton.language as tl
from tests.benchmark.ptx.launching import on_the_machine
from tests.benchmark.ptx.machine import Buffer, load
from tests.benchmark.ptx.syntax import PtxError

@triton.jit
def totals(values, out, count, BLOCK: tl.constexpr):
    """Sums of blocks, by way of shared memory, and of everything, by atomics."""
    place = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    total = tl.sum(tl.load(values + place, mask=place < count, other=0))
    tl.store(out + 1 + tl.program_id(0), total)
    tl.atomic_add(out, total)

@triton.jit
def behind(values, out, count):
    place = tl.arange(0, 512)
    tl.store(out + place, tl.load(values + place + count))

@triton.jit(do_not_specialize=["count"])
def plain(out, count):
    tl.store(out, count)

def caught(kernel, *arguments, **options):
    try:
        with on_the_machine(**options):
            kernel[(1,)](*arguments)
    except PtxError as error:
        return str(error)
    return ""

values = torch.arange(1000, dtype=torch.int32)
for seed in (0, 1, 2):
    out = torch.zeros(9, dtype=torch.int32)
    with on_the_machine(seed=seed) as machine:
        totals[(8,)](values, out, 1000, BLOCK=128, num_warps=8)
    assert out[0] == values.sum() and out[1] == values[:128].sum(), out
    assert machine.launches[0][:3] == ("totals", (8, 1, 1), 8)

# Without any one of its barriers, the same code is a race; those behind the last reading guard nothing.
whole = machine.launches[0]
end = whole.ptx.rindex("ld.shared")
barriers = [found.start() for found in re.finditer("bar.sync", whole.ptx) if found.start() < end]
assert barriers
for place in barriers:
    less = whole.ptx[:place] + "//" + whole.ptx[place:]
    memory = [Buffer(tensor.data_ptr(), 4 * len(tensor)) for tensor in (values, out)]
    try:
        arguments = (*(buffer.address for buffer in memory), 1000, 0, 0)
        load(less).launch(
            (8,), arguments, threads=256, shared_bytes=whole.shared, buffers=memory
        )
    except PtxError as error:
        assert "shared memory" in str(error), error
    else:
        raise AssertionError("a missing barrier was not found")

# Arguments are specialised as for a device: what 16 divides, and 1, are compiled in.
out = torch.zeros(600, dtype=torch.int32)
with on_the_machine() as machine:
    behind[(1,)](values, out, 16)
    behind[(1,)](values, out, 17)
    behind[(1,)](values[1:], out, 16)
    plain[(1,)](out, 1)
    behind[(1,)](values, out, 1)
vectors, single, shifted, unspecialised, one = (launch.ptx for launch in machine.launches)
assert "ld.global.v4.b32" in vectors
assert not any("ld.global.v4.b32" in ptx for ptx in (single, shifted, one))
assert "plain_param_1" in unspecialised.split("{")[0]
assert out[:512].tolist() == list(range(1, 513))

assert "outside every buffer" in caught(behind, values[:500].clone(), out, 16)
assert "outside every buffer" in caught(behind, values, out[:500].clone(), 16)
with on_the_machine():
    empty = torch.empty(600, dtype=torch.int32)
    try:
        behind[(1,)](empty, out, 16)
    except PtxError as error:
        assert "nothing wrote" in str(error) and "from " in str(error)
    else:
        raise AssertionError("unwritten memory was read")
# Memory that no argument points into is found, if a tensor holds it.
@triton.jit
def through(addresses, out):
    tl.store(out, tl.load(tl.load(addresses).to(tl.pointer_type(tl.int32))))
hidden = torch.full((4,), 77, dtype=torch.int32)
with on_the_machine():
    through[(1,)](torch.tensor([hidden.data_ptr()]), out)
assert out[0] == 77
print("equal")
'''


def test_kernels_run_as_compiled(tmp_path: Path) -> None:
    script = tmp_path / "kernels.py"  # Triton reads the source of its kernels
    script.write_text(KERNELS, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, str(script)],
        cwd=ROOT,
        env={
            **os.environ,
            "PYTHONPATH": os.pathsep.join((str(ROOT), os.environ.get("PYTHONPATH", ""))),
            "TRITON_CACHE_DIR": str(tmp_path / "cache"),
            "OMP_NUM_THREADS": "1",
        },
        capture_output=True,
        text=True,
    )
    assert done.stdout == "equal\n", done.stderr
