"""Finding adapters by name, and the sentences for those that cannot be had."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest

from benchmark.adapter import (
    ENTRY_POINT_GROUP,
    Adapter,
    TruthForSanityRow,
    adapter_names,
    check_info,
    load_adapter,
)
from benchmark.errors import AdapterError, CheckpointError, UsageError
from benchmark.masks import empty_track
from benchmark.types import AdapterInfo, Prediction
from tests.benchmark.scripted_adapter import Scripted

ROOT = Path(__file__).resolve().parents[2]
HEAD = """
from benchmark.adapter import Adapter
from benchmark.types import AdapterInfo, Prediction

"""
GOOD = """
class Mine(Adapter):
    def __init__(self, size: int = 3) -> None:
        self.size = size
    def info(self):
        return AdapterInfo("mine", "1")
    def predict(self, queries):
        return [Prediction() for _ in queries]
"""


@pytest.fixture
def write_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[object]:
    """Writes an importable module and returns its name."""
    monkeypatch.syspath_prepend(str(tmp_path))
    names: list[str] = []

    def write(body: str) -> str:
        name = f"module_of_a_test_{len(names)}"
        (tmp_path / f"{name}.py").write_text(HEAD + body)
        names.append(name)
        return name

    yield write
    for name in names:
        sys.modules.pop(name, None)


def declare(monkeypatch: pytest.MonkeyPatch, **points: str) -> None:
    """Pretend that installed packages declare these entry points."""
    made = [metadata.EntryPoint(name, value, ENTRY_POINT_GROUP) for name, value in points.items()]
    monkeypatch.setattr(metadata, "entry_points", lambda group: made if group == ENTRY_POINT_GROUP else [])


def test_the_sanity_rows_are_known_and_describe_themselves() -> None:
    rows = {"oracle", "empty", "full_frame", "centre_box", "swapped_roles", "wrong_expression"}
    assert rows <= set(adapter_names())
    for name in ("oracle", "empty", "full_frame", "centre_box"):
        adapter = load_adapter(name)
        assert adapter.info().name == name
        assert adapter.summary


def test_listing_adapters_imports_none_of_them() -> None:
    script = (
        "import sys; from benchmark.adapter import adapter_names; adapter_names();"
        "print([m for m in sys.modules if m.startswith(('torch', 'transformers', 'adapters.'))])"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


def test_an_unknown_name_suggests_the_nearest() -> None:
    with pytest.raises(UsageError, match="did you mean oracle") as raised:
        load_adapter("orcale")
    assert raised.value.exit_code == 2
    with pytest.raises(UsageError, match="choose one of centre_box, empty") as raised:
        load_adapter("xxxxxxxx")
    assert str(raised.value).count("centre_box") == 1


def test_module_and_class(write_module) -> None:
    name = write_module(GOOD)
    adapter = load_adapter(f"{name}:Mine", {"size": "7"})
    assert adapter.size == 7
    assert adapter.chosen_options == {"size": 7}
    assert load_adapter(f"{name}:Mine").chosen_options == {"size": 3}


def test_entry_points_of_other_packages(write_module, monkeypatch: pytest.MonkeyPatch) -> None:
    name = write_module(GOOD)
    declare(monkeypatch, foreign=f"{name}:Mine", oracle=f"{name}:Mine")
    assert "foreign" in adapter_names()
    assert load_adapter("foreign", {"size": "4"}).info().name == "mine"
    with pytest.raises(AdapterError, match="'oracle' is used twice"):
        load_adapter("oracle")


def test_another_package_called_adapters_is_recognised(tmp_path: Path) -> None:
    (tmp_path / "adapters").mkdir()
    (tmp_path / "adapters" / "__init__.py").write_text("")
    script = (
        "import sys\n"
        "from benchmark.adapter import load_adapter\n"
        "from benchmark.errors import AdapterError\n"
        f"sys.path.insert(0, {str(tmp_path)!r})\n"
        "try:\n    load_adapter('oracle')\nexcept AdapterError as error:\n    print(error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert "the name `adapters` belongs to another package here" in done.stdout
    assert str(tmp_path) in done.stdout and "pip uninstall adapters" in done.stdout


@pytest.mark.parametrize(
    ("body", "class_name", "error", "sentence"),
    [
        ("import a_package_that_is_not_there", "Mine", AdapterError, "cannot be imported"),
        ("1 / 0", "Mine", AdapterError, "ZeroDivisionError"),
        (GOOD, "Other", UsageError, "no adapter of that name"),
        ("Mine = 3", "Mine", UsageError, "expected a subclass of benchmark.adapter.Adapter; found 3"),
        ("class Mine(Adapter):\n    pass", "Mine", AdapterError, "no definition of info, predict"),
        (
            GOOD.replace("self.size = size", "raise ValueError('no\\nway')"),
            "Mine",
            AdapterError,
            "ValueError: no",
        ),
    ],
)
def test_what_cannot_be_made_is_told_in_a_sentence(
    write_module, body: str, class_name: str, error: type[Exception], sentence: str
) -> None:
    with pytest.raises(error, match=sentence):
        load_adapter(f"{write_module(body)}:{class_name}")


def test_errors_of_ours_pass_through(write_module) -> None:
    body = GOOD.replace("self.size = size", "raise CheckpointError('weights are gone')")
    with pytest.raises(CheckpointError, match="weights are gone"):
        load_adapter(f"{write_module('from benchmark.errors import CheckpointError' + body)}:Mine")


def test_a_missing_module_is_a_usage_error() -> None:
    with pytest.raises(UsageError, match="unknown module 'not_there_at_all'"):
        load_adapter("not_there_at_all:Mine")


def test_a_file_of_adapters_holds_one_class(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from benchmark import adapter as loading

    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "two_of_them.py").write_text(HEAD + GOOD + GOOD.replace("Mine", "Yours"))
    module = loading._import("two_of_them", "two_of_them")
    with pytest.raises(AdapterError, match="exactly one adapter class; found Mine, Yours"):
        loading._only_class(module, "two_of_them")
    sys.modules.pop("two_of_them")


def test_truth_must_be_asked_for_on_purpose() -> None:
    class Forgetful(Adapter):
        def info(self) -> AdapterInfo:
            return AdapterInfo("forgetful", "1", uses_truth=True)

        def predict(self, queries: object) -> list[Prediction]:
            return []

    row = TruthForSanityRow(empty_track(1, 2, 3), None, ())
    with pytest.raises(TypeError, match="declares uses_truth but does not define open_truth"):
        Forgetful().open_truth([row])


@pytest.mark.parametrize(
    ("facts", "sentence"),
    [
        ({"name": 5}, "/name: wrong value; expected a text"),
        ({"roles": ()}, "wrong roles"),
        ({"roles": ("actor", "target")}, "wrong roles"),
        ({"options": {"x": float("nan")}}, "cannot be stored in JSON"),
    ],
)
def test_facts_that_cannot_be_stored(facts: dict[str, Any], sentence: str) -> None:
    with pytest.raises(AdapterError, match=sentence):
        check_info(Scripted(**facts), "scripted")


def test_an_adapter_that_says_nothing_of_itself() -> None:
    class Silent(Scripted):
        def info(self) -> Any:
            return None

    with pytest.raises(AdapterError, match="not facts of an adapter"):
        check_info(Silent(), "silent")
