"""The parts of a run, made from its configuration and checked against each other."""

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Int

from cloud_jax.finetuning.folds import (
    Fold,
    FoldError,
    Member,
    folds_from_column,
    folds_from_k,
    overlaps,
    plan_members,
    without_twins,
)
from cloud_jax.finetuning.folds_file import folds_from_file
from cloud_jax.finetuning.labels import (
    Frame,
    fit_scaling,
    label_counts,
    make_frame,
)
from cloud_jax.finetuning.start import Start, make_start
from cloud_jax.finetuning.table import Table, TableSpec, read_table
from cloud_jax.finetuning.targets import (
    Target,
    check_physics,
    composition_words,
    make_targets,
    n_outputs,
    target_amounts,
)
from cloud_jax.models.folder import Model
from cloud_jax.models.heads import PropertyModel
from cloud_jax.physics.laws import Law, get_law
from cloud_jax.scope.options import Options
from cloud_jax.training.startup import StartUp
from cloud_jax.training.workdir import refuse_object_store


class Job(NamedTuple):
    """The parts of one run.

    Attributes:
        config: the configuration.
        table: usable rows and rejects.
        targets: what is learned.
        law: of a physics head; None for regression.
        amounts: mol of atoms per unit of each target's basis, see `target_amounts`.
        frame: in which float32 holds the labels.
        folds: all folds that run.
        members: of all folds, fold by fold.
        start: vocabulary, architecture and first parameters.
        hashes: of the table, the vocabulary, the checkpoint and a file of folds.
        startup: the clock of the run's start.
    """

    config: Any
    table: Table
    targets: tuple[Target, ...]
    law: Law | None
    amounts: Float[np.ndarray, "N P"]
    frame: Frame
    folds: list[Fold]
    members: list[Member]
    start: Start
    hashes: dict[str, str]
    startup: StartUp

    @property
    def labels(self) -> Float[np.ndarray, "N P"]:
        """Return the labels of the table in their frame."""
        return self.frame.enter(self.table.targets)

    @property
    def model(self) -> PropertyModel:
        """Return the module of one member."""
        outputs = n_outputs(self.law, self.targets)
        return PropertyModel(self.start.encoder, self.config.head.layers, outputs)

    def summary(self) -> str:
        """Return lines that say how many members train on how many rows."""
        lines = [self.table.summary()]
        if n_rejects := len(self.table.rejects):
            lines.append(f"all {n_rejects:,} are in {self.config.workdir}/rejects.csv")
        if np.isnan(self.table.targets).any():
            names = [target.name for target in self.targets]
            counts = label_counts(self.table.targets, names)
            lines.append(
                "rows with a label: "
                + ", ".join(f"{name} {n:,}" for name, n in counts.items())
            )
        for index, fold in enumerate(self.folds):
            members = self.members_of(index)
            first = self.members[members[0]]
            n_twins = len(overlaps(self.table.sentences, fold))
            lines.append(
                f"fold {fold.name}: {len(members)} members, {len(first.train):,} "
                f"training, {len(first.validation):,} validation, {len(fold.test):,} "
                f"test rows, {n_twins} of them with the sentence of a training row"
            )
        return "\n".join(lines)

    def members_of(self, fold: int) -> list[int]:
        """Return the indices of the members of a fold."""
        return [i for i, member in enumerate(self.members) if member.fold == fold]


def prepare(config: Any, *, reader: Callable[[Any, Start], Table] | None = None) -> Job:
    """Read the table and the checkpoint, and plan folds and members.

    Args:
        config: of the run.
        reader: of the table, instead of `read`.

    Raises:
        ValueError: settings, table and checkpoint that do not fit each other.
        OSError: a file that cannot be read.
        ImportError: a package that this configuration needs is missing.
    """
    startup = StartUp()
    refuse_object_store(Path(config.workdir))

    # ---- what is learned, and from where ----
    targets = make_targets(config.targets)
    law = get_law(config.head.law) if config.head.law else None
    if law:
        check_physics(targets)
    start = make_start(config)

    # ---- table: read in the vocabulary of the start ----
    table = (reader or read)(config, start)
    if start.model:
        refuse_own_table(start.model, table)
    amounts = target_amounts(law, targets, table, dialect=start.vocabulary.dialect)

    # ---- folds, and the members of each ----
    folds = make_folds(config, table)
    members = make_members(config, folds, table)
    for member in members:  # constant targets are refused before anything trains
        try:
            fit_scaling(table.targets, member.train, config.targets.columns)
            check_validation(member, table.targets, targets)
        except FoldError as error:
            raise FoldError(f"fold {folds[member.fold].name}: {error}") from None
    return Job(
        config=config,
        table=table,
        targets=targets,
        law=law,
        amounts=amounts,
        frame=make_frame(table.targets, absolute=bool(law)),
        folds=folds,
        members=members,
        start=start,
        hashes=hashes_of(config, table, start),
        startup=startup,
    )


def check_validation(
    member: Member, labels: Float[np.ndarray, "N P"], targets: Sequence[Target]
) -> None:
    """Raise FoldError for a member that no label can select the best state of."""
    counts = np.array([target.weight > 0 for target in targets])
    if np.isnan(labels[member.validation][:, counts]).all():
        raise FoldError(
            f"member {member.name}: found no label of a target with a weight above 0 "
            f"in {len(member.validation)} validation rows, expected one at least: "
            "choose other folds, config.folds.validation_fraction or "
            "config.targets.weights"
        )


