"""The page as one file without a server, which opens from a disk without a network.

It holds a model folder, the tables that make sentences, moyo as WebAssembly for the
symmetry search, 3Dmol.js for pictures, and the modules of `engine/`, which compute in
the browser what `cloud-jax predict` computes. Everything that they need of Python's
tables is written into the file from those tables: nothing is copied by hand.
"""

import base64
import gzip
import html
import json
import re
from functools import cache
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

import gemmi

from cloud_jax.files import atomic_write
from cloud_jax.models.folder import WEIGHTS, Model
from cloud_jax.physics.laws import UNITS, get_law
from cloud_jax.scope import tables
from cloud_jax.scope.space_groups import without_hand
from cloud_jax.structures.element_classes import is_metal
from cloud_jax.structures.flags import FLAGS
from cloud_jax.structures.settings import settings_of_name, settings_of_number
from cloud_jax.structures.species import ELEMENTS

# In this order each module stands behind those that it imports.
_ENGINE = (
    "cell", "cif_text", "elements", "operations", "cif", "poscar", "symmetry",
    "vocabulary", "network", "law", "properties", "engine", "answer", "worker",
)  # fmt: skip
_VIEW = ("dom", "chart", "download", "sentence", "structure", "view")
LAWS = ("debye", "einstein", "debye_einstein", "two_debye", "debye_two_einstein")
_IMPORT = re.compile(r'^import (\{[^}]*\}) from "[^"]*/(\w+)\.js";$', re.MULTILINE)
_EXPORT = re.compile(
    r"^export (?=(?:const|class|function|async function) (\w+))", re.MULTILINE
)
_ENCODER_FIELDS = ("layers", "heads", "width", "token_features")
_DOMAIN_FIELDS = ("symmetries", "token_ids", "longest", "elemental", "in_metals")


class PageError(ValueError):
    """A model that the page without a server cannot hold; says what it can."""


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
        "licences": html.escape(_text("vendor/NOTICE")),
    }
    # In one pass, so that nothing inside a part is taken for a place of another.
    return re.sub(
        r"\{\{(\w+)\}\}",
        lambda found: _inside_script(parts[found[1]]),
        _text("static/page.html"),
    )


def page_data(model: Model) -> dict[str, Any]:
    """Return all that the page knows besides the weights, ready for JSON."""
    description = model.description
    if description["kind"] != "property" or description["head"]["kind"] != "physics":
        raise PageError(
            f"{model.directory}: found a model without a law of temperature, expected "
            "one with a physics head, such as the model of the package"
        )
    if description["head"]["law"] not in LAWS or description["dialect"] != "canonical":
        raise PageError(
            f"{model.directory}: found law {description['head']['law']!r} and dialect "
            f"{description['dialect']!r}; a page without a server holds the canonical "
            f"dialect and one of {', '.join(LAWS)}"
        )
    law = get_law(description["head"]["law"])
    domain = description.get("domain") or {}
    return {
        "model": {
            "symprec": description["symprec"],
            "max_tokens": description["max_tokens"],
            "members": description["members"],
            "encoder": {name: description["encoder"][name] for name in _ENCODER_FIELDS},
            "head": description["head"],
            "law": {
                "name": law.name,
                "variables": [variable._asdict() for variable in law.variables],
            },
            "units": UNITS,
            "targets": [
                {name: target[name] for name in ("name", "property", "temperature_k")}
                for target in description["targets"]
            ],
            "calibration": description.get("calibration"),
            "domain": {name: domain[name] for name in _DOMAIN_FIELDS if name in domain},
            "tokens": model.vocabulary.tokens,
            "features": model.vocabulary.features.astype(float).round(6).tolist(),
            "metals": [element for element in ELEMENTS if is_metal(element)],
        },
        "tables": {
            "elements": {e: _element(e) for e in ELEMENTS},
            "enantiomorphs": {
                number: without_hand(number)
                for number in range(1, 231)
                if without_hand(number) != number
            },
            **{
                name: tables.space_group_table(name)
                for name in ("generators", "multiplicities", "relabelings")
            },
        },
        "settings": settings_table(),
        "words": _words(model),
        "examples": {},
    }


def _words(model: Model) -> dict[str, Any]:
    """Return what tokens, flags and properties mean, for people."""
    calibration = model.description.get("calibration") or {}
    levels = [entry["level"] for entry in calibration.get("targets", {}).values()]
    return {
        "tokens": {token: token.replace(":", " ") for token in model.vocabulary.tokens},
        "flags": {
            flag: {"level": "note", "words": words} for flag, words in FLAGS.items()
        },
        "properties": {name: name.replace("_", " ") for name in UNITS},
        "level": levels[0] if levels else None,
        "basis": "Per mol of formula units.",
    }


def _about(model: Model) -> str:
    """Return what the page says of itself."""
    description = model.description
    return (
        f"{description['members']} networks of {description['encoder']['layers']} "
        f"layers, law {description['head']['law']}, symmetry by moyo at "
        f"{description['symprec']:g} Å; weights {description['weights_sha256'][:12]}. "
        "A prediction, not a measurement."
    )


def _element(symbol: str) -> dict[str, float | None]:
    value = tables.element(symbol).electronegativity
    return {"electronegativity": None if value != value else value}


@cache
def settings_table() -> dict[str, Any]:
    """Return the operations of all settings of space groups, and their names.

    Returns:
        `triplets` of each setting, separated by blanks; and the settings that a key of
        `names` (number, Hermann-Mauguin) or of `hall` may mean, the usual one first.
        Keys are in lower case without blanks.
    """
    settings = list(gemmi.spacegroup_table())
    place = {setting.xhm(): i for i, setting in enumerate(settings)}
    names: dict[str, list[int]] = {}
    for setting in settings:
        texts = [setting.hm, setting.short_name(), setting.xhm()]
        if 3 <= setting.number <= 15:
            texts.append(setting.hm.replace(" 1", ""))
        if setting.ext in "12":
            texts.append(f"{setting.hm} {'SZ'[int(setting.ext) - 1]}")
        for text in texts:
            found = [place[one.xhm()] for one in settings_of_name(text)]
            names[text.lower().replace(" ", "")] = found
    for number in range(1, 231):
        found = [place[one.xhm()] for one in settings_of_number(number)]
        names[str(number)] = found
    return {
        "triplets": [
            " ".join(op.triplet() for op in setting.operations())
            for setting in settings
        ],
        "names": names,
        "hall": {s.hall.lower().replace(" ", ""): [place[s.xhm()]] for s in settings},
    }


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
