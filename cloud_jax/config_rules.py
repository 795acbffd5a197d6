"""What the value of each setting must be, beyond its type."""

import math
from typing import Any

COUNT = "a whole number from 1", lambda value: value >= 1
COUNT_OR_NONE = "a whole number from 0", lambda value: value >= 0
SEED = "a whole number from 0 below 2**32", lambda value: 0 <= value < 2**32
POSITIVE = "a finite number above 0", lambda value: 0 < value < math.inf
NOT_NEGATIVE = "a finite number from 0", lambda value: 0 <= value < math.inf
SHARE = "a number above 0 and below 1", lambda value: 0 < value < 1
RATE = "a number from 0 and below 1", lambda value: 0 <= value < 1
RATIO = "a number above 0 and at most 1", lambda value: 0 < value <= 1


def _one_of(*choices: str) -> tuple[str, Any]:
    return f"one of {', '.join(choices)}", lambda value: value in choices


def _are_texts(value: tuple) -> bool:
    return all(isinstance(part, str) for part in value)


def _are_numbers(value: tuple) -> bool:
    kinds = {type(part) for part in value}
    return kinds <= {int, float} and all(map(math.isfinite, value))


def _fills_in(words: tuple) -> bool:
    """Return whether texts have only the placeholders that `training.dataset` fills."""
    try:
        return all(word.format(path="", dialect="") is not None for word in words)
    except (AttributeError, IndexError, KeyError, TypeError, ValueError):
        return False


# By key: what is expected, in words, and whether a value is that. Keys that are not
# here are checked where they meet what they must fit: folders, devices, presets.
RULES = {
    "data.build": (
        "a tuple of texts, with no placeholders but {path} and {dialect}",
        lambda value: _are_texts(value) and _fills_in(value),
    ),
    "targets.temperatures_k": ("a tuple of finite numbers", _are_numbers),
    "targets.weights": ("a tuple of finite numbers", _are_numbers),
    "targets.factors": ("a tuple of finite numbers", _are_numbers),
    **dict.fromkeys(
        ("targets.columns", "targets.properties", "targets.units", "targets.bases",
         "targets.positives", "folds.only"),
        ("a tuple of texts, as in ('first', 'second')", _are_texts),
    ),
    "data.dialect": _one_of("canonical", "paper"),
    "folds.protocol": _one_of("strict", "paper"),
    "folds.group": ("formula or empty", lambda value: value in ("", "formula")),
    "model.dtype": _one_of("auto", "float32", "bfloat16", "float16"),
    "head.layers": ("1, 2 or 3", lambda value: value in (1, 2, 3)),
    "optimizer.loss": _one_of("l1", "l2"),
    "optimizer.layer_decay": RATIO,
    "optimizer.weight_decay": NOT_NEGATIVE,
    "mask_fraction": SHARE,
    "folds.validation_fraction": SHARE,
    "confidence": SHARE,
    **dict.fromkeys(("optimizer.learning_rate", "optimizer.clip_norm"), POSITIVE),
    **dict.fromkeys(("seed", "folds.seed", "evaluate.mask_seed"), SEED),
    **dict.fromkeys(
        ("model.dropout", "model.attention_dropout", "optimizer.warmup_fraction"), RATE
    ),
    **dict.fromkeys(
        ("folds.random", "members_at_once", "optimizer.steps", "evaluate.max_batches",
         "optimizer.frozen_epochs"),
        COUNT_OR_NONE,
    ),
    **dict.fromkeys(
        ("data.batch_crystals", "data.row_length", "members", "model.max_tokens",
         "optimizer.epochs", "optimizer.batch_crystals", "evaluate.every_steps",
         "checkpoint.every_steps", "checkpoint.every_epochs", "checkpoint.keep",
         "log.every_steps", "distributed.timeout_s"),
        COUNT,
    ),
}  # fmt: skip
