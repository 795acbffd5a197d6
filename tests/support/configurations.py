"""The configurations of configs/, for tests of all of them."""

import runpy
from pathlib import Path

CONFIGS = Path(__file__).resolve().parents[2] / "configs"


def configurations():
    """Return `FILE` of each configuration, or `FILE:TASK` of each of its tasks."""
    found = []
    for path in sorted(CONFIGS.glob("*.py")):
        tasks = runpy.run_path(str(path)).get("TASKS", {})
        named = [f"{path}:{task}" if task else str(path) for task in tasks]
        found += named or [str(path)]
    return found
