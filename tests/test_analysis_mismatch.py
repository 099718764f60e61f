"""Think-answer mismatch: planted mismatches are found, every other outcome is counted apart."""

from __future__ import annotations

import json
import random
import re
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from hypothesis import example, given
from hypothesis import strategies as st

from curation.config import load_config
from curation.trace import render_trace
from curation.world.scenes import SceneRecord
from curation.world.traces import write_trace
from tests.demo_results import demo_records, question_of, write_demo_result
from tests.loopback import LoopbackServer, prompt_of
from tests.loopback.server import Fault
from training.benchmarks.__main__ import main
from training.benchmarks.analyses.agreement import measure_agreement
from training.benchmarks.analyses.conclusion import settled_option
from training.benchmarks.analyses.extraction import (
    ExtractorConfig,
    Thought,
    extraction_text,
    load_extraction_prompt,
    read_extraction,
)
from training.benchmarks.analyses.mismatch import Outcome

OPTIONS = ("A. red car", "B. blue car", "C. dark red car", "D. 3")
ANALYSIS = Path("benchmark/analyses/mismatch")
CONFIG = Path(__file__).parent.parent / "training/configs/extractor.yaml"


# The rule


@pytest.mark.parametrize(
    ("think", "settled"),
    [
        ("So the answer is B.", "B"),
        ("the answer is (b)", "B"),
        ("The final answer is:\n**B**", "B"),
        ("Answer: B. blue car", "B"),
        (r"$\boxed{\text{B}}$", "B"),
        ("only blue car fits, so I take B.", "B"),
        ("only blue car fits.", "B"),
        ("only blue car fits, so I take C.", "C"),
        ("Option B is correct.", "B"),
        ("A is wrong, so C is correct.", "C"),
        ("B is the right answer, since A is not.", "B"),
        ("I would go with A.", "A"),
        ("So I choose B because it is near.", "B"),
        ("The answer is A red car.", "A"),
        ("so the answer is the red car", "A"),
        ("We can eliminate (B) and (C), so it is (A).", "A"),
        ("Therefore it must be the blue car.", "B"),
        ("So the car that I noted is the red car, and nothing else.", "A"),
    ],
)
def test_rule_reads_a_conclusion_by_letter_or_text(think, settled):
    assert settled_option(think, OPTIONS) == settled


@pytest.mark.parametrize(
    "think",
    [
        "",
        "I see a red car. It moves.",  # no conclusion
        "So object B moves left.",  # a bare letter is anything
        "Is the answer B?",
        "If it turns left, the answer is B.",
        "It could be B.",
        "A is wrong. B is not correct.",
        "The answer is not B.",
        "The answer is B or C.",
        "So it is either the red car or the blue car.",
        "So there are 3.5 of them.",  # option D is 3
        "The answer is E.",  # no option
        "The answer is unclear.",
    ],
)
def test_rule_takes_what_is_asked_supposed_guessed_or_denied_for_no_conclusion(think):
    assert settled_option(think, OPTIONS) is None


