"""The flags that all commands about a submission share: which dataset it is for."""

from __future__ import annotations

import argparse
import shlex
from pathlib import Path

from benchmark.datasets import Dataset, open_dataset

DEFAULT_DATASET = "interrvos-synthetic"


def add_dataset_flags(command: argparse.ArgumentParser) -> None:
    """Add --dataset, --data-root and --split."""
    command.add_argument("--dataset", metavar="NAME", help=f"default: {DEFAULT_DATASET}")
    command.add_argument("--data-root", type=Path, metavar="DIR")
    command.add_argument("--split", default="val")


def chosen_dataset(chosen: argparse.Namespace) -> Dataset:
    """The dataset that the flags name. Frames are not needed: masks know their size.

    Raises:
        UsageError: for an unknown dataset or a missing data root.
        DatasetError: when something is wrong with its files.
    """
    return open_dataset(chosen.dataset or DEFAULT_DATASET, chosen.data_root, chosen.split, need_frames=False)


def dataset_words(chosen: argparse.Namespace) -> str:
    """The flags again, as words for a command to be printed; nothing for the default dataset."""
    words = ["--dataset", chosen.dataset] if chosen.dataset not in (None, DEFAULT_DATASET) else []
    words += ["--data-root", str(chosen.data_root)] if chosen.data_root is not None else []
    words += ["--split", chosen.split] if chosen.split != "val" else []
    return "".join(f" {shlex.quote(word)}" for word in words)


def zip_words(chosen: argparse.Namespace) -> str:
    """The zip of a command with the flags of its dataset, as words for a command to be printed."""
    return shlex.quote(str(chosen.zip)) + dataset_words(chosen)


def remote_words(name: str, dataset: Dataset) -> str:
    """The same for someone whose folders we do not know."""
    known = argparse.Namespace(dataset=dataset.name, data_root=None, split=dataset.split)
    root = "" if dataset.name == DEFAULT_DATASET else " --data-root DIR"
    return shlex.quote(name) + dataset_words(known) + root
