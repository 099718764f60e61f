import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from curation.changelog import MOST_REASONS, PREAMBLE, add_entry, render_entry
from curation.diff import ColumnCount, ConfigDiff, DatasetDiff, Reason, Retyped, RowCounts, TypeCounts
from curation.versions import Version

V = Version.parse


def entry(version: str, text: str = "Some change.") -> str:
    return f"## v{version}\n\n{text}\n"


def config_diff(config="cot", num_added=0, num_changed=0, same=10, **changes) -> ConfigDiff:
    counts = {"added": num_added, "removed": 0, "changed": num_changed, "same": same}
    reasons = (
        *([Reason(kind="added", reason="new question", explained=True, num_rows=num_added)] if num_added else []),
        *(
            [Reason(kind="changed", reason="prompt replaced", explained=True, num_rows=num_changed)]
            if num_changed
            else []
        ),
    )
    fields = {
        "num_old": num_changed + same,
        "num_new": num_added + num_changed + same,
        "rows": RowCounts(**counts),
        "by_type": (TypeCounts(problem_type="OCR", **counts),),
        "changed_columns": (ColumnCount(column="think", num_rows=num_changed),) if num_changed else (),
        "unexplained_columns": (),
        "reasons": reasons,
    }
    return ConfigDiff(config=config, **fields | changes)


def dataset_diff(*configs: ConfigDiff, schema_versions=(1, 1)) -> DatasetDiff:
    return DatasetDiff(
        old="v1.0.0",
        new="v1.1.0",
        old_schema_version=schema_versions[0],
        new_schema_version=schema_versions[1],
        configs=configs,
    )


# The entry


def test_first_version_lists_its_rows():
    assert render_entry(V("1.0.0"), None, num_rows={"cot": 162062, "rl": 0}) == (
        "## v1.0.0\n\nFirst version.\n\n| config | rows |\n|---|---:|\n| cot | 162,062 |\n| rl | 0 |\n"
    )


def test_entry_of_changed_rows_is_known_to_the_byte():
    diff = dataset_diff(config_diff(num_added=1200, num_changed=3), config_diff("rl"))
    text = render_entry(V("1.1.0"), diff, num_rows={"cot": 1213, "rl": 10}, notes=["Retried\nwhat failed, see [7](x)."])
    assert text == (
        "## v1.1.0\n\nMinor: rows changed since v1.0.0; the schema is the same.\n\n"
        "- Retried what failed, see [7](x).\n\n"
        "| config | rows | added | removed | changed |\n|---|---:|---:|---:|---:|\n"
        "| cot | 1,213 | 1,200 | 0 | 3 |\n| rl | 10 | 0 | 0 | 0 |\n\n### cot\n\n"
        "| problem type | added | removed | changed |\n|---|---:|---:|---:|\n| OCR | 1,200 | 0 | 3 |\n\n"
        "- 1,200 added: new question\n- 3 changed: prompt replaced\n\nRows by changed column: think 3.\n"
    )


def test_version_of_the_card_alone_says_that_the_rows_are_the_same():
    text = render_entry(V("1.0.1"), dataset_diff(config_diff()), num_rows={"cot": 10}, notes=["Mended a link."])
    assert "Patch: schema and rows are those of v1.0.0" in text
    assert "### " not in text and "- Mended a link.\n" in text


def test_schema_change_names_columns_types_and_configs():
    cot = config_diff(
        columns_added=("a_b",),
        columns_removed=("c",),
        columns_retyped=(Retyped(column="score", old="Int64", new="Float64"),),
    )
    counts = {"added": 4, "removed": 0, "changed": 0, "same": 0}
    rl = ConfigDiff(
        config="rl",
        num_old=None,
        num_new=4,
        rows=RowCounts(**counts),
        by_type=(TypeCounts(problem_type=None, **counts),),
        changed_columns=(),
        unexplained_columns=(),
        reasons=(Reason(kind="added", reason="config is new", explained=True, num_rows=4),),
    )
    text = render_entry(V("2.0.0"), dataset_diff(cot, rl, schema_versions=(1, 2)), num_rows={"cot": 10, "rl": 4})
    for line in (
        "Major: the schema changed since v1.0.0. Code that reads the dataset may have to change.",
        "Schema version 1 -> 2.",
        "- column added: a\\_b",
        "- column removed: c",
        "- column score: type Int64 -> Float64",
        "The config is new.",
    ):
        assert f"\n{line}\n" in text
    assert "\n\n\n" not in text


