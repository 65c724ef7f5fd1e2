"""`score_tracks`: every form a track may come in gives the same scores."""

from __future__ import annotations

from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pycocotools import mask as coco

from benchmark.errors import MaskError, ProtocolError
from benchmark.masks import encode_track, write_mask_png
from benchmark.metrics import score_tracks
from benchmark.metrics import track_scoring as module
from benchmark.metrics.definition import boundary_radius, frame_counts
from benchmark.run_lengths import runs_from_text
from tests.benchmark.golden_clips import expression_clips

torch.set_num_threads(1)
CLIP = expression_clips()[0]
TRUTH, PREDICTED = CLIP.instances[[0, 1]].any(axis=0), CLIP.predicted[2]
HEIGHT, WIDTH = TRUTH.shape[1:]
WANTED = [
    frame_counts(*pair, boundary_radius(HEIGHT, WIDTH)).tolist()
    for pair in zip(TRUTH, PREDICTED, strict=True)
]


def folder(masks: np.ndarray, path: Path) -> Path:
    path.mkdir(exist_ok=True)
    for index, mask in enumerate(masks):
        write_mask_png(mask, path / f"{index:05d}.png")
    return path


def forms(masks: np.ndarray, path: Path) -> dict[str, Any]:
    track = encode_track(masks)
    dicts = [coco.encode(np.asfortranarray(mask.astype(np.uint8))) for mask in masks]
    uncompressed = [
        {
            "size": [HEIGHT, WIDTH],
            "counts": [HEIGHT * WIDTH] if text is None else runs_from_text(text, HEIGHT, WIDTH).tolist(),
        }
        for text in track.counts
    ]
    return {
        "MaskTrack": track,
        "COCO dicts": dicts,
        "uncompressed": uncompressed,
        "text": [None if text is None else text.decode() for text in track.counts],
        "bytes": list(track.counts),
        "bool": masks,
        "uint8": masks.astype(np.uint8) * 255,
        "logits": np.where(masks, 2.5, -1.0).astype(np.float32),
        "torch bool": torch.from_numpy(masks),
        "torch logits": torch.where(torch.from_numpy(masks), 1.0, -1.0).to(torch.bfloat16),
        "folder": folder(masks, path),
        "folder name": str(folder(masks, path)),
    }


def test_all_forms_agree(tmp_path: Path) -> None:
    truths, predictions = forms(TRUTH, tmp_path / "t"), forms(PREDICTED, tmp_path / "p")
    for one, other in product(truths, predictions):
        scores = score_tracks(truths[one], predictions[other], size=(HEIGHT, WIDTH))
        assert scores.counted.counts.tolist() == WANTED, (one, other)
        assert scores.counted.truth_areas.tolist() == TRUTH.sum(axis=(1, 2)).tolist()
        assert scores.counted.pixels == HEIGHT * WIDTH


def test_a_size_is_known_from_the_other_track(tmp_path: Path) -> None:
    nothing = [None] * len(TRUTH)
    for name, track in forms(PREDICTED, tmp_path / "p").items():
        if name not in ("text", "bytes"):
            scores = score_tracks(nothing, track)
            assert scores.counted.counts[:, 1].tolist() == PREDICTED.sum((1, 2)).tolist(), name
            assert score_tracks(track, nothing).counted.pixels == HEIGHT * WIDTH


