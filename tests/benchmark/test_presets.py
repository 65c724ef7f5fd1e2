"""Presets against what the evaluators of other projects printed for the same clips."""

from __future__ import annotations

import json
from copy import deepcopy
from dataclasses import replace
from functools import cache
from itertools import permutations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmark.errors import MaskError, PredictionError, ProtocolError, UsageError
from benchmark.masks import empty_track, encode_track
from benchmark.metrics import families
from benchmark.metrics.definition import boundary_radius
from benchmark.metrics.engines import mask_counts
from benchmark.metrics.object_tolerance import off_centre_disk
from benchmark.metrics.preset_rules import FOLDER, Preset, load_preset, preset_names, read_preset
from benchmark.metrics.preset_scores import (
    UnitScore,
    best_assignment,
    count_tracks,
    score_binary_track,
    score_index_maps,
    summarize,
)
from benchmark.metrics.scores import boundary_accuracy, region_similarity
from tests.benchmark.golden_clips import expression_clips, groups, index_clips, leaving_clips

GOLDEN: dict[str, Any] = json.loads((Path(__file__).parent / "golden/presets.json").read_text())
NAMES = (
    "davis-semi",
    "davis-unsup",
    "long-rvos",
    "mevis",
    "mosev2",
    "ref-sav",
    "revos",
    "sav",
    "vos-benchmark",
)


@cache
def index_units(name: str) -> tuple[UnitScore, ...]:
    preset, units = load_preset(name), []
    for clip in index_clips():
        answer = clip.proposals if name == "davis-unsup" else clip.predicted
        units += score_index_maps(preset, clip.name, clip.truth, answer)
    return tuple(units)


def expression_units(name: str, clips: int) -> list[UnitScore]:
    preset, units = load_preset(name), []
    for clip in expression_clips()[:clips]:
        kinds = groups(preset.groups or ("one",), len(clip.expressions))
        foreground = clip.instances.sum(axis=(0, 2, 3))
        for number, ids in enumerate(clip.expressions):
            truth = encode_track(clip.instances[list(ids)].any(axis=0))
            units.append(
                score_binary_track(
                    preset,
                    clip.name,
                    str(number),
                    truth,
                    encode_track(clip.predicted[number]),
                    group=kinds[number],
                    foreground_areas=foreground,
                )
            )
    return units


def test_the_presets_are_the_known_evaluators() -> None:
    assert preset_names() == NAMES
    for name in NAMES:
        assert load_preset(name).name == name
    with pytest.raises(UsageError, match="davis-semi"):
        load_preset("davis-semy")


@pytest.mark.parametrize("name", ["davis-semi", "davis-unsup"])
def test_davis(name: str) -> None:
    units = index_units(name)
    for measure, expected in deepcopy(GOLDEN[name]).items():
        values = [unit.measures[measure] for unit in units]
        if "decay" in measure:
            # The clip of 401 frames comes last; the script cuts its quarters in eight bits.
            assert abs(values.pop() - expected.pop()) > 1e-3
        if name == "davis-unsup":
            values, expected = sorted(values), sorted(expected)  # the script's order is that of proposals
        assert values == pytest.approx(expected, abs=1e-15 if "decay" in measure else 0)
    overall = summarize(load_preset(name), units).overall
    assert overall["F"] == pytest.approx(np.mean(GOLDEN[name]["F"]), abs=1e-15)


def test_decay_in_eight_bits_is_the_published_fault() -> None:
    preset, clip = load_preset("davis-semi"), index_clips()[-1]
    truth, predicted = clip.truth[1:-1] == 1, clip.predicted[1:-1] == 1
    counts = mask_counts(truth, predicted, boundary_radius(*truth.shape[1:]))
    j = region_similarity(counts)
    assert families.decay(j, davis2017_uint8_bins=True) == GOLDEN["davis-semi"]["J-decay"][-1]
    assert (
        families.decay(j) == score_index_maps(preset, "x", clip.truth, clip.predicted)[0].measures["J-decay"]
    )
    with pytest.raises(MaskError, match="eight-bit"):
        families.decay(np.ones(268), davis2017_uint8_bins=True)


def test_vos_benchmark() -> None:
    summary = summarize(load_preset("vos-benchmark"), index_units("vos-benchmark"))
    for measure in ("J", "F", "J&F"):
        assert 100 * summary.overall[measure] == pytest.approx(GOLDEN["vos-benchmark"][measure], abs=1e-12)
    assert summary.units == GOLDEN["vos-benchmark"]["objects"]


