"""Which fields of TRL's SFTConfig and GRPOConfig `trainer_args` may set, and what to set in place of the others.

An allow-list: TRL gains fields with each release, and one that samples or scores in another way would go unnoticed,
because the media take a way of their own here (vision_rollouts.py) and the advantages too (process_rollouts.py).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Final, Literal

from curation.errors import ConfigError

_BOTH: Final = frozenset(
    {
        # the optimizer and its schedule
        "adam_beta1",
        "adam_beta2",
        "adam_epsilon",
        "lr_scheduler_kwargs",
        "lr_scheduler_type",
        "max_grad_norm",
        "optim",
        "optim_args",
        "optim_target_modules",
        "warmup_steps",
        "weight_decay",
        # memory and speed
        "gradient_checkpointing",
        "gradient_checkpointing_kwargs",
        "tf32",
        "torch_compile",
        "torch_compile_backend",
        "torch_compile_mode",
        "torch_empty_cache_steps",
        "use_cpu",
        # processes
        "dataloader_persistent_workers",
        "dataloader_pin_memory",
        "dataloader_prefetch_factor",
        "ddp_backend",
        "ddp_broadcast_buffers",
        "ddp_bucket_cap_mb",
        "ddp_find_unused_parameters",
        "ddp_static_graph",
        "ddp_timeout",
        "deepspeed",
        "fsdp",
        "fsdp_config",
        # what is told
        "debug",
        "disable_tqdm",
        "full_determinism",
        "include_num_input_tokens_seen",
        "log_level",
        "log_level_replica",
        "log_on_each_node",
        "logging_first_step",
        "logging_steps",
        "project",
        "run_name",
        "skip_memory_metrics",
        "trackio_space_id",
    }
)
ALLOWED: Final[Mapping[str, frozenset[str]]] = {
    "sft": _BOTH | {"activation_offloading", "neftune_noise_alpha", "shuffle_dataset"},
    "rl": _BOTH
    | {
        # the loss, over the same log-probabilities and advantages
        "delta",
        "entropy_coef",
        "epsilon_high",
        "mask_truncated_completions",
        "top_entropy_quantile",
        "use_bias_correction_kl",
        # how many updates one generation serves
        "steps_per_generation",
        "ds3_gather_for_generation",
        "shuffle_dataset",
        "log_completions",
        "log_unique_prompts",
        "num_completions_to_print",
    },
}
# field -> (what it would do, what to do). A name that ends in * stands for all that begin so; the first that fits.
_INSTEAD: Final[Mapping[str, tuple[str, str]]] = {
    "use_vllm": (
        "samples without the clips: TRL sends vLLM bare placeholders, and the update would go on",
        "The trainer samples itself; rl.batch_size says how many completions in one pass",
    ),
    "vllm_*": (
        "belongs to use_vllm, which samples without the clips",
        "rl.batch_size is the size of a pass",
    ),
    "use_transformers_*": (
        "samples without the clips",
        "rl.batch_size says how many completions are sampled in one pass",
    ),
    "transformers_continuous_*": ("samples without the clips", "rl.batch_size is the size of a pass"),
    "off_policy_mask_threshold": (
        "judges a whole completion by the sign of its one advantage, and here it has two",
        "rl.clip_eps and rl.iterations bound how far a policy moves from its rollouts",
    ),
    "importance_sampling_level": (
        "mixes the advantages of perception and reasoning in one ratio",
        "rl.loss_type has the losses that keep a ratio for each token",
    ),
    "scale_rewards": ("does nothing here, where each process has its own advantage", "Set rl.scale_advantages"),
    "reward_weights": (
        "does nothing here, where each process has its own advantage",
        "Set rewards.accuracy_weight, rewards.format_weight and rewards.length_bonus",
    ),
    "multi_objective_aggregation": (
        "does nothing here, where each process has its own advantage",
        "Set rl.separate and rl.scale_advantages",
    ),
    "top_p": ("samples from another distribution than the one that is scored", "Set rl.temperature"),
    "top_k": ("samples from another distribution than the one that is scored", "Set rl.temperature"),
    "min_p": ("samples from another distribution than the one that is scored", "Set rl.temperature"),
    "repetition_penalty": (
        "samples from another distribution than the one that is scored",
        "Set rewards.max_repetition to pay loops less",
    ),
    "generation_kwargs": ("samples from another distribution than the one that is scored", "Set rl.temperature"),
    "cache_implementation": ("samples in another way than the one that is scored", "rl.batch_size bounds the cache"),
    "generation_batch_size": ("is two other numbers", "Set rl.batch_size and rl.accumulation"),
    "disable_dropout": ("is set: the policy is sampled and scored without dropout", "Set lora.dropout for sft"),
    "neftune_noise_alpha": ("scores with noise that was not sampled with", "Set rl.temperature"),
    "sync_ref_model": ("moves a reference that no checkpoint holds", "Set rl.beta"),
    "ref_model_*": ("moves a reference that no checkpoint holds", "Set rl.beta"),
    "use_adaptive_entropy": ("moves a coefficient that no checkpoint holds", "Set rl.trainer_args.entropy_coef"),
    "entropy_*": ("moves a coefficient that no checkpoint holds", "Set rl.trainer_args.entropy_coef"),
    "model_init_kwargs": ("loads another model than the config names", "Set model.dtype and model.attention"),
    "trust_remote_code": ("runs code of others", "Set model.name to a Qwen2.5-VL"),
    "assistant_only_loss": ("is what the collator does: only the assistant's tokens are trained on", "Leave it out"),
    "completion_only_loss": ("is what the collator does: only the assistant's tokens are trained on", "Leave it out"),
    "label_smoothing_factor": ("is another loss than the likelihood of the traces", "Set sft.learning_rate"),
    "loss_type": ("is another loss than the likelihood of the traces", "Set sft.learning_rate"),
    "bf16*": ("is the precision of the model", "Set model.dtype"),
    "fp16*": ("is the precision of the model", "Set model.dtype"),
    "activation_checkpointing*": ("is another name", "Set gradient_checkpointing"),
    "auto_find_batch_size": ("changes the batch in mid-training", "Set batch_size and accumulation"),
    "data_seed": ("is a second seed", "Set seed"),
    "train_sampling_strategy": ("changes the order that a resumed run relies on", "Set seed"),
    "ignore_data_skip": ("would train on the same rows twice when a run is resumed", "Set checkpoint_every"),
    "save_*": ("decides whether a killed run can go on", "Set checkpoint_every and keep_checkpoints"),
    "dataloader_num_workers": ("has a key", "Set num_workers"),
    "dataloader_*": ("changes the order that a resumed run relies on", "Set seed"),
    "resume_from_checkpoint": ("is found by itself", "Run the same command again"),
    "restore_*": ("is found by itself", "Run the same command again"),
    "report_to": ("has a key", "Set report_to"),
    "push_to_hub": ("would publish checkpoints without a card", "Use --push"),
    "hub_*": ("would publish checkpoints without a card", "Use --push"),
    "eval_*": ("evaluates on rows that nobody held out", "Set evaluation.held_out_share"),
    "*": ("is not known to leave sampling, scoring and resuming as they are", "training/trainer_args.py has the list"),
}


def check_trainer_args(section: Literal["sft", "rl"], given: Collection[str], fields: Collection[str]) -> None:
    """Raise ConfigError, in one line, for the first field that is not passed on to TRL.

    given: the names in `trainer_args`. fields: those of TRL's config, so that a slip of the pen is told from a refusal.
    """
    kind = "SFTConfig" if section == "sft" else "GRPOConfig"
    if unknown := sorted(set(given) - set(fields)):
        raise ConfigError(f"{section}.trainer_args.{unknown[0]} is no field of TRL's {kind}. Correct or remove it.")
    if refused := sorted(set(given) - ALLOWED[section]):
        why, remedy = next(told for name, told in _INSTEAD.items() if _fits(refused[0], name))
        raise ConfigError(f"{section}.trainer_args.{refused[0]} {why}. Remove it. {remedy}.")


def _fits(field: str, name: str) -> bool:
    return field.startswith(name[:-1]) if name.endswith("*") else field == name
