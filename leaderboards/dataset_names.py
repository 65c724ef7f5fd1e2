"""How datasets are called on pages, and what they are, in a sentence; an unknown one goes by its id."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

SYNTHETIC = "interrvos-synthetic"


@dataclass(frozen=True, slots=True)
class DatasetName:
    """Title and description of a dataset; the description is `None` where nobody wrote one."""

    title: str
    about: str | None


DATASETS: Mapping[str, DatasetName] = {
    "interrvos": DatasetName(
        "InterRVOS-127K",
        "Real videos with sentences about who acts on whom, and separate masks of actor and target.",
    ),
    SYNTHETIC: DatasetName(
        "InterRVOS-synthetic",
        "Coloured shapes that push, hand and chase, rendered with exact masks; built into this project.",
    ),
    "mevis": DatasetName("MeViS", "Sentences about motion, on crowded videos."),
    "ref-youtube-vos": DatasetName("Ref-YouTube-VOS", "Sentences about objects of YouTube-VOS."),
    "ref-davis17": DatasetName("Ref-DAVIS17", "Sentences about objects of DAVIS 2017."),
    "revos": DatasetName("ReVOS", "Sentences that refer, and sentences that need reasoning."),
    "reason-seg": DatasetName("ReasonSeg", "Questions about images that need reasoning."),
    "reasonseg": DatasetName("ReasonSeg", "Questions about images that need reasoning."),
    "refcoco": DatasetName("RefCOCO", "Sentences about objects of images."),
    "refcoco-plus": DatasetName("RefCOCO+", "Sentences about looks of objects of images, without places."),
    "refcocog": DatasetName("RefCOCOg", "Longer sentences about objects of images."),
    "long-rvos": DatasetName("Long-RVOS", "Long videos with sentences about looks, motion and both."),
    "a2d-sentences": DatasetName("A2D-Sentences", "Sentences about actors and their actions."),
    "jhmdb-sentences": DatasetName("JHMDB-Sentences", "Sentences about people and their actions."),
}
FIRST = ("interrvos", SYNTHETIC)
"""The datasets that boards begin with; the others follow by title."""


def dataset_name(identity: str) -> DatasetName:
    """The title and description of a dataset."""
    return DATASETS.get(identity, DatasetName(identity, None))
