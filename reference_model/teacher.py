"""Two training aids that never ship: a teacher that turns known objects into prompts, and a probe that
makes visual tokens name what lies under them.

A model that starts from nothing does not learn end to end: neither half gets a signal before the other
works. The teacher gives the mask decoder prompts that mean something, and gives the language model the
vectors that its tokens should become; the probe stands in for a pretrained vision tower. Recipes that
start from pretrained weights need neither.

Legend of shape suffixes:
    M described objects   R prompts (roles)   A attributes   C prompt width   B clips   F frames
    P visual tokens of a frame   D width   N objects   T frames of a clip   H, W source size
    X visual tokens of all clips
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from reference_model.training_data import TrainingClip, mean_places

ATTRIBUTES = ("colour", "shape", "texture", "size")
UNSAID = 0  # index of an attribute that the description leaves out
PLACE_WAVES = 3
MOVE_UNIT = 0.1


class ObjectTeacher(nn.Module):
    """Prompt vectors of objects whose looks and places are known.

    An object is described by its attributes and its mean place; each may be left out. Prompts of
    several objects are summed.
    """

    def __init__(self, values: Sequence[int], prompt_width: int, width: int = 128) -> None:
        super().__init__()
        self.attributes = nn.ModuleList(nn.Embedding(count + 1, width) for count in values)
        self.place = nn.Linear(4 * PLACE_WAVES, width)
        self.no_place = nn.Parameter(torch.zeros(width))
        self.mix = nn.Sequential(nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, prompt_width))

    def forward(self, attributes_MA: Tensor, places_M2: Tensor, placed_M: Tensor) -> Tensor:
        """Prompts (M, C) of single objects."""
        angles = places_M2[:, None] * torch.pi * 2.0 ** torch.arange(PLACE_WAVES)[:, None].to(places_M2)
        waves = torch.cat([angles.sin(), angles.cos()], -1).flatten(1)
        place = torch.where(placed_M[:, None], self.place(waves), self.no_place)
        looks = sum(table(attributes_MA[:, i]) for i, table in enumerate(self.attributes))
        prompts: Tensor = self.mix(looks + place)
        return prompts


class LookWords:
    """The words for looks that occur in a dataset, numbered; 0 stays free for "unsaid"."""

    def __init__(self, clips: Sequence[TrainingClip]) -> None:
        found = [{look[name] for clip in clips for look in clip.looks or ()} for name in ATTRIBUTES]
        self.words = [sorted(words) for words in found]
        self._number = [{word: i + 1 for i, word in enumerate(words)} for words in self.words]

    @property
    def counts(self) -> list[int]:
        """Number of words of each attribute."""
        return [len(words) for words in self.words]

    def describe(self, clip: TrainingClip) -> Tensor:
        """Attribute numbers (N, A) of the objects of a clip; all unsaid where looks are unknown."""
        looks = clip.looks
        if looks is None:
            return torch.zeros(len(clip.masks_NTHW), len(ATTRIBUTES), dtype=torch.long)
        return torch.tensor(
            [
                [table[look[name]] for name, table in zip(ATTRIBUTES, self._number, strict=True)]
                for look in looks
            ]
        )


def described_objects(clip: TrainingClip, words: LookWords, frames: Sequence[int]) -> tuple[Tensor, Tensor]:
    """Attribute numbers (N, A) and mean places (N, 2) of the objects of a clip."""
    places = torch.tensor(mean_places(clip, frames), dtype=torch.float32)
    return words.describe(clip), places


def role_prompts(
    teacher: ObjectTeacher,
    described: Sequence[tuple[Tensor, Tensor]],
    roles: Sequence[Sequence[Sequence[int]]],
) -> Tensor:
    """The teacher's prompts (R, C) of roles: `roles[b]` lists, for clip b, the objects of each role."""
    attributes, places, row = _gather(described, roles)
    prompts = teacher(attributes, places, torch.ones(len(row), dtype=torch.bool, device=places.device))
    return _summed(prompts, row)


def partial_role_prompts(
    teacher: ObjectTeacher,
    described: Sequence[tuple[Tensor, Tensor]],
    roles: Sequence[Sequence[Sequence[int]]],
    generator: torch.Generator,
) -> Tensor:
    """Prompts (R, C) from descriptions with parts left out, but never so that two objects fit.

    For a single object, attributes and place are dropped at random; when another object of the clip
    would fit what is left, everything is said. Roles of several objects are described in full.
    """
    attributes, places, row = _gather(described, roles)
    said, placed = [], []
    for (all_attributes, _), clip_roles in zip(described, roles, strict=True):
        for role in clip_roles:
            for index in role:
                keep = torch.rand(len(ATTRIBUTES), generator=generator) < 0.6
                place = bool(torch.rand((), generator=generator) < 0.5)
                same = (all_attributes == all_attributes[index]) | ~keep
                unique = int(same.all(1).sum()) == 1
                whole = len(role) > 1 or not (unique or place)
                said.append(torch.ones_like(keep) if whole else keep)
                placed.append(whole or place)
    attributes = torch.where(torch.stack(said), attributes, UNSAID)
    return _summed(teacher(attributes, places, torch.tensor(placed)), row)


