"""Invented rows in the schema of Video-R1's evaluation files: every problem_type, and what each benchmark keeps."""

import re
from typing import Any

from tests.benchmark_fixtures.hub_rows import VIDEO_MME


def _row(number: int, problem: str, gold: str, path: str, **changes: Any) -> Any:
    return {
        "problem_id": number,
        "problem": problem,
        "data_type": "video",
        "problem_type": "multiple choice",
        "original_question_type": "multiple-choice",
        "options": ["A. one", "B. two", "C. three"],
        "process": "",
        "solution": f"<answer>{gold}</answer>",
        "path": f"./Evaluation/{path}",
        "data_source": "invented",
    } | changes


_NO_OPTIONS: dict[str, Any] = {"options": None}
_TEN = [f"{letter}. {word}" for letter, word in zip("ABCDEFGHIJ", "abcdefghij", strict=True)]

ROWS = {
    "vsi_bench": [
        _row(0, "How many lamp(s)?", "4", "VSIBench/arkitscenes/10000001.mp4", problem_type="regression", **_NO_OPTIONS)
        | {"original_question_type": "object_counting"},
        _row(1, "Left or right?", "B", "VSIBench/scannet/10000001.mp4", options=["A. left", "B. right"])
        | {"original_question_type": "object_rel_direction_easy"},
    ],
    "videommmu": [
        _row(1, "Which name was shown?", "J", "VideoMMMU/dev_Biology_3.mp4", options=_TEN),
        _row(2, "What is the speed?", "12.97", "VideoMMMU/question_only/test_Physics_7_image.mp4", **_NO_OPTIONS)
        | {"problem_type": "numerical", "original_question_type": "open"},
    ],
    "mmvu": [
        _row(1, "How many grams?", "E", "MMVU/videos/Chemistry/0.mp4", options=[f"{x}. {x}{x}" for x in "ABCDE"]),
    ],
    "mvbench": [
        _row(1, "What is done?", "C", "MVBench/ssv2_video/100.mp4")
        | {"video": "100.webm", "question": "What is done?", "candidates": ["one", "two", "three"], "answer": "three"}
        | {"subtitle": ""},
        _row(2, "Why does she go?", "A", "MVBench/tvqa/frames_fps3_hq/show_s01e01.mp4", data_type="frame")
        | {"video": "show_s01e01", "question": "Why?", "candidates": ["one", "two", "three"], "answer": "one"}
        | {"start": 2.0, "end": 6.5, "fps": 3, "show_name": "A show", "subtitle": ""},
    ],
    "tempcompass": [
        _row(1, "What is he doing?", "A", "TempCompass/videos/200.mp4"),
        _row(2, "What does the sign say?", "STOP HERE", "TempCompass/videos/201.mp4", problem_type="OCR", options=[]),
        _row(3, "Describe it.", "a man runs", "TempCompass/videos/201.mp4", problem_type="free-form", options=[]),
    ],
    "video_mme": [
        _row(1, "How many lamps are lit?", "C", "VideoMME/data/aaaaaaaaaaa.mp4", options=VIDEO_MME[0]["options"])
        | {"video_id": "001", "duration": "short", "domain": "Knowledge", "sub_category": "Invented History"}
        | {"url": "https://video.invalid", "videoID": "aaaaaaaaaaa", "question_id": "001-1", "answer": "C"}
        | {"task_type": "Counting Problem", "question": "How many lamps are lit?", "subtitle": ""},
    ],
}


def full_video(path: str) -> str:
    """Where the video of a row lies: VideoMMMU's is the full one, whatever the row says."""
    return re.sub(r"question_only/(.*)_image\.mp4", r"\1.mp4", path.removeprefix("./"))
