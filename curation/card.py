"""The dataset folder's card: README.md with front matter that `datasets` obeys, and a body for people.

The text is cards/dataset_card.md.j2. Whatever the template prints is escaped unless it is `Markdown`, so a hostile name
in the data cannot break the page; a value that nobody gave is an error, never an empty string.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any, Final

import jinja2
import pyarrow as pa
import yaml

from curation.errors import ConfigError, RunDirectoryError
from curation.facts import config_files, find_dataset, read_footer
from curation.provenance import Provenance
from curation.report import Report, percent, plain
from curation.schema import CONFIG_FILES, CONFIGS, REJECTED, SCHEMA_VERSION

TEMPLATE: Final = "dataset_card.md.j2"
SHAPES: Final = "shapes"  # the source kind of the demo world
DEFAULT_CONFIG: Final = "cot"
MOST_ROWS: Final = 20
# The hub's own names; anything else is "other" there, and is named in the body.
HUB_LICENSES: Final = frozenset(
    ("apache-2.0", "mit", "bsd-3-clause", "cc0-1.0", "cc-by-4.0", "cc-by-sa-4.0", "cc-by-nc-4.0", "cc-by-nc-sa-4.0")
)
SIZES: Final = (1_000, 10_000, 100_000, 1_000_000, 10_000_000)
SIZE_NAMES: Final = ("n<1K", "1K<n<10K", "10K<n<100K", "100K<n<1M", "1M<n<10M", "10M<n<100M")
CONFIG_MEANING: Final[Mapping[str, str]] = {
    "cot": "questions with their accepted trace (the default)",
    "rejected": "every other record that was read, with the reason and the raw completion",
    "rl": "the questions with usable media, for reinforcement learning",
}
COLUMN_MEANING: Final[Mapping[str, str]] = {
    "id": "stable hash of source path, problem and options",
    "problem_id": "the source's own number",
    "problem": "the question",
    "options": "the choices, letters inside the text; empty unless multiple choice",
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
_SPECIAL: Final = re.compile(r"([\\`*_\[\]<>|~$&@#!])")
_NAMED_TYPES: Final[Mapping[pa.DataType, str]] = {
    pa.string(): "string",
    pa.large_string(): "large_string",
    pa.int64(): "int64",
    pa.float64(): "float64",
    pa.bool_(): "bool",
}


class Markdown(str):
    """Text that is Markdown already: printed as it is."""


def write_card(dataset_dir: Path, report: Report, provenance: Provenance) -> Path:
    """Write README.md; plots that lie in `plots/` are shown. Returns its path.

    Raises ConfigError when a value is missing, RunDirectoryError when the Parquet files do not fit.
    """
    folder = find_dataset(dataset_dir)
    path = folder / "README.md"
    torn = path.with_name(path.name + ".tmp")
    torn.write_text(render_card(folder, report, provenance), encoding="utf-8")
    torn.replace(path)
    return path


def render_card(dataset_dir: Path, report: Report, provenance: Provenance) -> str:
    """The card's text; it depends on the report, the provenance, the Parquet footers and the names of the plots."""
    infos = [_describe_config(dataset_dir, config) for config in CONFIGS]
    num_rows = {info["config_name"]: info["splits"][0]["num_examples"] for info in infos}
    funnel = report.funnel
    if (num_rows["cot"], num_rows["rejected"], num_rows["rl"]) != (funnel.num_kept, funnel.num_rejected, report.num_rl):
        raise RunDirectoryError(f"{dataset_dir} is not what the report was measured on. Measure it again.")
    synthetic = provenance.source == SHAPES
    environment = jinja2.Environment(
        undefined=jinja2.StrictUndefined,
        finalize=_print,
        autoescape=False,  # this is Markdown: `_print` escapes for it
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters.update(count=lambda number: f"{number:,}", percent=percent)
    try:
        return environment.from_string(files("cards").joinpath(TEMPLATE).read_text("utf-8")).render(
            front_matter=Markdown(yaml.safe_dump(_front_matter(report, infos, synthetic), sort_keys=False)),
            report=report,
            funnel=funnel,
            provenance=provenance,
            synthetic=synthetic,
            configs=[(config, Markdown(CONFIG_MEANING[config]), num_rows[config]) for config in CONFIGS],
            columns=[_column_cells(field) for field in REJECTED],
            multiple_choice=next(row.kept for row in report.survival if row.value == "multiple choice"),
            plots={picture.stem for picture in (dataset_dir / "plots").glob("*.png")},
            quoted_config=_fence(yaml.safe_dump(provenance.config, sort_keys=False)),
            schema_version=SCHEMA_VERSION,
            most_rows=MOST_ROWS,
        )
    except jinja2.UndefinedError as error:
        raise ConfigError(f"{TEMPLATE} needs a value that nobody gave: {error}") from error


def escape(text: str) -> Markdown:
    """One line of plain text that no Markdown reader takes for anything else, link or mathematics included."""
    line = plain(" ".join(text.split()), most=100)
    line = _SPECIAL.sub(r"\\\1", line).replace("://", ":\\//")
    return Markdown(re.sub(r"(?i)\b(www)\.", r"\1\\.", line))


def _print(value: object) -> object:
    """What the template does with every expression."""
    if isinstance(value, jinja2.Undefined):
        return str(value)  # raises UndefinedError: StrictUndefined
    if isinstance(value, Markdown):
        return value
    if isinstance(value, str):
        return escape(value)
    if isinstance(value, int | float):
        return value
    raise ConfigError(f"{TEMPLATE} prints {value!r}, which is no text and no number.")


def _front_matter(report: Report, infos: list[dict[str, Any]], synthetic: bool) -> dict[str, Any]:
    tags = ["video", "image", "chain-of-thought", "reasoning", "perception", "videop2r"]
    configs = [
        {
            "config_name": config,
            "data_files": [{"split": "train", "path": f"{CONFIG_FILES[config]}-*.parquet"}],
            **({"default": True} if config == DEFAULT_CONFIG else {}),
        }
        for config in CONFIGS
    ]
    return {
        "pretty_name": f"VideoP2R-CoT{', demo world' if synthetic else ''} ({report.funnel.num_kept:,} traces)",
        "language": ["en"],
        "license": _hub_licenses(report),
        "annotations_creators": ["machine-generated"],
        "task_categories": ["video-text-to-text", "visual-question-answering"],
        "size_categories": [SIZE_NAMES[sum(report.funnel.num_kept >= size for size in SIZES)]],
        "tags": [*tags, "synthetic"] if synthetic else tags,
        "configs": configs,
        "dataset_info": infos,
    }


def _hub_licenses(report: Report) -> list[str] | str:
    """The licences of the kept rows by the hub's names: `unknown` when a row has none, `other` for a foreign one."""
    names = {tally.value for tally in report.licenses if tally.num_kept}
    if not names or None in names:
        return "unknown"
    known = sorted(str(name).lower() for name in names)
    return known if HUB_LICENSES.issuperset(known) else "other"


def _describe_config(dataset_dir: Path, config: str) -> dict[str, Any]:
    """`dataset_info` of one config from the Parquet footers: `datasets` refuses to load when it is wrong.

    num_bytes is the uncompressed size.
    """
    paths = config_files(dataset_dir, config)
    footers = [read_footer(path) for path in paths]
    schemas = [footer.schema.to_arrow_schema().remove_metadata() for footer in footers]
    for path, schema in zip(paths, schemas, strict=True):
        if not schema.equals(schemas[0]):
            raise RunDirectoryError(f"{path} has other columns than {paths[0].name}. Run the pipeline again.")
    num_bytes = sum(
        footer.row_group(place).total_byte_size for footer in footers for place in range(footer.num_row_groups)
    )
    num_rows = sum(footer.num_rows for footer in footers)
    return {
        "config_name": config,
        "features": [_feature(field) for field in schemas[0]],
        "splits": [{"name": "train", "num_bytes": num_bytes, "num_examples": num_rows}],
        "download_size": sum(path.stat().st_size for path in paths),
        "dataset_size": num_bytes,
    }


def _feature(field: pa.Field) -> dict[str, str]:
    if pa.types.is_list(field.type):
        return {"name": field.name, "list": _type_name(field.type.value_type)}
    return {"name": field.name, "dtype": _type_name(field.type)}


def _type_name(dtype: pa.DataType) -> str:
    if pa.types.is_list(dtype):
        return f"list of {_type_name(dtype.value_type)}"
    if dtype not in _NAMED_TYPES:
        raise RunDirectoryError(f"a column has the type {dtype}, which the published format does not use.")
    return _NAMED_TYPES[dtype]


def _column_cells(field: pa.Field) -> tuple[Markdown, Markdown, Markdown]:
    return Markdown(f"`{field.name}`"), Markdown(_type_name(field.type)), Markdown(COLUMN_MEANING[field.name])


def _fence(text: str) -> Markdown:
    """A code block whose fence is longer than any run of backticks inside."""
    longest = max((len(run) for run in re.findall(r"`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return Markdown(f"{fence}yaml\n{text.rstrip()}\n{fence}")
