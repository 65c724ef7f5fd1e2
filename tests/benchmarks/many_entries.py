"""A folder of many entries of the built-in board, made from a shipped one: a full leaderboard.

Some entries have everything (result, scores of expressions, masks, scores of frames), the others aggregates
and a receipt. Scores are drawn around those of the shipped model from a seed: the same folder again.
"""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmark.json_records import to_json
from benchmark.result_files import expressions_csv, read_expressions, read_result
from benchmark.results import ExpressionRow, Result, scores_digest
from benchmark.statistics import Bootstrap
from benchmark.stored_files import file_digest, write_json
from benchmark.summaries import summarise
from leaderboards.build import ENTRIES
from submissions.entries import Entry, Standing, entry_id, read_entry
from submissions.model_card import Links, ModelCard, Speed, Strength, Track, TrainedOn, card_digest
from submissions.receipt import Receipt, Scores, read_receipt, write_receipt

FOLDER = "interrvos-synthetic-val"
TEAMS = ("North Lab", "Institute of Moving Pictures", "University of the Coast", "Seven Hills", "独立研究")
BACKBONES = ("InternVL2.5", "Qwen2.5-VL", "Video-Swin", "PaliGemma", "SAM2-Hiera")


def make_entries(place: Path, count: int, whole: int, seed: int = 0) -> Path:
    """Write `count` entries below `place`, the first `whole` of them with everything."""
    (source,) = (ENTRIES / FOLDER).glob("reviosa-*")
    maker = _Maker(source, place / FOLDER, np.random.default_rng(seed))
    for index in range(count):
        if index < whole:
            maker.with_everything(index)
        else:
            maker.aggregates(index)
    return place


class _Maker:
    def __init__(self, source: Path, folder: Path, rng: np.random.Generator) -> None:
        self.source, self.folder, self.rng = source, folder, rng
        self.entry, self.receipt = read_entry(source / "entry.json"), read_receipt(source / "receipt.json")
        self.result = read_result(source)
        self.rows = read_expressions(source, self.result)
        self.stored = json.loads((source / "result.json").read_text(encoding="utf-8"))

    def with_everything(self, index: int) -> None:
        model = self._model(index)
        rows = tuple(self._other(self.rows, self.rng.normal(0, 0.12)))
        result = self._result(rows)
        scores = {name: _scores(result, name) for name in result.settings}
        place = self._write(model, scores, Standing.RESCORED, rounded=False)
        table = place / "expressions.csv"
        table.write_bytes(expressions_csv(rows))
        for name in ("frame_scores.npz", "masks.jsonl.gz"):
            shutil.copy(self.source / name, place)
        stored = {**to_json(result), "files": {**self.stored["files"], table.name: file_digest(table)}}
        write_json(place / "result.json", {**stored, "scores_digest": scores_digest(stored)})

    def aggregates(self, index: int) -> None:
        shift = self.rng.normal(-5, 12)
        scores = {}
        for name, one in (self.entry.scores or {}).items():
            assert one.j is not None and one.f is not None
            j, f = (float(np.clip(value + shift + self.rng.normal(0, 2), 0, 100)) for value in (one.j, one.f))
            jf, half = (j + f) / 2, float(self.rng.uniform(2, 7))
            interval = (max(jf - half, 0.0), min(jf + half, 100.0))
            scores[name] = dataclasses.replace(one, j=j, f=f, jf=jf, jf_interval=interval)
        self._write(self._model(index), scores, Standing.SELF_REPORTED, rounded=True)

    def _model(self, index: int) -> ModelCard:
        rng = self.rng
        backbone = BACKBONES[index % len(BACKBONES)]
        speed = Speed("one GPU", float(rng.uniform(1, 60)), float(rng.uniform(2, 40)))
        weights = f"https://example.org/weights/{index}" if rng.random() < 0.6 else None
        return dataclasses.replace(
            self.entry.model,
            name=f"Referring model {index} on {backbone}",
            version=f"{1 + index % 3}.{index % 10}",
            team=str(rng.choice(TEAMS)) if rng.random() < 0.8 else None,
            parameters=int(10 ** rng.uniform(6, 11)) if rng.random() < 0.9 else None,
            speed=speed if rng.random() < 0.7 else None,
            links=Links(None, None, weights, None),
            track=Track.OPEN if rng.random() < 0.7 else Track.CLOSED,
            trained_on=(TrainedOn("mevis", "train", Strength.STRONG, None),) if rng.random() < 0.5 else (),
        )

    def _other(self, rows: Sequence[ExpressionRow], shift: float) -> Iterator[ExpressionRow]:
        for row in rows:
            track = row.score.track
            moved = np.clip(np.array([track.j, track.f]) + shift + self.rng.normal(0, 0.1, 2), 0, 1)
            other = dataclasses.replace(track, j=float(moved[0]), f=float(moved[1]))
            yield dataclasses.replace(row, score=dataclasses.replace(row.score, track=other))

    def _result(self, rows: Sequence[ExpressionRow]) -> Result:
        by: dict[str, list[Any]] = {name: [] for name in self.result.settings}
        for row in rows:
            by[row.score.setting].append(row.score)
        outcomes = [(row.score.video_id, row.outcome) for row in rows if row.score.setting == "RVOS"]
        settings, errors = summarise(by, outcomes, {}, Bootstrap(seed=0))
        return dataclasses.replace(self.result, settings=settings, role_errors=errors)

    def _write(
        self, model: ModelCard, scores: dict[str, Scores], standing: Standing, *, rounded: bool
    ) -> Path:
        about = (model, self.entry.dataset, self.entry.protocols, self.entry.predictions_digest)
        name = entry_id(*about, standing, None)
        entry: Entry = dataclasses.replace(
            self.entry, id=name, status=standing, model=model, scores=scores, rounded=rounded, shares=()
        )
        of_model = dataclasses.replace(
            self.receipt.statement.model, name=model.name, version=model.version, card=card_digest(model)
        )
        statement = dataclasses.replace(
            self.receipt.statement, model=of_model, scores=scores, rounded=rounded
        )
        place = self.folder / name
        place.mkdir(parents=True)
        write_json(place / "entry.json", to_json(entry))
        write_receipt(Receipt(statement, None, self.receipt.note), place / "receipt.json")
        return place


def _scores(result: Result, name: str) -> Scores:
    one = result.settings[name]
    pairs = (one.intervals.j, one.intervals.f, one.intervals.jf)
    return Scores(one.j, one.f, one.jf, *pairs, one.expressions, 0)
