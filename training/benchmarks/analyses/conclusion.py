"""The option that a chain of thought settles on, by rule. It stands beside the model that extracts it, as a check.

1. A statement decides, and the last one in the text: "so the answer is B", "I take (C)", "only the red car fits",
   "option D is correct", "\\boxed{A}". It names its option by letter or by text. What concludes with a letter that ends
   a clause is one too: "so it is A.", "hence B.", "leaving only B.", "this matches option B".
2. Without a statement, the last sentence that concludes ("so ...", "therefore ...", "this means ...") and then names
   an option decides, by the one it names last: its text, "option B" or "(B)". A bare letter there may be anything.
3. Else nothing is settled. Nor is it where what decides joins two options ("B or C").

Not named is what is asked ("is it B?"), supposed ("if it is B"), guessed ("it could be B"), thought at first ("at first
glance B") or denied ("not B", "B is wrong"). What the rule does not see: that a later sentence takes a statement back
without making one of its own.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from string import ascii_uppercase
from typing import Final

from curation.scoring.choice import fold, parse_options

MAX_THINK_CHARS: Final = 20_000  # of the end, where conclusions stand
_NEAR_CHARS: Final = 60  # how far before an option its denial may stand

# Every repetition is bounded, so that no text, however hostile, takes more than linear time.
_COLON_BREAK: Final = re.compile(r":[^\S\n]*\n\s*")
_SENTENCE_END: Final = re.compile(r"(?<=[.!?])\s+|\n+")
_OPEN: Final = r"[ *_`\"'(\[{$]{0,6}(?:\\text\{)?"
_CLOSE: Final = r"[*_`\"')\]}$]{0,6}"
_ENDS: Final = r"(?= ?(?:[.,;:!]|$)| (?:because|since|as|is|and|or)\b)"
_IS: Final = r"(?:is|was|must be|should be|has to be|would be|will be)"

# "The answer is ...": what leads up to the option of a statement.
_LEAD: Final = re.compile(
    r"\b(?:ans|answer|choice|option|solution|(?:right|correct|best|final|only) (?:one|letter|match))"
    r"(?: here| left| remaining| to (?:the|this) question| that (?:fits|remains))?"
    rf"(?: ?(?:{_IS}\b ?:?|[:=]| - )|'s\b)"
    r"|\b(?:I|we|let's|let me|let us)(?:'ll|'d| will| would| should| must)?(?: therefore| thus)?"
    r" (?:take|choose|pick|select|answer(?: with)?|go with|go for|settle on|opt for|conclude|say)\b(?: that)?"
    r"|\b(?:(?:I|we)(?:'m|'re| am| are) |^)going (?:with|for)\b|^(?:choose|pick|select)\b"
    r"|\\boxed\b",
    re.IGNORECASE,
)
_SO: Final = (
    r"(?:so|thus|hence|therefore|accordingly|consequently|by elimination|in conclusion|overall"
    r"|clearly|definitely|certainly|obviously)"
)
_SURE: Final = r"(?:(?:no|without(?: a)?) doubt|I(?:'m| am) (?:confident|sure|certain)|I (?:think|believe|conclude))"
# A letter alone, where it ends a clause and does not begin a list: "A, B or C".
_LONE: Final = (
    rf"(?: the)?(?: (?:option|choice|answer))?{_OPEN}(?:([A-HJ-Z])|(?<=\()([A-Za-z])(?=\))){_CLOSE}"
    r"(?= ?(?:[.!](?!\w)|[;:]|$"
    r"|,(?! ?(?:or |and )?\(?[A-Z]\)?(?:[,.]| (?:or|and)\b|$)| (?:however|though|which|although|being)\b))"
    r"| (?:because|since|rather than|and not)\b)"
)
# "So it is A.", "it must be C.", "hence B.", "leaving only B.", "this matches option B": what concludes with a letter.
_CONCLUDED_LETTER: Final = re.compile(
    rf"(?i:\b(?:{_SO}|but)\b,?[^.,;]{{0,60}} (?:it|this|that)(?:'s| is| was)"
    r"(?: therefore| thus| clearly| definitely| indeed)?"
    rf"|\b{_SURE}(?: that)? (?:it|this|that)(?:'s| is)"
    r"|^it(?:'s| is)|\bnot [A-Z],? (?:but |so )?(?:rather|it(?:'s| is))"
    r"|\b(?:it|this|that)(?: is therefore| is thus| must be| has to be| can only be| therefore must be)"
    rf"|\b{_SO},?"
    r"|\b(?:this|that|which|it|elimination|(?:eliminating|excluding|ruling out)\b[^.;]{1,60}) leaves"
    r"(?: us| me)?(?: with)?(?: only| just)?"
    r"|\bleaving(?: us| me)?(?: with)? (?:only|just)|, leaving(?: us| me)?(?: with)?"
    r"|\b(?:am|are|'m|'re) left with(?: only| just)?"
    r"|\b(?:this|that|which|it|everything|all of (?:this|it)|evidence)(?: clearly| best| only)?"
    r" (?:matches|corresponds to|points to|supports|fits|agrees with|aligns with)"
    rf"){_LONE}",
)
_LETTER_AFTER_LEAD: Final = re.compile(
    rf"{_OPEN}(?:not [A-Z],? but )?"
    r"(?i:(?:option|choice|letter|either|between|clearly|therefore|thus|definitely|most likely) ){0,2}"
    rf"{_OPEN}"
    rf"(?:([A-Za-z]){_CLOSE}{_ENDS}|([B-HJ-Z])(?![\w'.]))"
)
# "... is the right answer": what follows the option of a statement.
_BEST: Final = r"most (?:likely|accurate|plausible|probable|fitting|appropriate|suitable|reasonable|consistent)"
_VERDICT: Final = re.compile(
    rf"{_CLOSE},? (?:(?:{_IS}|seems|looks)(?: clearly| indeed| definitely| therefore)?"
    rf"(?: (?:the|my|our)(?: only| remaining| final| best| right| correct| matching| {_BEST}){{0,2}}"
    r" (?:answer|option|choice|one|match|fit|description|explanation)\b"
    rf"| the (?:best|{_BEST}){_ENDS}| (?:right|correct){_ENDS})|(?:best )?(?:fits|matches)\b(?! (?:neither|no|none)\b)"
    rf"|best (?:describes|captures|reflects)\b|makes (?:the most )?sense\b|is what I (?:choose|pick|take)\b"
    r"|it is(?=[.!]|$))",
    re.IGNORECASE,
)
# "Only B remains": of several that remain nothing is said.
_ONLY: Final = re.compile(r"\bonly (?:the )?(?:(?:option|choice) )?[*_`\"'(\[]{0,3}$", re.IGNORECASE)
_REMAINS: Final = re.compile(rf"{_CLOSE} (?:remains|is left|works|applies|is possible|survives){_ENDS}", re.IGNORECASE)
# "That makes B the answer."
_MAKES: Final = re.compile(r"\bmak(?:es|ing) (?:the )?(?:(?:option|choice) )?[*_`\"'(\[]{0,3}$", re.IGNORECASE)
_MADE: Final = re.compile(
    rf"{_CLOSE} (?:the (?:only |best |right |correct |final )?(?:answer|option|choice|match|fit)\b"
    rf"|(?:right|correct){_ENDS})",
    re.IGNORECASE,
)
_AROUND: Final = ((_ONLY, _REMAINS), (_MAKES, _MADE))
_MARKED_LETTER: Final = re.compile(
    r"\b(?i:option|choice) [*_`\"'(\[]{0,3}([A-Z])(?![\w'])|(?<!\w)\(([A-Za-z])\)|\*\*([A-Z])[.)]?\*\*"
)
_BARE_LETTER: Final = re.compile(r"(?<![\w'.])([A-Z])(?![\w'])")
_CONCLUDES: Final = re.compile(
    r"\b(?:so|thus|therefore|hence|consequently|accordingly|overall|finally|in (?:conclusion|summary)|to conclude"
    r"|(?:this|that|which|it) (?:means|shows|implies|suggests|indicates|confirms|tells|must be|leaves)"
    r"|(?:this|that|everything|evidence) points to|by elimination|leaving (?:only|just)|left with)\b",
    re.IGNORECASE,
)
_SUPPOSES: Final = re.compile(
    r"\b(?:if|whether|suppose|supposing|assume|assuming|unless)\b|^say,? (?:that )?(?:the|it)\b", re.IGNORECASE
)
_DENIES: Final = re.compile(
    r"(?:\b(?:no|not|never|neither|nor|without|unlike|except|cannot|rather than|instead of|could|might|may|perhaps"
    r"|maybe|possibly|(?:exclud|eliminat|reject)\w{0,5}|rul\w{1,3} out)|n't)[^\w.,;:]+(?:(?!but\b)\w+[^\w.,;:]+){0,2}$",
    re.IGNORECASE,
)
# What makes a clause no conclusion, up to the option that it names.
_HEDGES: Final = re.compile(
    r"(?:\b(?:not (?:so |quite |entirely |at all |yet )?(?:sure|certain|clear|convinced|confident)|unsure|uncertain"
    r"|unlikely|far from|hard to|difficult to|(?:was|were) going to|thought|tempt\w{0,6}|looks like|seems like"
    r"|almost|hardly"
    r"|(?:anything|everything|all) but|(?<!no )(?<!without )(?<!without a )doubt\w{0,4}"
    r"|(?:cannot|can't|won't|wouldn't|didn't|don't) (?:say|choose|pick|select|go with|conclude|think|believe))\b"
    r"(?:(?!\b(?:but|however|yet|so)\b)[^,;:]){0,80}"
    r"|\b(?:at first|initially|first glance|(?:one|you|some|someone|people) (?:might|may|could|would))\b"
    r"(?:(?!\b(?:but|however|yet|so|actually|thus|therefore|hence)\b).){0,80})$",
    re.IGNORECASE,
)
_HEDGE_CHARS: Final = 160
_IS_DENIED: Final = re.compile(
    rf"{_CLOSE},?(?: (?:however|though|which [^,.;]{{1,40}}),)?"
    r" (?:(?:is|are|was|were|must be|can be|seems|looks)(?: also| clearly| therefore)?"
    r" (?:wrong|incorrect|false|impossible|unlikely|excluded|eliminated|ruled out|out)\b"
    r"|(?:is not|isn't|cannot be|can't be|could not be|couldn't be) (?:the |an? )?"
    r"(?:answer|option|choice|case|one|correct|right|possible|true|supported|consistent|likely|it)\b"
    r"|(?:does not|doesn't|do not|don't) (?:fit|match|work|apply)\b)",
    re.IGNORECASE,
)
_JOIN: Final = rf"{_CLOSE},? ?(?:or|and|/|&) ?(?:the |an? |(?:option|choice) )?{_OPEN}"
_JOINED: Final = re.compile(_JOIN, re.IGNORECASE)
_JOINED_LETTER: Final = re.compile(rf"(?i:{_JOIN})([A-Z]){_CLOSE}{_ENDS}")


@dataclass(frozen=True, slots=True)
class _Mention:
    """Where a sentence names an option, in characters, and the option's letter."""

    start: int
    end: int
    letter: str


