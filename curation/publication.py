"""Under which name and version a dataset is published, and under which licences: CITATION.cff and LICENSE."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from curation.markdown import render
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


@dataclass(frozen=True, slots=True)
class Paper:
    """VideoP2R, for citations. authors: given names, family name."""

    title: str
    authors: tuple[tuple[str, str], ...]
    year: int
    arxiv: str


PAPER: Final = Paper(
    title="VideoP2R: Video Understanding from Perception to Reasoning",
    authors=(
        ("Yifan", "Jiang"),
        ("Yueying", "Wang"),
        ("Rui", "Zhao"),
        ("Toufiq", "Parag"),
        ("Zhimin", "Chen"),
        ("Zhenyu", "Liao"),
        ("Jayakrishnan", "Unnikrishnan"),
    ),
    year=2025,
    arxiv="2511.11113",
)


def render_citation(publication: Publication) -> str:
    """CITATION.cff (version 1.2.0): the dataset by its version, and the paper to cite instead. Raises ConfigError."""
    return render(
        "CITATION.cff.j2",
        publication=publication,
        paper=PAPER,
        version=str(Version.parse(publication.version)),
        spdx=LICENSES.get(publication.license.lower()),
    )


def render_license(report: Report, publication: Publication) -> str:
    """LICENSE: whose terms hold for which part of the dataset. Raises ConfigError."""
    return render(
        "LICENSE.j2",
        publication=publication,
        spdx=LICENSES.get(publication.license.lower()),
        sources=[row for row in report.attribution if row.num_kept + row.num_rejected][:MOST_SOURCES],
        num_more=max(0, len(report.attribution) - MOST_SOURCES),
    )


def license_fields(report: Report, publication: Publication | None) -> dict[str, Any]:
    """The licence in the front matter: those of the kept rows, and that of the traces where it is known.

    `unknown` when a row has none, `other` for one that the hub does not know; a published LICENSE then says more.
    """
    of_rows = {tally.value for tally in report.licenses if tally.num_kept}
    names = sorted({str(name).lower() for name in of_rows} | ({publication.license.lower()} if publication else set()))
    is_known = bool(of_rows) and None not in of_rows and LICENSES.keys() >= set(names)
    if is_known:
        return {"license": names}
    if publication is not None:
        return {"license": "other", "license_name": "by-source", "license_link": "LICENSE"}
    return {"license": "unknown" if not of_rows or None in of_rows else "other"}
