"""The setting that a misspelt key means, or one that has another name elsewhere."""

from collections.abc import Iterable

from cloud_jax.arguments import nearest

# By settings, the first that a kind of run has: their usual names. Only messages know
# these; one name is read.
_USUAL = {
    "optimizer.learning_rate": "lr rate step_size base_lr max_lr",
    "optimizer.batch_crystals data.batch_crystals": "batch batch_size batchsize bs "
    "train_batch_size",
    "optimizer.epochs": "epoch n_epochs num_epochs max_epochs num_train_epochs",
    "optimizer.steps optimizer.epochs": "n_steps num_steps max_steps iterations",
    "optimizer.weight_decay": "wd l2",
    "optimizer.warmup_fraction": "warmup warmup_steps warmup_ratio",
    "optimizer.clip_norm": "clip grad_clip max_grad_norm gradient_clipping",
    "optimizer.frozen_epochs": "freeze frozen freeze_encoder",
    "optimizer.loss": "criterion objective",
    "model.preset": "layers n_layers num_layers depth width d_model size hidden_size "
    "heads n_heads num_heads",
    "model.dtype": "precision fp16 bf16 amp half",
    "model.max_tokens data.row_length": "max_len max_length seq_len seq_length",
    "model.checkpoint": "pretrained pretrained_model encoder init weights ckpt",
    "mesh.data members_at_once": "gpu gpus n_gpus num_gpus devices num_devices tpus",
    "seed": "random_seed random_state",
    "mask_fraction": "mask_ratio mask_prob mlm_probability",
    "workdir": "output output_dir out_dir outdir save_dir logdir run_dir",
    "data.table data.path": "csv file input data dataset_path train_file",
    "targets.columns": "target targets label labels y",
    "targets.units": "unit",
    "data.id_column": "id ids index_col",
    "data.structure_column": "structures cif cifs",
    "data.group_column": "group groups",
    "folds.random": "folds k kfold k_folds n_folds num_folds n_splits cv",
    "folds.only": "fold",
    "folds.validation_fraction": "val_fraction val_split val_size validation_split",
    "members": "ensemble ensemble_size n_members num_models n_models",
    "checkpoint.every_epochs checkpoint.every_steps": "save_every save_steps",
    "evaluate.every_steps": "eval_every eval_steps val_every",
    "log.every_steps": "log_every logging_steps",
}
ALIASES = {
    name: tuple(keys.split())
    for keys, names in _USUAL.items()
    for name in names.split()
}


def nearest_key(key: str, known: Iterable[str]) -> str:
    """Return the setting that a wrong key means; empty if none is like it.

    Args:
        key: dotted or not, such as `lr` or `optimiser.epochs`.
        known: keys of the settings of a run.
    """
    known = list(known)
    leaf = key.rpartition(".")[2].replace("-", "_").lower()
    # Of several settings of one name the first is meant.
    leaves = {name.rpartition(".")[2]: name for name in reversed(known)}
    usual = (name for name in ALIASES.get(leaf, ()) if name in known)
    return (
        nearest(key, known, 0.8)
        or leaves.get(leaf)
        or next(usual, "")
        or leaves.get(nearest(leaf, leaves, 0.75))
        or nearest(key, known, 0.7)
    )
