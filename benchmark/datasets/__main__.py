"""List the datasets, or check one on disk and count what it holds.

    python -m benchmark.datasets
        the table of datasets
    python -m benchmark.datasets check /data/InterRVOS
        every split there: all problems at once, grouped, and counts per caption type
    python -m benchmark.datasets check /data/InterRVOS --split val --variant new
        the files new_meta_expressions.json and new_mask_dict.json of one split
    python -m benchmark.datasets check
        the built-in synthetic set

The check reads both JSON files, the header and the end of every frame, and every mask. It leaves an index
beside the mask file (or in $INTERRVOS_CACHE, where the folder is read-only), which makes later openings
quick. Exit code: 0 no problems, 1 problems, 2 usage.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from benchmark.command_line import parser, run_command
from benchmark.datasets import DATASETS
from benchmark.datasets.check import check_split, format_report
from benchmark.datasets.split_folder import SPLITS, VARIANTS, find_split, splits_at


def main(arguments: Sequence[str]) -> int:
    """Run the command; see the module's manual."""
    command = parser("benchmark.datasets", __doc__)
    actions = command.add_subparsers(dest="action", metavar="ACTION")
    actions.add_parser("list", help="the table of datasets (the default)")
    check = actions.add_parser("check", help="report all problems of a dataset on disk, and its counts")
    check.add_argument("folder", nargs="?", type=Path, metavar="DIR", help="default: the built-in set")
    check.add_argument("--split", choices=SPLITS, help="default: every split found in DIR")
    check.add_argument("--variant", choices=sorted(VARIANTS), default="released", help="which files to read")
    chosen = command.parse_args(arguments)
    if chosen.action == "check":
        return _check(chosen.folder, chosen.split, chosen.variant)
    print(format_table())
    return 0


def format_table() -> str:
    """The table of datasets: name, whether a download is needed, what it is."""
    width = max(map(len, DATASETS))
    return "\n".join(
        f"{name:<{width}}  {'--data-root DIR' if entry.needs_data_root else 'built in':<15}  {entry.summary}"
        for name, entry in DATASETS.items()
    )


def _check(folder: Path | None, split: str | None, variant: str) -> int:
    if folder is None:
        from benchmark.datasets.synthetic import cached_split

        split = split or "val"
        folder = cached_split(split)
    splits = [split] if split else splits_at(folder, variant) or ["val"]
    problems = 0
    for name in splits:
        report = check_split(find_split(folder, name, variant, need_masks=False))
        print(format_report(report))
        problems += report.problem_count
    return 1 if problems else 0


if __name__ == "__main__":
    run_command(main)
