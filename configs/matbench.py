"""MatBench's eight structure tasks, over their five official folds (Table S3).

    cloud-jax finetune --config=configs/matbench.py:phonons

Begins with the encoder in the package; from scratch: --config.model.checkpoint=
Cost of `phonons`: 334 s on two shared CPU cores. Expected: 60.15 ± 6.07 cm^-1, from
scratch 70.98 ± 6.23. RESULTS.md has what was measured of the other tasks.
"""

from cloud_jax import config

# task: column, unit, crystals per batch, learning rate, epochs
TASKS = {
    "phonons": ("last phdos peak", "cm^-1", 16, 7e-4, 60),  # 1,265 crystals
    "jdft2d": ("exfoliation_en", "meV/atom", 16, 7e-4, 60),  # 636 layered crystals
    "dielectric": ("n", "", 16, 7e-4, 30),  # refractive index of 4,764 crystals
    "log_gvrh": ("log10(G_VRH)", "log10(GPa)", 32, 1e-3, 20),  # 10,987 crystals
    "log_kvrh": ("log10(K_VRH)", "log10(GPa)", 32, 1e-3, 20),  # the same crystals
    "perovskites": ("e_form", "eV/unit cell", 16, 7e-4, 30),  # 18,928 perovskites
    "mp_gap": ("gap pbe", "eV", 64, 1e-3, 10),  # 106,113 crystals
    "mp_e_form": ("e_form", "eV/atom", 64, 1e-3, 10),  # 132,752 crystals
}


def get_config(task):
    """Return the locked configuration of a task."""
    column, unit, batch, rate, epochs = TASKS[task]
    c = config.benchmark(f"matbench_{task}", f"matbench:{task}", column, unit)
    c.optimizer.batch_crystals = batch
    c.optimizer.learning_rate = rate
    c.optimizer.epochs = epochs
    return c.lock()
