"""The import rules of the packages, each looked at in a fresh interpreter."""

import subprocess
import sys
from pathlib import Path

import pytest

WATCHED = (
    "jax",
    "flax",
    "optax",
    "orbax",
    "tensorflow",
    "pymatgen",
    "spglib",
    "moyopy",
    "ase",
    "requests",
    "sklearn",
    "apache_beam",
    "matplotlib",
    "cloud_jax.scope",
    "cloud_jax.preprocess",
    "cloud_jax.data",
    "cloud_jax.models",
    "cloud_jax.physics",
    "cloud_jax.training",
    "cloud_jax.evaluation",
)
STRUCTURES = {"pymatgen", "spglib"}
ALLOWED = {
    "cloud_jax": set(),
    "cloud_jax.scope.vocabulary": set(),
    "cloud_jax.scope.symmetry": STRUCTURES,
    "cloud_jax.scope.readers": STRUCTURES,
    "cloud_jax.preprocess.build": {*STRUCTURES, "cloud_jax.scope"},
    "cloud_jax.preprocess.beam": {
        *STRUCTURES,
        "requests",
        "apache_beam",
        "cloud_jax.scope",
    },
    "cloud_jax.preprocess.sources.corpus": {
        "requests",
        "cloud_jax.scope",
        "cloud_jax.preprocess",
    },
    "cloud_jax.whole_file": set(),
    "cloud_jax.data.prefetch": {"jax", "cloud_jax.scope"},
    "cloud_jax.data.folds": set(),
    "cloud_jax.models.heads": {"jax", "flax"},
    "cloud_jax.models.folder": {"jax", "flax", "cloud_jax.scope"},
    "cloud_jax.physics.laws": {"jax"},
    "cloud_jax.training.loop": {
        "jax",
        "flax",
        "optax",
        "orbax",
        "cloud_jax.scope",
        "cloud_jax.data",
        "cloud_jax.models",
    },
    "cloud_jax.training.finetuning": {
        "jax",
        "flax",
        "optax",
        "orbax",
        "cloud_jax.scope",
        "cloud_jax.data",
        "cloud_jax.models",
        "cloud_jax.physics",
    },
    # What entry points wire is imported when they run.
    "cloud_jax.pretrain": set(),
    "cloud_jax.finetune": set(),
    "cloud_jax.predict": set(),
    "cloud_jax.import_hf": set(),
    "cloud_jax.search": set(),
    "cloud_jax.discovery": set(),
    "cloud_jax.phonon": set(),
    "cloud_jax.scaling": set(),
    "cloud_jax.attention": set(),
    "cloud_jax.report": set(),
    "cloud_jax.leaderboard": set(),
}


ROOT = Path(__file__).resolve().parents[1]
for path in sorted((ROOT / "cloud_jax" / "evaluation").rglob("*.py")):
    # Figures alone draw; nothing here computes with jax or reads structures.
    figures = {"matplotlib"} if path.stem.startswith("figures") else set()
    name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
    ALLOWED[name] = {"sklearn", "cloud_jax.evaluation", *figures}


@pytest.mark.parametrize("module", ALLOWED)
def test_a_package_imports_only_what_it_may(module):
    if module.endswith(".beam"):
        pytest.importorskip("apache_beam")
    code = f"import sys, {module}; print(*sys.modules)"
    names = subprocess.check_output([sys.executable, "-c", code], text=True).split()
    loaded = {name for name in WATCHED if name in names}
    own = module.rpartition(".")[0]
    extra = loaded - ALLOWED[module] - {own}
    assert not extra, f"{module} imports {sorted(extra)}"
