"""Scores of answers by curation, training and every benchmark that uses the same rule."""

from typing import Any

from curation.tasks import score_answer

_OPTIONS = ("A. a red car", "B. a blue bus", "C. U.S.", "D. none of these")
CASES = {
    "multiple choice": {
        "A": ["A", "a", "(A)", "A.", "A. a red car", "a red car", "B", "A or B", "the answer is A", "", "\\boxed{A}"],
        "C": ["C", "U.S.", "A. U.S."],
    },
    "numerical": {
        "4": ["4", "4.0", "four", "about 4", "4 or 5", "3", "nan", "<answer>4</answer>", "5 4"],
        "1,000": ["1000", "1 000", "1e3"],
        "50%": ["50", "0.5", "1/2"],
        "12 cm": ["12", "120 mm", "12 cm", "12 kg"],
        "three": ["three", "3"],
    },
    "OCR": {"STOP AHEAD": ["STOP AHEAD", "stop ahead", "STOP", '"STOP AHEAD"', ""]},
    "free-form": {"the block moves right": ["the block moves right", "it moves right", "nothing"]},
    "regression": {"40.5": ["40.5", "40", "81", "-3", "forty"], "0": ["0", "0.1"]},
}


def outputs() -> dict[str, Any]:
    """Case -> [score, score by Video-R1's rules]."""
    return {
        f"{problem_type}: {answer!r} for {gold!r}": [
            score_answer(problem_type, answer, gold, options=_OPTIONS if problem_type == "multiple choice" else ()),
            score_answer(problem_type, answer, gold, strict="videor1"),
        ]
        for problem_type, golds in CASES.items()
        for gold, answers in golds.items()
        for answer in answers
    }
