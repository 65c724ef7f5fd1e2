"""Swapped roles, missed and false targets, on answers whose errors are known."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from benchmark.masks import empty_track
from benchmark.role_errors import ERRORS, Overlap, RoleOutcome, is_misplaced, overlap
from benchmark.types import Status
from tests.benchmark.tiny_clips import ACTOR_ONLY, answer, empty_answers, oracle_answers, scored, tiny_dataset


def test_the_oracle_makes_no_role_error() -> None:
    dataset = tiny_dataset()
    errors = scored(dataset, oracle_answers(dataset)).role_errors
    assert errors is not None
    assert (errors.role_swap.percent, errors.missed_target.percent, errors.false_target.percent) == (0, 0, 0)
    assert (errors.target_claimed.percent, errors.role_swap.of) == (100, 10)


def test_exchanged_roles_are_all_found() -> None:
    dataset = tiny_dataset()
    errors = scored(dataset, oracle_answers(dataset, swapped=True)).role_errors
    assert errors is not None
    assert (errors.role_swap.percent, errors.role_swap.count) == (100, 10)
    assert errors.role_swap.interval == (100, 100)


def test_one_wrong_role_alone_is_no_swap() -> None:
    """Actor and target both on the true actor: the actor is right, so roles are not exchanged."""
    dataset = tiny_dataset()
    stored = oracle_answers(dataset)
    for video in dataset.videos:
        for one in video.expressions:
            actor = dataset.truth(video, one.actor_ids)
            stored[video.video_id][one.expression_id] = answer(video, one, actor, actor)
    errors = scored(dataset, stored).role_errors
    assert errors is not None
    assert errors.role_swap.percent == 0


def test_targets_claimed_where_there_are_none_and_missed_where_there_are() -> None:
    dataset = tiny_dataset()
    stored = oracle_answers(dataset)
    box = dataset.tracks["0a"]
    clip = dataset.videos[0]
    stored["clip0"]["2"] = answer(clip, clip.expressions[2], box, box)  # false target
    stored["clip0"]["0"] = answer(clip, clip.expressions[0], box, None)  # missed
    stored["clip0"]["1"] = answer(clip, clip.expressions[1], box, empty_track(3, 18, 25))  # claimed, missed
    stored["clip1"]["0"] = answer(
        dataset.videos[1], dataset.videos[1].expressions[0], None, None, status=Status.TIMEOUT
    )
    del stored["clip1"]["1"]
    errors = scored(dataset, stored).role_errors
    assert errors is not None
    assert (errors.false_target.count, errors.false_target.of) == (1, 13)
    assert (errors.missed_target.count, errors.missed_target.of) == (4, 10)
    assert (errors.target_claimed.count, errors.target_claimed.of) == (7, 10)
    assert errors.role_swap.of == 6


def test_a_model_without_targets_has_no_role_errors_and_no_target_score() -> None:
    dataset = tiny_dataset()
    result = scored(dataset, oracle_answers(dataset), adapter=ACTOR_ONLY)
    assert result.role_errors is None
    target = result.settings["InterRVOS-Target"]
    assert (target.j, target.f, target.jf, target.intervals.jf) == (None, None, None, None)
    assert target.undefined == "the model never predicts targets"
    assert target.expressions == 10
    assert result.settings["InterRVOS-Actor"].jf == 100


def test_rates_without_anybody_asked_are_absent() -> None:
    dataset = tiny_dataset()
    errors = scored(dataset, empty_answers(dataset)).role_errors
    assert errors is not None
    assert (errors.role_swap.percent, errors.role_swap.of, errors.role_swap.interval) == (None, 0, None)


def test_overlap_pools_the_frames_of_a_clip() -> None:
    counts = np.array([[3, 4, 0, 0, 0, 0], [0, 6, 0, 0, 0, 0]])
    assert overlap(counts) == Overlap(3, 10)


whole = st.integers(0, 10**6)


@given(st.tuples(whole, whole), st.tuples(whole, whole))
def test_comparing_overlaps_is_comparing_ratios(first: tuple[int, int], second: tuple[int, int]) -> None:
    one, two = (Overlap(min(pair), max(pair)) for pair in (first, second))
    ratios = [each.shared / each.either if each.either else 0.0 for each in (one, two)]
    assert one.exceeds(two) == (ratios[0] > ratios[1])
    assert not (one.exceeds(two) and two.exceeds(one))


def test_a_tie_is_not_misplaced() -> None:
    half, none = Overlap(1, 2), Overlap(0, 0)
    assert not is_misplaced(half, half)
    assert not is_misplaced(none, none)
    assert is_misplaced(none, half)
    assert not is_misplaced(half, none)


def test_each_rate_asks_the_right_expressions() -> None:
    interaction = RoleOutcome(interaction=True, target_claimed=True, target_shown=False, swapped=None)
    plain = RoleOutcome(interaction=False, target_claimed=True, target_shown=True, swapped=None)
    assert {name: rule(interaction) for name, rule in ERRORS.items()} == {
        "role_swap": None,
        "missed_target": True,
        "false_target": None,
        "target_claimed": True,
    }
    assert {name: rule(plain) for name, rule in ERRORS.items()} == {
        "role_swap": None,
        "missed_target": None,
        "false_target": True,
        "target_claimed": None,
    }
