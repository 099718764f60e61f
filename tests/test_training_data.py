"""What reaches training is the revision that was asked for, and only rows whose media are there and theirs."""

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import datasets
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from curation.errors import ConfigError
from curation.media import MediaRecord
from curation.schema import Question
from curation.tasks import score_answer
from curation.video import VideoConfig
from tests.clips import write_picture, write_video
from tests.folders import kept_row, write_folder
from tests.hub import LoopbackHub, client_environment
from training.config import DatasetConfig
from training.data import CONTENT_SHA256, MEDIA_FILE, load_rows

ROOT = Path(__file__).parent.parent
VIDEO = VideoConfig()
CARD = """---
license: apache-2.0
configs:
- config_name: cot
  default: true
  data_files: [{split: train, path: data/train-*.parquet}]
- config_name: rl
  data_files: [{split: train, path: rl/rl-*.parquet}]
---
# Traces
"""


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "hf")


@pytest.fixture(scope="module")
def clip(tmp_path_factory) -> bytes:
    return write_video(tmp_path_factory.mktemp("clip") / "clip.mp4", num_frames=6).read_bytes()


@pytest.fixture
def root(tmp_path, clip) -> Path:
    """Media of rows 0 to 3."""
    folder = tmp_path / "media" / "clips"
    folder.mkdir(parents=True)
    for number in range(4):
        (folder / f"{number}.mp4").write_bytes(clip)
    return tmp_path / "media"


def load(folder: Path, root: Path, split="cot", **options):
    return load_rows(DatasetConfig(name=str(folder), media_root=root, **options), split, VIDEO)


