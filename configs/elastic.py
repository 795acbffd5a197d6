"""The third stage of pretraining: Debye temperatures of sound of 8,099 crystals.

    cloud-jax finetune --config=configs/elastic.py

Stiffness is what volumes do not say. The labels are those of the data set `thermal`
from AFLOW's AGL and from elastic moduli, metals and alloys among them; crystals with
the formula of a test row of `thermal` are tested, not learned from. Begins with the
encoder of configs/volume.py:small; to begin with the one in the package:
--config.model.checkpoint=encoder (not measured).

Cost: 528 s on two shared CPU cores. Expected of the 88 and 178 test rows:
MAE 57 K (AGL, R2 0.86) and 85 K (moduli, R2 0.80).
"""

from cloud_jax import config

# Ratios of the labels to the theta at 40 cm^-1 of the phonon densities of the crystals
# that both have, see docs/thermal_labels.md.
AGL, MODULI = 1.08, 1.07


def get_config():
    """Return the locked configuration."""
    c = config.finetuning()
    c.data.table = "thermal:agl+elastic"
    c.targets.columns = ("debye_temperature_agl", "debye_temperature_elastic")
    c.targets.properties = ("debye_temperature", "debye_temperature")
    c.targets.units = ("K", "K")
    c.targets.bases = ("", "")
    c.targets.temperatures_k = (0.0, 0.0)
    c.targets.factors = (AGL, MODULI)
    c.folds.column = "fold"
    c.folds.validation_fraction = 0.02
    c.folds.exclude_twins = True
    c.members = 1
    c.model.checkpoint = "runs/volume_small"
    c.head.law = "debye"
    c.optimizer.batch_crystals = 32
    c.optimizer.learning_rate = 7e-4
    c.optimizer.epochs = 12
    return c.lock()
