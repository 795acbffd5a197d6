"""The page as one file without a server, which opens from a disk without a network.

It holds a model folder, the tables that make sentences, moyo as WebAssembly for the
symmetry search, 3Dmol.js for pictures, and the modules of `engine/`, which compute in
the browser what `cloud-jax predict` computes. What they need of Python's tables is
written into the file from those tables. The formulas of laws and intervals and their
few constants stand in `engine/` again; tests compare their results.
"""

import base64
import gzip
import html
import json
import re
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path

from cloud_jax.files import atomic_write
from cloud_jax.models.folder import WEIGHTS, Model
from cloud_jax.web.static_data import page_data

# In this order each module stands behind those that it imports.
_ENGINE = (
    "cell", "cif_text", "elements", "operations", "cif", "poscar", "symmetry",
    "vocabulary", "network", "law", "properties", "engine", "known",
    "novelty", "answer", "worker",
)  # fmt: skip
_VIEW = ("dom", "chart", "download", "sentence", "structure", "view")
_IMPORT = re.compile(r'^import (\{[^}]*\}) from "[^"]*/(\w+)\.js";$', re.MULTILINE)
_EXPORT = re.compile(
    r"^export (?=(?:const|class|function|async function) (\w+))", re.MULTILINE
)


def write_page(model: Model, path: Path) -> int:
    """Write a model as a page without a server, and return its size in bytes.

    Raises:
        PageError: not a model of properties with a law that the page knows.
        OSError: writing failed; nothing is left under the name.
    """
    content = page(model).encode()
    atomic_write(path, content)
    return len(content)


def page(model: Model) -> str:
    """Return the page of a model as HTML.

    Raises:
        PageError: see `write_page`.
    """
    data = json.dumps(page_data(model), separators=(",", ":")).encode()
    weights = (model.directory / WEIGHTS).read_bytes()
    parts = {
        "style": _text("page/view.css") + _text("static/page.css"),
        "data": _packed(data),
        "weights": _packed(_planes(weights)),
        "wasm": _packed(_file("vendor/moyo_wasm_bg.wasm").read_bytes()),
        "engine": engine_source(),
        "viewer": _text("vendor/3Dmol-min.js"),
        "view": "\n".join(
            [*(_module(f"page/{name}") for name in _VIEW), _module("static/start")]
        ),
        "about": _about(model),
        "licences": html.escape(_licences()),
    }
    # In one pass, so that nothing inside a part is taken for a place of another.
    return re.sub(
        r"\{\{(\w+)\}\}",
        lambda found: _inside_script(parts[found[1]]),
        _text("static/page.html"),
    )


def _about(model: Model) -> str:
    """Return what the page says of itself."""
    description = model.description
    return (
        f"{description['members']} networks of {description['encoder']['layers']} "
        f"layers, law {description['head']['law']}, symmetry by moyo at "
        f"{description['symprec']:g} Å; weights {description['weights_sha256'][:12]}. "
        "A prediction, not a measurement."
    )


def _licences() -> str:
    """Return the notices of what the page holds: code, and names of known crystals."""
    minerals = files("cloud_jax") / "datasets" / "NOTICE"
    notices = [_text("vendor/NOTICE"), _text("NOTICE"), minerals.read_text("utf-8")]
    return "\n----\n\n".join(notices)


def engine_source() -> str:
    """Return the modules that compute, as one script.

    Not as a module, since browsers start none from a disk. It sets `engine`,
    which holds `moyo`, `serve` of worker.js and `law`, all that law.js exports.
    """
    # Its last line exports names of what starts it; and a script has no address.
    moyo = re.sub(r"^export \{.*\};$", "", _text("vendor/moyo_wasm.js"), flags=re.M)
    moyo = moyo.replace("import.meta.url", '""')
    moyo = moyo.replace("function initSync", "export function initSync")
    parts = [
        _enclosed("moyo", moyo),
        *(_module(f"engine/{name}") for name in _ENGINE),
        "var engine = { moyo: $moyo, serve: $worker.serve, law: $law };",
        # In a worker there is no window; Node, which tests this, calls `serve` itself.
        'if (typeof WorkerGlobalScope !== "undefined") {',
        "  engine.serve(globalThis, engine.moyo);\n}",
    ]
    return "\n".join(parts)


def _module(name: str) -> str:
    """Return a module as a constant of its name, which holds what it exports.

    Each has a scope of its own, so that no two need care about each other's names.
    """
    return _enclosed(name.rpartition("/")[2], _text(f"{name}.js"))


def _enclosed(name: str, source: str) -> str:
    exported = ", ".join(_EXPORT.findall(source))
    inside = _EXPORT.sub("", _IMPORT.sub(r"const \1 = $\2;", source))
    return f"const ${name} = (() => {{\n{inside}\nreturn {{ {exported} }};\n}})();\n"


def _planes(content: bytes) -> bytes:
    """Return the bytes at even places, then those at odd ones.

    Upper halves of bfloat16 numbers are much alike: the file is a tenth smaller.
    """
    return content[::2] + content[1::2]


def _packed(content: bytes) -> str:
    """Return bytes as text: gzip without a time, then base64."""
    return base64.b64encode(gzip.compress(content, mtime=0)).decode()


def _inside_script(text: str) -> str:
    """Return text in which nothing ends the element around it."""
    return re.sub(r"</(?=script|style)", r"<\\/", text, flags=re.IGNORECASE)


def _file(name: str) -> Traversable:
    return files("cloud_jax.web") / name


def _text(name: str) -> str:
    return _file(name).read_text("utf-8")
