"""Training: SFT and PA-GRPO from the published dataset."""