@dataclass(frozen=True, slots=True)
class _Names:
    """What the options of one question are called. by_text: folded, without those that two options share."""

    letters: frozenset[str]
    by_text: Mapping[str, str]
    texts: re.Pattern[str] | None


def settled_option(think: str, options: Sequence[str]) -> str | None:
    """The capital letter of the option that the text settles on; None where it settles on none.

    Without options (they may stand in the question) any letter is one. Never raises, on any string.
    """
    names = _name(options)
    concluded: tuple[str, list[_Mention], _Mention] | None = None
    for sentence in reversed(_split(think)):
        mentions = [] if sentence.endswith("?") else _find(sentence, names)
        if stated := _stated(sentence, mentions):
            return _decide(sentence, mentions, stated)
        cue = _CONCLUDES.search(sentence)
        if concluded is None and cue is not None and mentions and mentions[-1].start >= cue.end():
            concluded = sentence, mentions, mentions[-1]
    return None if concluded is None else _decide(*concluded)


def _split(think: str) -> list[str]:
    """Sentences and lines, white space collapsed; what follows a colon belongs to its sentence."""
    tail = _COLON_BREAK.sub(": ", unicodedata.normalize("NFC", think[-MAX_THINK_CHARS:]))
    return [" ".join(sentence.split()) for sentence in _SENTENCE_END.split(tail)]


