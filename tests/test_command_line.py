"""How a command ends: one line and status 2 where the user can act, 130 on an interrupt, never a traceback."""

import signal
import subprocess
import sys
import time

import pytest

from curation.__main__ import main
from tests.folders import kept_row, write_folder
from tests.loopback import LoopbackServer
from tests.questions import Models, command, twenty_records, write_config, write_world


def test_missing_extra_is_one_line_with_what_to_install():
    script = "import sys; sys.modules['matplotlib'] = None; from curation.__main__ import main; sys.exit(main())"
    words = [sys.executable, "-c", script, "run", "curation/configs/demo.yaml"]
    ran = subprocess.run(words, capture_output=True, text=True)
    assert ran.returncode == 2
    assert ran.stderr.splitlines() == [
        "error: the package 'matplotlib' is not installed. Run pip install -e '.[curate]' in the repository."
    ]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["run", "none.yaml"], "none.yaml"),
        (["run", "curation/configs/demo.yaml", "shard_size=0"], "shard_size"),
        (["run", "curation/configs/demo.yaml", "video.min_pixels=999999999"], "min_pixels"),
        (["run", "curation/configs/demo.yaml", "generate.prompt=none.txt", "run_dir={tmp}/run"], "none.txt"),
        (["run", "curation/configs/videop2r_cot.yaml", "--dry-run"], "Video-R1-260k.json"),
        (["stats", "{tmp}"], "{tmp}"),
    ],
)
def test_what_the_user_can_mend_is_one_line_that_names_it(tmp_path, capfd, words, message):
    assert main([word.format(tmp=tmp_path) for word in words]) == 2
    error = [line for line in capfd.readouterr().err.splitlines() if line.startswith("error: ")]
    assert len(error) == 1
    assert message.format(tmp=tmp_path) in error[0]


@pytest.mark.parametrize(
    "words",
    [
        ["run", "curation/configs/demo.yaml", "run_dir={tmp}/file"],
        ["run", "curation/configs/demo.yaml", "run_dir={tmp}/file/run"],
        ["run", "curation/configs/demo.yaml", "run_dir={tmp}/run", "source.root={tmp}/file"],
        ["demo", "--num-questions", "20", "--run-dir", "{tmp}/file"],
        ["stats", "{tmp}/demo", "--plots", "{tmp}/file"],
        ["stats", "{tmp}/demo", "--json", "{tmp}"],
        ["calibrate", "{tmp}/file", "--dataset", "{tmp}/demo"],
        ["import-release", "{tmp}/file", "--cot", "{tmp}/file"],
        ["publish", "{tmp}/file", "--repo", "org/name", "--version", "1.0.0", "--dry-run"],
    ],
)
def test_a_file_where_a_folder_is_needed_and_the_reverse_are_one_line(tmp_path, capfd, words):
    (tmp_path / "file").write_text("mine")
    write_folder(tmp_path / "demo" / "dataset", [kept_row(1)])
    assert main([word.format(tmp=tmp_path) for word in words]) == 2
    error = [line for line in capfd.readouterr().err.splitlines() if line.startswith("error: ")]
    assert len(error) == 1 and str(tmp_path) in error[0]
    assert (tmp_path / "file").read_text() == "mine"


def test_without_any_of_its_packages_it_says_what_to_install():
    blocked = "import sys; [sys.modules.__setitem__(name, None) for name in ('rich', 'pydantic', 'polars', 'yaml')]; "
    script = blocked + "from curation.__main__ import main; sys.exit(main(['stats', 'x']))"
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert ran.returncode == 2
    assert ran.stderr.startswith("error: the package ") and ran.stderr.count("\n") == 1


def test_run_directory_that_holds_something_else_is_refused_and_left_alone(tmp_path, capfd):
    (tmp_path / "thesis.txt").write_text("years of work")
    assert main(["run", "curation/configs/demo.yaml", f"run_dir={tmp_path}"]) == 2
    assert "something else" in capfd.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_interrupted_run_says_so_without_a_traceback_and_goes_on(tmp_path, monkeypatch):
    monkeypatch.setenv("JUDGE_KEY", "k")
    write_world(tmp_path, twenty_records())
    models = Models()
    generator, judge = LoopbackServer(reply=models.write_trace, latency_s=0.5), LoopbackServer(reply=models.judge)
    with generator, judge:
        config = write_config(tmp_path, generator, judge)
        process = subprocess.Popen(command("run", config), stderr=subprocess.PIPE, text=True)
        while not generator.answered:
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        _, error = process.communicate(timeout=30)
        assert process.returncode == 130
        assert "Traceback" not in error
        assert error.splitlines()[-1].startswith("error: stopped by SIGINT; every answer that came is kept.")
        answered = generator.answered.total()
        assert main(["run", str(config)]) == 0
        assert generator.answered.total() <= 14 + 4
        assert answered < 14


def test_all_media_missing_ends_the_run_with_a_word_on_media_root(tmp_path, capfd, monkeypatch):
    monkeypatch.setenv("JUDGE_KEY", "k")
    write_world(tmp_path, twenty_records())
    models = Models()
    with LoopbackServer(reply=models.write_trace) as generator, LoopbackServer(reply=models.judge) as judge:
        config = str(write_config(tmp_path, generator, judge))
        (tmp_path / "empty").mkdir()
        assert main(["run", config, f"source.media_root={tmp_path / 'empty'}"]) == 2
        assert "Check source.media_root" in capfd.readouterr().err
        assert not generator.asked
        assert main(["run", config]) == 0


def test_dry_run_prices_the_generator_and_counts_every_attempt_and_try(tmp_path, monkeypatch, capsys):
    def dollars(*overrides):
        assert main(["run", str(config), "--dry-run", "prices={tiny-vl: {input: 2000, output: 4000}}", *overrides]) == 0
        printed = {line.split("\u2502")[1].strip(): line.split("\u2502")[2:4] for line in lines(capsys)}
        cells = printed["generate, live"], printed["judge, live"]
        return [(float(cost.split()[0]), float(note.split()[0].replace(",", ""))) for cost, note in cells]

    def lines(capsys):
        return [line for line in capsys.readouterr().out.splitlines() if line.startswith("\u2502")]

    monkeypatch.setenv("COLUMNS", "200")
    write_world(tmp_path, twenty_records())
    with LoopbackServer() as generator, LoopbackServer() as judge:
        config = write_config(tmp_path, generator, judge)
        (once, worst), (judged, judge_worst) = dollars()
        assert 18 * 0.64 * 4 < once < worst and judged < judge_worst
        (same, twice), (same_judged, four_times) = dollars("generate.attempts=2", "verify.tries=4")
        assert (same, twice) == (once, pytest.approx(2 * worst, abs=0.02))
        assert (same_judged, four_times) == (judged, pytest.approx(4 * judge_worst, abs=0.05))
