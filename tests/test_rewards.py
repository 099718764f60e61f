"""The rewards, counted by hand."""

import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from curation.config import validate
from curation.errors import ConfigError
from curation.judge import Verdict
from curation.schema import PROBLEM_TYPES
from curation.trace import TraceFormatError, parse_trace
from training.processes import BlockTokens, split_processes
from training.rewards import ProcessReward, RewardConfig, RolloutReward, observation_to_judge, reward_rollout
from training.shortcuts import find_shortcuts

GOOD = "<observation>I see a cup.</observation> <think>It is red.</think><answer>B</answer>"
PAPER = RewardConfig()
YES, NO = Verdict(True, "it follows"), Verdict(False, "it does not")
LONG = BlockTokens(observation=200, think=399, answer=1)
OPTIONS = ("A. blue", "B. red")

pieces = st.lists(
    st.sampled_from(["<observation>", "</observation>", "<think>", "</think>", "<answer>", "</answer>", " ", "B", "<"]),
    max_size=12,
).map("".join)


def reward(
    completion=GOOD,
    verdict=YES,
    lengths=LONG,
    config=PAPER,
    problem_type="multiple choice",
    solution="B",
    options=OPTIONS,
):
    return reward_rollout(
        completion,
        problem_type=problem_type,
        solution=f"<answer>{solution}</answer>",
        options=options,
        verdict=verdict,
        lengths=lengths,
        config=config,
    )


def judged_text(completion=GOOD, config=PAPER, problem_type="multiple choice", options=OPTIONS):
    return observation_to_judge(completion, problem_type=problem_type, options=options, config=config)


def totals(**changes):
    rewarded = reward(**changes)
    return rewarded.perception.total, rewarded.reasoning.total


def test_all_that_can_be_earned_is_two_point_two_for_each_process():
    assert reward() == RolloutReward(
        perception=ProcessReward(accuracy=1.0, format=1.0, length=0.2, total=2.2, tokens=200),
        reasoning=ProcessReward(accuracy=1.0, format=1.0, length=0.2, total=2.2, tokens=400),
    )
    assert reward().total == 4.4


def test_insufficient_observation_keeps_its_format_reward_and_loses_its_length_reward():
    assert reward(verdict=NO).perception == ProcessReward(0.0, 1.0, 0.0, 1.0, 200)
    assert reward(verdict=NO).reasoning.total == 2.2


def test_wrong_answer_keeps_its_format_reward_and_loses_its_length_reward():
    assert reward(solution="A").reasoning == ProcessReward(0.0, 1.0, 0.0, 1.0, 400)
    assert reward(solution="A").perception.total == 2.2


def test_no_verdict_masks_perception_and_is_never_zero():
    masked = reward(verdict=None)
    assert masked.perception == ProcessReward(accuracy=None, format=1.0, length=None, total=None, tokens=200)
    assert masked.reasoning.total == 2.2
    assert masked.total is None


def test_malformed_observation_is_zero_without_a_judge_and_not_masked():
    text = "<observation>I see <think>It is red.</think><answer>B</answer>"
    lengths = BlockTokens(None, 399, 1)
    assert judged_text(text) is None
    for verdict in (None, YES):  # a verdict on what was never shown counts for nothing
        assert reward(text, verdict, lengths).perception == ProcessReward(0.0, 0.0, 0.0, 0.0, None)
    assert reward(text, None, lengths).reasoning.total == 2.2


def test_judge_sees_the_stripped_observation_also_when_the_reasoning_is_malformed():
    assert judged_text() == "I see a cup."
    assert judged_text("<observation>\n I see. \n</observation> <think>cut o") == "I see."


@pytest.mark.parametrize(
    ("tokens", "bonus"), [(127, 0.0), (128, 0.2), (320, 0.2), (321, 0.0)], ids=["short", "least", "most", "long"]
)
def test_ends_of_the_perception_window_are_inside(tokens, bonus):
    assert reward(lengths=BlockTokens(tokens, 399, 1)).perception.length == bonus


@pytest.mark.parametrize(("think", "bonus"), [(317, 0.0), (318, 0.2), (510, 0.2), (511, 0.0)])
def test_reasoning_length_is_think_and_answer_together_and_the_ends_are_inside(think, bonus):
    rewarded = reward(lengths=BlockTokens(200, think, 2)).reasoning
    assert (rewarded.tokens, rewarded.length) == (think + 2, bonus)


def test_any_accuracy_above_zero_earns_the_length_reward():
    text = "<observation>o</observation><think>t</think><answer>the red cup stands</answer>"
    rewarded = reward(text, problem_type="OCR", solution="the blue cup falls", options=()).reasoning
    assert rewarded == ProcessReward(0.5, 1.0, 0.2, 1.7, 400)


