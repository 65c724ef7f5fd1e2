"""The table of contents of a zip, judged before anything is decompressed.

Python's own reader repairs what it reads (it strips `../`, keeps the last of two equal names, turns a
link into a file), and a repair lets one member take the place of another. Here every oddity is a finding
and nothing is repaired. Only the central directory and one small header per member are looked at; a
million members cost a few seconds and a hundred bytes each.

Source: PKWARE APPNOTE 6.3.10, sections 4.3 to 4.5. Overlaps: D. Fifield, "A better zip bomb" (2019).
"""

from __future__ import annotations

import os
import stat
import struct
import unicodedata
from array import array
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from submissions.limits import NAME_BYTES, RATIO, RATIO_FREE_BYTES, Limits
from submissions.problems import Findings

END = struct.Struct("<4s4H2LH")  # end of central directory
END64_LOCATOR = struct.Struct("<4sLQL")
END64 = struct.Struct("<4sQ2H2L4Q")
CENTRAL = struct.Struct("<4s6H3L5H2L")
LOCAL = struct.Struct("<4s5H3L2H")
STORED, DEFLATED = 0, 8
ENCRYPTED_FLAGS = 0x0001 | 0x0040 | 0x2000
UTF8_FLAG = 0x0800
DESCRIPTOR_FLAG = 0x0008
UNIX_SYSTEMS = (3, 19)  # who made it: Unix, macOS
ARCHIVES = (".zip", ".tar", ".gz", ".tgz", ".bz2", ".xz", ".7z", ".rar", ".zst")
MAX_NUMBER = 1 << 48  # keeps every sum inside int64
COLUMNS = ("header_offset", "compressed", "size", "crc", "method", "flags")
OFFSET, COMPRESSED, SIZE = 0, 1, 2
INVISIBLE = ("Cc", "Cf", "Cs", "Co", "Zl", "Zp")  # controls, bidi and zero-width marks, surrogates


@dataclass(frozen=True, slots=True)
class Member:
    """One file of the zip: where its bytes are and what it declares."""

    name: str
    limit: int  # the next member or the directory starts here
    header_offset: int
    compressed: int
    size: int
    crc: int
    method: int
    flags: int


class FileBytes:
    """Random access to an open file without moving its position, so that readers can share it."""

    def __init__(self, handle: int) -> None:
        self.handle = handle
        self.size = os.fstat(handle).st_size

    def read(self, offset: int, count: int) -> bytes:
        """Up to `count` bytes from `offset`; fewer at the end of the file."""
        parts = []
        while count > 0:
            part = os.pread(self.handle, count, offset)
            if not part:
                break
            parts.append(part)
            offset += len(part)
            count -= len(part)
        return b"".join(parts)


@dataclass(frozen=True, slots=True)
class _End:
    entries: int
    size: int
    offset: int
    position: int  # of the end record itself: nothing of the directory may reach it


class Directory:
    """The members of a zip: columns of numbers and one table of names, lean enough for a million."""

    def __init__(self) -> None:
        self.names: list[str] = []
        self.columns = tuple(array("q") for _ in COLUMNS)
        self.limits: NDArray[np.int64] = np.zeros(0, np.int64)
        self.positions: dict[str, int] = {}  # folded name -> index; the folded name is mostly the name

    def append(self, name: str, numbers: tuple[int, ...]) -> None:
        """Add a member that was not looked at yet."""
        self.names.append(name)
        for column, number in zip(self.columns, numbers, strict=True):
            column.append(number)

    def find(self, name: str) -> Member | None:
        """The member of exactly that name."""
        index = self.positions.get(_folded(name))
        if index is None or self.names[index] != name:
            return None
        return self.member(index)

    def member(self, index: int) -> Member:
        """The member at a position of `names`."""
        return Member(self.names[index], int(self.limits[index]), *(column[index] for column in self.columns))

    def usable(self) -> Iterator[str]:
        """The names of members without a finding."""
        for index in self.positions.values():
            yield self.names[index]

    def __len__(self) -> int:
        return len(self.positions)


def read_directory(file: FileBytes, limits: Limits, findings: Findings) -> Directory:
    """The members of a zip by name, folders left out; what is wrong goes to `findings`.

    Members with a finding are left out too; an unusable archive gives no members at all.
    """
    nothing, directory = Directory(), Directory()
    if file.size > limits.zip_bytes:
        findings.add(
            "zip-too-large", "zip", expected=f"at most {limits.zip_bytes} bytes", found=f"{file.size} bytes"
        )
        return nothing
    end = _find_end(file, findings)
    if end is None:
        return nothing
    if end.entries > limits.members:
        findings.add(
            "too-many-members",
            "zip",
            expected=f"at most {limits.members} members",
            found=f"{end.entries} members",
        )
        return nothing
    _read_entries(file.read(end.offset, end.size), end, directory, findings)
    apart = _find_limits(directory, end.offset, findings)
    _index_names(directory, apart, limits, findings)
    total = sum(directory.columns[SIZE][index] for index in directory.positions.values())
    if total > limits.total_bytes:
        findings.add(
            "total-too-large",
            "all members together",
            expected=f"at most {limits.total_bytes} bytes",
            found=f"{total} bytes",
        )
        return nothing
    return directory


