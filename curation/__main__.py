"""Command line of curation: `python -m curation COMMAND`. 0 done; 2 the user can fix it; anything else is our bug."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from curation.errors import Stopped, UserError, describe_os_error


def main(argv: Sequence[str] | None = None) -> int:
    """Parse, dispatch, and turn what the user can fix into one line."""
    try:
        from curation.config import parse_arguments

        args = parse_arguments(_parser(), argv)
        return int(args.command(args))
    except Stopped as error:
        return _fail(str(error), status=128 + error.signal_number)
    except UserError as error:
        return _fail(str(error))
    except ModuleNotFoundError as error:
        if error.name is None or error.name.split(".")[0] == "curation":
            raise
        return _fail(f"the package {error.name!r} is not installed. Run pip install -e '.[curate]' in the repository.")
    except KeyboardInterrupt:
        return _fail("interrupted; run the same command again to go on", status=130)
    except OSError as error:
        if (described := describe_os_error(error)) is None:
            raise
        return _fail(described)


def _parser() -> argparse.ArgumentParser:
    from curation.commands import (
        calibrate,
        compare_release,
        config,
        demo,
        diff,
        import_release,
        media,
        overlaps,
        publish,
        run,
        stats,
    )

    parser = argparse.ArgumentParser(
        prog="python -m curation", description="From video questions to a verified, published dataset of traces."
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    # In the order in which a dataset goes through them.
    for command in (
        run, config, stats, calibrate, overlaps, publish, diff, import_release, compare_release, media, demo,
    ):  # fmt: skip
        command.add_parser(commands)
    return parser


def _fail(message: str, status: int = 2) -> int:
    print(f"error: {message}", file=sys.stderr)
    return status


if __name__ == "__main__":
    sys.exit(main())
