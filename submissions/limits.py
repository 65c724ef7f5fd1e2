"""How much a submission may ask of us. Every number is here, derived from what its dataset needs.

An honest submission stays far below each of them; a hostile one meets the first before anything is read.
"""

from __future__ import annotations

from dataclasses import dataclass

MIB = 1 << 20

MODEL_BYTES = 64 << 10  # model.json
ANSWERS_BYTES = 16 * MIB  # answers.json: a status per expression
JSON_DEPTH = 8
LINE_BYTES = 32 * MIB  # one answer: two tracks
RATIO = 200  # declared size against compressed size ...
RATIO_FREE_BYTES = MIB  # ... of members above this size; small ones may be as regular as they like
NAME_BYTES = 512
SPARE_MEMBERS = 1000  # system files and folders around the tree, beside what is expected
PNG_CHUNKS = 1024  # encoders cut pixels into chunks of 8 KiB and more
PNG_EXTRA_BYTES = 16 << 10  # palette, time stamps and comments together

BASE_MEMORY = 400 * MIB  # address space of the decoder: interpreter, NumPy, Pillow, one line of masks
MEMBER_MEMORY = 512  # bytes of table of contents per expected member
BASE_SECONDS = 30
MASK_SECONDS = 0.005  # processor time per mask; three times what the slowest PNG needs


@dataclass(frozen=True, slots=True)
class Limits:
    """The limits for submissions on one dataset."""

    zip_bytes: int
    members: int
    member_bytes: int
    total_bytes: int
    memory_bytes: int
    cpu_seconds: int
    wall_seconds: int


def limits_for(masks: int, folders: int, masks_of_a_video: int, pixels: int) -> Limits:
    """The limits of a dataset.

    Args:
        masks: frames of all expressions, both roles.
        folders: of a PNG tree; many programs write a member for each.
        masks_of_a_video: the same of the video that has most.
        pixels: of the largest frame.
    """
    # Honest masks take a fraction of this, as PNG or as run-length text; random noise takes more.
    per_mask = max(4096, pixels // 64)
    seconds = BASE_SECONDS + int(masks * MASK_SECONDS)
    return Limits(
        zip_bytes=64 * MIB + masks * per_mask,
        members=masks + folders + SPARE_MEMBERS,
        member_bytes=64 * MIB + 4 * masks_of_a_video * per_mask,
        total_bytes=256 * MIB + 4 * masks * per_mask,
        memory_bytes=BASE_MEMORY + MEMBER_MEMORY * masks,
        cpu_seconds=seconds,
        wall_seconds=10 * seconds,  # the machine may be busy with something else
    )