@pytest.mark.parametrize(
    ("problem_type", "answer", "solution", "accuracy"),
    [
        ("multiple choice", "B. red", "B", 1.0),
        ("multiple choice", "red", "B", 1.0),
        ("numerical", "3.0", "3", 1.0),
        ("numerical", "4", "3", 0.0),
        ("OCR", "a b", "a b", 1.0),
        ("free-form", "a red cup", "a red cup", 1.0),
        ("regression", "9", "10", 0.9),
    ],
)
def test_accuracy_of_reasoning_is_the_task_metric(problem_type, answer, solution, accuracy):
    text = f"<observation>o</observation><think>t</think><answer>{answer}</answer>"
    rewarded = reward(text, problem_type=problem_type, solution=solution)
    assert rewarded.reasoning.accuracy == pytest.approx(accuracy)


def test_unknown_problem_type_is_an_error_and_no_zero():
    with pytest.raises(ValueError, match="unknown problem type 'riddle'"):
        reward(problem_type="riddle")


@pytest.mark.parametrize(
    ("reasoning", "accuracy"),
    [
        ("<answer>B</answer>", 1.0),  # no think
        ("<think>t<answer>B</answer>", 1.0),  # think not closed
        ("so: <think>t</think><answer>B</answer>", 1.0),  # text outside
        ("<think>t</think><answer>B", 0.0),  # cut off
        ("<think>t</think><answer>A</answer><answer>B</answer>", 0.0),  # two answers name none
        ("<think>t</think><answer>B<answer>B</answer>", 0.0),
        ("<think>the answer is B</think>", 0.0),
        ("", 0.0),
    ],
)
def test_malformed_reasoning_has_no_format_but_its_one_answer_is_scored(reasoning, accuracy):
    rewarded = reward(f"<observation>o</observation>{reasoning}", lengths=BlockTokens(200, None, None))
    assert rewarded.reasoning == ProcessReward(accuracy, 0.0, 0.0, accuracy, None)
    assert rewarded.perception.total == 2.2


def test_stray_tag_in_the_observation_does_not_cost_the_answer():
    rewarded = reward("<observation>o</answer></observation><think>t</think><answer>B</answer>")
    assert (rewarded.perception.total, rewarded.reasoning.total) == (0.0, 2.2)


def test_answer_inside_the_observation_is_no_answer():
    rewarded = reward("<observation>The answer is B</observation>", lengths=BlockTokens(200, None, None))
    assert rewarded.reasoning.total == 0.0


@pytest.mark.parametrize(
    ("text", "formats"),
    [
        (GOOD, (1.0, 1.0)),
        ("<observation>o</observation><observation>p</observation><think>t</think><answer>B</answer>", (0.0, 1.0)),
        ("Well. " + GOOD, (0.0, 1.0)),
        (GOOD + " Done.", (1.0, 0.0)),
        ("<observation> </observation><think>t</think><answer>B</answer>", (0.0, 1.0)),
        ("<observation>o</observation><think></think><answer>B</answer>", (1.0, 0.0)),
        ("<think>t</think><answer>B</answer>", (0.0, 1.0)),
        ("<think>t</think><observation>o</observation><answer>B</answer>", (0.0, 0.0)),
        ("<observation>o</observation><answer>B</answer><think>t</think>", (1.0, 0.0)),
        ("<observation>o</Observation><think>t</think><answer>B</answer>", (0.0, 1.0)),
        ("", (0.0, 0.0)),
    ],
)
def test_a_fault_costs_the_format_of_the_process_that_it_stands_in(text, formats):
    rewarded = reward(text)
    assert (rewarded.perception.format, rewarded.reasoning.format) == formats


@given(pieces, st.sampled_from([YES, NO, None]))
def test_both_formats_are_one_exactly_when_the_trace_parses(text, verdict):
    rewarded = reward(text, verdict)
    try:
        parse_trace(text)
    except TraceFormatError:
        assert 0.0 in (rewarded.perception.format, rewarded.reasoning.format)
    else:
        assert rewarded.perception.format == rewarded.reasoning.format == 1.0


@given(
    pieces, st.sampled_from([YES, NO, None]), st.sampled_from(PROBLEM_TYPES), st.integers(0, 900), st.integers(0, 900)
)
def test_every_part_is_kept_and_adds_up(text, verdict, problem_type, observation, think):
    rewarded = reward(text, verdict, BlockTokens(observation, think, 1), problem_type=problem_type)
    for process in (rewarded.perception, rewarded.reasoning):
        if process.accuracy is None:
            assert process.total is process.length is None
            assert verdict is None and process is rewarded.perception and process.format == 1.0
        else:
            assert process.total == process.accuracy + process.format + process.length
            assert 0 <= process.total <= 2.2
            assert process.length == 0 or (process.accuracy > 0 and process.format == 1)