# Forms in which reasoning concludes, each judged by hand; options as OPTIONS. What is only meant stays unread.
CONCLUSIONS = {
    "A": (
        "So it is A.", "So it's A.", "So, A.", "Considering everything, option A is the best choice.",
        "So I'm confident it's A.", "I'll choose A.", "Hence the correct option would be A.",
        "The only choice that remains is A.",
    ),
    "B": (
        "Thus, it is B.", "Hence B.", "This rules out A, C and D, leaving only B.", "That leaves B.",
        "Only B remains.", "B is the best fit.", "B is the best match.", "B fits best.", "B makes the most sense.",
        "B makes sense.", "I'm going with B.", "I'll go for B.", "My answer is B.", "The answer would be B.",
        "The answer has to be B.", "The correct option is (B).", "The correct choice: B", "Final answer: B",
        "**Answer:** B", "Answer - B", "ANSWER: B", "This matches option B.", "This corresponds to B.",
        "This points to B.", "so B it is.", "So B must be the answer.", "The video shows a blue car, so B.",
        "The car turned blue, so the answer's B.", "B seems correct.", "B seems right.", "B looks right.",
        "B is right.", "B is the one.", "B is the only one that fits.", "B is the most accurate.",
        "B is the most likely answer.", "the most likely answer is B.", "the best answer is B.",
        "I conclude that B is correct.", "I am confident that it is B.", "I'm confident the answer is B.",
        "Choose B.", "Pick B.", "Option B it is.", "So option B.", "Going with B.", "I settle on B.",
        "I select option B.", "The answer should be option B.", "The answer is clearly B.", "It has to be B.",
        "It is therefore B.", "The answer is thus (B).", "This means the answer is B.", "The answer is: \\boxed{B}",
        "The blue car is the correct answer.", "so the blue car.", "So it was the blue car.",
        "Everything points to the blue car.", "That leaves the blue car.", "Only the blue car remains.",
        "The answer is B) blue car.", "The answer is \"B\".", "B: blue car is correct.",
        "Therefore, the correct answer is B. blue car.", "By elimination, B.", "By elimination, it is B.",
        "Eliminating A and C leaves B.", "We are left with B.", "so I'd say B.", "I'd say B.", "I think it's B.",
        "I think the answer is B.", "I believe B is correct.", "I would say the answer is B.",
        "All the evidence supports B.", "The evidence supports option B.", "So my choice is B.",
        "B is what I choose.", "Based on this, B is the answer.", "B best describes the video.",
        "Option B best matches.", "That makes B the answer.", "That makes B correct.", "The right one is B.",
        "The correct one is B.", "The only one that fits is B.", "B is the only option left.",
        "B is the only remaining option.", "Everything else is ruled out, so it can only be B.",
        "it is clear that B is correct.", "Clearly, B.", "Clearly B is correct.", "Definitely B.",
        "So the answer is B, not A.", "So it's B, not A.", "It's B rather than C.", "It is not A, so it is B.",
        "It isn't A; it must be B.", "A is wrong, C is wrong, so B.", "The answer is not A, it is B.",
        "I first thought A, but it is clearly B.", "At first I thought it was A, but the answer is B.",
        "There is no doubt that it is B.", "Without a doubt, the answer is B.", "So, the answer is **B. blue car**.",
        "Thus, the correct answer is option **B**.", "So the answer is: B) blue car", "Answer is B.", "Ans: B",
        "So answer: (B)", "Therefore B is the correct option.", "Consequently, B is the right choice.",
        "B would be the best answer.", "B would be the most accurate choice.", "so B is my answer",
        "So B is our answer.", "I don't see a red car, so the answer is B.",
        "It looks like the car is blue, so it's B.", "Hmm, I'm unsure about A, but B fits.",
    ),
    "C": (
        "It must be C.", "Therefore, C.", "This leaves us with option C.", "So that must be option C.", "Thus (C).",
        "I'll answer C.", "This makes option C the correct answer.", "The correct letter is C.",
        "Only option C is left.",
    ),
    "D": (
        "The only option left is D.", "Given this, the answer must be D.", "Therefore the answer: D",
        "Hence, option (D).", "So D, because there are three.", "So the option is D.", "Let me go with D.",
        "Let's go with D.", "So my final answer is D.", "Final answer is D", "In conclusion, the answer is D.",
        "So it can only be D.",
    ),
}  # fmt: skip
NO_CONCLUSIONS = (
    "B is left.", "I'm leaning towards B.", "So the answer may be B.", "The answer might be B.",
    "The answer is probably not B.", "The answer can't be B, nor C.", "So it is A? Or B?",
    "I am torn between A and B.", "The options are A, B, C and D.", "So the options are A and B.",
    "Let me consider B: it is blue.", "The answer could be A or B.", "Neither A nor B is correct.",
    "So it's not the blue car.", "That would leave B.", "If A is wrong, that leaves B.",
    "Whether it is B is unclear.", "B is not right.", "It is far from clear that the answer is B.",
    "I would have said B.", "The answer is either A or B.", "Both A and B are correct.", "Some may say B.",
    "I'd rather not say B.", "Suppose the answer is B.", "Say the answer is B.",
    "The answer seems to be B, but I cannot tell.", "So far, B.", "So the label reads B.",
    "The first letter on the sign is C.", "Then comes B.", "So much for B.", "So option B is out.",
    "So option B, however, is wrong.", "So A, which is red, is wrong.", "That leaves B, C and D.",
    "leaving only B and C.", "It must be B or C.", "This matches both A and B.",
    "This matches option A and option B.", "So B, A.", "it is B that is wrong.", "B is correct only if it turns.",
    "The answer is unlikely to be B.", "B fits neither.", "I do not think it is B.",
    "I don't believe the answer is B.", "We cannot conclude B.", "The answer B is wrong.",
    "Choosing B would be a mistake.", "So B cannot be right.", "Wait, is it B?", "So A is the wrong answer.",
    "A is the worst answer.", "Leaving A and B.", "That leaves A or B.", "So it is not A.", "So it isn't A.",
    "It is unlikely to be B.", "So A is left out.", "I am not sure it is B.", "Maybe it is B.", "Perhaps B.",
    "So maybe B.", "It might be B.", "It may be B.", "So it could be A.", "So it is A or B.", "It is either A or B.",
    "A car is red, so a car is seen.", "So a red truck passes.", "So I look at the scene.", "So A and B both fit.",
    "This does not leave B.", "B is not the best fit.", "B does not make sense.", "B no longer fits.",
    "B hardly fits.", "I doubt that it is B.", "It can't be B.", "It cannot be B.", "So it can't be B.", "If so, B.",
    "If it is blue, then it is B.", "Let me check whether B fits.", "Does B fit?", "So is it B?", "Suppose it is B.",
    "Let us assume the answer is B.", "I was going to say B.", "At first I thought it was B.",
    "At first glance, B seems right.", "One might think the answer is B.", "It looks like B, but it is not.",
    "The answer is B? No.", "So it is a vitamin C pill.", "The plan B failed, so they left.",
    "So the car moves from A to B.", "So they go to point B.", "So person B leaves.", "This matches neither.",
    "None of the options fits.", "So neither A nor B.", "So, not B.", "Only B is wrong.", "Everything but B.",
    "All but B remain.", "Anything except B.", "The answer is almost B.", "The answer is anything but B.",
    "B is less likely.", "B would be wrong.", "B would be right if it turned.", "B could be right.", "B might fit.",
    "B is possible.", "B is tempting.", "The answer isn't B.", "the answer can't be B.", "The answer is hardly B.",
    "I wouldn't go with B.", "I won't pick B.", "I can't choose B.", "It's hard to choose B.", "So it is A, B or C.",
    "Leaving only the truck.", "So it's a tie.", "So I see a car.", "I think A car passes.", "So I.",
    "So A red thing.", "So they get an A.", "It is a grade B film.", "Option B is similar.", "I considered B.",
    "Option B says it is blue.", "Option B: blue car.", "A. red car", "Consider option B.", "Let's look at B.",
    "which is B.", "-> B", "we get B.", "option B describes this.", "B is consistent with the video.",
)  # fmt: skip


