"""From a configuration to the parts of a run, checked against each other."""

import dataclasses
import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from flax.traverse_util import flatten_dict
from jaxtyping import Float, PyTree

from cloud_jax.finetuning.crystals import read_manifest
from cloud_jax.finetuning.folds import (
    Fold,
    Scaling,
    folds_from_column,
    folds_from_file,
    folds_from_k,
    validation_rows,
)
from cloud_jax.finetuning.loop import Member
from cloud_jax.finetuning.table import Table, read_table
from cloud_jax.finetuning.targets import Target, check_physics, n_outputs
from cloud_jax.finetuning.units import target_amounts
from cloud_jax.models.bert import Encoder, EncoderConfig, preset
from cloud_jax.models.folder import (
    Model,
    ModelFolderError,
    encoder_config,
    load_model,
)
from cloud_jax.models.heads import PropertyModel
from cloud_jax.physics.basis import BASES
from cloud_jax.physics.laws import Law, get_law
from cloud_jax.scope import Vocabulary, build_vocabulary
from cloud_jax.scope.vocabulary_file import load_vocabulary

# Of the symmetry search, where no model says.
_SEARCH = {"symprec": 0.01, "angle_tolerance": 5.0, "symmetry": "spglib"}
_ORIGIN = (*_SEARCH, "max_tokens")


class Job(NamedTuple):
    """The parts of one run.

    Attributes:
        config: the configuration.
        table: usable rows and rejects.
        targets: what is learned.
        law: of a physics head, or None.
        amounts: atoms in a unit of each target's basis, divided by the factor of its
            unit to J.
        folds: all folds that run.
        members: of all folds, fold by fold.
        encoder: architecture.
        initial_encoder: pretrained parameters, or None.
        vocabulary: of the dialect.
        origin: symprec and so on: what prediction must repeat.
        hashes: of the table, the vocabulary and the checkpoint.
    """

    config: Any
    table: Table
    targets: tuple[Target, ...]
    law: Law | None
    amounts: Float[np.ndarray, "N P"]
    folds: list[Fold]
    members: list[Member]
    encoder: EncoderConfig
    initial_encoder: PyTree | None
    vocabulary: Vocabulary
    origin: dict[str, Any]
    hashes: dict[str, str]

    @property
    def model(self) -> PropertyModel:
        """The module of one member."""
        outputs = n_outputs(self.law, self.targets)
        return PropertyModel(self.encoder, self.config.head.layers, outputs)


def prepare(
    config: Any, *, reader: Callable[[Any, Vocabulary, dict], Table] | None = None
) -> Job:
    """Read the table and the checkpoint and plan folds and members.

    Args:
        config: of the run.
        reader: of the table, instead of `read`.

    Raises:
        ValueError: settings, table and checkpoint that do not go together.
        OSError: a file that cannot be read.
        ImportError: something is to be done that needs a package that is missing.
    """
    targets = make_targets(config)
    law = get_law(config.head.law) if config.head.law else None
    if law:
        check_physics(targets)
    start = load_model(config.model.checkpoint) if config.model.checkpoint else None
    vocabulary, encoder, origin = make_encoder(config, start)
    table = (reader or read)(config, vocabulary, origin)
    amounts = target_amounts(law, targets, table, dialect=vocabulary.dialect)
    folds, members = plan(config, table)
    for member in members:
        Scaling.fit(table.targets, member.train, [target.name for target in targets])
    hashes = {"table": table.sha256, "vocabulary": vocabulary.sha256}
    if start:
        refuse_own_table(start, table)
        hashes["checkpoint"] = start.description["weights_sha256"]
    if config.folds.file:
        content = Path(config.folds.file).read_bytes()
        hashes["folds"] = hashlib.sha256(content).hexdigest()
    return Job(
        config=config,
        table=table,
        targets=targets,
        law=law,
        amounts=amounts,
        folds=folds,
        members=members,
        encoder=encoder,
        initial_encoder=initial_encoder(start, encoder) if start else None,
        vocabulary=vocabulary,
        origin=origin,
        hashes=hashes,
    )


def make_targets(config: Any) -> tuple[Target, ...]:
    """Read `config.targets`.

    Raises:
        ValueError: lists of different lengths, or no target.
    """
    c = config.targets
    lists = {
        "columns": c.columns,
        "properties": c.properties,
        "units": c.units,
        "bases": c.bases,
        "temperatures_k": c.temperatures_k,
    }
    lengths = {name: len(values) for name, values in lists.items()}
    if not c.columns or len(set(lengths.values())) > 1:
        raise ValueError(
            f"config.targets: expected one entry a target in each list, found {lengths}"
        )
    if len(set(c.columns)) < len(c.columns):
        raise ValueError(
            f"config.targets.columns: a column is named twice: {c.columns}"
        )
    for basis in c.bases:
        if basis and basis not in BASES:
            raise ValueError(
                f"config.targets.bases: found {basis!r}, expected one of "
                f"{', '.join(BASES)}, or nothing"
            )
    return tuple(
        Target(name, what or name, unit, basis, float(kelvin) or None)
        for name, what, unit, basis, kelvin in zip(*lists.values(), strict=True)
    )


