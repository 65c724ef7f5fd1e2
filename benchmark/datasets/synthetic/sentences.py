"""Expressions about a rendered scene: sentences, whom they mean, and how hard they are.

A sentence is kept only if it fits the clip in exactly one way. For interactions that means: exactly one
interaction of the clip has this verb and participants that fit the phrases; so "disc pushing square"
may be said where there are two discs, as long as one of them pushes. For other sentences the phrases
alone, with the motion that is named, must fit exactly the objects that are meant.

Difficulty tags, `participants` being all actors and targets of the expression:

    looks-distinct         no two objects of the clip share a colour
    shares-colour          an object that does not take part has the colour of a participant
    shares-shape           an object that does not take part has the shape of a participant
    roles-share-colour     an actor and a target have one colour
    one-role-unnamed       interaction; some but not all participants are called just "object"
    both-roles-unnamed     interaction; every participant is called just "object"
    two-targets            interaction; the expression has two targets
    small                  a participant is of the small size (radius below 7 pixels)
    occluded               in some frame, other objects hide at least a quarter of a participant
    enters-or-leaves       a participant is wholly outside the picture in some frame
    three-or-more-objects  the clip has at least three objects
    held-out-look          a participant has a colour and shape that never meet in the train split
    held-out-pairing       interaction; colours of its pair never interact in the train split
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import permutations

import numpy as np
from numpy.typing import NDArray

from benchmark.datasets.synthetic.draws import chance, pick, pick_weighted, shuffled
from benchmark.datasets.synthetic.looks import (
    COLOURS,
    SHAPES,
    SIZES,
    TEXTURES,
    ObjectLook,
    is_held_out_pairing,
)
from benchmark.datasets.synthetic.rendering import Rendering
from benchmark.datasets.synthetic.scenes import STEPS, Interaction, Scene

TAGS = (
    "looks-distinct",
    "shares-colour",
    "shares-shape",
    "roles-share-colour",
    "one-role-unnamed",
    "both-roles-unnamed",
    "two-targets",
    "small",
    "occluded",
    "enters-or-leaves",
    "three-or-more-objects",
    "held-out-look",
    "held-out-pairing",
)

#: verb -> (sentence, order in which its phrases name the participants) in each voice. The first one
#: named is the grammatical subject and so the actor; the others are targets. 0 is the agent.
VOICES: dict[str, tuple[tuple[str, tuple[int, ...]], ...]] = {
    "pushing": (("{} pushing {}", (0, 1)), ("{} being pushed by {}", (1, 0))),
    "pulling": (("{} pulling {}", (0, 1)), ("{} being pulled by {}", (1, 0))),
    "chasing": (("{} chasing {}", (0, 1)), ("{} being chased by {}", (1, 0))),
    "hitting": (("{} hitting {}", (0, 1)), ("{} being hit by {}", (1, 0))),
    "carrying": (("{} carrying {}", (0, 1)), ("{} being carried by {}", (1, 0))),
    "circling": (("{} circling {}", (0, 1)), ("{} being circled by {}", (1, 0))),
    "covering": (("{} covering {}", (0, 1)), ("{} being covered by {}", (1, 0))),
    "handing": (
        ("{} handing {} to {}", (0, 1, 2)),
        ("{} being handed to {} by {}", (1, 2, 0)),
        ("{} being handed {} by {}", (2, 1, 0)),
    ),
}
MUTUAL_SENTENCES = {
    "colliding": "{} and {} colliding",
    "swapping": "{} and {} swapping places",
    "orbiting": "{} and {} circling each other",
}
PLURALS = {"disc": "discs", "square": "squares", "triangle": "triangles", "cross": "crosses"}
MOVES = ("moving left", "moving right", "moving up", "moving down")
PLACES = ("staying in place", "entering the picture", "leaving the picture")

#: every word that a sentence can contain, sorted
VOCABULARY: tuple[str, ...] = tuple(
    sorted(
        {"object", "objects", "all", "and", *COLOURS, *SHAPES, *PLURALS.values(), *TEXTURES, *SIZES}
        | {
            word
            for voices in VOICES.values()
            for sentence, _ in voices
            for word in sentence.replace("{}", "").split()
        }
        | {word for text in MUTUAL_SENTENCES.values() for word in text.replace("{}", "").split()}
        | {word for text in MOVES + PLACES for word in text.split()}
    )
)

#: how participants are named: exact appearance, class alone, or "object" for some or for all
NAMINGS = (
    ("appearance", 0.40),
    ("class", 0.15),
    ("agent unnamed", 0.16),
    ("patients unnamed", 0.16),
    ("all unnamed", 0.13),
)

STILL_PIXELS = 2.5  # an object that never gets farther from its start stays in place
TRAVEL_PIXELS = 14.0  # shortest way that is called moving in a direction
HINT_PIXELS = 5.0  # another object going this far in the same direction makes the sentence doubtful
SEEN_PIXELS = 12  # an object counts as visible in a frame from this many pixels on
SEEN_FRAMES = 3  # and can be meant by an expression if visible in this many frames


@dataclass(frozen=True, slots=True)
class SyntheticExpression:
    """A sentence and the objects it means, as indices into the masks of its clip."""

    text: str
    caption_type: str
    actors: tuple[int, ...]
    targets: tuple[int, ...]
    tags: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Phrase:
    """Words for an object, and the properties they claim; `None` claims nothing."""

    colour: str | None = None
    shape: str | None = None
    texture: str | None = None
    size: str | None = None

    @property
    def words(self) -> str:
        """For example "small red striped disc"; "object" where no shape is named."""
        named = (self.size, self.colour, self.texture, self.shape or "object")
        return " ".join(word for word in named if word)

    @property
    def is_bare(self) -> bool:
        """Whether it claims nothing at all."""
        return self == BARE

    def fits(self, look: ObjectLook) -> bool:
        """Whether an object of this look may be called so."""
        return (
            self.colour in (None, look.colour)
            and self.shape in (None, look.shape)
            and self.texture in (None, look.texture)
            and self.size in (None, look.size)
        )


BARE = Phrase()


@dataclass(frozen=True)
class Observation:
    """What can be said about a clip: its plan and what came out of rendering it."""

    scene: Scene
    looks: tuple[ObjectLook, ...]
    visible: NDArray[np.int64]  # (N, T) pixels
    unhidden: NDArray[np.int64]  # (N, T) pixels, before others hide them

    @property
    def nameable(self) -> tuple[int, ...]:
        """Objects seen long enough to be meant by an expression."""
        frames = (self.visible >= SEEN_PIXELS).sum(axis=1)
        return tuple(int(index) for index in np.flatnonzero(frames >= SEEN_FRAMES))

    def fitting(self, phrase: Phrase) -> list[int]:
        """Objects that may be called so."""
        return [index for index, look in enumerate(self.looks) if phrase.fits(look)]


def observe(scene: Scene, rendering: Rendering) -> Observation:
    """Collect what sentences depend on."""
    visible = np.count_nonzero(rendering.masks, axis=(2, 3))
    looks = tuple(thing.look for thing in scene.objects)
    return Observation(scene, looks, visible, rendering.unhidden_areas)


def write_expressions(
    rng: np.random.Generator, observation: Observation, wanted: int
) -> tuple[SyntheticExpression, ...]:
    """At most `wanted` different expressions; about two of three are interactions where there is one."""
    mutual: list[SyntheticExpression] = []
    rounds: list[list[SyntheticExpression]] = []  # one naming in both voices each
    for interaction in observation.scene.interactions:
        if not set(interaction.participants) <= set(observation.nameable):
            continue
        if interaction.is_mutual:
            mutual += _mutual_expressions(rng, observation, interaction)
        else:
            rounds += _interaction_rounds(rng, observation, interaction)
    if len(observation.scene.interactions) > 1:
        rounds = shuffled(rng, rounds)
    chosen = [expression for both in rounds[: round(0.65 * wanted / 2)] for expression in both]
    others = mutual[: wanted // 3] + _plain_expressions(rng, observation)
    different = {expression.text: expression for expression in chosen + others}
    return tuple(different.values())[:wanted]


def _interaction_rounds(
    rng: np.random.Generator, seen: Observation, interaction: Interaction
) -> list[list[SyntheticExpression]]:
    """Both voices of an interaction, once for every way of naming that leaves no doubt."""
    voices = VOICES[interaction.verb]
    rounds = []
    for naming in _weighted_order(rng, NAMINGS):
        phrases = _name_participants(rng, seen, interaction, naming)
        if phrases is None or not _denotes_one(seen, interaction, phrases):
            continue
        spoken = [voices[0], pick(rng, voices[1:])]
        rounds.append([_say(seen, interaction, phrases, *voice) for voice in spoken])
    return rounds


def _weighted_order(rng: np.random.Generator, items: Sequence[tuple[str, float]]) -> list[str]:
    left, order = list(items), []
    while left:
        chosen = pick_weighted(rng, left)
        order.append(chosen)
        left = [item for item in left if item[0] != chosen]
    return order


def _name_participants(
    rng: np.random.Generator, seen: Observation, interaction: Interaction, naming: str
) -> list[Phrase] | None:
    """Phrases in the order agent, patients; `None` where a unique appearance was asked and there is none."""
    if naming == "all unnamed":
        return [BARE] * len(interaction.participants)
    if naming == "class":
        return [Phrase(shape=seen.looks[index].shape) for index in interaction.participants]
    phrases: list[Phrase] = []
    for place, index in enumerate(interaction.participants):
        unnamed = naming == ("agent unnamed" if place == 0 else "patients unnamed")
        phrases.append(BARE if unnamed else _appearance(rng, seen, index))
    return phrases


def _appearance(rng: np.random.Generator, seen: Observation, index: int) -> Phrase:
    """Colour and shape, with the texture where needed and sometimes where not."""
    look = seen.looks[index]
    brief = Phrase(colour=look.colour, shape=look.shape)
    full = Phrase(colour=look.colour, shape=look.shape, texture=look.texture)
    return full if len(seen.fitting(brief)) > 1 or chance(rng, 0.2) else brief


def _denotes_one(seen: Observation, interaction: Interaction, phrases: Sequence[Phrase]) -> bool:
    """Whether exactly one interaction of this verb has participants that fit the phrases."""
    fitting = [
        other
        for other in seen.scene.interactions
        if other.verb == interaction.verb
        and all(
            phrase.fits(seen.looks[index]) for phrase, index in zip(phrases, other.participants, strict=True)
        )
    ]
    return fitting == [interaction]


def _say(
    seen: Observation,
    interaction: Interaction,
    phrases: Sequence[Phrase],
    sentence: str,
    order: tuple[int, ...],
) -> SyntheticExpression:
    text = sentence.format(*(phrases[place].words for place in order))
    subject, *objects = (interaction.participants[place] for place in order)
    tags = _interaction_tags(seen, interaction, phrases) | _common_tags(seen, interaction.participants)
    return SyntheticExpression(text, "unidirectional", (subject,), tuple(objects), _in_order(tags))


def _mutual_expressions(
    rng: np.random.Generator, seen: Observation, interaction: Interaction
) -> list[SyntheticExpression]:
    """A mutual interaction named by appearance and, where that leaves no doubt, by class."""
    sentence = MUTUAL_SENTENCES[interaction.verb]
    pair = shuffled(rng, interaction.participants)
    tags = _in_order(_common_tags(seen, interaction.participants))
    texts = [sentence.format(*(_appearance(rng, seen, index).words for index in pair))]
    # Only one mutual interaction is in a clip, so classes cannot be mistaken.
    texts.append(sentence.format(*(seen.looks[index].shape for index in pair)))
    return [
        SyntheticExpression(text, "bidirectional", tuple(pair), (), tags) for text in shuffled(rng, texts)
    ]


def _plain_expressions(rng: np.random.Generator, seen: Observation) -> list[SyntheticExpression]:
    """Expressions without interaction in random order: `single` about two of three, then `multi`."""
    single = shuffled(rng, [*_appearance_expressions(rng, seen), *_motion_expressions(rng, seen)])
    if chance(rng, 0.5):  # entering and leaving are rare, so they go first (lists are emptied from the end)
        single.sort(key=lambda expression: expression.text.endswith("the picture"))
    multi = shuffled(rng, _multi_expressions(rng, seen))
    mixed = []
    while single or multi:
        source = multi if multi and (not single or chance(rng, 0.33)) else single
        mixed.append(source.pop())
    return mixed


def _appearance_expressions(rng: np.random.Generator, seen: Observation) -> list[SyntheticExpression]:
    found = []
    for index in seen.nameable:
        look = seen.looks[index]
        ways = (
            _appearance(rng, seen, index),
            Phrase(colour=look.colour),
            Phrase(size=look.size, colour=look.colour, shape=look.shape),
            Phrase(texture=look.texture, shape=look.shape),
        )
        phrase = pick(rng, ways)
        if seen.fitting(phrase) == [index]:
            found.append(_plain(seen, phrase.words, "single", (index,)))
    return found


def _motion_expressions(rng: np.random.Generator, seen: Observation) -> list[SyntheticExpression]:
    """What an object does alone, for an object named by appearance, by class, or not at all."""
    found = []
    for index in seen.nameable:
        for what, does in _DEEDS.items():
            if not does(seen, index):
                continue
            shape = Phrase(shape=seen.looks[index].shape)
            phrase = pick(rng, (BARE, shape, _appearance(rng, seen, index)))
            rivals = [other for other in seen.fitting(phrase) if other != index]
            if not any(_nearly(what, seen, other) for other in rivals):
                found.append(_plain(seen, f"{phrase.words} {what}", "single", (index,)))
    return found


def _multi_expressions(rng: np.random.Generator, seen: Observation) -> list[SyntheticExpression]:
    """Several objects at once: two by name, all of a shape, all of a colour, all."""
    found = []
    if len(seen.nameable) >= 2:
        pair = shuffled(rng, seen.nameable)[:2]
        words = " and ".join(_appearance(rng, seen, index).words for index in pair)
        found.append(_plain(seen, words, "multi", tuple(pair)))
    groups = [(f"all {PLURALS[shape]}", seen.fitting(Phrase(shape=shape))) for shape in SHAPES]
    groups += [(f"all {colour} objects", seen.fitting(Phrase(colour=colour))) for colour in COLOURS]
    groups.append(("all objects", seen.fitting(BARE)))
    for text, members in groups:
        if len(members) >= 2 and set(members) <= set(seen.nameable):
            found.append(_plain(seen, text, "multi", tuple(members)))
    return found


def _plain(seen: Observation, text: str, kind: str, actors: tuple[int, ...]) -> SyntheticExpression:
    return SyntheticExpression(text, kind, actors, (), _in_order(_common_tags(seen, actors)))


def _travel(seen: Observation, index: int) -> tuple[float, float]:
    centres = seen.scene.objects[index].centres
    way = (centres[-1] - centres[0]) / STEPS
    return float(way[0]), float(way[1])


def _farthest(seen: Observation, index: int) -> float:
    centres = seen.scene.objects[index].centres / STEPS
    return float(np.hypot(*(centres - centres[0]).T).max())


def _component(what: str, seen: Observation, index: int) -> float:
    """How far an object goes, in pixels, in the direction that a sentence names."""
    x, y = _travel(seen, index)
    return {"moving left": -x, "moving right": x, "moving up": -y, "moving down": y}[what]


def _moves(what: str) -> Callable[[Observation, int], bool]:
    def does(seen: Observation, index: int) -> bool:
        x, y = _travel(seen, index)
        ahead = _component(what, seen, index)
        return ahead >= TRAVEL_PIXELS and ahead >= 2 * min(abs(x), abs(y)) and ahead == max(abs(x), abs(y))

    return does


def _stays(seen: Observation, index: int) -> bool:
    return _farthest(seen, index) <= STILL_PIXELS


def _enters(seen: Observation, index: int) -> bool:
    return bool(seen.unhidden[index, 0] == 0 and seen.unhidden[index, -1] > 0)


def _leaves(seen: Observation, index: int) -> bool:
    return bool(seen.unhidden[index, 0] > 0 and seen.unhidden[index, -1] == 0)


_DEEDS: dict[str, Callable[[Observation, int], bool]] = {
    **{what: _moves(what) for what in MOVES},
    "staying in place": _stays,
    "entering the picture": _enters,
    "leaving the picture": _leaves,
}


def _nearly(what: str, seen: Observation, index: int) -> bool:
    """Whether a person might say this of an object too, so that the sentence would leave a doubt."""
    if what == "staying in place":
        return _farthest(seen, index) < TRAVEL_PIXELS
    if what in ("entering the picture", "leaving the picture"):
        end = 0 if what == "entering the picture" else -1
        return bool(seen.unhidden[index, end] < seen.unhidden[index].max())
    return _component(what, seen, index) > HINT_PIXELS


def _interaction_tags(seen: Observation, interaction: Interaction, phrases: Sequence[Phrase]) -> set[str]:
    bare = [phrase.is_bare for phrase in phrases]
    agent, *patients = (seen.looks[index] for index in interaction.participants)
    tags = {
        "both-roles-unnamed": all(bare),
        "one-role-unnamed": any(bare) and not all(bare),
        "two-targets": len(patients) > 1,
        "roles-share-colour": any(
            one.colour == other.colour for one, other in permutations((agent, *patients), 2)
        ),
        "held-out-pairing": any(is_held_out_pairing(agent, patient) for patient in patients),
    }
    return {tag for tag, holds in tags.items() if holds}


def _common_tags(seen: Observation, participants: Sequence[int]) -> set[str]:
    looks = [seen.looks[index] for index in participants]
    others = [look for index, look in enumerate(seen.looks) if index not in participants]
    area, visible = seen.unhidden[list(participants)], seen.visible[list(participants)]
    tags = {
        "looks-distinct": len({look.colour for look in seen.looks}) == len(seen.looks),
        "shares-colour": bool({look.colour for look in looks} & {look.colour for look in others}),
        "shares-shape": bool({look.shape for look in looks} & {look.shape for look in others}),
        "small": any(look.size == "small" for look in looks),
        "occluded": bool(((area - visible) * 4 >= area)[area > 0].any()),
        "enters-or-leaves": bool((area == 0).any()),
        "three-or-more-objects": len(seen.looks) >= 3,
        "held-out-look": any(look.is_held_out for look in looks),
    }
    return {tag for tag, holds in tags.items() if holds}


def _in_order(tags: set[str]) -> tuple[str, ...]:
    return tuple(tag for tag in TAGS if tag in tags)
