"""Whose work a dataset passes on: the makers of imported traces, and the collections that the questions come from.

What is known here reaches the card, CITATION.cff and LICENSE, so that a reader cites and asks the right people.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from pydantic import BaseModel, ConfigDict


class Person(BaseModel):
    """An author, as CITATION.cff has them."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    given: str
    family: str


class Work(BaseModel):
    """A dataset or an article to cite. citation: BibTeX."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    url: str
    citation: str


class Origin(BaseModel):
    """Whose traces these are, when this project did not make them.

    name and url: of their dataset. license: of the traces, by the hub's name for it; license_holder: who grants it.
    citation: BibTeX, as they ask for it. works: the datasets that theirs is made from.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    authors: tuple[Person, ...]
    url: str
    license: str
    license_holder: str
    citation: str
    works: tuple[Work, ...] = ()


def _bibtex(kind: str, key: str, **fields: str) -> str:
    lines = [f"  {name:<13} = {{{value}}}" for name, value in fields.items()]
    return "\n".join([f"@{kind}{{{key},", ",\n".join(lines), "}"])


AUTHORS: Final = (
    Person(given="Yifan", family="Jiang"),
    Person(given="Yueying", family="Wang"),
    Person(given="Rui", family="Zhao"),
    Person(given="Toufiq", family="Parag"),
    Person(given="Zhimin", family="Chen"),
    Person(given="Zhenyu", family="Liao"),
    Person(given="Jayakrishnan", family="Unnikrishnan"),
)
TITLE: Final = "VideoP2R: Video Understanding from Perception to Reasoning"
ARXIV: Final = "2511.11113"
VENUE: Final = "Findings of the IEEE/CVF Conference on Computer Vision and Pattern Recognition (CVPR)"
YEAR: Final = 2026
PAGES: Final = (8303, 8313)
PAPER: Final = Work(
    name="VideoP2R",
    url=f"https://arxiv.org/abs/{ARXIV}",
    citation=_bibtex(
        "inproceedings",
        "jiang2026videop2r",
        title=TITLE,
        author=" and ".join(f"{person.given} {person.family}" for person in AUTHORS),
        booktitle=VENUE,
        pages=f"{PAGES[0]}--{PAGES[1]}",
        year=str(YEAR),
        eprint=ARXIV,
        archivePrefix="arXiv",
    ),
)


def _arxiv(name: str, key: str, title: str, author: str, year: int, eprint: str) -> Work:
    fields = {"title": title, "author": author, "year": str(year), "eprint": eprint, "archivePrefix": "arXiv"}
    return Work(name=name, url=f"https://arxiv.org/abs/{eprint}", citation=_bibtex("misc", key, **fields))


VIDEO_R1: Final = _arxiv(
    "Video-R1",
    "feng2025videor1",
    "Video-R1: Reinforcing Video Reasoning in MLLMs",
    "Kaituo Feng and others",
    2025,
    "2503.21776",
)
# By the name that opens a `data_source`, or a folder of Video-R1's (paper.md 9).
COLLECTIONS: Final[Mapping[str, Work]] = {
    "CLEVRER": _arxiv(
        "CLEVRER",
        "yi2020clevrer",
        "CLEVRER: CoLlision Events for Video REpresentation and Reasoning",
        "Kexin Yi and others",
        2019,
        "1910.01442",
    ),
    "LLaVA-Video-178K": _arxiv(
        "LLaVA-Video-178K",
        "zhang2024llavavideo",
        "Video Instruction Tuning With Synthetic Data",
        "Yuanhan Zhang and others",
        2024,
        "2410.02713",
    ),
    "NeXT-QA": _arxiv(
        "NExT-QA",
        "xiao2021nextqa",
        "NExT-QA: Next Phase of Question-Answering to Explaining Temporal Actions",
        "Junbin Xiao and others",
        2021,
        "2105.08276",
    ),
    "PerceptionTest": _arxiv(
        "Perception Test",
        "patraucean2023perceptiontest",
        "Perception Test: A Diagnostic Benchmark for Multimodal Video Models",
        "Viorica Patraucean and others",
        2023,
        "2305.13786",
    ),
    "STAR": _arxiv(
        "STAR",
        "wu2021star",
        "STAR: A Benchmark for Situated Reasoning in Real-World Videos",
        "Bo Wu and others",
        2021,
        "2405.09711",
    ),
}
VIDEO_R1_DATA: Final = "Video-R1/Video-R1-data"  # the repository of the questions and the media

AUTHORS_RELEASE: Final = Origin(
    name="VideoP2R-CoT-162K",
    authors=AUTHORS,
    url="https://github.com/1171-jpg/videop2r",
    license="apache-2.0",
    license_holder="the authors of VideoP2R",
    citation=PAPER.citation,
    works=(VIDEO_R1,),
)
# The kinds of source whose traces are somebody's; read where a dataset of an earlier version does not say it itself.
ORIGINS: Final[Mapping[str, Origin]] = {"release": AUTHORS_RELEASE}


def works_of(sources: Iterable[str | None], origin: Origin | None, media_repo: str | None) -> tuple[Work, ...]:
    """What to cite beside the paper: Video-R1 where its questions are used, and each known collection of the rows."""
    found = list(origin.works) if origin is not None else []
    if media_repo == VIDEO_R1_DATA and VIDEO_R1 not in found:
        found.append(VIDEO_R1)
    openings = {source.partition("/")[0].lower().replace("-", "") for source in sources if source is not None}
    known = {name.lower().replace("-", ""): work for name, work in COLLECTIONS.items()}
    return tuple(dict.fromkeys([*found, *(work for name, work in known.items() if name in openings)]))
