"""Decoding in worker processes, so that a decoder that hangs or crashes costs one file and not the run.

A worker is `python -m curation.decoding`. It reads one JSON request a line on stdin and answers on stdout with one JSON
line and the raw bytes that the line announces; nothing is pickled. It ends when stdin closes, and on Linux also when
its parent dies while it is deep in a decoder.
"""

from __future__ import annotations

import asyncio
import ctypes
import hashlib
import io
import json
import os
import signal
import socket
import subprocess
import sys
import traceback
from asyncio import StreamReader, StreamWriter
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Final, Literal, Self

import numpy as np
from PIL import Image

from curation.errors import ConfigError, MediaError
from curation.gops import Span
from curation.picture_folder import read_picture_folder
from curation.video import Frames, Probe, VideoConfig, check_file, import_decord, probe, read_frames

ENCODINGS: Final = ("image/jpeg", "image/png")
_START_LIMIT_S: Final = 60.0
_REAP_LIMIT_S: Final = 5.0
_LINE_LIMIT_BYTES: Final = 2**22

Reply = tuple[dict[str, Any], list[bytes]]
Operation = Callable[[Path, VideoConfig, Mapping[str, Any]], Reply]


@dataclass(frozen=True, slots=True)
class Encoded:
    """The sampled frames of one file as JPEG or PNG files; `timestamps_s` counts from the first frame of the file.

    sampled_fps: as of `video.Frames`; None for a picture.
    """

    images: tuple[bytes, ...]
    timestamps_s: tuple[float, ...]
    mime: str
    kind: Literal["image", "video"]
    sampled_fps: float | None


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """What a file is, and the sha256 of its bytes."""

    probe: Probe
    sha256: str


