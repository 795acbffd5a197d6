"""`cloud-jax study discovery` under its earlier name: MatBench Discovery."""

import sys

from cloud_jax.studies.discovery.command import main

if __name__ == "__main__":
    sys.exit(main())
