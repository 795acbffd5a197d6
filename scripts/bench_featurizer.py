"""Compare CloudFeaturizer with composition-only features at equal estimator.

    python scripts/bench_featurizer.py magpie data/matminer_0.1.9 magpie.parquet
    python -m scripts.bench_featurizer run data/matminer_0.1.9 magpie.parquet

The first command needs matminer and pyarrow alone, in an environment of its own
(matminer 0.10 wants an older pandas); it writes the 132 Magpie features of each
formula. The second cross-validates a Pipeline of features, StandardScaler and an
estimator on six columns of the three tables: five folds, rows of one formula in one
fold. It prints the mean absolute error as a table in Markdown.

`--learned TABLE` is the table that the encoder has learned (configs/properties.py):
then errors are printed also for the rows whose formula has no elastic label or Debye
temperature there. Only those are evidence for the columns of the elastic table.
"""

import argparse
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd

# Table, column, and whether its logarithm (base 10) is learned.
TARGETS = (
    ("elastic_tensor", "K_VRH", True),
    ("elastic_tensor", "G_VRH", True),
    ("dielectric_constant", "n", False),
    ("dielectric_constant", "poly_total", True),
    ("dielectric_constant", "band_gap", False),
    ("piezoelectric_tensor", "eij_max", True),
)
FOLDS, SEED = 5, 0
_ELASTIC = ("log_bulk_modulus", "log_shear_modulus", "log_debye_temperature")


def read_table(folder: Path, name: str) -> pd.DataFrame:
    """Return one of matminer's tables."""
    return pd.read_csv(folder / f"{name}.csv.gz", comment="#")


def write_magpie(folder: Path, output: Path) -> None:
    """Write the Magpie features of every formula of the tables; needs matminer."""
    from matminer.featurizers.composition import ElementProperty
    from pymatgen.core import Composition

    featurizer = ElementProperty.from_preset("magpie", impute_nan=True)
    formulas = sorted({f for n, _, _ in TARGETS for f in read_table(folder, n).formula})
    rows = [featurizer.featurize(Composition(formula)) for formula in formulas]
    pd.DataFrame(rows, formulas, featurizer.feature_labels()).to_parquet(output)
    print(f"{len(formulas):,} formulas, {len(rows[0])} features: {output}")


def feature_sets(names: list[str], model: str) -> dict[str, Any]:
    """Return the transformers to compare by name; "magpie" has none."""
    from cloud_jax import CloudFeaturizer

    plain = ("composition", "cell")
    made = {
        "magpie": None,
        "default": CloudFeaturizer(model),
        "few": CloudFeaturizer(model, n_components=8),
        "cls": CloudFeaturizer(model, groups=("cls",)),
        "plain": CloudFeaturizer(model, groups=plain),
    }
    return {name: made[name] for name in names}


def estimator_of(name: str) -> Any:
    """Return an estimator of the target in standard deviations."""
    from sklearn.compose import TransformedTargetRegressor
    from sklearn.ensemble import HistGradientBoostingRegressor, RandomForestRegressor
    from sklearn.preprocessing import StandardScaler
    from sklearn.svm import SVR

    made = {
        "svr": SVR(C=10, epsilon=0.05),
        "boosting": HistGradientBoostingRegressor(
            max_iter=150, learning_rate=0.07, max_leaf_nodes=15, random_state=SEED
        ),
        "forest": RandomForestRegressor(
            60, max_features=0.33, min_samples_leaf=2, random_state=SEED
        ),
    }
    return TransformedTargetRegressor(made[name], transformer=StandardScaler())


def formula_key(formula: str) -> str:
    """Return a reduced formula with its elements in alphabetical order, `O2 Si1`."""
    from pymatgen.core import Composition

    amounts = Composition(formula).reduced_composition.items()
    return " ".join(sorted(f"{element}{amount:.0f}" for element, amount in amounts))


def learned_formulas(path: Path) -> set[str]:
    """Return the formulas with an elastic label in the table behind the encoder."""
    table = pd.read_parquet(path, columns=["canonical", *_ELASTIC])
    known = table.dropna(subset=list(_ELASTIC), how="all")
    compositions = {sentence.rpartition(" | ")[2] for sentence in known.canonical}
    # `Si 1 O 2`, as sentences have it, is a formula too.
    return {formula_key(composition.replace(" ", "")) for composition in compositions}


def compare(arguments: argparse.Namespace) -> Iterator[str]:
    """Yield the lines of the table."""
    import numpy as np
    from sklearn.model_selection import GroupKFold, cross_val_predict
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    magpie = pd.read_parquet(arguments.magpie)
    sets = feature_sets(arguments.sets, arguments.model)
    known = learned_formulas(arguments.learned) if arguments.learned else set()
    yield f"| target, MAE | rows | {' | '.join(sets)} |"
    yield "|---|" + "---|" * (1 + len(sets))
    folds = GroupKFold(FOLDS, shuffle=True, random_state=SEED)
    for name, column, is_log in TARGETS:
        table = read_table(arguments.folder, name)
        good = table[column] > 0 if is_log else table[column].notna()
        table = table[good].reset_index(drop=True)
        y = np.log10(table[column]) if is_log else table[column]
        groups = [formula_key(formula) for formula in table.formula]
        is_new = np.array([group not in known for group in groups])
        errors = []
        for transformer in sets.values():
            steps = [StandardScaler(), estimator_of(arguments.estimator)]
            X = magpie.loc[table.formula].to_numpy()
            if transformer is not None:
                steps, X = [transformer, *steps], table.poscar
            found = cross_val_predict(
                make_pipeline(*steps), X, y, groups=groups, cv=folds
            )
            errors.append(np.abs(found - y.to_numpy()))
        label = f"log10 {column}" if is_log else column
        means = " | ".join(f"{one.mean():.4f}" for one in errors)
        yield f"| {label} | {len(y):,} | {means} |"
        if known and not is_new.all():
            means = " | ".join(f"{one[is_new].mean():.4f}" for one in errors)
            yield f"| {label}, not learned | {is_new.sum():,} | {means} |"


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    commands = parser.add_subparsers(dest="command", required=True)
    for name, text in (("magpie", "write Magpie features"), ("run", "compare")):
        command = commands.add_parser(name, help=text)
        command.add_argument("folder", type=Path, help="folder of matminer's tables")
        command.add_argument("magpie", type=Path, help="Parquet file of the features")
    add = commands.choices["run"].add_argument
    add("--model", default="encoder", help="of the featurizer (default: encoder)")
    add("--learned", type=Path, metavar="TABLE", help="table behind the encoder")
    add("--estimator", default="svr", choices=("svr", "boosting", "forest"))
    add("--sets", nargs="+", default=["magpie", "default", "few", "cls", "plain"])
    arguments = parser.parse_args()
    if arguments.command == "magpie":
        write_magpie(arguments.folder, arguments.magpie)
        return
    started = time.process_time()
    for line in compare(arguments):
        print(line, flush=True)
    print(f"\n{arguments.estimator}, {time.process_time() - started:.0f} s of CPU time")


if __name__ == "__main__":
    main()
