"""What a dataset folder says about its rows: the report and the provenance. Either may be absent, never wrong."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from curation.report import Report

REPORT_FILE = "stats/report.json"
PROVENANCE_FILE = "stats/provenance.json"


def read_report(folder: Path, num_rows: Mapping[str, int]) -> tuple[Report | None, list[str]]:
    """The report, and a note where it is absent, cannot be read, or is about other rows than `num_rows` (by config)."""
    try:
        report = Report.model_validate_json((folder / REPORT_FILE).read_bytes())
    except FileNotFoundError:
        return None, [f"There is no {REPORT_FILE}: nobody has measured this dataset."]
    except ValidationError as error:
        return None, [f"{REPORT_FILE} is damaged or of another version: {_first_line(error)}."]
    except OSError as error:
        return None, [f"{REPORT_FILE} cannot be read: {error.strerror}."]
    measured = {"cot": report.funnel.num_kept, "rejected": report.funnel.num_rejected}
    if differing := [config for config, count in num_rows.items() if measured[config] != count]:
        config = differing[0]
        return None, [
            f"{REPORT_FILE} is about other rows: it counts {measured[config]:,} in config {config}, "
            f"which has {num_rows[config]:,}."
        ]
    return report, []


def read_provenance(folder: Path) -> tuple[Mapping[str, Any] | None, list[str]]:
    """The origin of the rows, as it was written, and a note where it is absent or cannot be read."""
    try:
        origin = json.loads((folder / PROVENANCE_FILE).read_bytes())
    except FileNotFoundError:
        return None, [f"There is no {PROVENANCE_FILE}: where the rows come from is not recorded."]
    except OSError as error:
        return None, [f"{PROVENANCE_FILE} cannot be read: {error.strerror}."]
    except (ValueError, RecursionError) as error:
        return None, [f"{PROVENANCE_FILE} is damaged: {_first_line(error)}."]
    if not isinstance(origin, dict):
        return None, [f"{PROVENANCE_FILE} is damaged: it holds no object."]
    return origin, []


def _first_line(error: Exception) -> str:
    if isinstance(error, ValidationError):
        first = error.errors()[0]
        return f"{'.'.join(map(str, first['loc']))}: {first['msg']}".removeprefix(": ")[:200]
    return (str(error).splitlines() or [type(error).__name__])[0][:200]
