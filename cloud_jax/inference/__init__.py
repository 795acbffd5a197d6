"""A trained model asked about structures: what `cloud_jax.load` returns.

`inputs` turns files and objects into records, `network` runs the members of the
ensemble over them, `thermodynamics` turns their outputs into properties, `domain` says
what lies outside the training rows, `tables` makes rows and `outputs` writes them.
"""
