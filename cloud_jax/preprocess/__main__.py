"""`python -m cloud_jax.preprocess`, the same as `cloud-jax preprocess`."""

import sys

from cloud_jax.preprocess.command import main

if __name__ == "__main__":
    sys.exit(main())
