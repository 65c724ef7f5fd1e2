"""Feeds mutated data to the compiled readers of mask PNGs and of run-length text.

    python -m tests.benchmark.fuzz.fuzz_readers FOLDER ITERATIONS SEED

FOLDER holds `_png_rows` and `_run_texts`, built with the address and undefined-behaviour sanitizers by
.ci/fuzz_metrics.sh, which also loads their library. Zlib data must be read or refused as zlib does,
texts as the readable decoder does. Ends with an error at the first difference.
"""

from __future__ import annotations

import importlib.util
import random
import sys
import zlib
from pathlib import Path
from typing import Any

import numpy as np

from benchmark.errors import MaskError
from benchmark.run_lengths import canonical_text, text_from_runs


def loaded(folder: Path, name: str) -> Any:
    """The extension module of that name from a folder."""
    path = next(folder.glob(f"{name}.*"))
    spec = importlib.util.spec_from_file_location(f"benchmark.{name}", path)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def changed(data: bytes, rng: random.Random) -> bytes:
    """With a few bits flipped and bytes dropped, put in or repeated."""
    result = bytearray(data)
    for _ in range(rng.randrange(4)):
        place = rng.randrange(len(result) + 1)
        match rng.randrange(4):
            case 0 if place < len(result):
                result[place] ^= 1 << rng.randrange(8)
            case 1:
                del result[place : place + rng.randrange(1, 5)]
            case 2:
                result[place:place] = rng.randbytes(rng.randrange(1, 4))
            case _:
                result[place:place] = result[place : place + rng.randrange(1, 40)]
    return bytes(result)


def try_rows(module: Any, rng: random.Random) -> None:
    """One image: rows of stretches or noise, packed by zlib in some way, then changed."""
    height, width = rng.randrange(1, 30), rng.randrange(1, 80)
    rows = np.zeros((height, width + 1), np.uint8)
    if rng.randrange(3):
        rows[:, rng.randrange(1, width + 1) :] = rng.randrange(256)
    else:
        rows[:, 1:] = np.frombuffer(rng.randbytes(height * width), np.uint8).reshape(height, width)
    rows[:, 0] = [rng.choice((0, 1, 2, 3, 4, 4, 7)) if rng.random() < 0.05 else 2 for _ in range(height)]
    raw, cut = rows.tobytes(), rng.randrange(rows.size)
    packer = zlib.compressobj(rng.randrange(10), 8, rng.choice((9, 12, 15)), 9, rng.randrange(5))
    packed = packer.compress(raw[:cut]) + packer.flush(rng.choice((0, 3))) + packer.compress(raw[cut:])
    packed = changed(packed + packer.flush(), rng)
    out, expected = bytearray(height * width), bytearray(height * width)
    status = module.decode(packed, height, width, out)
    stream = zlib.decompressobj()
    try:
        again = stream.decompress(packed)
        right = stream.eof and len(again) == len(raw)
    except zlib.error:
        right = False
    if not right:
        assert status == -1, (packed, height, width)
        return
    assert status == module.unfilter(again, height, width, expected), (packed, height, width)
    assert status or out == expected, (packed, height, width)


def try_texts(module: Any, rng: random.Random) -> None:
    """One frame of some tracks."""
    height, width = rng.randrange(1, 30), rng.randrange(1, 80)
    pixels, texts = height * width, []
    for _ in range(rng.randrange(1, 4)):
        cuts = sorted(rng.randrange(pixels + 1) for _ in range(rng.randrange(12)))
        texts.append(changed(text_from_runs(np.diff([0, *cuts, pixels])), rng))
    for text in texts:
        (found,), wrong = module.join(((text,),), pixels)
        try:
            assert found == canonical_text(text, height, width) and not wrong, (text, pixels)
        except MaskError:
            assert found is None and wrong == [0], (text, pixels)
    module.join(tuple((text,) for text in texts), pixels)


def main() -> None:
    """Both readers, in turns."""
    folder, iterations, seed = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    rng = random.Random(seed)
    png_rows, run_texts = loaded(folder, "_png_rows"), loaded(folder, "_run_texts")
    for _ in range(iterations):
        try_rows(png_rows, rng)
        try_texts(run_texts, rng)
    sys.stdout.write(f"fuzzed {iterations} images and as many frames of texts: no fault, no difference\n")


if __name__ == "__main__":
    main()
