"""Clips of interrvos-synthetic: the same everywhere, masks exact, sentences true and unambiguous."""

from __future__ import annotations

import hashlib
from collections import Counter
from functools import cache

import numpy as np
import pytest

from benchmark.datasets.synthetic import (
    FRAMES,
    HEIGHT,
    HELD_OUT_LOOKS,
    HELD_OUT_PAIRINGS,
    SPLIT_SIZES,
    TAGS,
    VOCABULARY,
    WIDTH,
    SyntheticClip,
    SyntheticExpression,
    clip,
    clip_digest,
)
from benchmark.datasets.synthetic.looks import COLOURS, SHAPES
from benchmark.datasets.synthetic.phrases import MUTUAL_SENTENCES, VOICES
from benchmark.datasets.synthetic.rendering import contains
from benchmark.datasets.synthetic.scenes import STEPS
from benchmark.errors import UsageError

# A change of either digest changes every score and every trained model: it needs a new generator version.
GOLDEN_DIGESTS = {
    "val": "606e217e1cfdc91547a972dc040e1603cad4bfbae9b6f2994ec26dd68f20a1ae",
    "train": "ecc528c7a8e8995ba15ef24e009dba805668f480f39af5be078ede93f363d86f",
}
CLIPS = 64


@cache
def clips(split: str) -> tuple[SyntheticClip, ...]:
    return tuple(clip(split, index) for index in range(CLIPS))


def all_expressions(split: str) -> list[tuple[SyntheticClip, SyntheticExpression]]:
    return [(each, expression) for each in clips(split) for expression in each.expressions]


@pytest.mark.parametrize("split", ["val", "train"])
def test_masks_and_sentences_are_the_published_ones(split: str) -> None:
    digest = hashlib.sha256()
    for each in clips(split):
        digest.update(clip_digest(each).encode())
    assert digest.hexdigest() == GOLDEN_DIGESTS[split]


def test_a_clip_does_not_depend_on_what_was_rendered_before() -> None:
    again = clip("val", 5)
    assert clip_digest(again) == clip_digest(clips("val")[5])
    np.testing.assert_array_equal(again.frames, clips("val")[5].frames)
    assert clip_digest(clip("train", 5)) != clip_digest(again)


def test_shapes_and_types() -> None:
    for each in clips("val"):
        count = len(each.objects)
        assert 2 <= count <= 5
        assert each.frames.shape == (FRAMES, HEIGHT, WIDTH, 3) and each.frames.dtype == np.uint8
        assert each.masks.shape == (count, FRAMES, HEIGHT, WIDTH) and each.masks.dtype == np.bool_
        assert len({(look.colour, look.shape, look.texture) for look in each.objects}) == count
    assert SPLIT_SIZES["val"] == CLIPS


@pytest.mark.parametrize("index", [0, 15, 36])
def test_a_pixel_belongs_to_the_topmost_object_at_its_centre(index: int) -> None:
    shown = clip("val", index)
    order = sorted(range(len(shown.objects)), key=lambda i: -shown.scene.objects[i].layer)
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH].astype(np.int32) * STEPS + STEPS // 2
    for t in range(FRAMES):
        free = np.ones((HEIGHT, WIDTH), bool)
        for place in order:
            thing = shown.scene.objects[place]
            centre_x, centre_y = thing.centres[t]
            inside = contains(thing.look.shape, x - centre_x, y - centre_y, thing.radius)
            np.testing.assert_array_equal(shown.masks[place, t], inside & free)
            free &= ~inside


@pytest.mark.parametrize("shape", SHAPES)
def test_shapes_of_one_radius_are_about_equally_large_and_mirror_symmetric(shape: str) -> None:
    radius = 11 * STEPS
    y, x = np.mgrid[-20 * STEPS : 20 * STEPS + 1, -20 * STEPS : 20 * STEPS + 1].astype(np.int32)
    inside = contains(shape, x, y, radius)
    assert 0.8 < inside.sum() / (np.pi * radius**2) < 1.05
    np.testing.assert_array_equal(inside, inside[:, ::-1])
    reach = np.abs(np.argwhere(inside) - 20 * STEPS).max()
    assert reach <= radius * 5 / 4, "patches would cut the shape off"


