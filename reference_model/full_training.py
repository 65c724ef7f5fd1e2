"""Train a recipe that fine-tunes pretrained halves: the loop, what it reports, and what it leaves behind.

`python -m reference_model.train --recipe reviosa_1b ...` ends up here; so do the small siblings. Run by
`torchrun` or `accelerate launch`, the processes share each step.
"""

from __future__ import annotations

import math
import signal
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from benchmark.errors import DatasetError, EnvironmentProblem, RefereeError
from reference_model import deepspeed_state
from reference_model.checkpoint import save_weights
from reference_model.conversation_batches import make_batch
from reference_model.dataset_mix import Sample, Unreadable
from reference_model.environment import memory_ran_out
from reference_model.full_recipes import tuning_of
from reference_model.lora import merged_weights, trained_parameters
from reference_model.tuning_run import learning_rate, save_progress
from reference_model.tuning_session import (
    Pass,
    Session,
    passes_of,
    seed_pass,
    state_tensors,
    whole_weights,
)

REPORTS_FILE = "left-out.csv"


@dataclass(frozen=True, slots=True)
class Schedule:
    """How often things are written.

    Attributes:
        save_every: steps between two states; a killed run loses at most so many.
        checkpoint_every: steps between two models that can be used; `None`: at the end only.
        validate_every: steps between two validations; `None`: none.
    """

    folder: Path | None
    save_every: int = 100
    checkpoint_every: int | None = None
    validate_every: int | None = None
    validation_clips: int = 4
    workers: int = 0
    show: bool = True
    tensorboard: bool = True


def train_all(session: Session, schedule: Schedule, facts: Mapping[str, Any]) -> None:
    """Train from where the session stands to its end; interrupted, save and stop.

    Raises:
        EnvironmentProblem: the memory does not suffice.
        DatasetError: more samples had to be left out than may be.
    """
    from reference_model.tuning_watch import open_watch

    progress, main = session.progress, session.accelerator.is_main_process
    passes = passes_of(session, schedule.workers)
    with open_watch(session, schedule) as watch, between_steps() as interrupted:
        try:
            while not progress.finished:
                begun = time.perf_counter()
                terms = train_step(session, passes)
                progress.seconds += time.perf_counter() - begun
                watch.step(terms)
                if not progress.finished and schedule.folder and progress.step % schedule.save_every == 0:
                    save_state(session, schedule.folder)
                if (
                    _due(progress.step, schedule.checkpoint_every)
                    and schedule.folder
                    and not progress.finished
                ):
                    folder = schedule.folder / f"step-{progress.step:06d}"
                    save_model(session, folder, facts)
                if _due(progress.step, schedule.validate_every):
                    watch.validate()
                if _anywhere(session, interrupted):
                    if schedule.folder:
                        save_state(session, schedule.folder)
                    raise KeyboardInterrupt
        except RefereeError:
            # Gathering needs all processes; where one has failed, the others may be waiting elsewhere.
            if schedule.folder and not (session.sharded or session.deepspeed) and main:
                save_state(session, schedule.folder)
            raise
    if schedule.folder:
        save_state(session, schedule.folder)
        save_model(session, schedule.folder, facts)


@contextmanager
def between_steps() -> Iterator[threading.Event]:
    """Let Ctrl-C wait for the end of the step, whose state is saved; a second one stops at once, unsaved."""
    interrupted = threading.Event()

    def note(number: int, frame: Any) -> None:
        if interrupted.is_set():
            raise KeyboardInterrupt
        interrupted.set()
        print("\nstopping after this step; once more to stop at once", file=sys.stderr)

    if threading.current_thread() is not threading.main_thread():
        yield interrupted
        return
    before = signal.signal(signal.SIGINT, note)
    try:
        yield interrupted
    finally:
        signal.signal(signal.SIGINT, before)


def _anywhere(session: Session, interrupted: threading.Event) -> bool:
    """Whether any process was interrupted; all of them stop after the same step then."""
    if session.accelerator.num_processes == 1:
        return interrupted.is_set()
    own = torch.tensor([float(interrupted.is_set())], device=session.accelerator.device)
    return float(session.accelerator.reduce(own, "sum")) > 0


def _due(step: int, every: int | None) -> bool:
    return every is not None and step % every == 0


