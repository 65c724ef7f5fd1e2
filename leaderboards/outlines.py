"""Keep the true outlines of clips beside entries, so that the mask player can show them.

  python -m leaderboards.outlines --dataset interrvos --data-root DIR
  python -m leaderboards.outlines --dataset interrvos --data-root DIR --videos 2594144360_clip000,...

For data whose frames may not be published: outlines.jsonl.gz in the folder of its entries holds the
sentences and true masks of its clips, and the names of their frames, but no frame. The player lays them, and
the answers of entries that were received with --with-masks, over frames that readers choose on their own
disk. Whoever has the data runs this once; the site is built without the data then. A dataset that is built
in needs none of it. A file that lies there is replaced.

Exit codes: 0 written, 1 the input is wrong, 2 usage, 3 internal, 130 interrupted.
"""

from __future__ import annotations

from collections.abc import Sequence
from difflib import get_close_matches
from pathlib import Path

from tqdm import tqdm

from benchmark.command_line import parser, run_command
from benchmark.datasets import DATASETS, open_dataset
from benchmark.errors import UsageError
from leaderboards.build import ENTRIES
from leaderboards.clip_truth import OUTLINES, truth_of, write_truth
from leaderboards.safe_text import file_name


def main(arguments: Sequence[str]) -> None:
    """The command; see the module's docstring."""
    command = parser("leaderboards.outlines", __doc__)
    command.add_argument("--dataset", required=True, metavar="NAME")
    command.add_argument("--data-root", type=Path, metavar="DIR", help="the folder of the released files")
    command.add_argument("--split", default="val", metavar="NAME")
    command.add_argument("--videos", metavar="ID,ID", help="these clips alone")
    command.add_argument("--entries", type=Path, default=ENTRIES, metavar="DIR")
    chosen = command.parse_args(arguments)
    known = DATASETS.get(chosen.dataset)
    if known is not None and not known.needs_data_root:
        raise UsageError(f"{chosen.dataset} is built in: its clips are shown without this", where="--dataset")
    dataset = open_dataset(chosen.dataset, chosen.data_root, chosen.split)
    by_id = {video.video_id: video for video in dataset.videos}
    names = list(by_id) if chosen.videos is None else list(dict.fromkeys(chosen.videos.split(",")))
    unknown = [name for name in names if name not in by_id]
    if unknown:
        near = get_close_matches(unknown[0], by_id, n=3)
        raise UsageError(
            "the split has no such video",
            where="--videos",
            found=", ".join(unknown),
            fix=f"did you mean {' or '.join(near)}?" if near else "leave --videos out for all",
        )
    path = chosen.entries / f"{file_name(dataset.name)}-{file_name(dataset.split)}" / OUTLINES
    if not path.parent.is_dir():
        raise UsageError(
            "there are no entries of this data",
            where=str(path.parent),
            fix="python -m submissions.receive ZIP --with-masks",
        )
    clips = [truth_of(dataset, by_id[name]) for name in tqdm(names, desc="outlines", unit="clip")]
    write_truth(dataset, clips, path)
    print(f"{path}: {len(clips)} clips, {path.stat().st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    run_command(main)
