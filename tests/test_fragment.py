"""What people write into a card survives, beside what is computed."""

from __future__ import annotations

import re
from pathlib import Path

import jinja2
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from curation.card import render_card
from curation.errors import ConfigError
from curation.fragment import (
    COMPUTED_SECTIONS,
    OPEN_SECTIONS,
    Fragment,
    merge_edit,
    read_fragment,
    split_card,
    write_fragment,
)
from curation.origin import AUTHORS_RELEASE, works_of
from curation.provenance import Provenance, read_provenance, write_provenance
from curation.publication import Publication, render_citation, render_license
from curation.stats import measure
from tests.folders import kept_row, rejected_row, write_folder

PROVENANCE = Provenance(source="videor1", tokenizer="org/tokenizer", config={"filter": {"min_score": 0.6}})
IMPORTED = Provenance(source="release", tokenizer="org/tokenizer", config={}, origin=AUTHORS_RELEASE)
PUBLICATION = Publication("org/VideoP2R-CoT-162K", "1.2.0")
WRITTEN = Fragment(
    {"thumbnail": "https://x.org/a.png", "extra_gated_prompt": "Do you agree?", "doi": "10.5/x", "tags": ["mine"]},
    "A lead.",
    {"Biases": "Ours are known:\n\n```\n## no heading\n```", "Thanks": "To all."},
)


def card(folder: Path, provenance: Provenance = PROVENANCE, fragment: Fragment = WRITTEN) -> str:
    write_folder(folder, [kept_row(0, data_source="CLEVRER")], [rejected_row(1, "filter:score")])
    return render_card(folder, measure(folder), provenance, PUBLICATION, fragment=fragment)


def test_every_section_of_a_card_is_computed_or_open_and_listed_in_the_contents(tmp_path):
    for provenance in (PROVENANCE, IMPORTED, Provenance(source="shapes", tokenizer="t", config={"a": 1})):
        text = card(tmp_path, provenance, Fragment())
        names = list(split_card(text).sections)
        assert set(names) <= {*COMPUTED_SECTIONS, *OPEN_SECTIONS}
        assert set(OPEN_SECTIONS) <= set(names)
        contents = split_card(text).sections["Contents"]
        assert re.findall(r"\[([^]]+)\]", contents) == [name for name in names if name != "Contents"]


def test_what_people_wrote_stands_in_the_card_and_replaces_the_open_sections(tmp_path):
    parts = split_card(card(tmp_path))
    assert {name: parts.fields[name] for name in ("thumbnail", "extra_gated_prompt", "doi")} == {
        name: WRITTEN.fields[name] for name in ("thumbnail", "extra_gated_prompt", "doi")
    }
    assert parts.fields["tags"][-1] == "mine" and "videop2r" in parts.fields["tags"]
    assert "A lead." in parts.lead
    assert {name: parts.sections[name] for name in WRITTEN.sections} == WRITTEN.sections
    assert "doi.org/10.5/x" in parts.sections["Citation"]


def test_fragment_comes_back_as_it_was_written(tmp_path):
    write_fragment(tmp_path, WRITTEN)
    assert read_fragment(tmp_path) == WRITTEN
    assert read_fragment(tmp_path / "none") == Fragment()


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("---\nlicense: mit\n---\n", "license"),
        ("---\ndataset_info: []\n---\n", "dataset_info"),
        ("## Columns\n\nmine", "Columns"),
        ("---\na: [\n---\n", "YAML"),
        ("---\n- a\n---\n", "mapping"),
        ("## Thanks\n\n```\nopen", "no end"),
        ("## A\n\n## A\n", "two sections"),
    ],
)
def test_fragment_that_would_break_the_card_is_refused(tmp_path, text, told):
    (tmp_path / "card.md").write_text(text)
    with pytest.raises(ConfigError, match=told):
        read_fragment(tmp_path)


names = st.sampled_from(["Biases", "Contact", "Thanks", "More"])
texts = st.text(st.characters(categories=("L", "N", "Zs")), min_size=1, max_size=20).map(str.strip).filter(bool)
pieces = st.builds(Fragment, st.dictionaries(st.sampled_from(["doi", "thumbnail", "contact"]), texts), st.just(""),
                   st.dictionaries(names, texts))  # fmt: skip


@given(pieces, pieces, pieces)
def test_no_edit_of_the_page_is_dropped_unseen(mine: Fragment, before: Fragment, after: Fragment) -> None:
    merge = merge_edit(mine, before, after)
    for kind, of in (("field", lambda f: f.fields), ("section", lambda f: f.sections)):
        for name in {*of(before), *of(after)}:
            if of(before).get(name) == of(after).get(name):
                assert of(merge.fragment).get(name) == of(mine).get(name)
            elif f"{kind} {name!r}" not in merge.lost:
                assert of(merge.fragment).get(name) == of(after).get(name)
    assert not merge_edit(merge.fragment, after, after).taken


