"""Make a key pair for signing receipts.

  python -m submissions.make_key referee-key.pem
  python -m submissions.receive my.zip --key referee-key.pem
  python -m submissions.verify receipt.json --key referee-key.pub.pem

Writes the private key (readable by its owner alone; keep it out of git) and, beside it, the public key
with the ending .pub.pem, which everybody may have. An existing key is never overwritten.

Exit codes: 0 made, 1 the place cannot be written to, 2 usage, 3 internal.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from benchmark.command_line import parser, run_command
from benchmark.errors import OutputError
from benchmark.stored_files import as_output_error, write_atomically
from submissions.receipt import need_cryptography


def main(arguments: Sequence[str]) -> None:
    """The command; see the module's docstring."""
    command = parser("submissions.make_key", __doc__)
    command.add_argument("key", type=Path, metavar="KEY.pem")
    chosen = command.parse_args(arguments)
    public = make_key(chosen.key)
    print(f"private key: {chosen.key}\npublic key:  {public_path(chosen.key)}\n{public}")


def public_path(key: Path) -> Path:
    """Where the public key of a private key file lies."""
    return key.with_name(f"{key.name.removesuffix('.pem')}.pub.pem")


def make_key(path: Path) -> str:
    """Make a key pair; the public key in hexadecimal.

    Raises:
        OutputError: when a key lies there already, or the place cannot be written to.
        EnvironmentProblem: when the package `cryptography` is not installed.
    """
    need_cryptography()
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import (
        Encoding,
        NoEncryption,
        PrivateFormat,
        PublicFormat,
    )

    private = Ed25519PrivateKey.generate()
    secret = private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    public = private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError as error:
        raise OutputError("a key lies here already", where=str(path), fix="choose another name") from error
    except OSError as error:
        raise as_output_error(error, path) from error
    with os.fdopen(handle, "wb") as file:
        file.write(secret)
    write_atomically(public_path(path), public)
    return private.public_key().public_bytes_raw().hex()


if __name__ == "__main__":
    run_command(main)
