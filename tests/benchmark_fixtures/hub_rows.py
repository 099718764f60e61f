"""Invented rows with the columns of each repository: every question type, every layout."""

from typing import Any


def _spatial(number: int, task: str, question: str, gold: str, options: list[str] | None = None, **changes: str) -> Any:
    return {
        "id": number,
        "dataset": "arkitscenes",
        "scene_name": "10000001",
        "question_type": task,
        "question": question,
        "ground_truth": gold,
        "options": options,
    } | changes


VSI_BENCH = [
    _spatial(0, "object_counting", "How many lamp(s) are in this room?", "4"),
    _spatial(1, "object_abs_distance", "How far is the lamp from the rug, in metres?", "2.9", dataset="scannet"),
    _spatial(2, "object_size_estimation", "How long is the longest side of the rug, in centimetres?", "62"),
    _spatial(3, "room_size_estimation", "How large is this room, in square metres?", "26.4", dataset="scannetpp"),
    _spatial(4, "object_rel_direction_easy", "Is the rug to my left or right?", "B", ["A. left", "B. right"]),
    _spatial(5, "object_rel_direction_medium", "Where is the rug?", "C", ["A. left", "B. right", "C. back"]),
    _spatial(
        *(6, "object_rel_direction_hard", "In which quarter is the rug?", "D"),
        ["A. front-left", "B. front-right", "C. back-left", "D. back-right"],
    ),
    _spatial(7, "object_rel_distance", "What is nearest to the rug?", "A", ["A. lamp", "B. bed", "C. sink", "D. tub"]),
    _spatial(8, "route_planning", "Fill in the turn.", "B", ["A. Turn Back", "B. Turn Left", "C. Turn Right"]),
    _spatial(9, "obj_appearance_order", "What appears first?", "D", ["A. a, b", "B. b, a", "C. b, c", "D. c, b"]),
]

TEN_SUGARS = ["amber", "birch", "cedar", "dusk", "ember", "flint", "grove", "hazel", "ivory", "jade"]


def _lecture(number: str, question: str, options: list[str], answer: str, tag: str = "multiple-choice") -> Any:
    return {"id": number, "question": question, "options": options, "answer": answer, "question_type": tag}


_PICTURE = {"bytes": b"\x89PNG invented", "path": "dev_Biology_3.png"}
VIDEOMMMU = {
    "Perception": [
        _lecture("dev_Biology_3", "Which name was shown?", TEN_SUGARS, "J"),
        _lecture("validation_Basic_Medical_Science_10", "Which step was left out?", ["first", "second"], "B", "open"),
    ],
    "Comprehension": [
        _lecture("dev_Biology_3", "Which statements hold?", [f"statement {number}" for number in range(14)], "N"),
        _lecture("validation_Basic_Medical_Science_10", "Which part of the picture?", ["", "", "", ""], "D"),
    ],
    "Adaptation": [
        _lecture("dev_Biology_3", "Which of the picture's names fits?", TEN_SUGARS, "E") | {"image": _PICTURE},
        _lecture("test_Physics_7", "What is the speed in the picture, in m/s?", [], "12.97", "open") | {"image": None},
    ],
}


def _expert(number: int, video: str, subject: str, question: str, choices: dict[str, str], answer: str) -> Any:
    return {
        "id": f"validation_{number}",
        "video": f"https://hub.invalid/datasets/yale-nlp/MMVU/resolve/main/videos/{video}",
        "youtube_url": "https://video.invalid/watch?v=abcdefghijk",
        "question_type": "multiple-choice" if any(choices.values()) else "open-ended",
        "metadata": {"subject": subject, "textbook": "A book", "rationale": "A reason", "knowledge": ["a", "b"]},
        "question": question,
        "choices": choices,
        "answer": answer,
    }


_FIVE = {"A": "10.0", "B": "5.0", "C": "12.0", "D": "15.0", "E": "20.0"}
MMVU = [
    _expert(1, "Chemistry/0.mp4", "Chemistry", "How many grams precipitate?", _FIVE, "A"),
    _expert(2, "Computer_Science/4.mp4", "Electrical Engineering", "Which complexity has this sort?", _FIVE, "E"),
    _expert(3, "Chemistry/0.mp4", "Chemistry", "What is this reaction called?", dict.fromkeys("ABCDE", ""), "redox"),
]


def _reasoned(number: int, dimension: str, question: str, answer: str, duration: int, choices: Any = None) -> Any:
    return {
        "id": number,
        "video_path": f"video/invented/clip#{number % 2}__0-05-55.mp4",
        "duration": duration,
        "dimension": dimension,
        "question": question,
        "multiple-choice": choices is not None,
        "choices": choices or dict.fromkeys("ABCD", ""),
        "answer": answer,
        "reasoning": ["1. 0:00-0:05, a lamp is lit.", "2. 0:05-0:09, it goes out."],
    }