@pytest.mark.parametrize("letter", CONCLUSIONS)
@pytest.mark.parametrize("before", ["", "The car is small and moves. "])
def test_rule_reads_the_common_forms_of_a_conclusion(letter, before):
    missed = [think for think in CONCLUSIONS[letter] if settled_option(before + think, OPTIONS) != letter]
    assert missed == []


def test_rule_never_guesses_from_what_concludes_nothing():
    guessed = {think: found for think in NO_CONCLUSIONS if (found := settled_option(think, OPTIONS)) is not None}
    assert guessed == {}


@pytest.mark.parametrize(
    ("think", "settled"),
    [
        ("So it is A. But the car is blue, so it is B.", "B"),
        ("The answer is A. Wait, it turned blue, leaving only B.", "B"),
        ("At first glance, A seems right. It must be C.", "C"),
        ("The answer is A. Wait, no. So the answer is B.", "B"),
        ("The answer is A. Is it B? No.", "A"),
        ("So it is the red car. Hmm. So it is the blue car.", "B"),
        ("The answer is B. So the red car is elsewhere.", "B"),  # a statement before what is merely concluded
        ("The answer is A. No, the answer is either B or C.", None),
        ("the answer is not A but B", "B"),
    ],
)
def test_the_last_statement_decides(think, settled):
    assert settled_option(think, OPTIONS) == settled


def test_a_longer_option_is_not_the_shorter_one_in_it():
    assert settled_option("So it is the dark red car.", OPTIONS) == "C"
    assert settled_option("So it is the red car.", ("A. car", "B. red car")) == "B"


def test_options_with_one_text_are_named_by_letter_only():
    options = ("A. left", "B. left", "C. right")
    assert settled_option("So it is left.", options) is None
    assert settled_option("So the answer is B.", options) == "B"


