"""`python -m benchmark.datasets.synthetic`: pictures and splits on disk."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from benchmark.datasets.synthetic import HEIGHT, WIDTH, clip, pictures
from benchmark.datasets.synthetic.__main__ import main
from benchmark.errors import OutputError, UsageError

STORED = Path(pictures.__file__).parents[1] / "pictures"


def test_pictures_are_small_and_named_in_the_output(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["--pictures", str(tmp_path)])
    files = sorted(tmp_path.iterdir())
    assert sorted(capsys.readouterr().out.split()) == [str(path) for path in files]
    assert [path.stem for path in files] == sorted(name for name, _, _ in pictures.EXAMPLES)
    assert all(path.stat().st_size < 60_000 for path in files)


@pytest.mark.parametrize(("name", "index", "number"), pictures.EXAMPLES)
def test_stored_pictures_show_the_clips_of_today(name: str, index: int, number: int) -> None:
    with Image.open(STORED / f"{name}.png") as image:
        stored = np.asarray(image.convert("RGB")).astype(int)
    frame = clip("val", index).frames[0].repeat(pictures.SCALE, axis=0).repeat(pictures.SCALE, axis=1)
    assert (STORED / f"{name}.png").stat().st_size < 60_000
    shown = stored[: HEIGHT * pictures.SCALE, : WIDTH * pictures.SCALE]
    assert np.abs(shown - frame).mean() < 8  # a palette has fewer colours
    assert clip("val", index).expressions[number].targets


def test_an_expression_without_target_has_a_picture_too() -> None:
    shown = clip("val", 0)
    plain = next(e for e in shown.expressions if not e.targets)
    assert pictures.strip(shown, plain).mode == "P"


def test_writing_some_clips(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["--write", str(tmp_path), "--split", "train", "--count", "2"])
    assert capsys.readouterr().out.strip() == str(tmp_path / "train")
    assert len(list((tmp_path / "train" / "JPEGImages").iterdir())) == 2


def test_wrong_requests_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="nothing to do"):
        main([])
    with pytest.raises(UsageError, match="--count must be positive"):
        main(["--write", str(tmp_path), "--count", "0"])
    with pytest.raises(UsageError, match="no split 'test'"):
        main(["--write", str(tmp_path), "--split", "test"])
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(OutputError, match="cannot write the pictures"):
        main(["--pictures", str(tmp_path / "file")])
