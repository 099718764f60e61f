"""`python -m app --dataset RUN | FOLDER | org/name@tag`: the viewer in a browser.

0 done; 2 the user can fix it (one line, no traceback); anything else is our bug.
"""

from __future__ import annotations

import argparse
import sys
import webbrowser
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from curation.errors import UserError

_EXAMPLE = """example:
  python -m app --dataset runs/demo
  python -m app --dataset org/VideoP2R-CoT-162K@v1.1.0 --compare org/VideoP2R-CoT-162K@v1.0.0 --media-root media
  python -m app --dataset runs/demo --rollouts runs/train
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Parse, open everything, serve until interrupted; what the user can fix becomes one line."""
    args = _parser().parse_args(argv)
    try:
        return _serve(args)
    except UserError as error:
        return _fail(str(error))
    except ModuleNotFoundError as error:
        if error.name is None or error.name.split(".")[0] in ("app", "curation"):
            raise
        return _fail(f"the package {error.name!r} is not installed. Run pip install -e '.[app]' in the repository.")
    except KeyboardInterrupt:
        return 0


def _serve(args: argparse.Namespace) -> int:
    # Late, so that --help is quick and a missing package is one line; and Gradio, which takes seconds, last.
    from app.opened import open_viewer

    err = Console(stderr=True)
    with err.status("reading the rows ..."):
        opened = open_viewer(
            args.dataset,
            compare=args.compare,
            media_root=args.media_root,
            labels=args.labels,
            rollouts=args.rollouts,
            read_only=args.read_only,
        )
    for note in opened.dataset.notes:
        err.print(f"note     {note}", highlight=False, markup=False, soft_wrap=True)
    with err.status("building the pages ..."):
        from app.server import build_server, serve
        from app.viewer import build_blocks

        app = build_server(opened, build_blocks(opened), host=args.host, allowed_hosts=args.allowed_host)

    def ready(address: str) -> None:
        out = Console(soft_wrap=True, highlight=False, markup=False)
        counts = ", ".join(f"{count:,} {config}" for config, count in opened.dataset.num_rows.items())
        out.print(f"dataset  {opened.shown}: {counts}")
        out.print(f"media    {opened.media_root or 'not known; name their folder with --media-root'}")
        if opened.rollouts is not None:
            out.print(f"rollouts {opened.rollouts.num_rollouts:,} in {opened.rollouts.num_groups:,} groups")
        out.print(f"labels   {opened.labels.path if opened.labels else 'none: read-only'}")
        out.print(f"viewer   {address}  (Ctrl-C stops it)")
        sys.stdout.flush()
        if args.browser:
            webbrowser.open(address)

    serve(app, host=args.host, port=args.port, ready=ready)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m app",
        description="Browse the traces of a dataset beside their video, compare versions, and label observations.",
        epilog=_EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--dataset", required=True, metavar="NAME", help="a run, a dataset folder or org/name@tag")
    parser.add_argument(
        "--compare", action="append", default=[], metavar="NAME", help="another one to compare with; may be repeated"
    )
    parser.add_argument(
        "--media-root", type=Path, metavar="DIR", help="where the media lie (default: where the run reads them from)"
    )
    parser.add_argument("--rollouts", metavar="NAME", help="rollouts of RL training: its run, a folder or org/name@tag")
    parser.add_argument(
        "--labels", type=Path, metavar="FILE", help="where labels are kept (default: labels.sqlite beside the dataset)"
    )
    parser.add_argument("--read-only", action="store_true", help="no labelling: nothing that a browser asks writes")
    parser.add_argument("--host", default="127.0.0.1", help="default 127.0.0.1: this machine only")
    parser.add_argument(
        "--allowed-host",
        action="append",
        default=[],
        metavar="NAME",
        help="a name by which browsers reach it, as behind a proxy; may be repeated",
    )
    parser.add_argument("--port", type=int, default=7860, help="default 7860; 0 takes any free one")
    parser.add_argument("--browser", action="store_true", help="open the viewer in a browser")
    return parser


def _fail(message: str) -> int:
    print(f"error: {message}", file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main())
