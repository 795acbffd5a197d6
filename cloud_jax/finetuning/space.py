"""The space of a hyper-parameter search, as a configuration file declares it.

Beside `get_config()` a file defines

    def get_search_space():
        return {
            "optimizer.learning_rate": Range(1e-5, 1e-3, log=True),
            "optimizer.batch_crystals": [16, 32, 64],
        }

A list holds choices. This module imports nothing heavy, so that configurations may.
"""

from collections.abc import Iterable
from typing import Any, NamedTuple

from cloud_jax.config import (
    ConfigError,
    call_config_function,
    finetuning,
    flatten,
    load_config,
)

# The other keys change what is learned or which rows it is measured on: trials that
# differ in them could not be compared.
SEARCHABLE = ("head.", "model.", "optimizer.")
FIXED = ("model.max_tokens",)


class Range(NamedTuple):
    """All numbers between two, whole ones where the key takes whole numbers.

    Attributes:
        low: the lowest.
        high: the highest.
        log: whether equal ratios are equally likely, not equal differences.
    """

    low: float
    high: float
    log: bool = False

    def __contains__(self, value: object) -> bool:
        return self.low <= value <= self.high


Space = dict[str, list | Range]


def argument(key: str, value: Any) -> str:
    """Return the command-line argument that gives a key its value."""
    return f"--config.{key}={value if isinstance(value, str) else repr(value)}"


def load_space(path: str, overrides: Iterable[str]) -> Space:
    """Return what `get_search_space()` of a configuration file declares, checked.

    Args:
        path: of the file, whose `get_config()` runs.
        overrides: `--config.KEY=VALUE` arguments; a key among them is not searched.

    Raises:
        ConfigError: no such function, nothing to search, or an entry that a
            configuration does not take.
    """
    overrides = list(overrides)
    defaults = flatten(_load(path, overrides))
    given = {word.removeprefix("--config.").partition("=")[0] for word in overrides}
    declared = call_config_function(
        path, "get_search_space", '{"optimizer.learning_rate": [1e-4, 5e-5]}'
    )
    if not isinstance(declared, dict):
        raise ConfigError(
            f"get_search_space() of {path} must return a dictionary from keys to "
            f"choices, found a {type(declared).__name__}"
        )
    for key, values in declared.items():
        ends = values[:2] if isinstance(values, Range) else values
        try:
            _check_form(key, values, defaults.get(key))
            for value in ends:
                _load(path, [*overrides, argument(key, value)])
            if key in FIXED or not key.startswith(SEARCHABLE):
                raise ConfigError(
                    f"{key} changes what trials are compared on; a search takes keys "
                    f"of {', '.join(SEARCHABLE)} but not {', '.join(FIXED)}"
                )
        except ConfigError as error:
            message = f"get_search_space() of {path}: {error}"
            raise ConfigError(message) from None
    space = {key: values for key, values in declared.items() if key not in given}
    if not space:
        raise ConfigError(f"get_search_space() of {path} leaves nothing to vary")
    return space


def _load(path: str, overrides: list[str]) -> Any:
    """Return the configuration with some overrides; raise ConfigError for a bad one."""
    return load_config(path, overrides, kind=finetuning)


def _check_form(key: str, values: Any, default: Any) -> None:
    """Raise ConfigError unless it is a list of choices or a usable range."""
    if isinstance(values, list) and values:
        return
    if not isinstance(values, Range):
        raise ConfigError(
            f"{key}: expected a list of choices or a Range(low, high), found {values!r}"
        )
    low, high, log = values
    number = type(default) in (int, float)
    if default is not None and not number:
        raise ConfigError(f"{key}: not a number, list its choices")
    if not low < high or (log and low <= 0):
        rule = "0 < low < high" if log else "low < high"
        raise ConfigError(f"{key}: expected {rule}, found {values}")
