import itertools
import os
from pathlib import Path

import pytest
from pydantic import Field

from curation import __main__ as curation_cli
from curation.config import Config, describe_keys, dump_config, load_config, models_in, parse_arguments
from curation.errors import ConfigError
from curation.run_config import RunConfig
from training import run as training_cli
from training.benchmarks import __main__ as benchmarks_cli
from training.benchmarks.run_config import BenchmarkRun
from training.config import TrainConfig

COT = Path("curation/configs/videop2r_cot.yaml")


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


@pytest.mark.parametrize(
    ("cli", "command", "options"),
    [
        (curation_cli, ["run"], [["--dry-run"], ["--retry-failed"]]),
        (training_cli, [], [["--dry-run"], ["--stage", "rl"]]),
        (benchmarks_cli, ["run"], [["--dry-run"]]),
        (benchmarks_cli, ["sufficiency"], [["--from", "runs/a=b"], ["--prompt", "trace"]]),
    ],
)
def test_overrides_may_stand_anywhere_on_every_command_line(cli, command, options):
    words = [["runs/c=1/x.yaml"], ["a.b=1"], ["c=[x, y]"], *options]
    wanted = None
    for order in itertools.permutations(words):
        args = parse_arguments(cli._parser(), [*command, *itertools.chain(*order)])
        assert (str(args.config), sorted(args.overrides)) == ("runs/c=1/x.yaml", ["a.b=1", "c=[x, y]"])
        rest = {name: value for name, value in vars(args).items() if name not in ("config", "overrides")}
        assert rest == (wanted := wanted or rest)


def test_later_overrides_win_wherever_they_stand():
    args = parse_arguments(curation_cli._parser(), ["run", "a=1", "--dry-run", "c.yaml", "a=2"])
    assert args.overrides == ["a=1", "a=2"]


@pytest.mark.parametrize("words", ["run c.yaml d.yaml", "run a=1", "run c.yaml --nope", "stats r s", "stats r a=1"])
def test_what_is_no_override_is_refused(words, capsys):
    with pytest.raises(SystemExit) as caught:
        parse_arguments(curation_cli._parser(), words.split())
    assert caught.value.code == 2


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("sorce.limit=3", "did you mean source?"),
        ("video.numframes=3", "did you mean video.num_frames?"),
        ("video.frames=3", "did you mean video.num_frames?"),
        ("max_tokens=3", "did you mean generate.max_tokens?"),
        ("generate.engine.max_in_flight=3", "dispatch.max_in_flight?"),
        ("source.path=x", "did you mean source.paths?"),
        ("generate.engine.zzz=x", "there are api_key_env, base_url"),
        ("generate.engine.kind=vlm", "generate.engine.kind: 'vlm' is none of 'openai'"),
        ("source.kind=null", "source.kind"),
        ("source={paths: x}", "source.kind is required: one of 'videor1', 'hub'"),
        ("verify.engine=null", "verify.engine"),
        ("source.paths=s3://bucket/x", "source.paths: a path on this machine is needed"),
        ("source.media_root=hf://datasets/x", "source.media_root: a path on this machine is needed"),
        ("run_dir=${NOT_SET_HERE}/x", "NOT_SET_HERE is not set"),
        ("source.paths=none/*.json", "no file matches none/*.json"),
        ("video={num_frames: 8, num_frames: 16}", "'num_frames' stands twice"),
    ],
)
def test_a_wrong_key_or_value_names_its_place_and_the_nearest_right_one(override, message):
    with pytest.raises(ConfigError) as caught:
        load_config(RunConfig, COT, [override])
    assert message in str(caught.value)
    assert "videor1." not in str(caught.value) and "openai." not in str(caught.value)


@pytest.mark.parametrize(
    "override",
    [
        "generate.engine.api_key=sk-123",
        "generate.engine.api_key=[sk-123",
        "generate.engine.api_key.sk=[sk-123",
        "generate.engine.api_key_env.x=sk-123",
        "generate.engine.api_key_env={x: sk-123}",
        "generate.engine.api_key_env=[sk-123]",
        "generate.engine.base_url=http://me:sk-123@host/v1",
        "generate.engine.base_url=me:sk-123@host",
        "generate.engine.extra_body={api_key: sk-123}",
        "generate.engine.extra_body={headers: {Authorization: sk-123}}",
        "verify.engine.token=sk-123",
        "source.token=sk-123",
        "password=sk-123",
    ],
)
def test_a_secret_in_a_config_is_refused_and_not_shown(override):
    with pytest.raises(ConfigError) as caught:
        load_config(RunConfig, COT, [override])
    assert "sk-123" not in str(caught.value)
    assert caught.value.__cause__ is None  # nor in a chained traceback


def test_a_key_that_stands_twice_in_a_file_is_refused_with_its_line(tmp_path):
    with pytest.raises(ConfigError, match=r"line 3 column 1: 'count' stands twice"):
        load_config(Whole, write(tmp_path, "count: 1\nsection: {}\ncount: 2\n"))


def test_home_and_variables_are_expanded_in_paths_alone(monkeypatch):
    monkeypatch.setenv("HOME", "/home/me")
    monkeypatch.setenv("DATA", "/data")
    config = load_config(
        RunConfig, COT, ["run_dir=~/runs", "source.media_root=${DATA}/v$x", "generate.engine.model=~m"]
    )
    assert (str(config.run_dir), str(config.source.media_root)) == ("/home/me/runs", "/data/v$x")
    assert config.generate.engine.model == "~m"


def test_a_pattern_stands_for_its_files_in_order_unless_a_file_has_that_name(tmp_path):
    for name in ("b.json", "a.json", "c.txt"):
        (tmp_path / name).touch()
    pattern = f"source.paths={tmp_path}/*.json"
    assert [path.name for path in load_config(RunConfig, COT, [pattern]).source.paths] == ["a.json", "b.json"]
    (tmp_path / "*.json").touch()
    assert [path.name for path in load_config(RunConfig, COT, [pattern]).source.paths] == ["*.json"]


@pytest.mark.parametrize("model", [RunConfig, TrainConfig, BenchmarkRun])
def test_every_path_of_a_config_is_expanded(model):
    def walk(section):
        for name, field in section.model_fields.items():
            for inner in models_in(field.annotation):
                yield from walk(inner)
            if "pathlib" in repr(field.annotation):
                yield f"{section.__name__}.{name}", "BeforeValidator" in repr((field.annotation, field.metadata))

    assert [name for name, expands in walk(model) if not expands] == []


def test_every_key_of_a_run_has_type_default_and_one_meaning(capsys):
    found = list(describe_keys(RunConfig))
    assert [key.name for key in found if not (key.meaning.endswith(".") and key.type and key.default)] == []
    assert curation_cli.main(["config"]) == 0
    printed = capsys.readouterr().out
    assert all(f"{key.name}: {key.type}" in printed for key in found)


def test_keys_of_one_section_are_listed_alone(capsys):
    assert curation_cli.main(["config", "video.num_frames"]) == 0
    assert capsys.readouterr().out.startswith("video.num_frames: int >= 1 <= 4096  [16]")
    assert curation_cli.main(["config", "vide"]) == 2
    assert "the sections are run_dir, source, video" in capsys.readouterr().err


def test_a_config_is_read_back_from_json_too():
    config = load_config(RunConfig, COT)
    assert RunConfig.model_validate_json(config.model_dump_json()) == config
