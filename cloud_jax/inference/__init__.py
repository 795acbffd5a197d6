"""Prediction with a trained model: `cloud_jax.load` and `cloud-jax predict`.

`inputs` turns files and objects into records, `crystals` tokenises them and flags what
lies outside the training rows, `models.network` runs the members of the ensemble,
`properties` turns their outputs into properties with the widths of `intervals`,
`tables` makes rows and `outputs` writes them.
`predictor` is the model in memory, `run` the command.
"""
