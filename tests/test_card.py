import hashlib
import json
import os
import re
import subprocess
import sys
from importlib.resources import files

import polars as pl
import pyarrow.parquet as pq
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from curation.calibration import Calibration, JudgeVerdicts, measure_calibration
from curation.card import COLUMN_MEANING, Checks, render_card, write_card
from curation.errors import ConfigError, RunDirectoryError
from curation.markdown import escape
from curation.overlaps.report import BenchmarkOverlap, FramesRule, OverlapReport, RowCount
from curation.plots import write_plots
from curation.provenance import Provenance
from curation.publication import Publication
from curation.release_compare import (
    Acceptance,
    LengthPair,
    Ours,
    Overlap,
    Quantiles,
    ReleaseComparison,
    Same,
    ScorePair,
    Theirs,
)
from curation.report import Reason, Share
from curation.schema import CONFIG_FILES, CONFIGS, REJECTED
from curation.stats import measure
from tests.folders import kept_row, rejected_row, write_folder
from tests.hub.cards import check_card

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


PUBLICATION = Publication("org/VideoP2R-CoT-162K", "1.2.0")
NULL_IN_A_RELEASE = (
    "verdict", "verdict_reason", "judge", "judge_prompt_sha256", "prompt_sha256", "attempt", "license",
    "observation_tokens", "think_tokens", "media_sha256", "media_duration_s", "media_num_frames",
)  # fmt: skip


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


def test_config_without_rows_is_not_listed_and_does_not_hinder_the_others(tmp_path):
    card = described(tmp_path / "dataset", [kept_row(0)])
    (tmp_path / "home").mkdir()
    loaded = load_all(tmp_path / "dataset", tmp_path / "home")
    assert len(loaded["cot False"]["rows"]["train"]) == len(loaded["None True"]["rows"]["train"]) == 1
    # datasets 5.2 cannot load a split without rows in any format (huggingface/datasets#8401); the card says so.
    assert {config["config_name"] for config in front_matter(card)["configs"]} == {"cot", "rl"}
    assert {info["config_name"] for info in front_matter(card)["dataset_info"]} == {"cot", "rl"}
    assert "'rejected' not found" in loaded["rejected False"]
    assert "Config rejected has no rows" in card.read_text()
    assert 'load_dataset(folder, "rejected"' not in card.read_text()


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


def published(folder, *, provenance=PROVENANCE, checks=None, publication=PUBLICATION):
    return render_card(folder, measure(folder), provenance, publication, checks or Checks())


def first_screen(text):
    """Everything above the first heading of level 2 after the code that loads it."""
    body = text.split("---\n", 2)[2]
    return body[: body.index("\n## The first row")]


def test_published_card_names_the_version_in_every_way_to_load_it(tmp_path):
    write_folder(tmp_path, [kept_row(0)], [rejected_row(1, "filter:score")])
    text = published(tmp_path)
    screen = first_screen(text)
    assert 'load_dataset("org/VideoP2R-CoT-162K", revision="v1.2.0", split="train")' in screen
    assert 'load_dataset("org/VideoP2R-CoT-162K", revision="v1.2.0", split="train", streaming=True)' in screen
    assert 'load_dataset("org/VideoP2R-CoT-162K", "rejected", revision="v1.2.0"' in screen
    assert 'pl.scan_parquet("hf://datasets/org/VideoP2R-CoT-162K@v1.2.0/data/*.parquet")' in screen
    assert "v1.2.0 ([changes](CHANGELOG.md))" in screen
    assert "major = the schema" in text and "minor = rows" in text and "Tags never\nmove" in text
    assert "# this folder" not in text and "# this folder" in render_card(tmp_path, measure(tmp_path), PROVENANCE)