def test_sav() -> None:
    preset, units = load_preset("sav"), []
    for clip in expression_clips():
        for number, ids in enumerate(clip.expressions):
            truth = clip.instances[list(ids)].any(axis=0)
            tracks = (encode_track(truth), encode_track(clip.predicted[number]))
            if truth[1:-1].any():
                units.append(score_binary_track(preset, clip.name, str(number), *tracks))
            else:
                with pytest.raises(MaskError, match="never shows"):
                    score_binary_track(preset, clip.name, str(number), *tracks)
    summary = summarize(preset, units)
    for measure in ("J", "F", "J&F"):
        assert 100 * summary.overall[measure] == pytest.approx(GOLDEN["sav"][measure], abs=1e-12)
    assert summary.units == GOLDEN["sav"]["objects"]


def test_mevis() -> None:
    units = expression_units("mevis", 2)
    for measure in "JF":
        assert [unit.measures[measure] for unit in units] == GOLDEN["mevis"][measure]
        assert summarize(load_preset("mevis"), units).overall[measure] == np.mean(GOLDEN["mevis"][measure])


@pytest.mark.parametrize("name", ["revos", "ref-sav"])
def test_group_means(name: str) -> None:
    summary = summarize(load_preset(name), expression_units(name, 1))
    spelling = {"reasoning": "reason"}
    for group, means in (*summary.groups.items(), ("overall", summary.overall)):
        expected = GOLDEN[name][spelling.get(group, group)]
        assert set(means) == {measure.replace("JF", "J&F") for measure in expected}
        for measure, value in means.items():
            assert 100 * value == pytest.approx(expected[measure.replace("J&F", "JF")], abs=1e-10)


def test_the_two_revos_programs_agree_on_j_and_f_alone() -> None:
    """VISA's own numbers for both clips: J and F are ours, its A and R are not comparable."""
    summary = summarize(load_preset("revos"), expression_units("revos", 2))
    expected = GOLDEN["revos by VISA"]["overall"]
    for measure in "JF":
        assert 100 * summary.overall[measure] == pytest.approx(expected[measure], abs=1e-10)
    assert abs(100 * summary.overall["R"] - expected["R"]) > 5


def test_published_accuracy_and_robustness() -> None:
    for clip in expression_clips():
        foreground = clip.instances.sum(axis=(0, 2, 3))
        for number, ids in enumerate(clip.expressions):
            layers = clip.instances[list(ids)].sum(axis=0)
            predicted = clip.predicted[number]
            track = count_tracks(encode_track(layers > 0), encode_track(predicted))
            stacked = {
                depth: ((layers == depth) & predicted).sum(axis=(1, 2)) for depth in range(2, len(ids) + 1)
            }
            for script in families.SCRIPTS:
                expected = GOLDEN["frame measures"][f"{script} {clip.name} {number}"]
                a = families.published_pixel_accuracy(track, script, stacked)
                r = families.published_robustness(track, foreground, script, stacked)
                assert a.tolist() == expected["A"]
                assert r.tolist() == expected["R"]


def test_long_rvos() -> None:
    preset, units = load_preset("long-rvos"), expression_units("long-rvos", 2)
    for group, expected in GOLDEN["long-rvos"].items():
        for measure, values in expected.items():
            assert [unit.measures[measure] for unit in units if unit.group == group] == values
    summary = summarize(preset, units)
    every = np.concatenate([GOLDEN["long-rvos"][group]["vIoU"] for group in preset.groups])
    assert summary.overall["vIoU"] == pytest.approx(np.mean(every), abs=1e-15)
    assert set(summary.groups) == set(preset.groups)


def test_mosev2() -> None:
    preset, units = load_preset("mosev2"), {}
    for clip in (*index_clips(), *leaving_clips()):
        for unit in score_index_maps(preset, clip.name, clip.truth, clip.predicted):
            units[f"{clip.name} {unit.name}"] = unit
    assert units.keys() == GOLDEN["mosev2"].keys()
    for name, unit in units.items():
        assert unit.measures == GOLDEN["mosev2"][name]
    overall = summarize(preset, list(units.values())).overall
    for measure in preset.measures:
        found = [values[measure] for values in GOLDEN["mosev2"].values() if measure in values]
        assert 1 < len(found) <= len(units)
        assert overall[measure] == np.mean(found)
    for kind in ("", "-disappearance", "-reappearance"):
        assert overall[f"J&F{kind}"] == (overall[f"J{kind}"] + overall[f"F{kind}"]) / 2


def test_mosev2_as_it_is_meant() -> None:
    """The frame's own tolerance is a disk around its pixel; the published one lies off it."""
    meant = replace(load_preset("mosev2"), tolerance="object-size")
    clip, differs = leaving_clips()[0], []
    for number, own in enumerate(score_index_maps(meant, clip.name, clip.truth, clip.predicted), 1):
        truth, predicted = (maps[1:-1] == number for maps in (clip.truth, clip.predicted))
        usual = mask_counts(truth, predicted, boundary_radius(*truth.shape[1:]))
        assert own.measures["F-at-frame-tolerance"] == np.mean(boundary_accuracy(usual))
        published = GOLDEN["mosev2"][f"{clip.name} {number}"]
        differs.append(own.measures["F-at-frame-tolerance"] != published["F-at-frame-tolerance"])
        assert own.measures["J"] == published["J"]
    assert differs == [False, True, True]  # the first is small in every frame that shows it
    assert (
        sum(last - first + 1 for _, first, last in off_centre_disk(0.008 * float(np.hypot(480, 854)))) == 191
    )
    assert sum(last - first + 1 for _, first, last in off_centre_disk(8.0)) == 197