def test_edit_of_what_is_computed_is_named_and_line_endings_are_none(tmp_path):
    published = card(tmp_path)
    edited = published.replace("## Columns\n", "## Columns\n\nmy remark\n").replace(
        "license:\n- apache", "license:\n- mit"
    )
    merge = merge_edit(WRITTEN, split_card(published), split_card(edited))
    assert merge.lost == ("field 'license'", "section 'Columns'") and merge.fragment == WRITTEN
    crlf = published.replace("\n", "\r\n")
    assert merge_edit(WRITTEN, split_card(published), split_card(crlf)).lost == ()


def test_imported_traces_are_their_makers_in_card_citation_and_licence(tmp_path):
    text = card(tmp_path, IMPORTED)
    report = measure(tmp_path)
    works = works_of(["CLEVRER", "LLaVA-Video-178K/x", None, "nobody"], AUTHORS_RELEASE, "Video-R1/Video-R1-data")
    assert [work.name for work in works] == ["Video-R1", "CLEVRER", "LLaVA-Video-178K"]
    citation = yaml.safe_load(render_citation(PUBLICATION, AUTHORS_RELEASE, works, {"doi": "10.5/x"}))
    terms = render_license(report, PUBLICATION, AUTHORS_RELEASE)
    assert citation["authors"][0] == {"given-names": "Yifan", "family-names": "Jiang"}
    assert citation["repository"] == AUTHORS_RELEASE.url and citation["doi"] == "10.5/x"
    assert [work["title"] for work in citation["references"][1:]] == [work.name for work in works]
    assert (citation["preferred-citation"]["start"], citation["preferred-citation"]["end"]) == (8303, 8313)
    for said in (text, terms):
        assert AUTHORS_RELEASE.url in said and AUTHORS_RELEASE.license_holder in said
    assert "8303--8313" in text and "yi2020clevrer" in text
    own = yaml.safe_load(render_citation(PUBLICATION))
    assert own["authors"] == [{"name": "VideoP2R hub contributors"}] and "references" not in own


def test_import_of_an_earlier_version_names_its_makers_all_the_same(tmp_path):
    write_provenance(tmp_path, IMPORTED.model_copy(update={"origin": None}))
    assert read_provenance(tmp_path).origin == AUTHORS_RELEASE
    write_provenance(tmp_path, PROVENANCE)
    assert read_provenance(tmp_path).origin is None


# A template of our own with the behaviour: an assistant's turn is split at </think> unless it has reasoning_content.
SPLITTING = """{% for m in messages %}[{{ m.role }}]
{% if m.role == 'assistant' %}{% set told = m.reasoning_content %}{% set said = m.content %}
{% if told is not string and '</think>' in said %}{% set told = said.split('</think>')[0].split('<think>')[-1] %}
{% set said = said.split('</think>')[-1] %}{% endif %}<think>
{{ told or '' }}
</think>

{{ said }}{% else %}{{ m.content }}{% endif %}[end]
{% endfor %}{% if add_generation_prompt %}[assistant]
<think>
{% if not enable_thinking %}

</think>

{% endif %}{% endif %}"""


class Tokenizer:
    eos_token = "[end]"

    def apply_chat_template(self, messages, *, tokenize, add_generation_prompt=False, enable_thinking=True):
        assert not tokenize
        told = {"add_generation_prompt": add_generation_prompt, "enable_thinking": enable_thinking}
        return jinja2.Environment(trim_blocks=True).from_string(SPLITTING).render(messages=messages, **told)


def test_line_in_the_card_keeps_the_observation_where_the_chat_template_splits(tmp_path):
    section = split_card(card(tmp_path)).sections["Train on it as chat messages"]
    (code,) = re.findall(r"```python\n(.*?)```", section, re.DOTALL)
    scope: dict = {}
    exec(code, scope)  # the code of the card, as a reader pastes it
    row = kept_row(0, observation="I see {a} <b>.", think="So { it } is.", answer="B", options=["A. x", "B. y"])
    trace = "<observation>I see {a} <b>.</observation> <think>So { it } is.</think><answer>B</answer>"
    user = [{"role": "user", "content": row["problem"]}]
    plain = Tokenizer().apply_chat_template([*user, {"role": "assistant", "content": trace}], tokenize=False)
    assert "<observation>" not in plain  # the trap
    text = scope["render"](row, Tokenizer())
    assert text.endswith(f"</think>\n\n{trace}[end]") and "A. x" in text
    message = eval(re.search(r"`(\{.*\})`", section)[1], {"trace": trace})
    assert trace in Tokenizer().apply_chat_template([*user, message], tokenize=False)
