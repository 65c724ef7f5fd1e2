"""Weights that an adapter of this project's own environment is made of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from adapters.parts.checkpoints import folders_digest, requirement
from benchmark.adapter import Requirements

PACKAGES: Mapping[str, str] = {"torch": ">=2.6", "transformers": ">=5.3,<6", "safetensors": ""}
"""5.0 of transformers has a fault in Sam2Video's position encodings, 4.57 returns tuples."""


class Loaded(Protocol):
    """A part of a model that has been read."""

    @property
    def parameters(self) -> int:
        """Number of weights."""


@dataclass(frozen=True, slots=True)
class OpenWeights:
    """Names of the weights, each with its revision: folders, or names on the Hub."""

    named: tuple[tuple[str, str | None], ...]

    @property
    def names(self) -> tuple[str, ...]:
        """Without the revisions."""
        return tuple(name for name, _ in self.named)

    @property
    def digest(self) -> str | None:
        """Of the folders among them."""
        return folders_digest(*self.names)

    def parameters(self, *parts: Loaded | None) -> int | None:
        """Number of weights of the parts made of them; `None` until all are loaded."""
        found = [part.parameters for part in parts if part is not None]
        return sum(found) if len(found) == len(self.named) else None

    def requirements(
        self,
        environment: str = "this project's own, with the extra `models`; a GPU for released sizes",
        variables: Sequence[str] = (),
        setup: Sequence[str] = (),
    ) -> Requirements:
        """What must be there for them to be loaded.

        Args:
            environment: in words.
            variables: environment variables that must be set.
            setup: commands behind the one that brings the packages.
        """
        return Requirements(
            packages=PACKAGES,
            variables=tuple(variables),
            weights=tuple(requirement(name, revision) for name, revision in self.named),
            environment=environment,
            setup=("pip install -c constraints.txt -e '.[models]'", *setup),
        )