def test_the_interior_of_a_plain_object_has_its_colour() -> None:
    seen = 0
    for each in clips("val"):
        for place, look in enumerate(each.objects):
            mask = each.masks[place, 0]
            inner = mask.copy()
            for axis in (0, 1):
                for step in (-2, 2):
                    inner &= np.roll(mask, step, axis)
            inner[:2] = inner[-2:] = False
            inner[:, :2] = inner[:, -2:] = False
            if look.texture == "plain" and look.shape == "square" and inner.any():
                assert (each.frames[0][inner] == COLOURS[look.colour]).all(axis=-1).mean() > 0.6
                seen += 1
    assert seen > 5


def test_everything_that_can_be_said_is_said_in_val() -> None:
    words = {word for _, e in all_expressions("val") for word in e.text.split()}
    assert set(VOCABULARY) - {"discs", "squares", "triangles", "crosses"} <= words <= set(VOCABULARY)
    assert {tag for _, e in all_expressions("val") for tag in e.tags} == set(TAGS)
    kinds = Counter(e.caption_type for _, e in all_expressions("val"))
    assert set(kinds) == {"single", "multi", "bidirectional", "unidirectional"}
    verbs = Counter(i.verb for each in clips("val") for i in each.scene.interactions)
    assert set(verbs) == {*VOICES, *MUTUAL_SENTENCES}
    assert min(verbs[verb] for verb in VOICES) >= 5
    for sentence in ("moving left", "staying in place", "entering the picture", "leaving the picture"):
        assert any(e.text.endswith(sentence) for _, e in all_expressions("val")), sentence


def test_the_vocabulary_is_closed_and_holds_no_word_too_many() -> None:
    words = {word for _, e in all_expressions("train") + all_expressions("val") for word in e.text.split()}
    assert words == set(VOCABULARY)
    assert list(VOCABULARY) == sorted(VOCABULARY)
    assert all(word.isalpha() and word.islower() for word in VOCABULARY)


def test_shares_of_kinds_and_tags() -> None:
    for split in ("val", "train"):
        expressions = [e for _, e in all_expressions(split)]
        interactions = [e for e in expressions if e.targets]
        assert 0.55 < len(interactions) / len(expressions) < 0.65
        assert sum("looks-distinct" in e.tags for e in interactions) > 0.4 * len(interactions)
        assert sum("one-role-unnamed" in e.tags for e in interactions) > 0.2 * len(interactions)
    assert {len(each.objects) for each in clips("val")} == {2, 3, 4, 5}


def test_actors_are_never_targets_and_roles_follow_the_caption_type() -> None:
    for each, e in all_expressions("train"):
        assert e.actors and not set(e.actors) & set(e.targets)
        assert set(e.actors + e.targets) <= set(range(len(each.objects)))
        assert bool(e.targets) == (e.caption_type == "unidirectional")
        assert (len(e.actors) == 1) == (e.caption_type in ("single", "unidirectional"))
        assert len({other.text for other in each.expressions}) == len(each.expressions)


def test_each_interaction_comes_in_both_voices_with_roles_swapped() -> None:
    for each in clips("val"):
        interactions = [e for e in each.expressions if e.targets]
        for active in (e for e in interactions if " being " not in e.text):
            members = set(active.actors + active.targets)
            passive = [
                e
                for e in interactions
                if " being " in e.text
                and set(e.actors + e.targets) == members
                and sorted(set(e.text.split()) & {*COLOURS, *SHAPES, "object"})
                == sorted(set(active.text.split()) & {*COLOURS, *SHAPES, "object"})
            ]
            assert passive, active.text
            for e in passive:
                assert e.actors != active.actors
                assert active.actors[0] in e.targets and e.actors[0] in active.targets


def test_the_actor_is_the_grammatical_subject() -> None:
    for each, e in all_expressions("val"):
        first = e.text.split(" being ")[0].split(" and ")[0].split()
        look = each.objects[e.actors[0]]
        for word in first[: next((k for k, w in enumerate(first) if w.endswith("ing")), len(first))]:
            if e.caption_type in ("unidirectional", "bidirectional") or " and " in e.text:
                assert word in (look.colour, look.shape, look.texture, look.size, "object"), e.text


def test_two_targets_are_handed_from_one_to_the_other() -> None:
    handed = [(each, e) for each, e in all_expressions("val") if "two-targets" in e.tags]
    assert handed
    for each, e in handed:
        interaction = next(i for i in each.scene.interactions if i.verb == "handing")
        if " being " not in e.text:
            assert (e.actors, e.targets) == ((interaction.agent,), interaction.patients)
        assert len(e.targets) == 2


def fits(word: str, look: object) -> bool:
    values = [getattr(look, name) for name in ("colour", "shape", "texture", "size")]
    return word in values or word == "object"


