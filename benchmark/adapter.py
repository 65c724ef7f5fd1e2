"""The one interface between the referee and a model.

The life of an adapter:

    load(device, seed) -> open_video(frames) -> predict(queries) ... -> close_video() -> unload()

Queries of one video come together, so that a model can look at the video once. An adapter never sees
ids, caption types, presence ranges or masks; the sanity rows that need the truth declare
`uses_truth` and get it through `open_truth`, and their results are marked.

`load_adapter` finds an adapter by name; see `benchmark.adapter_options` for its options.
"""

from __future__ import annotations

import abc
import importlib
import importlib.util
import inspect
import pkgutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from types import ModuleType
from typing import Any, Literal

from benchmark.adapter_options import bind_options
from benchmark.command_line import unknown_name
from benchmark.errors import AdapterError, ProblemCollector, RefereeError, UsageError
from benchmark.frames import FrameSequence
from benchmark.json_records import from_json, to_json
from benchmark.types import AdapterInfo, MaskTrack, Prediction, Query, Role

ENTRY_POINT_GROUP = "interrvos_referee.adapters"
FLAG = "--adapter"


@dataclass(frozen=True, slots=True)
class TruthForSanityRow:
    """What the runner tells a sanity row about one query, and a model never learns.

    Attributes:
        actor: the true track of the actor.
        target: the true track of the target; `None` where the expression names none.
        other_expressions: sentences asked of other videos, of the same caption type where there are any.
    """

    actor: MaskTrack
    target: MaskTrack | None
    other_expressions: Sequence[str]


@dataclass(frozen=True, slots=True)
class AnswerSource:
    """Where answers lie that were stored before, for an adapter that hands them on.

    Attributes:
        path: a folder or file in a form of `benchmark.prediction_layouts`.
        missing_frames: whether a frame without a mask fails its query, or is a mask without pixels.
    """

    path: Path
    missing_frames: Literal["error", "empty"] = "error"


@dataclass(frozen=True, slots=True)
class AnswerSourceFacts:
    """What the referee found there.

    Attributes:
        layout: name of the form.
        recognised_by: what tells it.
        roles: the roles it holds masks of.
        fingerprint: changes when a file is replaced.
        made_by: the model that wrote it, where the form says so.
    """

    layout: str
    recognised_by: str
    roles: tuple[Role, ...]
    fingerprint: str
    made_by: AdapterInfo | None


@dataclass(frozen=True, slots=True)
class Requirements:
    """What an adapter needs beside the referee itself; `python -m adapters doctor` checks it.

    Attributes:
        packages: distribution name to version rule, such as `{"transformers": ">=5.3,<6"}`; "" for any.
        interpreter: the Python that must have them, for a model in an environment of its own; `None` is
            the one that runs.
        files: path to a command or sentence that brings it, for files and folders beside the weights.
        programs: programs that must be found on the PATH.
        variables: environment variables that must be set.
        weights: folders, or Hub names `owner/model@revision`.
        gpu_memory_gib: GPU memory it takes; `None` where a CPU will do.
        environment: in words, the environment it runs in.
        setup: commands that make that environment and bring the weights.
    """

    packages: Mapping[str, str] = field(default_factory=dict)
    interpreter: str | None = None
    files: Mapping[str, str] = field(default_factory=dict)
    programs: tuple[str, ...] = ()
    variables: tuple[str, ...] = ()
    weights: tuple[str, ...] = ()
    gpu_memory_gib: float | None = None
    environment: str = "the referee's own"
    setup: tuple[str, ...] = ()


