import json
import os
import re
import subprocess
import sys
from importlib.resources import files

import pyarrow.parquet as pq
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from curation.card import COLUMN_MEANING, escape, render_card, write_card
from curation.errors import ConfigError, RunDirectoryError
from curation.plots import write_plots
from curation.provenance import Provenance
from curation.schema import CONFIG_FILES, CONFIGS, REJECTED
from curation.stats import measure
from tests.folders import kept_row, rejected_row, write_folder

PROVENANCE = Provenance(source="videor1", tokenizer="org/tokenizer", config={"filter": {"min_score": 0.6}})
LOAD_ALL = """
import json, sys
import datasets

loaded = {}
for config in (None, "cot", "rejected", "rl"):
    for streaming in (False, True):
        try:
            splits = datasets.load_dataset(sys.argv[1], config, streaming=streaming)
            rows = {name: list(split) for name, split in splits.items()}
            features = {name: str(feature) for name, feature in splits["train"].features.items()}
            loaded[f"{config} {streaming}"] = {"rows": rows, "features": features}
        except ValueError as error:
            loaded[f"{config} {streaming}"] = str(error)
print(json.dumps(loaded))
"""


def described(folder, kept=(), rejected=(), provenance=PROVENANCE, **options):
    write_folder(folder, kept, rejected, **options)
    report = measure(folder)
    write_plots(report, folder / "plots")
    return write_card(folder, report, provenance)


def front_matter(card):
    return yaml.safe_load(card.read_text().split("---\n")[1])


def load_all(folder, home):
    env = {name: value for name, value in os.environ.items() if not name.startswith(("HF_", "PYTHON"))}
    env |= {"HF_HOME": str(home), "HF_HUB_OFFLINE": "1", "HF_HUB_DISABLE_TELEMETRY": "1"}
    done = subprocess.run(
        [sys.executable, "-c", LOAD_ALL, str(folder)], capture_output=True, text=True, env=env, cwd=home, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout.splitlines()[-1])


def test_every_config_loads_plain_and_streaming_with_the_published_types(tmp_path):
    kept = [kept_row(n, flags=["leaks_answer"] if n else [], overlaps=None) for n in range(5)]
    rejected = [rejected_row(10, "media:missing"), rejected_row(11, "source:malformed", id=None, options=None)]
    described(tmp_path / "dataset", kept, rejected, num_files=2)
    (tmp_path / "home").mkdir()
    loaded = load_all(tmp_path / "dataset", tmp_path / "home")
    assert {name: len(found["rows"]["train"]) for name, found in loaded.items()} == {
        f"{config} {streaming}": num_rows
        for config, num_rows in ((None, 5), ("cot", 5), ("rejected", 2), ("rl", 5))
        for streaming in (False, True)
    }
    for config, schema in CONFIGS.items():
        written = pq.read_table(tmp_path / "dataset" / CONFIG_FILES[config].split("/")[0]).to_pylist()
        for streaming in (False, True):
            found = loaded[f"{config} {streaming}"]
            assert found["rows"]["train"] == written
            assert found["features"] == {
                field.name: "List(Value('string'))"
                if str(field.type).startswith("list")
                else f"Value('{name_of(field)}')"
                for field in schema
            }


def name_of(field):
    return {"double": "float64"}.get(str(field.type), str(field.type))


def test_config_without_rows_streams_and_does_not_hinder_the_others(tmp_path):
    card = described(tmp_path / "dataset", [kept_row(0)])
    (tmp_path / "home").mkdir()
    loaded = load_all(tmp_path / "dataset", tmp_path / "home")
    assert len(loaded["cot False"]["rows"]["train"]) == len(loaded["None True"]["rows"]["train"]) == 1
    assert loaded["rejected True"]["rows"]["train"] == []
    assert list(loaded["rejected True"]["features"]) == REJECTED.names
    # datasets 5.2 cannot load a split without rows in any format (huggingface/datasets#8401); the card says so.
    assert "corresponds to no data" in loaded["rejected False"]
    assert "corresponds to no data" in card.read_text()
    assert "Config rejected has no rows" in card.read_text()


def test_dataset_info_is_what_datasets_itself_would_write(tmp_path):
    from datasets import Features

    card = front_matter(described(tmp_path, [kept_row(0), kept_row(1)], [rejected_row(2, "filter:score")]))
    infos = {info["config_name"]: info for info in card["dataset_info"]}
    for config, schema in CONFIGS.items():
        assert infos[config]["features"] == Features.from_arrow_schema(schema)._to_yaml_list()
    assert infos["cot"]["splits"][0]["num_examples"] == 2
    assert infos["rejected"]["download_size"] == sum(
        path.stat().st_size for path in tmp_path.glob("rejected/*.parquet")
    )
    assert [config.get("default") for config in card["configs"]] == [True, None, None]