def hashes_of(config: Any, table: Table, start: Start) -> dict[str, str]:
    """Return the SHA-256 of everything that decides the numbers of a run."""
    hashes = {"table": table.sha256, "vocabulary": start.vocabulary.sha256}
    if start.model:
        hashes["checkpoint"] = start.model.description["weights_sha256"]
    if config.folds.file:
        content = Path(config.folds.file).read_bytes()
        hashes["folds"] = hashlib.sha256(content).hexdigest()
    return hashes


def read(config: Any, start: Start) -> Table:
    """Return the labelled table in the vocabulary of the start.

    Raises:
        ValueError: no table, or one that cannot be used.
    """
    settings = config.data
    if not settings.table:
        raise ValueError(
            "config.data.table is empty: name a CSV, Parquet or JSON file, or a public "
            "data set (`cloud-jax datasets` lists them)"
        )
    instead = settings.scope_column or settings.dataset
    return read_table(
        TableSpec(
            settings.table,
            id_column=settings.id_column,
            targets=tuple(config.targets.columns),
            positives=tuple(config.targets.positives),
            structure_column=None if instead else settings.structure_column,
            scope_column=settings.scope_column or None,
            dataset=settings.dataset or None,
            n_atoms_column=settings.n_atoms_column or None,
            split_column=config.folds.column or None,
            group_column=settings.group_column or None,
            options=Options(dialect=settings.dialect, **start.origin),
            cache=Path(config.workdir) / "structures.json",
            data_dir=settings.folder,
        ),
        start.vocabulary,
    )


def refuse_own_table(model: Model, table: Table) -> None:
    """Raise ValueError for a checkpoint that was fine-tuned on this very table.

    The rows that this run tests may be among those that it has learned from.
    """
    provenance = model.description.get("provenance", {})
    if (
        model.description.get("kind") == "property"
        and provenance.get("hashes", {}).get("table") == table.sha256
    ):
        raise ValueError(
            f"{model.directory} was fine-tuned on this very table, so it may have "
            "learned from test rows: start with an encoder, or with a model of another "
            "table"
        )


def make_members(config: Any, folds: Sequence[Fold], table: Table) -> list[Member]:
    """Return the members of all folds, fold by fold.

    Raises:
        FoldError: too few rows on one side.
    """
    settings = config.folds
    members = plan_members(
        folds,
        config.members,
        protocol=settings.protocol,
        fraction=settings.validation_fraction,
        seed=settings.seed,
        groups=formulas(table) if settings.group else None,
    )
    if settings.exclude_twins and settings.protocol == "strict":
        members = [
            member._replace(
                train=without_twins(
                    member.train,
                    member.validation,
                    table.sentences,
                    name=f"member {member.name}",
                )
            )
            for member in members
        ]
    return members


def formulas(table: Table) -> list[str]:
    """Return the reduced formula of each row, from its sentence, by element."""
    found = (sorted(composition_words(s).items()) for s in table.sentences)
    return [" ".join(f"{element}{count}" for element, count in f) for f in found]


def strata(config: Any, table: Table) -> Int[np.ndarray, " N"] | None:
    """Return the classes that random folds have in equal shares; None for numbers."""
    if not any(config.targets.positives):
        return None
    first = next(i for i, word in enumerate(config.targets.positives) if word)
    return np.nan_to_num(table.targets[:, first], nan=-1).astype(int)


def make_folds(config: Any, table: Table) -> list[Fold]:
    """Return the folds of a table that run.

    Args:
        config: of the run.
        table: with a split column if the configuration names one.

    Raises:
        ValueError: not exactly one way to make folds, or rows that make none.
    """
    settings = config.folds
    if settings.group and (settings.column or settings.file or table.group):
        raise ValueError(
            "config.folds.group: formula is for random folds without "
            "config.data.group_column; leave one of them out"
        )
    ways = [way for way in (settings.column, settings.file, settings.random) if way]
    if len(ways) != 1:
        raise ValueError(
            "config.folds: give exactly one of column, file and random, found "
            f"column={settings.column!r}, file={settings.file!r}, "
            f"random={settings.random}"
        )
    if settings.column:
        try:
            folds = folds_from_column(table.split)
        except FoldError as error:
            where = f"{config.data.table}, column {settings.column}"
            raise FoldError(f"{where}: {error}") from None
    elif settings.file:
        folds = folds_from_file(
            settings.file,
            table.ids,
            rows=table.rows,
            rejected=[reject.id for reject in table.rejects],
        )
    else:
        folds = folds_from_k(
            len(table.ids),
            settings.random,
            settings.seed,
            formulas(table) if settings.group else table.group,
            strata(config, table),
        )
    if unknown := set(settings.only) - {fold.name for fold in folds}:
        raise ValueError(
            f"config.folds.only: there is no fold {', '.join(sorted(unknown))}; found "
            f"{', '.join(fold.name for fold in folds)}"
        )
    folds = [fold for fold in folds if not settings.only or fold.name in settings.only]
    if settings.exclude_twins:
        folds = [
            fold._replace(
                train=without_twins(
                    fold.train, fold.test, table.sentences, name=f"fold {fold.name}"
                )
            )
            for fold in folds
        ]
    return folds
