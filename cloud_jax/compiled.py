"""Programs that XLA compiled, kept between processes: of a run, or of a user."""

import hashlib
import os
import platform
import sys
import warnings
from pathlib import Path


def keep_compiled_programs(workdir: Path | None = None) -> None:
    """Let jax read and write compiled programs; for commands, before they import jax.

    Compiling is half of the time in which one crystal is predicted, and most of the
    time in which a run resumes. Where the environment names a folder
    (JAX_COMPILATION_CACHE_DIR) or switches the cache off
    (JAX_ENABLE_COMPILATION_CACHE=false), that stands. A folder that cannot be written
    costs nothing but the time.

    Args:
        workdir: of a run, in which jax makes the folder `compiled`; without it, they
            are kept in the user's folder for caches.
    """
    if "jax" in sys.modules:  # it has read its settings
        return
    if workdir:
        folder = (workdir / "compiled" / f"xla-{_machine()}").absolute()
    else:
        try:
            folder = _cache_root() / "cloud-jax" / f"xla-{_machine()}"
            folder.mkdir(parents=True, exist_ok=True)
        except (OSError, RuntimeError):  # no such place, or nobody's home
            return
        if not os.access(folder, os.W_OK):
            return
    # A program that is damaged, or for which there is no space, is compiled again.
    warnings.filterwarnings("ignore", "Error (read|writ)ing persistent compilation")
    set_default = os.environ.setdefault
    set_default("JAX_COMPILATION_CACHE_DIR", str(folder))
    set_default("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")
    set_default("JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES", "-1")
    # Loading a program compares the processor's features with names that only the
    # compiler knows, and XLA reports that as an error of many lines.
    set_default("TF_CPP_MIN_LOG_LEVEL", "3")


def _cache_root() -> Path:
    """Return the folder for caches of this user, as the system has it."""
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches"
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or Path.home())
    told = os.environ.get("XDG_CACHE_HOME", "")
    # An empty or a relative path counts as none, says the XDG specification.
    return Path(told) if os.path.isabs(told) else Path.home() / ".cache"


def _machine() -> str:
    """Return a hash of the processor: machines that share a home may differ in it."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        features = next(
            line for line in lines if line.startswith(("flags", "Features"))
        )
    except (OSError, StopIteration):
        features = platform.processor()
    text = f"{platform.machine()} {features}"
    return hashlib.sha256(text.encode()).hexdigest()[:12]
