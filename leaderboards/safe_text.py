"""Texts of strangers made harmless: what a submitter wrote is shown as text, and as nothing else.

Escaping for HTML is left to the templates (jinja2, on for every value); here is what escaping does not do.
"""

from __future__ import annotations

import re
import unicodedata

SHOWN_IN_TABLES = 80
_LINK = re.compile(r"https://[A-Za-z0-9.-]+\.[A-Za-z]{2,}(:[0-9]{1,5})?(/[!#$%&()*+,./:;=?@_~A-Za-z0-9-]*)?")
_NOT_PLAIN = re.compile(r"[^a-z0-9]+")
_FORMULA = ("=", "+", "-", "@", "\t", "\r")
_LATEX = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    **{sign: f"\\{sign}" for sign in "&%$#_{}"},
}


def visible(text: str) -> str:
    """The text without characters that do not show or turn the direction of their neighbours.

    Line ends and tabs become spaces; every other control, format, private or unassigned character goes
    (Unicode general category C), the right-to-left overrides and isolates among them.
    """
    if text.isascii() and text.isprintable():
        return text
    spaced = (" " if sign in "\n\r\t\u2028\u2029" else sign for sign in text)
    return "".join(sign for sign in spaced if unicodedata.category(sign)[0] != "C")


def shortened(text: str, longest: int = SHOWN_IN_TABLES) -> str:
    """The text cut to fit a cell of a table, with an ellipsis where something is missing."""
    shown = visible(text)
    return shown if len(shown) <= longest else f"{shown[: longest - 1].rstrip()}…"


def https_link(text: str | None) -> str | None:
    """The text when it is an https link that says where it goes, and nothing otherwise."""
    return text if text is not None and _LINK.fullmatch(text) else None


def csv_cell(value: object) -> str:
    """A cell of a CSV file that no spreadsheet takes for a formula; absent values are empty."""
    if value is None:
        return ""
    if isinstance(value, (int, float)):
        return str(value)
    shown = visible(str(value))
    return f"'{shown}" if shown.startswith(_FORMULA) else shown


def latex_text(text: str) -> str:
    """The text with everything escaped that LaTeX would obey."""
    return "".join(_LATEX.get(sign, sign) for sign in visible(text))


def file_name(text: str) -> str:
    """The text as a part of a file name: lower-case letters, digits and hyphens."""
    return _NOT_PLAIN.sub("-", text.lower()).strip("-") or "none"
