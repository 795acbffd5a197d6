"""`cloud-jax study attention` under its earlier name: what [CLS] attends to."""

import sys

from cloud_jax.studies.attention.command import main

if __name__ == "__main__":
    sys.exit(main())
