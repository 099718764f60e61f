import os
from pathlib import Path

import pytest
from pydantic import Field

from curation.config import Config, dump_config, load_config
from curation.errors import ConfigError


class Section(Config):
    rate: float = 1.0
    names: tuple[str, ...] = ()
    path: Path | None = None


class Whole(Config):
    section: Section = Section()
    count: int = Field(default=1, ge=1)


def write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "c.yaml"
    path.write_text(text)
    return path


def test_yaml_1e_6_is_a_number_though_pyyaml_reads_a_string(tmp_path):
    assert load_config(Whole, write(tmp_path, "section: {rate: 1e-6}")).section.rate == 1e-6


def test_overrides_reach_into_sections_and_create_them(tmp_path):
    path = write(tmp_path, "count: 2")
    config = load_config(Whole, path, ["section.rate=3", "section.names=[a, b]", "count=5"])
    assert (config.section.rate, config.section.names, config.count) == (3.0, ("a", "b"), 5)


@pytest.mark.parametrize(
    ("text", "overrides", "message"),
    [
        ("cuont: 1", [], "cuont"),
        ("count: zero", [], "count.*'zero'"),
        ("count: 0", [], "greater than or equal to 1"),
        ("[1, 2]", [], "mapping"),
        ("a: [", [], "no YAML"),
        ("count: 1", ["count"], "key.sub=value"),
        ("count: 1", ["count.sub=1"], "no section"),
        ("count: 1", ["section.rate=["], "no YAML"),
    ],
)
def test_every_fault_is_one_line_that_names_the_place(tmp_path, text, overrides, message):
    with pytest.raises(ConfigError, match=message) as caught:
        load_config(Whole, write(tmp_path, text), overrides)
    assert "\n" not in str(caught.value)


def test_missing_config_names_the_file(tmp_path):
    with pytest.raises(ConfigError, match=r"none\.yaml"):
        load_config(Whole, tmp_path / "none.yaml")


def test_dumped_config_loads_to_the_same_config(tmp_path):
    config = Whole(section=Section(rate=2.5, path=tmp_path / "x" / os.fspath("y")), count=3)
    assert load_config(Whole, write(tmp_path, dump_config(config))) == config
