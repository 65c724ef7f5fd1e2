"""The digest of masks is one for every container, order and form, and differs when a mask does."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from benchmark.masks import encode_track, track_digest
from benchmark.types import MaskTrack, Status
from submissions import examples
from submissions.answers import (
    Answer,
    expression_digest,
    pack_answer,
    submission_digest,
    unpack_answer,
    video_digest,
)
from submissions.checking import check_submission
from tests.submissions.conftest import put

MASKS = arrays.arrays(bool, st.tuples(st.integers(1, 3), st.integers(1, 6), st.integers(1, 6)))
TRACKS = st.none() | MASKS.map(encode_track)


@settings(deadline=None)
@given(TRACKS, TRACKS)
def test_answers_survive_the_border_and_digest_as_masks_do(
    actor: MaskTrack | None, target: MaskTrack | None
) -> None:
    answer = Answer("a/b", "7", Status.OK, actor, target)
    assert unpack_answer(pack_answer(answer)) == answer
    inner = bytes.fromhex(track_digest(actor)) + bytes.fromhex(track_digest(target))
    assert expression_digest(answer) == hashlib.sha256(inner).digest()


def test_none_empty_failed_and_swapped_roles_differ() -> None:
    empty = MaskTrack(2, 2, (None,))
    full = encode_track(np.ones((1, 2, 2), bool))
    one = Answer("v", "0", Status.OK, full, None)
    others = [
        one,
        replace(one, target=empty),
        replace(one, actor=None, target=full),
        replace(one, actor=None),
        replace(one, actor=None, status=Status.TIMEOUT),
    ]
    assert len({expression_digest(other) for other in others}) == len(others)
    # Abstaining and answering without a mask are the same masks; so are all kinds of failure.
    same = replace(one, actor=None, status=Status.ABSTAIN)
    assert expression_digest(same) == expression_digest(replace(one, actor=None))
    failed = replace(one, actor=None, status=Status.OUT_OF_MEMORY)
    assert expression_digest(failed) == expression_digest(others[-1])


def test_order_does_not_matter_but_names_do() -> None:
    first, second = hashlib.sha256(b"1").digest(), hashlib.sha256(b"2").digest()
    assert video_digest({"0": first, "1": second}) == video_digest({"1": second, "0": first})
    assert video_digest({"0": first, "1": second}) != video_digest({"0": second, "1": first})
    assert submission_digest({"a": first.hex()}) != submission_digest({"b": first.hex()})


@pytest.mark.parametrize("data", [b"", b"1234567", pack_answer(examples.answers()[0])[:-1]])
def test_broken_answers_are_refused(data: bytes) -> None:
    with pytest.raises(ValueError):
        unpack_answer(data)


def test_accepted_forms_have_one_digest(tmp_path: Path) -> None:
    forms = {name: examples.passing()[name] for name in ("passing", "passing-png-annotations")}
    digests = {
        check_submission(put(tmp_path / f"{name}.zip", content), examples.EXPECTED).digest
        for name, content in forms.items()
    }
    assert len(digests) == 1 and None not in digests
