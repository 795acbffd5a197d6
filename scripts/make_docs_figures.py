"""Draw the pictures of the documentation from the code that they explain.

    python -m scripts.make_docs_figures [--folder docs/figures]

sentence.png: a crystal, its orbits and its sentence, word by word. laws.png: the heat
capacities of the Debye and the Einstein solid with both limits, and the law that the
model in the package predicts for quartz. quartz.png: what `cloud-jax predict --plot`
draws. map.png: the picture of the notebook `map`, which is run for it if the site has
not been built since it changed (needs requirements-dev.txt).
"""

import argparse
import tempfile
from pathlib import Path

import matplotlib
import numpy as np

matplotlib.use("Agg")
import matplotlib.pyplot as plt
from matplotlib.axes import Axes

from cloud_jax import predict as predict_command
from cloud_jax.evaluation.measured import find_measured
from cloud_jax.inference.crystals import to_crystals
from cloud_jax.inference.inputs import parse, path_items
from cloud_jax.inference.predictor import load
from cloud_jax.physics import laws
from cloud_jax.physics.constants import GAS_CONSTANT
from cloud_jax.scope.dialects import sentence
from cloud_jax.scope.search import Search, find_sites
from cloud_jax.scope.symmetry import encode
from cloud_jax.structures.cell import Cell
from cloud_jax.structures.readers import read_file
from scripts.site import notebooks

ROOT = Path(__file__).resolve().parents[1]
QUARTZ = ROOT / "examples" / "quartz.cif"
GROUP, COMPOSITION, ORBITS = "0.45", "#444444", ("#c4452d", "#2d6fc4", "#3a9d5d")
BOND = 1.8  # angstrom, Si to O
DPI = 110


def draw_sentence(path: Path) -> None:
    """Draw a crystal with a colour per orbit, and its sentence in the same colours."""
    cell = read_file(QUARTZ.read_bytes(), QUARTZ.name)
    record = encode(cell)
    kinds = np.unique(cell.species, return_inverse=True)[1] + 1
    sites = find_sites(
        cell.lattice, cell.fractional, kinds, Search("spglib", 0.01, 5.0, False)
    )
    orbit_of = {number: k for k, number in enumerate(dict.fromkeys(sites.orbits))}
    colours = [ORBITS[orbit_of[number]] for number in sites.orbits]
    figure = plt.figure(figsize=(9, 3.6))
    _draw_cell(figure.add_axes((0, 0, 0.36, 1), projection="3d"), cell, colours)
    _draw_words(figure.add_axes((0.37, 0, 0.63, 1)), sentence(record, "canonical"))
    figure.savefig(path, dpi=DPI)
    plt.close(figure)


def _draw_cell(axes: Axes, cell: Cell, colours: list[str]) -> None:
    """Draw the edges of a cell, and its atoms with their images on its faces."""
    corners = np.array(np.meshgrid(*[(0, 1)] * 3, indexing="ij")).reshape(3, -1).T
    for start in corners:
        for axis in np.flatnonzero(start == 0):
            edge = np.array([start, start + np.eye(3)[axis]]) @ cell.lattice
            axes.plot(*edge.T, color="0.6", linewidth=0.8)
    images = (cell.fractional % 1)[:, None] + corners
    shown = (images <= 1.001).all(axis=-1)
    atoms = images[shown] @ cell.lattice
    which = np.nonzero(shown)[0]
    size = [90 if cell.species[i] == "Si" else 170 for i in which]
    colour = [colours[i] for i in which]
    axes.scatter(*atoms.T, s=size, c=colour, edgecolor="white", depthshade=False)
    apart = np.linalg.norm(atoms[:, None] - atoms, axis=-1)
    for i, j in np.argwhere(np.triu((apart > 0.1) & (apart < BOND))):
        axes.plot(*atoms[[i, j]].T, color="0.45", linewidth=2, zorder=0)
    axes.set_box_aspect(np.ptp(corners @ cell.lattice, axis=0), zoom=1.5)
    axes.set_proj_type("ortho")
    axes.view_init(elev=18, azim=-72)
    axes.set_axis_off()


