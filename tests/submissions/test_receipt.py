"""Receipts: any change breaks the signature, no other key fits, and verify says yes or no and why."""

from __future__ import annotations

import json
import stat
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from benchmark.errors import DatasetError, EnvironmentProblem, InputError, OutputError, ResultError
from benchmark.json_records import to_json
from benchmark.result_files import read_result
from benchmark.score import main as score_predictions
from submissions import examples
from submissions.check import main as check
from submissions.make_key import main as make_key
from submissions.receipt import (
    Receipt,
    make_receipt,
    read_private_key,
    read_public_key,
    read_receipt,
    schema,
    signature_fits,
    signed_by,
)
from submissions.score import main as score
from submissions.verify import main as verify
from tests.submissions.conftest import put
from tests.submissions.test_pack import official

pytestmark = pytest.mark.usefixtures("in_process")


@pytest.fixture(scope="module")
def key(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("keys") / "referee.pem"
    make_key([str(path)])
    return path


@pytest.fixture(scope="module")
def scored(tmp_path_factory: pytest.TempPathFactory, on_data: list[str], key: Path) -> Path:
    """A folder with a scored submission, its zip, and a signed receipt."""
    folder = tmp_path_factory.mktemp("scored")
    zipped = put(folder / "my.zip", examples.passing()["passing"])
    assert score([str(zipped), *on_data, "--output", str(folder), "--key", str(key)]) == 0
    return folder


@pytest.fixture
def receipt(scored: Path) -> Receipt:
    return read_receipt(scored / "receipt.json")


def public(key: Path) -> Path:
    return key.with_name("referee.pub.pem")


def test_scores_are_those_of_the_benchmark(
    scored: Path, receipt: Receipt, tmp_path: Path, on_data: list[str]
) -> None:
    score_predictions(["--predictions", str(official(tmp_path)), *on_data, "--output", str(tmp_path / "r")])
    theirs, ours = read_result(tmp_path / "r"), read_result(scored)
    assert ours.settings == theirs.settings and ours.predictions == theirs.predictions
    assert receipt.statement.scores["RVOS"].jf == theirs.settings["RVOS"].jf == 100.0
    assert (scored / "expressions.csv").read_bytes() == (tmp_path / "r" / "expressions.csv").read_bytes()


def test_key_files_are_private_and_never_overwritten(key: Path, tmp_path: Path) -> None:
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    assert read_public_key(key) == read_public_key(public(key))
    before = key.read_bytes()
    with pytest.raises(OutputError, match="a key lies here already"):
        make_key([str(key)])
    assert key.read_bytes() == before
    with pytest.raises(OutputError):
        make_key([str(tmp_path / "no" / "key.pem")])


def test_wrong_key_files_are_named(key: Path, tmp_path: Path) -> None:
    from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
    from cryptography.hazmat.primitives.serialization import (
        Encoding,
        NoEncryption,
        PrivateFormat,
        PublicFormat,
    )

    other = generate_private_key(SECP256R1())
    secret = other.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    open_part = other.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    for content in (b"no key", secret):
        with pytest.raises(InputError, match="not an Ed25519 key"):
            read_private_key(put(tmp_path / "a.pem", content))
    for content in (b"no key", open_part):
        with pytest.raises(InputError, match="not an Ed25519 key"):
            read_public_key(put(tmp_path / "b.pem", content))


def test_missing_package_is_named(scored: Path, receipt: Receipt, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cryptography", None)
    with pytest.raises(EnvironmentProblem, match=r"pip install -c constraints.txt -e '\.\[sign\]'"):
        signature_fits(receipt)
    with pytest.raises(EnvironmentProblem, match=r"pip install -c constraints.txt -e '\.\[sign\]'"):
        make_key([str(scored / "other.pem")])


def leaves(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    if isinstance(value, dict | list):
        items = value.items() if isinstance(value, dict) else enumerate(value)
        return [leaf for key, item in items for leaf in leaves(item, (*path, key))]
    return [path]


def test_any_changed_value_breaks_the_signature(receipt: Receipt, scored: Path, tmp_path: Path) -> None:
    stored = json.loads((scored / "receipt.json").read_text())
    assert signature_fits(receipt)
    for path in leaves(stored["statement"]):
        changed = json.loads(json.dumps(stored))
        place = changed["statement"]
        for part in path[:-1]:
            place = place[part]
        old = place[path[-1]]
        place[path[-1]] = {str: "x", int: 7, float: 1.5, bool: not old, type(None): None}[type(old)]
        if old is None or path[-1] in ("format", "version"):
            continue
        broken = put(tmp_path / "receipt.json", json.dumps(changed).encode())
        assert not signature_fits(read_receipt(broken)), path


def test_spacing_and_order_do_not_break_it(scored: Path, tmp_path: Path) -> None:
    stored = json.loads((scored / "receipt.json").read_text())
    turned = {"note": stored["note"], "signature": stored["signature"], "statement": stored["statement"]}
    assert signature_fits(read_receipt(put(tmp_path / "r.json", json.dumps(turned).encode())))


def test_trust_is_in_named_keys_alone(receipt: Receipt, key: Path) -> None:
    assert signed_by(receipt, [read_public_key(key)])
    assert not signed_by(receipt, []) and not signed_by(receipt, ["00" * 32])
    assert receipt.signature is not None
    for signature in (
        replace(receipt.signature, value="zz"),
        replace(receipt.signature, public_key="00"),
        replace(receipt.signature, algorithm="none"),
    ):
        assert not signature_fits(replace(receipt, signature=signature))
    assert not signature_fits(replace(receipt, signature=None))


def test_schema_accepts_a_receipt(receipt: Receipt) -> None:
    import jsonschema

    jsonschema.validate(to_json(receipt), schema())


def test_damaged_receipts_are_named(scored: Path, tmp_path: Path) -> None:
    with pytest.raises(ResultError, match="cannot read the receipt"):
        read_receipt(tmp_path / "none.json")
    with pytest.raises(ResultError, match="not a receipt"):
        read_receipt(put(tmp_path / "a.json", b'{"a": NaN}'))
    with pytest.raises(ResultError, match="key is missing"):
        read_receipt(put(tmp_path / "b.json", b"{}"))
    stored = json.loads((scored / "receipt.json").read_text())
    stored["statement"]["version"] = 2
    with pytest.raises(ResultError, match="not a receipt of this version"):
        read_receipt(put(tmp_path / "c.json", json.dumps(stored).encode()))
    with open(tmp_path / "d.json", "wb") as file:
        file.truncate(65 << 20)
    with pytest.raises(ResultError, match="too large for a receipt"):
        read_receipt(tmp_path / "d.json")


def said(capsys: pytest.CaptureFixture[str]) -> str:
    return capsys.readouterr().out


def test_verify_says_yes_to_a_named_key_and_to_equal_scores(
    scored: Path, key: Path, data_root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    receipt, again = str(scored / "receipt.json"), ["--data-root", str(data_root)]
    assert verify([receipt, "--key", str(public(key))]) == 0
    assert "which you named" in said(capsys)
    assert verify([receipt, "--zip", str(scored / "my.zip"), *again]) == 0
    told = said(capsys)
    assert "to the last digit" in told and "which you did not name" in told and told.endswith("YES\n")


def test_verify_says_no_where_nothing_proves_it(
    scored: Path, receipt: Receipt, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert verify([str(scored / "receipt.json")]) == 1
    assert said(capsys).endswith("NO: nothing proves it\n")
    unsigned = make_receipt(receipt.statement, None)
    path = put(tmp_path / "r.json", json.dumps(to_json(unsigned)).encode())
    assert verify([str(path)]) == 1
    told = said(capsys)
    assert "not signed" in told and "NOT SIGNED" in unsigned.note


def test_verify_without_the_data_judges_the_signature_alone(
    scored: Path, key: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [str(scored / "receipt.json"), "--zip", str(scored / "my.zip")]
    assert verify([*words, "--key", str(public(key))]) == 0
    assert "the data is not at hand (--data-root: the dataset interrvos needs a folder" in said(capsys)
    assert verify(words) == 1
    assert said(capsys).endswith("NO: nothing proves it\n")
    with pytest.raises(DatasetError, match="data root does not exist"):
        verify([*words, "--data-root", str(scored / "nowhere")])


def test_verify_finds_edited_scores_other_masks_and_other_data(
    scored: Path, key: Path, data_root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    stored = json.loads((scored / "receipt.json").read_text())
    stored["statement"]["scores"]["RVOS"]["J&F"] = 100.5
    edited = str(put(tmp_path / "edited.json", json.dumps(stored).encode()))
    again = ["--zip", str(scored / "my.zip"), "--data-root", str(data_root), "--key", str(public(key))]
    assert verify([edited, *again]) == 1
    told = said(capsys)
    assert "signature does not fit" in told and "RVOS: the receipt says 100.5" in told

    other = str(put(tmp_path / "other.zip", examples.FAILING["all-empty"]()))
    receipt = str(scored / "receipt.json")
    assert verify([receipt, "--zip", other, "--data-root", str(data_root)]) == 1
    assert "other predictions: 0 of 2 videos" in said(capsys)

    broken = str(put(tmp_path / "broken.zip", examples.FAILING["rle-size"]()))
    assert verify([receipt, "--zip", broken, "--data-root", str(data_root)]) == 1
    assert "rle-size" in said(capsys)

    stored = json.loads((scored / "receipt.json").read_text())
    stored["statement"]["dataset"]["digest"] = "0" * 64
    elsewhere = str(put(tmp_path / "elsewhere.json", json.dumps(stored).encode()))
    assert verify([elsewhere, "--zip", str(scored / "my.zip"), "--data-root", str(data_root)]) == 1
    assert "dataset at hand is another one" in said(capsys)

    stored = json.loads((scored / "receipt.json").read_text())
    stored["statement"]["protocols"]["RVOS"]["version"] = 99
    stored["statement"]["model"]["card"] = "0" * 64
    stored["statement"]["statistics"]["method"] = "guessed"
    older = str(put(tmp_path / "older.json", json.dumps(stored).encode()))
    assert verify([older, "--zip", str(scored / "my.zip"), "--data-root", str(data_root)]) == 1
    told = said(capsys)
    assert "protocols are other ones" in told and "facts in model.json" in told and "another way" in told


def test_public_report_holds_rounded_aggregates_alone(
    tmp_path: Path, on_data: list[str], data_root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    zipped = put(tmp_path / "my.zip", imperfect())
    report = tmp_path / "public.json"
    flags = ["--output", str(tmp_path / "private"), "--public-report", str(report)]
    assert score([str(zipped), *on_data, *flags]) == 0
    private = read_result(tmp_path / "private").settings["RVOS"].jf
    told = said(capsys)
    text = report.read_text()
    assert private is not None and str(private) not in text and str(private) not in told
    stated = read_receipt(report).statement
    assert stated.rounded and stated.scores["RVOS"].jf == round(private, 2) != private
    for word in ("expressions.csv", "scores_digest", "frame", "truth", "caption"):
        assert word not in text
    assert verify([str(report), "--zip", str(zipped), "--data-root", str(data_root)]) == 0
    assert "as rounded" in said(capsys)


def imperfect() -> bytes:
    """A submission whose scores have many digits."""
    import numpy as np

    members = examples.tree()
    mask = np.zeros((examples.HEIGHT, examples.WIDTH), np.uint8)
    mask[2:5, 1:7] = 255
    return examples.zipped({**members, "video_a/0/actor/00000.png": examples.png(mask)})


def test_failing_submission_is_not_scored(
    tmp_path: Path, on_data: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    zipped = put(tmp_path / "bad.zip", examples.FAILING["missing-frame"]())
    assert score([str(zipped), *on_data]) == 1
    assert "missing-frame" in said(capsys) and not (tmp_path / "bad-scores").exists()


def test_check_command_reports_and_exits(
    tmp_path: Path, on_data: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    good = put(tmp_path / "good.zip", examples.passing()["passing-mevis"])
    assert check([str(good), *on_data]) == 0
    assert "PASSED: good.zip on interrvos val: png-actor-only, 2 videos, 4 expressions" in said(capsys)
    members = {name: data for name, data in examples.tree().items() if "/actor/" not in name}
    bad = put(tmp_path / "bad.zip", examples.zipped(members))
    report = tmp_path / "report.json"
    assert check([str(bad), *on_data, "--report", str(report), "--all"]) == 1
    told = said(capsys)
    assert "error missing-role" in told and "4 places" in told and "FAILED: bad.zip" in told
    stored = json.loads(report.read_text())
    assert stored["findings"][0]["count"] == 4 and not stored["passed"]


def test_wrong_model_facts_stop_scoring_before_truth_is_opened(tmp_path: Path, on_data: list[str]) -> None:
    for code in ("roles-mismatch", "model-value"):
        assert score([str(put(tmp_path / "bad.zip", examples.FAILING[code]())), *on_data]) == 1