def _gather(
    described: Sequence[tuple[Tensor, Tensor]], roles: Sequence[Sequence[Sequence[int]]]
) -> tuple[Tensor, Tensor, Tensor]:
    attributes, places, row, count = [], [], [], 0
    for (clip_attributes, clip_places), clip_roles in zip(described, roles, strict=True):
        for role in clip_roles:
            attributes.append(clip_attributes[list(role)])
            places.append(clip_places[list(role)])
            row += [count] * len(role)
            count += 1
    return torch.cat(attributes), torch.cat(places), torch.tensor(row)


def _summed(prompts_MC: Tensor, row_M: Tensor) -> Tensor:
    total = prompts_MC.new_zeros(int(row_M.max()) + 1, prompts_MC.shape[1])
    return total.index_add(0, row_M, prompts_MC)


class VisualProbe(nn.Module):
    """Linear heads that read, from each visual token, what covers most of its cell and how it moves."""

    def __init__(self, values: Sequence[int], width: int) -> None:
        super().__init__()
        self.heads = nn.ModuleList(nn.Linear(width, count + 1) for count in values)
        self.motion = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, 2))

    def motion_loss(self, hidden_XD: Tensor, moves_X2: Tensor, known_X: Tensor) -> Tensor:
        """Mean squared error of the displacement since the frame before, where it is known."""
        error = (self.motion(hidden_XD) - moves_X2).square().mean(-1)
        return (error * known_X).sum() / known_X.sum().clamp(min=1)

    def loss(self, visual_BFPD: Tensor, labels_BFPA: Tensor) -> Tensor:
        """Mean cross entropy over attributes; cells with an object weigh as much as the background."""
        total = visual_BFPD.new_zeros(())
        weight = torch.where(labels_BFPA[..., 0] == UNSAID, 0.15, 1.0).flatten()
        for index, head in enumerate(self.heads):
            each = F.cross_entropy(
                head(visual_BFPD).flatten(0, 2), labels_BFPA[..., index].flatten(), reduction="none"
            )
            total = total + (each * weight).sum() / weight.sum()
        return total / len(self.heads)

    def accuracy(self, visual_BFPD: Tensor, labels_BFPA: Tensor) -> list[float]:
        """Share of right answers on cells with an object, per attribute."""
        inside = labels_BFPA[..., 0] != UNSAID
        return [
            float((head(visual_BFPD).argmax(-1) == labels_BFPA[..., index])[inside].float().mean())
            for index, head in enumerate(self.heads)
        ]


def cell_labels(masks_NFHW: Tensor, attributes_NA: Tensor, side: int, least_share: float = 0.3) -> Tensor:
    """For each cell of a side x side grid the attribute numbers (F, P, A) of the object that covers it.

    Cells of which no object covers `least_share` get "unsaid".
    """
    share_NFP = F.adaptive_avg_pool2d(masks_NFHW, (side, side)).flatten(2)
    most, index = share_NFP.max(0)
    return torch.where((most >= least_share)[..., None], attributes_NA[index], UNSAID)


def cell_moves(masks_NFHW: Tensor, side: int, least_share: float = 0.3) -> tuple[Tensor, Tensor]:
    """For each cell the displacement (F, P, 2) of the object that covers it since the frame before.

    In units of `MOVE_UNIT` of the frame's sides. The second tensor (F, P) says where it is known: cells
    with an object that is seen in the frame before, too.
    """
    height, width = masks_NFHW.shape[-2:]
    area_NF = masks_NFHW.sum((-1, -2))
    x_NF = masks_NFHW.sum(-2) @ ((torch.arange(width) + 0.5) / width) / area_NF.clamp(min=1)
    y_NF = masks_NFHW.sum(-1) @ ((torch.arange(height) + 0.5) / height) / area_NF.clamp(min=1)
    places_NF2 = torch.stack([x_NF, y_NF], -1)
    moves_NF2 = torch.zeros_like(places_NF2)
    moves_NF2[:, 1:] = (places_NF2[:, 1:] - places_NF2[:, :-1]) / MOVE_UNIT
    seen_NF = torch.zeros_like(area_NF, dtype=torch.bool)
    seen_NF[:, 1:] = (area_NF[:, 1:] > 0) & (area_NF[:, :-1] > 0)
    share_NFP = F.adaptive_avg_pool2d(masks_NFHW, (side, side)).flatten(2)
    most_FP, index_FP = share_NFP.max(0)
    frame_F1 = torch.arange(len(most_FP))[:, None]
    known_FP = (most_FP >= least_share) & seen_NF[index_FP, frame_F1]
    return moves_NF2[index_FP, frame_F1], known_FP
