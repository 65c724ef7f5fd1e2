"""Protocols: the three shipped ones, and what a wrong file is told."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmark.errors import ProtocolError, UsageError
from benchmark.protocol import FOLDER, SETTINGS, load_protocols, read_protocol
from benchmark.types import Expression, Role

INTERACTION = Expression("0", "red pushing blue", "unidirectional", ("1",), ("2", "3"))
NO_TARGET = Expression("1", "red walking", "unidirectional", ("1",))
MUTUAL = Expression("2", "red and blue dancing", "bidirectional", ("1", "2"), ("9",))
ALONE = Expression("3", "red disc", "single", ("1",))


def test_three_settings_have_the_names_results_use() -> None:
    names = [protocol.name for protocol in load_protocols()]
    assert names == ["InterRVOS-Actor", "InterRVOS-Target", "RVOS"]
    assert [protocol.version for protocol in load_protocols()] == [1, 1, 1]


def test_order_and_repetition_on_the_command_line_do_not_matter() -> None:
    assert load_protocols(["rvos", " Actor ", "rvos"]) == load_protocols(["actor", "rvos"])


def test_actor_and_target_select_interactions_only() -> None:
    actor, target, rvos = load_protocols()
    for protocol in (actor, target):
        chosen = [e for e in (INTERACTION, NO_TARGET, MUTUAL, ALONE) if protocol.selects(e)]
        assert chosen == [INTERACTION]
    assert all(rvos.selects(e) for e in (INTERACTION, NO_TARGET, MUTUAL, ALONE))


def test_truth_is_the_actor_or_the_targets() -> None:
    actor, target, rvos = load_protocols()
    assert actor.truth_ids(INTERACTION) == rvos.truth_ids(INTERACTION) == ("1",)
    assert target.truth_ids(INTERACTION) == ("2", "3")
    assert (actor.role, target.role, rvos.role) == (Role.ACTOR, Role.TARGET, Role.ACTOR)


@pytest.mark.parametrize("settings", [["actr"], [], ["actor", ""]])
def test_an_unknown_setting_is_a_usage_error_with_a_suggestion(settings: list[str]) -> None:
    with pytest.raises(UsageError, match="actor") as caught:
        load_protocols(settings)
    assert caught.value.exit_code == 2


def edited(tmp_path: Path, *changes: tuple[str, str]) -> Path:
    text = (FOLDER / "actor.toml").read_text()
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    path = tmp_path / "edited.toml"
    path.write_text(text)
    return path


def test_all_problems_of_a_file_are_listed_together(tmp_path: Path) -> None:
    path = edited(
        tmp_path,
        ("version = 1", "version = 0"),
        ('frames = "all"', 'frames = "without-first-and-last"'),
        ('missing = "zero-on-every-frame"', "colour = 3"),
        ('name = "InterRVOS-Actor"', 'name = ""'),
        ("0.008", "0.01"),
    )
    with pytest.raises(ProtocolError) as caught:
        read_protocol(path)
    message = str(caught.value)
    for part in (
        "unknown key 'colour'",
        "'missing' is missing",
        "'version'",
        "'name'",
        "0.01",
        "without-first",
    ):
        assert part in message
    assert "6 problems" in message


def test_a_target_protocol_over_all_expressions_is_refused(tmp_path: Path) -> None:
    path = edited(tmp_path, ('role = "actor"', 'role = "target"'), ('"interaction"', '"all"'))
    with pytest.raises(ProtocolError, match="needs selection 'interaction'"):
        read_protocol(path)


def test_a_file_that_is_missing_or_no_toml_is_named(tmp_path: Path) -> None:
    with pytest.raises(ProtocolError, match=r"nothing\.toml: protocol file is missing"):
        read_protocol(tmp_path / "nothing.toml")
    (tmp_path / "broken.toml").write_text("name = [")
    with pytest.raises(ProtocolError, match=r"broken\.toml: protocol file is not readable TOML"):
        read_protocol(tmp_path / "broken.toml")


def test_the_digest_follows_the_rules_and_not_the_comments(tmp_path: Path) -> None:
    shipped = read_protocol(FOLDER / "actor.toml")
    commented = edited(tmp_path, ("# InterRVOS-Actor: who does it", "# another remark"))
    assert read_protocol(commented).digest == shipped.digest
    newer = edited(tmp_path, ("version = 1", "version = 2"))
    assert read_protocol(newer).digest != shipped.digest


def test_every_shipped_file_is_a_setting() -> None:
    assert sorted(path.stem for path in FOLDER.glob("*.toml")) == sorted(SETTINGS)
    for setting in SETTINGS:
        assert read_protocol(FOLDER / f"{setting}.toml").setting == setting