def make_encoder(
    config: Any, start: Model | None
) -> tuple[Vocabulary, EncoderConfig, dict[str, Any]]:
    """Vocabulary, architecture and the tolerances of the symmetry search.

    Raises:
        ValueError: the checkpoint is of another dialect.
    """
    from cloud_jax.training.backend import compute_dtype

    rates = {
        "dropout": config.model.dropout,
        "attention_dropout": config.model.attention_dropout,
    }
    if start is None:
        vocabulary, origin = untrained_origin(config)
        n_features = vocabulary.features.shape[1]
        encoder = preset(
            config.model.preset,
            vocab_size=len(vocabulary),
            max_positions=config.model.max_tokens,
            token_features=n_features if config.model.token_features else 0,
            dtype=compute_dtype(config.model.dtype),
            **rates,
        )
        return vocabulary, encoder, origin | {"max_tokens": config.model.max_tokens}
    found = start.description["dialect"]
    if found != config.data.dialect:
        raise ValueError(
            f"{start.directory} was trained on the {found} dialect, the configuration "
            f"asks for {config.data.dialect}: give --config.data.dialect={found}, or "
            "another --config.model.checkpoint"
        )
    encoder = encoder_config(start.description, dtype=compute_dtype(config.model.dtype))
    try:
        origin = {name: start.description[name] for name in _ORIGIN}
    except KeyError as error:
        raise ModelFolderError(f"{start.directory}: model.json lacks {error}") from None
    return start.vocabulary, dataclasses.replace(encoder, **rates), origin


def untrained_origin(config: Any) -> tuple[Vocabulary, dict[str, Any]]:
    """Vocabulary and tolerances where no model says: the dataset's, or our own.

    Raises:
        ValueError: the dataset cannot be used.
    """
    origin = _SEARCH
    if config.data.dataset:
        folder = Path(config.data.dataset)
        manifest = read_manifest(folder)
        origin = {name: manifest[name] for name in origin}
        if manifest["dialect"] == config.data.dialect:
            return load_vocabulary(folder / "vocabulary.json"), origin
    return build_vocabulary(config.data.dialect), origin


def initial_encoder(start: Model, encoder: EncoderConfig) -> PyTree:
    """The checkpoint's parameters, checked against its description.

    Of a fine-tuned model they are those of its first member's encoder, so that one
    property can prepare for another.

    Raises:
        ModelFolderError: they are not those of such an encoder.
    """
    tokens = jax.ShapeDtypeStruct((1, 2), np.int32)
    features = start.vocabulary.features if encoder.token_features else None

    def init(key, tokens):
        return Encoder(encoder).init(
            key, tokens, tokens, tokens, features=features, deterministic=True
        )

    expected = jax.eval_shape(init, jax.random.key(0), tokens)["params"]
    found = start.params.get("encoder", {})
    if start.description.get("kind") == "property":
        found = jax.tree.map(lambda leaf: leaf[0], found)
    shapes = [
        {name: leaf.shape for name, leaf in flatten_dict(tree, sep="/").items()}
        for tree in (expected, found)
    ]
    if wrong := sorted(name for name, _ in shapes[0].items() ^ shapes[1].items()):
        raise ModelFolderError(
            f"{start.directory}: the weights are not those of the encoder that "
            f"model.json describes; these are missing, superfluous or of another "
            f"shape: {', '.join(dict.fromkeys(wrong))}"[:500]
        )
    return found


def refuse_own_table(start: Model, table: Table) -> None:
    """Raise ValueError for a checkpoint that was fine-tuned on this very table.

    What it has learned may be among the rows that this run tests.
    """
    provenance = start.description.get("provenance", {})
    if (
        start.description.get("kind") == "property"
        and provenance.get("hashes", {}).get("table") == table.sha256
    ):
        raise ValueError(
            f"{start.directory} was fine-tuned on this very table, so test rows may be "
            "among what it has learned: begin with an encoder, or with a model of "
            "another table"
        )


def read(config: Any, vocabulary: Vocabulary, origin: dict[str, Any]) -> Table:
    """The labelled table as the model sees it.

    Raises:
        ValueError: no table, or one that cannot be used.
    """
    c = config.data
    if not c.table:
        raise ValueError(
            "config.data.table is empty: name a CSV, Parquet or JSON file, or a public "
            "data set (python -m cloud_jax.preprocess --list-sources)"
        )
    scope = c.scope_column or None
    dataset = c.dataset or None
    return read_table(
        c.table,
        id_column=c.id_column,
        targets=config.targets.columns,
        structure_column=None if scope or dataset else c.structure_column,
        scope_column=scope,
        dataset=dataset,
        n_atoms_column=c.n_atoms_column or None,
        split_column=config.folds.column or None,
        group_column=c.group_column or None,
        dialect=c.dialect,
        vocabulary=vocabulary,
        keep_in=Path(config.workdir) / "structures.json",
        data_dir=c.folder,
        **origin,
    )


def plan(config: Any, table: Table) -> tuple[list[Fold], list[Member]]:
    """Folds of the table, and the members of each.

    Raises:
        ValueError: not exactly one way to make folds, or folds that cannot be.
    """
    c = config.folds
    ways = [way for way in (c.column, c.file, c.random) if way]
    if len(ways) != 1:
        raise ValueError(
            "config.folds: give exactly one of column, file and random, found "
            f"column={c.column!r}, file={c.file!r}, random={c.random}"
        )
    if c.column:
        folds = folds_from_column(table.split)
    elif c.file:
        folds = folds_from_file(
            c.file,
            table.ids,
            rows=table.rows,
            rejected=[reject.id for reject in table.rejects],
        )
    else:
        folds = folds_from_k(len(table.ids), c.random, c.seed, table.group)
    if unknown := set(c.only) - {fold.name for fold in folds}:
        raise ValueError(
            f"config.folds.only: there is no fold {', '.join(sorted(unknown))}; found "
            f"{', '.join(fold.name for fold in folds)}"
        )
    folds = [fold for fold in folds if not c.only or fold.name in c.only]
    members = [
        Member(
            index,
            number,
            *validation_rows(
                fold,
                protocol=c.protocol,
                fraction=c.validation_fraction,
                seed=c.seed,
                member=number,
            ),
        )
        for index, fold in enumerate(folds)
        for number in range(config.members)
    ]
    return folds, members