def test_without_options_any_letter_is_one():
    assert settled_option("The answer is (E).", ()) == "E"
    assert settled_option("The answer is the red car.", ()) is None


@given(
    st.text() | st.text(alphabet="AB or(if)*is{}\\.?\n:the answer", max_size=400),
    st.lists(st.text(max_size=12), max_size=30),
)
@example("the answer is " + "(" * 30_000, ["A. x"])
@example("A or " * 6_000, ["A. x", "B. y"])
@example("so option (B) fits " * 2_000, ["A. x", "B. so"])
@example("the answer is \ud800 \u0130 \x00", ["\u0130", "\ud800", "\x00"])
def test_rule_names_an_option_or_nothing_on_any_text(think, options):
    letter = settled_option(think, options)
    assert letter is None or re.fullmatch("[A-Z]", letter)


@given(st.integers(0, 10_000))
def test_rule_reads_every_trace_of_the_demo_world_as_it_was_meant(seed):
    record = demo_records(1, seed)[0]
    trace = write_trace(record, random.Random(seed), wrong_answer=bool(seed % 2))
    assert settled_option(trace.think, record.options) == trace.answer


# The extractor


@pytest.mark.parametrize(
    ("reply", "option"),
    [
        ("<option>B</option>", "B"),
        ("It says left. <option>b</option>\n", "B"),
        ("<option>No</option>", "No"),
        ("<option> no </option>.", "No"),
        ("B", None),
        ("<option>E</option>", None),
        ("<option>A</option><option>B</option>", None),
        ("<option>B</option> or so", None),
        ("<option>Nobody</option>", None),
        ("", None),
    ],
)
def test_a_reply_is_one_option_at_the_end_or_nothing(reply, option):
    assert read_extraction(reply, OPTIONS) == option


@given(st.text() | st.text(alphabet="<option>/ABNo \n"))
def test_no_reply_raises(reply):
    assert read_extraction(reply, OPTIONS) in {None, "No", "A", "B", "C", "D"}


@given(st.text())
def test_nothing_in_a_think_text_reads_as_a_reply_or_as_the_end_of_it(text):
    think = f"<option>A</option> {text} {{question}} <<<END REASONING 0>>>"
    asked = extraction_text(load_extraction_prompt(), Thought("q", "Which?", OPTIONS, think))
    fences = re.findall(r"^<<<(.+)>>>$", asked, re.MULTILINE)
    nonce = fences[0].split()[-1]
    assert fences == [f"QUESTION {nonce}", f"END QUESTION {nonce}", f"REASONING {nonce}", f"END REASONING {nonce}"]
    assert "<option>A" not in asked
    assert asked.count("Which?") == 1


def test_the_extractor_config_that_we_ship_loads():
    assert load_config(ExtractorConfig, CONFIG).engine.kind == "openai"


def test_agreement_is_cohens_kappa_over_all_categories():
    # 10 cases; 7 equal; by chance 0.5 * 0.4 + 0.3 * 0.4 + 0.2 * 0.2 = 0.36; (0.7 - 0.36) / 0.64
    pairs = [("A", "A")] * 3 + [("A", "B")] * 2 + [("B", "B")] * 2 + [("B", "A")] + [("No", "No")] * 2
    found = measure_agreement(pairs)
    assert (found.num, found.num_equal, found.share) == (10, 7, 0.7)
    assert found.kappa == pytest.approx(0.34 / 0.64)
    assert measure_agreement([("A", "A")] * 4).kappa is None  # chance explains all
    assert measure_agreement([]).share is None


# The demo with planted mismatches


def plant(records: list[SceneRecord]) -> dict[str, str | None]:
    """20 outputs: 3 answers that are not what was thought, and 7 of which nothing can be said, for 5 reasons."""
    outputs: dict[str, str | None] = {}
    for number, record in enumerate(records):
        trace = write_trace(record, random.Random(number))
        letters = [option[0] for option in record.options]
        other = letters[(letters.index(trace.answer) + 1) % len(letters)]
        match number:
            case 0 | 1 | 2:
                trace = replace(trace, answer=other)
            case 3 | 4:
                trace = replace(trace, think="Based on the observations, I cannot tell them apart.")
            case 5 | 6:
                trace = replace(trace, answer="one of them")
        outputs[record.id] = render_trace(trace)
        if number == 7:
            outputs[record.id] = f"<observation>{trace.observation}</observation> <think>{trace.think}"
        elif number == 8:
            outputs[record.id] = None
        elif number == 9:
            outputs[record.id] = " \n"
    return outputs


