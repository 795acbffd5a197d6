"""A trained model asked about structures: what `cloud_jax.load` returns.

In the order of the work: `inputs` turns files and objects into records, `crystals` into
what the model takes, `network` runs the members of the ensemble, `properties` turns
their outputs into properties, `tables` and `outputs` into rows and files. `predictor`
is the model in memory, `run` the command.
"""