def test_counted_tokens_of_no_named_tokenizer_are_an_error(tmp_path):
    write_folder(tmp_path, [kept_row(0)])
    with pytest.raises(ConfigError, match="None"):
        write_card(tmp_path, measure(tmp_path), PROVENANCE.model_copy(update={"tokenizer": None}))
    write_folder(tmp_path, [kept_row(0, observation_tokens=None, think_tokens=None)])
    card = write_card(tmp_path, measure(tmp_path), PROVENANCE.model_copy(update={"tokenizer": None}))
    assert "Tokens were not counted" in card.read_text()


def test_report_of_another_dataset_is_refused(tmp_path):
    report = measure(write_folder(tmp_path / "one", [kept_row(0)]))
    write_folder(tmp_path / "two", [kept_row(0), kept_row(1)])
    with pytest.raises(RunDirectoryError, match="not what the report"):
        write_card(tmp_path / "two", report, PROVENANCE)


def test_hostile_names_break_neither_front_matter_nor_tables(tmp_path):
    hostile = "x | y\n---\n# <script>alert(1)</script> [a](http://evil.example) `{{ 7*7 }}` www.evil.example ![](u) $a$"
    changes = dict.fromkeys(("data_source", "generator", "prompt_sha256", "judge", "license", "answer"), hostile)
    kept = [kept_row(0, **changes, flags=[hostile])]
    rejected = [rejected_row(1, f"filter:{hostile}")]
    provenance = Provenance(source=hostile, tokenizer=hostile, config={"note": f"```\n{hostile}\n````"})
    text = described(tmp_path, kept, rejected, provenance).read_text()
    assert yaml.safe_load(text.split("---\n")[1])["license"] == "other"
    body = text.split("---\n", 2)[2]
    prose, quoted = re.split(r"^`{5}yaml\n", body, flags=re.M)
    prose += quoted.split("\n`````\n")[1]
    assert "http://evil" not in prose and "www.evil" not in prose
    assert not re.search(r"(?<!\\)(<script|\[a\]\(|!\[\]|`\{\{)", prose)
    assert not re.search(r"^# <", body, flags=re.M)
    for table in re.findall(r"(?:^\|.*\n)+", body, flags=re.M):
        widths = {len(re.findall(r"(?<!\\)\|", row)) for row in table.splitlines()}
        assert len(widths) == 1, table


@given(st.text())
def test_escaped_text_is_one_line_and_loses_no_letter(text):
    escaped = escape(text)
    assert len(escaped.splitlines()) <= 1
    assert not re.search(r"(?<!\\)(?:\\\\)*[|<`*\[]", escaped)
    if len(text) < 90:
        shown = "".join(char if char.isprintable() else "?" for char in " ".join(text.split()))
        assert re.sub(r"\\(.)", r"\1", escaped) == shown


def test_demo_world_says_that_it_is_synthetic_and_real_sources_do_not(tmp_path):
    demo = described(tmp_path / "demo", [kept_row(0)], provenance=PROVENANCE.model_copy(update={"source": "shapes"}))
    real = described(tmp_path / "real", [kept_row(0)])
    assert "**Synthetic.**" in demo.read_text() and "synthetic" in front_matter(demo)["tags"]
    assert "ynthetic" not in real.read_text()


def test_card_shows_the_plots_that_are_there_and_no_others(tmp_path):
    card = described(tmp_path, [kept_row(0)])
    shown = re.findall(r"!\[[^]]+\]\(([^)]+)\)", card.read_text())
    assert sorted(shown) == sorted(f"plots/{path.name}" for path in (tmp_path / "plots").iterdir())
    (tmp_path / "plots/funnel.png").unlink()
    write_card(tmp_path, measure(tmp_path), PROVENANCE)
    assert "plots/funnel.png" not in card.read_text() and "plots/scores.png" in card.read_text()


def test_card_names_the_agreement_only_when_it_was_measured(tmp_path):
    write_folder(tmp_path, [kept_row(0), kept_row(1)])
    assert "has not been measured" in render_card(tmp_path, measure(tmp_path), PROVENANCE)
    labels = tmp_path / "labels.csv"
    labels.write_text(f"id,label\n{0:016x},sufficient\n{1:016x},insufficient\n")
    card = render_card(tmp_path, measure(tmp_path, labels=labels), PROVENANCE)
    assert "50.0 % of 2 questions" in card and "has not been measured" not in card


@pytest.mark.parametrize(
    ("licenses", "named"),
    [
        (["Apache-2.0", "MIT"], ["apache-2.0", "mit"]),
        (["Apache-2.0", None], "unknown"),
        (["Apache-2.0", "ask the author"], "other"),
    ],
)
def test_licences_of_the_rows_are_named_as_the_hub_names_them(tmp_path, licenses, named):
    card = described(tmp_path, [kept_row(n, license=name) for n, name in enumerate(licenses)])
    assert front_matter(card)["license"] == named


def test_same_dataset_gives_the_same_card(tmp_path):
    cards = [described(tmp_path / name, [kept_row(0)], [rejected_row(1, "filter:score")]) for name in ("a", "b")]
    assert cards[0].read_bytes() == cards[1].read_bytes()


def test_every_published_column_is_described():
    assert list(COLUMN_MEANING) == REJECTED.names


def test_template_is_found_as_a_package_file():
    assert files("cards").joinpath("dataset_card.md.j2").is_file()
