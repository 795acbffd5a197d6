"""The server of the page: what it lets through, and the folder of uploads."""

import os
import shutil
import signal
import tempfile
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path

from cloud_jax.inference.predictor import Predictor

_HERE = Path(__file__).parent
SWEEP_S, KEPT_S = 20.0, 600.0  # uploads older than KEPT_S are removed every SWEEP_S
MAX_KEPT_BYTES = 500 * 2**20  # of uploads; the oldest go first
# A larger file than the page reads is taken all the same, so that the page can say so
# beside the answers for the others.
MAX_UPLOAD_BYTES = 64 * 2**20  # per file
MAX_REQUEST_BYTES = 128 * 2**20
# Below /gradio_api/ only what the page asks for is open, elsewhere all but _CLOSED: no
# file of this machine can be asked for by its path, no other host through this one.
_OPEN = (
    "upload", "upload_progress", "queue/join", "queue/data", "heartbeat/",
    "startup-events", "theme.css", "info", "app_id", "cancel", "reset",
)  # fmt: skip
_CLOSED = ("/file", "/monitoring", "/login", "/logout", "/pwa_icon", "/svelte")
HEADERS = {
    # The browser itself refuses any request to another host.
    "Content-Security-Policy": "default-src 'self'; img-src 'self' data: blob:; "
    "script-src 'self' 'unsafe-inline' 'unsafe-eval' blob:; "
    "style-src 'self' 'unsafe-inline'; font-src 'self' data:; "
    "connect-src 'self' data: blob:; worker-src 'self' blob:; object-src 'none'; "
    "base-uri 'self'; form-action 'self'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}


def serve(
    predictor: Predictor,
    *,
    host: str = "127.0.0.1",
    port: int = 7860,
    ready: Callable[[], None] | None = None,
) -> None:
    """Serve the page until Ctrl-C or SIGTERM.

    Args:
        predictor: a model that predicts properties.
        host: address to listen at; `0.0.0.0` for every network of this machine.
        port: to listen at.
        ready: called when the page answers.

    Raises:
        PredictionError: the model has no head.
        ModuleNotFoundError: Gradio is not installed.
        OSError: the port is taken, or nothing can be written to the temporary folder.
    """
    with (
        tempfile.TemporaryDirectory(prefix="cloud_jax-web-") as folder,
        _stop_signals() as asked,
    ):
        # Gradio reads these when it is imported.
        os.environ["GRADIO_TEMP_DIR"] = folder
        os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
        os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
        import uvicorn

        config = uvicorn.Config(
            make_app(predictor, Path(folder)),
            host=host,
            port=port,
            log_level="warning",
            timeout_graceful_shutdown=1,
        )

        class Server(uvicorn.Server):
            async def main_loop(self):  # it listens, and has signal handlers of its own
                self.should_exit = self.should_exit or asked.is_set()
                if ready and not self.should_exit:
                    ready()
                await super().main_loop()

        if not asked.is_set():
            Server(config).run()


@contextmanager
def _stop_signals() -> Iterator[threading.Event]:
    """Yield an event that Ctrl-C and SIGTERM set.

    An exception in place of it may be lost while packages are imported: one raised in a
    callback of the garbage collector is ignored.
    """
    asked = threading.Event()
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = [signal.signal(number, lambda *_: asked.set()) for number in numbers]
    try:
        yield asked
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)


