"""The grid of a scaling law, as a configuration declares it in `get_grid()`."""

from typing import Any

from cloud_jax.config import ConfigError, call_config_function, load_config, pretraining
from cloud_jax.finetuning.space import argument
from cloud_jax.models.bert import preset
from cloud_jax.studies.scaling.fitting import ScalingError, check_points


def load_grid(path: str, overrides: list[str]) -> dict[str, dict[str, Any]]:
    """Run `get_grid()` of a configuration file and check every cell.

    A cell is a dictionary: `tokens` to train on, and the keys in which it differs from
    `get_config()`, such as `model.preset`.

    Returns:
        The cells by name, `PRESET_TOKENS`.

    Raises:
        ConfigError: there is no such function, a cell has no `tokens` or settings that
            a configuration does not take, or two cells have one name.
    """
    cells = {}
    for number, cell in enumerate(_declared_cells(path), 1):
        where = f"get_grid() of {path}, cell {number}"
        tokens = cell.get("tokens") if isinstance(cell, dict) else None
        if type(tokens) is not int or tokens < 1:
            raise ConfigError(
                f"{where}: expected a dictionary with `tokens`, a whole number from 1, "
                f"found {cell!r}"
            )
        try:
            config = cell_config(path, overrides, cell)
        except ConfigError as error:
            raise ConfigError(f"{where}: {error}") from None
        name = f"{config.model.preset}_{tokens}"
        if name in cells:
            raise ConfigError(f"{where}: there is already one called {name}")
        cells[name] = cell
    return cells


def _declared_cells(path: str) -> list:
    grid = call_config_function(
        path, "get_grid", '[{"tokens": 1_000_000, "model.preset": "2x64"}]'
    )
    if not isinstance(grid, list) or not grid:
        raise ConfigError(
            f"get_grid() of {path} must return a list of cells, found {grid!r}"
        )
    return grid


def cell_config(path: str, overrides: list[str], cell: dict[str, Any]) -> Any:
    """Return the configuration of one cell; its number of steps is not known yet."""
    chosen = [argument(key, value) for key, value in cell.items() if key != "tokens"]
    return load_config(path, chosen + overrides, kind=pretraining)


def check_grid(path: str, overrides: list[str], cells: dict[str, dict]) -> None:
    """Refuse a grid to which no law can be fitted, before hours of training.

    Raises:
        ValueError: there would be too few points, sizes or numbers of tokens even if
            every cell finished.
    """
    presets = [cell_config(path, overrides, c).model.preset for c in cells.values()]
    sizes = [preset(name, vocab_size=1, max_positions=1) for name in presets]
    try:
        check_points(
            [size.layers * size.width**2 for size in sizes],  # proportional to N
            [cell["tokens"] for cell in cells.values()],
            [1.0] * len(cells),
        )
    except ScalingError as error:
        raise ValueError(f"get_grid() of {path}: {error}") from None
