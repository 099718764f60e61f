"""Command line of the benchmarks: `python -m training.benchmarks COMMAND`. 0 done; 2 the user can fix it."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from curation.config import parse_arguments
from curation.errors import UserError, describe_os_error
from training.benchmarks.commands import (
    breakdown,
    collapse,
    compare,
    judge_ablation,
    mismatch,
    report,
    run,
    sufficiency,
)

# In the order in which a result goes through them.
_COMMANDS = (run, report, compare, sufficiency, mismatch, collapse, breakdown, judge_ablation)


def main(argv: Sequence[str] | None = None) -> int:
    """Parse, dispatch, and turn what the user can fix into one line; anything else is our bug."""
    args = parse_arguments(_parser(), argv)
    try:
        return int(args.command(args))
    except UserError as error:
        return _fail(str(error))
    except ModuleNotFoundError as error:
        if error.name is None or error.name.split(".")[0] in ("curation", "training"):
            raise
        return _fail(f"the package {error.name!r} is not installed. Run pip install -e '.[train]' in the repository.")
    except KeyboardInterrupt:
        return _fail("interrupted; run the same command again to go on", status=130)
    except OSError as error:
        if (described := describe_os_error(error)) is None:
            raise
        return _fail(described)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m training.benchmarks",
        description="Score a model on video benchmarks, report the scores beside the published ones, and analyse them.",
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for command in _COMMANDS:
        command.add_parser(commands)
    return parser


def _fail(message: str, status: int = 2) -> int:
    print(f"error: {message}", file=sys.stderr)
    return status


if __name__ == "__main__":
    sys.exit(main())