OUTCOMES = {
    Outcome.NO_OUTPUT: 2,
    Outcome.NO_THINK: 1,
    Outcome.UNPARSED: 2,
    Outcome.UNREAD: 0,
    Outcome.UNDECIDED: 2,
    Outcome.SAME: 10,
    Outcome.DIFFERENT: 3,
}


@pytest.fixture
def planted(tmp_path):
    records = demo_records(20)
    write_demo_result(tmp_path / "run", [question_of(record) for record in records], plant(records))
    return tmp_path / "run"


def read(run_dir: Path) -> dict:
    return json.loads((run_dir / ANALYSIS / "mismatch.json").read_text())


def test_planted_mismatches_are_found_by_the_rule_alone(planted, capsys):
    assert main(["mismatch", str(planted)]) == 0
    found = read(planted)
    rule = found["by_benchmark"]["shapes"]["rule"]
    assert rule["outcomes"] == {str(outcome): count for outcome, count in OUTCOMES.items()}
    assert rule["num_rows"] == 20
    assert rule["num_compared"] == 13
    assert rule["rate"] == pytest.approx(3 / 13)
    assert rule["interval"] == pytest.approx([0.0818, 0.5026], abs=2e-4)  # Wilson, by hand
    assert rule["rate_with_undecided"] == pytest.approx(5 / 15)
    assert found["agreement"] is None
    assert found["extractor"] is None
    assert found["pooled"] is None  # one benchmark, and the demo at that
    assert [row["average"] for row in found["published"]["rows"]] == [6.3, 21.5, 16.9, 15.5, 11.7, 7.5, 1.5]
    shown = capsys.readouterr().out
    assert "23.1 %" in shown
    assert "No extractor model was named, so only the rule read" in shown
    assert "Published: other benchmarks" in shown
    page = (planted / ANALYSIS / "mismatch.html").read_text()
    assert "only the rule read" in page
    assert (planted / ANALYSIS / "mismatch.png").read_bytes().startswith(b"\x89PNG")


def extractor_file(tmp_path: Path, url: str, **changes) -> list[str]:
    """Arguments that name an extractor behind a server."""
    path = tmp_path / "extractor.yaml"
    engine = {"kind": "openai", "base_url": url, "model": "reader", "send": "none"}
    path.write_text(yaml.safe_dump({"engine": engine, "dispatch": {"max_in_flight": 4, "backoff_s": 0.01}} | changes))
    return ["--extractor", str(path)]


def reader(body) -> str:
    """Reads "so I take X" and gets one text in four wrong: where the scene is a star's, it says No."""
    thinking = prompt_of(body).split("<<<REASONING ")[1]
    if "star" in thinking:
        return "Hard to say. <option>No</option>"
    match = re.search(r"so I take ([A-Z])", thinking)
    return f"<option>{match[1] if match else 'No'}</option>"


def test_a_model_reads_beside_the_rule_and_their_agreement_is_told(planted, tmp_path, capsys):
    with LoopbackServer(reply=reader) as server:
        assert main(["mismatch", str(planted), *extractor_file(tmp_path, server.openai_url)]) == 0
        assert len(server.bodies) == 17  # every think text, also where the answer cannot be read
    rows = [json.loads(line) for line in (planted / ANALYSIS / "rows.jsonl").read_text().splitlines()]
    thoughts = [row for row in rows if row["rule"] is not None]
    assert len(thoughts) == 17
    outputs = plant(demo_records(20))
    starry = {uid for uid, output in outputs.items() if "star" in (output or "").partition("<think>")[2]}
    assert all(row["model"] == ("No" if row["id"] in starry else row["rule"]) for row in thoughts)
    num_equal = sum(row["model"] == row["rule"] for row in thoughts)
    assert 0 < num_equal < 17
    found = read(planted)
    assert found["agreement"]["num"] == 17
    assert found["agreement"]["num_equal"] == num_equal
    model = found["by_benchmark"]["shapes"]["model"]["outcomes"]
    assert sum(model.values()) == 20
    assert model["unread"] == 0
    assert found["extractor"]["engine"]["model"] == "reader"
    assert "Cohen's kappa" in capsys.readouterr().out


