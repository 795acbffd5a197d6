"""`cloud-jax study report` under its earlier name: finished runs on one page."""

import sys

from cloud_jax.studies.report.command import main

if __name__ == "__main__":
    sys.exit(main())
