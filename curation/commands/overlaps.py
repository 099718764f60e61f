"""`python -m curation overlaps`: mark the rows that share their video or their question with a benchmark."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from curation.commands import add_command

if TYPE_CHECKING:
    from curation.commands import Commands

_EXAMPLE = """  python -m curation overlaps runs/cot --benchmark VSI-Bench=vsi/test.jsonl \\
      --benchmark MVBench=mvbench/json --benchmark-media MVBench=mvbench/video --media-root media
"""


def add_parser(commands: Commands) -> None:
    """The arguments of `overlaps`."""
    about = (
        "Mark the rows whose video (by name, sha256 or frames) or question (eight words in a row)\n"
        "stands in a benchmark: column `overlaps`, checks/overlaps.json, checks/overlaps.parquet."
    )
    parser = add_command(commands, "overlaps", about, _EXAMPLE, _overlaps)
    parser.add_argument("dataset", metavar="RUN", help="a run directory or a dataset folder")
    parser.add_argument(
        "--benchmark",
        action="append",
        required=True,
        metavar="NAME=FILE",
        help="a benchmark's annotations: JSON, JSONL, Parquet or TSV, or a folder of them;\n"
        "may be given several times, also for one benchmark",
    )
    parser.add_argument(
        "--benchmark-media",
        action="append",
        default=[],
        metavar="NAME=DIR",
        help="its unpacked videos: compared by sha256, and by frames when --media-root is given",
    )
    parser.add_argument("--media-root", type=Path, metavar="DIR", help="the dataset's own media, to compare frames")
    parser.add_argument(
        "--num-workers", type=int, default=os.cpu_count() or 2, metavar="N", help="decoders; default: one a core"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the report as JSON")


def _overlaps(args: argparse.Namespace) -> int:
    from curation.errors import ConfigError, RunDirectoryError
    from curation.locate import locate
    from curation.overlaps.overlaps import Against, mark_overlaps
    from curation.overlaps.view import print_overlaps
    from curation.shards import write_text

    if args.num_workers < 1:
        raise ConfigError(f"--num-workers must be at least 1, not {args.num_workers}")
    annotations: dict[str, list[Path]] = {}
    for text in args.benchmark:
        name, path = _named_path("--benchmark", text)
        annotations.setdefault(name, []).append(path)
    media: dict[str, Path] = {}
    for text in args.benchmark_media:
        name, path = _named_path("--benchmark-media", text)
        if name in media:
            raise ConfigError(f"--benchmark-media names {name!r} twice. Give one folder that holds all its media.")
        media[name] = path
    if not Path(args.dataset).exists():
        raise RunDirectoryError(
            f"{args.dataset} is no directory here. Name a run or a dataset folder: what lies on the hub is not changed."
        )
    dataset = locate(args.dataset)
    assert dataset.home is not None
    against = Against(annotations, media, args.media_root)
    report = mark_overlaps(
        dataset.folder, dataset.home, against, num_workers=args.num_workers, console=Console(stderr=True)
    )
    if args.json is not None:
        args.json.parent.mkdir(parents=True, exist_ok=True)
        write_text(args.json, report.model_dump_json(indent=2) + "\n")
    print_overlaps(report, Console())
    return 0


def _named_path(option: str, text: str) -> tuple[str, Path]:
    from curation.errors import ConfigError

    name, equals, path = text.partition("=")
    if not name.strip() or not equals or not path:
        raise ConfigError(f"{option} reads NAME=PATH, such as MVBench=mvbench/json, not {text!r}")
    return name.strip(), Path(path)