def test_what_was_read_once_is_not_asked_again(planted, tmp_path):
    with LoopbackServer(reply=reader) as server:
        command = ["mismatch", str(planted), *extractor_file(tmp_path, server.openai_url)]
        assert main(command) == 0
        first = read(planted)
        assert main(command) == 0
        assert len(server.bodies) == 17
    assert read(planted) == first


def test_a_reply_out_of_form_is_asked_again_and_then_counted_as_unread(planted, tmp_path):
    with LoopbackServer(reply=lambda body: "The option is B, I think.") as server:
        assert main(["mismatch", str(planted), *extractor_file(tmp_path, server.openai_url, tries=3)]) == 0
        assert len(server.bodies) == 17 * 3
    model = read(planted)["by_benchmark"]["shapes"]["model"]
    assert model["outcomes"]["unread"] == 15
    assert model["rate"] is None  # null is not zero
    assert read(planted)["agreement"] == {"num": 0, "num_equal": 0, "kappa": None, "share": None}


def test_a_failed_request_is_recorded_and_asked_again_by_the_next_run(planted, tmp_path):
    with LoopbackServer(reply=reader, faults=lambda prompt, nth: Fault(400) if nth == 1 else None) as server:
        options = extractor_file(tmp_path, server.openai_url, tries=1)
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("NO_COLOR", "1")
            status = main(["mismatch", str(planted), *options, "dispatch.stop_after_failures=100"])
        assert status == 0
        assert read(planted)["by_benchmark"]["shapes"]["model"]["outcomes"]["unread"] == 15
        rows = [json.loads(line) for line in (planted / ANALYSIS / "rows.jsonl").read_text().splitlines()]
        assert sum("poison" in (row["detail"] or "") for row in rows) == 17
        assert main(["mismatch", str(planted), *options]) == 0
    assert read(planted)["by_benchmark"]["shapes"]["model"]["outcomes"]["unread"] == 0


def test_several_benchmarks_are_pooled_without_the_demo_world(tmp_path):
    records = demo_records(20)
    outputs = plant(records)
    for benchmark in ("shapes", "mvbench", "video_mme"):
        questions = [question_of(record, benchmark=benchmark) for record in records]
        write_demo_result(tmp_path, questions, outputs)
    assert main(["mismatch", str(tmp_path)]) == 0
    assert read(tmp_path)["pooled"]["rule"]["num_rows"] == 40
    assert set(read(tmp_path)["by_benchmark"]) == {"shapes", "mvbench", "video_mme"}


def test_results_that_were_made_in_different_ways_are_not_put_in_one_table(tmp_path, capsys):
    records = demo_records(4)
    for benchmark, protocol in (("mvbench", "official"), ("video_mme", "videor1")):
        questions = [question_of(record, benchmark=benchmark) for record in records]
        write_demo_result(tmp_path, questions, plant(records), protocol=protocol)
    assert main(["mismatch", str(tmp_path)]) == 2
    assert "cannot stand in one table: protocol" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "said"),
    [([], "no finished result with the prompt 'direct'"), (["--extractor", "absent.yaml"], "cannot read the config")],
)
def test_what_the_user_can_mend_is_one_line(planted, capsys, words, said):
    prompt = [] if words else ["--prompt", "direct"]
    assert main(["mismatch", str(planted), *prompt, *words]) == 2
    err = capsys.readouterr().err
    assert said in err
    assert err.count("\n") == 1


def test_an_extractor_that_is_away_is_one_line_and_what_was_read_is_kept(planted, tmp_path, capsys):
    with LoopbackServer(reply=reader, faults=[*[None] * 6, *[Fault("reset")] * 200]) as server:
        away = {"dispatch": {"max_in_flight": 1, "max_tries": 1, "backoff_s": 0.01, "server_wait_s": 0.0}}
        options = extractor_file(tmp_path, server.openai_url, **away)
        assert main(["mismatch", str(planted), *options]) == 2
        err = capsys.readouterr().err.strip().splitlines()[-1]
        assert err.startswith("error: the extractor: ")
        assert "run the same command again" in err
        num_answered = sum(server.answered.values())
    assert num_answered > 0
    with LoopbackServer(reply=reader) as server:
        assert main(["mismatch", str(planted), *extractor_file(tmp_path, server.openai_url)]) == 0
        assert len(server.bodies) == 17 - num_answered
