"""Addresses and keys of services: checked before anything is sent, and never repeated in a message."""

from __future__ import annotations

import ipaddress
import os
from urllib.parse import urlsplit

from benchmark.errors import AdapterError


def check_url(url: str, with_key: bool) -> None:
    """Refuse an address that is none, that holds a password, or that a key would reach unencrypted.

    Raises:
        AdapterError: with the reason; what may be secret in the address is not repeated.
    """
    parts = urlsplit(url)
    where = "--option url"
    if parts.username or parts.password or parts.query or parts.fragment:
        raise AdapterError(
            "the address holds more than an address",
            where=where,
            expected="no user, password, query or fragment: addresses are stored with results",
            fix="put a key into an environment variable and name it with --option key_variable=...",
        )
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise AdapterError("not an address", where=where, expected="https://HOST/v1", found=repr(url))
    if with_key and parts.scheme == "http" and not _is_this_machine(parts.hostname):
        raise AdapterError(
            "the key would travel unencrypted",
            where=where,
            found=repr(url),
            fix="use https://, or leave key_variable out",
        )


def read_key(variable: str | None) -> str | None:
    """The key in an environment variable; `None` where no variable is named.

    Raises:
        AdapterError: when the variable is not set, or holds what cannot be a key. Its value is not shown.
    """
    if variable is None:
        return None
    key = os.environ.get(variable, "").strip()
    where = f"environment variable {variable}"
    if not key:
        raise AdapterError(
            "there is no key", where=where, fix=f"export {variable}=... in the shell that starts the run"
        )
    if not all("!" <= letter <= "~" for letter in key):
        raise AdapterError("this cannot be a key", where=where, expected="printable ASCII without spaces")
    return key


def _is_this_machine(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
