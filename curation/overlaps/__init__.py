"""Which rows share their video or their question with a benchmark: evidence, report, and the column `overlaps`."""
