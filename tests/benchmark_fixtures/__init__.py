"""The seven benchmarks in miniature: the exact files, configs and columns of their repositories, all content invented.

    write_benchmark("mvbench", tmp_path)            # tmp_path/hub and tmp_path/media
    load_hub("mvbench", tmp_path / "media", source=tmp_path / "hub", protocol="official")

`write_media` makes one medium; by default a byte, for tests that never decode. Every README has `configs:`, so that
datasets.load_dataset(folder, name, split) reads the folders too.
"""

from collections.abc import Callable
from pathlib import Path

from tests.benchmark_fixtures import hub_rows, media_names, videor1_rows
from tests.benchmark_fixtures.files import write_json, write_json_lines, write_parquet, write_readme

NAMES = ("vsi_bench", "videommmu", "mmvu", "vcr_bench", "mvbench", "tempcompass", "video_mme")
VIDEOR1_NAMES = tuple(name for name in NAMES if name != "vcr_bench")
MVBENCH_SPLIT = "train"


def touch(path: Path) -> None:
    """A medium that nobody decodes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"\0")


def write_benchmark(name: str, root: Path, write_media: Callable[[Path], None] = touch) -> None:
    """root/hub as the repository has it, root/media as its archives unpack."""
    hub = root / "hub"
    WRITERS[name](hub)
    for medium in media_names.HUB[name]:
        path = root / "media" / medium
        path.parent.mkdir(parents=True, exist_ok=True)
        write_media(path)


def write_videor1(name: str, root: Path, write_media: Callable[[Path], None] = touch) -> Path:
    """root/eval_NAME.json and, below root, the media of its paths; returns the file."""
    rows = videor1_rows.ROWS[name]
    for row in rows:
        path = root / videor1_rows.full_video(row["path"])
        path.parent.mkdir(parents=True, exist_ok=True)
        write_media(path)
    return write_json(root / f"eval_{name.replace('_', '')}.json", rows)


def write_vsi_bench(hub: Path) -> None:
    write_json_lines(hub / "test.jsonl", hub_rows.VSI_BENCH)
    write_parquet(hub / "test_debiased.parquet", [row | {"pruned": False} for row in hub_rows.VSI_BENCH[:4]])
    write_parquet(hub / "test_pruned.parquet", [row | {"pruned": False} for row in hub_rows.VSI_BENCH[4:]])
    files = {"full": "test.jsonl", "debiased": "test_debiased.parquet", "pruned": "test_pruned.parquet"}
    write_readme(hub, files, "test", licence="apache-2.0")


def write_videommmu(hub: Path) -> None:
    for track, rows in hub_rows.VIDEOMMMU.items():
        write_parquet(hub / track / "test-00000-of-00001.parquet", rows)
    write_readme(hub, {track: f"{track}/test-*" for track in hub_rows.VIDEOMMMU}, "test")


def write_mmvu(hub: Path) -> None:
    write_json(hub / "validation.json", hub_rows.MMVU)
    write_readme(hub, {"default": "validation.json"}, "validation")


def write_mmvu_mirror(hub: Path) -> None:
    """The mirrors' shape: Parquet, and video_path in place of video."""
    rows = [dict(row) for row in hub_rows.MMVU]
    for row in rows:
        row["video_path"] = row.pop("video").partition("/resolve/main/")[2]
    write_parquet(hub / "data/validation-00000-of-00001.parquet", rows)


def write_vcr_bench(hub: Path) -> None:
    write_json(hub / "v1/videos/meta_info_video.json", hub_rows.VCR_BENCH)
    write_readme(hub, {"default": "v1/videos/meta_info_video.json"}, "test")


def write_mvbench(hub: Path) -> None:
    for task, rows in hub_rows.MVBENCH.items():
        write_json(hub / f"json/{task}.json", rows)
    write_readme(hub, {task: f"json/{task}.json" for task in hub_rows.MVBENCH}, MVBENCH_SPLIT, licence="mit")


def write_tempcompass(hub: Path) -> None:
    for task, rows in hub_rows.TEMPCOMPASS.items():
        write_parquet(hub / task / "test-00000-of-00001.parquet", rows)
    write_readme(hub, {task: f"{task}/test-*" for task in hub_rows.TEMPCOMPASS}, "test", licence="cc-by-nc-4.0")


def write_video_mme(hub: Path) -> None:
    write_parquet(hub / "videomme/test-00000-of-00001.parquet", hub_rows.VIDEO_MME)
    write_readme(hub, {"videomme": "videomme/test-*"}, "test")


WRITERS = {
    "vsi_bench": write_vsi_bench,
    "videommmu": write_videommmu,
    "mmvu": write_mmvu,
    "vcr_bench": write_vcr_bench,
    "mvbench": write_mvbench,
    "tempcompass": write_tempcompass,
    "video_mme": write_video_mme,
}
