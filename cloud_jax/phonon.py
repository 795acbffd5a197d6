"""`cloud-jax study phonon` under its earlier name: heat capacity and energy."""

import sys

from cloud_jax.studies.phonon.command import main

if __name__ == "__main__":
    sys.exit(main())
