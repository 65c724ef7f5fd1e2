"""How hard an expression is, in tags that results are broken down by.

`participants` are all actors and targets of the expression:

    looks-distinct         no two objects of the clip share a colour
    shares-colour          an object that does not take part has the colour of a participant
    shares-shape           an object that does not take part has the shape of a participant
    roles-share-colour     interaction; two participants have one colour
    one-role-unnamed       interaction; some but not all participants are called just "object"
    both-roles-unnamed     interaction; every participant is called just "object"
    two-targets            interaction; the expression has two targets
    small                  a participant is of the small size (radius below 7 pixels)
    occluded               in some frame, other objects hide at least a quarter of a participant
    enters-or-leaves       a participant is wholly outside the picture in some frame
    three-or-more-objects  the clip has at least three objects
    held-out-look          a participant has a colour and shape that never meet in the train split
    held-out-pairing       interaction; colours of agent and patient never interact in the train split
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import permutations

from benchmark.datasets.synthetic.looks import is_held_out_pairing
from benchmark.datasets.synthetic.observations import Observation
from benchmark.datasets.synthetic.phrases import Phrase
from benchmark.datasets.synthetic.scenes import Interaction

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


def interaction_tags(seen: Observation, interaction: Interaction, phrases: Sequence[Phrase]) -> set[str]:
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


def common_tags(seen: Observation, participants: Sequence[int]) -> set[str]:
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


def in_order(tags: set[str]) -> tuple[str, ...]:
    return tuple(tag for tag in TAGS if tag in tags)