class Adapter(abc.ABC):
    """A model under test. Subclasses are final: wrap an adapter, don't override one.

    Options given on the command line (`--option key=value`) arrive as keyword arguments of
    `__init__`, which must be cheap: no weights, no heavy imports before `load`.
    """

    #: one sentence for lists of adapters
    summary: str = ""
    #: queries given to one `predict` call at most; `None` means all of a video
    max_queries: int | None = None
    #: whether the device matters; a row that only draws boxes spares the user the import of torch
    uses_device: bool = True
    #: whether the model is in another process, so that memory and GPUs of this one say nothing of it
    works_elsewhere: bool = False
    #: where stored answers lie that this adapter hands on instead of predicting; see `open_answers`
    stored_answers: AnswerSource | None = None
    #: value of every option, the defaults too; filled in by `load_adapter`
    chosen_options: Mapping[str, Any] = {}

    @abc.abstractmethod
    def info(self) -> AdapterInfo:
        """Facts about the model; complete after `load`, callable before it.

        What tells one set of weights from another (`revision`, `weights_digest`) belongs into the
        answer before `load` wherever it is cheap to find out: finished predictions are then
        recognised, or refused, without loading the model.
        """

    def requirements(self) -> Requirements:
        """What must be there for `load` to succeed, with the chosen options."""
        return Requirements()

    def load(self, device: str, seed: int) -> None:  # noqa: B027 - optional hook
        """Bring weights to `device` ("cpu", "cuda", "cuda:1") and seed every generator used."""

    def open_video(self, frames: FrameSequence) -> None:
        """Receive the frames that the next queries are about."""
        self._frames = frames

    def open_truth(self, truth: Sequence[TruthForSanityRow]) -> None:
        """Receive the truth of the queries of the next `predict`, in their order.

        Called only when `info().uses_truth`.
        """
        raise TypeError(f"{type(self).__name__} declares uses_truth but does not define open_truth")

    def describe_answers(self, facts: AnswerSourceFacts) -> None:
        """Learn what `stored_answers` holds; called before anything else, only if it is set."""
        raise TypeError(f"{type(self).__name__} sets stored_answers but does not define describe_answers")

    def open_answers(self, answers: Sequence[Prediction]) -> None:
        """Receive the stored answers to the queries of the next `predict`, in their order.

        Called only when `stored_answers` is set.
        """
        raise TypeError(f"{type(self).__name__} sets stored_answers but does not define open_answers")

    @abc.abstractmethod
    def predict(self, queries: Sequence[Query]) -> list[Prediction]:
        """One prediction per query, in the same order; masks at source size for every frame."""

    def close_video(self) -> None:  # noqa: B027 - optional hook
        """Forget the open video."""

    def unload(self) -> None:  # noqa: B027 - optional hook
        """Give memory back."""


def adapter_names() -> tuple[str, ...]:
    """Every name that `--adapter` knows: files of `adapters/`, then what other packages declare.

    Nothing is imported for it.

    Raises:
        AdapterError: when `adapters` is another package than ours.
    """
    return tuple(sorted({*_built_in_names(), *_entry_points()}))


def load_adapter(spec: str, options: Mapping[str, str] | None = None) -> Adapter:
    """The adapter called `spec`, made with `options`; its weights are loaded later, by `load`.

    Args:
        spec: a file name of `adapters/` without its ending (`-` may stand for `_`), `module:Class`, or
            a name that an installed package declares in the entry point group `interrvos_referee.adapters`.
        options: keyword arguments of its `__init__`, as text.

    Raises:
        UsageError: for an unknown name, an unknown or ill-typed option.
        AdapterError: when the module cannot be imported or holds no adapter.
    """
    adapter_class = find_adapter_class(spec)
    chosen = bind_options(adapter_class, options or {}, spec)
    try:
        adapter = adapter_class(**chosen)
    except RefereeError:
        raise
    except Exception as error:
        raise AdapterError(
            "the adapter cannot be made", where=spec, found=describe_exception(error)
        ) from error
    adapter.chosen_options = chosen
    return adapter


def check_info(adapter: Adapter, name: str) -> None:
    """Check that what an adapter says of itself can be stored and compared.

    Raises:
        AdapterError: naming every field that is not what `AdapterInfo` promises.
    """
    where, problems = f"info() of {name}", ProblemCollector()
    try:
        info = adapter.info()
        facts = to_json(info)
    except (RefereeError, KeyboardInterrupt):
        raise
    except BaseException as error:
        raise AdapterError(
            "the adapter cannot tell what it is", where=where, found=describe_exception(error)
        ) from error
    if not isinstance(info, AdapterInfo):
        raise AdapterError("not facts of an adapter", where=where, expected="AdapterInfo", found=repr(info))
    from_json(AdapterInfo, facts, problems, where)
    if not info.roles or not all(isinstance(role, Role) for role in info.roles):
        expected = "benchmark.types.Role members, one at least"
        problems.add("wrong roles", where=f"{where}/roles", expected=expected, found=repr(info.roles))
    problems.raise_if_any(AdapterError, f"{where} is wrong")