VCR_BENCH = [
    _reasoned(0, "Temporal Spatial Reasoning", "In which room is the second lamp?", "Kitchen", 179),
    _reasoned(
        *(1, "Video Plot Analysis", "Why did nobody see it?A. It was dark.\nB. It was far.\nC. It hid.\nD. It left.\n"),
        *("D", 56, {"A": "It was dark.", "B": "It was far.", "C": "It hid.", "D": "It left."}),
    ),
    _reasoned(2, "Video Temporal Grounding", "When is the lamp lit? Answer [start, end].", "[3, 9]", 61),
    _reasoned(3, "Temporal Spatial Grounding", "Where is the lamp?", "[10, 20, 110, 220]", 301),
]

_YES_NO_CANDIDATES = ["Yes", "No", "Not sure"]
_PLAIN = {"question": "Does it move?", "candidates": _YES_NO_CANDIDATES, "answer": "No"}
_PLAIN_TASKS = (
    *("action_prediction", "object_interaction", "fine_grained_action", "unexpected_action", "scene_transition"),
    *("object_existence", "moving_direction", "moving_count", "moving_attribute", "object_shuffle", "action_count"),
    *("state_change", "character_order", "fine_grained_pose", "egocentric_navigation"),
)
MVBENCH: dict[str, list[Any]] = {
    "action_sequence": [
        {"video": "AAAAA.mp4", "question": "What comes next?", "candidates": ["sits", "stands"], "answer": "stands"}
        | {"start": 11.1, "end": 19.6}
    ],
    "action_localization": [
        {"video": "BBBBB.mp4", "question": "During which part does it occur?"}
        | {"candidates": ["At the start.", "Throughout the entire video."], "answer": "Throughout the entire video."}
        | {"start": 0.0, "end": 15.2, "accurate_start": 0.0, "accurate_end": 15.2}
    ],
    "action_antonym": [
        {"video": "100.webm", "question": "What is done?"}
        | {"candidates": ["Not sure", "Scattering", "Piling up"], "answer": "Piling up"}
    ],
    "counterfactual_inference": [
        {"video": "video_10000.mp4", "question": "What will not happen?", "candidates": ["They meet"]}
        | {"answer": "They meet"}
    ],
    "episodic_reasoning": [
        {
            "video": "show_s01e01_seg02_clip_05",
            "question": "Why does she go?",
            "candidates": list("vwxyz"),
            "answer": "z",
        }
        | {"subtitle": "Invented.", "show_name": "A show", "start": 2.0, "end": 6.5, "fps": 3}
    ],
} | {task: [{"video": f"{task}.mp4"} | _PLAIN] for task in _PLAIN_TASKS}

_INFORMATION = "\n".join(
    f"Information {letter}: {{'subject': 'man', 'action': '{action}'}}"
    for letter, action in (("A", "dribbling a ball"), ("B", "dunking a ball"), ("C", "passing a ball"))
)
_CAPTION = {
    "video_id": "200_reverse",
    "question": f"Pick the information that fits and write a caption.\n{_INFORMATION}\nGenerated Caption:",
    "answer": "B. dunking a ball",
    "dim": "action",
}


def _matching(first: str, second: str, gold: int) -> Any:
    lines = [f"{first}: The man is dribbling a ball.", f"{second}: A man is dunking a ball."]
    question = "\n".join(("Which description fits the video better?", *lines))
    return {"video_id": "200", "question": question, "answer": lines[gold], "dim": "order"}


TEMPCOMPASS = {
    "multi-choice": [
        {"video_id": "200", "question": "What is he doing?\nA. dunking a ball\nB. dribbling a ball\nC. passing a ball"}
        | {"answer": "A. dunking a ball", "dim": "action"},
        {"video_id": "201", "question": "Which way?\nA. left\nB. right", "answer": "B. right", "dim": "direction"},
    ],
    "yes_no": [
        {"video_id": "200", "question": "Is he dunking?", "answer": "yes", "dim": "action"},
        {"video_id": "201", "question": "Is it slow?", "answer": "no", "dim": "speed"},
        {"video_id": "201", "question": "Is it slow?", "answer": "no", "dim": "speed"},  # one row is there twice
    ],
    "caption_matching": [
        _matching("Option 1", "Option 2", 1),
        _matching("Sentence A", "Sentence B", 0),
        _matching("Caption A", "Caption B", 1),
    ],
    "captioning": [
        _CAPTION
        | {"mc_question": "What is he doing?\nA. dunking a ball\nB. passing a ball", "mc_answer": "A. dunking a ball"},
        _CAPTION | {"mc_question": "What is he doing?", "mc_answer": "B. dunking a ball"},
    ],
}


def _film(number: int, duration: str, video: str, answer: str) -> Any:
    return {
        "video_id": f"{number:03d}",
        "duration": duration,
        "domain": "Knowledge",
        "sub_category": "Invented History",
        "url": f"https://video.invalid/watch?v={video}",
        "videoID": video,
        "question_id": f"{number:03d}-1",
        "task_type": "Counting Problem",
        "question": "How many lamps are lit?",
        "options": ["A. One.", "B. Two.", "C. Three.", "D. None of them."],
        "answer": answer,
    }


VIDEO_MME = [
    _film(1, "short", "aaaaaaaaaaa", "C"),
    _film(301, "medium", "bb-bb_bbbbb", "A"),
    _film(601, "long", "ccccccccccc", "D"),
]