def test_code_that_loads_a_local_folder_runs_as_it_stands(tmp_path):
    card = described(tmp_path, [kept_row(0)], [rejected_row(1, "filter:score")])
    code = re.search(r"```python\n(.*?)```", card.read_text(), re.S)[1]
    check = "assert (len(cot), len(list(stream)), len(rejected), len(rl), len(frame.collect())) == (1, 1, 1, 1, 1)"
    env = os.environ | {"HF_HOME": str(tmp_path / "home"), "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(
        [sys.executable, "-c", f"{code}\n{check}"], capture_output=True, text=True, env=env, cwd=tmp_path, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]


def test_hub_and_its_own_card_class_accept_the_card(tmp_path):
    from huggingface_hub import DatasetCard

    write_folder(tmp_path, [kept_row(0, license="Apache-2.0")])
    text = published(tmp_path, provenance=PROVENANCE.model_copy(update={"media_repo": "org/media"}))
    assert check_card(text) == ([], [])
    card = DatasetCard(text)
    assert card.data.pretty_name == "VideoP2R CoT 162K"
    assert card.data.license == ["apache-2.0"] and card.data.to_dict()["source_datasets"] == ["org/media"]


def test_prompts_are_linked_and_one_that_the_rows_do_not_name_is_an_error(tmp_path):
    named = {name: hashlib.sha256(name.encode()).hexdigest() for name in ("trace", "judge")}
    rows = {"prompt_sha256": named["trace"], "judge_prompt_sha256": named["judge"]}
    write_folder(tmp_path, [kept_row(0, **rows)], [rejected_row(1, "media:missing", prompt_sha256=None)])
    without = render_card(tmp_path, measure(tmp_path), PROVENANCE)
    assert named["trace"] in without and "not part of this folder" in without and "prompts/trace.txt" not in without
    (tmp_path / "prompts").mkdir()
    for name in named:
        (tmp_path / "prompts" / f"{name}.txt").write_text(name)
    text = render_card(tmp_path, measure(tmp_path), PROVENANCE)
    for name, sha256 in named.items():
        assert f"[prompts/{name}.txt](prompts/{name}.txt), sha256 {sha256}" in text
    (tmp_path / "prompts/judge.txt").write_text("judge ")
    with pytest.raises(RunDirectoryError, match=r"judge\.txt is not the prompt that the rows name"):
        render_card(tmp_path, measure(tmp_path), PROVENANCE)


def test_one_row_of_another_prompt_is_enough_to_refuse_the_card(tmp_path):
    (tmp_path / "prompts").mkdir()
    (tmp_path / "prompts/trace.txt").write_text("trace")
    sha256 = hashlib.sha256(b"trace").hexdigest()
    rejected = [rejected_row(1, "filter:score"), rejected_row(2, "filter:score", prompt_sha256=sha256)]
    write_folder(tmp_path, [kept_row(0, prompt_sha256=sha256)], rejected)
    with pytest.raises(RunDirectoryError, match=r"trace\.txt is not the prompt"):
        render_card(tmp_path, measure(tmp_path), PROVENANCE)


def calibration(*judges, num_labels=40):
    """Labels of even questions: sufficient, odd: insufficient; `judges` are (name, places it gets wrong)."""
    ids = [f"{n:016x}" for n in range(num_labels)]
    gold = ["sufficient" if n % 2 == 0 else "insufficient" for n in range(num_labels)]
    other = {"sufficient": "insufficient", "insufficient": "sufficient"}
    labels = pl.DataFrame({"id": ids, "label": gold, "labeller": ["ann | <b>"] * num_labels})
    types = {each: ("multiple choice" if place < 30 else "OCR") for place, each in enumerate(ids)}
    verdicts = [
        JudgeVerdicts(
            name, (f"{name}-model",), ("ef" * 32,),
            pl.DataFrame(
                {
                    "id": ids,
                    "verdict": [other[label] if place in wrong else label for place, label in enumerate(gold)],
                    "unscored": pl.Series([None] * num_labels, dtype=pl.String),
                }
            ),
        )
        for name, wrong in judges
    ]  # fmt: skip
    found = measure_calibration(
        labels, types, verdicts, labels_file="labels.csv", labels_sha256="0" * 64, num_outdated=0
    )
    assert isinstance(found, Calibration)
    return found


