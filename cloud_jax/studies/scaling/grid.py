"""The grid of a scaling law, as a configuration declares it in `get_grid()`."""

import importlib.util
from pathlib import Path
from typing import Any

from cloud_jax import config as configuration
from cloud_jax.config import ConfigurationError
from cloud_jax.finetuning.space import argument


def load_grid(path: str, overrides: list[str]) -> dict[str, dict[str, Any]]:
    """Run `get_grid()` of a configuration file and check every cell.

    A cell is a dictionary: `tokens` to see, and the keys in which it differs from
    `get_config()`, such as `model.preset`.

    Returns:
        The cells by name, `PRESET_TOKENS`.

    Raises:
        ConfigurationError: no such function, a cell without `tokens`, one that a
            configuration does not take, or two of one name.
    """
    cells = {}
    for number, cell in enumerate(declared(path), 1):
        where = f"get_grid() of {path}, cell {number}"
        tokens = cell.get("tokens") if isinstance(cell, dict) else None
        if type(tokens) is not int or tokens < 1:
            raise ConfigurationError(
                f"{where}: expected a dictionary with `tokens`, a whole number from 1, "
                f"found {cell!r}"
            )
        try:
            config = cell_config(path, overrides, cell)
        except ConfigurationError as error:
            raise ConfigurationError(f"{where}: {error}") from None
        name = f"{config.model.preset}_{tokens}"
        if name in cells:
            raise ConfigurationError(f"{where}: there is already one called {name}")
        cells[name] = cell
    return cells


def declared(path: str) -> list:
    """What `get_grid()` of a configuration file returns.

    Raises:
        ConfigurationError: it has none, or that fails or returns no list.
    """
    file = Path(path)
    spec = importlib.util.spec_from_file_location(file.stem, file)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)  # `configuration.load` has run it before
    if not hasattr(module, "get_grid"):
        raise ConfigurationError(
            f"--config: {file} does not define get_grid(), which returns such as "
            '[{"tokens": 1_000_000, "model.preset": "2x64"}]'
        )
    try:
        grid = module.get_grid()
    except Exception as error:  # whatever somebody's file may raise
        raise ConfigurationError(
            f"get_grid() of {file}: {type(error).__name__}: {error}"
        ) from error
    if not isinstance(grid, list) or not grid:
        raise ConfigurationError(
            f"get_grid() of {file} must return a list of cells, found {grid!r}"
        )
    return grid


def cell_config(path: str, overrides: list[str], cell: dict[str, Any]) -> Any:
    """The configuration of one cell; its number of steps is not known yet."""
    chosen = [argument(key, value) for key, value in cell.items() if key != "tokens"]
    return configuration.load(path, chosen + overrides)
