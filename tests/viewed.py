"""A small dataset with everything that the viewer has to cope with, and the viewer on loopback."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import uvicorn
from PIL import Image

from app.opened import Opened, open_viewer
from tests.clips import write_video
from tests.folders import kept_row, rejected_row, write_folder

NUM_KEPT = 120  # three pages of 50
PAYLOAD = "window.__pwned = 1"
# Markup that would run, markdown that would be rendered, text that would turn round what stands beside it.
HOSTILE = (
    f"<script>{PAYLOAD}</script><img src=x onerror='{PAYLOAD}'><svg onload='{PAYLOAD}'></svg>"
    f'<iframe srcdoc="<script>parent.{PAYLOAD}</script>"></iframe>"><b onmouseover=\'{PAYLOAD}\'>bold</b> '
    f"**strong** [a link](javascript:{PAYLOAD}) ![picture](http://198.51.100.7/x.png) `code` $\\LaTeX$ "
    "\u202eright to left\u202c \u05e9\u05dc\u05d5\u05dd {{value}} ${value} </textarea></details></div>"
)
HOSTILE_ID = "00000000000000ff"
LONG = "word " * 200_000  # 1 MB


def kept_rows() -> list[dict[str, Any]]:
    kinds = ("multiple choice", "numerical", "free-form")
    rows = []
    for number in range(NUM_KEPT):
        kind = kinds[number % 3]
        changes: dict[str, Any] = {
            "problem_type": kind,
            "media_sha256": None,
            "observation_tokens": 100 + number,
            "think_tokens": 300 + number,
        }
        if kind != "multiple choice":
            changes |= {"options": [], "solution": "<answer>7</answer>", "answer": "7"}
        if number % 4 == 1:
            changes |= {"data_type": "image", "data_source": "TextOCR", "path": f"./pictures/{number % 8}.png"}
        rows.append(kept_row(number, **changes))
    rows[7] |= {"observation": "Based on the question, I need to notice a zebra beside the ball.", "score": 0.75}
    rows[9] |= {"path": "./clips/nowhere.mp4"}
    for number, path in enumerate(("/etc/passwd", "../secret.txt", "./link.txt", "./page.html", "./drawing.svg"), 100):
        rows[number] |= {"path": path, "data_type": "video"}
    return rows


def hostile_row() -> dict[str, Any]:
    """Markup wherever a row holds text."""
    texts = dict.fromkeys(
        ("problem", "observation", "think", "answer", "verdict_reason", "data_source", "license", "generator", "judge"),
        HOSTILE,
    )
    options = [f"A. {HOSTILE}", "B. b"]
    return kept_row(255, **texts, options=options, think_tokens=None, flags=[HOSTILE], overlaps=[HOSTILE]) | {
        "think": HOSTILE + LONG,
        "path": f"./{HOSTILE[:40]}.mp4",
    }


def rejected_rows() -> list[dict[str, Any]]:
    reasons = ("filter:score", "verify:insufficient", "media:missing", "filter:format")
    rows = [rejected_row(1000 + number, reasons[number % 4]) for number in range(40)]
    rows[3] |= {"completion": "<observation>no closing tag", "problem": "Which rejected ball is it?"}
    # A record that was read twice: rejected under the id of the first.
    rows.append(rejected_row(0, "source:duplicate", problem="the same question again"))
    return rows


def write_world(root: Path) -> Path:
    """A run directory `root/run` with its media in `root/media`, and another version `root/other`."""
    media = root / "media"
    for number in range(0, NUM_KEPT, 40):
        write_video(_folder(media / "clips") / f"{number}.mp4", num_frames=75, size=(128, 96), gop=12)
    for number in range(8):
        Image.new("RGB", (96, 64), (30 * number, 60, 120)).save(_folder(media / "pictures") / f"{number}.png")
    (root / "secret.txt").write_text("the secret")
    (media / "link.txt").symlink_to(root / "secret.txt")
    (media / "page.html").write_text(f"<script>{PAYLOAD}</script>")
    (media / "drawing.svg").write_text(f'<svg xmlns="http://www.w3.org/2000/svg" onload="{PAYLOAD}"/>')
    kept, rejected = [*kept_rows(), hostile_row()], rejected_rows()
    run = root / "run"
    write_folder(run / "dataset", kept, rejected, num_files=2)
    (run / "config.yaml").write_text(f"source:\n  kind: videor1\n  media_root: {media}\n")
    other = [dict(row) for row in kept[1:]]
    other[2] |= {"observation": "Based on the question, I need to notice a purple ball 3.", "generator": "org/newer"}
    other[-1] |= {"observation": HOSTILE.replace("bold", "bolder")}
    write_folder(root / "other", other, rejected)
    return run


def _folder(path: Path) -> Path:
    path.mkdir(parents=True, exist_ok=True)
    return path


@contextmanager
def running(opened: Opened, *, proxy: Callable[[Any], Any] = lambda app: app, **options: Any) -> Iterator[str]:
    """The viewer's address, served by uvicorn in a thread, behind an ASGI application that stands for a proxy."""
    from app.server import build_server
    from app.viewer import build_blocks

    app = build_server(opened, build_blocks(opened), **options)
    listener = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(proxy(app), log_level="warning", ws="none", timeout_graceful_shutdown=1))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    try:
        deadline_s = time.monotonic() + 20
        while not server.started:
            assert thread.is_alive() and time.monotonic() < deadline_s, "the viewer does not start"
            time.sleep(0.02)
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/"
    finally:
        server.should_exit = True
        thread.join(timeout=10)


def open_world(root: Path, *, read_only: bool = False) -> Opened:
    """The run, with the other version beside it; labels in `root/labels.sqlite`."""
    return open_viewer(
        str(root / "run"), compare=[str(root / "other")], labels=root / "labels.sqlite", read_only=read_only
    )
