"""PA-GRPO through the trainer: who is paid for which token, when the judge is asked, what is told, what is refused."""

import math
import re
from dataclasses import fields, replace
from typing import get_args

import pytest
import torch
from pydantic import ValidationError
from trl import GRPOConfig, SFTConfig

from curation.errors import ConfigError, UserError
from curation.repetition import repetition
from tests.rl_world import (
    GOOD,
    SCRIPT,
    ScriptedJudge,
    build_world,
    collator_of,
    load_world,
    logged,
    plain_args,
    rows_of,
    script_generation,
)
from training.config import LoraConfig, TrainConfig
from training.grpo_metrics import judge_counts, judge_metrics, segment_means, segment_sums
from training.judging import Judged
from training.pa_grpo import PAGRPOTrainer, grpo_args
from training.rewards import RewardConfig
from training.sft import lora_config, sft_args
from training.trainer_args import _INSTEAD, ALLOWED

torch.set_num_threads(1)
# 2 for a sufficient observation or a right answer, 1 for the other, 0 for a process that is not well-formed.
PAID = RewardConfig(length=False)
RIGHT, WRONG = GOOD.format("a red circle", "red", "B"), GOOD.format("a blue square", "blue", "A")
CUT = "<observation>a red circle</observation> and then"
JOINED = "<observation>a red circle</observation><think>red</think><answer>B</answer>"


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    return build_world(tmp_path_factory.mktemp("world"))


def build(world, out, *, texts=SCRIPT, rewards=PAID, judge=None, num_prompts=1, options=None, **changes):
    """A trainer that samples `texts`; each prompt has four rollouts."""
    model, processor = load_world(world)
    size = {"per_device_train_batch_size": 4 * num_prompts}
    trainer = PAGRPOTrainer(
        model=model,
        args=plain_args(out, **(size | changes)),
        rows=rows_of(world, ["short.mp4", "still.png"], copies=4),
        processor=processor,
        collator=collator_of(processor),
        rewards=rewards,
        judge=ScriptedJudge() if judge is None else judge,
        **(options or {}),
    )
    trainer.model.train()
    script_generation(trainer, texts)
    return trainer


def generate(trainer):
    """One generation, not shuffled yet: what TRL is given to make its loss of."""
    num_prompts = trainer.args.generation_batch_size // 4
    rows = [trainer.train_dataset[place] for place in range(num_prompts) for _ in range(4)]
    return trainer._generate_and_score_completions(trainer.data_collator(rows))


def pieces(trainer, scored):
    """Of each rollout, the text that each advantage is laid on, in order."""
    found = []
    for ids, mask, advantages in zip(
        scored["completion_ids"], scored["completion_mask"].bool(), scored["advantages"], strict=True
    ):
        runs = []
        for token, advantage in zip(ids[mask].tolist(), advantages[mask].tolist(), strict=True):
            if not runs or runs[-1][1] != advantage:
                runs.append(([], advantage))
            runs[-1][0].append(token)
        found.append([(trainer._tokenizer.decode(tokens), advantage) for tokens, advantage in runs])
    return found


def about(number):
    return pytest.approx(number, rel=1e-5)


# Masks and advantages, by hand


def test_each_process_is_paid_on_its_own_tokens(world, tmp_path):
    """Perception 2 1 2 0, reasoning 2 1 0 0: means 1.25 and 0.75, both with the deviation sqrt(11/12)."""
    trainer = build(world, tmp_path, texts=[RIGHT, WRONG, CUT, "no tags at all"])
    scored = generate(trainer)
    std = math.sqrt(11 / 12) + 1e-4
    end = "<|im_end|>"
    assert pieces(trainer, scored) == [
        [
            ("<observation>a red circle</observation>", about(0.75 / std)),
            (" <think>red</think><answer>B</answer>".replace("red", "so it is red") + end, about(1.25 / std)),
        ],
        [
            ("<observation>a blue square</observation>", about(-0.25 / std)),
            (" <think>so it is blue</think><answer>A</answer>" + end, about(0.25 / std)),
        ],
        [("<observation>a red circle</observation>", about(0.75 / std)), (" and then" + end, about(-0.75 / std))],
        [("no tags at all" + end, about(-1.25 / std))],
    ]
    assert (scored["advantages"][scored["completion_mask"] == 0] == 0).all()
    assert scored["advantages"].shape == scored["completion_ids"].shape


