"""The import rules of the rooms: one table, no circle, nothing heavy at start."""

import ast
import subprocess
import sys
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
WATCHED = {
    "jax", "flax", "optax", "orbax", "tensorflow", "tensorflow_datasets", "pymatgen",
    "spglib", "moyopy", "ase", "requests", "sklearn", "apache_beam", "matplotlib",
    "gradio", "huggingface_hub",
}  # fmt: skip
STRUCTURES = {"pymatgen", "spglib"}
TRAINING = {"jax", "flax", "optax", "orbax"}

# Of each room: the rooms that it may use, and what its modules may load when they are
# imported. What a room imports only when it is asked to (moyopy, Beam) is not loaded.
RULES = {
    "structures": (set(), set()),
    "scope": ({"structures"}, STRUCTURES),
    "datasets": ({"structures"}, {"pymatgen", "requests"}),
    "preprocess": ({"structures", "scope", "datasets", "evaluation"}, STRUCTURES),
    "data": ({"scope"}, {"jax"}),
    "models": ({"scope"}, {"jax", "flax"}),
    "physics": (set(), {"jax"}),
    "hf": ({"scope", "models"}, {"jax", "flax"}),
    "training": ({"scope", "data", "models"}, TRAINING),
    "evaluation": ({"scope"}, {"sklearn", "matplotlib"}),
    "inference": (
        {"structures", "scope", "models", "physics", "evaluation"},
        {*STRUCTURES, "jax", "flax"},
    ),
    "finetuning": (
        {"structures", "scope", "datasets", "data", "models", "physics", "training",
         "evaluation"},
        {*STRUCTURES, *TRAINING, "requests", "sklearn"},
    ),
    "web": (
        {"structures", "scope", "models", "physics", "inference", "evaluation"},
        {*STRUCTURES, "jax", "flax"},
    ),
    "studies": (
        {"structures", "scope", "datasets", "models", "physics", "training",
         "evaluation", "inference", "finetuning"},
        WATCHED - {"tensorflow", "tensorflow_datasets", "apache_beam", "moyopy", "ase",
                   "gradio", "huggingface_hub"},
    ),
}  # fmt: skip
# Modules that every room may use.
SHARED = {
    "arguments", "cli", "compiled", "config", "config_rules", "cores", "files",
    "progress", "setting_names", "tfrecord",
}  # fmt: skip
# Not loaded with their room: an optional engine, and what only figures may load.
APART = {
    "cloud_jax.preprocess.beam": {*STRUCTURES, "apache_beam", "requests"},
    "cloud_jax.inference.figures": {*STRUCTURES, "jax", "flax", "matplotlib"},
    "cloud_jax.inference.featurizer": {*STRUCTURES, "jax", "flax", "sklearn"},
    "cloud_jax.web.app": WATCHED,  # what Gradio loads is its own affair
    "cloud_jax.scope.vocabulary": set(),
    "cloud_jax.finetuning.folds": set(),
}


def modules_of(room: str) -> list[str]:
    """Names of the modules of a room."""
    paths = (ROOT / "cloud_jax" / room).rglob("*.py")
    names = (".".join(p.relative_to(ROOT).with_suffix("").parts) for p in paths)
    return sorted(n.removesuffix(".__init__") for n in names if "__main__" not in n)


MODULES = [module for room in RULES for module in modules_of(room)]


def imports_of(module: str) -> set[str]:
    """Modules of ours that a module imports, at its top or inside a function."""
    path = ROOT / (module.replace(".", "/") + ".py")
    tree = ast.parse((path if path.exists() else path.with_suffix("") / "__init__.py")
                     .read_text(encoding="utf-8"))  # fmt: skip
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module:
            inside = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= inside & set(MODULES) or {node.module}
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
    return {name for name in found if name.startswith("cloud_jax.")}


def room_of(module: str) -> str:
    return module.split(".")[1]


@pytest.mark.parametrize("room", RULES)
def test_a_room_uses_only_the_rooms_of_its_row(room):
    allowed = {*RULES[room][0], room, *SHARED}
    used = {
        (module, name) for module in modules_of(room) for name in imports_of(module)
    }
    extra = sorted(pair for pair in used if room_of(pair[1]) not in allowed)
    assert not extra


def test_there_is_no_circle_of_modules_or_of_rooms():
    graph = {module: imports_of(module) & set(MODULES) for module in MODULES}
    TopologicalSorter(graph).prepare()
    rooms = {room: {room_of(n) for m in modules_of(room) for n in graph[m]} - {room}
             for room in RULES}  # fmt: skip
    TopologicalSorter(rooms).prepare()


def loaded_by(*modules: str) -> set[str]:
    """Watched packages in `sys.modules` of a fresh interpreter after an import."""
    code = f"import sys, {', '.join(modules)}; print(*sys.modules)"
    names = subprocess.check_output([sys.executable, "-c", code], text=True).split()
    return WATCHED & set(names)


@pytest.mark.parametrize("room", RULES)
def test_a_room_loads_only_the_packages_of_its_row(room):
    names = [module for module in modules_of(room) if module not in APART]
    assert loaded_by(*names) <= RULES[room][1]


@pytest.mark.parametrize("module", APART)
def test_a_module_that_stands_apart_loads_only_what_it_may(module):
    for ending, package in ((".beam", "apache_beam"), (".web.app", "gradio")):
        if module.endswith(ending):
            pytest.importorskip(package)
    assert loaded_by(module) <= APART[module]


def test_only_figures_load_matplotlib():
    rooms = ("evaluation", "inference", "studies")
    names = [m for room in rooms for m in modules_of(room)
             if "figures" not in m.rpartition(".")[2]]  # fmt: skip
    assert "matplotlib" not in loaded_by(*names)


def test_the_package_and_its_commands_start_without_anything_heavy():
    commands = [f"cloud_jax.{path.stem}" for path in (ROOT / "cloud_jax").glob("*.py")]
    rooms = ("scope", "preprocess", "datasets", "web")
    commands += [f"cloud_jax.{room}.command" for room in rooms]
    names = [name for name in commands if "__" not in name]
    assert not loaded_by("cloud_jax", *names)
