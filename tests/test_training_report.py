import json
import math
import re
import warnings
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.image import imread

from curation.errors import RunDirectoryError
from tests.training_runs import (
    COMMIT,
    evaluation,
    rl_lines,
    sft_lines,
    write_config,
    write_metrics,
    write_run,
    write_stage,
)
from training.data_facts import DataFacts, load_data_facts, write_data_facts
from training.evaluation_facts import write_evaluation
from training.panels import panels_of
from training.plots import mean_window, running_mean
from training.report import write_report
from training.run_record import load_metrics, load_record


class Page(HTMLParser):
    """What a browser would load or run, and the text that it would show."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.addresses, self.words, self.alts = [], [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        values = dict(attrs)
        self.addresses += [values[name] for name in ("src", "href", "action") if name in values]
        if tag == "img":
            self.alts.append(values["alt"])

    def handle_data(self, data):
        if self.get_starttag_text() and self.tags[-1] != "style":
            self.words.append(data)

    @property
    def text(self):
        return " ".join(" ".join(self.words).split())


def read(run_dir):
    path = write_report(run_dir)
    assert path == run_dir / "report.html"
    return Page(path.read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    run_dir = write_run(tmp_path_factory.mktemp("runs") / "finished", num_sft=40)
    return run_dir, read(run_dir)


def test_finished_run_shows_every_panel_and_the_pictures_lie_beside_the_page(finished):
    run_dir, page = finished
    names = {panel.name for stage in ("sft", "rl") for panel in panels_of(stage, None)}
    assert len(names) == len(panels_of("sft", None)) + len(panels_of("rl", None))
    names |= {"held_out_accuracy", "held_out_sufficient", "held_out_well-formed"}
    assert {path.stem for path in (run_dir / "report").glob("*.png")} == names
    assert len(page.alts) == len(names)
    assert "Not logged" not in page.text and "Not there yet" not in page.text and "Could not be read" not in page.text


def test_page_needs_nothing_but_itself(finished):
    run_dir, page = finished
    assert "script" not in page.tags and "link" not in page.tags and "iframe" not in page.tags
    assert page.addresses and all(address.startswith("data:image/png;base64,") for address in page.addresses)
    assert "default-src 'none'" in (run_dir / "report.html").read_text()


def test_scores_stand_with_their_intervals_and_the_baseline(finished):
    _, page = finished
    text = page.text.replace("\u00a0", " ")
    assert "after RL 56.6 %" in " ".join(page.alts).replace("\u00a0", " ")
    assert "[53.5, 59.6] of 1,000" in text and "of 970" in text
    assert "27.4 %" in text  # the most frequent answer
    assert "multiple choice 31.0 % 57.6 % [53.9, 61.2] of 700" in text


def test_data_is_named_by_revision_and_commit_with_rows_left_out_by_reason(finished):
    _, page = finished
    assert COMMIT in page.text and "v1.0.0" in page.text
    assert "rows used 160,182" in page.text and "left out: missing 112" in page.text


def test_time_is_given_by_phase_with_tokens_and_memory(finished):
    _, page = finished
    assert "time: judge_wait" in page.text and "51 min 40 s" in page.text and "71.0 GiB" in page.text
    assert "151,000,000" in page.text and "8 x NVIDIA A100" in page.text


def test_windows_are_those_of_the_config(tmp_path):
    run_dir = write_run(tmp_path / "run", num_sft=3, num_rl=3)
    write_config(run_dir, rewards={"perception_tokens": [8, 20], "reasoning": False})
    page = read(run_dir)
    assert "perception 8 to 20" in page.text and "reasoning 320" not in page.text


def test_same_files_give_the_same_bytes(tmp_path):
    run_dir = write_run(tmp_path / "run", num_sft=13, num_rl=0)
    first = write_report(run_dir).read_bytes()
    assert write_report(run_dir).read_bytes() == first


def test_rl_in_progress_says_how_far_it_is_and_what_is_missing(tmp_path):
    page = read(write_run(tmp_path / "run", num_sft=3, num_rl=30))
    assert "RL in progress, update 30 of 1,000" in page.text
    assert "Not there yet: the scores after RL." in page.text
    assert "No rollouts were saved yet." in page.text


def test_only_sft_so_far_says_that_rl_has_not_begun(tmp_path):
    page = read(write_run(tmp_path / "run", num_sft=3, num_rl=0))
    assert "RL has not begun." in page.text and "RL has not said yet which rows it uses." in page.text


def test_variant_without_rl_does_not_miss_it(tmp_path):
    run_dir = write_run(tmp_path / "run", num_sft=3, num_rl=0)
    write_config(run_dir, variant="sft_only")
    page = read(run_dir)
    assert "RL" not in page.text.split("Config")[0] and "Not there yet" not in page.text


def test_empty_directory_makes_a_page_and_a_missing_one_makes_one_line(tmp_path):
    page = read(tmp_path)
    assert "Nothing was evaluated yet." in page.text and "There is no config.yaml" in page.text
    with pytest.raises(RunDirectoryError, match=r"no run directory .*nowhere"):
        write_report(tmp_path / "nowhere")


@pytest.mark.parametrize("content", ["", "\n", '{"step": 1, "loss": null}\n', '{"step": 1}\n{"step": 2, "lo'])
def test_metrics_without_a_number_are_named_and_drawn_by_nobody(tmp_path, content):
    write_config(tmp_path)
    (tmp_path / "sft").mkdir()
    (tmp_path / "sft" / "metrics.jsonl").write_text(content)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        page = read(tmp_path)
    assert not page.alts
    assert ("Not logged (yet): loss, learning rate." in page.text) == ("step" in content)


def test_nan_null_and_infinity_are_gaps_and_never_zeros(tmp_path):
    path = tmp_path / "metrics.jsonl"
    lines = [
        '{"step": 1, "loss": NaN, "kl": 0.5}',
        '{"step": 2, "loss": Infinity, "kl": null}',
        '{"step": 3, "loss": 1e999, "kl": true}',
        '{"step": 4, "loss": 2.0, "kl": "0.1"}',
        f'{{"step": 5, "loss": {"9" * 400}}}',
    ]
    path.write_text("\n".join(lines) + "\n")
    metrics = load_metrics(path)
    assert metrics.series == {"loss": ((4, 2.0),), "kl": ((1, 0.5),)}
    assert (metrics.last_update, metrics.num_unreadable) == (5, 0)


def test_update_that_a_resumed_run_logged_again_counts_once(tmp_path):
    path = tmp_path / "metrics.jsonl"
    path.write_text('{"step": 1, "loss": 3}\n{"step": 2, "loss": 9}\n{"step": 2, "loss": 2}\n{"step": 3, "loss"')
    assert load_metrics(path).series["loss"] == ((1, 3.0), (2, 2.0))


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("config.yaml", "variant: [\n"),
        ("config.yaml", "variant: nonsense\n"),
        ("sft/stage.json", "{"),
        ("sft/stage.json", '{"updates": "many", "seconds": 1}'),
        ("sft/stage.json", '{"updates": 3, "seconds": NaN}'),
        ("sft/data.json", '{"name": "x"}'),
        ("sft/metrics.jsonl", "[1]\nnot json\n" + "[" * 100_000 + "\n"),
        ("evaluation/sft.json", '{"num_questions": 3}'),
        ("evaluation/sft.json", "\ud800".encode("utf-8", "surrogatepass").decode("latin-1")),
    ],
)
def test_damaged_file_is_named_on_the_page_and_the_rest_is_shown(tmp_path, name, content):
    run_dir = write_run(tmp_path / "run", num_sft=3, num_rl=0)
    (run_dir / name).write_text(content, encoding="latin-1")
    page = read(run_dir)
    assert "Could not be read" in page.text and name in page.text
    assert "Traceback" not in page.text


def test_hostile_texts_are_shown_and_not_run(tmp_path):
    hostile = '<script>alert(1)</script>"><img src=x onerror=alert(1)> $x^2$ {{ 7 * 7 }}'
    run_dir = write_run(tmp_path / "<b>run", num_sft=3, num_rl=0)
    write_config(run_dir, model={"name": hostile})
    write_stage(run_dir / "sft", hardware=hostile, seconds_by_phase={hostile: 1.0})
    facts = DataFacts(
        name=hostile, config="cot", revision=None, commit=None, num_published=3, num_used=2, num_held_out=0,
        left_out={hostile: 1},
    )  # fmt: skip
    write_data_facts(run_dir / "sft", facts)
    scores = evaluation("sft", 0.5, 0.5)
    kinds = (scores.by_kind[0].model_copy(update={"kind": hostile}), *scores.by_kind[1:])
    write_evaluation(run_dir / "evaluation" / "sft.json", scores.model_copy(update={"by_kind": kinds}))
    page = read(run_dir)
    assert "script" not in page.tags and "onerror" not in page.text.split("Config")[0].replace(hostile, "")
    assert all(address.startswith("data:") for address in page.addresses)
    assert page.text.count("<script>alert(1)</script>") >= 4


def test_nobody_judged_is_a_dash_and_no_picture(tmp_path):
    write_config(tmp_path)
    scores = evaluation("sft", 0.5, 0.5).model_copy(update={"num_judged": 0, "num_sufficient": 0})
    write_evaluation(tmp_path / "evaluation" / "sft.json", scores)
    page = read(tmp_path)
    assert "Sufficient observations - - of none" in page.text
    assert not (tmp_path / "report" / "held_out_sufficient.png").exists()


def test_local_folder_has_no_revision_and_the_page_says_so(tmp_path):
    facts = DataFacts(
        name="runs/demo", config="cot", revision=None, commit=None, num_published=3, num_used=3, num_held_out=0,
        left_out={},
    )  # fmt: skip
    write_config(tmp_path)
    write_data_facts(tmp_path / "sft", facts)
    assert "revision none: a local folder" in read(tmp_path).text


def test_rows_that_do_not_add_up_are_refused():
    with pytest.raises(ValueError, match="num_published is 10"):
        DataFacts(
            name="x", config="rl", revision=None, commit=None, num_published=10, num_used=8, num_held_out=1, left_out={}
        )


def test_data_facts_survive_their_file(tmp_path):
    assert load_data_facts(tmp_path) is None
    run_dir = write_run(tmp_path / "run", num_sft=1, num_rl=0)
    facts = load_data_facts(run_dir / "sft")
    assert facts.left_out == {"missing": 112, "corrupt": 3}
    write_data_facts(tmp_path, facts)
    assert load_data_facts(tmp_path) == facts


def test_curve_of_one_value_and_of_equal_values_is_drawn(tmp_path):
    write_config(tmp_path)
    write_metrics(tmp_path / "sft", [{"step": 1, "loss": 0.0, "learning_rate": 0.0}])
    write_metrics(tmp_path / "rl", [{"step": step, "kl": -1e-9, "loss": 3e38} for step in range(1, 30)])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        page = read(tmp_path)
    assert len(page.alts) == 4
    for path in (tmp_path / "report").glob("*.png"):
        assert imread(path).std() > 0.02, path


def test_every_metric_of_the_made_up_runs_is_read_by_name(tmp_path):
    """So that a renamed metric is noticed here: the names are those that the trainers log."""
    drawn = {line.metric for stage in ("sft", "rl") for panel in panels_of(stage, None) for line in panel.lines}
    assert drawn <= {*sft_lines(1)[0], *rl_lines(1)[0]}
    assert {*sft_lines(1)[0], *rl_lines(1)[0]} - drawn == {"step", "epoch", "num_tokens"}


def test_facts_of_the_stage_that_the_report_does_not_know_do_no_harm(tmp_path):
    (tmp_path / "sft").mkdir()
    (tmp_path / "sft" / "stage.json").write_text(json.dumps({"updates": 3, "seconds": 2.5, "later": [1]}))
    assert load_record(tmp_path).stages["sft"].state == "finished"


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=80), st.integers(0, 12).map(lambda half: 2 * half + 1))
def test_running_mean_stays_within_the_values_and_its_window(values, window):
    means = running_mean(values, window)
    assert len(means) == len(values)
    for place, mean in enumerate(means):
        near = values[max(0, place - window // 2) : place + window // 2 + 1]
        assert math.isclose(mean, sum(near) / len(near), rel_tol=1e-9, abs_tol=1e-6)


@given(st.integers(0, 10**5))
def test_mean_window_is_odd_and_never_longer_than_the_curve(num_points):
    window = mean_window(num_points)
    assert window % 2 == 1 and window <= max(1, num_points)


def test_command_for_the_rollouts_names_dataset_and_run(finished):
    run_dir, page = finished
    found = re.findall(r"python -m app .*?--rollouts \S+", page.text)
    assert found == [f"python -m app --dataset org/VideoP2R-CoT-162K@v1.0.0 --rollouts {run_dir}"]