def test_names_from_the_data_cannot_break_the_page():
    hostile = "x |\n## v9.9.9\n<script>[a](http://e.com)"
    reason = Reason(kind="changed", reason=hostile, explained=True, num_rows=1)
    counts = {"added": 0, "removed": 0, "changed": 1, "same": 0}
    part = config_diff(
        num_changed=1,
        same=0,
        by_type=(TypeCounts(problem_type=hostile, **counts),),
        reasons=(reason,),
        changed_columns=(ColumnCount(column=hostile, num_rows=1),),
        unexplained_columns=(ColumnCount(column=hostile, num_rows=1),),
        columns_added=(hostile,),
    )
    text = render_entry(V("2.0.0"), dataset_diff(part), num_rows={"cot": 1}, notes=["a\n## v8.8.8"])
    assert [line for line in text.splitlines() if line.startswith("## ")] == ["## v2.0.0"]
    assert not re.search(r"(?<!\\)[<\[]|://", text)
    assert add_entry(None, V("2.0.0"), text).count("## v2.0.0") == 1


def test_long_tail_of_reasons_is_one_line_and_loses_no_row():
    reasons = tuple(Reason(kind="changed", reason=f"r{n}", explained=True, num_rows=2) for n in range(MOST_REASONS + 5))
    part = config_diff(num_changed=2 * len(reasons), reasons=reasons)
    text = render_entry(V("1.1.0"), dataset_diff(part), num_rows={"cot": 60})
    assert "- 10 changed: 5 further reasons\n" in text
    assert text.count("- 2 changed: r") == MOST_REASONS


# Its place


def test_new_changelog_has_a_title_a_preamble_and_the_entry():
    assert add_entry(None, V("1.0.0"), entry("1.0.0")) == f"{PREAMBLE}\n{entry('1.0.0')}"
    assert add_entry(" \n", V("1.0.0"), entry("1.0.0")) == add_entry(None, V("1.0.0"), entry("1.0.0"))


@given(versions=st.lists(st.builds(Version, *[st.integers(0, 3)] * 3), max_size=7))
def test_newest_comes_first_in_whatever_order_they_are_added_and_again_changes_nothing(versions):
    text = None
    for version in versions:
        text = add_entry(text, version, entry(str(version)))
        assert add_entry(text, version, entry(str(version))) == text
    newest_first = sorted(set(versions), reverse=True)
    expected = "\n".join([PREAMBLE, *(entry(str(version)) for version in newest_first)])
    assert text == (expected if versions else None)


OTHERS = (
    "# Our changes\r\n\r\nwritten  by hand\r\n\r\n## Unreleased\n\nplans\n\n"
    "## [1.1.0] - 2026-01-31\n* odd   spacing \t\n\n```\n## v1.0.0\nquoted\n```\n\n"
    "## v1.0.0\nfirst \u2028## v0.5.0 in a line\n### v0.9.0\n\n## Links\n\n[a]: b"
)


def test_text_of_other_versions_stays_byte_for_byte():
    found = add_entry(OTHERS, V("1.0.5"), entry("1.0.5"))
    place = OTHERS.index("## v1.0.0\nfirst")
    assert found == OTHERS[:place] + entry("1.0.5") + "\n" + OTHERS[place:]
    newest = add_entry(OTHERS, V("1.2.0"), entry("1.2.0"))
    place = OTHERS.index("## [1.1.0]")
    assert newest == OTHERS[:place] + entry("1.2.0") + "\n" + OTHERS[place:]
    oldest = add_entry(OTHERS, V("0.1.0"), entry("0.1.0"))
    place = OTHERS.index("## Links")
    assert oldest == OTHERS[:place] + entry("0.1.0") + "\n" + OTHERS[place:]


def test_entry_of_the_same_version_is_replaced_and_nothing_else():
    found = add_entry(OTHERS, V("1.1.0"), entry("1.1.0", "Rewritten."))
    start, end = OTHERS.index("## [1.1.0]"), OTHERS.index("## v1.0.0\nfirst")
    assert found == OTHERS[:start] + entry("1.1.0", "Rewritten.") + "\n" + OTHERS[end:]


def test_same_version_is_replaced_even_below_an_older_one():
    text = f"# C\n\n{entry('1.0.0')}\n{entry('1.1.0', 'old')}"
    assert add_entry(text, V("1.1.0"), entry("1.1.0", "new")) == f"# C\n\n{entry('1.0.0')}\n{entry('1.1.0', 'new')}"


def test_code_block_that_is_never_closed_hides_no_version():
    text = f"# C\n\n{entry('1.1.0', '```')}\n{entry('1.0.0')}"
    found = add_entry(text, V("1.2.0"), entry("1.2.0"))
    assert found == f"# C\n\n{entry('1.2.0')}\n{text[5:]}"
    assert add_entry(found, V("1.0.0"), entry("1.0.0")) == found


@pytest.mark.parametrize(
    "text", ["", "no heading", entry("1.0.1"), "x\n" + entry("1.0.0"), entry("1.0.0") + "## more\n"]
)
def test_entry_that_is_not_this_versions_alone_is_refused(text):
    with pytest.raises(ValueError, match=r"must start with '## v1\.0\.0'"):
        add_entry(None, V("1.0.0"), text)
