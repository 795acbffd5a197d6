"""Feed sound, odd and damaged CIFs to preprocessing: each must be told what it is.

    python -m scripts.check_damaged --output DIR [FOLDER_OR_TABLE ...]

Real files come from the folders (every `*.cif` and `*.mcif`, unpacked wheels for
instance), from a sample of the `cif` column of the tables, and from the packages that
are installed. Damaged ones are made of the embedded crystals by `scripts/damage.py`.
`python -m cloud_jax.preprocess` runs on all of them under both disorder policies.
Passes if every file became a record or a reject with a reason other than `unexpected`,
`crashed` or `timeout`, what does not harm a crystal changed none, and the processes
together stayed below --memory-gb.

`--compare` instead reads the real files with pymatgen's parser too and prints where
composition or space group differ.

Writes DIR/result.json: counts by kind of damage and by reason, with one message each.
"""

import argparse
import csv
import json
import subprocess
import sys
import threading
import time
import warnings
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import psutil
import pyarrow.parquet as pq

from cloud_jax.datasets.embedded import EmbeddedSource
from cloud_jax.scope import Cell, Rejection, encode
from cloud_jax.scope.pipeline import read_cell
from cloud_jax.structures.items import file_items
from scripts.damage import DAMAGES, HARMLESS, HEAVY

FORBIDDEN = {"unexpected", "crashed", "timeout"}