def train_step(session: Session, passes: Iterator[Pass]) -> dict[str, float] | None:
    """One step of the optimizer; means of all loss terms over its passes, or `None` when it was left out.

    A step with a loss that is not finite or far above the last ones is not taken: the samples of that pass
    are reported. A sample that cannot be read is reported and missing from its pass.

    Raises:
        EnvironmentProblem: the memory does not suffice.
        DatasetError: more samples had to be left out than may be.
    """
    progress, tuning, accelerator = session.progress, tuning_of(session.recipe), session.accelerator
    rate = learning_rate(progress.step, progress.steps, session.recipe)
    for group in session.optimizer.param_groups:
        group["lr"] = rate
    sums: dict[str, float] = {}
    bad: str | None = None
    names: list[str] = []
    accelerator.step = 0  # accelerate counts passes; a step that was left out may have ended early
    for number in range(session.passes):
        samples = next(passes)  # also after a bad pass: the order of the samples goes on
        _report_unreadable(session, samples)
        if bad is not None:
            continue
        readable = [one for one in samples if isinstance(one, Sample)]
        names += [one.name for one in readable]
        seed_pass(session, number * accelerator.num_processes + accelerator.process_index)
        with accelerator.accumulate(session.wrapped):
            try:
                batch = make_batch(readable, session.room.model, tuning).to(accelerator.device)
                terms = session.wrapped(batch)
                bad = _bad_pass(session, terms, [one.name for one in readable])
                if bad is not None and session.deepspeed:
                    # It holds gradients of passes before; a blank pass, which adds none, ends the step.
                    blank = make_batch([], session.room.model, tuning).to(accelerator.device)
                    terms, bad = session.wrapped(blank), None
                if bad is None:
                    accelerator.backward(terms["loss"])  # divided by the passes of a step in there
            except (RuntimeError, MemoryError) as error:
                if not memory_ran_out(error):
                    raise
                raise _out_of_memory(session, readable) from error
        for name, term in terms.items():
            sums[name] = sums.get(name, 0.0) + float(term.detach()) / session.passes
    if bad is None:
        parameters = list(trained_parameters(session.wrapped).values())
        norm = _whole(accelerator.clip_grad_norm_(parameters, tuning.clip_gradient))
        if math.isfinite(norm):
            session.optimizer.step()
        elif session.deepspeed:
            raise DatasetError(
                f"the gradient is {norm}, and DeepSpeed has taken the step already",
                where=f"step {progress.step + 1}: {'; '.join(names)}",
                fix="resume from the last state; under torchrun such a step is left out",
            )
        else:
            _leave_out(session, names, f"the gradient is {norm}")
            bad = "gradient"
    session.optimizer.zero_grad(set_to_none=True)
    progress.step += 1
    if bad is not None:
        return None
    means = _over_processes(session, sums)
    progress.remember(means["loss"])
    return means


def _whole(norm: Any) -> float:
    """The norm of gradients that may be spread over processes."""
    return float(norm.full_tensor() if hasattr(norm, "full_tensor") else norm)


def _bad_pass(session: Session, terms: Mapping[str, Any], names: list[str]) -> str | None:
    """Why this pass must not be learnt from, in any process; all processes come to the same answer."""
    losses = session.accelerator.gather(terms["loss"].detach().float().reshape(1))
    spike = tuning_of(session.recipe).spike
    verdicts = [session.progress.verdict(float(one), spike) for one in losses]
    reason = next((one for one in verdicts if one is not None), None)
    if reason is not None:
        own = verdicts[session.accelerator.process_index]
        _leave_out(session, names if own is not None else [], own or reason)
    return reason


def _leave_out(session: Session, names: list[str], reason: str) -> None:
    """Report samples of this process; the budget is that of all processes together."""
    from accelerate.utils import gather_object

    everywhere = gather_object([(name, reason) for name in names])
    for name, why in everywhere:
        _report(session, session.progress.leave_out([name], why, tuning_of(session.recipe).most_skipped))


def _report_unreadable(session: Session, samples: Pass) -> None:
    from accelerate.utils import gather_object
    from tqdm import tqdm

    for note in (note for one in samples if isinstance(one, Sample) for note in one.notes):
        if note not in session.noted:
            session.noted.add(note)
            tqdm.write(note, file=sys.stderr)
    own = [(one.name, one.reason) for one in samples if isinstance(one, Unreadable)]
    # One small exchange a pass: without it a process alone would not know when the budget is spent.
    for name, why in gather_object(own) if session.accelerator.num_processes > 1 else own:
        _report(session, session.progress.leave_out([name], why, tuning_of(session.recipe).most_skipped))