def _find_end(file: FileBytes, findings: Findings) -> _End | None:
    tail_size = min(file.size, END.size + 0xFFFF)
    tail_start = file.size - tail_size
    tail = file.read(tail_start, tail_size)
    # The last one that fits exactly: a comment may hold the signature.
    at = tail.rfind(b"PK\x05\x06")
    while at >= 0 and (len(tail) - at < END.size or _comment_end(tail, at) != len(tail)):
        at = tail.rfind(b"PK\x05\x06", 0, at)
    if at < 0:
        starts = file.read(0, 4)
        what = "a zip whose end is missing" if starts[:2] == b"PK" else f"a file that starts with {starts!r}"
        findings.add("not-a-zip", "zip", expected="the end record of a zip", found=what)
        return None
    _, disk, first_disk, here, entries, size, offset, _ = END.unpack_from(tail, at)
    end = _End(entries, size, offset, tail_start + at)
    if disk or first_disk or here != entries:
        findings.add("zip-directory", "zip", expected="one part", found="a zip in several parts")
        return None
    if 0xFFFF in (entries,) or 0xFFFFFFFF in (size, offset):
        end = _find_end64(file, end)
    if end.offset + end.size > end.position or end.size < end.entries * CENTRAL.size:
        findings.add(
            "zip-directory",
            "zip",
            expected="a table of contents that ends before the end record",
            found=f"{end.entries} entries, {end.size} bytes at {end.offset} of {file.size}",
        )
        return None
    return end


def _comment_end(tail: bytes, at: int) -> int:
    length = int.from_bytes(tail[at + END.size - 2 : at + END.size], "little")
    return at + END.size + length


def _find_end64(file: FileBytes, end: _End) -> _End:
    """The 64-bit end record where there is one; otherwise the numbers were meant as they are."""
    locator_at = end.position - END64_LOCATOR.size
    locator = file.read(max(locator_at, 0), END64_LOCATOR.size)
    if locator_at < 0 or not locator.startswith(b"PK\x06\x07"):
        return end
    _, _, position, _ = END64_LOCATOR.unpack(locator)
    record = file.read(position, END64.size)
    if len(record) < END64.size or not record.startswith(b"PK\x06\x06"):
        return end
    *_, entries, size, offset = END64.unpack(record)
    return _End(entries, size, offset, position)


def _read_entries(text: bytes, end: _End, directory: Directory, findings: Findings) -> None:
    at = 0
    for index in range(end.entries):
        if at + CENTRAL.size > len(text) or text[at : at + 4] != b"PK\x01\x02":
            findings.add("zip-directory", f"entry {index} of {end.entries}", found="no entry there")
            return
        fields = CENTRAL.unpack_from(text, at)
        made_by, _, flags, method, _, _, crc, compressed, size = fields[1:10]
        name_length, extra_length, comment_length, _, _, attributes, offset = fields[10:17]
        name_at = at + CENTRAL.size
        extra_at = name_at + name_length
        at = extra_at + extra_length + comment_length
        if at > len(text):
            findings.add("zip-directory", f"entry {index} of {end.entries}", found="an entry cut short")
            return
        if 0xFFFFFFFF in (compressed, size, offset):
            extra = text[extra_at : extra_at + extra_length]
            size, compressed, offset = _extra64(extra, size, compressed, offset)
        name = _readable_name(text[name_at:extra_at], flags, index, findings)
        if name is None or not _is_plain_file(name, made_by >> 8, attributes, size, findings):
            continue
        if max(size, compressed, offset) > MAX_NUMBER:
            findings.add("zip-directory", name, found="sizes beyond any file")
            continue
        directory.append(name, (offset, compressed, size, crc, method, flags))
    if at != len(text):
        findings.add("zip-directory", "zip", found=f"{len(text) - at} bytes after the last entry")


def _extra64(extra: bytes, size: int, compressed: int, offset: int) -> tuple[int, int, int]:
    """Sizes and offset from the 64-bit extra field, which holds only those that overflowed."""
    at = 0
    while at + 4 <= len(extra):
        kind, length = struct.unpack_from("<HH", extra, at)
        if kind == 1:
            values = list(struct.unpack_from(f"<{min(length, len(extra) - at - 4) // 8}Q", extra, at + 4))
            size = values.pop(0) if size == 0xFFFFFFFF and values else size
            compressed = values.pop(0) if compressed == 0xFFFFFFFF and values else compressed
            offset = values.pop(0) if offset == 0xFFFFFFFF and values else offset
            break
        at += 4 + length
    return size, compressed, offset