class DecoderPool:
    """At most `num_workers` reads at a time, each with a time-out; further callers wait their turn.

        async with DecoderPool(config) as pool:
            frames = await pool.frames(path)

    Workers start when first needed. One that hangs or crashes is replaced, and its file raises MediaError (timeout,
    crashed). A cancelled read takes its worker with it. Belongs to one event loop.
    """

    def __init__(self, config: VideoConfig, *, command: Sequence[str] = (sys.executable, "-m", "curation.decoding")):
        if config.reader == "decord":
            import_decord()
        self.config = config
        self._command = tuple(command)
        self._turns = asyncio.Semaphore(config.num_workers)
        self._workers: set[_Worker] = set()
        self._idle: list[_Worker] = []
        self._closed = False

    async def frames(self, path: Path) -> Frames:
        """As `video.read_frames`, which see for what it raises, plus timeout and crashed."""
        header, (pixels,) = await self._ask("frames", path)
        frames = np.frombuffer(pixels, np.uint8).reshape(header["shape"])
        indices, timestamps_s = tuple(header["indices"]), tuple(header["timestamps_s"])
        return Frames(frames, indices, timestamps_s, header["num_source_frames"], header["fps"], header["kind"])

    async def encoded(
        self,
        path: Path,
        mime: str = "image/jpeg",
        *,
        span: Span | None = None,
        folder_fps: float | None = None,
    ) -> Encoded:
        """The same frames, each as a JPEG (quality 95, 4:4:4) or PNG file.

        span: of that part alone. folder_fps: `path` is a folder with so many pictures a second
        (`picture_folder.read_picture_folder`).
        """
        if mime not in ENCODINGS:
            raise ValueError(f"cannot encode {mime!r}; choose one of {', '.join(ENCODINGS)}")
        bounds = None if span is None else (span.start_s, span.end_s)
        header, images = await self._ask("encoded", path, mime=mime, span=bounds, folder_fps=folder_fps)
        return Encoded(tuple(images), tuple(header["timestamps_s"]), mime, header["kind"], header["sampled_fps"])

    async def fingerprint(self, path: Path) -> Fingerprint:
        """As `video.probe`, with the file's sha256."""
        header, _ = await self._ask("fingerprint", path)
        return Fingerprint(Probe(**header["probe"]), header["sha256"])

    async def close(self) -> None:
        """Kill every worker; reads under way raise RuntimeError. May be called again."""
        self._closed = True
        await asyncio.gather(*(self._discard(worker) for worker in tuple(self._workers)))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def _ask(self, operation: str, path: Path, **arguments: Any) -> Reply:
        async with self._turns:
            while True:
                worker = await self._take()
                try:
                    async with asyncio.timeout(self.config.timeout_s):
                        header, blobs = await worker.ask({"operation": operation, "path": os.fspath(path), **arguments})
                except TimeoutError as error:
                    await self._discard(worker)
                    raise MediaError("timeout", f"not decoded within {self.config.timeout_s:g} s") from error
                except (OSError, EOFError) as error:  # EOFError: asyncio.IncompleteReadError
                    status = await self._discard(worker)
                    self._refuse_when_closed()
                    if worker.num_served:  # it may have died while idle: only a fresh worker convicts a file
                        continue
                    raise MediaError("crashed", f"the decoder died with {_describe(status)}") from error
                except BaseException:
                    await self._discard(worker)
                    raise
                worker.num_served += 1
                self._idle.append(worker)
                return _raise_fault(header), blobs

    async def _take(self) -> _Worker:
        """An idle worker that is still alive, or a new one."""
        self._refuse_when_closed()
        while self._idle:
            worker = self._idle.pop()
            if worker.is_alive:
                return worker
            await self._discard(worker)
        worker = await _Worker.start(self._command)
        self._workers.add(worker)
        try:
            async with asyncio.timeout(_START_LIMIT_S):
                await worker.greet(self.config)
        except (OSError, EOFError) as error:  # TimeoutError is an OSError
            status = await self._discard(worker)
            self._refuse_when_closed()
            raise RuntimeError(f"a decoder could not start: {_describe(status)}; see its output above") from error
        except BaseException:
            await self._discard(worker)
            raise
        return worker

    async def _discard(self, worker: _Worker) -> int | None:
        self._workers.discard(worker)
        return await worker.kill()

    def _refuse_when_closed(self) -> None:
        if self._closed:
            raise RuntimeError("the decoder pool is closed")


class _Worker:
    """The parent's end of one worker process, over a socket pair that is the worker's stdin and stdout."""

    def __init__(self, process: subprocess.Popen[bytes], replies: StreamReader, requests: StreamWriter) -> None:
        self._process = process
        self._replies = replies
        self._requests = requests
        self.num_served = 0

    @classmethod
    async def start(cls, command: Sequence[str]) -> Self:
        """Its Python finds the same modules as ours."""
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
        ours, theirs = socket.socketpair()
        with theirs:
            process = subprocess.Popen(command, stdin=theirs.fileno(), stdout=theirs.fileno(), env=environment)
        return cls(process, *await asyncio.open_connection(sock=ours, limit=_LINE_LIMIT_BYTES))

    @property
    def is_alive(self) -> bool:
        return self._process.poll() is None and not self._replies.at_eof()

    async def greet(self, config: VideoConfig) -> None:
        """Hand over the config and wait until the worker has imported what it needs."""
        await self._send(config.model_dump())
        await self._receive()

    async def ask(self, request: Mapping[str, Any]) -> Reply:
        """Raises OSError or EOFError when the worker is gone."""
        await self._send(request)
        return await self._receive()

    async def kill(self) -> int | None:
        """Kill and reap; the exit status, None for a process that even SIGKILL cannot end (stuck in a dead disk)."""
        self._process.kill()
        self._requests.close()
        with suppress(subprocess.TimeoutExpired):
            await asyncio.to_thread(self._process.wait, _REAP_LIMIT_S)
        return self._process.returncode

    async def _send(self, message: Mapping[str, Any]) -> None:
        self._requests.write(_encode_line(message))
        await self._requests.drain()

    async def _receive(self) -> Reply:
        header = json.loads(await self._replies.readuntil(b"\n"))
        return header, [await self._replies.readexactly(num_bytes) for num_bytes in header["blob_bytes"]]