def test_agreement_is_shown_per_judge_and_type_beside_the_papers(tmp_path):
    write_folder(tmp_path, [kept_row(0)])
    checks = Checks(agreement=calibration(("recorded", {0, 31}), ("other", set(range(10)))))
    text = published(tmp_path, checks=checks)
    assert "it agrees with 95.0 % of 40 labels (95 %: 83.5 % to 98.6 %); the paper's: 95 % of 200" in first_screen(text)
    assert "| recorded | recorded-model | 40 | 95.0 % |" in text and "| other | other-model | 40 | 75.0 % |" in text
    assert "| judge | multiple choice | OCR |" in text
    assert "| recorded | 96.7 % of 30 | 90.0 % of 10 |" in text
    assert "| paper | Claude 3.7 Sonnet | 200 | 95.0 % |" in text
    assert "by ann \\| \\<b\\>." in text and "would reach 50.0 %" in text
    assert "recorded and other: on 40 common questions 9 and 1 that only" in text
    assert "has not been measured" not in text


def test_agreement_of_another_judge_is_not_taken_for_that_of_the_rows(tmp_path):
    write_folder(tmp_path, [kept_row(0)])
    text = published(tmp_path, checks=Checks(agreement=calibration(("other", set()))))
    assert "not measured; the paper's" in first_screen(text) and "| other | other-model | 40 | 100.0 % |" in text


def test_too_few_labels_are_named_as_a_limit(tmp_path):
    write_folder(tmp_path, [kept_row(0)])
    text = published(tmp_path, checks=Checks(agreement=calibration(("recorded", {0}), num_labels=12)))
    assert "rests on 12 labels, too few" in text


def count(num_kept, num_rejected=0):
    return RowCount(num_kept=num_kept, num_rejected=num_rejected)


def overlap(name, path, frames, question, rows):
    return BenchmarkOverlap(
        benchmark=name, num_questions=4000, num_short_questions=0, num_videos=300, unread=(), media=None,
        path=count(path), sha256=None, frames=None if frames is None else count(frames), question=count(question),
        rows=count(rows), num_shared_texts=0, top_shared_texts=(),
    )  # fmt: skip


def test_overlaps_are_real_shares_and_a_dash_where_it_was_not_looked(tmp_path):
    kept = [kept_row(n, overlaps=["MVBench"] if n < 3 else []) for n in range(20)]
    write_folder(tmp_path, kept)
    rule = FramesRule(num_frames=8, max_bits=6, min_chain=3, min_evidence=2.0)
    found = OverlapReport(
        rows=count(20), num_without_id=0, any=count(3), frames_rule=rule, own_media=None,
        benchmarks=(overlap("MVBench", 2, 1, 0, 3), overlap("Video|MME", 0, None, 0, 0)),
    )  # fmt: skip
    text = published(tmp_path, checks=Checks(overlaps=found))
    assert "3 traces (15.0 %) share media or question with one of 2 benchmarks" in first_screen(text)
    assert "| MVBench | 4,000 | 3 | 15.0 % | 2 | - | 1 | 0 |" in text
    assert "| Video\\|MME | 4,000 | 0 | 0.0 % | 0 | - | - | 0 |" in text
    assert "15.0 % of the traces share media or a question with a benchmark" in text
    unchecked = published(tmp_path)
    assert "| MVBench | 3 | 15.0 % |" in unchecked
    write_folder(tmp_path, [kept_row(0)])
    assert "| **In benchmarks too** | not computed |" in published(tmp_path)


