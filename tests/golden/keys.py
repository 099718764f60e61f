"""Keys and identities of 852e998, under which paid answers, verdicts and questions lie in journals of users."""

from pathlib import Path
from tempfile import TemporaryDirectory
from types import SimpleNamespace
from typing import Any

from curation.encoding import frames_identity
from curation.engines.config import AnthropicConfig, OpenAIConfig, identity
from curation.generate import GenerateConfig, Generator
from curation.media import MediaRecord
from curation.prompts import load_judge_prompt, load_trace_prompt
from curation.schema import Question, question_id
from curation.trace import Trace
from curation.verify import Verifier, VerifyConfig
from curation.video import VideoConfig
from training.config import JudgeConfig
from training.journalled_judge import JournalledJudge

SEND = ("frames", "file_url", "data_url", "none")  # video_frames travels otherwise since version 2
QUESTIONS = (
    ("multiple choice", ("A. left", "B. right"), "B"),
    ("multiple choice", ("A) left", "B) right"), "A"),
    ("numerical", (), "12"),
    ("OCR", (), "STOP"),
    ("free-form", (), "it moves <right> & up"),
    ("regression", (), "40.5"),
)


def outputs() -> dict[str, Any]:
    """Name -> key."""
    questions = [_question(number, *fields) for number, fields in enumerate(QUESTIONS)]
    found: dict[str, Any] = {"frames": frames_identity(VideoConfig())}
    found |= {f"question {number}": question.id for number, question in enumerate(questions)}
    for send in SEND:
        engine = OpenAIConfig(base_url="http://127.0.0.1:1/v1", model="org/model", send=send)
        found[f"engine {send}"] = identity(engine)
        for number, key in enumerate(_generate_keys(engine, questions)):
            found[f"generate {send} {number}"] = key
    judges = (AnthropicConfig(), OpenAIConfig(base_url="http://127.0.0.1:1/v1", model="org/judge", send="none"))
    for judge in judges:
        found[f"engine {judge.kind} judge"] = identity(judge)
        verifier = Verifier(VerifyConfig(engine=judge), load_judge_prompt(None), SimpleNamespace())
        for number, question in enumerate(questions):
            trace = Trace("Based on the question, I see it.", "t", "a")
            found[f"verify {judge.kind} {number}"] = verifier._ask(question, trace, 1, 1).key
            found[f"verify {judge.kind} {number} again"] = verifier._ask(question, trace, 1, 2).key
    found["reward"] = _reward_key(judges[1])
    return found


def _question(number: int, problem_type: str, options: tuple[str, ...], gold: str) -> Question:
    problem, path = f"What is it, the {number}th?", f"./Folder/{number}.mp4"
    name = question_id(path, problem, options)
    solution = f"<answer>{gold}</answer>"
    return Question(name, number, problem, options, "video", problem_type, solution, path, None, None)


def _generate_keys(engine: OpenAIConfig, questions: list[Question]) -> list[str]:
    wants = {"frames": "frames", "none": "nothing"}.get(engine.send, "file")
    caller = SimpleNamespace(engine=SimpleNamespace(wants=wants))
    generator = Generator(
        GenerateConfig(engine=engine), VideoConfig(), load_trace_prompt(None), Path(), SimpleNamespace(), caller
    )
    media = {question.path: MediaRecord(question.path, "s", sha256="ab" * 32, kind="video") for question in questions}
    return [ask.key for ask in generator.asks(questions, media, 1)]


def _reward_key(engine: OpenAIConfig) -> str:
    with TemporaryDirectory() as folder:
        judge = JournalledJudge(JudgeConfig(engine=engine), Path(folder), 0, 1)
        return judge._key("Is it enough?", 1)
