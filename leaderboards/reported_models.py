"""The models of the reported tables: one id for one model, whatever name a paper prints.

    leaderboards/entries/models.json      described by leaderboards/models.schema.json

What several models share (paper, code, licence) is said once, in their family. `null` means that no
source was found; it is never better than a fact. A family that other papers only mention has no paper here.

`python -m leaderboards.reported_models` prints the schema.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path

from benchmark.errors import ProblemCollector, ResultError
from benchmark.json_records import entry, from_json, schema_of
from leaderboards.reported import ReportedTable, read_json_object
from leaderboards.reported_rules import FIGURE, check_link, check_text, check_unique

FORMAT = "interrvos-referee reported models"
VERSION = 1


@dataclass(frozen=True, slots=True)
class Family:
    """Models of one paper and one code base."""

    id: str
    paper: str | None = field(metadata=entry(doc="title of the paper"))
    venue: str | None
    year: int | None
    link: str | None = field(metadata=entry(doc="the paper, https"))
    code: str | None = field(metadata=entry(doc="https"))
    licence: str | None = field(metadata=entry(doc="SPDX identifier, of the code where weights say nothing"))
    sources: tuple[str, ...] = field(metadata=entry(doc="where these facts were read"))
    note: str | None


@dataclass(frozen=True, slots=True)
class Model:
    """One model: one set of weights, or what a paper lets stand for it."""

    id: str
    name: str
    family: str
    ablation_of: str | None = field(metadata=entry(doc="the model of which a part was taken away or varied"))
    parameters: str | None = field(metadata=entry(doc="billions, as stated"))
    parameters_source: str | None
    open_weights: bool | None = field(metadata=entry(doc="null where not known"))
    weights: str | None = field(metadata=entry(doc="https"))
    note: str | None

    @property
    def billions(self) -> Decimal | None:
        """The number of parameters in billions, as many digits as are stated."""
        return None if self.parameters is None else Decimal(self.parameters)


@dataclass(frozen=True, slots=True)
class Models:
    """Everything that models.json holds."""

    format: str
    version: int
    families: tuple[Family, ...]
    models: tuple[Model, ...]

    def by_id(self) -> Mapping[str, Model]:
        """Every model by its id."""
        return {one.id: one for one in self.models}

    def family_of(self, model: Model) -> Family:
        """The family of a model."""
        return next(one for one in self.families if one.id == model.family)


def read_models(path: Path, tables: Iterable[ReportedTable] = ()) -> Models:
    """The models of a file, every field checked.

    Args:
        tables: every row of theirs must name a model of the file.

    Raises:
        ResultError: with everything that is wrong, by field.
    """
    problems = ProblemCollector()
    value = read_json_object(path, problems)
    read = None if value is None else from_json(Models, value, problems, str(path))
    if read is not None:
        _check(read, str(path), problems)
        known = read.by_id()
        for table in tables:
            for row in table.rows:
                if row.model not in known:
                    where = f"{table.id}.json/rows/{row.id}/model"
                    problems.add("a model without facts", where=where, expected=str(path), found=row.model)
    problems.raise_if_any(ResultError, f"models of {path}")
    assert read is not None  # no problem means a record
    return read


def _check(read: Models, where: str, problems: ProblemCollector) -> None:
    if (read.format, read.version) != (FORMAT, VERSION):
        found = f"{read.format} {read.version}"
        problems.add("another format", where=f"{where}/format", expected=f"{FORMAT} {VERSION}", found=found)
    check_unique([one.id for one in read.families], f"{where}/families", problems)
    check_unique([one.id for one in read.models], f"{where}/models", problems)
    check_text(read, where, problems)
    families, models = {one.id for one in read.families}, {one.id for one in read.models}
    for family in read.families:
        check_link(family.link, f"{where}/families/{family.id}/link", problems)
        check_link(family.code, f"{where}/families/{family.id}/code", problems)
        if not family.sources:
            problems.add("facts without a source", where=f"{where}/families/{family.id}/sources")
    for model in read.models:
        place = f"{where}/models/{model.id}"
        check_link(model.weights, f"{place}/weights", problems)
        if model.family not in families:
            problems.add("no such family", where=f"{place}/family", found=model.family)
        if model.ablation_of is not None and model.ablation_of not in models:
            problems.add("no such model", where=f"{place}/ablation_of", found=model.ablation_of)
        if (model.parameters is None) != (model.parameters_source is None):
            problems.add("parameters and their source go together", where=f"{place}/parameters")
        if model.parameters is not None and not FIGURE.fullmatch(model.parameters):
            problems.add("not a figure", where=f"{place}/parameters", found=model.parameters)


def models_schema() -> str:
    """The text of `models.schema.json`."""
    schema = schema_of(Models, "The models of the reported tables")
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    print(models_schema(), end="")