def compared():
    quantiles = Quantiles(num_rows=5, mean=101.4, p5=1.0, p25=2.0, p50=99.6, p75=4.0, p95=5.0)
    nothing = Quantiles(num_rows=0, mean=None, p5=None, p25=None, p50=None, p75=None, p95=None)
    return ReleaseComparison(
        ours=Ours(name="runs/x", num_read=1200, num_accepted=700),
        cot=Theirs(num_records=162_062, num_questions=162_000, num_traces=161_000, rejected=()),
        rl=None,
        tokenizer=None,
        overlaps=(
            Overlap(
                file="cot", by="all", value=None, num_shared=800, num_only_ours=400, num_only_theirs=161_200, num_near=7
            ),
            Overlap(
                file="cot", by="data_source", value="X", num_shared=1, num_only_ours=2, num_only_theirs=3, num_near=0
            ),
        ),
        universe="read",
        num_outside=0,
        acceptance=(
            Acceptance(
                by="all", value=None, num_both=600, num_only_ours=100, num_only_theirs=200, num_neither=300,
                agree=Share.of(900, 1200), kappa=0.4949,
            ),
        ),
        not_ours=(Reason(reason="filter:score", num_rows=150), Reason(reason="a | b", num_rows=50)),
        lengths=(
            LengthPair(segment="think", unit="words", scope="shared", ours=quantiles, theirs=quantiles),
            LengthPair(segment="think", unit="tokens", scope="shared", ours=nothing, theirs=nothing),
        ),
        histograms=(),
        scores=(
            ScorePair(
                problem_type=None, ours=(0,) * 10, theirs=(0,) * 10, ours_mean=0.98765, theirs_mean=None,
                theirs_below=Share.of(0, 0),
            ),
        ),
        same=Same(
            answer=Share.of(4, 5), observation=Share.of(0, 5), think=Share.of(0, 5), trace=Share.of(0, 5),
            num_other_gold=1,
        ),
    )  # fmt: skip


def test_difference_to_the_authors_release_is_shown_when_it_was_compared(tmp_path):
    write_folder(tmp_path, [kept_row(0)])
    assert "authors' release" not in published(tmp_path)
    text = published(tmp_path, checks=Checks(comparison=compared()))
    assert "## Beside the authors' release" in text
    assert "| cot | all | 800 | 400 | 161,200 |" in text and "| cot | X |" not in text
    assert "| all | 600 | 100 | 200 | 300 | 75.0 % | 0.49 |" in text
    assert "| a \\| b | 50 |" in text
    assert "| think | words | in both | 5 | 101 | 100 | 5 | 101 | 100 |" in text
    assert "| think | tokens | in both |" not in text
    assert "| all | 0.988 | - | - of 0 |" in text
    assert "the answer is the same in 80.0 %" in text and "1 have another gold answer" in text


def test_imported_release_claims_no_verdict_no_survival_and_quotes_no_config(tmp_path):
    kept = [kept_row(n, **dict.fromkeys(NULL_IN_A_RELEASE)) for n in range(3)]
    write_folder(tmp_path, kept, [rejected_row(9, "filter:format", **dict.fromkeys(NULL_IN_A_RELEASE))])
    provenance = Provenance(source="release", tokenizer=None, config={}, media_repo="org/media", note="Their *rows*.")
    text = published(tmp_path, provenance=provenance)
    screen = first_screen(text)
    assert "no judge: the traces have no verdicts" in screen and "the authors' data release: imported" in screen
    assert "Their \\*rows\\*." in text
    assert "3 of 3 traces have no verdict here" in text and "not judged here" in text
    for claim in (
        " sufficient, ",
        "agrees",
        "judged by a model",
        "Survival",
        "| **Kept**",
        "## Config",
        "plots/funnel",
    ):
        assert claim not in text, claim
    assert "media fetch org/VideoP2R-CoT-162K@v1.2.0 --from org/media --media-root media" in text
    assert check_card(text) == ([], [])


def test_partly_judged_rows_are_counted_and_not_called_sufficient(tmp_path):
    kept = [kept_row(0), kept_row(1, verdict=None, judge=None), kept_row(2, verdict="insufficient")]
    write_folder(tmp_path, kept)
    text = published(tmp_path)
    assert "1 sufficient, 1 insufficient, 1 without a verdict" in first_screen(text)
    assert "1 of 3 traces have no verdict here" in text and "1 of 3 traces were judged insufficient" in text


