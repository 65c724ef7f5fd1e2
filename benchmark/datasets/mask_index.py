"""A mask file of any size as random access to tracks: built in one streaming pass, then mapped.

The index holds one entry per track, in the order of the file: 4 bytes per frame with the length of its
text (0 = no pixel), then the canonical texts themselves; and a table sorted by annotation id. What is
wrong with single tracks or frames (a fault) does not stop the pass: it is stored, named when the track is
asked for, and listed by `python -m benchmark.datasets check`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, final

import numpy as np
from numpy.typing import NDArray

from benchmark.datasets.index_file import IndexDamaged, IndexFile, IndexWriter
from benchmark.datasets.index_store import open_index
from benchmark.datasets.json_stream import JsonStream, json_kind
from benchmark.datasets.reading_progress import reading_progress
from benchmark.errors import DatasetError, MaskError
from benchmark.mask_batches import canonical_texts
from benchmark.types import MaskTrack

KIND = "masks 1"  # raise the number when the meaning of the entries changes: old indexes are rebuilt
MAX_ID_BYTES = 200
# Faults kept in words; all are counted. A file of another format has one for every frame.
MAX_FAULTS = 2000
MAX_FAULTS_OF_TRACK = 20

MEND_RLE = "each frame must be null or the compressed RLE of pycocotools.mask.encode"


@dataclass(frozen=True)
class TrackFault:
    """Something wrong with one track; `frame` is a position in its list, or `None` for the whole."""

    annotation_id: str
    frame: int | None
    what: str
    expected: str
    found: str

    def where(self) -> str:
        """The place inside the mask file."""
        return f"annotation {self.annotation_id}" + ("" if self.frame is None else f", mask {self.frame}")


@dataclass(frozen=True)
class RawTrack:
    """One track as read: size (0 x 0 when every frame is null), canonical texts, and its faults."""

    height: int
    width: int
    texts: tuple[bytes | None, ...]
    faults: tuple[TrackFault, ...]


@final
class MaskIndex:
    """Tracks by annotation id, read from the mapped file when asked for.

    Attributes:
        source: the mask file.
        ids: sorted bytes array of annotation ids (UTF-8).
        rows: table in the same order: offset, size, frames, height, width, faults, digest.
        fault_count: how many things are wrong inside the file.
        faults: the first `MAX_FAULTS` of them, at most `MAX_FAULTS_OF_TRACK` a track.
    """

    def __init__(self, source: Path, file: IndexFile) -> None:
        self.source = source
        self.path = file.path
        self._entries = file.section("entries") if file.facts["tracks"] else memoryview(b"")
        self.rows: NDArray[Any] = file.table("tracks")
        self.ids: NDArray[np.bytes_] = self.rows["id"]
        self.fault_count: int = file.facts["fault_count"]
        self.faults = tuple(TrackFault(**fault) for fault in file.facts["faults"])

    def __len__(self) -> int:
        return len(self.rows)

    def find(self, annotation_ids: NDArray[np.bytes_]) -> NDArray[np.int64]:
        """Row of each id, or `len(self)` where there is none."""
        if not len(self):
            return np.zeros(len(annotation_ids), np.int64)
        places = np.searchsorted(self.ids, annotation_ids)
        hit = self.ids[np.minimum(places, len(self) - 1)] == annotation_ids
        return np.where(hit, places, len(self)).astype(np.int64)

    def row(self, annotation_id: str) -> int | None:
        """The row of an id, or `None`."""
        key = np.array([annotation_id.encode()])
        place = int(self.find(key)[0])
        return None if place == len(self) else place

    def size(self, row: int) -> tuple[int, int] | None:
        """(height, width) of a track; `None` when it has no mask in any frame."""
        height, width = int(self.rows["height"][row]), int(self.rows["width"][row])
        return (height, width) if height else None

    def track(self, row: int) -> MaskTrack:
        """The track in a row, its checksum verified.

        Raises:
            IndexDamaged: when what is stored is not what was written.
        """
        entry = self.rows[row]
        start, frames = int(entry["offset"]), int(entry["frames"])
        raw = bytes(self._entries[start : start + int(entry["size"])])
        if entry_digest(raw, int(entry["height"]), int(entry["width"])) != bytes(entry["digest"]):
            raise IndexDamaged(f"track {entry['id']!r}")
        ends = np.cumsum(np.frombuffer(raw, "<u4", frames), dtype=np.int64) + 4 * frames
        edges = [4 * frames, *ends.tolist()]
        texts = tuple(raw[edges[i] : edges[i + 1]] or None for i in range(frames))
        return MaskTrack(int(entry["height"]), int(entry["width"]), texts)

    def faults_of(self, annotation_id: str) -> list[TrackFault]:
        """What is wrong with one track, as far as it is kept in words."""
        return [fault for fault in self.faults if fault.annotation_id == annotation_id]


def open_mask_index(source: Path, rebuild: bool = False) -> MaskIndex:
    """The index of a mask file, built if there is none or the file has changed.

    Raises:
        DatasetError: when the file is not JSON, is cut off, or repeats an annotation id.
        OutputError: when the index cannot be written anywhere.
    """
    return MaskIndex(source, open_index(source, KIND, build_mask_index, rebuild))


def build_mask_index(source: Path, writer: IndexWriter) -> tuple[str, Mapping[str, Any]]:
    """Read a mask file once and write its entries; see `benchmark.datasets.index_store.Build`."""
    entries: dict[bytes, tuple[int, int, int, int, int, int, bytes]] = {}
    faults: list[TrackFault] = []
    fault_count = 0
    with (
        reading_progress(source, "indexing masks") as progress,
        JsonStream(source, progress) as stream,
    ):
        for annotation_id in stream.members():
            key = _checked_key(annotation_id, stream, entries)
            track = read_track(annotation_id, stream.value())
            fault_count += len(track.faults)
            kept = track.faults[:MAX_FAULTS_OF_TRACK]
            faults.extend(kept[: MAX_FAULTS - len(faults)])
            texts = [text or b"" for text in track.texts]
            lengths = np.array([len(text) for text in texts], "<u4")
            data = lengths.tobytes() + b"".join(texts)
            offset = writer.append("entries", data)
            entries[key] = (
                offset,
                len(data),
                len(texts),
                track.height,
                track.width,
                len(track.faults),
                entry_digest(data, track.height, track.width),
            )
        stream.finish()
        sha256 = stream.sha256.hexdigest()
    writer.table("tracks", _table(entries))
    return sha256, {
        "tracks": len(entries),
        "fault_count": fault_count,
        "faults": [asdict(fault) for fault in faults],
    }


def entry_digest(entry: bytes, height: int, width: int) -> bytes:
    """SHA-256 of a track: its size, the lengths of its texts and the canonical texts."""
    return hashlib.sha256(f"{height} {width}\n".encode() + entry).digest()


def read_track(annotation_id: str, value: Any) -> RawTrack:
    """One member of the mask file: a list of RLE objects and nulls, all of one size."""

    def fault(frame: int | None, what: str, expected: str, found: str) -> TrackFault:
        return TrackFault(annotation_id, frame, what, expected, found)

    if not isinstance(value, list):
        found = fault(None, "a track must be a list", "one mask or null per frame", json_kind(value))
        return RawTrack(0, 0, (), (found,))
    faults: list[TrackFault] = []
    texts: list[bytes | None] = []
    size: tuple[int, int] | None = None
    for frame, mask in enumerate(value):
        if mask is None:
            texts.append(None)
            continue
        try:
            height, width, counts = _read_mask(mask)
        except _Wrong as wrong:
            faults.append(fault(frame, *wrong.args))
            texts.append(None)
            continue
        size = size or (height, width)
        if (height, width) != size:
            expected = f"{size[0]}x{size[1]} as in the frames before"
            faults.append(fault(frame, "masks of one track differ in size", expected, f"{height}x{width}"))
            texts.append(None)
            continue
        texts.append(counts)
    if size is None:
        return RawTrack(0, 0, tuple(texts), tuple(faults))
    tidy = canonical_texts(texts, *size)
    faults.extend(_not_decoded(annotation_id, frame, error) for frame, error in tidy.errors.items())
    return RawTrack(*size, tidy.texts, tuple(faults))


def _not_decoded(annotation_id: str, frame: int, error: MaskError) -> TrackFault:
    problem = error.problems[0]
    return TrackFault(
        annotation_id, frame, problem.what, problem.expected or "COCO compressed counts", problem.found
    )


class _Wrong(Exception):
    """(what, expected, found) of a mask that is not an RLE object."""


def _read_mask(mask: Any) -> tuple[int, int, bytes]:
    expected = '{"size": [height, width], "counts": text} or null'
    if not isinstance(mask, tuple):
        raise _Wrong("a mask must be an RLE object or null", expected, json_kind(mask))
    members = dict(mask)
    if len(members) != len(mask):
        raise _Wrong("a key of an RLE object is repeated", expected, ", ".join(key for key, _ in mask))
    if not {"size", "counts"} <= members.keys():
        raise _Wrong("an RLE object lacks a key", expected, ", ".join(members) or "no key")
    size, counts = members["size"], members["counts"]
    if not (isinstance(size, list) and len(size) == 2 and type(size[0]) is int and type(size[1]) is int):
        raise _Wrong("the size of an RLE object is wrong", "[height, width], two integers", repr(size)[:60])
    if not (0 < size[0] < 1 << 16 and 0 < size[1] < 1 << 16):
        raise _Wrong("the size of an RLE object is wrong", "1 to 65535 pixels a side", repr(size)[:60])
    if not isinstance(counts, str):
        raise _Wrong("the counts of an RLE object are wrong", "compressed text", json_kind(counts))
    if not counts.isascii():
        raise _Wrong(
            "run-length text holds characters that COCO never writes", "ASCII text", repr(counts[:24])
        )
    return size[0], size[1], counts.encode()


def _checked_key(annotation_id: str, stream: JsonStream, seen: Mapping[bytes, Any]) -> bytes:
    key = annotation_id.encode("utf-8", "replace")
    if not key or len(key) > MAX_ID_BYTES or b"\0" in key or key.decode() != annotation_id:
        raise DatasetError(
            f"an annotation id is unusable at byte {stream.offset()}",
            where=str(stream.path),
            expected=f"a text of 1 to {MAX_ID_BYTES} bytes",
            found=repr(annotation_id[:40]),
        )
    if key in seen:
        raise DatasetError(
            f"annotation id {annotation_id!r} occurs twice (second at byte {stream.offset()})",
            where=str(stream.path),
            expected="each track once",
            fix="keep one of the two tracks",
        )
    return key


def _table(entries: Mapping[bytes, Sequence[Any]]) -> NDArray[Any]:
    longest = max((len(key) for key in entries), default=1)
    dtype = np.dtype(
        [
            ("id", f"S{longest}"),
            ("offset", "<u8"),
            ("size", "<u8"),
            ("frames", "<u4"),
            ("height", "<u4"),
            ("width", "<u4"),
            ("faults", "<u4"),
            ("digest", "V32"),
        ]
    )
    rows = [(key, *entries[key]) for key in sorted(entries)]
    return np.array(rows, dtype)