def test_a_token_across_the_border_is_paid_as_perception(world, tmp_path):
    trainer = build(world, tmp_path, texts=[JOINED, WRONG, WRONG, CUT])
    ids = trainer._tokenizer.encode(JOINED)
    spelled = [trainer._tokenizer.decode([token]) for token in ids]
    assert "><" in spelled  # the first one stands at the border
    first, second = pieces(trainer, generate(trainer))[0]
    assert first[0] == "<observation>a red circle</observation><"
    assert second[0].startswith("think>")
    assert first[1] != second[1]


def test_a_malformed_completion_is_paid_by_the_process_that_went_wrong(world, tmp_path):
    """A thought that comes first begins reasoning, which holds the rest."""
    early = "<think>first</think><observation>then</observation><answer>B</answer>"
    trainer = build(world, tmp_path, texts=[early, RIGHT, WRONG, "<answer>B</answer>"])
    found = pieces(trainer, generate(trainer))
    # Perception 0 2 1 0. Reasoning: 1 for its answer, 2, 1, 1 for its answer.
    std_p, std_r = math.sqrt(11 / 12) + 1e-4, 0.5 + 1e-4
    assert found[0] == [(early + "<|im_end|>", about(-0.25 / std_r))]
    assert found[1][0][1] == about(1.25 / std_p)
    assert found[1][1][1] == about(0.75 / std_r)
    assert found[3] == [("<answer>B</answer><|im_end|>", about(-0.25 / std_r))]


def test_a_masked_verdict_is_left_out_of_its_group_and_paid_nothing(world, tmp_path):
    """Perception 2, masked, 1, 0 of three: mean 1, deviation 1."""
    masked = GOOD.format("a green ball", "green", "B")
    judge = ScriptedJudge(lambda text: None if "green" in text else "red" in text)
    trainer = build(world, tmp_path, texts=[RIGHT, masked, WRONG, "nothing"], judge=judge)
    found = pieces(trainer, generate(trainer))
    assert [found[place][0][1] for place in (0, 2, 3)] == [about(1 / 1.0001), about(0.0), about(-1 / 1.0001)]
    assert found[1][0] == ("<observation>a green ball</observation>", 0.0)
    assert found[1][1][1] > 0  # its answer is right, and scored all the same


def test_a_tied_group_teaches_its_process_nothing_and_the_other_one_still(world, tmp_path):
    trainer = build(world, tmp_path, texts=[RIGHT, GOOD.format("a red ball", "blue", "A"), RIGHT, RIGHT])
    for row, (perception, reasoning) in enumerate(pieces(trainer, generate(trainer))):
        assert perception[1] == 0.0
        assert reasoning[1] == about((-0.75 if row == 1 else 0.25) / 0.5001)


def test_groups_are_compared_within_themselves(world, tmp_path):
    trainer = build(world, tmp_path, texts=[RIGHT, WRONG, RIGHT, WRONG] + [RIGHT] * 4, num_prompts=2)
    found = pieces(trainer, generate(trainer))
    assert [row[0][1] > 0 for row in found[:4]] == [True, False, True, False]
    assert all(advantage == 0 for row in found[4:] for _, advantage in row)


