"""`python -m cloud_jax.scope`, the same as `cloud-jax scope`."""

import sys

from cloud_jax.scope.command import main

if __name__ == "__main__":
    sys.exit(main())
