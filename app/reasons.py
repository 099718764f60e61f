"""Why a row was rejected, in words: `rejected_by` reads "step:reason"."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

# What each step of the funnel looks at.
STEPS: Final[Mapping[str, str]] = {
    "source": "reading the source",
    "media": "checking the media file",
    "generate": "generating the trace",
    "filter": "filtering the trace",
    "verify": "judging the observation",
}
# Those that any run of the pipeline writes; a reason that is not here is shown as it stands.
_WORDS: Final[Mapping[str, str]] = {
    "source:bad_json": "the record is no JSON",
    "source:bad_encoding": "the record holds characters that text cannot hold",
    "source:not_an_object": "the record is no object",
    "source:missing_field": "the record lacks a field",
    "source:bad_field": "a field of the record is empty or no text",
    "source:unknown_problem_type": "the record names a problem type that does not exist",
    "source:unknown_data_type": "the record is about neither an image nor a video",
    "source:bad_options": "the options are missing, too few, too many or no list of texts",
    "source:bad_solution": "the gold answer is missing, or no answer could match it",
    "source:bad_problem_id": "the record's number is no number",
    "source:duplicate": "the same question was read before",
    "source:duplicate:conflict": "the same question was read before, with another gold answer",
    "media:missing": "there is no such media file",
    "media:empty": "the media file has no bytes",
    "media:corrupt": "the media file cannot be decoded",
    "media:unsupported": "the media file is in a format that is not read",
    "media:no_video": "the media file holds no picture and no video",
    "media:outside_root": "the path leads out of the folder of the media",
    "media:timeout": "decoding the media file took too long",
    "media:crashed": "the decoder crashed on the media file",
    "media:too_large": "the media file is larger than allowed",
    "media:aspect_ratio": "the picture is too narrow for the model",
    "media:no_frames": "the part of the clip that is asked about holds no frame",
    "media:needs_frames": "the server reads whole files, and this is a part of one or several",
    "media:wrong_kind": "the media file is not of the kind that the question says",
    "generate:poison": "the model's server refuses this request",
    "generate:exhausted": "the model's server brought no completion in all tries",
    "generate:no_output": "the release holds no trace for this question",
    "generate:bad_encoding": "the trace holds characters that text cannot hold",
    "filter:format": "the completion misses the template of a trace",
    "filter:refusal": "the model declines to answer",
    "filter:score": "the answer scores too low",
    "filter:observation_length": "the observation is too short or too long",
    "filter:think_length": "the reasoning is too short or too long",
    "filter:repetition": "the text repeats itself",
    "filter:leaks_answer": "the observation gives the answer away",
    "verify:insufficient": "the judge finds that the answer does not follow from the observation",
    "verify:unscored": "the judge gave no verdict",
}


def reason_in_words(rejected_by: str) -> str:
    """`filter:score` -> "the answer scores too low"; of an unknown reason, the name itself without underscores."""
    return _WORDS.get(rejected_by) or rejected_by.partition(":")[2].replace("_", " ") or "no reason was recorded"