def test_without_separation_all_tokens_get_the_advantage_of_the_sum(world, tmp_path):
    trainer = build(world, tmp_path, texts=[RIGHT, WRONG, CUT, "no"], options={"separate": False})
    found = pieces(trainer, generate(trainer))
    assert [len(row) for row in found] == [1, 1, 1, 1]
    std = math.sqrt(((4 - 2) ** 2 + 0 + 0 + (0 - 2) ** 2) / 3) + 1e-4
    assert [row[0][1] for row in found] == [about(2 / std), about(0.0), about(0.0), about(-2 / std)]


def test_without_perception_and_separation_it_is_grpo_and_nobody_asks_a_judge(world, tmp_path):
    judge = ScriptedJudge()
    rewards = RewardConfig(length=False, perception=False)
    trainer = build(
        world, tmp_path, texts=[RIGHT, WRONG, CUT, "no"], rewards=rewards, judge=judge, options={"separate": False}
    )
    found = pieces(trainer, generate(trainer))
    assert judge.asks == []
    std = math.sqrt(11 / 12) + 1e-4
    assert [[advantage for _, advantage in row] for row in found] == [
        [about(1.25 / std)],
        [about(0.25 / std)],
        [about(-0.75 / std)],
        [about(-0.75 / std)],
    ]


def test_normalization_by_segment_gives_both_processes_the_same_weight(world, tmp_path):
    texts = [RIGHT, WRONG, CUT, "no tags at all"]
    plain = generate(build(world, tmp_path, texts=texts))
    scored = generate(build(world, tmp_path, texts=texts, options={"normalization": "segment"}))
    for row in range(4):
        num_tokens = int(scored["completion_mask"][row].sum())
        perception = scored["perception_mask"][row]
        reasoning = scored["completion_mask"][row].bool() & ~perception
        segments = [mask for mask in (perception, reasoning) if mask.any()]
        for mask in segments:
            scale = num_tokens / (len(segments) * int(mask.sum()))
            torch.testing.assert_close(scored["advantages"][row][mask], plain["advantages"][row][mask] * scale)


def test_lengths_are_paid_in_sampled_tokens(world, tmp_path):
    rewards = RewardConfig(perception_tokens=(3, 3), reasoning_tokens=(6, 6))
    rollouts = []
    generate(build(world, tmp_path, texts=[RIGHT], rewards=rewards, options={"on_rollouts": rollouts.append}))
    rollout = rollouts[0].rows[0]
    tokenizer = load_world(world)[1].tokenizer
    expected = [len(tokenizer.encode(text)) for text in ("a red circle", "so it is red", "B")]
    assert [rollout.lengths.observation, rollout.lengths.think, rollout.lengths.answer] == expected
    assert rollout.reward.perception.length == (0.2 if expected[0] == 3 else 0)
    assert rollout.completion_tokens == len(tokenizer.encode(RIGHT)) + 1


# The judge


def test_the_judge_is_asked_before_any_log_prob_and_awaited_after_all(world, tmp_path):
    judge = ScriptedJudge()
    trainer = build(world, tmp_path, judge=judge, num_iterations=2)
    scoring = trainer._get_per_token_logps_and_entropies

    def noting(*args, **options):
        judge.events.append("log-probs")
        return scoring(*args, **options)

    trainer._get_per_token_logps_and_entropies = noting
    generate(trainer)
    assert judge.events == ["start", "log-probs", "log-probs", "wait"]


def test_only_well_formed_observations_are_judged_with_their_own_question(world, tmp_path):
    judge = ScriptedJudge()
    trainer = build(
        world,
        tmp_path,
        texts=[RIGHT, CUT, "no", "<observation>a", RIGHT, WRONG, "", "<think>"],
        judge=judge,
        num_prompts=2,
    )
    generate(trainer)
    rows = [trainer.train_dataset[place] for place in (0, 0, 1, 1)]
    assert [ask.question.id for ask in judge.asks] == [row["id"] for row in rows]
    assert [ask.observation for ask in judge.asks] == ["a red circle", "a red circle", "a red circle", "a blue square"]
    assert judge.asks[0].question.options == ("A. blue", "B. red")


