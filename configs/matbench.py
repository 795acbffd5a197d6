"""MatBench's eight structure tasks, over their five official folds (Table S3).

    cloud-jax finetune --config=configs/matbench.py:phonons

Begins with the encoder in the package, four tasks with that of configs/bert.py:3_short;
from scratch: --config.model.checkpoint=
Cost of `phonons`: 844 s on one shared CPU core. Expected: 58.11 ± 5.70 cm^-1.
RESULTS.md has what was measured of the other tasks.
"""

from cloud_jax import config

# task: column, unit, crystals per batch, learning rate, epochs
TASKS = {
    "phonons": ("last phdos peak", "cm^-1", 16, 3e-4, 20),  # 1,265 crystals
    "jdft2d": ("exfoliation_en", "meV/atom", 16, 3e-4, 30),  # 636 layered crystals
    "dielectric": ("n", "", 16, 3e-4, 20),  # refractive index of 4,764 crystals
    "log_gvrh": ("log10(G_VRH)", "log10(GPa)", 32, 4e-4, 10),  # 10,987 crystals
    "log_kvrh": ("log10(K_VRH)", "log10(GPa)", 32, 4e-4, 10),  # the same crystals
    "perovskites": ("e_form", "eV/unit cell", 32, 4e-4, 10),  # 18,928 perovskites
    "mp_gap": ("gap pbe", "eV", 64, 4e-4, 6),  # 106,113 crystals
    "mp_e_form": ("e_form", "eV/atom", 64, 4e-4, 6),  # 132,752 crystals
}
# The encoder in the package has learned labels of rows that these four test.
LEARNED = ("log_gvrh", "log_kvrh", "mp_gap", "mp_e_form")


def get_config(task):
    """Return the locked configuration of a task."""
    column, unit, batch, rate, epochs = TASKS[task]
    c = config.benchmark(f"matbench_{task}", f"matbench:{task}", column, unit)
    if task in LEARNED:
        c.model.checkpoint = "runs/bert_3_short"
    c.optimizer.batch_crystals = batch
    c.optimizer.learning_rate = rate
    c.optimizer.epochs = epochs
    return c.lock()
