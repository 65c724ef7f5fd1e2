"""Results as plain text: aligned columns, two decimals, at most 100 characters wide.

Numbers are rounded here and nowhere else, as the official scripts round for display.
"""

from __future__ import annotations

from collections.abc import Sequence

from benchmark.breakdowns import GROUPINGS
from benchmark.results import GroupScores, Rate, Result, SettingScores
from benchmark.statistics import Interval

ABSENT = "-"
RATE_NAMES = {
    "role_swap": "roles swapped",
    "target_claimed": "target claimed",
    "missed_target": "target missed",
    "false_target": "false target",
}
NAME_WIDTH = 30


def format_table(result: Result, *, breakdown: bool = False) -> str:
    """The final table of a run: settings, role errors, cost; with `breakdown`, groups of expressions."""
    parts = [_heading(result), _settings(result)]
    reasons = [f"{name}: {one.undefined}" for name, one in result.settings.items() if one.undefined]
    parts += ["\n".join(reasons)] if reasons else []
    if result.role_errors is not None:
        parts.append(_roles(result))
    parts += _costs(result)
    if breakdown:
        parts += [text for name in GROUPINGS if (text := _breakdown(result, name))]
    return "\n\n".join(parts)


def aligned(rows: Sequence[Sequence[str]], left: int = 1) -> str:
    """Rows as columns two spaces apart: the first `left` columns flush left, numbers flush right."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = []
    for row in rows:
        cells = [
            cell.ljust(width) if column < left else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)


def shown(value: float | None, decimals: int = 2) -> str:
    """A number with fixed decimals; a dash where there is none."""
    return ABSENT if value is None else f"{value:.{decimals}f}"


def shown_interval(interval: Interval | None) -> str:
    """An interval in words."""
    return ABSENT if interval is None else f"{interval[0]:.2f} to {interval[1]:.2f}"


def counted(number: int, noun: str) -> str:
    """A number of things in words."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def two_digits(value: float) -> str:
    """A measured value with two significant digits, written out: 0.073, 4.4, 160, 12,000."""
    rounded = float(f"{value:.2g}")
    return f"{rounded:,.0f}" if rounded >= 10 else f"{rounded:.2g}"


def shortened(text: str, width: int) -> str:
    """The text, cut at `width` with three dots."""
    return text if len(text) <= width else text[: width - 3] + "..."


def _heading(result: Result) -> str:
    dataset, adapter = result.dataset, result.adapter
    who = f"{adapter.name} {adapter.version}" if adapter else "predictions of an unnamed model"
    lines = [
        f"{shortened(who, 60)} on {dataset.name} {dataset.split}: "
        f"{counted(dataset.videos, 'video')}, {counted(dataset.expressions, 'expression')}"
    ]
    if adapter and adapter.uses_truth:
        lines.append("This adapter may look at the annotation: a bound of the scale, not a model.")
    if result.partial:
        part = result.partial
        lines.append(
            f"PARTIAL ({part.reason}): {part.expressions} of {part.expressions_of_split} expressions; "
            "not comparable with a result on all of them."
        )
    return "\n".join(lines)


def _settings(result: Result) -> str:
    confidence = f"{100 * result.statistics.confidence:g}% interval"
    head = ["setting", "J", "F", "J&F", confidence, "expressions", "failed", "missing"]
    return aligned([head, *(_setting_row(name, one) for name, one in result.settings.items())])


def _setting_row(name: str, one: SettingScores) -> list[str]:
    scores = [shown(one.j), shown(one.f), shown(one.jf), shown_interval(one.intervals.jf)]
    return [name, *scores, str(one.expressions), str(sum(one.failed.values())), str(one.missing)]


def _roles(result: Result) -> str:
    rates: list[tuple[str, Rate]] = [
        (label, getattr(result.role_errors, name)) for name, label in RATE_NAMES.items()
    ]
    confidence = f"{100 * result.statistics.confidence:g}% interval"
    rows = [
        [label, shown(rate.percent), shown_interval(rate.interval), f"{rate.count} of {rate.of}"]
        for label, rate in rates
    ]
    return aligned([["roles", "percent", confidence, "expressions"], *rows])


def _costs(result: Result) -> list[str]:
    cost, facts = result.cost, []
    if cost.seconds_per_expression is not None:
        facts.append(f"{two_digits(cost.seconds_per_expression)} s per expression")
    if cost.seconds_per_video is not None:
        facts.append(f"{two_digits(cost.seconds_per_video)} s per video")
    if cost.frames_per_second is not None:
        facts.append(f"{two_digits(cost.frames_per_second)} answered frames per second")
    if cost.gpu_seconds_per_expression is not None:
        facts.append(f"{two_digits(cost.gpu_seconds_per_expression)} GPU-seconds per expression")
    if cost.peak_gpu_memory_bytes is not None:
        facts.append(f"{cost.peak_gpu_memory_bytes / 2**30:.2f} GiB of GPU memory")
    elif cost.peak_memory_bytes is not None:
        facts.append(f"{cost.peak_memory_bytes / 2**30:.2f} GiB of memory")
    if cost.parameters is not None:
        facts.append(f"{cost.parameters:,} parameters")
    return [f"cost: {', '.join(facts)}"] if facts else []


def _breakdown(result: Result, grouping: str) -> str:
    """J&F of each group, one column per setting; empty when no setting has a group."""
    columns = {name: {one.group: one for one in each.by[grouping]} for name, each in result.settings.items()}
    groups = list(dict.fromkeys(group for column in columns.values() for group in column))
    if not groups:
        return ""
    head = [grouping.replace("_", " "), *(f"{name} J&F" for name in columns)]
    rows = [
        [shortened(group, NAME_WIDTH), *(_group_cell(column.get(group)) for column in columns.values())]
        for group in groups
    ]
    return aligned([head, *rows])


def _group_cell(one: GroupScores | None) -> str:
    if one is None:
        return ABSENT
    interval = one.intervals.jf
    around = f" [{interval[0]:.1f}, {interval[1]:.1f}]" if interval else ""
    return f"{one.jf:.2f}{around} n={one.expressions}"
