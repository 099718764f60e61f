"""CITATION.cff, LICENSE, and the escaping that all texts of a dataset share."""

import re

import pytest
import yaml

from curation.errors import ConfigError
from curation.markdown import Markdown, render
from curation.publication import LICENSES, Publication, render_citation, render_license
from curation.stats import measure
from tests.folders import kept_row, rejected_row, write_folder

# What CFF 1.2.0 allows (its schema): the keys used here, and those that must be there.
CFF_KEYS = {"cff-version", "message", "type", "title", "version", "authors", "url", "license", "license-url",
            "keywords", "preferred-citation"}  # fmt: skip
CFF_REQUIRED = {"cff-version", "message", "title", "authors"}
REFERENCE_KEYS = {"type", "title", "authors", "year", "url", "identifiers", "collection-title", "start", "end"}
REFERENCE_REQUIRED = {"type", "title", "authors"}
REFERENCE_TYPES = {"article", "conference-paper", "generic", "report"}
IDENTIFIER_TYPES = {"doi", "url", "swh", "other"}
PUBLICATION = Publication("org/VideoP2R-CoT-162K", "1.0.0")


def citation(publication=PUBLICATION):
    return yaml.safe_load(render_citation(publication))


def check_people(authors):
    assert authors
    for author in authors:
        assert set(author) in ({"name"}, {"given-names", "family-names"}), author
        assert all(isinstance(name, str) and name.strip() for name in author.values())


def test_citation_is_valid_cff_with_the_paper_as_what_to_cite():
    found = citation()
    assert CFF_REQUIRED <= set(found) <= CFF_KEYS
    assert found["cff-version"] == "1.2.0" and found["type"] == "dataset"
    assert all(
        isinstance(found[name], str) for name in ("cff-version", "message", "title", "version", "url", "license")
    )
    assert found["authors"] == [{"name": "VideoP2R hub contributors"}]
    assert re.fullmatch(r"https://\S+", found["url"])
    assert found["keywords"] and len(set(found["keywords"])) == len(found["keywords"])
    paper = found["preferred-citation"]
    assert REFERENCE_REQUIRED <= set(paper) <= REFERENCE_KEYS and paper["type"] in REFERENCE_TYPES
    check_people(paper["authors"])
    assert len(paper["authors"]) == 7 and paper["authors"][0] == {"given-names": "Yifan", "family-names": "Jiang"}
    assert isinstance(paper["year"], int)
    for identifier in paper["identifiers"]:
        assert identifier["type"] in IDENTIFIER_TYPES and identifier["value"] == "arXiv:2511.11113"


@pytest.mark.parametrize("version", ["1.0.0", "v1.0.0"])
def test_version_is_a_text_and_the_tag_has_one_v(version):
    publication = Publication("org/name", version)
    assert citation(publication)["version"] == "1.0.0" and publication.tag == "v1.0.0"


def test_what_is_no_version_is_refused():
    with pytest.raises(ConfigError, match="'latest' is no version"):
        Publication("org/name", "latest")


@pytest.mark.parametrize(("name", "spdx"), [("apache-2.0", "Apache-2.0"), ("CC-BY-4.0", "CC-BY-4.0")])
def test_licence_in_the_citation_is_an_spdx_identifier(name, spdx):
    assert citation(Publication("org/name", "1.0.0", name))["license"] == spdx
    assert set(LICENSES) == {name.lower() for name in LICENSES}


def test_licence_without_an_identifier_is_linked_instead_of_claimed():
    found = citation(Publication("org/name", "1.0.0", "ask: us"))
    assert "license" not in found
    assert found["license-url"] == "https://huggingface.co/datasets/org/name/blob/v1.0.0/LICENSE"


def test_licence_note_counts_the_rows_of_every_source_and_licence(tmp_path):
    kept = [kept_row(n, data_source="CLEVRER", license="CC0-1.0") for n in range(1100)]
    kept += [kept_row(5000, data_source="STAR", license=None), kept_row(5001, data_source=None, license="MIT")]
    rejected = [rejected_row(9000, "filter:score", data_source="STAR", license=None)]
    report = measure(write_folder(tmp_path, kept, rejected))
    note = render_license(report, PUBLICATION)
    assert "apache-2.0  (SPDX: Apache-2.0, https://spdx.org/licenses/Apache-2.0.html)" in note
    rows = [line.split() for line in note.splitlines() if re.match(r" +[\d,]+ +[\d,]+ ", line)]
    assert rows == [
        ["1,100", "0", "CC0-1.0", "CLEVRER"],
        ["1", "1", "not", "known", "STAR"],
        ["1", "0", "MIT", "not", "known"],
    ]
    assert "Images and videos are not part of this dataset" in note
    assert "observation, think, answer" in note and "problem, options, solution" in note
    assert sum(row.num_kept for row in report.attribution) == 1102


def test_licence_note_stays_a_table_whatever_a_source_is_called(tmp_path):
    hostile = "a\nb\x1b[31m | `c`" + "d" * 500
    report = measure(write_folder(tmp_path, [kept_row(0, data_source=hostile, license=hostile)]))
    note = render_license(report, Publication("org/name", "1.0.0", "ours"))
    assert "\x1b" not in note and max(map(len, note.splitlines())) < 300
    assert "    ours\n" in note and "SPDX" not in note
    assert len([line for line in note.splitlines() if "a b" in line]) == 1


def test_hundreds_of_sources_are_cut_and_the_rest_is_counted(tmp_path):
    report = measure(write_folder(tmp_path, [kept_row(n, data_source=f"source {n}") for n in range(250)]))
    note = render_license(report, PUBLICATION)
    assert "... and 50 more, in stats/report.json" in note


def test_same_input_gives_the_same_bytes_and_no_date(tmp_path):
    report = measure(write_folder(tmp_path, [kept_row(0)]))
    texts = [render_license(report, PUBLICATION) + render_citation(PUBLICATION) for _ in range(2)]
    assert texts[0] == texts[1] and not re.search(r"\b20\d\d-\d\d|date", texts[0])


@pytest.mark.parametrize("values", [{}, {"publication": None, "paper": None, "version": None, "spdx": None}])
def test_value_that_nobody_gave_is_an_error_and_no_empty_text(values):
    with pytest.raises(ConfigError, match="CITATION"):
        render("CITATION.cff.j2", **values)


def test_none_is_an_error_and_markdown_is_printed_as_it_is():
    values = {"publication": PUBLICATION, "version": "1.0.0", "spdx": None}
    with pytest.raises(ConfigError):
        render("CITATION.cff.j2", **values, paper=Markdown("x"))
    with pytest.raises(ConfigError, match="got None"):
        render("CITATION.cff.j2", **values | {"version": None}, paper=None)