def test_ablation_without_length_reward():
    assert totals(config=RewardConfig(length=False)) == (2.0, 2.0)
    assert totals(config=RewardConfig(length=False), lengths=BlockTokens(None, None, None)) == (2.0, 2.0)


def test_ablation_without_perception_reward_asks_no_judge():
    config = RewardConfig(perception=False)
    assert judged_text(config=config) is None
    rewarded = reward(verdict=None, config=config)
    assert rewarded.perception is None  # left out, which is not masked
    assert rewarded.total == rewarded.reasoning.total == 2.2


def test_ablation_without_reasoning_reward():
    rewarded = reward(config=RewardConfig(reasoning=False))
    assert rewarded.reasoning is None
    assert rewarded.total == 2.2


def test_agnostic_template_wants_think_and_answer_only():
    config = RewardConfig(template="agnostic", perception=False)
    lengths = BlockTokens(None, 399, 1)
    assert reward("<think>t</think><answer>B</answer>", None, lengths, config).total == 2.2
    assert reward(GOOD, None, BlockTokens(None, None, None), config).reasoning == ProcessReward(
        1.0, 0.0, 0.0, 1.0, None
    )


def test_weights_and_windows_come_from_the_config():
    config = RewardConfig(accuracy_weight=2, format_weight=0.5, length_bonus=0.25, perception_tokens=(200, 200))
    assert totals(config=config) == (2.75, 2.75)
    assert reward(config=config, lengths=BlockTokens(201, 399, 1)).perception == ProcessReward(1.0, 1.0, 0.0, 2.5, 201)


def test_a_length_that_nobody_counted_is_an_error_and_not_a_lost_reward():
    with pytest.raises(ValueError, match="no length"):
        reward(lengths=BlockTokens(None, 399, 1))


# --- beyond the paper: what curation rejects is paid less -------------------------------------------------------------

LEAKS_FOR_NOTHING = RewardConfig(leaks_answer="zero")
LOOPS_FOR_LESS = RewardConfig(max_repetition=0.3)
LOOP = "the red cup stands on the left table " * 9
LEAKING = (
    "I see a red cup. So it is B.",
    "I see a red cup, which matches option B.",
    "The image shows B. red clearly.",
    "I see (B)\nB is the correct answer.",
    "The answer is red.",
    "The correct answer is A.",  # a wrong one is no description either
)
DESCRIBING = (
    "I see a cup labelled with vitamin B.",
    'The sign reads "the answer is B".',
    "Option A is drawn as a square and option B as a disc.",  # the figure has both
    "The answer is not shown.",
)


def trace(observation="I see a cup.", think="It is red.", answer="B"):
    return f"<observation>{observation}</observation> <think>{think}</think><answer>{answer}</answer>"


@pytest.mark.parametrize("verdict", [YES, NO, None])
@pytest.mark.parametrize("observation", LEAKING)
def test_an_observation_that_says_the_answer_keeps_only_its_format_reward_and_is_not_judged(observation, verdict):
    rewarded = reward(trace(observation), verdict, config=LEAKS_FOR_NOTHING)
    assert rewarded.perception == ProcessReward(0.0, 1.0, 0.0, 1.0, 200)  # known without a verdict, so never masked
    assert judged_text(trace(observation), LEAKS_FOR_NOTHING) is None
    assert rewarded.reasoning == reward().reasoning


@pytest.mark.parametrize("observation", LEAKING)
def test_by_default_an_observation_that_says_the_answer_is_judged_and_paid_as_in_the_paper(observation):
    assert reward(trace(observation)) == reward()
    assert judged_text(trace(observation)) == observation


@pytest.mark.parametrize("observation", DESCRIBING)
def test_an_observation_that_describes_is_judged_and_paid_with_the_key_too(observation):
    assert reward(trace(observation), config=LEAKS_FOR_NOTHING) == reward()
    assert reward(trace(observation), None, config=LEAKS_FOR_NOTHING).perception.total is None
    assert judged_text(trace(observation), LEAKS_FOR_NOTHING) == observation


def test_a_letter_gives_nothing_away_where_no_letter_is_asked_for():
    said = {"problem_type": "numerical", "options": None}
    assert judged_text(trace("So it is B."), LEAKS_FOR_NOTHING, **said) == "So it is B."
    assert judged_text(trace("The answer is 3."), LEAKS_FOR_NOTHING, **said) is None


