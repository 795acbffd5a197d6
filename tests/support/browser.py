"""A headless Chromium for tests of pages, and a log of what it asks for."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

FLAGS = (
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--disable-dev-shm-usage",
    "--enable-unsafe-swiftshader",  # WebGL without a GPU
)  # fmt: skip


def find_chromium() -> str:
    """Return the path of Chromium; skip the test where there is none.

    Where CI or CLOUD_JAX_BROWSER is set, a missing browser fails the test.
    """
    path = shutil.which("chromium") or shutil.which("chromium-browser")
    if path is None:
        import pytest

        problem = "no chromium on the PATH: apt-get install chromium"
        if os.environ.get("CI") or os.environ.get("CLOUD_JAX_BROWSER"):
            pytest.fail(problem)
        pytest.skip(problem)
    return path


@contextmanager
def open_browser(**options) -> Iterator:
    """Open a browser with a profile of its own; yield playwright's context.

    `context.asked` lists the addresses of all requests that left its pages.

    Args:
        **options: of the context, such as `viewport` and `color_scheme`.
    """
    from playwright.sync_api import sync_playwright

    with (
        tempfile.TemporaryDirectory(prefix="chromium-") as profile,
        sync_playwright() as playwright,
    ):
        context = playwright.chromium.launch_persistent_context(
            profile,
            executable_path=find_chromium(),
            args=list(FLAGS),
            headless=True,
            accept_downloads=True,
            **options,
        )
        asked: list[str] = []
        context.on("request", lambda request: asked.append(request.url))
        context.asked = asked
        try:
            yield context
        finally:
            context.close()


def outside(asked: list[str], origin: str) -> list[str]:
    """Return the addresses that are neither the origin's nor data of the page."""
    own = (origin, "data:", "blob:", "about:", "file:")
    return [address for address in asked if not address.startswith(own)]


def upload(page, paths: list[Path]) -> None:
    """Give files to the page's field, as a drop does."""
    page.set_input_files("#cj-files input[type=file]", [str(path) for path in paths])