def sound_cifs(count: int) -> Iterator[str]:
    """Yield CIFs of embedded crystals, evenly chosen, written with their symmetry."""
    from pymatgen.core import Structure
    from pymatgen.io.cif import CifWriter

    found = list(EmbeddedSource("embedded").items())
    for item in found[:: len(found) // (count + 20)]:  # a few cannot be written
        try:
            cell = read_cell(item)
            structure = Structure(cell.lattice, cell.species, cell.fractional)
            yield str(CifWriter(structure, symprec=0.01))
        except (Rejection, ValueError, TypeError):
            continue


def real_cifs(paths: list[str], sample: int) -> Iterator[tuple[str, bytes]]:
    """Yield (name, bytes) of the files in folders, packages and tables."""
    packages = {Path(path) for path in sys.path if path.endswith("site-packages")}
    for root in [*map(Path, paths), *sorted(packages)]:
        if root.is_dir():
            for file in sorted(root.rglob("*.[cC][iI][fF]")) + sorted(
                root.rglob("*.mcif")
            ):
                yield f"{root.name}/{file.relative_to(root)}", file.read_bytes()
        else:
            texts = pd.read_csv(root, usecols=["cif"], comment="#")["cif"]
            for i, text in texts[:: max(1, len(texts) // sample)].items():
                yield f"{root.name}/{i}.cif", text.encode()


def write_files(folder: Path, arguments: argparse.Namespace) -> dict[str, str]:
    """Write all files; return of each its kind."""
    kinds = {}

    def write(name: str, data: bytes, kind: str) -> None:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        kinds[name] = kind

    for name, data in real_cifs(arguments.paths, arguments.sample):
        write(f"real/{name}", data, "real")
    for number, text in enumerate(sound_cifs(arguments.crystals)):
        if number == arguments.crystals:
            break
        write(f"sound/{number:03d}.cif", text.encode(), "sound")
        for kind, damage in DAMAGES.items():
            if number < 3 or kind not in HEAVY:
                write(f"{kind}/{number:03d}.cif", damage(text), kind)
    return kinds


def run(folder: Path, output: Path, disorder: str) -> tuple[int, float, float]:
    """Preprocess; return exit status, seconds, and the most memory held, GB."""
    words = ["cif:" + str(folder), "--output", output, "--disorder", disorder]
    words += ["--deduplicate", "none", "--max-reject-fraction", "0.99"]
    command = [sys.executable, "-m", "cloud_jax.preprocess", *map(str, words)]
    began, most = time.monotonic(), 0.0
    with subprocess.Popen([*command, "--time-limit", "30"]) as process:
        while process.poll() is None:
            most = max(most, _memory_gb(process.pid))
            threading.Event().wait(0.1)
    return process.returncode, time.monotonic() - began, most


def _memory_gb(pid: int) -> float:
    """Memory of a process and all below it; what ends meanwhile counts nothing."""
    try:
        root = psutil.Process(pid)
        tree = [root, *root.children(recursive=True)]
    except psutil.NoSuchProcess:
        return 0.0
    total = 0
    for process in tree:
        try:
            total += process.memory_info().rss
        except psutil.NoSuchProcess:
            continue
    return total / 1e9


def outcomes(output: Path) -> Iterator[tuple[str, str, str]]:
    """Yield (file name, code or `record`, message or sentence) of every crystal."""
    table = pq.read_table(output / "records.parquet", columns=["id", "canonical"])
    for row in table.to_pylist():
        yield _file_of(row["id"]), "record", row["canonical"]
    with open(output / "rejects.csv", newline="") as file:
        for row in csv.DictReader(file):
            yield _file_of(row["id"]), row["code"], row["message"]


def _file_of(name: str) -> str:
    """The file of a crystal called `source/file` or `source/file#block`."""
    return name.partition("/")[2].partition("#")[0]


def check(arguments: argparse.Namespace) -> dict:
    """Run both policies and gather what came out."""
    folder = arguments.output / "files"
    kinds = write_files(folder, arguments)
    result: dict = {"files": len(kinds), "kinds": len(set(kinds.values())), "runs": {}}
    for disorder in ("majority", "reject"):
        output = arguments.output / disorder
        status, seconds, memory = run(folder, output, disorder)
        found = list(outcomes(output)) if status in (0, 3) else []
        problems = list(_problems(found, kinds))
        if status or memory > arguments.memory_gb:
            problems.append(f"exit status {status}, {memory:.2f} GB")
        messages: dict[str, dict[str, str]] = defaultdict(dict)
        by_kind: dict[str, Counter] = defaultdict(Counter)
        for name, code, message in found:
            by_kind[kinds[name]][code] += 1
            if code != "record":
                messages[code].setdefault(kinds[name], message)
        result["runs"][disorder] = {
            "seconds": round(seconds, 1),
            "memory_gb": round(memory, 2),
            "problems": problems,
            "codes": dict(sum(by_kind.values(), Counter()).most_common()),
            "kinds": {kind: dict(by_kind[kind]) for kind in sorted(by_kind)},
            "messages": messages,
        }
    return result


def _problems(
    found: list[tuple[str, str, str]], kinds: dict[str, str]
) -> Iterator[str]:
    """Say which files have no result, a reason that is none, or another crystal."""
    for name in sorted(kinds.keys() - {name for name, _, _ in found}):
        yield f"{name}: neither a record nor a reject"
    sound = {name: text for name, _, text in found if kinds[name] == "sound"}
    for name, code, text in found:
        if code in FORBIDDEN:
            yield f"{name}: {code}: {text}"
        wanted = sound.get(f"sound/{Path(name).name}")
        if kinds[name] in HARMLESS and text != wanted:
            yield f"{name}: {text}, expected {wanted}"


def compare(arguments: argparse.Namespace) -> dict:
    """Read the real files with pymatgen's parser too; print what differs."""
    from pymatgen.io.cif import CifParser

    counts: Counter[str] = Counter()
    for name, data in real_cifs(arguments.paths, arguments.sample):
        for item in file_items(name, data):
            text = item.payload.decode("utf-8", "replace")
            ours = _crystal(lambda item=item: read_cell(item))
            theirs = _crystal(
                lambda text=text: Cell.from_structure(
                    CifParser.from_str(
                        text, occupancy_tolerance=1.005
                    ).parse_structures(primitive=False)[0]
                )
            )
            counts["same" if ours == theirs else "differ"] += 1
            if ours != theirs:
                print(f"{item.id}\n  ours: {ours}\n  pymatgen: {theirs}")
    return dict(counts)


def _crystal(read) -> str:
    try:
        scope = encode(read())
        return f"{scope.formula}, group {scope.space_group}, {scope.n_atoms} atoms"
    except Rejection as rejection:
        return f"rejected: {rejection}"
    except Exception as error:
        return f"{type(error).__name__}: {str(error)[:100]}"


def main() -> None:
    """Check, or compare, and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("paths", nargs="*", help="folders of CIFs, tables of CIFs")
    parser.add_argument("--output", type=Path, required=True, help="a new folder")
    parser.add_argument("--crystals", type=int, default=22, help="to be damaged (22)")
    parser.add_argument("--sample", type=int, default=50, help="CIFs of a table (50)")
    parser.add_argument("--memory-gb", type=float, default=3.0, help="of all (3)")
    parser.add_argument("--compare", action="store_true", help="with pymatgen's parser")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")  # pymatgen's notes on rounded coordinates
    arguments.output.mkdir(parents=True, exist_ok=True)
    result = (compare if arguments.compare else check)(arguments)
    text = json.dumps(result, indent=1)
    (arguments.output / "result.json").write_text(text + "\n")
    if arguments.compare:
        print(json.dumps(result))
        return
    for disorder, found in result["runs"].items():
        print(f"--disorder {disorder}: {found['seconds']} s, {found['memory_gb']} GB")
        for code, count in found["codes"].items():
            print(f"  {count:>6,} {code}")
    print(json.dumps({"files": result["files"], "kinds": result["kinds"]}))
    problems = [p for found in result["runs"].values() for p in found["problems"]]
    if problems:
        sys.exit("\n".join(["failed:", *problems[:50]]))


if __name__ == "__main__":
    main()