def test_a_judge_that_has_to_stop_stops_the_run_with_its_line(world, tmp_path):
    def stop(_):
        raise UserError("nobody gave a verdict in 5 updates")

    with pytest.raises(UserError, match="nobody gave a verdict in 5 updates"):
        build(world, tmp_path, judge=ScriptedJudge(stop)).train()


def test_a_step_without_any_verdict_trains_reasoning_and_says_so(world, tmp_path):
    trainer = build(world, tmp_path, texts=[RIGHT, WRONG], judge=ScriptedJudge(lambda _: None), max_steps=2)
    before = trainer.model.lm_head.weight.detach().clone()
    trainer.train()
    assert not torch.equal(before, trainer.model.lm_head.weight)
    first = trainer.state.log_history[0]
    assert first["perception/masked"] == 1.0
    assert first["judge/null_share"] == 1.0
    for name in ("perception/reward", "perception/accuracy", "collapse/perception", "collapse/grpo", "judge/latency_s"):
        assert name not in first  # absent, not 0
    assert first["reward"] is None
    assert first["perception/format"] == 1.0
    assert first["reasoning/reward"] == 1.5
    assert math.isfinite(first["loss"])


# What is told


def test_metrics_of_a_step_by_hand(world, tmp_path):
    masked = GOOD.format("a green ball", "green", "B")
    judge = ScriptedJudge(lambda text: None if "green" in text else "red" in text)
    trainer = build(world, tmp_path, texts=[RIGHT, masked, WRONG, CUT], judge=judge, max_steps=1)
    trainer.train()
    found = trainer.state.log_history[0]
    expected = {
        "perception/reward": (2 + 1 + 2) / 3,
        "perception/accuracy": 2 / 3,
        "perception/format": 1.0,
        "perception/length": 0.0,
        "perception/tokens": 3.0,
        "perception/masked": 0.25,
        "reasoning/reward": (2 + 2 + 1 + 0) / 4,
        "reasoning/accuracy": 0.5,
        "reasoning/format": 0.75,
        "reasoning/masked": 0.0,
        "collapse/perception": 0.0,
        "collapse/reasoning": 0.0,
        "collapse/grpo": 0.0,
        "judge/null_share": 0.25,
        "judge/cached_share": 0.0,
        "judge/cost_usd": 0.03,
        "judge/latency_s": 0.5,
        "reward": (4 + 2 + 2) / 3,
        "perception/clip_ratio": 0.0,
        "reasoning/clip_ratio": 0.0,
        "perception/kl": 0.0,
    }
    tokenizer = trainer._tokenizer
    expected["perception/tokens"] = (
        sum(len(tokenizer.encode(text)) for text in ("a red circle", "a green ball", "a blue square", "a red circle"))
        / 4
    )
    for name, value in expected.items():
        assert found[name] == pytest.approx(value, abs=1e-5), name
    for name in ("time/generate_s", "time/log_probs_s", "time/judge_wait_s"):
        assert found[name] >= 0
    assert found["tokens/completion"] == found["completions/mean_length"]


@pytest.mark.parametrize("rewards", [PAID, RewardConfig(length=False, perception=False)])
def test_leaks_and_repetition_are_counted_whatever_is_paid_and_not_where_a_segment_is_malformed(
    world, tmp_path, rewards
):
    loop = "a red circle on a blue table by day " * 2  # 18 words, of which the last 9 repeat the first
    texts = [GOOD.format("red. The answer is red", "red", "B"), GOOD.format(loop, loop, "B"), RIGHT, "no tags"]
    trainer = build(world, tmp_path, texts=texts, rewards=rewards, max_steps=1)
    trainer.train()
    found = trainer.state.log_history[0]
    assert found["perception/leaks"] == pytest.approx(1 / 3)
    assert found["perception/repetition"] == pytest.approx(0.5 / 3)
    thought = GOOD.format(loop, loop, "B").partition("<think>")[2].replace("</think><answer>", " ")
    assert found["reasoning/repetition"] == pytest.approx(repetition(thought.removesuffix("</answer>")) / 3)