def _readable_name(raw: bytes, flags: int, index: int, findings: Findings) -> str | None:
    """The name as text; `None` after a finding. Plain ASCII, nearly all there is, takes the short way."""
    try:
        name = raw.decode("ascii" if not flags & UTF8_FLAG else "utf-8")
    except UnicodeDecodeError:
        findings.add("path-encoding", f"entry {index}", expected="ASCII or marked UTF-8", found=repr(raw))
        return None
    if not raw or len(raw) > NAME_BYTES:
        findings.add("path-encoding", name or f"entry {index}", found=f"a name of {len(raw)} bytes")
        return None
    code = _path_problem(name)
    if code:
        findings.add(code, name)
        return None
    return name


def _path_problem(name: str) -> str | None:
    """The code of what is wrong with a member's name, or `None`."""
    suspicious = not (name.isascii() and name.isprintable())  # asked first: it is quick
    if suspicious and any(unicodedata.category(sign) in INVISIBLE for sign in name):
        return "path-control"
    if "\\" in name:
        return "path-backslash"
    if name[0] == "/":
        return "path-absolute"
    if ":" in name:
        return "path-drive"
    parts = name.rstrip("/").split("/") if not name.endswith("//") else [""]
    if "" in parts or "." in parts or ".." in parts:
        return "path-parent"
    return None


def _is_plain_file(name: str, system: int, attributes: int, size: int, findings: Findings) -> bool:
    """Whether an entry is a file; folders are passed over, links and devices are findings."""
    mode = attributes >> 16 if system in UNIX_SYSTEMS else 0
    kind = stat.S_IFMT(mode)
    if kind == stat.S_IFLNK:
        findings.add("symlink", name)
        return False
    if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
        findings.add("special-file", name, found=stat.filemode(mode))
        return False
    if name.endswith("/") or kind == stat.S_IFDIR:
        if size:
            findings.add("special-file", name, expected="a folder without bytes", found=f"{size} bytes")
        return False
    return True


def _find_limits(directory: Directory, directory_offset: int, findings: Findings) -> NDArray[np.bool_]:
    """Set where each member must end, which is where the next starts; True for those that do."""
    offsets = np.array(directory.columns[OFFSET], np.int64)
    order = np.argsort(offsets, kind="stable")
    directory.limits = np.full(offsets.size, directory_offset, np.int64)
    directory.limits[order[:-1]] = offsets[order[1:]]
    lengths = np.fromiter((len(name.encode()) for name in directory.names), np.int64, offsets.size)
    # At least this much: the local header may hold more fields, which opening the member checks.
    least = offsets + LOCAL.size + lengths + np.array(directory.columns[COMPRESSED], np.int64)
    apart: NDArray[np.bool_] = least <= directory.limits
    for index in np.flatnonzero(~apart).tolist():
        findings.add(
            "overlap",
            directory.names[index],
            expected=f"an end before byte {directory.limits[index]}",
            found=f"an end at byte {least[index]} or later",
        )
    return apart


def _index_names(directory: Directory, apart: NDArray[np.bool_], limits: Limits, findings: Findings) -> None:
    """Index the members that are fine alone and whose names no file system mixes up."""
    positions, refused = directory.positions, set()
    for index, name in enumerate(directory.names):
        folded = _folded(name)
        if folded in positions:
            findings.add("duplicate-name", name, found=f"also {directory.names[positions[folded]]}")
            refused.add(folded)  # neither of the two can be meant
            continue
        positions[folded] = index
        code, expected, found = _member_problem(directory.member(index), limits)
        if code:
            findings.add(code, name, expected=expected, found=found)
        if code or not apart[index]:
            refused.add(folded)
    for folded in refused:
        del positions[folded]


def _folded(name: str) -> str:
    """One text for all names that some file system takes for the same."""
    if name.isascii():
        lowered = name.lower()
        return name if lowered == name else lowered  # one object, not two equal ones
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())


def _member_problem(member: Member, limits: Limits) -> tuple[str, str, str]:
    if member.flags & ENCRYPTED_FLAGS:
        return "encrypted", "", ""
    if member.method not in (STORED, DEFLATED):
        return "compression", "method 0 or 8", f"method {member.method}"
    if member.name.lower().endswith(ARCHIVES):
        return "nested-archive", "", ""
    if member.size > limits.member_bytes:
        return "member-too-large", f"at most {limits.member_bytes} bytes", f"{member.size} bytes"
    if member.size > RATIO_FREE_BYTES and member.size > RATIO * member.compressed:
        return "ratio-too-high", f"at most {RATIO}:1", f"{member.size} bytes from {member.compressed}"
    if member.method == STORED and member.size != member.compressed:
        return "size-lie", f"{member.size} bytes", f"{member.compressed} stored bytes"
    return "", "", ""