def _report(session: Session, left_out: list[Any]) -> None:
    if session.accelerator.is_main_process:
        from tqdm import tqdm

        for one in left_out:
            tqdm.write(f"step {one.step + 1}: left out {one.name}: {one.reason}", file=sys.stderr)


def _over_processes(session: Session, sums: dict[str, float]) -> dict[str, float]:
    if session.accelerator.num_processes == 1:
        return sums
    # Terms may differ between processes (a text-only pass has no mask); each mean counts who has it.
    names = ("loss", "text", "mask_ce", "mask_dice", "attention")
    own = torch.tensor(
        [[sums.get(name, 0.0) for name in names], [float(name in sums) for name in names]],
        device=session.accelerator.device,
        dtype=torch.float64 if session.accelerator.device.type == "cpu" else torch.float32,
    )
    total, count = session.accelerator.reduce(own, "sum")
    return {
        name: float(one / many) for name, one, many in zip(names, total, count, strict=True) if float(many)
    }


def _out_of_memory(session: Session, samples: list[Sample]) -> EnvironmentProblem:
    device, tuning = session.accelerator.device, tuning_of(session.recipe)
    taken = f"{torch.cuda.max_memory_allocated() / 2**30:.1f} GiB taken, " if device.type == "cuda" else ""
    return EnvironmentProblem(
        "the memory does not suffice for a training step",
        where=f"step {session.progress.step + 1} on {device}: {'; '.join(one.name for one in samples)}",
        found=f"{taken}{tuning.videos_per_pass} videos a pass, "
        f"activation checkpointing {'on' if tuning.checkpoint_activations else 'off'}",
        fix="lower --videos-per-pass, keep activation checkpointing, or share the work among GPUs (FSDP)",
    )


def save_state(session: Session, folder: Path) -> None:
    """Write what going on needs; every process must call this when the weights are spread over processes.

    Raises:
        OutputError: when the place cannot be written to.
    """
    if session.deepspeed:
        deepspeed_state.save_folder(session, folder)
    tensors = {} if session.deepspeed else state_tensors(session)
    if session.accelerator.is_main_process:
        save_progress(folder, session.recipe, session.progress, len(session.mix), tensors)
        _write_reports(session, folder)
        if session.deepspeed:
            deepspeed_state.remove_older(session, folder)


def _write_reports(session: Session, folder: Path) -> None:
    import csv
    import io

    from benchmark.stored_files import write_atomically

    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("step", "sample", "reason"))
    writer.writerows((one.step, one.name, one.reason) for one in session.progress.left_out)
    write_atomically(folder / REPORTS_FILE, text.getvalue().encode())


def save_model(session: Session, folder: Path, facts: Mapping[str, Any]) -> None:
    """Write the model as a checkpoint that can be used: LoRA merged, one folder.

    Raises:
        OutputError: when the place cannot be written to.
    """
    weights = whole_weights(session)
    if not session.accelerator.is_main_process:
        return
    progress = session.progress
    plain = merged_weights(weights, tuning_of(session.recipe).lora.scale)
    text: str = session.room.model.tokenizer.backend_tokenizer.to_str(pretty=True)
    own = {
        "seed": progress.seed,
        "steps": progress.step,
        "seconds": round(progress.seconds, 1),
        "left_out": len(progress.left_out),
        "processes": session.accelerator.num_processes,
    }
    save_weights(folder, plain, text, session.recipe, own | dict(facts))


def describe(session: Session) -> str:
    """One paragraph about what is going to be trained."""
    trained = sum(one.numel() for one in trained_parameters(session.room).values())
    whole = sum(one.numel() for one in session.room.parameters())
    tuning = tuning_of(session.recipe)
    return (
        f"{session.recipe.name}: {trained:,} of {whole:,} weights are trained; {len(session.mix)} samples an "
        f"epoch, {session.progress.steps} steps of {tuning.videos_per_step} videos on "
        f"{session.accelerator.num_processes} x {session.accelerator.device.type}; it stops when more than "
        f"{tuning.most_skipped} samples had to be left out"
    )