def test_without_a_well_formed_segment_the_shares_of_leaks_and_repetition_are_absent(world, tmp_path):
    trainer = build(world, tmp_path, texts=["no tags"], max_steps=1)
    trainer.train()
    assert not {"perception/leaks", "perception/repetition", "reasoning/repetition"} & set(trainer.state.log_history[0])


def test_an_observation_that_says_the_answer_is_neither_judged_nor_paid_where_the_config_says_so(world, tmp_path):
    leak = GOOD.format("a red disc. The answer is red", "red", "B")
    judge = ScriptedJudge(lambda _: True)
    rollouts = []
    rewards = RewardConfig(length=False, leaks_answer="zero")
    told = {"on_rollouts": rollouts.append}
    generate(build(world, tmp_path, texts=[leak, RIGHT], rewards=rewards, judge=judge, options=told))
    rows = rollouts[0].rows
    assert [row.reward.perception.total for row in rows] == [1.0, 2.0, 1.0, 2.0]
    assert [row.judged is None for row in rows] == [True, False, True, False]


def test_collapse_tells_the_processes_apart(world, tmp_path):
    texts = [RIGHT, GOOD.format("a red ball", "blue", "A"), RIGHT, RIGHT, *[RIGHT] * 4]
    trainer = build(world, tmp_path, texts=texts, num_prompts=2, max_steps=1)
    trainer.train()
    found = trainer.state.log_history[0]
    assert (found["collapse/perception"], found["collapse/reasoning"], found["collapse/grpo"]) == (1.0, 0.5, 0.5)


def test_kl_and_clipping_of_the_processes_add_up_to_trls(world, tmp_path):
    trainer = build(world, tmp_path, num_prompts=2, num_iterations=2, epsilon=0.001, max_steps=4, learning_rate=1e-2)
    trainer.train()
    for entry in trainer.state.log_history[1:4]:
        low, high = sorted((entry["perception/kl"], entry["reasoning/kl"]))
        assert low <= entry["kl"] <= high
        low, high = sorted((entry["perception/clip_ratio"], entry["reasoning/clip_ratio"]))
        assert low - 1e-6 <= entry["clip_ratio/region_mean"] <= high + 1e-6
    assert max(logged(trainer, "perception/clip_ratio")) > 0
    assert max(logged(trainer, "reasoning/kl")) > 0


def test_rollouts_tell_what_was_sampled_judged_and_paid(world, tmp_path):
    masked = GOOD.format("a green ball", "green", "B")
    judge = ScriptedJudge(lambda text: None if "green" in text else "red" in text)
    rollouts = []
    trainer = build(
        world,
        tmp_path,
        texts=[RIGHT, masked, WRONG, CUT],
        judge=judge,
        num_prompts=2,
        max_steps=2,
        shuffle_dataset=False,
        options={"on_rollouts": rollouts.append},
    )
    trainer.train()
    assert [generation.step for generation in rollouts] == [1, 2]
    rows = rollouts[0].rows
    assert [(row.group, row.number) for row in rows] == [(group, number) for group in range(2) for number in range(4)]
    assert [row.question_id for row in rows] == ["q0-0"] * 4 + ["q0-1"] * 4
    assert [row.completion for row in rows[:4]] == [RIGHT, masked, WRONG, CUT]
    assert [row.judged.verdict and row.judged.verdict.sufficient for row in rows[:4]] == [True, None, False, True]
    assert rows[1].perception_advantage is None
    assert rows[1].reward.perception.total is None
    assert rows[1].reasoning_advantage == pytest.approx(rows[0].reasoning_advantage)
    assert rows[0].perception_advantage > 0 > rows[2].perception_advantage
    assert rows[0] == replace(rows[4], group=0, question_id="q0-0")


