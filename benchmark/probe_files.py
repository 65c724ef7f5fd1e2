"""`probe.json`: written whole or not at all, never over another panel; read back with every check."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

from benchmark.errors import OutputError, ProblemCollector, ResultError
from benchmark.json_records import from_json, schema_of, to_json
from benchmark.probes import SCHEMA_VERSION, ProbePanel
from benchmark.stored_files import make_folder, write_json

PROBE_NAME = "probe.json"


def write_panel(panel: ProbePanel, folder: Path, *, replace: bool = False) -> Path:
    """Write `probe.json` into a folder and return its path.

    One that lies there and says the same (provenance aside) is left as it is; one of a limited run is
    replaced.

    Args:
        replace: also write over one of other content.

    Raises:
        OutputError: when another panel lies there, or the place cannot be written to.
        ResultError: when what lies there cannot be read.
    """
    make_folder(folder)
    path = folder / PROBE_NAME
    if path.exists() and not replace:
        there = read_panel(path)
        if to_json(dataclasses.replace(there, provenance={})) == to_json(
            dataclasses.replace(panel, provenance={})
        ):
            return path
        if there.limit is None:
            raise OutputError(
                "another language panel lies here and is not overwritten",
                where=str(path),
                fix="choose another --output, or throw all stored answers away with --restart",
            )
    write_json(path, to_json(panel))
    return path


def read_panel(path: Path) -> ProbePanel:
    """A `probe.json`, every field checked.

    Raises:
        ResultError: when it is missing, damaged or of another schema version.
    """
    fix = "remove it and run the same benchmark.evaluate --probe again: answers are kept"
    try:
        stored = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise ResultError(
            "not a readable language panel", where=str(path), found=str(error), fix=fix
        ) from error
    version = stored.get("schema_version") if isinstance(stored, dict) else None
    if version != SCHEMA_VERSION:
        raise ResultError(
            "language panel of another schema version",
            where=str(path),
            expected=str(SCHEMA_VERSION),
            found=repr(version),
            fix=fix,
        )
    problems = ProblemCollector()
    panel = from_json(ProbePanel, stored, problems)
    problems.raise_if_any(ResultError, f"{path}: not a valid language panel")
    assert panel is not None  # for the type checker: no problem means a record
    return panel


def probe_schema() -> str:
    """The text of `probe.schema.json`."""
    schema = schema_of(ProbePanel, "The language-sensitivity panel of the InterRVOS referee")
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"
