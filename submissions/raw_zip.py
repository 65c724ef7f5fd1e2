"""Zips written byte by byte, so that every lie a zip can tell can be told on purpose.

Only for examples and tests: `submissions.pack` writes its zips with the standard library.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass

from submissions.zip_directory import CENTRAL, DEFLATED, END, LOCAL, STORED, UTF8_FLAG

UNIX = 3 << 8
REGULAR = 0o100644 << 16


@dataclass(frozen=True, slots=True)
class RawMember:
    """One member; what is `None` is told truthfully.

    Attributes:
        stored: the bytes that lie in the file, where they are not `data` compressed by `method`.
        offset: where the table of contents says that the member starts.
        local_name: the name in the member's own header.
    """

    name: str | bytes
    data: bytes = b""
    method: int = DEFLATED
    flags: int = 0
    attributes: int = REGULAR
    size: int | None = None
    compressed: int | None = None
    crc: int | None = None
    stored: bytes | None = None
    offset: int | None = None
    local_name: bytes | None = None
    comment: bytes = b""


def raw_zip(members: Sequence[RawMember], entries: int | None = None, comment: bytes = b"") -> bytes:
    """The bytes of a zip of these members, in this order.

    Args:
        entries: how many entries the end record claims.
    """
    body, directory = bytearray(), bytearray()
    for member in members:
        raw = member.name if isinstance(member.name, bytes) else member.name.encode()
        marked = member.flags | (0 if raw.isascii() or isinstance(member.name, bytes) else UTF8_FLAG)
        content = member.stored if member.stored is not None else _compress(member)
        crc = zlib.crc32(member.data) if member.crc is None else member.crc
        size = len(member.data) if member.size is None else member.size
        compressed = len(content) if member.compressed is None else member.compressed
        offset = len(body) if member.offset is None else member.offset
        own = raw if member.local_name is None else member.local_name
        numbers = (marked, member.method, 0, 0x21, crc, compressed, size)
        body += LOCAL.pack(b"PK\x03\x04", 20, *numbers, len(own), 0) + own + content
        directory += CENTRAL.pack(
            *(b"PK\x01\x02", UNIX | 20, 20, *numbers, len(raw), 0, len(member.comment), 0, 0),
            *(member.attributes, offset),
        )
        directory += raw + member.comment
    count = len(members) if entries is None else entries
    end = END.pack(b"PK\x05\x06", 0, 0, count, count, len(directory), len(body), len(comment))
    return bytes(body + directory + end + comment)


def _compress(member: RawMember) -> bytes:
    if member.method == STORED:
        return member.data
    packer = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    return packer.compress(member.data) + packer.flush()
