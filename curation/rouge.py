"""ROUGE for free-form answers, by rouge-score: its metric, our tokenizer.

The tokenizer equals rouge-score's default with stemmer on ASCII text. The default drops every letter outside a-z, so
that two equal Chinese or Arabic answers would score 0; ours keeps the letters, marks and digits of all scripts,
and stems ASCII words only. Stems are remembered, because stemming is most of the time.
"""

from __future__ import annotations

import re
import unicodedata
from functools import cache, lru_cache
from typing import Final

from rouge_score.rouge_scorer import RougeScorer
from rouge_score.tokenizers import DefaultTokenizer, Tokenizer

from curation.words import words

MAX_ROUGE_TOKENS: Final = 2_000  # the longest common subsequence is quadratic; no completion has so many words
_MAX_STEMMED_CHARS: Final = 100  # no word is longer, and the stemmer recurses over some letters
_ASCII_TOKEN: Final = re.compile(r"[a-z0-9]+")
_ROUGE_TYPES: Final = ("rouge1", "rouge2", "rougeL")
_default: Final = DefaultTokenizer(use_stemmer=True)


def mean_rouge(answer: str, gold: str) -> float:
    """Mean of the F measures of ROUGE-1, ROUGE-2 and ROUGE-L, in [0, 1]; an only word has no bigram, so at most 2/3."""
    return _mean_f(_scorer(ascii_only=False), answer, gold)


def mean_rouge_ascii(answer: str, gold: str) -> float:
    """The same with rouge-score's own idea of a token: runs of a-z and 0-9."""
    return _mean_f(_scorer(ascii_only=True), answer, gold)


class StemTokenizer(Tokenizer):  # type: ignore[misc]
    """Lower-case stems of a text, at most MAX_ROUGE_TOKENS; with `ascii_only`, letters outside a-z part words."""

    def __init__(self, ascii_only: bool) -> None:
        self.ascii_only = ascii_only

    def tokenize(self, text: str) -> list[str]:
        """Called by RougeScorer."""
        text = text.lower()
        found = _ASCII_TOKEN.findall(text) if self.ascii_only or text.isascii() else _unicode_tokens(text)
        return [_stem(token) if len(token) > 3 else token for token in found[:MAX_ROUGE_TOKENS]]


def _unicode_tokens(text: str) -> list[str]:
    kept = (c if unicodedata.category(c)[0] in "LMN" else " " for c in unicodedata.normalize("NFKC", text))
    return words("".join(kept))


@lru_cache(maxsize=1 << 17)
def _stem(token: str) -> str:
    """The stem of one lower-case word, as the default tokenizer has it."""
    return "".join(_default.tokenize(token)) if token.isascii() and len(token) <= _MAX_STEMMED_CHARS else token


@cache
def _scorer(ascii_only: bool) -> RougeScorer:
    return RougeScorer(list(_ROUGE_TYPES), tokenizer=StemTokenizer(ascii_only))


def _mean_f(scorer: RougeScorer, answer: str, gold: str) -> float:
    scores = scorer.score(gold, answer)
    return float(sum(scores[rouge_type].fmeasure for rouge_type in _ROUGE_TYPES) / len(_ROUGE_TYPES))
