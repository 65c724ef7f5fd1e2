"""Measure a checkpoint on clips held back from its training, with the referee's own J and F.

Prints, for actor and target, J&F over all held-back expressions and over each difficulty tag, and how
often the model claims a target when it should and when it should not. This is for watching a training;
results to report come from `python -m benchmark.evaluate --adapter reviosa`.

    python -m reference_model.validate
    python -m reference_model.validate --checkpoint runs/tiny/after-joint --clips 16
    python -m reference_model.validate --checkpoint runs/reviosa_1b --data-root /data/interrvos
"""

# Legend of shape suffixes:
#     T frames   H, W source size   C colour channels   N objects

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmark.aggregate import TrackScore, headline, track_score
from benchmark.command_line import parser, run_command
from benchmark.frames import FrameArray
from benchmark.metrics.definition import boundary_radius, frame_counts
from benchmark.types import BoolMasks, Role
from reference_model.environment import enough_memory, require_packages
from reference_model.option_bounds import require_at_least
from reference_model.predict import Answer, Predictor
from reference_model.training_data import ClipSource, TrainingClip, TrainingExpression, open_source

EVERYTHING = "all"


@dataclass(frozen=True, slots=True)
class Measured:
    """One role of one expression."""

    role: Role
    tags: tuple[str, ...]
    score: TrackScore


@dataclass(frozen=True, slots=True)
class Validation:
    """What a model does on some clips.

    Attributes:
        measured: every role that has a truth, by expression, actor before target.
        claimed: for expressions with a target, whether the model claimed one.
        falsely_claimed: the same for expressions without a target.
    """

    measured: tuple[Measured, ...]
    claimed: tuple[bool, ...]
    falsely_claimed: tuple[bool, ...]

    def j_and_f(self, role: Role, tag: str = EVERYTHING) -> float | None:
        """J&F in percent over the expressions with a tag; `None` when there are none."""
        scores = [one.score for one in self.measured if one.role is role and tag in (EVERYTHING, *one.tags)]
        result = headline([one.j for one in scores], [one.f for one in scores])
        return None if result is None else result.jf


def validate(predictor: Predictor, clips: Sequence[TrainingClip], show: bool = False) -> Validation:
    """Ask the model every expression of the clips."""
    from tqdm import tqdm

    measured: list[Measured] = []
    claimed: list[bool] = []
    falsely: list[bool] = []
    for clip in tqdm(clips, desc="validating", unit="clip", file=sys.stderr, disable=not show):
        predictor.open_video(FrameArray(np.array(clip.frames_THWC)))
        answers = predictor.answer([one.text for one in clip.expressions])
        predictor.close_video()
        for said, answer in zip(clip.expressions, answers, strict=True):
            (claimed if said.targets else falsely).append(answer.target is not None)
            measured += measured_roles(clip, said, answer)
    return Validation(tuple(measured), tuple(claimed), tuple(falsely))


def measured_roles(clip: TrainingClip, said: TrainingExpression, answer: Answer) -> Iterator[Measured]:
    """J and F of every role of one expression that has a truth."""
    predicted = (answer.actor, answer.target)
    for role, objects, track in zip(Role, said.roles, predicted, strict=False):
        truth = clip.masks_NTHW[list(objects)].any(0)
        yield Measured(role, said.tags, _score(truth, track))


def _score(truth_THW: BoolMasks, predicted_THW: BoolMasks | None) -> TrackScore:
    _, height, width = truth_THW.shape
    found = np.zeros_like(truth_THW) if predicted_THW is None else predicted_THW
    radius = boundary_radius(height, width)
    counts = np.stack([frame_counts(truth, one, radius) for truth, one in zip(truth_THW, found, strict=True)])
    return track_score(counts, truth_THW.sum((1, 2)), height * width, zero=False)


def held_back_clips(source: ClipSource, held_back: int, wanted: int | None = None) -> list[TrainingClip]:
    """The last clips of a split, which training leaves out; all, where there are fewer."""
    first = max(0, len(source) - held_back)
    held_back = len(source) - first
    count = held_back if wanted is None else min(wanted, held_back)
    return [source.clip(index) for index in range(first, first + count)]


def format_validation(result: Validation) -> str:
    """A table: one row per tag."""
    tags = [EVERYTHING, *sorted({tag for one in result.measured for tag in one.tags})]
    lines = [f"{'tag':<24}{'actor J&F':>12}{'target J&F':>12}{'expressions':>13}"]
    for tag in tags:
        count = sum(one.role is Role.ACTOR and tag in (EVERYTHING, *one.tags) for one in result.measured)
        cells = [result.j_and_f(role, tag) for role in Role]
        shown = ["-" if cell is None else f"{cell:.2f}" for cell in cells]
        lines.append(f"{tag:<24}{shown[0]:>12}{shown[1]:>12}{count:>13}")
    for words, claims in (("expected", result.claimed), ("not expected", result.falsely_claimed)):
        if claims:
            lines.append(f"target claimed where {words}: {100 * np.mean(claims):.1f}% of {len(claims)}")
    return "\n".join(lines)


def build_parser() -> Any:
    """The command line."""
    command = parser("reference_model.validate", __doc__)
    command.add_argument("--checkpoint", type=Path, help="folder of a model (default: the shipped one)")
    command.add_argument("--clips", type=int, help="use so many clips (default: all that are held back)")
    command.add_argument("--data-root", type=Path, help="folder of a dataset on disk")
    command.add_argument("--device", default="auto", help="auto, cpu or cuda (default: auto)")
    return command


@enough_memory("use a device with more memory, or --device cpu")
def main(arguments: Sequence[str]) -> int:
    """Validate a checkpoint and print the table."""
    options = build_parser().parse_args(arguments)
    require_at_least(1, "--clips", options.clips)
    require_packages()
    import torch

    from reference_model.checkpoint import SHIPPED, read_recipe
    from reference_model.predict import load_predictor

    torch.set_num_threads(1)
    predictor = load_predictor(options.checkpoint, options.device)
    training = read_recipe(options.checkpoint or SHIPPED).training
    data = training.data
    source = open_source(data, options.data_root, rendered_only=training.tuning is None)
    clips = held_back_clips(source, data.held_back, options.clips)
    print(format_validation(validate(predictor, clips, show=True)))
    return 0


if __name__ == "__main__":
    run_command(main)
