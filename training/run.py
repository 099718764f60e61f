"""From a published dataset to a trained model and a report.

SFT on the traces of config `cot`, then PA-GRPO on the questions of config `rl`: each rollout gets one reward for its
perception and one for its reasoning, each reward one advantage within its group, each advantage the tokens of its own
segment. Then held-out scores, before and after. Every step can be killed and gone on with by the same command.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from curation.errors import ConfigError, RunDirectoryError, UserError, describe_os_error

if TYPE_CHECKING:
    from training.config import TrainConfig

_EXAMPLE = """examples:
  python training/run.py training/configs/tiny.yaml
  python training/run.py training/configs/tiny.yaml --compare sft_only,grpo,full --seeds 0,1,2
  python training/run.py training/configs/tiny.yaml --stage benchmark
  python training/run.py training/configs/videop2r_7b.yaml dataset.revision=v1.0.0 --dry-run
  accelerate launch --config_file training/configs/accelerate/zero3.yaml training/run.py \\
      training/configs/videop2r_7b.yaml dataset.revision=v1.0.0 --stage rl
"""
STAGES = ("all", "sft", "rl", "evaluate", "report", "benchmark", "split")


def main(argv: Sequence[str] | None = None) -> int:
    """0 done; 2 the user can fix it (one line, no traceback); anything else is our bug."""
    try:
        from curation.config import parse_arguments

        args = parse_arguments(_parser(), argv)
        return _run(args)
    except UserError as error:
        return _fail(str(error))
    except ModuleNotFoundError as error:
        if error.name is None or error.name.split(".")[0] in ("curation", "training"):
            raise
        return _fail(f"the package {error.name!r} is not installed. Run pip install -e '.[train]' in the repository.")
    except OSError as error:
        if (described := describe_os_error(error)) is None:
            raise
        return _fail(described)
    except KeyboardInterrupt:
        return _fail("interrupted; run the same command again to go on", status=130)


def _parser() -> argparse.ArgumentParser:
    from curation.config import add_config_arguments

    parser = argparse.ArgumentParser(
        prog="python training/run.py",
        description="Train and evaluate Qwen2.5-VL on a published dataset: SFT, PA-GRPO, held-out scores, a report.",
        epilog=_EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_config_arguments(parser, "see training/configs/")
    parser.add_argument(
        "--stage",
        choices=STAGES,
        default="all",
        help="do only this one (default: all of training; benchmark scores the model of the last finished stage; split "
        "counts held-out clips that are nearly the same as clips that are trained on, which needs no GPU)",
    )
    parser.add_argument(
        "--dry-run",
        action="store_true",
        help="say what it needs and whether it fits; train nothing, and with --stage benchmark ask nothing",
    )
    parser.add_argument(
        "--compare",
        type=_names,
        metavar="VARIANT,...",
        help="train these variants from one SFT checkpoint, for each seed, and print their held-out scores",
    )
    parser.add_argument(
        "--seeds", type=_numbers, default=(0, 1, 2), metavar="N,...", help="of --compare (default: 0,1,2)"
    )
    parser.add_argument("--push", metavar="ORG/NAME", help="upload the last model with its card to this hub repository")
    return parser


def _names(text: str) -> tuple[str, ...]:
    return tuple(text.split(","))


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(int(number) for number in text.split(","))


def _run(args: argparse.Namespace) -> int:
    config = _load(args.config, args.overrides)
    try:
        _act(config, args)
    except UserError:
        raise
    except Exception as error:
        from training.full_disk import describe_full_disk

        if (described := describe_full_disk(error, config.run_dir)) is None:
            raise
        raise RunDirectoryError(described) from error
    return 0


def _act(config: TrainConfig, args: argparse.Namespace) -> None:
    if args.dry_run and args.stage != "benchmark":
        from training.estimate import count_rows, print_estimate

        print_estimate(config, num_rows=count_rows(config))
        return
    from training.pipeline import benchmark, compare, count_split, push, run

    if args.stage == "split":
        count_split(config)
        return

    if args.stage == "benchmark":
        if args.compare is not None or args.push is not None:
            raise ConfigError("--stage benchmark only scores. Give --compare or --push in a command of its own.")
        benchmark(config, is_dry_run=args.dry_run)
        return
    from training.ranks import leave

    if args.compare is not None:
        compare(config, args.compare, args.seeds)
    else:
        run(config, args.stage)
    if args.push is not None:
        push(config, args.push)
    leave()


def _load(path: Path, overrides: Sequence[str]) -> TrainConfig:
    from curation.config import load_config
    from training.config import TrainConfig

    return load_config(TrainConfig, path, overrides)


def _fail(message: str, status: int = 2) -> int:
    print(f"error: {message}", file=sys.stderr)
    return status


if __name__ == "__main__":
    sys.exit(main())
