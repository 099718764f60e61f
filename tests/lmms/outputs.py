"""What models write: one answer in many forms, by kind of question. Names are those of differences.csv."""

from __future__ import annotations

from collections.abc import Mapping
from string import ascii_uppercase

from curation.scoring.choice import parse_options
from tests.lmms.world import MISTAGGED
from training.benchmarks.question import BenchmarkQuestion

# Names of other letters, and the article that is option A to a careless reader (T7).
THOUGHT = "I see a man with a bag; a dog follows him."


def plain_outputs(rule: str, question: BenchmarkQuestion, place: int) -> Mapping[str, str]:
    """The answer alone, as every script reads it; every third is wrong (a number by 30 %, which has a score too).

    None to a question that lmms-eval takes for another kind than it is.
    """
    if rule == MISTAGGED:
        return {}
    return {"wrong": _wrong(question)} if place % 3 == 1 else {"right": question.answer}


def varied_outputs(_: str, question: BenchmarkQuestion, __: int) -> Mapping[str, str]:
    """form -> output: right and wrong answers in every form that was seen, and what is no answer."""
    forms = {
        "mc": _letters,
        "regression": _numbers,
        "numeric": _numbers,
        "yesno": _words,
        "match": _lines,
    }[question.kind](question)
    return _shared(question) | forms | _tagged(question)


def _shared(question: BenchmarkQuestion) -> dict[str, str]:
    right, wrong = question.answer, _wrong(question)
    return {
        "right": right,
        "wrong": wrong,
        "right, full stop": f"{right}.",
        "right, white space around it": f" {right}\n",
        "right, bold": f"**{right}**",
        "right, boxed": f"\\boxed{{{right}}}",
        "right, in a sentence": f"The answer is {right}.",
        "wrong, in a sentence": f"The answer is {wrong}.",
        "right, then prose": f"{right} because a man walks in.",
        "right or wrong": f"{right} or {wrong}",
        "wrong or right": f"{wrong} or {right}",
        "empty": "",
        "blank": " \n",
        "prose": "It cannot be seen.",
        "prose with an article": THOUGHT,
    }


def _tagged(question: BenchmarkQuestion) -> dict[str, str]:
    right, wrong = question.answer, _wrong(question)
    return {
        "tagged": f"<answer>{right}</answer>",
        "tagged, wrong": f"<answer>{wrong}</answer>",
        "tagged, full stop": f"<answer>{right}.</answer>",
        "tagged, empty": "<answer></answer>",
        "tagged twice": f"<answer>{wrong}</answer> No: <answer>{right}</answer>",
        "tag left open": f"<answer>{right}",
        "thought, bare": f"<think>{THOUGHT} Is it {wrong}?</think>\n{right}",
        "thought, tagged": f"<think>{THOUGHT} Is it {wrong}?</think> <answer>{right}</answer>",
        "thought, tagged, wrong": f"<think>{THOUGHT} It is {right}.</think> <answer>{wrong}</answer>",
        "thought alone": f"<think>{THOUGHT} So {right}.</think>",
        "thought cut off": f"<think>{THOUGHT} So {right}",
        "thought quotes a tag": f"<think>Not <answer>{wrong}</answer>.</think> <answer>{right}</answer>",
        "trace": f"<observation>{THOUGHT}</observation><think>So {right}.</think><answer>{right}</answer>",
    }


def _letters(question: BenchmarkQuestion) -> dict[str, str]:
    right, wrong = question.answer, _wrong(question)
    texts = {option.letter: option.text for option in parse_options(question.options)}
    forms = {
        "in brackets": f"({right})",
        "wrong, in brackets": f"({wrong})",
        "closing bracket": f"{right})",
        "colon": f"{right}:",
        "small letter": right.lower(),
        "small letter, wrong": wrong.lower(),
        "past the options": ascii_uppercase[len(question.options)],
    }
    if texts[right]:  # two questions of VideoMMMU have their options in the picture only
        forms |= {"letter and text": f"{right}. {texts[right]}", "text alone": texts[right]}
        forms["text in a sentence"] = f"I think it is {texts[right]}, clearly."
    if texts[right] and texts.get(wrong):
        forms |= {"letter with another's text": f"{wrong}. {texts[right]}", "text alone, wrong": texts[wrong]}
    return forms


def _numbers(question: BenchmarkQuestion) -> dict[str, str]:
    right = question.answer
    number = float(right.replace(",", ""))
    return {
        "one more decimal": f"{right}0" if "." in right else f"{right}.0",
        "off by 0.004": f"{number + 0.004:.3f}",
        "off by 0.01": f"{number + 0.01:.2f}",
        "three quarters": f"{0.75 * number:.6g}",
        "half": f"{0.5 * number:.6g}",
        "twice": f"{2 * number:.6g}",
        "with a unit": f"{right} metres",
        "unit attached": f"{right}m",
        "about": f"about {right}",
        "equation": f"x = {right}",
        "negative": f"-{right}",
        "zero": "0",
        "1,000": "1,000",
        "12,5": "12,5",
        "1e1": "1e1",
        "1/2": "1/2",
        "nan": "nan",
        "inf": "inf",
        "four": "four",
        "many numbers": f"I count 3 lamps and 2 rugs, so {right}",
    }


def _words(question: BenchmarkQuestion) -> dict[str, str]:
    right, wrong = question.answer, _wrong(question)
    return {
        "capital": right.capitalize(),
        "capitals": right.upper(),
        "and a clause": f"{right.capitalize()}, he is.",
        "wrong, and a clause": f"{wrong.capitalize()}, he is.",
        "not sure": "Not sure.",
        "none": "None",
        "yesterday": "Yesterday",
        "true or false": "True" if right == "yes" else "False",
    }


def _lines(question: BenchmarkQuestion) -> dict[str, str]:
    (label, sentence), (other, _) = (line.split(": ", 1) for line in (question.answer, _wrong(question)))
    return {
        "label": label,
        "wrong label": other,
        "label, full stop": f"{label}.",
        "label, colon": f"{label}:",
        "small label": label.lower(),
        "index": label.split()[1],
        "wrong index": other.split()[1],
        "index, full stop": f"{label.split()[1]}.",
        "index in brackets": f"({label.split()[1]})",
        "sentence alone": sentence,
        "sentence, small, no full stop": sentence.lower().rstrip("."),
        "index and sentence": f"{label.split()[1]}) {sentence}",
        "index with another's sentence": f"{other.split()[1]}) {sentence}",
        "line without its full stop": question.answer.rstrip("."),
        "label in a sentence": f"The answer is {label}.",
    }


def _wrong(question: BenchmarkQuestion) -> str:
    match question.kind:
        case "mc":  # where there is one option, a letter that is none
            return next(letter for letter in ascii_uppercase if letter != question.answer)
        case "regression" | "numeric":
            return f"{1.3 * float(question.answer.replace(',', '')):.6g}"
        case "yesno":
            return {"yes": "no", "no": "yes"}[question.answer]
        case "match":
            return next(line for line in question.options if line != question.answer)
        case kind:
            raise ValueError(f"no rule of lmms-eval is compared for questions of kind {kind}")