def test_rollouts_of_grpo_have_no_perception_reward_and_one_advantage(world, tmp_path):
    rollouts = []
    options = {"on_rollouts": rollouts.append, "separate": False}
    rewards = RewardConfig(length=False, perception=False)
    generate(build(world, tmp_path, texts=[RIGHT, WRONG, CUT, "no"], rewards=rewards, options=options))
    row = rollouts[0].rows[0]
    assert row.reward.perception is None
    assert row.judged is None
    assert row.perception_advantage == row.reasoning_advantage > 0


def test_judge_metrics_count_over_processes_and_are_absent_when_nobody_was_asked():
    device = torch.device("cpu")
    answered = Judged(None, "time-out", False, None, 0.25)
    cached = Judged(None, "no form", True, None, 0.0)
    counts = torch.cat(
        [judge_counts([answered, cached], device), judge_counts([replace(answered, latency_s=3.0)], device)]
    )
    assert judge_metrics(counts) == {
        "judge/latency_s": 3.0,
        "judge/null_share": 1.0,
        "judge/cached_share": 1 / 3,
        "judge/cost_usd": 0.5,
    }
    assert judge_metrics(judge_counts([], device)) == {}


def test_means_of_segments_leave_out_a_process_without_tokens():
    values = {"kl": torch.tensor([[1.0, 2.0, 9.0]]), "clip_ratio": torch.tensor([[True, False, True]])}
    masks = {"perception": torch.tensor([[True, True, False]]), "reasoning": torch.zeros(1, 3, dtype=torch.bool)}
    found = segment_means(segment_sums(values, masks), list(values), list(masks))
    assert found == {"perception/kl": 1.5, "perception/clip_ratio": 0.5}


# Real sampling, several passes, accumulation


@pytest.mark.parametrize("accumulation", [1, 2])
@pytest.mark.parametrize("iterations", [1, 2])
def test_it_trains_on_what_it_really_samples(world, tmp_path, iterations, accumulation):
    model, processor = load_world(world)
    trainer = PAGRPOTrainer(
        model=model,
        args=plain_args(
            tmp_path,
            num_iterations=iterations,
            gradient_accumulation_steps=accumulation,
            per_device_train_batch_size=8 // accumulation,
            gradient_checkpointing=True,
        ),
        rows=rows_of(world, copies=4),
        processor=processor,
        collator=collator_of(processor),
        rewards=RewardConfig(perception_tokens=(1, 9), reasoning_tokens=(1, 9)),
        judge=ScriptedJudge(),
    )
    trainer.train()
    assert trainer.state.global_step == 4
    assert all(math.isfinite(loss) for loss in logged(trainer, "loss"))
    assert len(logged(trainer, "time/generate_s")) == 4 // iterations


# The arguments, and what is refused


def config_of(tmp_path, rl=None, **changes):
    sections = {
        "run_dir": str(tmp_path),
        "dataset": {"name": "org/name", "revision": "v1.0.0", "media_root": str(tmp_path)},
        "model": {"name": "org/model", "dtype": "float32"},
        "rl": {"batch_size": 8, "group_size": 4, "trainer_args": {"use_cpu": True}} | (rl or {}),
    }
    return TrainConfig.model_validate(sections | changes)


def test_the_arguments_are_plain_grpo_with_the_config_s_numbers(tmp_path):
    args = grpo_args(config_of(tmp_path, {"clip_eps": 0.3, "iterations": 2, "checkpoint_every": 4}, seed=5), tmp_path)
    expected = {
        "loss_type": "grpo",
        "beta": 0.04,
        "epsilon": 0.3,
        "num_iterations": 2,
        "num_generations": 4,
        "max_completion_length": 1024,
        "temperature": 1.0,
        "learning_rate": 1e-6,
        "max_steps": 1000,
        "save_steps": 4,
        "seed": 5,
        "bf16": False,
        "fp16": False,
        "scale_rewards": "group",
        "use_bias_correction_kl": False,
        "vllm_importance_sampling_correction": False,
        "use_vllm": False,
        "top_k": 0,
        "remove_unused_columns": False,
        "logging_nan_inf_filter": False,
        "output_dir": str(tmp_path / "checkpoints"),
    }
    assert {name: getattr(args, name) for name in expected} == expected