def test_arrays_as_they_come() -> None:
    """Turned around, read-only, of the other byte order, of more bits, of another library, trained."""
    turned = score_tracks(TRUTH[::-1, ::-1], PREDICTED[::-1, ::-1]).counted.counts
    assert turned[::-1, :2].tolist() == [row[:2] for row in WANTED]
    frozen = PREDICTED.copy()
    frozen.flags.writeable = False

    class Foreign:
        """What other libraries' arrays have in common."""

        dtype, ndim, shape = PREDICTED.dtype, PREDICTED.ndim, PREDICTED.shape

        def __array__(self, dtype: Any = None, copy: Any = None) -> np.ndarray:
            return PREDICTED

    values = np.where(PREDICTED, 2.5, -1.0)
    trained = torch.from_numpy(values).requires_grad_()
    arrays = [frozen, values.astype(">f4"), values.astype(np.longdouble), Foreign(), trained, trained.half()]
    for masks in arrays:
        assert score_tracks(TRUTH, masks).counted.counts.tolist() == WANTED
    for radius in (np.int64(3), np.uint8(3)):
        found = score_tracks(TRUTH, PREDICTED, radius=radius).counted.counts  # type: ignore[arg-type]
        assert np.array_equal(found, score_tracks(TRUTH, PREDICTED, radius=3).counted.counts)


def test_means() -> None:
    truth = np.zeros((4, 10, 10), bool)
    truth[:2, 2:6, 2:6] = True
    predicted = truth.copy()
    predicted[1, 2:6, 2:4] = False
    predicted[3] = True
    scores = score_tracks(truth, predicted)
    assert scores.j.tolist() == [1.0, 0.5, 1.0, 0.0]
    assert scores.f[[0, 2, 3]].tolist() == [1.0, 1.0, 1.0]  # a full mask has no boundary
    assert scores.absent.tolist() == [False, False, True, True]
    assert (
        scores.jf_mean == (scores.j_mean + scores.f_mean) / 2 == (np.mean(scores.j) + np.mean(scores.f)) / 2
    )


def test_tolerance_and_threshold() -> None:
    narrow, wide = (score_tracks(TRUTH, PREDICTED, radius=radius).f_mean for radius in (0, 10))
    assert narrow < wide
    probabilities = np.where(PREDICTED, 0.7, 0.3)
    assert score_tracks(TRUTH, probabilities, threshold=0.5).counted.counts.tolist() == WANTED
    with pytest.raises(ProtocolError, match="negative"):
        score_tracks(TRUTH, PREDICTED, radius=-1)


def test_folders_are_read_a_few_frames_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    truth, predicted = folder(TRUTH, tmp_path / "t"), folder(PREDICTED, tmp_path / "p")
    for pixels in (1, 2 * HEIGHT * WIDTH, 5 * HEIGHT * WIDTH):
        monkeypatch.setattr(module, "CHUNK_PIXELS", pixels)
        assert score_tracks(truth, predicted).counted.counts.tolist() == WANTED
    (predicted / "00003.png").unlink()
    with pytest.raises(MaskError, match=r"00003\.png"):
        score_tracks(truth, predicted)


