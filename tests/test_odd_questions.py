"""Sixty invented questions, each odd in its own way, through the real source, ingest and filter.

odd_questions.json: the record, the answer that a model gives, and what a person expects: null = kept, else the reason.
"""

import json
from pathlib import Path

import pytest

from curation.filters import FilterConfig, filter_completion
from curation.ingest import SOURCE_REJECTS, ingest, read_questions
from curation.rundir import RunDirectory
from curation.shards import read_rows
from curation.sources import VideoR1Config, open_source
from curation.trace import Trace, render_trace

ODD = json.loads((Path(__file__).parent / "odd_questions.json").read_text(encoding="utf-8"))
OBSERVATION = "Based on the question, I need to notice a ball that rolls over the green carpet of the hall."
THINK = "Based on the observations, there is only one thing that fits, and I have looked at it twice."


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory):
    """Record number -> (rejected_by, detail)."""
    folder = tmp_path_factory.mktemp("odd")
    source = folder / "odd.json"
    source.write_text(json.dumps([odd["record"] for odd in ODD]), encoding="utf-8")
    directory = RunDirectory(folder / "run")
    config = VideoR1Config(kind="videor1", paths=(source,), media_root=folder)
    ingested = ingest(
        directory, lambda: open_source(config), source_fingerprint="odd", shard_size=7, progress=lambda _: None
    )
    assert ingested.num_questions + ingested.num_rejects == len(ODD) == 60
    found = {}
    for row in read_rows(directory.questions / SOURCE_REJECTS):
        place = int(row["detail"].split(" record ")[1].split(":")[0]) - 1
        found[place] = (row["rejected_by"], row["detail"])
    for shard in range(ingested.num_shards):
        for question in read_questions(directory, shard):
            answer = ODD[question.problem_id]["answer"] or "no answer was expected"
            filtered = filter_completion(render_trace(Trace(OBSERVATION, THINK, answer)), question, FilterConfig())
            found[question.problem_id] = (filtered.rejected_by, filtered.detail)
    return found


@pytest.mark.parametrize("place", range(len(ODD)), ids=lambda place: f"{place} {ODD[place]['expect'] or 'kept'}")
def test_an_odd_question_ends_where_a_person_puts_it(outcomes, place):
    assert outcomes[place][0] == ODD[place]["expect"]


def test_a_bad_gold_and_a_contradiction_are_quoted(outcomes):
    details = {
        odd["record"]["solution"]: outcomes[place][1] for place, odd in enumerate(ODD) if odd["record"]["solution"]
    }
    assert "'E' names none of the 4 options" in details["<answer>E</answer>"]
    assert "'about ten' is no number" in details["<answer>about ten</answer>"]
    conflict = next(detail for reason, detail in outcomes.values() if reason == "source:duplicate:conflict")
    assert "'A' here and 'B' there" in conflict
