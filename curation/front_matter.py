"""The YAML at the head of a dataset's README.md: what the hub shows and `datasets` obeys.

`dataset_info` is read from the Parquet footers, for `datasets` refuses to load when it is wrong.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import yaml

from curation.errors import RunDirectoryError
from curation.facts import config_files, read_footer
from curation.markdown import Markdown
from curation.schema import CONFIG_FILES, CONFIGS

DEFAULT_CONFIG: Final = "cot"
SIZES: Final = (1_000, 10_000, 100_000, 1_000_000, 10_000_000)
SIZE_NAMES: Final = ("n<1K", "1K<n<10K", "10K<n<100K", "100K<n<1M", "1M<n<10M", "10M<n<100M")
TAGS: Final = ("video", "image", "chain-of-thought", "reasoning", "perception", "videop2r")
_NAMED_TYPES: Final = {
    pa.string(): "string",
    pa.large_string(): "large_string",
    pa.int64(): "int64",
    pa.float64(): "float64",
    pa.bool_(): "bool",
}


def render_front_matter(
    infos: list[dict[str, Any]],
    *,
    name: str,
    license_fields: dict[str, Any],
    synthetic: bool,
    source: str | None,
    written: Mapping[str, Any],
) -> Markdown:
    """YAML without its `---` lines. `source`: the dataset on the hub that the questions and media come from.

    A config without rows is left out: `datasets` and the hub's viewer refuse the whole dataset for one. written: fields
    of the card that people wrote, which replace those here; `tags` are added.
    """
    num_rows = rows_of(infos)[DEFAULT_CONFIG]
    shown = {config for config, number in rows_of(infos).items() if number} or {DEFAULT_CONFIG}
    configs = [
        {
            "config_name": config,
            "data_files": [{"split": "train", "path": f"{CONFIG_FILES[config]}-*.parquet"}],
            **({"default": True} if config == DEFAULT_CONFIG else {}),
        }
        for config in CONFIGS
        if config in shown
    ]
    fields: dict[str, Any] = {
        "pretty_name": name,
        "language": ["en"],
        **license_fields,
        "annotations_creators": ["machine-generated"],
        "task_categories": ["video-text-to-text", "visual-question-answering"],
        "size_categories": [SIZE_NAMES[sum(num_rows >= size for size in SIZES)]],
        **({"source_datasets": [source]} if source is not None else {}),
        "tags": [*TAGS, "synthetic"] if synthetic else list(TAGS),
        "configs": configs,
        "dataset_info": [info for info in infos if info["config_name"] in shown],
    }
    tags = [tag for tag in written.get("tags") or [] if tag not in fields["tags"]]
    fields |= {**written, "tags": [*fields["tags"], *tags]}
    return Markdown(yaml.safe_dump(fields, sort_keys=False))


def rows_of(infos: list[dict[str, Any]]) -> dict[str, int]:
    """Config -> its rows."""
    return {info["config_name"]: info["splits"][0]["num_examples"] for info in infos}


def describe_config(dataset_dir: Path, config: str) -> dict[str, Any]:
    """`dataset_info` of one config; num_bytes is the uncompressed size. Raises RunDirectoryError."""
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


def type_name(dtype: pa.DataType) -> str:
    """As `datasets` names it. Raises RunDirectoryError for one that the published format does not use."""
    if pa.types.is_list(dtype):
        return f"list of {type_name(dtype.value_type)}"
    if dtype not in _NAMED_TYPES:
        raise RunDirectoryError(f"a column has the type {dtype}, which the published format does not use.")
    return _NAMED_TYPES[dtype]


def _feature(field: pa.Field) -> dict[str, str]:
    if pa.types.is_list(field.type):
        return {"name": field.name, "list": type_name(field.type.value_type)}
    return {"name": field.name, "dtype": type_name(field.type)}
