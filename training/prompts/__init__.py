"""The prompt of each template. The full one is the published one (curation.prompts); the agnostic one stands here."""

from __future__ import annotations

from importlib.resources import as_file, files
from pathlib import Path

from curation.prompts import Prompt, load_trace_prompt
from training.processes import Template

_AGNOSTIC = "agnostic.txt"


def load_template_prompt(path: Path | None, template: Template) -> Prompt:
    """Return the prompt in `path`, else the template's own. Raises ConfigError."""
    if path is not None or template == "full":
        return load_trace_prompt(path)
    with as_file(files(__package__).joinpath(_AGNOSTIC)) as own:
        return load_trace_prompt(own)