def _encode_line(message: Mapping[str, Any]) -> bytes:
    return json.dumps(message).encode("ascii") + b"\n"


def _describe(status: int | None) -> str:
    if status is None:
        return "no exit status"
    return f"signal {signal.Signals(-status).name}" if status < 0 else f"exit status {status}"


def _raise_fault(header: dict[str, Any]) -> dict[str, Any]:
    """Raise what the worker caught, or hand the header on."""
    match header["fault"]:
        case None:
            return header
        case "media":
            raise MediaError(header["reason"], header["detail"])
        case "config":
            raise ConfigError(header["detail"])
        case _:
            raise RuntimeError(f"a bug in a decoder worker:\n{header['detail']}")


def serve(operations: Mapping[str, Operation]) -> None:
    """A worker's life: read the config, then answer requests until stdin closes."""
    _die_with_parent()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides what an interrupt means
    requests = os.fdopen(os.dup(0), "rb")
    replies = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # whatever a library prints must not look like a reply
    config = VideoConfig.model_validate_json(requests.readline())
    _write_reply(replies, {"fault": None}, [])
    for line in requests:
        request = json.loads(line)
        try:
            header, blobs = operations[request["operation"]](Path(request["path"]), config, request)
            header["fault"] = None
        except MediaError as error:
            header, blobs = {"fault": "media", "reason": error.reason, "detail": str(error)}, []
        except ConfigError as error:
            header, blobs = {"fault": "config", "detail": str(error)}, []
        except Exception:  # noqa: BLE001 - it is raised again in the parent
            header, blobs = {"fault": "bug", "detail": traceback.format_exc()}, []
        _write_reply(replies, header, blobs)


def _write_reply(replies: BinaryIO, header: dict[str, Any], blobs: Sequence[bytes]) -> None:
    replies.write(_encode_line({**header, "blob_bytes": [len(blob) for blob in blobs]}))
    for blob in blobs:
        replies.write(blob)
    replies.flush()


def _die_with_parent() -> None:
    """Linux only: a worker that is deep in a decoder does not read stdin, so it asks for SIGKILL (PR_SET_PDEATHSIG)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)


def _frames(path: Path, config: VideoConfig, request: Mapping[str, Any]) -> Reply:
    read = read_frames(path, config)
    header = {
        "shape": read.frames.shape,
        "indices": read.indices,
        "timestamps_s": read.timestamps_s,
        "num_source_frames": read.num_source_frames,
        "fps": read.fps,
        "kind": read.kind,
    }
    return header, [read.frames.tobytes()]


def _encoded(path: Path, config: VideoConfig, request: Mapping[str, Any]) -> Reply:
    span = None if request["span"] is None else Span(*request["span"])
    fps = request["folder_fps"]
    read = read_frames(path, config, span) if fps is None else read_picture_folder(path, fps, config, span)
    encode = _encode_png if request["mime"] == "image/png" else _encode_jpeg
    header = {"timestamps_s": read.timestamps_s, "kind": read.kind, "sampled_fps": read.sampled_fps}
    return header, [encode(Image.fromarray(frame)) for frame in read.frames]


def _encode_jpeg(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=95, subsampling=0)
    return buffer.getvalue()


def _encode_png(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()


def _fingerprint(path: Path, config: VideoConfig, request: Mapping[str, Any]) -> Reply:
    check_file(path, config)
    measured = probe(path, config)
    with path.open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    return {"probe": asdict(measured), "sha256": sha256}, []


OPERATIONS: Final[Mapping[str, Operation]] = {"frames": _frames, "encoded": _encoded, "fingerprint": _fingerprint}

if __name__ == "__main__":
    serve(OPERATIONS)
