"""Under which name and version a dataset is published, and under which licences: CITATION.cff and LICENSE."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from curation.errors import ConfigError
from curation.markdown import render
from curation.origin import ARXIV, AUTHORS, PAGES, PAPER, TITLE, VENUE, YEAR, Origin, Work
from curation.report import Report
from curation.versions import Version

HUB_URL: Final = "https://huggingface.co/datasets/"
# Licences by the hub's name for them -> their SPDX identifier. Anything else is "other" there.
LICENSES: Final = {
    "apache-2.0": "Apache-2.0",
    "mit": "MIT",
    "bsd-2-clause": "BSD-2-Clause",
    "bsd-3-clause": "BSD-3-Clause",
    "cc0-1.0": "CC0-1.0",
    "cc-by-3.0": "CC-BY-3.0",
    "cc-by-4.0": "CC-BY-4.0",
    "cc-by-sa-3.0": "CC-BY-SA-3.0",
    "cc-by-sa-4.0": "CC-BY-SA-4.0",
    "cc-by-nc-2.0": "CC-BY-NC-2.0",
    "cc-by-nc-3.0": "CC-BY-NC-3.0",
    "cc-by-nc-4.0": "CC-BY-NC-4.0",
    "cc-by-nd-4.0": "CC-BY-ND-4.0",
    "cc-by-nc-nd-4.0": "CC-BY-NC-ND-4.0",
    "cc-by-nc-sa-3.0": "CC-BY-NC-SA-3.0",
    "cc-by-nc-sa-4.0": "CC-BY-NC-SA-4.0",
    "gpl-3.0": "GPL-3.0-only",
    "odbl": "ODbL-1.0",
    "pddl": "PDDL-1.0",
    "cdla-permissive-1.0": "CDLA-Permissive-1.0",
    "cdla-permissive-2.0": "CDLA-Permissive-2.0",
}
MOST_SOURCES: Final = 200  # rows of the table in LICENSE


@dataclass(frozen=True, slots=True)
class Publication:
    """One version of a repository. `license` is that of the traces and verdicts, by the hub's name.

    Raises ConfigError when `version` is no version.
    """

    repo: str
    version: str
    license: str = "apache-2.0"

    def __post_init__(self) -> None:
        Version.parse(self.version)

    @property
    def tag(self) -> str:
        """`v1.0.0`."""
        return Version.parse(self.version).tag

    @property
    def url(self) -> str:
        """The page of the repository."""
        return HUB_URL + self.repo


def render_citation(
    publication: Publication,
    origin: Origin | None = None,
    works: Sequence[Work] = (),
    written: Mapping[str, Any] | None = None,
) -> str:
    """CITATION.cff (version 1.2.0): the dataset by its version, its makers, the paper and what it is made from.

    written: the fields of the card that people wrote; `doi` is used. Raises ConfigError.
    """
    return render(
        "CITATION.cff.j2",
        publication=publication,
        origin=origin,
        works=works,
        doi=written_text(written, "doi"),
        paper=PAPER,
        title=TITLE,
        authors=AUTHORS,
        venue=VENUE,
        year=YEAR,
        pages=PAGES,
        arxiv=ARXIV,
        version=str(Version.parse(publication.version)),
        spdx=LICENSES.get(publication.license.lower()),
    )


def render_license(report: Report, publication: Publication, origin: Origin | None = None) -> str:
    """LICENSE: whose terms hold for which part of the dataset. Raises ConfigError."""
    return render(
        "LICENSE.j2",
        publication=publication,
        origin=origin,
        spdx=LICENSES.get(publication.license.lower()),
        origin_spdx=None if origin is None else LICENSES.get(origin.license.lower()),
        sources=[row for row in report.attribution if row.num_kept + row.num_rejected][:MOST_SOURCES],
        num_more=max(0, len(report.attribution) - MOST_SOURCES),
    )


def written_text(fields: Mapping[str, Any] | None, name: str) -> str | None:
    """A field of card.md that must be text; None when it is not there. Raises ConfigError."""
    value = (fields or {}).get(name)
    if value is not None and not isinstance(value, str):
        raise ConfigError(f"card.md: {name} must be text, not {value!r}. Put it in quotes.")
    return value


def license_fields(report: Report, publication: Publication | None, origin: Origin | None = None) -> dict[str, Any]:
    """The licence in the front matter: those of the kept rows, and that of the traces where it is known.

    `unknown` when a row has none, `other` for one that the hub does not know; a published LICENSE then says more.
    """
    of_rows = {tally.value for tally in report.licenses if tally.num_kept}
    of_traces = {publication.license.lower()} if publication else set()
    of_traces |= {origin.license.lower()} if origin else set()
    names = sorted({str(name).lower() for name in of_rows} | of_traces)
    is_known = bool(of_rows) and None not in of_rows and LICENSES.keys() >= set(names)
    if is_known:
        return {"license": names}
    if publication is not None:
        return {"license": "other", "license_name": "by-source", "license_link": "LICENSE"}
    return {"license": "unknown" if not of_rows or None in of_rows else "other"}