def make_app(predictor: Predictor, folder: Path):
    """Return the application (ASGI) of the page.

    Args:
        predictor: a model that predicts properties.
        folder: of uploads; `GRADIO_TEMP_DIR` must name it before Gradio is imported.
    """
    import gradio as gr
    from fastapi import FastAPI
    from fastapi.staticfiles import StaticFiles

    from cloud_jax.web.analysis import Analyst
    from cloud_jax.web.app import AT_ONCE, HEAD, build, theme
    from cloud_jax.web.reader import Readers

    analyst, readers = Analyst(predictor), Readers(predictor.options, AT_ONCE)
    blocks = build(analyst, readers)
    stopped = threading.Event()

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        threading.Thread(target=_sweep, args=(folder, stopped), daemon=True).start()
        threading.Thread(
            target=_warm_up, args=(analyst, readers, stopped), daemon=True
        ).start()
        yield
        stopped.set()
        readers.close()

    app = FastAPI(lifespan=lifespan, docs_url=None, redoc_url=None, openapi_url=None)
    for name in ("page", "vendor"):
        app.mount(f"/cj/{name}", StaticFiles(directory=_HERE / name))
    app = gr.mount_gradio_app(
        app,
        blocks,
        path="/",
        footer_links=[],
        run_history=False,
        show_error=False,
        max_file_size=MAX_UPLOAD_BYTES,
        ssr_mode=False,
        pwa=False,
        mcp_server=False,
        enable_monitoring=False,
        blocked_paths=[os.sep],
        theme=theme(),
        head=HEAD,
        app_kwargs={"docs_url": None, "redoc_url": None, "openapi_url": None},
    )
    return _Gate(app)


class _Gate:
    """Lets through what the page asks for, and adds headers to every answer."""

    def __init__(self, app):
        self._app = app
        self._headers = [
            (name.lower().encode(), value.encode()) for name, value in HEADERS.items()
        ]

    async def __call__(self, scope, receive, send):
        """Answer a request, or pass it on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        refused = None
        if not _is_open(scope["path"]):
            refused = 404, b"not found"
        elif _length(scope) > MAX_REQUEST_BYTES:
            refused = 413, f"at most {MAX_REQUEST_BYTES // 2**20} MB at once".encode()
        if refused:
            status, body = refused
            start = {"type": "http.response.start", "status": status}
            await send({**start, "headers": list(self._headers)})
            await send({"type": "http.response.body", "body": body})
            return

        async def with_headers(message):
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", []), *self._headers]
            await send(message)

        await self._app(scope, receive, with_headers)


def _length(scope) -> int:
    """Return the length that a request says its body has, bytes."""
    found = dict(scope["headers"]).get(b"content-length", b"0")
    return int(found) if found.isdigit() else 0


def _is_open(path: str) -> bool:
    """Return whether the page asks for a path."""
    api = "/gradio_api/"
    if path.startswith(api):
        return path.removeprefix(api).startswith(_OPEN)
    return not path.startswith(_CLOSED)


def _warm_up(analyst, readers, stopped: threading.Event) -> None:
    """Start the readers, and answer the examples, which compiles the programs."""
    from cloud_jax.web.analysis import example_files
    from cloud_jax.web.reader import Upload

    try:
        readers.start()
        uploads = [Upload(path.name, path) for path in example_files()]
        with readers.lend() as reader:
            analyst.answer(uploads, reader)
    except (EOFError, OSError):  # the readers have ended with the server
        if not stopped.is_set():
            raise


def _sweep(folder: Path, stopped: threading.Event) -> None:
    """Remove old uploads until told to stop."""
    while not stopped.wait(SWEEP_S):
        remove_old(folder, KEPT_S, MAX_KEPT_BYTES)


def remove_old(folder: Path, seconds: float, most_bytes: int) -> None:
    """Remove the oldest entries of a folder.

    Args:
        folder: of uploads.
        seconds: entries that were last written longer ago go.
        most_bytes: so much may stay; the oldest go first.
    """
    entries = []
    with suppress(OSError):
        for entry in folder.iterdir():
            with suppress(OSError):  # another request removes it
                files = [entry, *entry.rglob("*")] if entry.is_dir() else [entry]
                stats = [file.stat() for file in files]
                size = sum(stat.st_size for stat in stats)
                entries.append((max(stat.st_mtime for stat in stats), size, entry))
    kept = 0
    for written, size, entry in sorted(entries, reverse=True):
        kept += size
        if time.time() - written <= seconds and kept <= most_bytes:
            continue
        if entry.is_dir():
            shutil.rmtree(entry, ignore_errors=True)
        else:
            with suppress(OSError):
                entry.unlink()
