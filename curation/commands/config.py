"""`python -m curation config`: every key of a run's config, with type, default and meaning."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from curation.commands import add_command

if TYPE_CHECKING:
    from curation.commands import Commands

_EXAMPLE = """  python -m curation config
  python -m curation config verify
"""


def add_parser(commands: Commands) -> None:
    """The arguments of `config`."""
    about = "List every key of a run's config: type, default, meaning."
    parser = add_command(commands, "config", about, _EXAMPLE, _list)
    parser.add_argument("section", nargs="?", default="", metavar="KEY", help="a section or a key (default: all)")


def _list(args: argparse.Namespace) -> int:
    from rich.console import Console
    from rich.padding import Padding
    from rich.text import Text

    from curation.config import describe_keys
    from curation.errors import ConfigError
    from curation.run_config import RunConfig

    found = [key for key in describe_keys(RunConfig) if f"{key.name}.".startswith(f"{args.section}.".lstrip("."))]
    if not found:
        sections = ", ".join(RunConfig.model_fields)
        raise ConfigError(f"there is no key {args.section!r}; the sections are {sections}")
    out = Console(highlight=False)
    for key in found:
        if key.name.endswith(".kind"):
            out.print()  # the keys of this kind follow
        out.print(Text.assemble((key.name, "bold"), f": {key.type}", (f"  [{key.default}]", "dim")), soft_wrap=True)
        out.print(Padding(Text(key.meaning), (0, 0, 0, 4)))
    return 0
