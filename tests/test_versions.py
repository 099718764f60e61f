import pytest
from hypothesis import given
from hypothesis import strategies as st

from curation.errors import ConfigError
from curation.versions import LEVELS, Version, check_successor, published_versions

versions = st.builds(Version, *[st.integers(0, 30)] * 3)


@given(version=versions)
def test_parse_is_the_inverse_of_both_spellings(version):
    assert Version.parse(str(version)) == Version.parse(version.tag) == version
    assert version.tag == f"v{version}"


@pytest.mark.parametrize(
    "text",
    [
        *("", "v", "1.0", "1.0.0.0", "01.0.0", "1.00.0", "1.0.0-rc1", "1.0.0+b", "V1.0.0", "vv1.0.0", " 1.0.0"),
        *("1.0.0\n", "1.0.x", "-1.0.0", "1,0,0", "main", "\u0661.0.0", "1.0." + "9" * 5000),
    ],
)
def test_what_is_no_version_is_refused_in_one_line(text):
    with pytest.raises(ConfigError, match="is no version") as error:
        Version.parse(text)
    assert "\n" not in str(error.value)


def test_versions_are_ordered_as_numbers_not_as_text():
    assert Version.parse("1.9.0") < Version.parse("1.10.0") < Version.parse("2.0.0")


def test_tags_that_are_no_versions_are_left_out_and_none_is_made_up():
    tags = ["v1.10.0", "main", "v1.9.0", "v1.9.0", "v2", "v1.0.0-rc1", "1.11.0", "v0.1.0"]
    assert [version.tag for version in published_versions(tags)] == ["v0.1.0", "v1.9.0", "v1.10.0"]
    assert published_versions([]) == []


@pytest.mark.parametrize(
    ("version", "previous", "change"),
    [
        ("2.0.0", "1.2.3", "schema"),
        ("4.0.0", "1.2.3", "schema"),
        ("1.3.0", "1.2.3", "rows"),
        ("1.7.0", "1.2.3", "rows"),
        ("1.2.4", "1.2.3", "card"),
        ("1.2.9", "1.2.3", "card"),
        ("0.2.0", "0.1.5", "rows"),
    ],
)
def test_the_level_that_changed_may_grow_by_any_number(version, previous, change):
    check_successor(Version.parse(version), Version.parse(previous), change)


@pytest.mark.parametrize(
    ("version", "change", "right"),
    [
        ("1.3.0", "schema", "2.0.0"),  # too small
        ("1.2.4", "rows", "1.3.0"),
        ("2.0.0", "rows", "1.3.0"),  # too big
        ("1.3.0", "card", "1.2.4"),
        ("2.0.0", "card", "1.2.4"),
        ("2.1.0", "schema", "2.0.0"),  # parts below are not 0
        ("2.0.1", "schema", "2.0.0"),
        ("1.3.1", "rows", "1.3.0"),
        ("1.2.3", "rows", "1.3.0"),  # the same again
        ("1.2.3", "card", "1.2.4"),
        ("1.2.2", "card", "1.2.4"),  # backwards
        ("1.1.0", "rows", "1.3.0"),
        ("0.0.0", "schema", "2.0.0"),
    ],
)
def test_any_other_version_is_refused_with_the_right_one(version, change, right):
    with pytest.raises(ConfigError, match=f"Use {right}\\.$") as error:
        check_successor(Version.parse(version), Version.parse("1.2.3"), change)
    assert "\n" not in str(error.value)


@given(previous=versions, change=st.sampled_from(["schema", "rows", "card"]))
def test_the_version_that_is_proposed_is_accepted(previous, change):
    check_successor(previous.successor(LEVELS[change]), previous, change)


def test_nothing_changed_is_nothing_to_publish():
    with pytest.raises(ConfigError, match=r"nothing changed since v1\.2\.3"):
        check_successor(Version(1, 2, 4), Version(1, 2, 3), "nothing")


def test_the_first_version_may_be_any():
    check_successor(Version(7, 3, 1), None, "nothing")
