"""Reading one member of a zip as a stream that can never yield more than was declared."""

from __future__ import annotations

import zlib
from collections.abc import Iterator

from submissions.zip_directory import LOCAL, STORED, FileBytes, Member

CHUNK = 1 << 18
NESTED = (b"PK\x03\x04", b"PK\x05\x06", b"\x1f\x8b\x08", b"BZh", b"\xfd7zXZ\x00", b"7z\xbc\xaf", b"Rar!")


class MemberError(Exception):
    """A member that cannot be read; `code` is one of the catalogue."""

    def __init__(self, code: str, expected: str = "", found: str = "") -> None:
        super().__init__(f"{code}: {found}")
        self.code, self.expected, self.found = code, expected, found


def read_member(file: FileBytes, member: Member, limit: int) -> bytes:
    """All bytes of a small member.

    Raises:
        MemberError: when it is damaged, contradicts its declaration, or declares more than `limit`.
    """
    if member.size > limit:
        raise MemberError("member-too-large", f"at most {limit} bytes", f"{member.size} bytes")
    return b"".join(stream_member(file, member))


def stream_member(file: FileBytes, member: Member) -> Iterator[bytes]:
    """The bytes of a member in pieces of at most `CHUNK`.

    The sum of all pieces never passes the declared size; the checksum is compared at the end.

    Raises:
        MemberError: as soon as the member turns out to be damaged or not what it declared.
    """
    at = _data_offset(file, member)
    pieces = _stored(file, at, member.compressed) if member.method == STORED else _inflated(file, at, member)
    crc = count = 0
    for piece in pieces:
        if count == 0 and piece.startswith(NESTED):
            raise MemberError("nested-archive", found=f"bytes {piece[:4]!r}")
        count += len(piece)
        if count > member.size:
            raise MemberError("size-lie", f"{member.size} bytes", "more")
        crc = zlib.crc32(piece, crc)
        yield piece
    if count != member.size:
        raise MemberError("size-lie", f"{member.size} bytes", f"{count} bytes")
    if crc != member.crc:
        raise MemberError("member-damaged", f"checksum {member.crc:08x}", f"{crc:08x}")


def _data_offset(file: FileBytes, member: Member) -> int:
    """Where the data starts, after comparing the member's own header with the table of contents."""
    name = member.name.encode()
    header = file.read(member.header_offset, LOCAL.size + len(name))
    if len(header) < LOCAL.size or not header.startswith(b"PK\x03\x04"):
        raise MemberError("header-mismatch", "a member's header", f"{header[:4]!r}")
    _, _, flags, method, _, _, crc, compressed, size, name_length, extra_length = LOCAL.unpack_from(header)
    if method != member.method or flags != member.flags or name_length != len(name):
        raise MemberError("header-mismatch", "method, flags and name as in the table of contents", "others")
    if header[LOCAL.size :] != name:
        raise MemberError("header-mismatch", member.name, repr(header[LOCAL.size :]))
    declared = (crc, compressed, size)
    # Zero: the numbers follow the data. All ones: they stand in a 64-bit field.
    told = (member.crc, member.compressed, member.size)
    for one, other in zip(declared, told, strict=True):
        if one not in (other, 0, 0xFFFFFFFF):
            raise MemberError("header-mismatch", f"checksum and sizes {told}", f"{declared}")
    at: int = member.header_offset + LOCAL.size + name_length + extra_length
    if at + member.compressed > member.limit:
        raise MemberError("overlap", f"an end before {member.limit}", f"{at + member.compressed}")
    return at


def _stored(file: FileBytes, at: int, count: int) -> Iterator[bytes]:
    while count > 0:
        piece = file.read(at, min(CHUNK, count))
        if not piece:
            raise MemberError("member-damaged", found="the file ends inside the member")
        yield piece
        at += len(piece)
        count -= len(piece)


def _inflated(file: FileBytes, at: int, member: Member) -> Iterator[bytes]:
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    try:
        for piece in _stored(file, at, member.compressed):
            waiting = piece
            while waiting:
                made = inflater.decompress(waiting, CHUNK)
                waiting = inflater.unconsumed_tail
                if made:
                    yield made
                if inflater.eof:
                    break
            if inflater.eof:
                break
        while not inflater.eof:
            made = inflater.decompress(b"", CHUNK)
            if not made:
                raise MemberError("member-damaged", found="compressed data that ends too early")
            yield made
        if inflater.unused_data or inflater.unconsumed_tail:
            raise MemberError("member-damaged", found="bytes behind the end of the compressed data")
    except zlib.error as error:
        raise MemberError("member-damaged", found=str(error)) from error
