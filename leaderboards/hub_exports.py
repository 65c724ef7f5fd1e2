"""Results as the Hub reads them: tasks of a benchmark (`eval.yaml`) and scores of a model (`.eval_results`).

Source: https://huggingface.co/docs/hub/eval-results. A task there has one number, so every setting of a
dataset and split is a task of its own, and its number is J&F in percent. Only what this project scored is
exported; figures of papers are not.
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from leaderboards.board_entries import BoardEntry
from leaderboards.dataset_names import dataset_name
from leaderboards.safe_text import csv_cell, file_name, shortened, visible
from submissions.entries import Standing
from submissions.receipt import Scores

FRAMEWORK = "interrvos-referee"
DECIMALS = 4
SCORED_BY_US = (Standing.RESCORED, Standing.RERUN)
COLUMNS = (
    *("entry", "model", "version", "team", "status", "setting", "J", "F", "J&F"),
    *("J&F low", "J&F high", "expressions", "failed", "superseded by"),
)
_HUB_MODEL = re.compile(
    r"https://huggingface\.co/(?P<name>[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*)(/.*)?", re.A
)
_NO_OWNERS = ("datasets", "spaces", "papers", "docs", "collections", "api", "blog", "posts")


def task_id(folder: str, setting: str) -> str:
    """The name of a setting of a dataset and split among the tasks of a benchmark."""
    return f"{folder}-{file_name(setting)}"


def split_name(split: str) -> str:
    """A split as the Hub may name it: letters, digits and underscores."""
    return re.sub(r"\W", "_", split, flags=re.A)


def eval_yaml(entries: Sequence[BoardEntry], title: str) -> bytes | None:
    """`eval.yaml`, which declares the tasks; `None` where nothing was scored."""
    tasks = {
        task_id(one.folder, setting): {
            "config": file_name(one.entry.dataset.name),
            "split": split_name(one.entry.dataset.split),
        }
        for one in entries
        for setting in sorted(one.entry.scores or {})
    }
    if not tasks:
        return None
    names = dict.fromkeys(dataset_name(one.entry.dataset.name).title for one in entries)
    about = f"J&F in percent on {', '.join(shortened(name) for name in names)}; one task per setting."
    declared = {
        "name": title,
        "description": about,
        "evaluation_framework": FRAMEWORK,
        "tasks": [{"id": name, **tasks[name]} for name in sorted(tasks)],
    }
    return yaml_text(declared).encode()


def eval_results(entries: Iterable[BoardEntry], dataset: str, space: str) -> dict[str, bytes]:
    """Scores ready to be put into the repositories of models, as ORG/NAME/.eval_results/ENTRY.yaml.

    Entries that were superseded, that nobody here scored, or whose weights are not on the Hub have none.

    Args:
        dataset: the repository that holds `eval.yaml`.
        space: the Space that shows the boards.
    """
    files = {}
    for one in entries:
        model = hub_model(one.entry.model.links.weights)
        if model is None or one.superseded_by is not None or one.entry.status not in SCORED_BY_US:
            continue
        told = [
            _told(one, setting, scores, scores.jf, dataset, space)
            for setting, scores in sorted((one.entry.scores or {}).items())
            if scores.jf is not None
        ]
        if told:
            files[f"{model}/.eval_results/{one.entry.id}.yaml"] = yaml_text(told).encode()
    return files


def hub_model(link: str | None) -> str | None:
    """ORG/NAME of the model that a link leads to, or `None` when it leads elsewhere."""
    found = _HUB_MODEL.fullmatch(link or "")
    if found is None or found["name"].split("/")[0] in _NO_OWNERS:
        return None
    return found["name"]


def _told(
    one: BoardEntry, setting: str, scores: Scores, jf: float, dataset: str, space: str
) -> dict[str, Any]:
    notes = [f"{name} {value:.2f}" for name, value in (("J", scores.j), ("F", scores.f)) if value is not None]
    if scores.jf_interval is not None:
        notes.append("interval of J&F {:.2f} to {:.2f}".format(*scores.jf_interval))
    notes += [f"{scores.expressions} expressions, {scores.failed} failed", one.entry.status.value]
    return {
        "dataset": {"id": dataset, "task_id": task_id(one.folder, setting)},
        "value": round(jf, DECIMALS),  # so few that no exponent is written, which YAML 1.1 takes for text
        "date": one.entry.received_at[:10],
        "source": {
            "url": f"https://huggingface.co/spaces/{space}",
            "name": shortened(f"entry {one.entry.id}", 120),
        },
        "notes": "; ".join(notes),
    }


def score_tables(entries: Sequence[BoardEntry]) -> dict[str, bytes]:
    """One CSV table per folder of entries, a row for each entry and setting, by file name."""
    files = {}
    for folder in sorted({one.folder for one in entries}):
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(COLUMNS)
        for one in entries:
            if one.folder == folder:
                writer.writerows([csv_cell(value) for value in row] for row in _rows(one))
        files[f"{folder}.csv"] = text.getvalue().encode()
    return files


def _rows(one: BoardEntry) -> Iterator[tuple[object, ...]]:
    entry = one.entry
    for setting, scores in sorted((entry.scores or {}).items()):
        low, high = scores.jf_interval or (None, None)
        yield (
            *(entry.id, entry.model.name, entry.model.version, entry.model.team, entry.status.value),
            *(setting, scores.j, scores.f, scores.jf, low, high, scores.expressions, scores.failed),
            one.superseded_by,
        )


def yaml_text(value: Mapping[str, Any] | Sequence[Any]) -> str:
    """Mappings, lists, texts, numbers and booleans as YAML in block style.

    Texts are quoted and lose what does not show; keys are taken as they are and must be plain words.
    """
    return "".join(f"{line}\n" for line in _lines(value))


def _lines(value: Any) -> Iterator[str]:
    if isinstance(value, Mapping):
        for key, inner in value.items():
            if _is_block(inner):
                yield f"{key}:"
                yield from (f"  {line}" for line in _lines(inner))
            else:
                yield f"{key}: {_scalar(inner)}"
        return
    for inner in value:
        first, *others = _lines(inner) if _is_block(inner) else (_scalar(inner),)
        yield f"- {first}"
        yield from (f"  {line}" for line in others)


def _is_block(value: Any) -> bool:
    return isinstance(value, (Mapping, list, tuple)) and bool(value)


def _scalar(value: Any) -> str:
    """A JSON value, which YAML reads alike once nothing invisible is in it."""
    return json.dumps(visible(value) if isinstance(value, str) else value, ensure_ascii=False)
