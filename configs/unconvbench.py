"""Six tasks of UnconvBench, over its five folds (Table S6).

    cloud-jax finetune --config=configs/unconvbench.py:supercon

Begins with the encoder in the package; from scratch: --config.model.checkpoint=
Rates and epochs are those of configs/matbench.py: no task was run with it yet.
With that of commit ef76ff1 `supercon` took 289 s on two shared CPU cores, and had
2.933 ± 0.189 K with the stand-in of RESULTS.md, from scratch 3.034 ± 0.174.
"""

from cloud_jax import config

# task: column, unit, crystals per batch, learning rate, epochs
TASKS = {
    "2d_e_exf": ("exfoliation_energy_per_atom", "eV/atom", 32, 3e-4, 20),  # 4,527
    "2d_e_tot": ("etot", "eV", 32, 3e-4, 20),  # 3,520 two-dimensional crystals
    "2d_gap": ("gap", "eV", 32, 3e-4, 20),  # the same crystals
    "qmof": ("energy_total", "eV", 32, 3e-4, 20),  # 5,106 metal-organic frameworks
    "supercon": ("Tc", "K", 16, 3e-4, 20),  # 1,058 superconductors
    "defected": ("ef", "eV", 16, 3e-4, 30),  # vacancies in 530 cells
}


def get_config(task):
    """Return the locked configuration of a task."""
    column, unit, batch, rate, epochs = TASKS[task]
    c = config.benchmark(f"unconvbench_{task}", f"unconvbench:{task}", column, unit)
    c.optimizer.batch_crystals = batch
    c.optimizer.learning_rate = rate
    c.optimizer.epochs = epochs
    return c.lock()
