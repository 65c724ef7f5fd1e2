"""Resuming: what invalidates which answers, and that nothing finished is lost or asked twice."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from benchmark.errors import AdapterError, OutputError, PredictionError
from benchmark.prediction_files import read_record, read_video_file
from benchmark.prediction_folder import remove_predictions
from benchmark.prediction_records import Manifest, RunRecord
from benchmark.predictions import open_predictions
from benchmark.selection import select_expressions
from benchmark.types import Role, Status, Video
from tests.benchmark.scripted_adapter import Scripted, raising, run
from tests.benchmark.tiny_clips import TinyDataset, tiny_dataset

pytestmark = pytest.mark.usefixtures("unsynced")


@pytest.fixture
def dataset() -> TinyDataset:
    return tiny_dataset(videos=3)


def asked_again(
    dataset: TinyDataset, output: Path, adapter: Scripted | None = None, **how: object
) -> list[str]:
    """Sentences that another run asks."""
    again = adapter or Scripted()
    run(again, dataset, output, **how)
    return [sentence for call in again.asked for sentence in call]


def with_text(dataset: TinyDataset, text: str) -> TinyDataset:
    """The dataset with another sentence as expression "2" of clip1."""

    def changed(video: Video) -> Video:
        if video.video_id != "clip1":
            return video
        expressions = [
            replace(one, text=text) if one.expression_id == "2" else one for one in video.expressions
        ]
        return replace(video, expressions=tuple(expressions))

    return replace(dataset, videos=tuple(changed(video) for video in dataset.videos))


def test_a_finished_run_asks_nothing_and_does_not_load(dataset: TinyDataset, tmp_path: Path) -> None:
    run(Scripted(), dataset, tmp_path).finish(dataset, None, ["rvos"])
    manifest = (tmp_path / "predictions" / "manifest.json").read_bytes()
    again = Scripted()
    run(again, dataset, tmp_path).finish(dataset, None, ["rvos"])
    assert (again.asked, again.loads) == ([], 0)
    assert (tmp_path / "predictions" / "manifest.json").read_bytes() == manifest


def test_a_run_whose_model_could_not_be_loaded_stands_in_nobodys_way(
    dataset: TinyDataset, tmp_path: Path
) -> None:
    class Broken(Scripted):
        def load(self, device: str, seed: int) -> None:
            raise OSError("no weights here")

    with pytest.raises(AdapterError, match="no weights here"):
        run(Broken(revision="one"), dataset, tmp_path)
    run(Scripted(revision="two"), dataset, tmp_path)
    with pytest.raises(PredictionError, match="revision was 'two' and is 'one'"):
        run(Broken(revision="one"), dataset, tmp_path)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"name": "other"}, "adapter was 'scripted' and is 'other'"),
        ({"version": "2"}, "version was '1' and is '2'"),
        ({"revision": "abc"}, "revision was not set and is 'abc'"),
        ({"weights_digest": "abc"}, "weights_digest was not set and is 'abc'"),
        (
            {"options": {"side": 0.5, "path": Path("a")}},
            "option path was not set and is 'a'; option",
        ),
        ({"roles": (Role.ACTOR,)}, r"roles was \['actor', 'target'\] and is \['actor'\]"),
        ({"seed": 1}, "seed was 0 and is 1"),
    ],
)
def test_another_run_is_refused_and_told_apart(
    dataset: TinyDataset, tmp_path: Path, change: dict[str, object], told: str
) -> None:
    run(Scripted(), dataset, tmp_path)
    seed = int(str(change.pop("seed", 0)))
    with pytest.raises(PredictionError, match=rf"belong to another run; found {told}.*--output.*--restart"):
        run(Scripted(**change), dataset, tmp_path, seed=seed)
    assert asked_again(dataset, tmp_path) == [], "nothing was changed by the refusal"
    everything = sum(len(video.expressions) for video in dataset.videos)
    assert len(asked_again(dataset, tmp_path, Scripted(**change), seed=seed, restart=True)) == everything


def test_another_dataset_or_split_is_refused(dataset: TinyDataset, tmp_path: Path) -> None:
    run(Scripted(), dataset, tmp_path)
    with pytest.raises(PredictionError, match="split was 'val' and is 'train'"):
        run(Scripted(), replace(dataset, split="train"), tmp_path)
    with pytest.raises(PredictionError, match="dataset was 'tiny' and is 'huge'"):
        run(Scripted(), replace(dataset, name="huge"), tmp_path)


def test_weights_that_show_only_after_loading(dataset: TinyDataset, tmp_path: Path) -> None:
    class Late(Scripted):
        weights = ""

        def load(self, device: str, seed: int) -> None:
            self.facts["weights_digest"] = self.weights

    first = Late()
    first.weights = "one"
    with pytest.raises(KeyboardInterrupt):
        run(_interrupted(first), dataset, tmp_path)
    second = Late()
    second.weights = "two"
    with pytest.raises(PredictionError, match="weights_digest was 'one' and is 'two'"):
        run(second, dataset, tmp_path)
    third = Late()
    third.weights = "one"
    folder = run(third, dataset, tmp_path)
    assert folder.record.adapter.weights_digest == "one"


def _interrupted(adapter: Scripted) -> Scripted:
    adapter.acts = {"all dancing": raising(KeyboardInterrupt())}
    return adapter


def test_a_changed_sentence_invalidates_one_answer(dataset: TinyDataset, tmp_path: Path) -> None:
    run(Scripted(), dataset, tmp_path)
    changed = with_text(dataset, "all singing")
    assert asked_again(changed, tmp_path) == ["all singing"]
    assert asked_again(changed, tmp_path) == []
    folder = run(Scripted(), changed, tmp_path)
    folder.finish(changed, None, ["rvos"])
    answers = open_predictions(tmp_path, changed).video("clip1")
    assert answers["2"].text == "ALL SINGING"
    assert list(answers) == ["0", "1", "2", "10"]


def test_changed_frames_invalidate_one_video(dataset: TinyDataset, tmp_path: Path) -> None:
    run(Scripted(), dataset, tmp_path)
    dataset.frames_fingerprint = lambda video: "new" if video.video_id == "clip1" else video.video_id
    assert asked_again(dataset, tmp_path) == [one.text for one in dataset.videos[1].expressions]
    shorter = replace(dataset.videos[2], frame_names=dataset.videos[2].frame_names[:2])
    fewer = replace(dataset, videos=(*dataset.videos[:2], shorter))
    fewer.frames_fingerprint = dataset.frames_fingerprint
    assert asked_again(fewer, tmp_path) == [one.text for one in shorter.expressions]
    run(Scripted(), fewer, tmp_path).finish(fewer, None, ["rvos"])


def test_changed_truth_matters_only_to_rows_that_are_told_it(dataset: TinyDataset, tmp_path: Path) -> None:
    class Told(Scripted):
        def open_truth(self, truth: object) -> None:
            pass

    corrected = replace(dataset, digest="e" * 64)
    run(Scripted(), dataset, tmp_path / "model")
    assert asked_again(corrected, tmp_path / "model") == []
    run(Told(uses_truth=True), dataset, tmp_path / "row")
    everything = sum(len(video.expressions) for video in dataset.videos)
    assert len(asked_again(corrected, tmp_path / "row", Told(uses_truth=True))) == everything


def test_failures_stay_until_they_are_retried(dataset: TinyDataset, tmp_path: Path) -> None:
    run(Scripted({"all dancing": raising(ValueError("no"))}), dataset, tmp_path)
    assert asked_again(dataset, tmp_path) == []
    assert asked_again(dataset, tmp_path, retry=True) == ["all dancing"] * 3
    assert asked_again(dataset, tmp_path, retry=True) == []
    run(Scripted(), dataset, tmp_path).finish(dataset, None, ["rvos"])
    assert open_predictions(tmp_path, dataset).video("clip0")["2"].status is Status.OK


def test_a_narrower_run_keeps_the_answers_of_a_wider_one(dataset: TinyDataset, tmp_path: Path) -> None:
    run(Scripted(), dataset, tmp_path)
    narrow = select_expressions(with_text(dataset, "x"), lambda one: one.expression_id == "2")
    again = Scripted()
    run(again, narrow, tmp_path)
    assert again.asked == [["x"]]
    assert asked_again(with_text(dataset, "x"), tmp_path) == []
    run(Scripted(), narrow, tmp_path).finish(narrow, None, ["rvos"])
    reader = open_predictions(tmp_path, with_text(dataset, "x"))
    assert [list(reader.video(f"clip{index}")) for index in range(3)] == [["2"]] * 3


def test_an_unfinished_run_lists_what_is_missing(dataset: TinyDataset, tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        run(Scripted({"something unseen": raising(KeyboardInterrupt())}), dataset, tmp_path)
    whole = run(Scripted(), replace(dataset, videos=dataset.videos[:2]), tmp_path)
    with pytest.raises(PredictionError, match="5 problems") as raised:
        whole.finish(dataset, None, ["rvos"])
    assert "video clip2, expression 10: no answer stored" in str(raised.value)
    assert [name for name, _ in whole.unanswered(dataset)] == ["clip2"] * 5
    with pytest.raises(
        PredictionError, match=r"not complete; expected manifest.json; found answers to 2 videos"
    ):
        open_predictions(tmp_path, dataset)


def test_going_on_takes_the_manifest_away_first(dataset: TinyDataset, tmp_path: Path) -> None:
    run(Scripted(), dataset, tmp_path).finish(dataset, None, ["rvos"])
    changed = with_text(dataset, "all singing")
    with pytest.raises(KeyboardInterrupt):
        run(Scripted({"all singing": raising(KeyboardInterrupt())}), changed, tmp_path)
    with pytest.raises(PredictionError, match="not complete"):
        open_predictions(tmp_path, changed)


def test_circumstances_of_every_session_are_kept(dataset: TinyDataset, tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        run(_interrupted(Scripted()), dataset, tmp_path)
    manifest = run(Scripted(), dataset, tmp_path).finish(dataset, 7, ["actor", "rvos"])
    assert manifest.sessions == ({"command": "test"}, {"command": "test"})
    reader = open_predictions(tmp_path, dataset)
    assert (reader.run["limit"], reader.run["settings"]) == (7, ["actor", "rvos"])
    assert reader.dataset_digest == dataset.digest
    assert reader.adapter == Scripted().info()


def test_a_damaged_file_is_named(dataset: TinyDataset, tmp_path: Path) -> None:
    folder = run(Scripted(), dataset, tmp_path)
    file = tmp_path / "predictions" / "videos" / "clip1.jsonl"
    content = file.read_bytes()
    for damage in (content[:-100], content.replace(b"RED", b"BLU"), b"", b"\n"):
        file.write_bytes(damage)
        with pytest.raises(PredictionError, match=r"clip1.jsonl: stored predictions are damaged.*delete"):
            folder.plan(dataset, dataset.videos[1])
    file.unlink()
    assert asked_again(dataset, tmp_path) == [one.text for one in dataset.videos[1].expressions]


def test_damaged_run_files_are_named(dataset: TinyDataset, tmp_path: Path) -> None:
    run(Scripted(), dataset, tmp_path)
    file = tmp_path / "predictions" / "run.json"
    good = json.loads(file.read_bytes())
    for content, sentence in (
        (b"{", "not a readable file of predictions"),
        (json.dumps({**good, "version": 99}).encode(), "version 99"),
        (json.dumps({**good, "adapter": 3, "before_load": {}}).encode(), "run.json is damaged: "),
    ):
        file.write_bytes(content)
        with pytest.raises(PredictionError, match=sentence):
            run(Scripted(), dataset, tmp_path)


def test_restart_removes_only_what_this_program_wrote(dataset: TinyDataset, tmp_path: Path) -> None:
    run(Scripted(), dataset, tmp_path).finish(dataset, None, ["rvos"])
    note = tmp_path / "predictions" / "videos" / "my notes.txt"
    note.write_text("mine")
    remove_predictions(tmp_path / "predictions")
    left = [path for path in (tmp_path / "predictions").rglob("*") if path.is_file()]
    assert left == [note]


def test_the_order_in_the_file_is_the_dataset_s(dataset: TinyDataset, tmp_path: Path) -> None:
    last_first = select_expressions(dataset, lambda one: one.expression_id == "10")
    run(Scripted(), last_first, tmp_path)
    run(Scripted(), dataset, tmp_path)
    content, _ = read_video_file(tmp_path / "predictions" / "videos" / "clip0.jsonl")
    assert [one.expression_id for one in content.predictions] == ["0", "1", "2", "10", "3"]


def test_a_file_where_the_output_should_be(dataset: TinyDataset, tmp_path: Path) -> None:
    (tmp_path / "out").write_text("a file")
    with pytest.raises(OutputError, match="a file where a folder is needed"):
        run(Scripted(), dataset, tmp_path / "out")


@pytest.mark.parametrize("content", ["x", "[]", "[" * 100_000], ids=["x", "list", "deep"])
def test_a_damaged_session_is_named(dataset: TinyDataset, tmp_path: Path, content: str) -> None:
    folder = run(Scripted(), dataset, tmp_path)
    session = next((folder.path / "sessions").glob("*.json"))
    session.write_text(content)
    with pytest.raises(PredictionError, match=f"{session}: not a readable record of a session.*delete this"):
        folder.finish(dataset, None, ["rvos"])


@pytest.mark.parametrize(
    ("name", "mend"), [("run.json", "with --restart"), ("manifest.json", "run the same evaluation again")]
)
@pytest.mark.parametrize("content", ["{", "[]", "[" * 100_000], ids=["cut", "list", "deep"])
def test_the_mend_of_a_damaged_file_throws_nothing_away_needlessly(
    dataset: TinyDataset, tmp_path: Path, name: str, mend: str, content: str
) -> None:
    folder = run(Scripted(), dataset, tmp_path)
    folder.finish(dataset, None, ["rvos"])
    (folder.path / name).write_text(content)
    kind = RunRecord if name == "run.json" else Manifest
    with pytest.raises(PredictionError, match=f"not a readable file of predictions.*{mend}"):
        read_record(kind, folder.path / name)
