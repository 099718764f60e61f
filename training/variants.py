"""The paper's ablation table, one key away (VideoP2R section 4, ablations): what each row of it changes.

| variant              | SFT | RL  | template | rewards                        | a token's advantage         |
|----------------------|-----|-----|----------|--------------------------------|-----------------------------|
| full                 | yes | yes | full     | perception, reasoning          | of its own process          |
| sft_only             | yes | -   | full     |                                |                             |
| rl_only              | -   | yes | full     | perception, reasoning          | of its own process          |
| grpo                 | yes | yes | full     | reasoning                      | of the one reward           |
| agnostic_sft         | yes | -   | agnostic |                                |                             |
| no_perception_reward | yes | yes | full     | reasoning                      | of the one reward, as grpo  |
| no_reasoning_reward  | yes | yes | full     | perception                     | of the one reward           |
| no_length_reward     | yes | yes | full     | both, without their length     | of its own process          |
| no_separation        | yes | yes | full     | perception + reasoning, summed | of the sum                  |

The paper gives grpo and no_perception_reward one row, so a reward that is left alone counts for all tokens; by the same
rule does no_reasoning_reward's. `variant: full rl.separate: false` and the like compose anything else.
"""

from __future__ import annotations

from typing import Any, Final, Literal

from training.config import TrainConfig, Variant

Stage = Literal["sft", "rl"]

_STAGES: Final[dict[Variant, tuple[Stage, ...]]] = {
    "sft_only": ("sft",),
    "agnostic_sft": ("sft",),
    "rl_only": ("rl",),
}


def stages_of(variant: Variant) -> tuple[Stage, ...]:
    """The stages that train, in order."""
    return _STAGES.get(variant, ("sft", "rl"))


def apply_variant(config: TrainConfig) -> TrainConfig:
    """Return the config with what its variant changes; `full`, `sft_only` and `rl_only` change no setting.

    The rewards read completions by the template that the prompt asks for, whatever section `rewards` says.
    """
    seen = config.input
    rewards: dict[str, Any] = {}
    rl: dict[str, Any] = {}
    match config.variant:
        case "grpo" | "no_perception_reward":
            rewards, rl = {"perception": False}, {"separate": False}
        case "no_reasoning_reward":
            rewards, rl = {"reasoning": False}, {"separate": False}
        case "no_length_reward":
            rewards = {"length": False}
        case "no_separation":
            rl = {"separate": False}
        case "agnostic_sft":
            rewards = {"perception": False}
            if seen.template != "agnostic":
                seen = seen.model_copy(update={"template": "agnostic", "prompt": seen.agnostic_prompt})
    return config.model_copy(
        update={
            "rewards": config.rewards.model_copy(update={"template": seen.template, **rewards}),
            "rl": config.rl.model_copy(update=rl),
            "input": seen,
        }
    )
