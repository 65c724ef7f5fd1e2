"""Join the predictions of shards that were made on machines without a shared disk.

  python -m benchmark.merge a/runs/mine b/runs/mine --output runs/mine
  python -m benchmark.merge part1 part2 part3 --output whole --dataset interrvos --data-root /data/InterRVOS
  python -m benchmark.merge part1 part2 --output whole --settings rvos --limit 100

Each PART is the output folder of a `benchmark.evaluate --shard I/N`. All must be of one run (same model,
options, seed, dataset), and every query must be there exactly once. Queries that are there twice are
listed, and nothing is written. Queries that are missing are listed too; the others are kept in OUTPUT,
where the same benchmark.evaluate asks what is missing. Name the same dataset, settings and limit as for
benchmark.evaluate. `benchmark.score --predictions OUTPUT` then gives the result.

Exit codes: 0 joined, 1 the input is wrong, 2 usage, 3 internal.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from benchmark.command_line import parser, run_command
from benchmark.datasets import Dataset, open_dataset
from benchmark.errors import OutputError, PredictionError, ProblemCollector
from benchmark.json_records import to_json
from benchmark.prediction_files import (
    RUN_FILE,
    SESSIONS_FOLDER,
    VIDEOS_FOLDER,
    read_record,
    read_video_file,
    read_video_head,
    write_video_file,
)
from benchmark.prediction_folder import FOLDER_NAME, PredictionFolder, refuse_differences
from benchmark.prediction_records import RunRecord
from benchmark.protocol import SETTINGS, load_protocols
from benchmark.selection import select_expressions
from benchmark.stored_files import make_folder, write_atomically, write_json


def merge_predictions(
    parts: Sequence[Path], output: Path, selection: Dataset, limit: int | None, settings: Sequence[str]
) -> Path:
    """Join prediction folders into `output/predictions` and return that folder.

    Args:
        parts: output folders, or the prediction folders in them.
        selection: the dataset narrowed to the expressions of the run.

    Raises:
        PredictionError: when the parts belong to different runs or a query is there twice (nothing is
            written), or when queries are missing (the folder is written without its manifest).
        OutputError: when predictions lie at `output` already, or it cannot be written to.
    """
    folders = [_folder(part) for part in parts]
    records = [read_record(RunRecord, folder / RUN_FILE) for folder in folders]
    for folder, record in zip(folders[1:], records[1:], strict=True):
        refuse_differences(records[0].before_load, record.before_load, folder)
        if records[0].after_load and record.after_load:
            refuse_differences(records[0].after_load, record.after_load, folder)
    files = _video_files(folders)
    destination = output / FOLDER_NAME
    if (destination / RUN_FILE).exists():
        raise OutputError(
            "predictions lie here already", where=str(destination), fix="choose another --output"
        )
    for folder in (destination / VIDEOS_FOLDER, destination / SESSIONS_FOLDER):
        make_folder(folder)
    loaded = next((record for record in records if record.after_load), records[0])
    write_json(destination / RUN_FILE, to_json(loaded))
    for file in files:
        write_video_file(destination / VIDEOS_FOLDER, read_video_file(file)[0])
    for folder in folders:
        for session in sorted((folder / SESSIONS_FOLDER).glob("*.json")):
            write_atomically(destination / SESSIONS_FOLDER / session.name, session.read_bytes())
    PredictionFolder(destination, loaded).finish(selection, limit, settings)
    return destination


def _folder(part: Path) -> Path:
    for folder in (part, part / FOLDER_NAME):
        if (folder / RUN_FILE).is_file():
            return folder
    raise PredictionError(
        "no predictions here",
        where=str(part),
        expected="the output folder of a benchmark.evaluate --shard",
        found="nothing of the kind" if part.exists() else "no such folder",
    )


def _video_files(folders: Sequence[Path]) -> list[Path]:
    problems = ProblemCollector()
    owners: dict[str, Path] = {}
    files = []
    for folder in folders:
        for file in sorted((folder / VIDEOS_FOLDER).glob("*.jsonl")):
            head, _ = read_video_head(file)
            if head.video_id in owners:
                problems.add(
                    "predicted twice",
                    where=f"video {head.video_id}",
                    found=f"in {owners[head.video_id]} and {folder}",
                )
            owners.setdefault(head.video_id, folder)
            files.append(file)
    problems.raise_if_any(PredictionError, "every query must be there once")
    return files


def main(arguments: Sequence[str]) -> None:
    """The command; see the module's docstring."""
    command = parser("benchmark.merge", __doc__)
    command.add_argument("parts", type=Path, nargs="+", metavar="PART")
    command.add_argument("--output", type=Path, required=True, metavar="DIR")
    command.add_argument(
        "--dataset", default="interrvos-synthetic", metavar="NAME", help="default: %(default)s"
    )
    command.add_argument("--data-root", type=Path, metavar="DIR")
    command.add_argument("--split", default="val", help="default: %(default)s")
    command.add_argument(
        "--settings", default=",".join(SETTINGS), metavar="LIST", help="default: %(default)s"
    )
    command.add_argument("--limit", type=int, metavar="N")
    given = command.parse_args(arguments)
    protocols = load_protocols(given.settings.split(","))
    dataset = open_dataset(given.dataset, given.data_root, given.split)
    selection = select_expressions(
        dataset, lambda one: any(protocol.selects(one) for protocol in protocols), given.limit
    )
    settings = [protocol.setting for protocol in protocols]
    print(merge_predictions(given.parts, given.output, selection, given.limit, settings))


if __name__ == "__main__":
    run_command(main)
