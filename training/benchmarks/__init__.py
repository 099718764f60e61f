"""Seven video benchmarks and the demo world's held-out split: questions, scores, reports."""