def _name(options: Sequence[str]) -> _Names:
    parsed = parse_options(options)
    letters = frozenset(option.letter for option in parsed) or frozenset(ascii_uppercase)
    folded = [fold(option.text) for option in parsed]
    by_text = {
        text: option.letter
        for text, option in zip(folded, parsed, strict=True)
        if text and folded.count(text) == 1 and text.upper() not in letters
    }
    longest_first = sorted(by_text, key=len, reverse=True)
    pattern = "|".join(map(re.escape, longest_first))
    # No part of a longer word or number: 3 is not in 3.5, nor "left" in "left-hand".
    texts = re.compile(rf"(?<!\w)(?<!\w[.,'-])(?:{pattern})(?!\w|[.,'-]\w)", re.IGNORECASE) if pattern else None
    return _Names(letters, by_text, texts)


def _find(sentence: str, names: _Names) -> list[_Mention]:
    """The options that a sentence names, in order, without those that it supposes, guesses or denies."""
    supposed = _SUPPOSES.search(sentence)
    known = sentence if supposed is None else sentence[: supposed.start()]
    by_start = {mention.start: mention for mention in _candidates(known, names)}
    found = [
        mention
        for mention in by_start.values()
        if _DENIES.search(known[max(0, mention.start - _NEAR_CHARS) : mention.start]) is None
        and _HEDGES.search(known[max(0, mention.start - _HEDGE_CHARS) : mention.start]) is None
        and _IS_DENIED.match(known, mention.end) is None
    ]
    return sorted(found, key=lambda mention: mention.start)


