"""Comparing results: paired differences, ties, and what is not comparable."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmark.compare import format_comparison, main
from benchmark.comparison import compare_results
from benchmark.errors import ResultError, UsageError
from benchmark.result_files import write_result
from benchmark.results import ProtocolFacts, Result, sealed
from benchmark.types import AdapterInfo
from tests.benchmark.tiny_clips import (
    ACTOR_ONLY,
    empty_answers,
    oracle_answers,
    random_answers,
    scored,
    tiny_dataset,
)

NAMES = ["oracle", "noisy", "empty", "actor-only", "noisy-again"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Results of five models on one dataset."""
    root = tmp_path_factory.mktemp("results")
    dataset = tiny_dataset(videos=6)
    answers = [
        oracle_answers(dataset),
        random_answers(dataset),
        empty_answers(dataset),
        oracle_answers(dataset),
    ]
    answers.append(answers[1])
    for name, stored in zip(NAMES, answers, strict=True):
        adapter = ACTOR_ONLY if name == "actor-only" else AdapterInfo(name.removesuffix("-again"), "1")
        write_result(scored(dataset, stored, adapter=adapter), root / name)
    return root


def paths(folder: Path, *names: str) -> list[Path]:
    return [folder / name for name in names]


def test_differences_are_those_of_the_headlines_with_an_interval_around(folder: Path) -> None:
    comparison = compare_results(paths(folder, "noisy", "oracle", "empty"))
    assert list(comparison.settings) == ["InterRVOS-Actor", "InterRVOS-Target", "RVOS"]
    for setting in comparison.settings.values():
        noisy, oracle, empty = setting.rows
        assert noisy.minus_first is None
        assert oracle.minus_first is not None
        assert empty.minus_first is not None
        assert oracle.minus_first.jf.difference == oracle.jf - noisy.jf  # type: ignore[operator]
        low, high = oracle.minus_first.jf.interval  # type: ignore[misc]
        assert 0 < low < oracle.minus_first.jf.difference < high
        assert oracle.minus_first.jf.tie is False
        assert oracle.minus_first.jf.share_above == 1.0


def test_intervals_are_those_of_the_results(folder: Path) -> None:
    stored = json.loads((folder / "noisy" / "result.json").read_text())
    comparison = compare_results(paths(folder, "oracle", "noisy"))
    for name, setting in comparison.settings.items():
        assert list(setting.rows[1].intervals.jf or ()) == stored["settings"][name]["intervals"]["J&F"]
        assert setting.rows[1].jf == stored["settings"][name]["J&F"]


def test_the_paired_difference_follows_from_the_two_tables(folder: Path) -> None:
    """Once more without the machinery: differences per expression, videos drawn, means, percentiles."""
    import csv

    def read(name: str) -> dict[tuple[str, str], tuple[float, float]]:
        with open(folder / name / "expressions.csv", encoding="utf-8", newline="") as file:
            rows = [row for row in csv.DictReader(file) if row["setting"] == "RVOS"]
        return {(row["video_id"], row["expression_id"]): (float(row["J"]), float(row["F"])) for row in rows}

    ours, theirs = read("oracle"), read("noisy")
    by_video: dict[str, list[float]] = {}
    for (video, expression), score in ours.items():
        by_video.setdefault(video, []).append(
            50 * sum(a - b for a, b in zip(score, theirs[video, expression], strict=True))
        )
    videos = sorted(by_video)
    means = []
    for drawn in np.random.default_rng(0).integers(0, len(videos), size=(9999, len(videos))):
        means.append(np.mean(np.concatenate([by_video[videos[index]] for index in drawn])))
    means.sort()
    found = compare_results(paths(folder, "noisy", "oracle")).settings["RVOS"].rows[1].minus_first
    assert found is not None
    assert found.jf.interval == pytest.approx((means[249], means[9749]), abs=1e-6)


def test_a_result_ties_with_its_copy_and_labels_stay_apart(folder: Path) -> None:
    comparison = compare_results(paths(folder, "noisy", "noisy-again"))
    assert list(comparison.results) == ["1: noisy 1", "2: noisy 1"]
    for setting in comparison.settings.values():
        found = setting.rows[1].minus_first
        assert found is not None
        assert (found.jf.difference, found.jf.interval, found.jf.tie) == (0, (0, 0), True)
    assert "tie" in format_comparison(comparison)


def test_a_model_without_targets_is_shown_with_dashes(folder: Path) -> None:
    comparison = compare_results(paths(folder, "noisy", "actor-only"))
    silent = comparison.settings["InterRVOS-Target"].rows[1]
    assert (silent.jf, silent.minus_first) == (None, None)
    line = next(one for one in format_comparison(comparison).splitlines() if one.startswith("actor-only"))
    assert "better" in line  # the Actor table comes first
    rows = [one for one in format_comparison(comparison).splitlines() if one.startswith("actor-only")]
    assert rows[1].split() == ["actor-only", "1.0", *["-"] * 7]


