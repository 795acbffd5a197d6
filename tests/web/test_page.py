"""What a person does with the page, in a browser: upload, look, download, mistakes."""

import csv
import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest
from browser import find_chromium, open_browser, outside, upload

from scripts.web_server import served

pytest.importorskip("gradio")
pytestmark = pytest.mark.usefixtures("compile_quickly")
EXAMPLES = Path(__file__).parents[2] / "examples"
WAIT_MS = 60_000


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    find_chromium()
    temporary = tmp_path_factory.mktemp("server")
    quick = {"JAX_DISABLE_MOST_OPTIMIZATIONS": "1", "XLA_FLAGS": ""}
    with served(str(temporary), **quick) as running:
        yield running
    assert not list(temporary.glob("cloud_jax-web-*"))  # the uploads are gone


@pytest.fixture(scope="module")
def browser(server):
    with open_browser(viewport={"width": 1280, "height": 900}) as context:
        yield context
        # Of all tests together: the page needs nobody else.
        assert context.asked
        assert not outside(context.asked, server.origin)


@pytest.fixture
def page(server, browser):
    page = browser.new_page()
    errors = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.set_default_timeout(WAIT_MS)
    page.goto(server.origin)
    page.wait_for_selector("#cj-example-quartz")
    yield page
    page.close()
    assert not errors


def test_files_are_uploaded_looked_at_and_downloaded(page, tmp_path):
    broken = tmp_path / "broken.cif"
    broken.write_text("data_broken\n_cell_length_a 3\n")
    big = tmp_path / "big.cif"
    big.write_bytes(b"data_big\n" + b"#" * (6 * 2**20))
    upload(page, [EXAMPLES / "quartz.cif", broken, big, EXAMPLES / "halite.cif"])
    page.wait_for_selector(".cj-crystal")
    # What is wrong stands beside what is right, with no path of the machine.
    problems = page.inner_text(".cj-problems")
    assert "2 files were not read" in problems
    assert "broken.cif found no data block with _atom_site_fract_x" in problems
    assert "big.cif has 6.0 MB, and at most 5" in problems
    assert "cloud_jax-web" not in page.inner_text("body")
    assert "Traceback" not in page.inner_text("body")

    assert page.inner_text(".cj-crystal h2") == "SiO2"
    assert "space group 152, trigonal" in page.inner_text(".cj-top")
    assert "Known to the model" in page.inner_text(".cj-verdict")
    assert "3 equivalent atoms of silicon" in page.inner_text(".cj-orbits")
    assert "the same sentence" in page.inner_text("table >> nth=1")
    assert page.locator(".cj-charts >> nth=0").locator(".cj-line").count() == 3
    assert page.locator(".cj-point").count() >= 8
    assert page.locator(".cj-stage canvas").count() == 1

    with page.expect_download() as found:
        page.click("button[aria-label='download the predictions as CSV']")
    rows = list(csv.DictReader(found.value.path().read_text().splitlines()))
    with page.expect_download() as found:
        page.click("button[aria-label='download everything as JSON']")
    everything = json.loads(found.value.path().read_text())
    with page.expect_download() as found:
        page.click("button[aria-label='download the curves as PNG']")
    assert found.value.path().read_bytes().startswith(b"\x89PNG")
    assert found.value.suggested_filename == "quartz.cif.png"

    import cloud_jax

    predicted = cloud_jax.load().predict(
        EXAMPLES / "quartz.cif", temperature_k=[100, 300]
    )
    on_page = {(r["property"], r["temperature_k"]): float(r["value"]) for r in rows}
    for row in predicted.itertuples():
        at = "" if row.temperature_k != row.temperature_k else f"{row.temperature_k:g}"
        assert on_page[row.property, at] == pytest.approx(row.value, rel=2e-4)
    assert [*rows[0]] == [*predicted.columns]
    assert everything["sentence"].startswith("0 2 n O O C")

    page.select_option(".cj-chooser select", "1")
    assert page.inner_text(".cj-crystal h2") == "NaCl"


def test_the_page_is_used_by_keyboard(page):
    outline = "getComputedStyle(document.activeElement).outlineStyle"
    for _ in range(30):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.tagName") == "TEXTAREA":
            assert page.evaluate(outline) == "solid"
        if page.evaluate("document.activeElement.id") == "cj-example-halite":
            break
    page.keyboard.press("Enter")
    page.wait_for_selector(".cj-crystal")
    seen, before = set(), ""
    for _ in range(40):
        page.keyboard.press("Tab")
        kind = page.evaluate("document.activeElement.className || 'input'")
        kind = kind.split()[0]
        if kind == "cj-stage" and kind not in seen:
            page.keyboard.press("ArrowLeft")
            page.keyboard.press("+")
        if page.evaluate("document.activeElement.type") == "range" and not before:
            before = page.inner_text(".cj-kelvin")
            page.keyboard.press("ArrowRight")
            assert (before, page.inner_text(".cj-kelvin")) == ("300 K", "320 K")
        if kind == "cj-token" and kind not in seen:
            page.keyboard.press("End")
            page.keyboard.press("ArrowLeft")
            assert "1 atom of it" in page.inner_text(".cj-words")
        seen.add(kind)
    assert before
    assert {"cj-button", "cj-stage", "cj-token", "cj-scroll"} <= seen


def test_pasted_text_is_read_or_refused_in_words(page):
    page.fill("#cj-text textarea", "hello <img src=x onerror=alert(1)>")
    page.click("#cj-paste")
    page.wait_for_selector(".cj-problems")
    assert "expected CIF, POSCAR or JSON" in page.inner_text(".cj-problems")
    assert page.locator(".cj-problems img").count() == 0
    page.fill("#cj-text textarea", " \n")
    page.click("#cj-paste")
    page.wait_for_selector(".cj-problems:has-text('is empty')")
    page.fill("#cj-text textarea", (EXAMPLES / "copper.cif").read_text())
    page.click("#cj-paste")
    page.wait_for_selector(".cj-crystal")
    assert "do not rely on the interval" in page.inner_text(".cj-verdict")


@pytest.mark.parametrize(
    "path",
    [
        "/gradio_api/file=/etc/passwd",
        "/file=/etc/passwd",
        "/gradio_api/proxy=http://127.0.0.1:1/",
        "/cj/page/%2e%2e/server.py",
        "/cj/page/..%2fserver.py",
        "/gradio_api/openapi.json",
        "/monitoring",
    ],
)
def test_nothing_else_is_served(server, path):
    with pytest.raises(HTTPError) as error:
        urlopen(server.origin + path)
    assert error.value.code == 404
    assert b"root:" not in error.value.read()


@pytest.mark.skipif(not hasattr(os, "killpg"), reason="needs POSIX")
def test_ctrl_c_in_a_terminal_ends_the_page_without_a_word():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with subprocess.Popen(
        [sys.executable, "-m", "cloud_jax", "web", "--port", str(port)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        first = process.stdout.readline()
        # Its readers start, and it compiles, at this moment.
        os.killpg(process.pid, signal.SIGINT)
        rest, errors = process.communicate(timeout=60)
    assert f"http://127.0.0.1:{port}," in first
    assert (process.returncode, rest, errors) == (0, "", "")