def _candidates(sentence: str, names: _Names) -> Iterator[_Mention]:
    letters = [*_MARKED_LETTER.finditer(sentence)]
    letters += [match for lead in _LEAD.finditer(sentence) if (match := _LETTER_AFTER_LEAD.match(sentence, lead.end()))]
    letters += [match for match in _BARE_LETTER.finditer(sentence) if _is_judged(sentence, *match.span())]
    letters += _CONCLUDED_LETTER.finditer(sentence)
    places = [match.span(match.lastindex or 0) for match in letters]
    joined = [match for _, end in places if (match := _JOINED_LETTER.match(sentence, end))]
    places += [match.span(1) for match in joined]
    for start, end in places:
        letter = sentence[start:end].upper()
        if letter in names.letters:
            yield _Mention(start, end, letter)
    if names.texts is not None:
        for match in names.texts.finditer(sentence):
            if (named := names.by_text.get(fold(match[0]))) is not None:
                yield _Mention(match.start(), match.end(), named)


def _stated(sentence: str, mentions: Sequence[_Mention]) -> _Mention | None:
    """The last option that the sentence states as the answer."""
    after_leads = (
        next((mention for mention in mentions if mention.start >= lead.end()), None)
        for lead in (_LEAD.finditer(sentence) if mentions else ())
    )
    concluded = {
        match.start(match.lastindex or 0) for match in (_CONCLUDED_LETTER.finditer(sentence) if mentions else ())
    }
    judged = (
        mention
        for mention in mentions
        if mention.start in concluded or _is_judged(sentence, mention.start, mention.end)
    )
    stated = [mention for mention in (*after_leads, *judged) if mention is not None]
    return max(stated, key=lambda mention: mention.start, default=None)


def _is_judged(sentence: str, start: int, end: int) -> bool:
    """Whether what follows an option says that it is the one."""
    if _VERDICT.match(sentence, end):
        return True
    near = sentence[max(0, start - _NEAR_CHARS) : start]
    return any(before.search(near) and after.match(sentence, end) for before, after in _AROUND)


def _decide(sentence: str, mentions: Sequence[_Mention], chosen: _Mention) -> str | None:
    """The letter, unless the sentence joins this option to another one."""
    for left, right in pairwise(mentions):
        is_joined = left.letter != right.letter and _JOINED.fullmatch(sentence, left.end, right.start)
        if is_joined and chosen in (left, right):
            return None
    return chosen.letter
