"""Check a submission: every problem in one pass, each with its code, place, expected, found and mend.

  python -m submissions.check my.zip
  python -m submissions.check my.zip --dataset interrvos --data-root /data/InterRVOS
  python -m submissions.check my.zip --all --report report.json

The zip is never extracted and never trusted: it is read in a process that can open no other file. Nothing
of the truth is used, so the same check runs where the truth is hidden.

Exit codes: 0 it passes, 1 it does not, 2 usage, 3 internal.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from benchmark.command_line import parser, run_command
from benchmark.stored_files import write_json
from submissions.checking import Checked, check_submission
from submissions.choices import add_dataset_flags, chosen_dataset, zip_words
from submissions.expected import expected_of
from submissions.problems import PLACES_KEPT, PLACES_SHOWN, format_findings


def main(arguments: Sequence[str]) -> int:
    """The command; see the module's docstring."""
    command = parser("submissions.check", __doc__)
    command.add_argument("zip", type=Path, metavar="ZIP")
    add_dataset_flags(command)
    command.add_argument("--all", action="store_true", help="show every place, not the first few")
    command.add_argument("--report", type=Path, metavar="JSON", help="also write the report as JSON")
    chosen = command.parse_args(arguments)
    checked = check_submission(chosen.zip, expected_of(chosen_dataset(chosen)), words=zip_words(chosen))
    if chosen.report is not None:
        write_json(chosen.report, checked.report())
    print(format_check(checked, chosen.zip.name, PLACES_KEPT if chosen.all else PLACES_SHOWN))
    return 0 if checked.passed else 1


def format_check(checked: Checked, shown: str, places: int = PLACES_SHOWN) -> str:
    """The outcome of a check as text."""
    lines = [format_findings(checked.findings.as_json(), places)] if checked.findings.codes else []
    on = f"{checked.expected.dataset} {checked.expected.split}"
    if not checked.passed:
        kinds = sum(1 for one in checked.findings.as_json() if one["severity"] == "error")
        lines.append(f"FAILED: {shown} on {on}: {checked.findings.errors} problems of {kinds} kinds")
        return "\n".join(lines)
    form = checked.layout.form.value if checked.layout else ""
    tally = checked.tally
    lines.append(
        f"PASSED: {shown} on {on}: {form}, {len(checked.video_digests)} videos, "
        f"{tally.expressions} expressions, {tally.targets} targets claimed, {tally.failed} failed"
    )
    lines.append(f"predictions {checked.digest}")
    return "\n".join(lines)


if __name__ == "__main__":
    run_command(main)
