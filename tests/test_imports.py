"""The import rules of the packages, each looked at in a fresh interpreter."""

import subprocess
import sys

import pytest

HEAVY = (
    "jax",
    "flax",
    "optax",
    "orbax",
    "tensorflow",
    "pymatgen",
    "spglib",
    "matplotlib",
)
ALLOWED = {
    "cloud_jax": (),
    "cloud_jax.scope.vocabulary": (),
    "cloud_jax.scope.symmetry": ("pymatgen", "spglib"),
    "cloud_jax.scope.readers": ("pymatgen", "spglib"),
    "cloud_jax.preprocess.__main__": ("pymatgen", "spglib"),
    "cloud_jax.data.batches": ("jax",),
    "cloud_jax.data.prefetch": ("jax",),
    "cloud_jax.models.heads": ("jax", "flax"),
    "cloud_jax.training.loop": ("jax", "flax", "optax", "orbax"),
    "cloud_jax.pretrain": ("jax", "flax", "optax", "orbax"),
}


@pytest.mark.parametrize("module", ALLOWED)
def test_a_package_imports_only_what_it_may(module):
    code = (
        f"import sys, importlib; importlib.import_module({module!r}); "
        "print(*{name.partition('.')[0] for name in sys.modules})"
    )
    out = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout.split()
    loaded = {name for name in HEAVY if name in out}
    assert loaded <= set(ALLOWED[module]), f"{module} imports {sorted(loaded)}"


def test_importing_the_top_level_is_instant():
    code = "import time; t = time.perf_counter(); import cloud_jax; "
    code += "print(time.perf_counter() - t)"
    seconds = [
        float(subprocess.check_output([sys.executable, "-c", code])) for _ in range(3)
    ]
    assert min(seconds) < 0.1
