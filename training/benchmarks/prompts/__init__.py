"""Our prompts of the benchmarks beside the trace prompt, which is that of curation and training."""
