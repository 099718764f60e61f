"""From a record of a source to a question, or to a reject with its reason."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from curation.sources.reading import RawRecord
from curation.sources.records import questions_from_records

RECORDS = Path(__file__).parent.parent / "odd_questions.json"


def outputs() -> dict[str, Any]:
    """Record -> what it becomes."""
    odd = json.loads(RECORDS.read_text(encoding="utf-8"))
    records = [RawRecord("odd.json", number, row["record"]) for number, row in enumerate(odd)]
    return {f"record {number}": asdict(found) for number, found in enumerate(questions_from_records(records, {}))}