def test_a_named_look_without_motion_or_interaction_fits_exactly_its_object() -> None:
    checked = 0
    for each, e in all_expressions("train"):
        if e.caption_type == "single" and not e.text.split()[-1].endswith(("left", "right", "up", "down")):
            if e.text.endswith(("place", "picture")):
                continue
            fitting = [k for k, o in enumerate(each.objects) if all(fits(w, o) for w in e.text.split())]
            assert fitting == list(e.actors), e.text
            checked += 1
    assert checked > 50


def test_an_interaction_sentence_fits_exactly_one_interaction() -> None:
    for each, e in all_expressions("train"):
        if e.targets:
            stem = next(v for v in VOICES if any(s in f" {e.text} " for s in marks(v)))
            same = [i for i in each.scene.interactions if i.verb == stem]
            assert len(same) == 1 and set(same[0].participants) == {*e.actors, *e.targets}


def marks(verb: str) -> list[str]:
    return [f" {sentence.replace('{}', '').split('  ')[0].strip()} " for sentence, _ in VOICES[verb]]


def test_tags_say_what_their_definition_says() -> None:
    for each, e in all_expressions("val"):
        tags, members = set(e.tags), [*e.actors, *e.targets]
        looks = [each.objects[k] for k in members]
        others = [look for k, look in enumerate(each.objects) if k not in members]
        colours = [look.colour for look in each.objects]
        assert ("looks-distinct" in tags) == (len(set(colours)) == len(colours))
        assert ("shares-colour" in tags) == any(o.colour == m.colour for o in others for m in looks)
        assert ("shares-shape" in tags) == any(o.shape == m.shape for o in others for m in looks)
        assert ("small" in tags) == any(each.scene.objects[k].radius < 7 * STEPS for k in members)
        assert ("three-or-more-objects" in tags) == (len(colours) >= 3)
        assert ("two-targets" in tags) == (len(e.targets) == 2)
        assert ("held-out-look" in tags) == any((m.colour, m.shape) in HELD_OUT_LOOKS for m in looks)
        if e.targets:
            nouns = [w for w in e.text.split() if w in (*SHAPES, "object")]
            bare = nouns.count("object")
            assert ("both-roles-unnamed" in tags) == (bare == len(nouns))
            assert ("one-role-unnamed" in tags) == (0 < bare < len(nouns))
            assert ("roles-share-colour" in tags) == (len({m.colour for m in looks}) < len(looks))
        if "enters-or-leaves" in tags:
            assert any((~each.masks[k].any(axis=(1, 2))).any() for k in members)
        assert list(e.tags) == [tag for tag in TAGS if tag in tags]


def test_held_out_combinations_are_never_trained_and_all_occur_in_val() -> None:
    for each in clips("train"):
        assert not {(look.colour, look.shape) for look in each.objects} & HELD_OUT_LOOKS
        assert not interacting_colours(each) & HELD_OUT_PAIRINGS
    assert {look.colour for each in clips("train") for look in each.objects} == set(COLOURS)
    assert {look.shape for each in clips("train") for look in each.objects} == set(SHAPES)
    in_val = {(look.colour, look.shape) for each in clips("val") for look in each.objects}
    assert in_val >= HELD_OUT_LOOKS
    assert set().union(*(interacting_colours(each) for each in clips("val"))) >= HELD_OUT_PAIRINGS


def interacting_colours(shown: SyntheticClip) -> set[frozenset[str]]:
    return {
        frozenset({shown.objects[i.agent].colour, shown.objects[patient].colour})
        for i in shown.scene.interactions
        for patient in i.patients
    }


def test_every_meant_object_is_seen_in_several_frames() -> None:
    for split in ("train", "val"):
        for each, e in all_expressions(split):
            for k in (*e.actors, *e.targets):
                assert (each.masks[k].sum(axis=(1, 2)) >= 12).sum() >= 3


def test_objects_enter_leave_and_hide_each_other() -> None:
    present = [each.masks.any(axis=(2, 3)) for each in clips("val")]
    assert any((~p[:, 0] & p[:, -1]).any() for p in present)
    assert any((p[:, 0] & ~p[:, -1]).any() for p in present)
    assert sum("occluded" in e.tags for _, e in all_expressions("val")) > 20


def test_an_unknown_split_and_a_negative_index_are_refused() -> None:
    with pytest.raises(UsageError, match=r"has no split 'test'; expected train or val; found test"):
        clip("test", 0)
    with pytest.raises(UsageError, match="index cannot be negative; found -1"):
        clip("val", -1)
