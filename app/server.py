"""The web server around the viewer: Gradio for the pages, and by row id the media, their frames and the row itself.

A path never comes from the browser: it names a row, the row names its file, and the file must lie in the media root.
"""

from __future__ import annotations

import hashlib
import socket
from collections.abc import Callable, Sequence
from contextlib import asynccontextmanager
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import gradio as gr
import uvicorn
from fastapi import FastAPI, Request, Response
from fastapi.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.responses import FileResponse, JSONResponse, PlainTextResponse

from app.address import Address
from app.calls import Calls
from app.content_types import HEAD_BYTES, UNKNOWN, content_type
from app.gate import LOOPBACK, Gate
from app.overview import render_word_lengths
from app.pages.label import show_results
from app.pages.versions import render_changes
from curation.errors import MediaError, UserError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from app.opened import Opened

_STATIC: Final = {"style.css": "text/css", "viewer.css": "text/css", "keys.js": "text/javascript"}
# Where a Space is shown in a frame.
_SPACE_PAGES: Final = ("https://huggingface.co", "https://*.hf.space")
_SPACE_HOSTS: Final = ("*.hf.space",)


class ServerError(UserError, RuntimeError):
    """The viewer cannot be served here."""


def build_server(
    opened: Opened,
    blocks: gr.Blocks,
    *,
    host: str = "127.0.0.1",
    allowed_hosts: Sequence[str] = (),
    in_space: bool = False,
) -> FastAPI:
    """The whole application. allowed_hosts: names by which browsers reach it, beside those of this machine."""

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        async with opened.strips() as strips:
            app.state.strips = strips
            yield

    app = FastAPI(openapi_url=None, docs_url=None, redoc_url=None, lifespan=lifespan)
    _add_routes(app, opened)
    app = gr.mount_gradio_app(
        app,
        blocks,
        path="/",
        theme=gr.themes.Default(
            primary_hue="indigo",
            neutral_hue="slate",
            font=["system-ui", "sans-serif"],
            font_mono=["ui-monospace", "monospace"],
        ),
        head=_head(),
        footer_links=[],
        run_history=False,
        ssr_mode=False,
        mcp_server=False,
        enable_monitoring=False,
        pwa=False,
        show_error=False,
        allowed_paths=[],
        blocked_paths=[str(Path("/"))],
    )
    # Only Blocks.launch says so, and without it Gradio looks at neither list of paths where inputs are concerned.
    blocks.has_launched = True
    app.add_middleware(
        Gate,
        calls=Calls(blocks),
        hosts=(*allowed_hosts, *_names_of_this_machine(host), *(_SPACE_HOSTS if in_space else ())),
        embedders=_SPACE_PAGES if in_space else (),
    )
    served: FastAPI = app
    return served


def serve(app: FastAPI, *, host: str, port: int, ready: Callable[[str], None]) -> None:
    """Run until interrupted. `ready` is told the address; port 0 takes any free one. Raises ServerError."""
    listener = listen(host, port)
    shown = f"[{host}]" if ":" in host else host
    address = f"http://{shown}:{listener.getsockname()[1]}/"

    class Server(uvicorn.Server):
        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            await super().startup(sockets)
            if self.started:
                ready(address)

    config = uvicorn.Config(app, log_level="warning", access_log=False, ws="none", timeout_graceful_shutdown=3)
    Server(config).run(sockets=[listener])


def listen(host: str, port: int) -> socket.socket:
    """A socket that waits for browsers. Raises ServerError when the port is taken or the host is not this machine's."""
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        listener = socket.socket(family, socket.SOCK_STREAM)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
    except (OSError, OverflowError) as error:
        raise ServerError(f"cannot listen on {host} port {port}: {error}. Choose another --host or --port.") from error
    return listener


def _names_of_this_machine(host: str) -> tuple[str, ...]:
    """Beyond loopback, what other machines may call it."""
    return () if host in LOOPBACK else (host, socket.gethostname(), socket.getfqdn())


def _add_routes(app: FastAPI, opened: Opened) -> None:
    @app.exception_handler(HTTPException)
    def refuse(request: Request, error: HTTPException) -> Response:
        return PlainTextResponse(f"{error.detail}\n", status_code=error.status_code)

    @app.get("/health")
    def health() -> dict[str, Any]:
        dataset = opened.dataset
        return {"dataset": dataset.shown, "commit": dataset.commit, "num_rows": dict(dataset.num_rows)}

    @app.get("/static/viewer/{name}")
    def static(name: str) -> Response:
        if name not in _STATIC:
            raise HTTPException(404, "no such file")
        # The page names a file by its hash, so what it names never changes.
        headers = {"cache-control": "public, max-age=31536000, immutable"}
        return Response(_static(name)[1], media_type=_STATIC[name], headers=headers)

    @app.get("/row/{config}/{row_id:path}")
    def row(config: str, row_id: str) -> Response:
        found = opened.row(config, row_id)
        if found is None:
            raise HTTPException(404, "this dataset has no such row")
        return JSONResponse(found)

    @app.api_route("/media/{config}/{row_id:path}", methods=["GET", "HEAD"])
    def media(config: str, row_id: str) -> Response:
        try:
            file = opened.media_file(config, row_id)
            with file.open("rb") as stream:
                kind = content_type(stream.read(HEAD_BYTES))
        except MediaError as error:
            raise HTTPException(404, f"{error.reason}: {error}") from error
        except OSError as error:
            raise HTTPException(404, f"the file cannot be read: {error.strerror}") from error
        headers = {"cache-control": "private, max-age=3600"}
        if kind == UNKNOWN:
            headers["content-disposition"] = "attachment"
        return FileResponse(file, media_type=kind, headers=headers)

    @app.get("/later/{part}")
    def later(part: str, request: Request) -> Response:
        """What takes a while to make, and comes after the page that has room for it."""
        address, _ = Address.from_query(request.url.query)
        try:
            match part:
                case "words":
                    html = render_word_lengths(opened.dataset, address.filter)
                case "changes":
                    html = render_changes(opened, address)
                case "labels" if opened.labels is not None:
                    html = show_results(opened, opened.labels)
                case _:
                    raise HTTPException(404, "there is no such part of a page")
        except UserError as error:
            raise HTTPException(500, str(error)) from error
        return JSONResponse({"html": html})

    @app.get("/frames/{config}/{row_id:path}")
    async def frames(config: str, row_id: str) -> Response:
        found = await run_in_threadpool(opened.row, config, row_id)
        if found is None:
            raise HTTPException(404, "this dataset has no such row")
        return JSONResponse({"html": await app.state.strips.render(found)})


def _static(name: str) -> tuple[str, str]:
    """(a hash of it, the text) of a file of ours."""
    text = (files("app") / name).read_text(encoding="utf-8")
    return hashlib.sha256(text.encode()).hexdigest()[:12], text


def _head() -> str:
    # Their hashes in the address: a browser that kept an older version does not mix it with this one.
    address = {name: f"static/viewer/{name}?{_static(name)[0]}" for name in _STATIC}
    styles = "".join(f'<link rel="stylesheet" href="{address[name]}">' for name in ("style.css", "viewer.css"))
    return f'{styles}<script src="{address["keys.js"]}" defer></script>'
