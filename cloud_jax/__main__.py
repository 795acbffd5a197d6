"""`python -m cloud_jax`, the same as `cloud-jax`."""

import sys

from cloud_jax.cli import main

if __name__ == "__main__":
    sys.exit(main())