def refused(*args, **options) -> str:
    with pytest.raises(ConfigError) as caught:
        load(*args, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def write_manifest(path: Path, *records: MediaRecord) -> Path:
    path.write_text("".join(json.dumps(record.as_row()) + "\n" for record in records))
    return path


def record_of(root: Path, path: str, **changes) -> MediaRecord:
    status = (root / path).stat()
    sha256 = hashlib.sha256((root / path).read_bytes()).hexdigest()
    known = {"size_bytes": status.st_size, "mtime_ns": status.st_mtime_ns, "sha256": sha256, "kind": "video"}
    return MediaRecord(path, "settings", **(known | changes))


def test_rows_whose_media_cannot_be_used_are_counted_by_reason_and_the_others_keep_their_order(tmp_path, root):
    (root / "empty.mp4").write_bytes(b"")
    (tmp_path / "secret.mp4").write_bytes(b"x")
    (root / "link.mp4").symlink_to(tmp_path / "secret.mp4")
    bad = {5: "gone.mp4", 6: "empty.mp4", 7: "../secret.mp4", 8: "link.mp4", 9: "clips", 10: "/etc/passwd", 11: None}
    order = [8, 3, 5, 0, 6, 2, 7, 9, 1, 10, 11]
    rows = [kept_row(number, **({"path": bad[number]} if number in bad else {})) for number in order]
    found = load(write_folder(tmp_path / "dataset", rows), root)
    assert found.rows["problem_id"] == [3, 0, 2, 1]
    assert found.left_out == {"media:empty": 1, "media:missing": 2, "media:outside_root": 4}
    assert (found.num_published, found.commit, found.revision) == (11, None, None)
    assert [Path(file) for file in found.rows[MEDIA_FILE]] == [root / "clips" / f"{n}.mp4" for n in (3, 0, 2, 1)]
    assert found.rows[CONTENT_SHA256] == [None] * 4
    assert "4 of 11 rows; left out: media:empty 1, media:missing 2" in found.describe()


def test_the_order_is_that_of_the_files_every_time(tmp_path, root):
    folder = write_folder(tmp_path / "dataset", [kept_row(n) for n in (3, 1, 0, 2)], num_files=2)
    assert load(folder, root).rows["problem_id"] == [3, 0, 1, 2] == load(folder, root).rows["problem_id"]


def test_questions_of_rl_have_no_trace_and_a_run_directory_is_its_dataset(tmp_path, root):
    write_folder(tmp_path / "run" / "dataset", [kept_row(n) for n in range(2)])
    found = load(tmp_path / "run", root, "rl")
    assert found.rows["problem_id"] == [0, 1]
    assert "think" not in found.rows.column_names
    assert found.rows[0]["options"] == ["A. red", "B. blue", "C. green"]


def test_a_question_that_cannot_be_answered_never_reaches_rl(tmp_path, root):
    unanswerable = [
        {"solution": "<answer>E</answer>"}, {"solution": "<answer>0</answer>"}, {"solution": "<answer></answer>"},
        {"problem_type": "regression", "solution": "<answer>NaN</answer>"},
        {"problem_type": "numerical", "solution": "<answer>about ten</answer>"},
        {"options": None}, {"options": []}, {"options": ["A. red"]}, {"options": ["A. red", None]},
    ]  # fmt: skip
    rows = [kept_row(0), kept_row(0, problem_type="numerical", solution="<answer>7</answer>", options=None)]
    found = load(
        write_folder(tmp_path / "dataset", [*rows, *(kept_row(0, **change) for change in unanswerable)]), root, "rl"
    )
    assert found.left_out == {"question:options": 4, "question:solution": 5}
    assert len(found.rows) == 2
    for row in found.rows:  # null options are no options, and nothing raises over them
        question = Question.from_row(row)
        assert score_answer(question.problem_type, question.solution, question.solution, options=question.options) == 1


def test_a_row_that_is_no_question_or_no_trace_is_counted_too(tmp_path, root):
    rows = [
        kept_row(0),
        kept_row(1, think="so <answer>B</answer>"),
        kept_row(2, observation=None),
        kept_row(3, problem_type="riddle"),
        kept_row(1, data_type="sound"),
    ]
    found = load(write_folder(tmp_path / "dataset", rows), root)
    assert found.left_out == {
        "question:data_type": 1,
        "question:problem_type": 1,
        "trace:empty_block": 1,
        "trace:nested": 1,
    }
    assert found.rows["problem_id"] == [0]
    agnostic = load_rows(DatasetConfig(name=str(tmp_path / "dataset"), media_root=root), "cot", VIDEO, "agnostic")
    assert agnostic.rows["problem_id"] == [0, 2]  # which trains on think and answer


def test_a_manifest_beside_the_media_tells_what_the_files_hold(tmp_path, root):
    sha256 = hashlib.sha256((root / "clips/0.mp4").read_bytes()).hexdigest()
    records = [
        record_of(root, "./clips/0.mp4"),
        record_of(root, "clips/1.mp4", sha256=None, reason="corrupt", detail="no frame"),
        record_of(root, "clips/2.mp4"),
        record_of(root, "clips/3.mp4", kind="image"),
    ]
    write_manifest(root / "media.jsonl", *records)
    rows = [kept_row(0, media_sha256=sha256), kept_row(1), kept_row(2), kept_row(3, media_sha256=sha256)]
    found = load(write_folder(tmp_path / "dataset", rows), root)
    assert found.left_out == {"media:corrupt": 1, "media:sha256": 1, "media:wrong_kind": 1}
    assert found.rows[CONTENT_SHA256] == [sha256]
    questions = load(tmp_path / "dataset", root, "rl")  # they claim no sha256
    assert questions.rows[CONTENT_SHA256] == [sha256, sha256]


def test_a_record_of_a_file_that_has_changed_since_says_nothing(tmp_path, root):
    stale = [
        record_of(root, "clips/0.mp4", mtime_ns=1, reason="corrupt"),
        record_of(root, "clips/1.mp4", size_bytes=1),
        MediaRecord("clips/2.mp4", "settings", reason="missing"),
    ]
    manifest = write_manifest(tmp_path / "elsewhere.jsonl", *stale)
    found = load(write_folder(tmp_path / "dataset", [kept_row(n) for n in range(3)]), root, manifest=manifest)
    assert found.left_out == {}
    assert found.rows[CONTENT_SHA256] == [None] * 3


def test_a_rows_claim_is_not_taken_for_the_content_of_the_file(tmp_path, root):
    found = load(write_folder(tmp_path / "dataset", [kept_row(0, media_sha256="ab" * 32)]), root)
    assert found.rows[CONTENT_SHA256] == [None]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda table: table.drop(["think"]), "think"),
        (lambda table: table.set_column(0, "id", pa.array([1])), "id"),
        (lambda table: table.rename_columns(["ID", *table.column_names[1:]]), "id"),
    ],
)
def test_other_columns_are_one_line_that_names_them(tmp_path, root, change, told):
    folder = write_folder(tmp_path / "dataset", [kept_row(0)])
    (path,) = folder.glob("data/*.parquet")
    pq.write_table(change(pq.read_table(path)), path)
    assert f"columns {told}: it is in another format than version 1" in refused(folder, root)


def test_further_columns_do_no_harm(tmp_path, root):
    folder = write_folder(tmp_path / "dataset", [kept_row(0)])
    (path,) = folder.glob("data/*.parquet")
    table = pq.read_table(path)
    pq.write_table(table.append_column("mine", pa.array([1])), path)
    assert load(folder, root).rows["mine"] == [1]


