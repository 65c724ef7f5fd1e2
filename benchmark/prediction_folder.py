"""Writing a prediction folder so that it can be continued after any kind of end.

A run is stopped by a difference in its identity (adapter, version, revision, weights, options, seed,
dataset name): the whole folder belongs to something else then. Below that, every query has a key over
the identity, the frames of its video and its sentence; a stored answer counts as long as its key is the
one that would be computed now. So a changed sentence invalidates one answer, and changed frames the
answers of one video. For rows that are told the truth the dataset's digest is part of the key.

Files of different videos are independent, so the processes of several shards share a folder.
"""

from __future__ import annotations

import hashlib
import json
import secrets
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmark.adapter import Adapter
from benchmark.datasets import Dataset
from benchmark.errors import PredictionError, ProblemCollector
from benchmark.json_records import to_json
from benchmark.prediction_files import (
    FORMAT,
    MANIFEST_FILE,
    RUN_FILE,
    SESSIONS_FOLDER,
    UNSCORED_FILE,
    VERSION,
    VIDEOS_FOLDER,
    read_record,
    read_video_head,
    video_file_name,
)
from benchmark.prediction_records import (
    Manifest,
    ManifestVideo,
    QueryHead,
    RunIdentity,
    RunRecord,
    Totals,
    VideoHead,
)
from benchmark.prediction_writer import VideoPlan, VideoWriter
from benchmark.stored_files import (
    as_output_error,
    make_folder,
    remove_unfinished,
    write_atomically,
    write_json,
)
from benchmark.types import AdapterInfo, Expression, Video

FOLDER_NAME = "predictions"
CONSENT = "trust_remote_code"
"""The option, of an adapter or of one inside it, that permits a run and changes nothing about it."""


def run_identity(adapter: Adapter, seed: int, dataset: Dataset) -> RunIdentity:
    """The identity of a run as far as the adapter can tell it now."""
    info = adapter_facts(adapter)
    return RunIdentity(
        adapter=info.name,
        version=info.version,
        revision=info.revision,
        weights_digest=info.weights_digest,
        roles=tuple(role.value for role in info.roles),
        options={name: value for name, value in info.options.items() if not name.endswith(CONSENT)},
        seed=seed,
        dataset=dataset.name,
        split=dataset.split,
    )


def adapter_facts(adapter: Adapter) -> AdapterInfo:
    """What the adapter says of itself, with the value of every option, as it is stored."""
    info = adapter.info()
    options = {name: _plain(value) for name, value in {**adapter.chosen_options, **info.options}.items()}
    return replace(info, options=dict(sorted(options.items())))


