"""`python -m cloud_jax.datasets`, the same as `cloud-jax datasets`."""

import sys

from cloud_jax.datasets.command import main

if __name__ == "__main__":
    sys.exit(main())
