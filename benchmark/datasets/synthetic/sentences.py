"""Expressions about a rendered scene: sentences, and whom they mean.

A sentence is kept only if it fits the clip in exactly one way. For interactions that means: exactly one
interaction of the clip has this verb and participants that fit the phrases; so "disc pushing square"
may be said where there are two discs, as long as one of them pushes. For other sentences the phrases
alone, with the motion that is named, must fit exactly the objects that are meant.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from benchmark.datasets.synthetic.draws import chance, pick, pick_weighted, shuffled
from benchmark.datasets.synthetic.looks import COLOURS, SHAPES
from benchmark.datasets.synthetic.observations import DEEDS, Observation, nearly
from benchmark.datasets.synthetic.phrases import BARE, MUTUAL_SENTENCES, PLURALS, VOICES, Phrase
from benchmark.datasets.synthetic.scenes import Interaction
from benchmark.datasets.synthetic.tags import common_tags, in_order, interaction_tags

#: how participants are named: exact appearance, class alone, or "object" for some or for all
NAMINGS = (
    ("appearance", 0.40),
    ("class", 0.15),
    ("agent unnamed", 0.16),
    ("patients unnamed", 0.16),
    ("all unnamed", 0.13),
)


@dataclass(frozen=True, slots=True)
class SyntheticExpression:
    """A sentence and the objects it means, as indices into the masks of its clip."""

    text: str
    caption_type: str
    actors: tuple[int, ...]
    targets: tuple[int, ...]
    tags: tuple[str, ...]


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
    tags = interaction_tags(seen, interaction, phrases) | common_tags(seen, interaction.participants)
    return SyntheticExpression(text, "unidirectional", (subject,), tuple(objects), in_order(tags))


def _mutual_expressions(
    rng: np.random.Generator, seen: Observation, interaction: Interaction
) -> list[SyntheticExpression]:
    """A mutual interaction named by appearance and, where that leaves no doubt, by class."""
    sentence = MUTUAL_SENTENCES[interaction.verb]
    pair = shuffled(rng, interaction.participants)
    tags = in_order(common_tags(seen, interaction.participants))
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
        for what, does in DEEDS.items():
            if not does(seen, index):
                continue
            shape = Phrase(shape=seen.looks[index].shape)
            phrase = pick(rng, (BARE, shape, _appearance(rng, seen, index)))
            rivals = [other for other in seen.fitting(phrase) if other != index]
            if not any(nearly(what, seen, other) for other in rivals):
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
    return SyntheticExpression(text, kind, actors, (), in_order(common_tags(seen, actors)))
