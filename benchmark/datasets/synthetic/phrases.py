"""The words of all sentences: phrases that name objects, and what sentences say about them."""

from __future__ import annotations

from dataclasses import dataclass

from benchmark.datasets.synthetic.looks import COLOURS, SHAPES, SIZES, TEXTURES, ObjectLook

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
