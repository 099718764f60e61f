"""The dataset folder's card: README.md with front matter that `datasets` obeys, and a body for people.

The text is cards/dataset_card.md.j2. Its first screen says what the dataset is, how good it is and how to load it.
Every number comes from the report, the checks, the Parquet files or the provenance: what was not measured is said to be
not measured, and a value that nobody gave is an error (markdown.py).
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq
import yaml

from curation.agreement import how_weighted
from curation.calibration import PAPER_JUDGES, RECORDED, Calibration, JudgeAgreement
from curation.errors import RunDirectoryError
from curation.facts import config_files, find_dataset
from curation.fragment import NOTHING, OPEN_SECTIONS, Fragment, split_card
from curation.front_matter import DEFAULT_CONFIG, describe_config, render_front_matter, rows_of, type_name
from curation.markdown import Markdown, escape, fence, render
from curation.origin import PAPER, works_of
from curation.overlaps.report import OverlapReport
from curation.provenance import Provenance
from curation.publication import Publication, license_fields, render_citation, render_license, written_text
from curation.release_compare import ReleaseComparison
from curation.report import Maker, Report
from curation.schema import CONFIGS, INSUFFICIENT, PROBLEM_TYPES, REJECTED, SCHEMA_VERSION, SUFFICIENT
from curation.scoring.choice import show_options
from curation.stats import PAPER_KEPT

__all__ = ["Checks", "Publication", "render_card", "render_citation", "render_license", "write_card"]

TEMPLATE: Final = "dataset_card.md.j2"
_CONTENTS_PLACE: Final = "<!-- contents -->"
SHAPES: Final = "shapes"  # the source kind of the demo world
SOURCE_NAMES: Final[Mapping[str, str]] = {  # the kinds of sources/config.py
    "videor1": "records in Video-R1's form",
    "hub": "a dataset on the hub",
    "release": "the authors' data release",
    SHAPES: "the demo world",
}
MOST_ROWS: Final = 20  # of a table
MOST_REASONS: Final = 8  # of a step in the funnel
MOST_NAMES: Final = 3  # in a sentence
EXAMPLE_CHARS: Final = 450  # of a segment
PROMPTS: Final = {"generator": "prompts/trace.txt", "judge": "prompts/judge.txt"}
CONFIG_MEANING: Final[Mapping[str, str]] = {
    "cot": "questions with their accepted trace (the default)",
    "rejected": "every other record that was read, with the reason and the raw completion",
    "rl": "questions for reinforcement learning",
}
COLUMN_MEANING: Final[Mapping[str, str]] = {
    "id": "stable hash of source path, problem and options",
    "problem_id": "the source's own number",
    "problem": "the question",
    "options": "the choices as in the source; where they bear no letters, those of multiple choice are A, B, C ...",
    "data_type": "image or video",
    "problem_type": "multiple choice, numerical, OCR, free-form or regression",
    "solution": "the gold answer inside answer tags, as upstream",
    "path": "media file, relative to the media root; the media are not part of this dataset",
    "data_source": "the collection that the question comes from",
    "license": "licence of that collection",
    "observation": "perception: what has to be seen, without tags",
    "think": "reasoning over the observation, without tags",
    "answer": "the model's answer, without tags",
    "score": "task metric of the answer, 0 to 1; null = not scored",
    "verdict": "sufficient or insufficient: does the gold answer follow from the observation alone; null = no verdict",
    "verdict_reason": "the judge's explanation",
    "observation_tokens": "length of the observation; null = not measured",
    "think_tokens": "length of the think text; null = not measured",
    "flags": "marks of the filters, such as leaks_answer",
    "overlaps": "benchmarks that share the media or the question; null = not computed",
    "media_sha256": "hash of the media file",
    "media_duration_s": "seconds; null for images",
    "media_num_frames": "frames in the file",
    "generator": "model that wrote the trace",
    "prompt_sha256": "hash of the prompt file it was given",
    "judge": "model that gave the verdict",
    "judge_prompt_sha256": "hash of the prompt file it was given",
    "attempt": "1 = the first try",
    "rejected_by": "step:reason (config rejected only)",
    "detail": "the reason in words (config rejected only)",
    "completion": "raw model text (config rejected only)",
}


@dataclass(frozen=True, slots=True)
class Checks:
    """What was measured beside the rows; null = was not."""

    agreement: Calibration | None = None
    overlaps: OverlapReport | None = None
    comparison: ReleaseComparison | None = None


NO_CHECKS: Final = Checks()


def write_card(
    dataset_dir: Path,
    report: Report,
    provenance: Provenance,
    publication: Publication | None = None,
    checks: Checks = NO_CHECKS,
    fragment: Fragment = NOTHING,
) -> Path:
    """Write README.md; plots that lie in `plots/` are shown. Returns its path.

    Raises ConfigError when a value is missing, RunDirectoryError when the Parquet files or the prompts do not fit.
    """
    folder = find_dataset(dataset_dir)
    path = folder / "README.md"
    torn = path.with_name(path.name + ".tmp")
    torn.write_text(render_card(folder, report, provenance, publication, checks, fragment), encoding="utf-8")
    torn.replace(path)
    return path


def render_card(
    dataset_dir: Path,
    report: Report,
    provenance: Provenance,
    publication: Publication | None = None,
    checks: Checks = NO_CHECKS,
    fragment: Fragment = NOTHING,
) -> str:
    """The card's text. Without `publication` it speaks of a local folder. fragment: what people wrote into it.

    It depends on the arguments, the Parquet footers, the first row, the prompts and the names of the plots.
    """
    infos = [describe_config(dataset_dir, config) for config in CONFIGS]
    num_rows = rows_of(infos)
    funnel = report.funnel
    if (num_rows["cot"], num_rows["rejected"], num_rows["rl"]) != (funnel.num_kept, funnel.num_rejected, report.num_rl):
        raise RunDirectoryError(f"{dataset_dir} is not what the report was measured on. Measure it again.")
    synthetic = provenance.source == SHAPES
    repo_name = "VideoP2R-CoT" if publication is None else publication.repo.rpartition("/")[2]
    named = f"{' '.join(re.split('[-_]+', repo_name))}{', demo world' if synthetic else ''}"
    name = str(fragment.fields.get("pretty_name") or named)
    origin, sections = provenance.origin, fragment.sections
    works = works_of((row.data_source for row in report.attribution), origin, provenance.media_repo)
    text = render(
        TEMPLATE,
        front_matter=render_front_matter(
            infos,
            name=name,
            license_fields=license_fields(report, publication, origin),
            synthetic=synthetic,
            source=provenance.media_repo,
            written=fragment.fields,
        ),
        name=name,
        lead=Markdown(fragment.lead),
        written={name: Markdown(f"{text}\n") for name, text in sections.items() if name in OPEN_SECTIONS},
        added=[(Markdown(name), Markdown(text)) for name, text in sections.items() if name not in OPEN_SECTIONS],
        contact=None if (contact := written_text(fragment.fields, "contact")) is None else Markdown(contact),
        doi=written_text(fragment.fields, "doi"),
        origin=origin,
        works=[(work, fence(work.citation, "bibtex")) for work in works],
        report=report,
        funnel=funnel,
        provenance=provenance,
        source_name=SOURCE_NAMES.get(provenance.source, provenance.source),
        publication=publication,
        checks=checks,
        synthetic=synthetic,
        was_run=bool(provenance.config),
        min_score=_entry(provenance.config, "filter", "min_score"),
        rejects_leaks=_entry(provenance.config, "filter", "leaks_answer") == "reject",
        scores_as_videor1=_entry(provenance.config, "filter", "scoring") == "videor1",
        num_frames=_entry(provenance.config, "video", "num_frames"),
        world=(_entry(provenance.config, "source", "num_questions"), _entry(provenance.config, "source", "seed")),
        verdicts=_Verdicts.of(report),
        makers={role: _name_makers(makers) for role, makers in _makers(report).items()},
        all_makers=_makers(report),
        prompts=_find_prompts(dataset_dir, report),
        configs=[(config, Markdown(CONFIG_MEANING[config]), num_rows[config]) for config in CONFIGS],
        columns=[_column_cells(field) for field in REJECTED],
        example=_render_example(dataset_dir),
        share_of_type={row.value: row.kept for row in report.survival if row.by == "problem_type"},
        judge=_recorded_judge(checks.agreement),
        judge_types=_judge_types(checks.agreement),
        weighting=_weighting(report, checks.agreement),
        paper_judges=PAPER_JUDGES,
        paper_kept=PAPER_KEPT,
        plots={picture.stem for picture in (dataset_dir / "plots").glob("*.png")},
        has_file_hashes=(dataset_dir / "stats/files.json").exists(),
        quoted_config=fence(yaml.safe_dump(provenance.config, sort_keys=False), "yaml"),
        schema_version=SCHEMA_VERSION,
        origin_citation=None if origin is None else fence(origin.citation, "bibtex"),
        paper=None if origin is not None and origin.citation == PAPER.citation else fence(PAPER.citation, "bibtex"),
        own_citation=None if publication is None else fence(_cite(publication, fragment.fields), "bibtex"),
        most_rows=MOST_ROWS,
        most_reasons=MOST_REASONS,
    )
    return text.replace(_CONTENTS_PLACE, _list_contents(text))


def _list_contents(text: str) -> str:
    """Links to the sections, by the names that the hub gives them."""
    links = []
    for name in split_card(text).sections:
        if name == "Contents":
            continue
        anchor = re.sub(r"[^\w -]", "", name.lower()).replace(" ", "-")
        links.append(f"[{name}](#{anchor})")
    return " . ".join(links)


def _cite(publication: Publication, written: Mapping[str, Any]) -> str:
    """This version of the dataset as BibTeX."""
    name = publication.repo.rpartition("/")[2]
    doi = written_text(written, "doi")
    fields = {
        "title": f"{{{publication.repo}}}, version {publication.version}",
        "howpublished": f"\\url{{{publication.url}}}",
        **({"doi": doi} if doi is not None else {}),
        "note": f"Hugging Face dataset, tag {publication.tag}",
    }
    lines = ",\n".join(f"  {key:<13} = {{{value}}}" for key, value in fields.items())
    return f"@misc{{{re.sub('[^a-z0-9]', '', name.lower())},\n{lines}\n}}"


@dataclass(frozen=True, slots=True)
class _Verdicts:
    """Kept rows by their verdict."""

    num_sufficient: int
    num_insufficient: int
    num_none: int

    @classmethod
    def of(cls, report: Report) -> _Verdicts:
        num_kept = {tally.value: tally.num_kept for tally in report.verdicts}
        return cls(num_kept.get(SUFFICIENT, 0), num_kept.get(INSUFFICIENT, 0), num_kept.get(None, 0))


def _makers(report: Report) -> dict[str, tuple[Maker, ...]]:
    return {"generator": report.generators, "judge": report.judges}


def _name_makers(makers: Sequence[Maker]) -> Markdown | None:
    """The models behind the kept rows, in a sentence; None when no row names one."""
    names = list(dict.fromkeys(maker.model for maker in makers if maker.num_kept and maker.model is not None))
    if not names:
        return None
    more = [f"{len(names) - MOST_NAMES} more"] if len(names) > MOST_NAMES else []
    shown = [*(escape(name) for name in names[:MOST_NAMES]), *more]
    return Markdown(" and ".join(filter(None, (", ".join(shown[:-1]), shown[-1]))))


def _find_prompts(folder: Path, report: Report) -> dict[str, list[tuple[str, str | None]]]:
    """Role -> (sha256, file in the folder or None) of every prompt that the rows name.

    Raises RunDirectoryError when the folder has another prompt than the one that a row was made with.
    """
    found: dict[str, list[tuple[str, str | None]]] = {}
    for role, makers in _makers(report).items():
        named = dict.fromkeys(maker.prompt_sha256 for maker in makers if maker.prompt_sha256 is not None)
        file = folder / PROMPTS[role]
        if not file.exists():
            found[role] = [(sha256, None) for sha256 in named]
            continue
        sha256 = hashlib.sha256(file.read_bytes()).hexdigest()
        if other := [other for other in named if other != sha256]:
            raise RunDirectoryError(
                f"{file} is not the prompt that the rows name: its sha256 is {sha256[:12]}..., theirs "
                f"{other[0][:12]}... Put the prompt there that the rows were made with, or run the pipeline again."
            )
        found[role] = [(sha256, PROMPTS[role])]
    return found


def _render_example(folder: Path) -> Markdown | None:
    """The first row as a quotation; None without rows."""
    for path in config_files(folder, DEFAULT_CONFIG):
        with pq.ParquetFile(path) as file:
            for batch in file.iter_batches(batch_size=1):
                (row,) = batch.to_pylist()
                return _quote(row)
    return None


def _quote(row: Mapping[str, Any]) -> Markdown:
    options = " ".join(show_options(row["problem_type"], row["options"] or ()))
    parts = {
        f"Question ({row['data_type']}, {row['problem_type']})": f"{row['problem']} {options}",
        "Observation": row["observation"],
        "Think": row["think"],
        "Answer": row["answer"],
    }
    return Markdown(
        "\n>\n".join(
            f"> **{escape(name)}**: {escape(text, most=EXAMPLE_CHARS)}"
            for name, text in parts.items()
            if text is not None
        )
    )


def _recorded_judge(calibration: Calibration | None) -> JudgeAgreement | None:
    """The judge whose verdicts the rows hold, when it was among those compared."""
    judges = () if calibration is None else calibration.judges
    return next((judge for judge in judges if judge.name == RECORDED), None)


def _weighting(report: Report, calibration: Calibration | None) -> str | None:
    found = calibration.judges[0].agreement if calibration is not None else report.agreement
    return None if found is None else how_weighted(found)


def _judge_types(calibration: Calibration | None) -> list[str]:
    """The problem types on which any judge was compared."""
    judges = () if calibration is None else calibration.judges
    compared = {part.problem_type for judge in judges for part in judge.by_type if part.agreement.accuracy.total}
    return [name for name in PROBLEM_TYPES if name in compared]


def _entry(config: Mapping[str, Any], *keys: str) -> Any:
    """An entry of the resolved config, null where it has none."""
    value: Any = config
    for key in keys:
        value = value.get(key) if isinstance(value, Mapping) else None
    return value


def _column_cells(field: pa.Field) -> tuple[Markdown, Markdown, Markdown]:
    return Markdown(f"`{field.name}`"), Markdown(type_name(field.type)), Markdown(COLUMN_MEANING[field.name])
