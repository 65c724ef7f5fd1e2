"""A small byte-level tokenizer of the same kind as Qwen's, made of a handful of texts.

It serves the small siblings of the full-size recipes: any text goes in and comes out unchanged, chat
templates included.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from reference_model.config import TokenNames
from reference_model.prompts import special_tokens

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast


def build_byte_tokenizer(
    texts: Iterable[str], names: TokenNames, further: Sequence[str] = ()
) -> PreTrainedTokenizerFast:
    """A tokenizer that knows every byte, most words of some texts, and the special tokens.

    The words become pieces byte after byte, in the order of the texts: the same texts give the same pieces.

    Args:
        further: special tokens beside those of `names`, added last.
    """
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    splitter = pre_tokenizers.ByteLevel(add_prefix_space=False)
    vocabulary = {letter: number for number, letter in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))}
    merges: list[tuple[str, str]] = []
    for text in texts:
        for word, _ in splitter.pre_tokenize_str(text):
            for end in range(2, len(word) + 1):
                if word[:end] not in vocabulary:
                    vocabulary[word[:end]] = len(vocabulary)
                    merges.append((word[: end - 1], word[end - 1]))
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=merges))
    tokenizer.pre_tokenizer = splitter
    tokenizer.decoder = decoders.ByteLevel()
    special = list(dict.fromkeys([*special_tokens(names), *further]))
    tokenizer.add_special_tokens([AddedToken(word, normalized=False, special=True) for word in special])
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token=names.padding, unk_token=names.unknown
    )
