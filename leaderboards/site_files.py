"""A site on disk: written beside its place, then put there whole; never over a folder that is no site."""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import shutil
from collections.abc import Mapping
from pathlib import Path

from benchmark.errors import OutputError
from benchmark.stored_files import TEMPORARY_PREFIX, as_output_error, make_folder, sync_folder

MARK = "site.json"
FORMAT = "interrvos-referee site"
VERSION = 1


def site_digest(files: Mapping[str, bytes]) -> str:
    """SHA-256 over the names and contents of all files."""
    total = hashlib.sha256()
    for name in sorted(files):
        total.update(f"{name}\0{len(files[name])}\0".encode())
        total.update(files[name])
    return total.hexdigest()


def write_site(files: Mapping[str, bytes], place: Path) -> None:
    """Write every file below `place`, in the stead of a site that lies there.

    Args:
        files: contents by name with forward slashes.

    Raises:
        OutputError: when something lies there that is no site, or the place cannot be written to.
    """
    place = Path(os.path.abspath(place))
    if place.exists() and not _is_site_or_empty(place):
        raise OutputError(
            "what lies here is not a site and is not replaced",
            where=str(place),
            expected=f"a folder with {MARK}, an empty one, or none",
            fix="choose another --output",
        )
    make_folder(place.parent)
    _remove_leftovers(place)
    made = place.with_name(f"{TEMPORARY_PREFIX}{place.name}-{secrets.token_hex(8)}")
    old = place.with_name(f"{TEMPORARY_PREFIX}{place.name}-{secrets.token_hex(8)}")
    mark = {"format": FORMAT, "version": VERSION, "files": len(files), "digest": site_digest(files)}
    try:
        _write_all({**files, MARK: f"{json.dumps(mark, indent=1)}\n".encode()}, made)
        if place.exists():
            os.rename(place, old)
        os.rename(made, place)
        sync_folder(place.parent)
    except OSError as error:
        if old.exists() and not place.exists():
            os.rename(old, place)
        raise as_output_error(error, place) from error
    finally:
        shutil.rmtree(made, ignore_errors=True)  # gone already when it was renamed
        shutil.rmtree(old, ignore_errors=True)


def _is_site_or_empty(place: Path) -> bool:
    if not place.is_dir():
        return False
    if (place / MARK).is_file():
        try:
            return bool(json.loads((place / MARK).read_bytes())["format"] == FORMAT)
        except (ValueError, KeyError, TypeError):
            return False
    return not any(place.iterdir())


def _remove_leftovers(place: Path) -> None:
    """Remove what a killed build left half-written."""
    for leftover in place.parent.glob(f"{TEMPORARY_PREFIX}{place.name}-*"):
        shutil.rmtree(leftover)


def _write_all(files: Mapping[str, bytes], folder: Path) -> None:
    for name in sorted(files):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(files[name])
