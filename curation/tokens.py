"""Segment lengths in tokens, counted by the tokenizer of the model that will be trained."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from curation.errors import ConfigError

CountTokens = Callable[[Sequence[str]], list[int | None]]


def load_token_counter(name: str | None) -> CountTokens:
    """Counts tokens of texts; every count is null when no tokenizer is configured (null is not zero).

    name: a tokenizer.json, or a model's name on the hub. Raises ConfigError when it cannot be loaded.
    """
    if name is None:
        return lambda texts: [None] * len(texts)
    from tokenizers import Tokenizer

    try:
        tokenizer = Tokenizer.from_file(name) if Path(name).is_file() else Tokenizer.from_pretrained(name)
    except Exception as error:  # the Rust library raises bare Exception
        raise ConfigError(
            f"cannot load tokenizer {name!r}: {' '.join(str(error).split())}. Give a tokenizer.json or a model on "
            "the hub, or leave `tokenizer` out."
        ) from error

    def count(texts: Sequence[str]) -> list[int | None]:
        return [len(encoding.ids) for encoding in tokenizer.encode_batch(list(texts), add_special_tokens=False)]

    return count
