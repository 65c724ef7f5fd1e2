"""Tokenizers of released checkpoints, in the forms in which they are stored."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from benchmark.errors import CheckpointError
from benchmark.stored_files import write_atomically

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

FILES = (
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "merges.txt",
)


def read_tokenizer(folder: Path) -> PreTrainedTokenizerFast:
    """The tokenizer of a Hub folder, from `tokenizer.json` or from Qwen2's `vocab.json` and `merges.txt`.

    No code of the folder is run.

    Raises:
        CheckpointError: when there is none, or it is damaged.
    """
    from transformers import PreTrainedTokenizerFast, Qwen2TokenizerFast

    whole = folder / "tokenizer.json"
    parts = (folder / "vocab.json", folder / "merges.txt")
    try:
        if whole.is_file():
            return PreTrainedTokenizerFast(tokenizer_file=str(whole))
        if all(part.is_file() for part in parts):
            found: PreTrainedTokenizerFast = Qwen2TokenizerFast.from_pretrained(folder, local_files_only=True)
            return found
    except Exception as error:  # the tokenizers library raises bare Exception
        raise CheckpointError(
            "tokenizer cannot be read",
            where=str(folder),
            found=str(error).splitlines()[0] if str(error) else type(error).__name__,
            fix="fetch the checkpoint again",
        ) from error
    raise CheckpointError(
        "no tokenizer here",
        where=str(folder),
        expected="tokenizer.json, or vocab.json and merges.txt",
        fix="give the folder as it was downloaded from the Hub",
    )


def token_id(tokenizer: PreTrainedTokenizerFast, token: str, where: str) -> int:
    """The id of one token.

    Raises:
        CheckpointError: when the tokenizer does not know it.
    """
    return token_ids(tokenizer, [token], where)[0]


def token_ids(tokenizer: PreTrainedTokenizerFast, tokens: Sequence[str], where: str) -> list[int]:
    """The ids of tokens.

    Raises:
        CheckpointError: naming every token that the tokenizer does not know.
    """
    vocabulary = tokenizer.get_vocab()
    absent = [token for token in tokens if token not in vocabulary]
    if absent:
        raise CheckpointError(
            "the tokenizer lacks tokens of this model",
            where=where,
            expected=", ".join(tokens),
            found=f"missing {', '.join(absent)}",
            fix="give the folder whose tokenizer belongs to the weights",
        )
    return [vocabulary[token] for token in tokens]


def copy_tokenizer(source: Path, folder: Path) -> None:
    """Copy the tokenizer files that are there.

    Raises:
        OutputError: when the place cannot be written to.
    """
    for name in FILES:
        if (source / name).is_file():
            write_atomically(folder / name, (source / name).read_bytes())
