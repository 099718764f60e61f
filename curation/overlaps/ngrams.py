"""Questions that share words: any phrase of eight, or the whole of a short question.

Texts are compared without case, punctuation, white space and without the options that some questions carry inside: a
shared list of options is no shared question. Phrases are joined by 64-bit hashes; with tens of millions of phrases two
different ones meet with a chance below 1e-4.
"""

from __future__ import annotations

from typing import Final

import polars as pl

NUM_WORDS: Final = 8
# A question of fewer than eight words counts as a whole, from five words on: "What is this?" belongs to nobody.
MIN_WORDS: Final = 5

# From where on a question lists its options: "?A. red\nB. blue", "(A) red (B) blue", "Options:", "Caption A: ...".
_OPTIONS: Final = (
    r"(?s)(^|[\n?!.:;])\s*\(?A[.):].*?[\s.?!;,]\(?B[.):].*$",
    r"(?si)(^|\n|[?.!])\s*(?:options?|choices?|sentence|caption|information)[ \t]*(?:[a-h]|[0-9])?[ \t]*:.*$",
)
_NOT_WORDS: Final = r"[^\p{L}\p{M}\p{N}]+"
# Odd, so that no word's hash loses bits; a phrase is the sum of its words' hashes, each times the factor of its place.
_FACTORS: Final = tuple(pow(0x9E3779B97F4A7C15, place + 1, 2**64) | 1 for place in range(NUM_WORDS))


def normalise(text: pl.Expr) -> pl.Expr:
    """Lower-case words with one blank between them, without options that stand inside the text."""
    for pattern in _OPTIONS:
        text = text.str.replace(pattern, "$1")
    return text.str.normalize("NFKC").str.to_lowercase().str.replace_all(_NOT_WORDS, " ").str.strip_chars(" ")


def phrases(texts: pl.Series) -> pl.DataFrame:
    """What can be shared of normalised texts: columns text (its place in `texts`), word (where the phrase starts),
    phrase (a hash).

    Every run of eight words of a longer text; the whole of one with MIN_WORDS to seven words; of a shorter one nothing.
    """
    words = (
        pl.DataFrame({"text": texts.str.split(" ")})
        .with_row_index("text_number")
        .explode("text")
        .select(text="text_number", word=pl.int_range(pl.len(), dtype=pl.UInt32).over("text_number"), hashed=_hash())
    )
    sums = (pl.col("hashed").shift(-place) * factor for place, factor in enumerate(_FACTORS))
    long = words.select("text", "word", phrase=pl.sum_horizontal(sums)).filter(
        pl.col("text") == words["text"].shift(-(NUM_WORDS - 1))
    )
    num_words = count_words(texts)
    short = (
        pl.DataFrame({"whole": texts})
        .with_row_index("text")
        .filter(num_words.is_between(MIN_WORDS, NUM_WORDS - 1))
        .select("text", word=pl.lit(0, pl.UInt32), phrase=pl.col("whole").hash(seed=1))
    )
    return pl.concat([long, short])


def count_words(texts: pl.Series) -> pl.Series:
    """Words of normalised texts."""
    return texts.str.count_matches(r"[^ ]+")


def phrase_at(text: str, word: int) -> str:
    """The words behind one row of `phrases`."""
    return " ".join(text.split(" ")[word : word + NUM_WORDS])


def _hash() -> pl.Expr:
    return pl.col("text").hash()