def test_media_are_fetched_drawn_again_or_not_known_as_the_provenance_says(tmp_path):
    write_folder(tmp_path, [kept_row(0)])
    demo = {"source": {"num_questions": 120, "seed": 7}}
    for update, said in (
        ({"media_repo": "org/media; rm -rf x"}, "media fetch . --from 'org/media; rm -rf x' --media-root media"),
        ({"source": "shapes", "config": demo}, "`python -m curation demo --num-questions 120 --seed 7`"),
        ({}, "Which repository holds them was not recorded"),
    ):
        card = render_card(tmp_path, measure(tmp_path), PROVENANCE.model_copy(update=update))
        assert said in card


def test_hundreds_of_sources_reasons_and_models_do_not_make_a_long_card(tmp_path):
    kept = [
        kept_row(n, data_source=f"source {n}", license=f"licence {n}", generator=f"model {n}", judge=f"judge {n}",
                 flags=[f"flag {n}"], overlaps=[f"benchmark {n}"])
        for n in range(300)
    ]  # fmt: skip
    rejected = [rejected_row(1000 + n, f"filter:reason {n}") for n in range(100)]
    write_folder(tmp_path, kept, rejected)
    text = published(tmp_path)
    body = text.split("---\n", 2)[2]
    assert len(body.splitlines()) < 520
    assert "| and 281 more |" in body and "| | 92 more reasons | 92 | |" in body
    assert "model 0, model 1, model 10 and 297 more" in first_screen(text)


def test_large_counts_are_written_with_commas(tmp_path):
    write_folder(tmp_path, [kept_row(n) for n in range(1200)])
    text = published(tmp_path)
    assert (
        "**1,200 questions about images and videos" in text
        and "| multiple choice | 0 | 1,200 | 1,200 | 134,001 |" in text
    )


def test_first_row_is_quoted_whatever_it_holds(tmp_path):
    hostile = "</details>\n\n# Heading\n> ```python\n| a | b |\n<script>alert(1)</script> " + "word " * 1000
    write_folder(tmp_path, [kept_row(0, problem=hostile, options=[hostile], observation=hostile, think=hostile)])
    quoted = published(tmp_path).split("## The first row\n\n")[1].split("\n\nAs a model")[0]
    assert all(line.startswith(">") for line in quoted.splitlines())
    assert len(quoted) < 4000 and not re.search(r"(?<!\\)[<`|]", quoted)


def test_dataset_without_rows_has_a_card(tmp_path):
    write_folder(tmp_path)
    text = published(tmp_path)
    assert "**0 questions" in text and "## The first row" not in text and check_card(text) == ([], [])


@pytest.mark.parametrize(
    ("licenses", "license_name", "fields"),
    [
        (["Apache-2.0", "MIT"], "apache-2.0", {"license": ["apache-2.0", "mit"]}),
        (["CC-BY-4.0"], "apache-2.0", {"license": ["apache-2.0", "cc-by-4.0"]}),
        (["MIT", None], "apache-2.0", {"license": "other", "license_name": "by-source", "license_link": "LICENSE"}),
        (["MIT"], "ours", {"license": "other", "license_name": "by-source", "license_link": "LICENSE"}),
    ],
)
def test_published_licence_is_that_of_the_questions_and_of_the_traces(tmp_path, licenses, license_name, fields):
    write_folder(tmp_path, [kept_row(n, license=name) for n, name in enumerate(licenses)])
    text = published(tmp_path, publication=Publication("org/name", "1.0.0", license_name))
    found = yaml.safe_load(text.split("---\n")[1])
    assert {name: value for name, value in found.items() if name.startswith("license")} == fields


def test_plot_of_the_judges_is_drawn_and_shown_when_they_were_compared(tmp_path):
    write_folder(tmp_path, [kept_row(0)])
    found = calibration(("recorded", {0}))
    names = [path.name for path in write_plots(measure(tmp_path), tmp_path / "plots", found)]
    assert names[-1] == "judges.png"
    assert "(plots/judges.png)" in published(tmp_path, checks=Checks(agreement=found))
