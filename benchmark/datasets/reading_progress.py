"""A progress bar over the bytes of a large file, shown only where it takes noticeable time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tqdm import tqdm

SHOWN_FROM_BYTES = 16 << 20  # below that reading takes under a second


@contextmanager
def reading_progress(path: Path, doing: str) -> Iterator[Callable[[int], object]]:
    """A callback that is told how many more bytes have been read; the bar goes to stderr."""
    size = path.stat().st_size
    with tqdm(
        total=size,
        desc=f"{doing} ({path.name})",
        unit="B",
        unit_scale=True,
        disable=size < SHOWN_FROM_BYTES,
    ) as bar:
        yield bar.update
