"""One decoded answer, the two forms in which it crosses a border, and the canonical digest.

The digest depends on decoded masks alone: not on the container, the order of members, the compression,
or whether the masks came as PNG or run-length text. Of an expression:

    failed               the prediction failed, for whatever reason, and scores 0
    otherwise            the digests of actor and target as `benchmark.masks.track_digest` defines them;
                         no track differs from a track without pixels

The digest of a video is taken over its expressions sorted by id, that of a submission over its videos.
"""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from benchmark.types import MaskTrack, Status

HEAD = struct.Struct("<II")  # length of the JSON head, number of texts


@dataclass(frozen=True, slots=True)
class Answer:
    """What a submission says about one expression; texts of both tracks are canonical."""

    video_id: str
    expression_id: str
    status: Status
    actor: MaskTrack | None
    target: MaskTrack | None


def pack_answer(answer: Answer) -> bytes:
    """An answer as bytes: a JSON head, the lengths of all texts, the texts."""
    tracks = [answer.actor, answer.target]
    texts = [text or b"" for track in tracks if track is not None for text in track.counts]
    shapes = [None if one is None else [len(one), one.height, one.width] for one in tracks]
    head = json.dumps([answer.video_id, answer.expression_id, answer.status.value, *shapes]).encode()
    lengths = np.fromiter((len(text) for text in texts), "<u4", len(texts)).tobytes()
    return b"".join([HEAD.pack(len(head), len(texts)), head, lengths, *texts])


def unpack_answer(data: bytes) -> Answer:
    """The answer that `pack_answer` wrote. Its texts are not looked at.

    Raises:
        ValueError: when the bytes are not an answer.
    """
    if len(data) < HEAD.size:
        raise ValueError("an answer cut short")
    head_length, count = HEAD.unpack_from(data)
    lengths_at = HEAD.size + head_length
    texts_at = lengths_at + 4 * count
    video_id, expression_id, status, *shapes = json.loads(data[HEAD.size : lengths_at])
    lengths = np.frombuffer(data[lengths_at:texts_at], "<u4").astype(np.int64)
    if lengths.size != count or texts_at + int(lengths.sum()) != len(data) or len(shapes) != 2:
        raise ValueError("an answer of another length than it says")
    ends = (texts_at + np.cumsum(lengths)).tolist()
    starts = [texts_at, *ends]
    texts = [data[start:end] or None for start, end in zip(starts, ends, strict=False)]
    tracks: list[MaskTrack | None] = []
    for shape in shapes:
        if shape is None:
            tracks.append(None)
            continue
        frames, height, width = (int(one) for one in shape)
        tracks.append(MaskTrack(height, width, tuple(texts[:frames])))
        del texts[:frames]
    if texts:
        raise ValueError("an answer with texts that belong to no track")
    return Answer(str(video_id), str(expression_id), Status(status), tracks[0], tracks[1])


def expression_digest(answer: Answer) -> bytes:
    """SHA-256 of one answer."""
    digest = hashlib.sha256()
    if answer.status.failed:
        digest.update(b"failed")
    else:
        for track in (answer.actor, answer.target):
            digest.update(_track_digest(track))
    return digest.digest()


def _track_digest(track: MaskTrack | None) -> bytes:
    """`benchmark.masks.track_digest` of a track that is known to be canonical, much faster."""
    if track is None:
        return hashlib.sha256(b"none").digest()
    head = f"{len(track)} {track.height} {track.width}\n".encode()
    texts = b"\n".join(text or b"" for text in track.counts)
    return hashlib.sha256(head + texts + (b"\n" if track.counts else b"")).digest()


def video_digest(expressions: Mapping[str, bytes]) -> str:
    """SHA-256 of a video from the digests of its expressions."""
    return _over(sorted(expressions.items()))


def submission_digest(videos: Mapping[str, str]) -> str:
    """SHA-256 of a submission from the digests of its videos."""
    return _over((video_id, bytes.fromhex(digest)) for video_id, digest in sorted(videos.items()))


def _over(named: Iterable[tuple[str, bytes]]) -> str:
    digest = hashlib.sha256()
    for name, inner in named:
        raw = name.encode("utf-8", "surrogatepass")
        digest.update(struct.pack("<I", len(raw)) + raw + inner)
    return digest.hexdigest()
