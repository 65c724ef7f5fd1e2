"""Records between the decoder process and its parent: a kind, a length, a payload."""

from __future__ import annotations

import enum
import struct
from collections.abc import Iterator
from typing import IO

from submissions.limits import LINE_BYTES, MIB

FRAME = struct.Struct("<cI")
LONGEST = 2 * LINE_BYTES + 64 * MIB  # an answer is no longer than its line; findings are bounded by count


class Record(enum.Enum):
    """What a record holds."""

    ANSWER = b"A"  # answers.pack_answer
    FINDINGS = b"F"  # decoder.findings_to_wire
    LAYOUT = b"L"  # JSON of form and root
    MODEL = b"M"  # the bytes of model.json
    STOPPED = b"X"  # why decoding could not go on
    DONE = b"D"  # nothing is missing


class WireError(Exception):
    """The other side broke the format."""


def write_record(stream: IO[bytes], kind: Record, payload: bytes) -> None:
    """Write one record."""
    stream.write(FRAME.pack(kind.value, len(payload)))
    stream.write(payload)


def read_records(stream: IO[bytes]) -> Iterator[tuple[Record, bytes]]:
    """The records of a stream until it ends.

    Raises:
        WireError: for an unknown kind, a length beyond all need, or an end inside a record.
    """
    while head := stream.read(FRAME.size):
        if len(head) < FRAME.size:
            raise WireError("an end inside a record")
        name, length = FRAME.unpack(head)
        try:
            kind = Record(name)
        except ValueError as error:
            raise WireError(f"a record of kind {name!r}") from error
        if length > LONGEST:
            raise WireError(f"a record of {length} bytes")
        payload = stream.read(length)
        if len(payload) < length:
            raise WireError("an end inside a record")
        yield kind, payload
