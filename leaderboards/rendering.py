"""Pages from templates: everything escaped, nothing loaded from elsewhere.

A page carries its style and its script inside, named by their SHA-256 in its content-security policy, so
it works from a file, cannot be made to run anything else, and makes no request.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any

from benchmark.errors import EnvironmentProblem
from leaderboards.reported_view import short_title
from leaderboards.safe_text import file_name, https_link, shortened, visible

SHOWN_IN_FILTERS = 40
TABLES = ("table_files.js", "tables.js")
"""The scripts of a page whose tables are sorted."""
FOLDER = Path(__file__).parent
TEMPLATES = FOLDER / "templates"
ASSETS = FOLDER / "assets"


class Pages:
    """Renders pages that share the facts of one site."""

    def __init__(self, entries_digest: str) -> None:
        try:
            import jinja2
        except ModuleNotFoundError as error:
            raise EnvironmentProblem(
                "building pages needs jinja2", fix="pip install -c constraints.txt -e '.[pages]'"
            ) from error

        self._environment = jinja2.Environment(
            loader=jinja2.FileSystemLoader(TEMPLATES),
            autoescape=True,
            undefined=jinja2.StrictUndefined,
            finalize=_without_hidden_characters,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._environment.filters.update(
            two=lambda value: f"{value:.2f}",
            one=lambda value: f"{value:.1f}",
            signed=lambda value: f"{value:+.2f}".replace("-", "−"),
            count=lambda value: f"{value:,}",
            size=short_number,
            size_class=size_class,
            short=shortened,
            https=https_link,
            file_name=file_name,
            paper=short_title,
            named_words=lambda rows: [(row.name, row.words) for row in rows],
            dot_words=_dot_words,
            text_block=_Block,
            trained=lambda row: ", ".join(
                sorted({shortened(seen.dataset, SHOWN_IN_FILTERS) for seen in row.one.entry.model.trained_on})
            ),
        )
        self._entries_digest = entries_digest

    def render(
        self,
        template: str,
        path: str,
        *,
        scripts: tuple[str, ...] = (),
        loads_data: bool = False,
        **values: Any,
    ) -> bytes:
        """The page that will stand at `path`, which may lie in a folder.

        Args:
            scripts: files of `assets/` that the page carries beside the one of every page.
            loads_data: whether its script may ask for scripts of rows or masks of this site.
        """
        style = asset("pages.css")
        script = "".join(map(asset, ("page.js", *scripts)))
        text = self._environment.get_template(template).render(
            style=raw(style),
            script=raw(script),
            policies=content_policies(style, script, loads_data=loads_data),
            entries_digest=self._entries_digest,
            root="../" * path.count("/"),
            here=path,
            **values,
        )
        return text.encode()

    def parts(self, template: str, macro: str, values: Iterable[tuple[Any, ...]]) -> list[str]:
        """A macro of a template for each of some values, as texts that pages may hold as they are."""
        made = getattr(self._environment.get_template(template).module, macro)
        return [made(*one) for one in values]


class _Block(str):
    """A text of ours whose line ends stay."""


def _without_hidden_characters(value: Any) -> Any:
    return visible(value) if type(value) is str else value


def raw(text: str) -> Any:
    """A text of ours that stands in a page as it is."""
    from markupsafe import Markup

    return Markup(text)


@cache
def asset(name: str) -> str:
    """The text of a file of `assets/`."""
    return (ASSETS / name).read_text(encoding="utf-8")


def content_policies(style: str, script: str, *, loads_data: bool = False) -> tuple[str, ...]:
    """What a page may do: this style, this script, pictures that lie beside it, and nothing else.

    A page of a long table may also ask for its rows, a player for masks. The first policy lets nothing but
    its own script ask, the second lets that ask for nothing but files of this site; a browser keeps both.
    """
    allowed = f"script-src '{_hash(script)}'"
    rest = "base-uri 'none'; form-action 'none'"
    first = f"default-src 'none'; style-src '{_hash(style)}'; img-src 'self' data:; {rest}; {allowed}"
    if not loads_data:
        return (first,)
    return f"{first} 'strict-dynamic'", f"{allowed} 'self'"


def _hash(text: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"


def short_number(value: int) -> str:
    """A count in the form that fits a cell: 987, 2.7 M, 4.1 B."""
    for unit, letter in ((10**9, "B"), (10**6, "M"), (10**3, "k")):
        if value >= unit:
            return f"{value / unit:.3g} {letter}"
    return str(value)


def size_class(parameters: int | None) -> str:
    """The group of a number of parameters that rows are filtered by."""
    if parameters is None:
        return "unknown"
    edges = ((10**9, "under 1 B"), (5 * 10**9, "1 B to 5 B"), (10 * 10**9, "5 B to 10 B"))
    return next((name for edge, name in edges if parameters < edge), "10 B and more")


def _dot_words(dots: Iterable[Any], intervals: bool = True) -> list[tuple[str, tuple[str, ...]]]:
    """Names of dots with their numbers in words; reported scores are as printed and have no intervals."""
    rows: list[tuple[str, tuple[str, ...]]] = []
    for dot in dots:
        if intervals:
            low, high = dot.interval or (None, None)
            between = "one video" if low is None else f"{low:.2f} to {high:.2f}"
            rows.append((dot.name, (dot.value, f"{dot.score:.2f}", between)))
        else:
            rows.append((dot.name, (dot.value, f"{dot.score:g}")))
    return rows
