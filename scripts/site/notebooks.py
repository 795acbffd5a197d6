"""Notebooks as pages, with the outputs that they have today.

A notebook is stored without outputs. Building the site runs it, so that a cell that
fails fails the build, and a page never shows what the code no longer does. What ran is
kept in .cache/notebooks until the notebook or the package changes.
"""

import hashlib
import logging
import os
import pickle
import re
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
CACHE = ROOT / ".cache" / "notebooks"
TIMEOUT_S = 170  # of a cell: all notebooks together should take less than three minutes
log = logging.getLogger("mkdocs.hooks.cloud_jax")


def page(path: Path) -> tuple[str, dict[str, bytes]]:
    """Run a notebook; return its page and the pictures by file name.

    Raises:
        nbclient.exceptions.CellExecutionError: a cell failed; the message shows it.
    """
    kept = CACHE / f"{path.stem}-{_fingerprint(path)}.pickle"
    if kept.is_file():
        return pickle.loads(kept.read_bytes())
    start = time.perf_counter()
    made = _convert(path)
    log.info("%s: ran in %.0f s", path.name, time.perf_counter() - start)
    CACHE.mkdir(parents=True, exist_ok=True)
    for old in CACHE.glob(f"{path.stem}-*.pickle"):
        old.unlink()
    kept.write_bytes(pickle.dumps(made))
    return made


def _fingerprint(path: Path) -> str:
    """Return a hash of the notebook and of all that it may use."""
    digest = hashlib.sha256(path.read_bytes())
    for folder in ("cloud_jax", "examples", "configs", "scripts/site"):
        for file in sorted((ROOT / folder).rglob("*")):
            if file.is_file() and "__pycache__" not in file.parts:
                digest.update(f"{file.relative_to(ROOT)}\0".encode())
                digest.update(file.read_bytes())
    return digest.hexdigest()[:16]


def _convert(path: Path) -> tuple[str, dict[str, bytes]]:
    import nbformat
    from nbconvert import MarkdownExporter
    from nbconvert.preprocessors import ExecutePreprocessor

    os.environ.setdefault("JAX_PLATFORMS", "cpu")
    os.environ["PYTHONPATH"] = os.fspath(ROOT)  # the checkout, installed or not
    notebook = nbformat.read(path, as_version=4)
    runner = ExecutePreprocessor(timeout=TIMEOUT_S, kernel_name="python3")
    where = {"metadata": {"path": os.fspath(path.parent)}}
    notebook, _ = runner.preprocess(notebook, where)
    text, resources = MarkdownExporter().from_notebook_node(notebook)
    text = re.sub(r"<style scoped>.*?</style>\n?", "", text, flags=re.S)
    text = text.replace('<table border="1" class="dataframe">', "<table>")
    pictures = {f"{path.stem}_{k}": v for k, v in resources["outputs"].items()}
    for name in resources["outputs"]:
        text = text.replace(f"]({name})", f"]({path.stem}_{name})")
    return f"{text}\n[Download this notebook]({path.name})\n", pictures