def test_mosev2_tolerance_follows_the_object() -> None:
    truth = np.zeros((3, 200, 300), np.uint8)
    truth[:, 50:60, 50:60] = 1  # 100 pixels: a tolerance of one, where the frame's is three
    predicted = np.roll(truth, 2, axis=2)
    (unit,) = score_index_maps(load_preset("mosev2"), "x", truth, predicted)
    counts = mask_counts(truth[1:2] == 1, predicted[1:2] == 1, 1)
    assert unit.measures["F"] == boundary_accuracy(counts)[0] < 1
    assert unit.measures["J"] == (8 * 10 + 1) / (12 * 10 + 1)
    track = encode_track(truth == 1)
    binary = score_binary_track(load_preset("mosev2"), "x", "1", track, track)
    assert binary.measures == {"J": 1.0, "F": 1.0, "F-at-frame-tolerance": 1.0}


def test_absent_things() -> None:
    track, nothing = encode_track(np.ones((4, 5, 6), bool)), empty_track(4, 5, 6)
    zero = score_binary_track(load_preset("mevis"), "v", "0", nothing, None)
    assert zero.missing and zero.measures == {"J": 0.0, "F": 0.0}
    other = score_binary_track(load_preset("revos"), "v", "0", track, track, group="no object")
    assert other.left_out
    with pytest.raises(PredictionError, match="missing"):
        score_binary_track(load_preset("sav"), "v", "0", track, None)
    with pytest.raises(MaskError, match="R needs"):
        score_binary_track(load_preset("revos"), "v", "0", track, track, group="reasoning")
    with pytest.raises(MaskError, match="no frame is left"):
        score_binary_track(load_preset("sav"), "v", "0", empty_track(2, 5, 6), empty_track(2, 5, 6))
    with pytest.raises(MaskError, match="nothing to average"):
        summarize(load_preset("mevis"), [])
    with pytest.raises(MaskError, match="found 1 units in groups none"):
        summarize(load_preset("revos"), [zero])
    mixed = summarize(load_preset("mevis"), [zero, other])
    assert (mixed.units, mixed.missing, mixed.left_out, mixed.frames) == (1, 1, 1, 4)


def test_wrong_index_maps() -> None:
    maps, semi = np.ones((4, 5, 6), np.uint8), load_preset("davis-semi")
    with pytest.raises(PredictionError, match="above the number of objects"):
        score_index_maps(semi, "v", maps, maps + 1)
    with pytest.raises(PredictionError, match="more proposals"):
        score_index_maps(load_preset("davis-unsup"), "v", maps, maps + 20)
    with pytest.raises(MaskError, match="differ in shape"):
        score_index_maps(semi, "v", maps, maps[1:])
    with pytest.raises(MaskError, match="uint8"):
        score_index_maps(semi, "v", maps, maps.astype(int))
    with pytest.raises(MaskError, match="binary tracks"):
        score_index_maps(load_preset("mevis"), "v", maps, maps)


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 5), st.integers(0, 2), st.integers(0, 10**6))
def test_assignment_is_the_best_of_all(rows: int, more: int, seed: int) -> None:
    gains = np.random.default_rng(seed).integers(0, 6, (rows, rows + more)) / 5
    chosen = best_assignment(gains)
    assert len(set(chosen)) == rows
    best = max(
        sum(gains[row, column] for row, column in enumerate(columns))
        for columns in permutations(range(rows + more), rows)
    )
    assert sum(gains[row, column] for row, column in enumerate(chosen)) == pytest.approx(best)


def test_damaged_preset_files(tmp_path: Path) -> None:
    text = (FOLDER / "revos.toml").read_text()
    path = tmp_path / "revos.toml"
    for old, new, message in (
        ("version = 1", "version = 0", "whole number"),
        ('frames = "all"', 'frames = "some"', "no such rule"),
        ('"R"]', '"Q"]', "nobody measures"),
        ('groups = ["referring", "reasoning"]', "groups = []", "needs 'groups'"),
        ('groups = ["referring", "reasoning"]', "groups = 3", "list of names"),
        ('name = "revos"', 'nam = ""', "unknown key"),
        ('summary = "', 'summary = ""\nother = "', "sentence or a name"),
        ("version = 1", "version =", "not readable TOML"),
    ):
        path.write_text(text.replace(old, new))
        with pytest.raises(ProtocolError, match=message):
            read_preset(path)
    path.write_text(text)
    assert isinstance(read_preset(path), Preset)
