"""Write clips of interrvos-synthetic to disk, or pictures of them.

The benchmark needs no call of this: it renders what it needs into the cache (`$INTERRVOS_CACHE` or
`~/.cache/interrvos-referee`). Use it to look at the data, or to train something of your own on it.

examples:
  python -m benchmark.datasets.synthetic --pictures strips
  python -m benchmark.datasets.synthetic --write data/synthetic --split val
  python -m benchmark.datasets.synthetic --write data/synthetic --split train --count 500
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from benchmark.command_line import parser, run_command
from benchmark.datasets.synthetic.clips import SPLITS
from benchmark.datasets.synthetic.layout import write_split
from benchmark.datasets.synthetic.pictures import write_examples
from benchmark.errors import UsageError


def main(arguments: Sequence[str]) -> int | None:
    """Run the command."""
    reader = parser("benchmark.datasets.synthetic", __doc__)
    reader.add_argument(
        "--pictures", type=Path, metavar="DIR", help="write a few contact strips (PNG) to DIR"
    )
    reader.add_argument("--write", type=Path, metavar="DIR", help="write a split to DIR/SPLIT")
    reader.add_argument("--split", default="val", help=f"{' or '.join(SPLITS)} (default: val)")
    reader.add_argument("--count", type=int, metavar="N", help="write the first N clips only")
    options = reader.parse_args(arguments)
    if options.pictures is None and options.write is None:
        raise UsageError("nothing to do", expected="--pictures DIR or --write DIR", fix="name one of them")
    if options.count is not None and options.count < 1:
        raise UsageError("--count must be positive", where="--count", found=str(options.count))
    if options.pictures is not None:
        for path in write_examples(options.pictures):
            print(path)
    if options.write is not None:
        print(write_split(options.write, options.split, options.count))
    return None


if __name__ == "__main__":
    run_command(main)
