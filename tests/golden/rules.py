"""What makes rows of answers: filter rules, verdicts, media refusals and the reasons of failures."""

from dataclasses import asdict
from typing import Any

from curation import generate, verify
from curation.answers import Answer
from curation.filters import FilterConfig, filter_completion
from curation.judge import read_verdict
from curation.media import MediaRecord
from curation.schema import Question
from curation.verify import Verification

_SEEN = "Based on the question, I need to notice a red disc that moves to the left edge of the picture."
_THOUGHT = "Based on the observations, the disc travels left, so the first option holds."


def _trace(observation: str = _SEEN, think: str = _THOUGHT, answer: str = "A") -> str:
    return f"<observation>{observation}</observation>\n<think>{think}</think>\n<answer>{answer}</answer>"


COMPLETIONS = {
    "good": _trace(),
    "wrong": _trace(answer="B"),
    "hedged": _trace(answer="A or B"),
    "text before": "Sure! " + _trace(),
    "no think": f"<observation>{_SEEN}</observation><answer>A</answer>",
    "twice": _trace() + _trace(),
    "short": _trace(observation="Red."),
    "long": _trace(think="It is so. " + " ".join(f"word{number}" for number in range(1000))),
    "repeats": _trace(think=_THOUGHT + " It moves left and then it stops at the edge again." * 12),
    "leaks": _trace(observation=_SEEN + " So the answer is A."),
    "leaks by option": _trace(observation=_SEEN + " Option A is correct."),
    "no opening": _trace(observation="There is a red disc that moves to the left edge."),
    "empty": "",
    "refusal": "I'm sorry, but I cannot help with that.",
}
REPLIES = {
    "object yes": '{"explanation": "It says so.", "judgement": "Yes"}',
    "object no": '{"explanation": "It does not.", "judgement": "No"}',
    "tag": "It says so. <judgement>Yes</judgement>",
    "two tags": "<judgement>Yes</judgement> <judgement>No</judgement>",
    "prose": "Yes, it is enough.",
    "both": "It says so. <judgement>Yes and No</judgement>",
    "empty": "",
}
MEDIA = {
    "video": MediaRecord("a.mp4", "s", sha256="ab", kind="video"),
    "image": MediaRecord("a.png", "s", sha256="ab", kind="image"),
    "missing": MediaRecord("a.mp4", "s", reason="missing", detail="no file"),
}


def outputs() -> dict[str, Any]:
    """Case -> what the rules say."""
    question = Question(
        "0", 0, "Where does it go?", ("A. left", "B. right"), "video", "multiple choice", "<answer>A</answer>",
        "a.mp4", None, None,
    )  # fmt: skip
    found: dict[str, Any] = {}
    for name, text in COMPLETIONS.items():
        found[f"filter {name}"] = asdict(filter_completion(text, question, FilterConfig()))
    for name, reply in REPLIES.items():
        verdict = read_verdict(reply, "stop")
        found[f"verdict {name}"] = None if verdict is None else asdict(verdict)
    found["verdict refused"] = read_verdict(REPLIES["tag"], "refusal")
    for name, record in MEDIA.items():
        refused = record.refuse("video")
        found[f"media {name}"] = None if refused is None else [refused.reason, str(refused)]
    for failure in (None, "poison", "exhausted", "media:missing"):
        answer = Answer(None, None, None, failure, None, None)
        found[f"generate {failure}"] = generate.rejected_by(answer)
    for verdict in (None, "sufficient", "insufficient"):
        found[f"verify {verdict}"] = verify.rejected_by(Verification(verdict, None, None))
    return found