@pytest.mark.parametrize(
    ("report", "told"),
    [
        ('{"schema_version": 2}', "format version 2, this code reads version 1"),
        ("{}", "does not say the schema_version"),
        ("{", "does not say the schema_version"),
    ],
)
def test_another_format_version_is_refused_by_its_number(tmp_path, root, report, told):
    folder = write_folder(tmp_path / "dataset", [kept_row(0)])
    (folder / "stats").mkdir()
    (folder / "stats" / "report.json").write_text(report)
    assert told in refused(folder, root)
    (folder / "stats" / "report.json").write_text('{"schema_version": 1}')
    assert len(load(folder, root).rows) == 1


def test_what_cannot_be_loaded_is_one_line_with_a_remedy(tmp_path, root):
    folder = write_folder(tmp_path / "dataset", [kept_row(7)])
    assert "media:missing': 1" in refused(folder, root)
    assert "dataset.media_root" in refused(folder, tmp_path / "nowhere")
    assert "dataset.manifest" in refused(folder, root, manifest=tmp_path / "none.jsonl")
    assert "no dataset of this project" in refused(root, root)
    assert "no folder and no hub dataset" in refused("nowhere", root)
    assert "dataset.revision is missing" in refused("org/name", root)
    (path,) = folder.glob("data/*.parquet")
    path.write_bytes(b"PAR1 torn")
    assert "cannot load the dataset" in refused(folder, root)
    assert "no data" in refused(write_folder(tmp_path / "void", []), root)


HUB_PROGRAM = """
import json, sys
from pathlib import Path
from huggingface_hub import HfApi
from curation.errors import ConfigError
from curation.video import VideoConfig
from training.config import DatasetConfig
from training.data import load_rows

folders, root, step = sys.argv[1].split(":"), Path(sys.argv[2]), sys.argv[3]

def outcome(revision, split="cot"):
    try:
        config = DatasetConfig(name="org/traces", revision=revision, media_root=root)
        found = load_rows(config, split, VideoConfig())
        return [found.revision, found.commit, list(found.rows["problem_id"])]
    except ConfigError as error:
        return str(error)

if step == "online":
    api = HfApi()
    api.create_repo("org/traces", repo_type="dataset")
    for number, folder in enumerate(folders, start=1):
        api.upload_folder(repo_id="org/traces", repo_type="dataset", folder_path=folder)
        api.create_tag("org/traces", tag=f"v{number}.0.0", repo_type="dataset")
    print(json.dumps([outcome("v1.0.0"), outcome("v2.0.0"), outcome("v1.0.0", "rl"), outcome("v9.9.9")]))
else:
    print(json.dumps([outcome("v1.0.0")]))
"""


def run_client(environment, *words) -> list:
    environment = environment | {"PYTHONPATH": str(ROOT)}
    ended = subprocess.run(
        [sys.executable, "-c", HUB_PROGRAM, *map(str, words)], env=environment, capture_output=True, text=True
    )
    assert ended.returncode == 0, ended.stderr
    return json.loads(ended.stdout)


def test_a_tag_of_the_hub_stays_what_it_was_and_its_commit_is_told(tmp_path, root):
    first = write_folder(tmp_path / "first", [kept_row(0), kept_row(1)])
    second = write_folder(tmp_path / "second", [kept_row(2)])
    for folder in (first, second):
        (folder / "README.md").write_text(CARD)
    (second / "stats").mkdir()  # the first one does not say its version
    (second / "stats" / "report.json").write_text('{"schema_version": 1}')
    with LoopbackHub(tmp_path / "hub") as hub:
        environment = client_environment(hub.url, tmp_path / "home", "hf_writer")
        old, new, questions, none = run_client(environment, f"{first}{os.pathsep}{second}", root, "online")
        tags = hub.tags("org/traces")
        assert old == ["v1.0.0", tags["v1.0.0"], [0, 1]]
        assert new == ["v2.0.0", tags["v2.0.0"], [2]]
        assert questions == ["v1.0.0", tags["v1.0.0"], [0, 1]]
        assert none.startswith("cannot load the dataset org/traces@v9.9.9")
        assert "\n" not in none
    # Without the hub the client would hand out whatever it loaded last: here, v2.0.0.
    (offline,) = run_client(environment | {"HF_HUB_OFFLINE": "1"}, first, root, "offline")
    assert offline.startswith("cannot reach the hub to see what org/traces@v1.0.0 is")


def test_a_picture_is_media_like_any_other(tmp_path, root):
    write_picture(root / "picture.png")
    rows = [kept_row(0, path="picture.png", data_type="image")]
    assert load(write_folder(tmp_path / "dataset", rows), root).left_out == {}
