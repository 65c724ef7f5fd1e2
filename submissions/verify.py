"""Verify a receipt: is it signed by whom you trust, and do its scores come out again? Yes or no, and why.

  python -m submissions.verify receipt.json --key referee-key.pub.pem
  python -m submissions.verify receipt.json --zip my.zip
  python -m submissions.verify receipt.json --zip my.zip --data-root /data/InterRVOS --key referee-key.pub.pem

The answer is yes when the signature is that of a key you named, or when the scores were computed again
from the zip and are the same to the last digit; and when nothing that could be looked at contradicts the
receipt. A signature of a key that nobody named proves nothing, nor does an unsigned receipt alone.

Exit codes: 0 yes, 1 no, 2 usage, 3 internal.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from benchmark.command_line import parser, run_command
from benchmark.datasets import Dataset, open_dataset
from benchmark.errors import UsageError
from benchmark.provenance import collect
from submissions.check import format_check
from submissions.checking import Spool, check_submission
from submissions.expected import expected_of
from submissions.outcome import score_checked, statement
from submissions.receipt import Receipt, Statement, read_public_key, read_receipt, signature_fits


@dataclass(slots=True)
class Verdict:
    """What was looked at: facts that speak for the receipt, for nothing, and against it."""

    proofs: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    contradictions: list[str] = field(default_factory=list)

    @property
    def yes(self) -> bool:
        """Whether at least one fact proves the receipt and none contradicts it."""
        return bool(self.proofs) and not self.contradictions

    def text(self) -> str:
        """The verdict in words."""
        lines = [f"for:     {one}" for one in self.proofs]
        lines += [f"note:    {one}" for one in self.notes]
        lines += [f"against: {one}" for one in self.contradictions]
        why = "" if self.proofs or self.contradictions else ": nothing proves it"
        return "\n".join([*lines, "YES" if self.yes else f"NO{why}"])


def main(arguments: Sequence[str]) -> int:
    """The command; see the module's docstring."""
    command = parser("submissions.verify", __doc__)
    command.add_argument("receipt", type=Path, metavar="RECEIPT")
    command.add_argument("--key", type=Path, action="append", default=[], metavar="PEM", help="trusted key")
    command.add_argument("--zip", type=Path, metavar="ZIP", help="the submission, to score it again")
    command.add_argument("--data-root", type=Path, metavar="DIR")
    chosen = command.parse_args(arguments)
    receipt = read_receipt(chosen.receipt)
    stated = receipt.statement
    on = f"{stated.dataset.name} {stated.dataset.split}"
    print(f"{stated.model.name} {stated.model.version} on {on}, scored {stated.scored_at}")
    verdict = Verdict()
    look_at_signature(receipt, [read_public_key(path) for path in chosen.key], verdict)
    _score_again(chosen, receipt, arguments, verdict)
    print(verdict.text())
    return 0 if verdict.yes else 1


def look_at_signature(receipt: Receipt, trusted: Sequence[str], verdict: Verdict) -> None:
    """Judge the signature of a receipt."""
    if receipt.signature is None:
        verdict.notes.append("the receipt is not signed")
        return
    key = receipt.signature.public_key
    if not signature_fits(receipt):
        verdict.contradictions.append("the signature does not fit: receipt or signature was changed")
    elif key in trusted:
        verdict.proofs.append(f"signed by the key {key}, which you named")
    else:
        verdict.notes.append(f"signed by the key {key}, which you did not name with --key")


def _score_again(
    chosen: argparse.Namespace, receipt: Receipt, arguments: Sequence[str], verdict: Verdict
) -> None:
    stated = receipt.statement
    if chosen.zip is None:
        verdict.notes.append("not scored again: no --zip was given")
        return
    try:
        dataset = open_dataset(stated.dataset.name, chosen.data_root, stated.dataset.split, need_frames=False)
    except UsageError as error:  # no folder was named; one that was named and is wrong is an error
        verdict.notes.append(f"not scored again: the data is not at hand ({error})")
        return
    again = score_zip(chosen.zip, dataset, stated, arguments, verdict)
    if again is not None:
        compare(stated, again, verdict)


def score_zip(
    path: Path, dataset: Dataset, stated: Statement, arguments: Sequence[str], verdict: Verdict
) -> Statement | None:
    """The statement that scoring a zip gives now; `None` when it cannot be scored."""
    if dataset.digest != stated.dataset.digest:
        verdict.contradictions.append(
            f"the dataset at hand is another one: {dataset.digest} instead of {stated.dataset.digest}"
        )
        return None
    seed = stated.statistics.seed
    with Spool() as spool:
        checked = check_submission(path, expected_of(dataset), spool=spool)
        if not checked.passed:
            verdict.contradictions.append(
                f"the zip does not pass its check\n{format_check(checked, path.name)}"
            )
            return None
        if checked.digest != stated.predictions.digest:
            same = sum(
                stated.predictions.videos.get(video) == digest
                for video, digest in checked.video_digests.items()
            )
            verdict.contradictions.append(
                f"the zip holds other predictions: {same} of {len(checked.video_digests)} videos are the same"
            )
            return None
        made = collect("submissions.verify", arguments, {"bootstrap": seed})
        result = score_checked(checked, dataset, made, seed=seed)
        return statement(checked, result, rounded=stated.rounded)


def compare(stated: Statement, again: Statement, verdict: Verdict) -> None:
    """Compare what a receipt states with what came out now."""
    before = len(verdict.contradictions)
    if stated.protocols != again.protocols:
        verdict.contradictions.append("the protocols are other ones now than those of the receipt")
    if stated.model.card != again.model.card:
        verdict.contradictions.append("the facts in model.json are other ones than those of the receipt")
    if stated.statistics != again.statistics:
        verdict.contradictions.append("intervals are made in another way now than in the receipt")
    for name in sorted(stated.scores.keys() | again.scores.keys()):
        if stated.scores.get(name) != again.scores.get(name):
            now = again.scores.get(name)
            verdict.contradictions.append(
                f"{name}: the receipt says {_shown(stated, name)}, scoring again gives "
                f"{'nothing' if now is None else now.jf}"
            )
    if len(verdict.contradictions) == before:
        digits = "as rounded" if stated.rounded else "to the last digit"
        verdict.proofs.append(f"scored again from the zip: all scores and intervals are the same, {digits}")


def _shown(stated: Statement, name: str) -> str:
    return "nothing" if name not in stated.scores else str(stated.scores[name].jf)


if __name__ == "__main__":
    run_command(main)
