"""ROUGE for free-form answers, by rouge-score: its n-grams and F measure, our tokenizer, a faster longest subsequence.

The tokenizer equals rouge-score's default with stemmer on ASCII text. The default drops every letter outside a-z, so
that two equal Chinese or Arabic answers would score 0; ours keeps the letters, marks and digits of all scripts,
and stems ASCII words only. Stems are remembered, and the longest common subsequence is rapidfuzz's: in rouge-score
alone they are most of the time.
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache
from typing import Final

from rapidfuzz.distance import LCSseq
from rouge_score.rouge_scorer import RougeScorer
from rouge_score.scoring import fmeasure
from rouge_score.tokenizers import DefaultTokenizer, Tokenizer

from curation.scoring.words import words

MAX_ROUGE_TOKENS: Final = 2_000  # the longest common subsequence is quadratic; no completion has so many words
_MAX_STEMMED_CHARS: Final = 100  # no word is longer, and the stemmer recurses over some letters
_ASCII_TOKEN: Final = re.compile(r"[a-z0-9]+")
_default: Final = DefaultTokenizer(use_stemmer=True)


def mean_rouge(answer: str, gold: str) -> float:
    """Mean of the F measures of ROUGE-1, ROUGE-2 and ROUGE-L, in [0, 1]; an only word has no bigram, so at most 2/3."""
    return _mean_f(stem_tokens(answer), stem_tokens(gold))


def mean_rouge_ascii(answer: str, gold: str) -> float:
    """The same with rouge-score's own idea of a token: runs of a-z and 0-9."""
    return _mean_f(stem_tokens(answer, ascii_only=True), stem_tokens(gold, ascii_only=True))


def stem_tokens(text: str, *, ascii_only: bool = False) -> list[str]:
    """Lower-case stems, at most MAX_ROUGE_TOKENS; with `ascii_only`, letters outside a-z part words."""
    text = text.lower()
    found = _ASCII_TOKEN.findall(text) if ascii_only or text.isascii() else _unicode_tokens(text)
    return [_stem(token) if len(token) > 3 else token for token in found[:MAX_ROUGE_TOKENS]]


def _unicode_tokens(text: str) -> list[str]:
    kept = (c if unicodedata.category(c)[0] in "LMN" else " " for c in unicodedata.normalize("NFKC", text))
    return words("".join(kept))


@lru_cache(maxsize=1 << 17)
def _stem(token: str) -> str:
    """The stem of one lower-case word, as the default tokenizer has it."""
    return "".join(_default.tokenize(token)) if token.isascii() and len(token) <= _MAX_STEMMED_CHARS else token


class _Tokenized(Tokenizer):  # type: ignore[misc]
    """rouge-score's hook for texts that are tokens already."""

    def tokenize(self, text: list[str]) -> list[str]:
        return text


_scorer: Final = RougeScorer(["rouge1", "rouge2"], tokenizer=_Tokenized())


def _mean_f(given: list[str], wanted: list[str]) -> float:
    scores = _scorer.score(wanted, given)
    return float((scores["rouge1"].fmeasure + scores["rouge2"].fmeasure + _longest_subsequence_f(given, wanted)) / 3)


def _longest_subsequence_f(given: list[str], wanted: list[str]) -> float:
    """ROUGE-L."""
    if not given or not wanted:
        return 0.0
    length = LCSseq.similarity(given, wanted)
    return float(fmeasure(length / len(given), length / len(wanted)))