class PredictionFolder:
    """A prediction folder that is open for writing.

    Attributes:
        path: the folder itself, `<output>/predictions`.
        record: the content of its `run.json`.
    """

    def __init__(self, path: Path, record: RunRecord) -> None:
        self.path = path
        self.record = record
        self._fingerprints: dict[str, str] = {}

    def plan(self, dataset: Dataset, video: Video, retry: bool = False) -> VideoPlan:
        """Which expressions of a video still need an answer.

        Args:
            retry: whether stored failures are to be tried again.

        Raises:
            DatasetError: when the frames cannot be found.
            PredictionError: when the stored file is damaged.
        """
        height, width = dataset.frame_size(video)
        keys = self._keys(dataset, video, height, width)
        heads = self._valid_heads(video.video_id, keys)
        missing = tuple(
            one
            for one in video.expressions
            if (head := heads.get(one.expression_id)) is None or (retry and head.status.failed)
        )
        return VideoPlan(video, height, width, keys, missing)

    def writer(self, plan: VideoPlan) -> VideoWriter:
        """Where the answers of a video go."""
        return VideoWriter(self.path / VIDEOS_FOLDER / video_file_name(plan.video.video_id), plan)

    def confirm_loaded(self, adapter: Adapter, identity: RunIdentity) -> None:
        """Compare, or write down, what the adapter knows about itself only after loading.

        Raises:
            PredictionError: when stored predictions were made with other weights.
        """
        stored = self.record.after_load
        if stored is not None:
            refuse_differences(stored, identity, self.path)
        self.record = replace(self.record, after_load=identity, adapter=adapter_facts(adapter))
        write_json(self.path / RUN_FILE, to_json(self.record))

    def begin_session(self, circumstances: Mapping[str, Any]) -> None:
        """Write down who is about to predict; manifest and result are no longer true from now on."""
        write_atomically(self.path / UNSCORED_FILE, b"")
        (self.path / MANIFEST_FILE).unlink(missing_ok=True)
        moment = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
        name = f"{moment}-{secrets.token_hex(4)}.json"
        write_json(self.path / SESSIONS_FOLDER / name, circumstances)

    def unanswered(self, dataset: Dataset) -> list[tuple[str, Expression]]:
        """(video id, expression) of every query of the dataset that has no valid answer yet."""
        plans = (self.plan(dataset, video) for video in dataset.videos)
        return [(plan.video.video_id, one) for plan in plans for one in plan.missing]

    def finish(self, dataset: Dataset, limit: int | None, settings: Sequence[str]) -> Manifest:
        """Check that every query of the dataset is there exactly once, and write the manifest.

        Raises:
            PredictionError: listing the queries that are missing.
        """
        problems = ProblemCollector()
        for video_id, one in self.unanswered(dataset):
            problems.add("no answer stored", where=f"video {video_id}, expression {one.expression_id}")
        problems.raise_if_any(PredictionError, f"{self.path} is not complete")
        listed = [self._listed(video) for video in dataset.videos]
        manifest = Manifest(
            format=FORMAT,
            version=VERSION,
            adapter=self.record.adapter,
            seed=self.record.before_load.seed,
            dataset=dataset.name,
            split=dataset.split,
            dataset_digest=dataset.digest,
            limit=limit,
            settings=tuple(settings),
            totals=_totals([head for _, head in listed], [video for video, _ in listed]),
            videos=tuple(video for video, _ in listed),
            sessions=_sessions(self.path / SESSIONS_FOLDER),
        )
        remove_unfinished(self.path / VIDEOS_FOLDER)
        write_json(self.path / MANIFEST_FILE, to_json(manifest))
        return manifest

    @property
    def is_scored(self) -> bool:
        """Whether nothing was predicted since `mark_scored`: a result beside it is about these answers."""
        return not (self.path / UNSCORED_FILE).exists()

    def mark_scored(self) -> None:
        """Remember that a result of these predictions has been written."""
        (self.path / UNSCORED_FILE).unlink(missing_ok=True)

    def _listed(self, video: Video) -> tuple[ManifestVideo, VideoHead]:
        name = video_file_name(video.video_id)
        head, digest = read_video_head(self.path / VIDEOS_FOLDER / name)
        expressions = tuple(one.expression_id for one in video.expressions)
        return ManifestVideo(video.video_id, f"{VIDEOS_FOLDER}/{name}", digest, expressions), head

    def _keys(self, dataset: Dataset, video: Video, height: int, width: int) -> dict[str, str]:
        if video.video_id not in self._fingerprints:
            self._fingerprints[video.video_id] = dataset.frames_fingerprint(video)
        shared = [
            self.record.before_load.digest(),
            f"{len(video.frame_names)} {height} {width} {self._fingerprints[video.video_id]}",
            dataset.digest if self.record.adapter.uses_truth else "",
        ]
        return {
            one.expression_id: hashlib.sha256("\n".join([*shared, one.text]).encode()).hexdigest()
            for one in video.expressions
        }

    def _valid_heads(self, video_id: str, keys: Mapping[str, str]) -> dict[str, QueryHead]:
        path = self.path / VIDEOS_FOLDER / video_file_name(video_id)
        if not path.exists():
            return {}
        head, _ = read_video_head(path)
        return {one.expression_id: one for one in head.queries if keys.get(one.expression_id) == one.key}