def test_trainer_args_have_the_last_word(tmp_path):
    args = grpo_args(config_of(tmp_path, {"trainer_args": {"use_cpu": True, "max_grad_norm": 1.0}}), tmp_path)
    assert args.max_grad_norm == 1.0


@pytest.mark.parametrize("section", ["sft", "rl"])
def test_every_field_of_trl_is_passed_on_or_refused_in_one_line_that_says_what_to_do(tmp_path, section):
    """An allow-list: what TRL adds tomorrow is refused until somebody has looked at it."""
    kind, make = {"sft": (SFTConfig, sft_args), "rl": (GRPOConfig, grpo_args)}[section]
    names = {field.name for field in fields(kind) if field.init}
    assert ALLOWED[section] <= names
    for name in sorted(names):
        try:
            config = config_of(tmp_path, **{section: {"batch_size": 8, "trainer_args": {name: None}}})
        except ValidationError as error:  # a key of ours
            assert "is set by the key" in str(error)
            continue
        if name in ALLOWED[section]:
            continue
        with pytest.raises(ConfigError) as refused:
            make(config, tmp_path)
        told = str(refused.value)
        assert told.startswith(f"{section}.trainer_args.{name} ") and "\n" not in told
        assert "Remove it" in told


@pytest.mark.parametrize(
    "name",
    [
        "use_vllm", "vllm_mode", "use_transformers_continuous_batching", "use_transformers_paged",
        "off_policy_mask_threshold", "importance_sampling_level", "scale_rewards", "reward_weights",
        "multi_objective_aggregation", "top_p", "top_k", "min_p", "repetition_penalty", "generation_kwargs",
        "cache_implementation", "sync_ref_model", "neftune_noise_alpha", "model_init_kwargs",
    ],
)  # fmt: skip
def test_no_other_way_to_sample_or_to_score_is_passed_on(tmp_path, name):
    with pytest.raises(ConfigError, match=rf"^rl\.trainer_args\.{name} .*(rl|rewards|model)\.\w+"):
        grpo_args(config_of(tmp_path, {"trainer_args": {"use_cpu": True, name: 1}}), tmp_path)


def test_a_refusal_sends_nobody_to_a_key_that_does_not_exist():
    for _, remedy in _INSTEAD.values():
        for section, key in re.findall(r"\b([a-z]+)\.([a-z_]+)", remedy):
            annotation = TrainConfig.model_fields[section].annotation
            models = [kind for kind in (annotation, *get_args(annotation)) if hasattr(kind, "model_fields")]
            assert key in models[0].model_fields, remedy


def test_cispo_bounds_a_token_s_weight_from_above_alone(tmp_path):
    args = grpo_args(config_of(tmp_path, {"loss_type": "cispo"}), tmp_path)
    assert (args.loss_type, args.epsilon_high) == ("cispo", 5.0)
    mine = {"loss_type": "cispo", "trainer_args": {"use_cpu": True, "epsilon_high": 3.0}}
    assert grpo_args(config_of(tmp_path, mine), tmp_path).epsilon_high == 3.0
    assert grpo_args(config_of(tmp_path), tmp_path).epsilon_high in (None, 0.2)


