"""From the files of a benchmark to its golds, and from an output to its score, by both protocols."""

from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from tests.benchmark_fixtures import NAMES, VIDEOR1_NAMES, write_benchmark, write_videor1
from training.benchmarks.loaders.loading import load_hub
from training.benchmarks.loaders.videor1_json import load_videor1
from training.benchmarks.question import LoadedBenchmark
from training.benchmarks.scoring import PROTOCOLS, Gold, Reply, score_reply

GOLDS = {
    "mc": Gold("mc", "B", ("A. left", "B. right", "C. up")),
    "yesno": Gold("yesno", "yes"),
    "match": Gold("match", "Option 1: A man runs.", ("Option 1: A man runs.", "Option 2: A man sits.")),
    "numeric": Gold("numeric", "4.0"),
    "regression": Gold("regression", "3.5"),
    "interval": Gold("interval", "[3, 8]"),
    "box": Gold("box", "[0, 0, 10, 10]"),
    "open": Gold("open", "a red car"),
    "ocr": Gold("ocr", "STOP AHEAD"),
    "free-form": Gold("free-form", "the block moves right"),
}
OUTPUTS = (
    "B", "<answer>B</answer>", "B. right", "The answer is (B).", "A or B", "yes", "Yes, it is.", "Option 1",
    "<answer>Option 1: A man runs.</answer>", "4", "4.00", "about 3.5 m", "[3, 8]", "from 3 to 8 seconds",
    "[1, 1, 10, 10]", "a red car", "STOP AHEAD", "the block moves right", "",
)  # fmt: skip


def outputs() -> dict[str, Any]:
    """Case -> a loaded question or a score."""
    found: dict[str, Any] = {}
    for protocol in PROTOCOLS:
        for name, gold in GOLDS.items():
            for output in OUTPUTS:
                found[f"{protocol} {name} {output!r}"] = asdict(score_reply(gold, Reply(output), protocol))
        for name in NAMES:
            with TemporaryDirectory() as folder:
                write_benchmark(name, Path(folder))
                loaded = load_hub(name, Path(folder, "media"), source=Path(folder, "hub"), protocol=protocol)
                found |= _questions(f"{protocol} {name}", loaded, Path(folder))
    for name in VIDEOR1_NAMES:
        with TemporaryDirectory() as folder:
            file = write_videor1(name, Path(folder))
            loaded = load_videor1(name, file, Path(folder), protocol="videor1")
            found |= _questions(f"videor1 json {name}", loaded, Path(folder))
    return found


def _questions(prefix: str, loaded: LoadedBenchmark, folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = {f"{prefix} left out": dict(loaded.left_out)}
    for question in loaded.questions:
        media = question.media
        shown = [media.name, media.kind, media.start_s, media.end_s, media.fps, media.image is not None, media.missing]
        found[f"{prefix} {question.uid}"] = [
            question.kind, question.text, question.options, question.answer, shown, dict(question.groups),
        ]  # fmt: skip
    return found
