from typing_extensions import Buffer

MAX_RADIUS: int
MAX_PIXELS: int

def levels() -> tuple[str, ...]: ...
def count_texts(
    truth: tuple[bytes | None, ...],
    predicted: tuple[tuple[bytes | None, ...], ...],
    height: int,
    width: int,
    radius: int,
    counts: Buffer,
    level: str,
    /,
) -> tuple[int, int] | None: ...
def count_masks(
    truth: Buffer, predicted: Buffer, radius: int, counts: Buffer, level: str, /
) -> tuple[int, int] | None: ...