@pytest.mark.parametrize("lora", [None, {"rank": 4, "dropout": 0.5}])
def test_two_passes_of_one_policy_agree_because_nothing_drops_out(world, tmp_path, lora):
    """With dropout, rollouts would be scored by another policy than the one that sampled them."""
    model, processor = load_world(world)
    for layer in model.model.language_model.layers:
        layer.self_attn.attention_dropout = 0.5
    trainer = PAGRPOTrainer(
        model=model,
        args=plain_args(tmp_path, per_device_train_batch_size=4),
        rows=rows_of(world, copies=4),
        processor=processor,
        collator=collator_of(processor),
        rewards=PAID,
        judge=ScriptedJudge(),
        peft_config=lora_config(None if lora is None else LoraConfig(**lora)),
    )
    trainer.model.train()
    if lora is not None:  # an adapter that was just made changes nothing
        for name, weight in trainer.model.named_parameters():
            if "lora_B" in name:
                torch.nn.init.normal_(weight, std=0.5, generator=torch.Generator().manual_seed(0))
    script_generation(trainer)
    scored = generate(trainer)
    ids = torch.cat([scored["prompt_ids"], scored["completion_ids"]], dim=1)
    attention = torch.cat([scored["prompt_mask"], scored["completion_mask"]], dim=1)
    with torch.no_grad():
        first, second = (
            trainer._get_per_token_logps_and_entropies(
                trainer.model, ids, attention, scored["completion_ids"].shape[1]
            )[0]
            for _ in range(2)
        )
    assert torch.equal(first, second)


def test_precision_is_the_model_s(tmp_path):
    model = {"name": "org/model", "dtype": "bfloat16"}
    assert grpo_args(config_of(tmp_path, model=model), tmp_path).bf16


@pytest.mark.parametrize(
    ("rl", "complaint"),
    [
        ({"batch_size": 6}, r"batch_size 6 x accumulation 1 .* group_size 4"),
        ({"trainer_args": {"use_cpu": True, "max_grad_nrom": 1}}, "rl.trainer_args.max_grad_nrom is no field"),
        ({"trainer_args": {"use_vllm": True}}, r"rl.trainer_args.use_vllm samples without the clips.* rl.batch_size"),
        ({"trainer_args": {"scale_rewards": "none"}}, r"scale_rewards does nothing here.* Set rl.scale_advantages"),
        ({"trainer_args": {"use_cpu": True, "lr_scheduler_type": "cosinus"}}, "cosinus"),
        ({"iterations": 3, "checkpoint_every": 4}, "checkpoint_every is 4, but .* serve 3 updates"),
        (
            {"checkpoint_every": 3, "trainer_args": {"use_cpu": True, "steps_per_generation": 4}},
            "checkpoint_every is 3, but .* serve 4 updates",
        ),
    ],
)
def test_what_cannot_be_run_is_refused_in_one_line(tmp_path, rl, complaint):
    with pytest.raises(ConfigError, match=complaint) as refused:
        grpo_args(config_of(tmp_path, rl), tmp_path)
    assert "\n" not in str(refused.value)


def test_several_gpus_in_one_process_are_refused_because_torch_would_cut_batches_in_two(tmp_path, monkeypatch):
    monkeypatch.setattr(GRPOConfig, "n_gpu", 8)
    with pytest.raises(ConfigError, match=r"8 GPUs are visible to one process\. Start one process for each"):
        grpo_args(config_of(tmp_path), tmp_path)


def test_a_perception_reward_without_a_judge_is_refused(world, tmp_path):
    model, processor = load_world(world)
    with pytest.raises(ConfigError, match="needs a judge"):
        PAGRPOTrainer(
            model=model,
            args=plain_args(tmp_path),
            rows=rows_of(world),
            processor=processor,
            collator=collator_of(processor),
            rewards=RewardConfig(),
            judge=None,
        )


def test_too_few_rows_for_one_generation_are_refused(world, tmp_path):
    with pytest.raises(ConfigError, match="takes 16 prompts, the dataset has 8"):
        build(world, tmp_path, num_prompts=16)
