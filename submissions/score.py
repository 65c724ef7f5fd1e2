"""Check and score a submission: the same numbers as benchmark.score gives on the same predictions.

  python -m submissions.score my.zip
  python -m submissions.score my.zip --dataset interrvos --data-root /data/InterRVOS --output scores
  python -m submissions.score my.zip --public-report public.json --output private --key referee-key.pem

Writes result.json, expressions.csv, frame_scores.npz and receipt.json to OUTPUT (default: beside the zip).
A submission that does not pass its check is not scored, and says why.

With --public-report only rounded aggregates leave: they alone are printed, and written to the given
file together with a receipt of rounded scores; OUTPUT is private then, and holds everything else.

Exit codes: 0 scored, 1 the submission or the data is wrong, 2 usage, 3 internal.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from benchmark.command_line import parser, run_command
from benchmark.json_records import to_json
from benchmark.provenance import collect
from benchmark.score import format_table, write_result
from benchmark.stored_files import make_folder, write_json
from submissions.check import format_check
from submissions.checking import Spool, check_submission
from submissions.choices import add_dataset_flags, chosen_dataset, zip_words
from submissions.expected import expected_of
from submissions.outcome import format_scores, score_checked, statement
from submissions.receipt import make_receipt, write_receipt

RECEIPT = "receipt.json"


def main(arguments: Sequence[str]) -> int:
    """The command; see the module's docstring."""
    command = parser("submissions.score", __doc__)
    command.add_argument("zip", type=Path, metavar="ZIP")
    add_dataset_flags(command)
    command.add_argument("--output", type=Path, metavar="DIR", help="default: ZIP without its ending")
    command.add_argument("--public-report", type=Path, metavar="JSON")
    command.add_argument("--key", type=Path, metavar="PEM", help="sign the receipt with this private key")
    command.add_argument("--metric-engine", default="auto", help="see benchmark.score")
    command.add_argument("--seed", type=int, default=0, help="of the redrawn videos behind the intervals")
    command.add_argument("--force", action="store_true", help="replace another result at the output")
    chosen = command.parse_args(arguments)
    provenance = collect("submissions.score", arguments, {"bootstrap": chosen.seed})
    dataset = chosen_dataset(chosen)
    output = chosen.output or chosen.zip.with_name(f"{chosen.zip.stem}-scores")
    with Spool() as spool:
        checked = check_submission(chosen.zip, expected_of(dataset), spool=spool, words=zip_words(chosen))
        print(format_check(checked, chosen.zip.name))
        if not checked.passed:
            return 1
        result = score_checked(checked, dataset, provenance, engine=chosen.metric_engine, seed=chosen.seed)
        hidden = chosen.public_report is not None
        receipt = make_receipt(statement(checked, result, rounded=hidden), chosen.key)
        print()
        print(format_scores(receipt.statement.scores) if hidden else format_table(result))
        make_folder(output)
        path = write_result(result, output, replace=chosen.force)
        write_receipt(receipt, output / RECEIPT)
        if hidden:
            write_json(chosen.public_report, to_json(receipt))
            print(f"\npublic: {chosen.public_report}\nprivate: {output}")
        else:
            print(f"\nresult: {path}\nreceipt: {output / RECEIPT} ({receipt.note})")
    return 0


if __name__ == "__main__":
    run_command(main)
