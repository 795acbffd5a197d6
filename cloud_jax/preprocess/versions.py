"""Versions of the libraries and of our code that decide the results."""

import hashlib
import json
from importlib.metadata import version
from pathlib import Path

import cloud_jax
from cloud_jax.scope.dialects import VERSIONS
from cloud_jax.scope.options import Options

_LIBRARIES = ("spglib", "pymatgen", "gemmi", "ase", "numpy")


def versions(options: Options) -> dict[str, str]:
    """Return the versions of the dialect and of the libraries that results depend on.

    Raises:
        PackageNotFoundError: the symmetry search asked for is not installed.
    """
    searches = () if options.symmetry == "spglib" else (options.symmetry,)
    dialect = {f"{options.dialect} dialect": str(VERSIONS[options.dialect])}
    return dialect | {name: version(name) for name in (*_LIBRARIES, *searches)}


def fingerprint(options: Options) -> str:
    """Return all that decides what becomes of a crystal, apart from the crystal.

    Raises:
        PackageNotFoundError: the symmetry search asked for is not installed.
    """
    package = Path(cloud_jax.__file__).parent
    files = [
        f for room in ("structures", "scope") for f in (package / room).glob("*.py")
    ]
    files += [
        package / "preprocess" / f"{name}.py"
        for name in ("keys", "parts", "schemas", "selection")
    ]
    code = hashlib.sha256(b"".join(f.read_bytes() for f in sorted(files))).hexdigest()
    return json.dumps([options.to_dict(), versions(options), code])
