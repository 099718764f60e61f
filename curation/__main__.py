"""Command line of curation: `python -m curation COMMAND`. 0 done; 2 the user can fix it; anything else is our bug."""

from __future__ import annotations

import argparse
import errno
import sys
from collections.abc import Sequence

from curation.commands import (
    calibrate,
    compare_release,
    demo,
    diff,
    import_release,
    media,
    overlaps,
    publish,
    run,
    stats,
)
from curation.errors import UserError

# In the order in which a dataset goes through them.
_COMMANDS = (run, stats, calibrate, overlaps, publish, diff, import_release, compare_release, media, demo)


def main(argv: Sequence[str] | None = None) -> int:
    """Parse, dispatch, and turn what the user can fix into one line."""
    args = _parser().parse_args(argv)
    try:
        return int(args.command(args))
    except UserError as error:
        return _fail(str(error))
    except ModuleNotFoundError as error:
        if error.name is None or error.name.split(".")[0] == "curation":
            raise
        return _fail(f"the package {error.name!r} is not installed. Run pip install -e '.[curate]' in the repository.")
    except KeyboardInterrupt:
        return _fail("interrupted; run the same command again to go on", status=130)
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG) and "No space left" not in str(error):
            raise
        return _fail(f"the disk is full ({error}). Free some space and run the same command again; no answer is lost")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m curation", description="From video questions to a verified, published dataset of traces."
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
