"""Everything about a dataset folder that follows from its rows: statistics, plots, card. Made again, never edited."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Final

from curation.calibration import Calibration
from curation.card import NO_CHECKS, Checks, write_card
from curation.checks import CheckT, StaleCheck, has_checks, read_check, rows_sha256
from curation.errors import RunDirectoryError
from curation.fragment import NOTHING, Fragment, read_fragment
from curation.overlaps.report import OverlapReport
from curation.plots import write_plots
from curation.provenance import PROVENANCE_FILE, Provenance, read_provenance, write_provenance
from curation.publication import Publication
from curation.release_compare import ReleaseComparison
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
    fragment: Fragment = NOTHING,
) -> Report:
    """Measure the folder and write stats/, plots/ and README.md. Raises RunDirectoryError, ConfigError."""
    report = measure(folder, num_read=num_read)
    write_provenance(folder, provenance)
    write_text(folder / REPORT_FILE, report.model_dump_json(indent=2) + "\n")
    shutil.rmtree(folder / "plots", ignore_errors=True)
    write_plots(report, folder / "plots", checks.agreement)
    write_card(folder, report, provenance, publication, checks, fragment)
    return report


def find_checks(home: Path, folder: Path, *, allow_stale: bool = False) -> Checks:
    """What was measured on the rows of `folder`, as it lies in `home`.

    Raises RunDirectoryError for a check that cannot be read, or of other rows; `allow_stale` leaves the latter out.
    """
    if not has_checks(home):
        return NO_CHECKS
    rows = rows_sha256(folder)

    def read(name: str, model: type[CheckT], command: str) -> CheckT | None:
        try:
            return read_check(home, name, rows, model, remedy=f"run {command} again.")
        except StaleCheck:
            if allow_stale:
                return None
            raise

    return Checks(
        agreement=read("agreement", Calibration, "calibrate"),
        overlaps=read("overlaps", OverlapReport, "overlaps"),
        comparison=read("release_comparison", ReleaseComparison, "compare-release"),
    )


def refresh_card(folder: Path, home: Path) -> None:
    """Show a check that has just been measured in the folder's own card, if it has one."""
    if not (folder / PROVENANCE_FILE).exists() or not (folder / REPORT_FILE).exists():
        return
    try:
        report = Report.model_validate_json((folder / REPORT_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise RunDirectoryError(f"{folder / REPORT_FILE} is damaged. Run the pipeline again.") from error
    checks = find_checks(home, folder, allow_stale=True)
    write_plots(report, folder / "plots", checks.agreement)
    write_card(folder, report, read_provenance(folder), None, checks, read_fragment(home))