def test_the_table_fits_the_page_and_says_what_could_be_seen(folder: Path) -> None:
    text = format_comparison(compare_results(paths(folder, *NAMES)))
    assert max(len(line) for line in text.splitlines()) <= 100
    assert "would have been ties" in text
    assert "roles swapped" in text
    assert text.startswith("tiny val; differences are to oracle 1")


def written(result: Result, path: Path) -> Path:
    write_result(sealed(result), path)
    return path


def variant(tmp_path: Path, **changes: Any) -> list[Path]:
    dataset = tiny_dataset(videos=3)
    result = scored(dataset, random_answers(dataset))
    return [written(result, tmp_path / "a"), written(dataclasses.replace(result, **changes), tmp_path / "b")]


def test_other_data_is_refused_whatever_is_asked(tmp_path: Path) -> None:
    dataset = tiny_dataset(videos=3)
    result = scored(dataset, random_answers(dataset))
    sources = variant(tmp_path, dataset=dataclasses.replace(result.dataset, digest="e" * 64))
    for common in (False, True):
        with pytest.raises(ResultError, match="results on different data are not comparable"):
            compare_results(sources, common=common)


def test_other_rules_are_refused(tmp_path: Path) -> None:
    dataset = tiny_dataset(videos=3)
    result = scored(dataset, random_answers(dataset))
    protocols = {**result.protocols, "RVOS": ProtocolFacts(2, "f" * 64)}
    with pytest.raises(ResultError, match=r"different rules of RVOS.*expected version 1"):
        compare_results(variant(tmp_path, protocols=protocols))


def limited(tmp_path: Path, *limits: int) -> list[Path]:
    dataset = tiny_dataset(videos=4)
    sources = []
    for limit in limits:
        result = scored(dataset, random_answers(dataset), run={"limit": limit})
        sources.append(written(result, tmp_path / str(limit)))
    return sources


def test_other_expressions_are_refused_unless_only_common_ones_are_asked_for(tmp_path: Path) -> None:
    sources = limited(tmp_path, 19, 7)
    with pytest.raises(ResultError, match="expected the same 8 expressions; found 4, of which 4 are shared"):
        compare_results(sources)
    comparison = compare_results(sources, common=True)
    assert comparison.settings["RVOS"].expressions == 7
    assert comparison.settings["RVOS"].rows[1].minus_first.jf.difference == 0  # type: ignore[union-attr]
    assert "roles swapped" not in format_comparison(comparison)  # those rates are over all expressions


def test_nothing_in_common_is_refused(tmp_path: Path) -> None:
    dataset = tiny_dataset(videos=3)
    stored = random_answers(dataset)
    actor = written(scored(dataset, stored, ["actor"]), tmp_path / "actor")
    rvos = written(scored(dataset, stored, ["rvos"]), tmp_path / "rvos")
    with pytest.raises(ResultError, match="share no setting"):
        compare_results([actor, rvos])
    halves = []
    for index in (0, 1):
        half = dataclasses.replace(dataset, videos=dataset.videos[index : index + 1])
        halves.append(written(scored(half, stored), tmp_path / str(index)))
    with pytest.raises(ResultError, match="share no expression of InterRVOS-Actor"):
        compare_results(halves, common=True)


@pytest.mark.parametrize("sources", [[], ["noisy"]])
def test_one_result_alone_is_a_usage_error(folder: Path, sources: Sequence[str]) -> None:
    with pytest.raises(UsageError, match="two results or more"):
        compare_results(paths(folder, *sources))


def test_one_video_alone_gives_numbers_without_a_verdict(tmp_path: Path) -> None:
    comparison = compare_results(limited(tmp_path, 4, 5), common=True)
    row = comparison.settings["RVOS"].rows[1]
    assert row.minus_first is not None
    assert (row.minus_first.jf.interval, row.minus_first.jf.tie) == (None, None)
    assert " tie" not in format_comparison(comparison)


def test_the_command_prints_a_table_or_json(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = [str(path) for path in paths(folder, "oracle", "empty")]
    main(arguments)
    assert "worse" in capsys.readouterr().out
    main([*arguments, "--json", "--seed", "3"])
    comparison = json.loads(capsys.readouterr().out)
    assert comparison["seed"] == 3
    rows = comparison["settings"]["RVOS"]["rows"]
    assert rows[0]["J&F"] == 100
    assert rows[1]["minus_first"]["J&F"]["tie"] is False
