"""A receipt: what was scored, on what, by what, with which outcome; signed with Ed25519, or said not to be.

The signature covers the statement in one canonical text (sorted keys, no spaces, shortest floats), so
spacing and order of the file do not matter, and any changed value does. Anybody with the public key can
check it without us; anybody with the zip and the data can compute the scores again.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmark.errors import EnvironmentProblem, InputError, ProblemCollector, ResultError
from benchmark.json_records import entry, from_json, schema_of, to_json
from benchmark.stored_files import write_json
from submissions.strict_json import StrictJsonError, loads

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

FORMAT = "interrvos-referee receipt"
VERSION = 1
ALGORITHM = "Ed25519"
CONTEXT = f"{FORMAT} {VERSION}\n".encode()  # a signature made for anything else never fits
LARGEST = 64 << 20


@dataclass(frozen=True, slots=True)
class ModelFacts:
    """Whose predictions; `card` is the SHA-256 of the facts of model.json."""

    name: str
    version: str
    card: str


@dataclass(frozen=True, slots=True)
class Predictions:
    """Which predictions: canonical digests of decoded masks, of all and of each video."""

    digest: str
    zip_sha256: str
    form: str
    expressions: int
    failed: int
    videos: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class ScoredData:
    """What was scored on."""

    name: str
    split: str
    digest: str
    videos: int
    expressions: int


@dataclass(frozen=True, slots=True)
class Scorer:
    """The code that scored; `commit` is null where it is not known."""

    commit: str | None
    dirty: bool | None
    python: str
    packages: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class ProtocolVersion:
    """One protocol: its version and the SHA-256 of its rules."""

    version: int
    digest: str


@dataclass(frozen=True, slots=True)
class Scores:
    """One setting, in percent; null where the setting says nothing about the model."""

    j: float | None = field(metadata=entry("J"))
    f: float | None = field(metadata=entry("F"))
    jf: float | None = field(metadata=entry("J&F"))
    j_interval: tuple[float, float] | None = field(metadata=entry("J interval"))
    f_interval: tuple[float, float] | None = field(metadata=entry("F interval"))
    jf_interval: tuple[float, float] | None = field(metadata=entry("J&F interval"))
    expressions: int
    failed: int


@dataclass(frozen=True, slots=True)
class Statistics:
    """How the intervals were made."""

    method: str
    resamples: int
    confidence: float
    seed: int


@dataclass(frozen=True, slots=True)
class Statement:
    """What a receipt states. `rounded` scores are all that leaves where the truth is hidden."""

    format: str
    version: int
    model: ModelFacts
    predictions: Predictions
    dataset: ScoredData
    protocols: Mapping[str, ProtocolVersion]
    statistics: Statistics
    scorer: Scorer
    scores: Mapping[str, Scores]
    rounded: bool
    scored_at: str


@dataclass(frozen=True, slots=True)
class Signature:
    """An Ed25519 signature over the statement; both values in hexadecimal."""

    algorithm: str
    public_key: str
    value: str


@dataclass(frozen=True, slots=True)
class Receipt:
    """A statement with its signature; without one it proves nothing by itself, and says so."""

    statement: Statement
    signature: Signature | None
    note: str


SIGNED_NOTE = "signed; check with python -m submissions.verify"
UNSIGNED_NOTE = "NOT SIGNED: proves nothing by itself; only computing the scores again does"


def signed_bytes(statement: Statement) -> bytes:
    """The bytes that a signature covers."""
    text = json.dumps(to_json(statement), sort_keys=True, separators=(",", ":"), allow_nan=False)
    return CONTEXT + text.encode()


def make_receipt(statement: Statement, key: Path | None) -> Receipt:
    """The receipt of a statement, signed with the private key in a PEM file, or unsigned without one.

    Raises:
        InputError: when the file holds no Ed25519 private key.
        EnvironmentProblem: when the package `cryptography` is not installed.
    """
    if key is None:
        return Receipt(statement, None, UNSIGNED_NOTE)
    private = read_private_key(key)
    value = private.sign(signed_bytes(statement)).hex()
    public = private.public_key().public_bytes_raw().hex()
    return Receipt(statement, Signature(ALGORITHM, public, value), SIGNED_NOTE)


def signature_fits(receipt: Receipt) -> bool:
    """Whether the signature is one of the key it names over this statement; False without one.

    Raises:
        EnvironmentProblem: when the package `cryptography` is not installed.
    """
    signature = receipt.signature
    if signature is None:
        return False
    need_cryptography()
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    try:
        public = Ed25519PublicKey.from_public_bytes(bytes.fromhex(signature.public_key))
        public.verify(bytes.fromhex(signature.value), signed_bytes(receipt.statement))
    except (InvalidSignature, ValueError):
        return False
    return signature.algorithm == ALGORITHM


def signed_by(receipt: Receipt, trusted: Sequence[str]) -> bool:
    """Whether a receipt is signed by one of these public keys (hexadecimal)."""
    return (
        receipt.signature is not None and receipt.signature.public_key in trusted and signature_fits(receipt)
    )


def read_receipt(path: Path) -> Receipt:
    """A receipt, every field checked; its signature is not.

    Raises:
        ResultError: with everything that is wrong with the file.
    """
    try:
        if path.stat().st_size > LARGEST:
            raise ResultError("too large for a receipt", where=str(path), expected=f"{LARGEST} bytes")
        value = loads(path.read_bytes())
    except OSError as error:
        raise ResultError(
            "cannot read the receipt", where=str(path), found=str(error.strerror or error)
        ) from error
    except StrictJsonError as error:
        raise ResultError("not a receipt", where=str(path), found=str(error)) from error
    problems = ProblemCollector()
    receipt = from_json(Receipt, value, problems, str(path))
    problems.raise_if_any(ResultError, f"{path} is not a receipt")
    assert receipt is not None  # no problem means a record
    stated = receipt.statement
    if (stated.format, stated.version) != (FORMAT, VERSION):
        raise ResultError(
            "not a receipt of this version",
            where=str(path),
            expected=f"{FORMAT} {VERSION}",
            found=f"{stated.format} {stated.version}",
        )
    return receipt


def write_receipt(receipt: Receipt, path: Path) -> None:
    """Write a receipt.

    Raises:
        OutputError: when the place cannot be written to.
    """
    write_json(path, to_json(receipt))


def schema() -> dict[str, Any]:
    """JSON Schema of a receipt."""
    return schema_of(Receipt, "receipt of a scored submission")


def read_private_key(path: Path) -> Ed25519PrivateKey:
    """The Ed25519 private key of a PEM file.

    Raises:
        InputError: when there is none.
        EnvironmentProblem: when the package `cryptography` is not installed.
    """
    need_cryptography()
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        key = load_pem_private_key(path.read_bytes(), None)
    except (OSError, ValueError, TypeError) as error:
        raise _no_key(path, str(error)) from error
    if not isinstance(key, Ed25519PrivateKey):
        raise _no_key(path, type(key).__name__)
    return key


def read_public_key(path: Path) -> str:
    """The Ed25519 public key of a PEM file (public, or private to derive it from), in hexadecimal.

    Raises:
        InputError: when there is none.
        EnvironmentProblem: when the package `cryptography` is not installed.
    """
    need_cryptography()
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    try:
        text = path.read_bytes()
        if b"PRIVATE KEY" in text:
            return read_private_key(path).public_key().public_bytes_raw().hex()
        key: Ed25519PublicKey | Any = load_pem_public_key(text)
    except (OSError, ValueError) as error:
        raise _no_key(path, str(error)) from error
    if not isinstance(key, Ed25519PublicKey):
        raise _no_key(path, type(key).__name__)
    return key.public_bytes_raw().hex()


def _no_key(path: Path, found: str) -> InputError:
    return InputError(
        "not an Ed25519 key in PEM form",
        where=str(path),
        found=found,
        fix="make one with python -m submissions.make_key",
    )


def need_cryptography() -> None:
    """Raise a clear error where signatures cannot be made or checked.

    Raises:
        EnvironmentProblem: when the package `cryptography` is not installed.
    """
    try:
        import cryptography  # noqa: F401
    except ImportError as error:
        raise EnvironmentProblem(
            "signatures need the package cryptography",
            fix="pip install -c constraints.txt -e '.[sign]'",
        ) from error
