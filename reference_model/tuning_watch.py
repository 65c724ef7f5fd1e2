"""What one sees of a fine-tuning as it runs: progress bar, loss curve, TensorBoard, validation, pictures.

Legend of shape suffixes:
    T frames   H, W source size   C colour channels
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from benchmark.frames import FrameArray
from benchmark.stored_files import as_output_error, make_folder
from reference_model.full_recipes import tuning_of
from reference_model.tuning_config import Precision
from reference_model.tuning_run import learning_rate

if TYPE_CHECKING:
    from reference_model.full_training import Schedule
    from reference_model.training_data import ClipSource
    from reference_model.tuning_session import Session

LOG_FOLDER = "tensorboard"
PICTURE_FOLDER = "validation"


class Watch:
    """Shows and logs the steps of a session; other processes than the first stay silent."""

    def __init__(self, session: Session, schedule: Schedule, bar: Any, writer: Any) -> None:
        self._session, self._schedule = session, schedule
        self._bar, self._writer = bar, writer
        self._source: ClipSource | None = None

    def step(self, terms: dict[str, float] | None) -> None:
        """Note one step; `None` is one that was left out."""
        progress = self._session.progress
        self._bar.update()
        if terms is not None:
            progress.unlogged.append(terms)
        every = self._session.recipe.training.log_every
        if progress.unlogged and (progress.step % every == 0 or progress.finished):
            waiting = progress.unlogged
            names = [name for name in waiting[-1] if all(name in one for one in waiting)]
            means = {name: sum(one[name] for one in waiting) / len(waiting) for name in names}
            rate = learning_rate(progress.step - 1, progress.steps, self._session.recipe)
            row = {"stage": "fine-tuning", "step": progress.step, "seconds": round(progress.seconds, 1)}
            progress.curve.append(row | {"learning_rate": rate} | means)
            self._bar.set_postfix_str(" ".join(f"{name} {value:.3f}" for name, value in means.items()))
            self._scalars("train", means | {"learning_rate": rate})
            progress.unlogged = []

    def validate(self) -> None:
        """J&F on held-back clips by the referee's own rules, and a picture of each clip.

        Only where no process holds a part of the weights alone; the others wait meanwhile.
        """
        session = self._session
        if session.accelerator.is_main_process and self._schedule.folder:
            self._validate(self._schedule.folder / PICTURE_FOLDER)
        session.accelerator.wait_for_everyone()

    def _validate(self, folder: Path) -> None:
        from tqdm import tqdm

        from benchmark.types import Role
        from reference_model.overlay import write_overlay
        from reference_model.predictor import Predictor
        from reference_model.training_data import DatasetClips
        from reference_model.validate import held_back_clips, validate

        session, data = self._session, self._session.recipe.training.data
        if self._source is None:
            self._source = DatasetClips(session.mix.first_dataset)
        clips = held_back_clips(self._source, data.held_back, self._schedule.validation_clips)
        narrow = tuning_of(session.recipe).precision is Precision.BFLOAT16
        device = session.accelerator.device
        here = folder / f"step-{session.progress.step:06d}"
        make_folder(here)
        try:
            predictor = Predictor(session.room.model, device)
            with torch.autocast(device.type, torch.bfloat16, enabled=narrow):
                result = validate(predictor, clips)
                for number, clip in enumerate(clips):
                    frames = FrameArray(clip.frames_THWC.copy())
                    predictor.open_video(frames)
                    (answer,) = predictor.answer([clip.expressions[0].text])
                    predictor.close_video()
                    write_overlay(here / f"clip-{number}.png", frames, answer.actor, answer.target)
        finally:
            session.room.train()
        scores = {str(role): result.j_and_f(role) for role in Role}
        self._scalars("validation", {name: one for name, one in scores.items() if one is not None})
        shown = ", ".join(
            f"{name} J&F {'-' if one is None else f'{one:.1f}'}" for name, one in scores.items()
        )
        tqdm.write(f"step {session.progress.step}: {shown} on {len(clips)} clips; {here}", file=sys.stderr)

    def _scalars(self, group: str, values: dict[str, float]) -> None:
        if self._writer is not None:
            with _writing_logs(self._schedule.folder):
                for name, value in values.items():
                    self._writer.add_scalar(f"{group}/{name}", value, self._session.progress.step)
                self._writer.flush()


@contextmanager
def _writing_logs(folder: Path | None) -> Iterator[None]:
    """Name the place when TensorBoard cannot write."""
    try:
        yield
    except OSError as error:
        raise as_output_error(error, (folder or Path()) / LOG_FOLDER) from error


def _hush_log_thread() -> None:
    """Let TensorBoard's thread not print what it met: the same error is raised again by the next flush."""
    before = threading.excepthook
    if before is threading.__excepthook__:

        def hook(failed: threading.ExceptHookArgs) -> None:
            module = type(failed.thread).__module__
            if not (isinstance(failed.exc_value, OSError) and module.startswith("tensorboard.")):
                before(failed)

        threading.excepthook = hook


@contextmanager
def open_watch(session: Session, schedule: Schedule) -> Iterator[Watch]:
    """A watch that is closed at the end."""
    from tqdm import tqdm

    main = session.accelerator.is_main_process
    writer = None
    if main and schedule.folder and schedule.tensorboard:
        from torch.utils.tensorboard import SummaryWriter

        _hush_log_thread()
        with _writing_logs(schedule.folder):
            writer = SummaryWriter(str(schedule.folder / LOG_FOLDER))
    bar = tqdm(
        total=session.progress.steps,
        initial=session.progress.step,
        desc=session.recipe.name,
        unit="step",
        file=sys.stderr,
        disable=not (schedule.show and main),
    )
    try:
        with bar:
            yield Watch(session, schedule, bar, writer)
    finally:
        if writer is not None:
            with _writing_logs(schedule.folder):
                writer.close()