def test_wrong_input(tmp_path: Path) -> None:
    bad = np.full((1, 3, 3), np.nan)
    good = np.zeros((1, 3, 3), bool)
    for masks in (bad, torch.from_numpy(bad)):
        with pytest.raises(MaskError, match="frame 0 of the prediction: a mask holds values"):
            score_tracks(good, masks)
        late = np.concatenate((np.zeros((2, 3, 3)), bad))
        for unclear in (late, torch.from_numpy(late)):
            with pytest.raises(MaskError, match=r"frame 2 of the truth: .*found NaN"):
                score_tracks(unclear, [None] * 3, size=(3, 3))
    with pytest.raises(MaskError, match="no track"):
        score_tracks(good, 3)  # type: ignore[arg-type]
    with pytest.raises(MaskError, match="one frame size"):
        score_tracks([b"9"], [b"9"])
    with pytest.raises(MaskError, match="frame 1 of the truth"):
        score_tracks([b"9", b"~"], good, size=(3, 3))
    with pytest.raises(MaskError, match="frame 0 of the prediction: not a run-length mask"):
        score_tracks(good, [{"size": [3, 3], "counts": 4.5}])
    with pytest.raises(MaskError, match="differ in length"):
        score_tracks(good, np.zeros((2, 3, 3), bool))
    with pytest.raises(MaskError, match="without frames"):
        score_tracks(good[:0], good[:0])
    for wrong in (good.astype(int), good.astype(complex), good.astype(object), torch.from_numpy(good).int()):
        with pytest.raises(MaskError, match="the truth has a dtype that masks do not come in"):
            score_tracks(wrong, good)
        with pytest.raises(MaskError, match="the prediction has a dtype"):
            score_tracks([None], wrong, size=(3, 3))
    for wrong in (good[0], good[None], good[:, :0], torch.zeros(3)):
        with pytest.raises(MaskError, match=r"the prediction must be a \(T, H, W\) array of masks"):
            score_tracks(good, wrong)
    coco = [{"size": [3, 3], "counts": b"9"}, {"size": [3, 4], "counts": b"<"}]
    with pytest.raises(MaskError, match=r"frame 1 of the truth: frames of one track differ.*3x3; .*3x4"):
        score_tracks(coco, good)
    with pytest.raises(MaskError, match="frame 0 of the prediction: a run is longer than a frame can be"):
        score_tracks(good, [{"size": [3, 3], "counts": [2**70, 3]}])
    sizes = ("ab", [3], None, [3.0, 3])
    for size in sizes:
        with pytest.raises(MaskError, match="frame 0 of the truth: a frame size is two whole numbers"):
            score_tracks([{"size": size, "counts": b"9"}], [None])
        if size:
            with pytest.raises(MaskError, match="size: a frame size is two whole numbers"):
                score_tracks([b"9"], [b"9"], size=size)  # type: ignore[arg-type]
    with pytest.raises(MaskError, match="frame 1 of the prediction: a frame size is two"):
        score_tracks(good, [None, {"counts": b"9"}])
    with pytest.raises(MaskError, match=r"frame 0 of the prediction: not a run-length mask; .* found none"):
        score_tracks(good, [{"size": [3, 3]}])
    with pytest.raises(MaskError, match=r"frame 0 of the prediction: not a run-length mask; .*Fix: stack"):
        score_tracks(good, list(good))
    with pytest.raises(MaskError, match="threshold of masks is not a number"):
        score_tracks(good, good, threshold=float("nan"))
    for radius in (2.5, "2"):
        with pytest.raises(ProtocolError, match="whole number of pixels"):
            score_tracks(good, good, radius=radius)  # type: ignore[arg-type]
    dense = torch.from_numpy(good)
    for masks, sentence in (
        (dense.to("meta"), "is on a device that masks are not read from; .* found meta"),
        (dense.to_sparse(), "is not a dense tensor"),
        (dense.float().to(torch.float8_e5m2), "has a dtype that masks do not come in"),
    ):
        with pytest.raises(MaskError, match=f"the prediction {sentence}"):
            score_tracks(good, masks)
        with pytest.raises(MaskError, match=f"the truth {sentence}"):
            score_tracks(masks, dense)
    with pytest.raises(MaskError, match="no such folder"):
        score_tracks(tmp_path / "a", tmp_path / "b")


def test_scores_print_as_a_line() -> None:
    present = TRUTH.any(axis=(1, 2))
    scores, frames = score_tracks(TRUTH[present], PREDICTED[present]), np.count_nonzero(present)
    assert str(scores) == (
        f"J {scores.j_mean:.4f}  F {scores.f_mean:.4f}  J&F {scores.jf_mean:.4f}  ({frames} frames)"
    )
    assert scores.absence_accuracy is None
    truth, filled = np.zeros((3, 6, 6), bool), np.zeros((3, 6, 6), bool)
    truth[0], filled[:2] = True, True
    scores = score_tracks(truth, filled)
    assert str(scores) == (
        "J 0.6667  F 1.0000  J&F 0.8333  (3 frames); 1 of 2 frames without truth left empty"
    )
    assert scores.absence_accuracy == 0.5