def test_a_malformed_observation_that_says_the_answer_is_paid_nothing_and_one_that_nobody_pays_no_less():
    malformed = "<observation>So it is B. <think>t</think><answer>B</answer>"
    for verdict in (None, YES):
        assert reward(malformed, verdict, config=LEAKS_FOR_NOTHING).perception == ProcessReward(0.0, 0.0, 0.0, 0.0, 200)
    unpaid = RewardConfig(leaks_answer="zero", perception=False)
    paper = RewardConfig(perception=False)
    assert reward(trace("So it is B."), None, config=unpaid) == reward(verdict=None, config=paper)


@pytest.mark.parametrize(
    ("texts", "looping"),
    [
        ({"observation": LOOP}, "perception"),
        ({"think": LOOP}, "reasoning"),
        ({"answer": "B. " + LOOP}, "reasoning"),
        ({"think": " ".join(f"w{n}" for n in range(60)), "answer": " ".join(f"w{n}" for n in range(60))}, "reasoning"),
    ],
    ids=["observation", "think", "answer", "think-copied-to-the-answer"],
)
def test_a_segment_that_repeats_itself_earns_no_length_bonus_and_its_accuracy_still(texts, looping):
    paid, less = (reward(trace(**texts), config=config) for config in (PAPER, LOOPS_FOR_LESS))
    for process in ("perception", "reasoning"):
        before, now = getattr(paid, process), getattr(less, process)
        if process == looping:
            assert now == ProcessReward(before.accuracy, 1.0, 0.0, before.accuracy + 1.0, before.tokens)
        else:
            assert now == before
    assert paid.perception.length == 0.2  # the paper pays loops


def test_the_largest_share_itself_is_within_the_bound():
    twice = trace(" ".join(f"w{n}" for n in range(16)) + " " + " ".join(f"w{n}" for n in range(16)))
    lengths = [reward(twice, config=RewardConfig(max_repetition=most)).perception.length for most in (0.5, 0.49)]
    assert lengths == [0.2, 0.0]


def test_repetition_of_a_masked_observation_leaves_it_masked():
    assert reward(trace(LOOP), None, config=LOOPS_FOR_LESS).perception == reward(trace(LOOP), None).perception


@given(
    st.lists(st.sampled_from(["<observation>", "</observation>", "<think>", "</think>", "<answer>", "</answer>", LOOP,
                              "So it is B. ", "cup "]), max_size=10).map("".join),
    st.sampled_from([YES, NO, None]),
    st.sampled_from(PROBLEM_TYPES),
)  # fmt: skip
def test_the_keys_only_ever_take_away_and_only_from_what_has_that_fault(text, verdict, problem_type):
    paid = reward(text, verdict, problem_type=problem_type)
    strict = RewardConfig(leaks_answer="zero", max_repetition=0.3)
    less = reward(text, verdict, config=strict, problem_type=problem_type)
    shortcuts = find_shortcuts(text, split_processes(text), problem_type, OPTIONS)
    for before, now, is_at_fault in (
        (paid.perception, less.perception, shortcuts.leaks_answer or (shortcuts.perception_repetition or 0) > 0.3),
        (paid.reasoning, less.reasoning, (shortcuts.reasoning_repetition or 0) > 0.3),
    ):
        assert now == before or is_at_fault
        assert now.format == before.format
        assert before.total is None or now.total <= before.total
    assert (shortcuts.leaks_answer is None) == (paid.perception.format == 0.0)
    assert (shortcuts.reasoning_repetition is None) == (paid.reasoning.format == 0.0)


@pytest.mark.parametrize(
    ("values", "fault"),
    [
        ({"leaks_answer": "reject"}, "leaks_answer"),
        ({"max_repetition": 1.5}, "max_repetition"),
        ({"max_repetition": float("nan")}, "max_repetition"),
        ({"perception": False, "reasoning": False}, "nothing is rewarded"),
        ({"template": "agnostic"}, "Set perception to false"),
        ({"perception_tokens": [320, 128]}, r"got \[320, 128\]"),
        ({"length_bonus": -0.2}, "length_bonus"),
        ({"length_bonus": float("nan")}, "length_bonus"),
        ({"lenght": True}, "lenght"),
    ],
)
def test_config_that_makes_no_sense_is_refused_in_one_line(values, fault):
    with pytest.raises(ConfigError, match=fault) as caught:
        validate(RewardConfig, values, origin="rewards")
    assert "\n" not in str(caught.value)


def test_rewards_need_no_torch():
    code = "import sys, training.rewards; print('torch' in sys.modules)"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == "False"