def _draw_words(axes: Axes, text: str) -> None:
    """Write the three parts of a sentence, each with what it says."""
    group, orbits, composition = text.split(" | ")
    axes.set_axis_off()
    axes.set(xlim=(0, 1), ylim=(0, 1))
    pairs = np.reshape(orbits.split(), (-1, 2))
    rows = [
        (0.86, [(group, GROUP)], "space group P3$_1$21 by the generators of its table"),
        (
            0.54,
            [(" ".join(pair), ORBITS[k]) for k, pair in enumerate(pairs)],
            "orbits: element, number of equal atoms in the cell, Wyckoff letter",
        ),
        (0.22, [(composition, COMPOSITION)], "composition: one Si to two O"),
    ]
    for height, words, meaning in rows:
        left = 0.02
        for word, colour in words:
            axes.text(
                left, height, word, color="white", size=15, family="monospace",
                va="center", bbox={"boxstyle": "round,pad=0.35", "fc": colour, "lw": 0},
            )  # fmt: skip
            left += 0.035 * len(word) + 0.035
        axes.text(0.02, height - 0.15, meaning, size=11, color="0.25", va="center")


def draw_laws(path: Path) -> None:
    """Draw C_v of the two solids with both limits, and of quartz with its law."""
    figure, (cold, warm) = plt.subplots(1, 2, figsize=(9, 3.4), layout="constrained")
    ratio = np.geomspace(0.02, 2, 200)
    full = 3 * GAS_CONSTANT
    for name in ("debye", "einstein"):
        law = laws.get_law(name)
        heat = laws.evaluate(law, "heat_capacity", {"theta": 1.0}, ratio)
        cold.loglog(ratio, heat / full, label=f"{name.capitalize()} solid")
    cubic = 4 / 5 * np.pi**4 * ratio**3
    cold.loglog(
        ratio, cubic, "k:", linewidth=1, label=r"$\frac{4}{5}\pi^4(T/\theta)^3$"
    )
    cold.axhline(1, color="0.5", linestyle="--", linewidth=1, label="Dulong-Petit")
    cold.set(xlabel=r"$T/\theta$", ylabel="$C_v / 3R$", ylim=(1e-5, 2))
    cold.legend(fontsize=8)
    _draw_quartz(warm)
    figure.savefig(path, dpi=DPI)
    plt.close(figure)


def _draw_quartz(axes: Axes) -> None:
    """Draw the parts of quartz's law, as the first member predicts them."""
    model = load("thermal")
    parsed = parse(path_items([str(QUARTZ)]), model.options, workers=1)
    (crystal,), _ = to_crystals(parsed, model.model)
    _, raw, _ = model.outputs([crystal])
    law = laws.get_law(model.model.description["head"]["law"])
    values = laws.constrain(law, raw[0, 0])
    temperature = np.linspace(0, 600, 121)
    acoustic, low = values["debye_fraction"], values["low_fraction"]
    parts = (
        ("debye", "debye", acoustic),
        ("low", "einstein", (1 - acoustic) * low),
        ("high", "einstein", (1 - acoustic) * (1 - low)),
    )
    total = np.zeros_like(temperature)
    for name, solid, share in parts:
        theta = {"theta": float(values[f"theta_{name}"])}
        law = laws.get_law(solid)
        heat = laws.evaluate(law, "heat_capacity", theta, temperature)
        part = 3 * float(share) * np.asarray(heat)  # of the three atoms of SiO2
        axes.fill_between(
            temperature, total, total + part, alpha=0.45,
            label=f"{solid.capitalize()}, {theta['theta']:.0f} K, {float(share):.0%}",
        )  # fmt: skip
        total += part
    axes.plot(temperature, total, "k", linewidth=1)
    points = find_measured([("Si", 1), ("O", 2)], 152)
    axes.plot(points.temperature_k, points.cp, "ko", ms=4, label="measured $C_p$")
    limits = {"xlim": (0, 600), "ylim": (0, 78)}
    axes.set(xlabel="$T$ (K)", ylabel="$C_v$ of quartz, J/(mol K)", **limits)
    axes.legend(fontsize=8, loc="lower right")


def main(argv: list[str] | None = None) -> int:
    """Draw the pictures; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--folder", type=Path, default=ROOT / "docs" / "figures", metavar="DIR",
        help="where the pictures go (default: docs/figures)",
    )  # fmt: skip
    folder = parser.parse_args(argv).folder
    draw_sentence(folder / "sentence.png")
    draw_laws(folder / "laws.png")
    pictures = notebooks.page(ROOT / "docs" / "notebooks" / "map.ipynb")[1]
    (folder / "map.png").write_bytes(next(iter(pictures.values())))
    words = ["--temperature", "0:600:20", "--plot", f"{folder / 'quartz.png'}"]
    with tempfile.TemporaryDirectory() as scratch:
        words += ["--output", f"{scratch}/quartz.csv", "--quiet"]
        return predict_command.main([str(QUARTZ), *words])


if __name__ == "__main__":
    raise SystemExit(main())
