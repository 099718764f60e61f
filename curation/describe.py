"""Everything about a dataset folder that follows from its rows: statistics, plots, card. Made again, never edited."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Final

from curation.card import NO_CHECKS, Checks, write_card
from curation.plots import write_plots
from curation.provenance import Provenance, write_provenance
from curation.publication import Publication
from curation.report import Report
from curation.shards import write_text
from curation.stats import measure

REPORT_FILE: Final = "stats/report.json"


def describe(
    folder: Path,
    provenance: Provenance,
    *,
    num_read: int | None = None,
    publication: Publication | None = None,
    checks: Checks = NO_CHECKS,
) -> Report:
    """Measure the folder and write stats/, plots/ and README.md. Raises RunDirectoryError, ConfigError."""
    report = measure(folder, num_read=num_read)
    write_provenance(folder, provenance)
    write_text(folder / REPORT_FILE, report.model_dump_json(indent=2) + "\n")
    shutil.rmtree(folder / "plots", ignore_errors=True)
    write_plots(report, folder / "plots", checks.agreement)
    write_card(folder, report, provenance, publication, checks)
    return report
