"""Check what the commands make of difficult input, against a table of what they must.

    python -m scripts.check_cases FOLDER [--only hcp] [--table scripts/cases.toml]

The table has two kinds of cases. `crystals` maps a file of FOLDER/crystals to the
patterns of which one must match the line that this script prints for it: space group,
orbits, atoms of the primitive cell and flags, or the code and text of the rejection.
Each of `runs` is a shell command, with the patterns that its output must have (`says`)
and must not have (`never`), and its exit code. In it, $CASES is FOLDER/training, $NEW
an empty folder, $PORT a free port and `cloud-jax` the command of this checkout. All
commands are stopped after `seconds`. The exit code is 1 if a case fails.
"""

import argparse
import json
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent
COMMAND = 'cloud-jax() { "$PYTHON" -m cloud_jax "$@"; }\n'


class Outcome(NamedTuple):
    """What was found, and why it is wrong (empty if it is right)."""

    case: str
    found: str
    wrong: str


def check_crystals(folder: Path, expected: dict[str, list[str]]) -> Iterator[Outcome]:
    """Compare the record or the rejection of each file with its patterns."""
    paths = [folder / name for name in expected]
    command = [sys.executable, "-m", "cloud_jax", "scope", "--json", *map(str, paths)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    lines = {
        Path(line["file"]).name: line
        for line in map(json.loads, done.stdout.splitlines())
    }
    for name, patterns in expected.items():
        found = describe(lines[name]) if name in lines else f"no line; {done.stderr}"
        right = any(re.search(pattern, found) for pattern in patterns)
        yield Outcome(name, found, "" if right else f"expected {' or '.join(patterns)}")


def describe(line: dict) -> str:
    """Return a line of `cloud-jax scope --json` in words."""
    if "error" in line:
        return f"reject {line['error']}"
    orbits = sorted(
        f"{orbit['element']} {orbit['multiplicity']}{orbit['letter']}"
        for orbit in line["record"]["orbits"]
    )
    flags = f"flags {','.join(line['flags']) or '-'}"
    text = (
        f"{line['space_group']}: {', '.join(orbits)}; {line['n_atoms']} atoms; {flags}"
    )
    return f"{text}; {line['scope']}"


def check_run(folder: Path, case: dict, python: str) -> Outcome:
    """Run a command and compare its output and exit code."""
    with tempfile.TemporaryDirectory() as new, socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        environment = os.environ | {
            "CASES": str(folder),
            "NEW": new,
            "PORT": str(probe.getsockname()[1]),
            "PYTHON": python,
            "JAX_PLATFORMS": "cpu",
            "PYTHONPATH": str(ROOT),
        }
        probe.close()
        process = subprocess.Popen(
            ["bash", "-c", COMMAND + case["command"]],
            cwd=ROOT, env=environment, start_new_session=True, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
        try:
            output, _ = process.communicate(timeout=case.get("seconds", 120))
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            output = process.communicate()[0] + "\n[out of time]"
    wrong = [f"not said: {p}" for p in case["says"] if not re.search(p, output)]
    never = [*case.get("never", ()), "Traceback", r"\[out of time\]"]
    wrong += [f"said: {p}" for p in never if re.search(p, output)]
    code = case.get("exit", 1)
    if process.returncode != code:
        wrong.append(f"exit code {process.returncode}, expected {code}")
    return Outcome(case["name"], output.strip(), "; ".join(wrong))


def main() -> int:
    """Check, print a line per case, and return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("folder", type=Path, help="holds crystals/ and training/")
    parser.add_argument("--table", type=Path, default=ROOT / "scripts/cases.toml")
    parser.add_argument("--only", default="", help="cases whose name has this text")
    arguments = parser.parse_args()
    folder = arguments.folder.resolve()
    table = tomllib.loads(arguments.table.read_text())
    crystals = {k: v for k, v in table["crystals"].items() if arguments.only in k}
    n_failed = 0

    def report(outcome: Outcome) -> None:
        nonlocal n_failed
        n_failed += bool(outcome.wrong)
        print("FAILED" if outcome.wrong else "ok", outcome.case, flush=True)
        if outcome.wrong:
            print(f"    {outcome.wrong}")
            print(
                *(f"    | {line}" for line in outcome.found.splitlines()[-15:]),
                sep="\n",
            )

    for outcome in check_crystals(folder / "crystals", crystals) if crystals else ():
        report(outcome)
    for case in table["runs"]:
        if arguments.only in case["name"]:
            report(check_run(folder / "training", case, sys.executable))
    print(f"{n_failed} cases failed")
    return 1 if n_failed else 0


if __name__ == "__main__":
    sys.exit(main())