def describe_exception(error: BaseException) -> str:
    """An exception on one line: its class and the first line of what it says."""
    try:
        lines = str(error).strip().splitlines()
    except Exception:  # a `__str__` that fails itself must not hide what it was about
        lines = []
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__


def find_adapter_class(spec: str) -> type[Adapter]:
    """The class behind a name, before any options.

    Raises:
        UsageError: for an unknown name.
        AdapterError: when the module cannot be imported or holds no adapter.
    """
    if ":" in spec:
        module_name, _, class_name = spec.partition(":")
        return _adapter_class(getattr(_import(module_name, spec), class_name, None), spec)
    built_in, declared = spec in _built_in_names(), _entry_points().get(spec)
    if built_in and declared:
        raise AdapterError(
            f"adapter name {spec!r} is used twice",
            where=f"adapters/{spec}.py and the installed {declared.value}",
            fix=f"name one of them: {FLAG} adapters.{spec}:CLASS or {FLAG} {declared.value}",
        )
    if declared:
        module_name, _, class_name = declared.value.partition(":")
        return _adapter_class(getattr(_import(module_name, spec), class_name, None), spec)
    if not built_in and spec.replace("-", "_") in _built_in_names():
        return find_adapter_class(spec.replace("-", "_"))
    if not built_in:
        raise unknown_name("adapter", spec, adapter_names(), FLAG)
    return _only_class(_import(f"adapters.{spec}", spec), spec)


def _built_in_names() -> tuple[str, ...]:
    modules = pkgutil.iter_modules([str(our_adapters_folder())])
    return tuple(one.name for one in modules if one.name[0] != "_" and not one.ispkg)


def _entry_points() -> dict[str, metadata.EntryPoint]:
    return {point.name: point for point in metadata.entry_points(group=ENTRY_POINT_GROUP)}


def our_adapters_folder() -> Path:
    """The folder `adapters/` of this project, after checking that Python finds it under that name.

    PyPI has a package called `adapters` that a model's environment may well contain.

    Raises:
        AdapterError: when `import adapters` would bring, or has brought, another package.
    """
    ours = Path(__file__).resolve().parent.parent / "adapters"
    found = importlib.util.find_spec("adapters")
    origin = Path(found.origin).resolve().parent if found and found.origin else None
    if origin != ours:
        raise AdapterError(
            "the name `adapters` belongs to another package here",
            expected=str(ours),
            found=str(origin) if origin else "no package of that name",
            fix=f"run from {ours.parent}, or `pip uninstall adapters` (the PyPI package of that name)",
        )
    return ours


def _import(module_name: str, spec: str) -> ModuleType:
    try:
        return importlib.import_module(module_name)
    except RefereeError:
        raise
    except Exception as error:
        absent = isinstance(error, ModuleNotFoundError) and error.name == module_name.split(".")[0]
        if absent:
            raise UsageError(
                f"unknown module {module_name!r}",
                where=f"{FLAG} {spec}",
                fix="run from the folder that holds it, or set PYTHONPATH",
            ) from error
        raise AdapterError(
            f"module {module_name} cannot be imported",
            where=f"{FLAG} {spec}",
            found=describe_exception(error),
            fix="install what it needs, or mend it",
        ) from error


def _adapter_class(candidate: object, spec: str) -> type[Adapter]:
    if not (inspect.isclass(candidate) and issubclass(candidate, Adapter)):
        raise UsageError(
            "no adapter of that name",
            where=f"{FLAG} {spec}",
            expected="a subclass of benchmark.adapter.Adapter",
            found="nothing" if candidate is None else repr(candidate),
        )
    if inspect.isabstract(candidate):
        missing = ", ".join(sorted(candidate.__abstractmethods__))
        raise AdapterError("the adapter is not finished", where=spec, found=f"no definition of {missing}")
    return candidate


def _only_class(module: ModuleType, spec: str) -> type[Adapter]:
    own = [
        value
        for value in vars(module).values()
        if inspect.isclass(value) and issubclass(value, Adapter) and value.__module__ == module.__name__
    ]
    if len(own) != 1:
        raise AdapterError(
            "an adapter file holds exactly one adapter class",
            where=str(module.__file__),
            found=", ".join(value.__name__ for value in own) or "none",
            fix=f"name the class: {FLAG} {module.__name__}:CLASS",
        )
    return _adapter_class(own[0], spec)
