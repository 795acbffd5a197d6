"""`cloud-jax study leaderboard` under its earlier name: MatBench's leaderboard file."""

import sys

from cloud_jax.studies.leaderboard import main

if __name__ == "__main__":
    sys.exit(main())