def open_folder(output: Path, adapter: Adapter, identity: RunIdentity, restart: bool) -> PredictionFolder:
    """The prediction folder of an output place, made or continued.

    Args:
        restart: throw away what is stored there.

    Raises:
        PredictionError: when the stored predictions belong to another run, saying what differs.
        OutputError: when the place cannot be written to.
    """
    path = output / FOLDER_NAME
    if restart:
        remove_predictions(path)
    for folder in (path / VIDEOS_FOLDER, path / SESSIONS_FOLDER):
        make_folder(folder)
    if not (path / RUN_FILE).exists():
        record = RunRecord(FORMAT, VERSION, identity, None, adapter_facts(adapter))
        write_json(path / RUN_FILE, to_json(record))
    # Read back what is there now: another shard may have come first.
    record = read_record(RunRecord, path / RUN_FILE)
    if record.before_load != identity and not _has_begun(path):
        record = RunRecord(FORMAT, VERSION, identity, None, adapter_facts(adapter))
        write_json(path / RUN_FILE, to_json(record))
    refuse_differences(record.before_load, identity, path)
    return PredictionFolder(path, record)


def _has_begun(path: Path) -> bool:
    """Whether a model was ever ready to answer here; a run whose loading failed leaves nothing to protect."""
    return any((path / SESSIONS_FOLDER).iterdir()) or any((path / VIDEOS_FOLDER).iterdir())


def remove_predictions(path: Path) -> None:
    """Remove the files of a prediction folder, and nothing that this program did not put there.

    Raises:
        OutputError: when the place cannot be written to.
    """
    # The manifest goes first: whatever remains after an interruption is not mistaken for a finished run.
    victims = [path / MANIFEST_FILE, path / RUN_FILE, path / UNSCORED_FILE]
    victims += sorted((path / VIDEOS_FOLDER).glob("*.jsonl")) + sorted(
        (path / SESSIONS_FOLDER).glob("*.json")
    )
    for victim in victims:
        try:
            victim.unlink(missing_ok=True)
        except OSError as error:
            raise as_output_error(error, victim) from error


def refuse_differences(stored: RunIdentity, now: RunIdentity, path: Path) -> None:
    """Check that two identities are the same.

    Raises:
        PredictionError: saying what differs.
    """
    differences = stored.differences(now)
    if differences:
        raise PredictionError(
            "the stored predictions belong to another run",
            where=str(path),
            found="; ".join(differences),
            fix="choose another place with --output, or throw the stored ones away with --restart",
        )


def _totals(heads: Sequence[VideoHead], videos: Sequence[ManifestVideo]) -> Totals:
    queries = [
        query
        for head, video in zip(heads, videos, strict=True)
        for query in head.queries
        if query.expression_id in set(video.expressions)
    ]
    on_gpus = [head.gpu_seconds for head in heads if head.gpu_seconds is not None]
    peaks = [query.peak_memory_bytes for query in queries if query.peak_memory_bytes is not None]
    return Totals(
        videos=len(videos),
        queries=len(queries),
        failed=sum(query.status.failed for query in queries),
        asked_alone=sum(query.asked_alone for query in queries),
        query_seconds=sum(query.seconds for query in queries if query.seconds is not None),
        video_seconds=sum(head.seconds for head in heads),
        peak_memory_bytes=max(peaks, default=None),
        video_gpu_seconds=sum(on_gpus) if on_gpus else None,
    )


def _sessions(folder: Path) -> tuple[Mapping[str, Any], ...]:
    return tuple(_session(path) for path in sorted(folder.glob("*.json")))


def _session(path: Path) -> Mapping[str, Any]:
    try:
        session = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        session, found = None, str(error)
    else:
        found = type(session).__name__
    if not isinstance(session, dict):
        raise PredictionError(
            "not a readable record of a session",
            where=str(path),
            expected="a JSON object",
            found=found,
            fix="delete this file and run the same evaluation again: answers are kept",
        )
    return session


def _plain(value: Any) -> Any:
    """A value as JSON has it, so that what is read back compares equal."""
    if isinstance(value, Mapping):
        return {str(name): _plain(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value if value is None or isinstance(value, bool | int | float | str) else str(value)
