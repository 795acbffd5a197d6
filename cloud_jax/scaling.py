"""`cloud-jax study scaling` under its earlier name: the scaling law."""

import sys

from cloud_jax.studies.scaling.command import main

if __name__ == "__main__":
    sys.exit(main())
