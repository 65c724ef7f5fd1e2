"""What the two repositories on the Hub hold: the Space with the site, the dataset with the entries.

    Space      README.md (its card), and the site as leaderboards.build wrote it
    dataset    README.md, entries/ (as they lie in git), scores/ (tables), exports/eval.yaml (or at the root),
               exports/ORG/NAME/.eval_results/ (for the repositories of models)

No request is made here; leaderboards.publish makes them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmark.errors import InputError
from leaderboards.board_entries import REPORTED, BoardEntry
from leaderboards.dataset_names import dataset_name
from leaderboards.hub_changes import Target
from leaderboards.hub_exports import eval_results, eval_yaml, score_tables, split_name, yaml_text
from leaderboards.safe_text import file_name, shortened
from leaderboards.site_files import FORMAT, MARK, site_digest

TITLE = "InterRVOS leaderboards"
CARD = "README.md"
ATTRIBUTES = ".gitattributes"
ENTRIES, SCORES, EXPORTS, TASKS = "entries/", "scores/", "exports/", "eval.yaml"
NEW_SPACE = frozenset({CARD, ATTRIBUTES, "index.html", "style.css"})
"""What the Hub itself puts into a new static Space."""
BUILD = "python -m leaderboards.build"


def read_site(place: Path, expected: Mapping[str, bytes]) -> dict[str, bytes]:
    """The files of a built site, none of them edited since, all of them what the entries give.

    Args:
        expected: the site that the entries give.

    Raises:
        InputError: when no site lies there, or another one.
    """
    if not (place / MARK).is_file():
        raise InputError("no site lies here", where=str(place), fix=BUILD)
    files = _files_below(place)
    try:
        mark = json.loads(files[MARK])
        told = mark["digest"] if mark["format"] == FORMAT else None
    except (ValueError, KeyError, TypeError):
        told = None
    content = {name: data for name, data in files.items() if name != MARK}
    if told != site_digest(content):
        raise InputError("the site was changed after it was built", where=str(place), fix=f"{BUILD} again")
    if told != site_digest(expected):
        raise InputError(
            "the site was not built from these entries, or by an older version",
            where=str(place),
            fix=f"{BUILD} again, with the same --entries",
        )
    return files


def space_target(space: str, site: Mapping[str, bytes], dataset: str | None) -> Target:
    """The Space: everything in it is ours, once it is a site."""
    return Target(
        kind="space",
        name=space,
        files={**site, CARD: _space_card(dataset)},
        is_ours=lambda names: MARK in names or names <= NEW_SPACE,
        may_remove=lambda name: name != ATTRIBUTES,
        is_final=lambda name: False,
    )


def dataset_target(
    dataset: str, space: str, root: Path, entries: Sequence[BoardEntry], *, benchmark: bool
) -> Target:
    """The dataset repository: only our folders are ours, and what was published as an entry stays.

    Args:
        benchmark: eval.yaml goes to the root, which makes the Hub take the dataset for a benchmark.
    """
    files = {f"{ENTRIES}{name}": data for name, data in _files_below(root).items()}
    files.update((f"{SCORES}{name}", data) for name, data in score_tables(entries).items())
    files.update((f"{EXPORTS}{name}", data) for name, data in eval_results(entries, dataset, space).items())
    tasks = eval_yaml(entries, TITLE)
    if tasks is not None:
        files[TASKS if benchmark else f"{EXPORTS}{TASKS}"] = tasks
    files[CARD] = _dataset_card(space, entries)
    return Target(
        kind="dataset",
        name=dataset,
        files=files,
        is_ours=lambda names: any(name.startswith(ENTRIES) for name in names) or names <= {CARD, ATTRIBUTES},
        may_remove=lambda name: name == TASKS or name.startswith((ENTRIES, SCORES, EXPORTS)),
        is_final=_is_entry_file,
    )


def _is_entry_file(name: str) -> bool:
    """Whether a name is entries/DATASET-SPLIT/ID/FILE, written once and never changed."""
    parts = name.split("/")
    return len(parts) == 4 and parts[0] == ENTRIES[:-1] and parts[1] != REPORTED


def _files_below(root: Path) -> dict[str, bytes]:
    """Contents by name with forward slashes; what is hidden, half-written files among it, is left out."""
    files = {}
    for path in sorted(root.rglob("*")):
        parts = path.relative_to(root).parts
        if any(part.startswith(".") for part in parts):
            continue
        if path.is_symlink():
            raise InputError("a link is not published", where=str(path), fix="put the file itself there")
        if path.is_file():
            files["/".join(parts)] = path.read_bytes()
    return files


def _space_card(dataset: str | None) -> bytes:
    facts: dict[str, Any] = {
        "title": TITLE,
        "emoji": "🎯",
        "colorFrom": "blue",
        "colorTo": "gray",
        "sdk": "static",
        "app_file": "index.html",
        "pinned": False,
        "license": "apache-2.0",
        "short_description": "Who acts on whom: actor and target masks, ranked",
        "tags": ["leaderboard"],
    }
    source = "The entries it is built from lie in git."
    if dataset is not None:
        facts["datasets"] = [dataset]
        source = f"The entries it is built from: [{dataset}](https://huggingface.co/datasets/{dataset})."
    words = (
        "Boards of interaction-aware referring video object segmentation, as pages that make no request.\n"
        f"{source} The site is written by a program: changes made here are overwritten.\n"
    )
    return _card(facts, TITLE, words)


def _dataset_card(space: str, entries: Sequence[BoardEntry]) -> bytes:
    facts: dict[str, Any] = {
        "pretty_name": f"{TITLE}: entries",
        "license": "apache-2.0",
        "tags": ["leaderboard"],
    }
    configs: dict[str, dict[str, str]] = {}
    for one in entries:
        splits = configs.setdefault(one.entry.dataset.name, {})
        splits[split_name(one.entry.dataset.split)] = f"{SCORES}{one.folder}.csv"
    if configs:
        facts["configs"] = [
            {
                "config_name": file_name(name),
                "data_files": [{"split": split, "path": path} for split, path in sorted(splits.items())],
            }
            for name, splits in sorted(configs.items())
        ]
    names = ", ".join(shortened(dataset_name(name).title) for name in sorted(configs))
    scored = f" Scored here: {names}." if names else ""
    words = (
        f"What the [boards](https://huggingface.co/spaces/{space}) are built from.{scored}\n\n"
        "- `entries/`: one folder per entry, written once and never changed, with result and receipt where\n"
        "  they are public; `entries/reported/` are figures of papers, as printed\n"
        "- `scores/`: one table per dataset and split\n"
        "- `exports/ORG/NAME/.eval_results/`: for the repository of that model; `eval.yaml`: the tasks\n\n"
        "A mirror of files in git, written by a program: changes made here are overwritten, or stop it.\n"
    )
    return _card(facts, f"{TITLE}: entries", words)


def _card(facts: Mapping[str, Any], title: str, words: str) -> bytes:
    return f"---\n{yaml_text(facts)}---\n\n# {title}\n\n{words}".encode()
