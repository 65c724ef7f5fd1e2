"""Compare results side by side: intervals, paired differences to the first, and whether they are ties.

  python -m benchmark.compare runs/ours runs/baseline
  python -m benchmark.compare runs/*/result.json --common
  python -m benchmark.compare runs/ours/result.json runs/baseline/result.json --json > comparison.json

Results are compared expression by expression, on the expressions.csv beside each result.json. The videos
are redrawn for all results alike. Two results are tied when the 95% interval of their mean difference
contains 0; a difference smaller than the detectable gap (half the width of that interval) would have been
a tie. Refused: results on different data or under different protocol versions, and, without --common,
results over different expressions.

Exit codes: 0 compared, 1 a result is wrong or not comparable, 2 usage, 3 internal.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from benchmark.command_line import parser, run_command
from benchmark.comparison import ComparedRow, ComparedSetting, Comparison, compare_results
from benchmark.json_records import to_json
from benchmark.results import RoleErrors
from benchmark.statistics import Interval, PairedDifference, check_seed
from benchmark.tables import ABSENT, RATE_NAMES, aligned, counted, shortened, shown

LABEL_WIDTH = 22


def format_comparison(comparison: Comparison) -> str:
    """A comparison as plain text."""
    parts = [f"{comparison.dataset} {comparison.split}; differences are to {next(iter(comparison.results))}"]
    for name, setting in comparison.settings.items():
        head = [name, "J", "F", "J&F", "95% interval", "minus 1st", "95% interval", "verdict"]
        rows = [_cells(row) for row in setting.rows]
        size = f"{counted(setting.expressions, 'expression')} of {counted(setting.videos, 'video')}"
        parts.append(f"{aligned([head, *rows])}\n{size}{_gaps(setting)}")
    if any(comparison.role_errors.values()) and not comparison.common_only:
        parts.append(_role_table(comparison.role_errors))
    return "\n\n".join(parts)


def _cells(row: ComparedRow) -> list[str]:
    scores = [shown(row.j), shown(row.f), shown(row.jf), _bracketed(row.intervals.jf, 1)]
    against = row.minus_first.jf if row.minus_first else None
    difference = f"{against.difference:+.2f}" if against else ABSENT
    interval = _bracketed(against.interval if against else None, 2)
    return [shortened(row.label, LABEL_WIDTH), *scores, difference, interval, _verdict(against)]


def _bracketed(interval: Interval | None, decimals: int) -> str:
    return f"[{interval[0]:.{decimals}f}, {interval[1]:.{decimals}f}]" if interval else ABSENT


def _verdict(against: PairedDifference | None) -> str:
    if against is None or against.tie is None:
        return ABSENT
    if against.tie:
        return "tie"
    return "better" if against.difference > 0 else "worse"


def _gaps(setting: ComparedSetting) -> str:
    gaps = [
        row.minus_first.jf.detectable_gap
        for row in setting.rows
        if row.minus_first and row.minus_first.jf.detectable_gap is not None
    ]
    if not gaps:
        return ""
    spread = f"{min(gaps):.2f}" if len(gaps) == 1 else f"{min(gaps):.2f} to {max(gaps):.2f}"
    return f"; J&F differences below {spread} would have been ties"


def _role_table(errors: Mapping[str, RoleErrors | None]) -> str:
    head = ["percent of expressions", *RATE_NAMES.values()]
    rows = [
        [
            shortened(label, LABEL_WIDTH),
            *(shown(getattr(one, name).percent if one else None) for name in RATE_NAMES),
        ]
        for label, one in errors.items()
    ]
    return aligned([head, *rows])


def main(arguments: Sequence[str]) -> None:
    """The command; see the module's docstring."""
    command = parser("benchmark.compare", __doc__)
    command.add_argument("results", nargs="+", type=Path, metavar="RESULT", help="result.json or its folder")
    command.add_argument("--common", action="store_true", help="compare on the expressions all results have")
    command.add_argument("--json", action="store_true", help="print the comparison as JSON")
    command.add_argument("--seed", type=int, default=0, help="of the redrawn videos")
    chosen = command.parse_args(arguments)
    check_seed(chosen.seed)
    comparison = compare_results(chosen.results, common=chosen.common, seed=chosen.seed)
    if chosen.json:
        print(json.dumps(to_json(comparison), indent=2, ensure_ascii=False, allow_nan=False))
    else:
        print(format_comparison(comparison))


if __name__ == "__main__":
    run_command(main)
