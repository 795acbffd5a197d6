"""Conversion of Hugging Face BERT weights to parameters of our encoder.

The two differ in layout only: kernels are transposed, query, key and
value lie in one array, token type 0 is part of the position table, and embedding rows
that no token uses are left out.
"""

import json
import re
from pathlib import Path
from typing import Any, NamedTuple

import ml_dtypes
import numpy as np
from jaxtyping import Float, PyTree

from cloud_jax.hf.torch_zip import read_torch_zip
from cloud_jax.models.bert import LAYER_NORM_EPSILON, EncoderConfig

WEIGHTS = ("model.safetensors", "pytorch_model.bin")
_DTYPES = {
    "F64": np.float64,
    "F32": np.float32,
    "F16": np.float16,
    "BF16": ml_dtypes.bfloat16,
    "I64": np.int64,
}
_SIZES = {  # ours: theirs
    "layers": "num_hidden_layers",
    "heads": "num_attention_heads",
    "width": "hidden_size",
    "mlp_width": "intermediate_size",
    "max_positions": "max_position_embeddings",
}
_DECODER = "cls.predictions.decoder"


class HuggingFaceError(ValueError):
    """A checkpoint that cannot be converted; says file, field, found and expected."""


class Imported(NamedTuple):
    """A converted checkpoint.

    Attributes:
        config: of the encoder.
        pad_id: id of padding in config.json.
        params: `{"encoder": ..., "mlm_head": ...}`, float32; the head is missing where
            the checkpoint has none.
        files: those read, config.json first.
        notes: sentences that tell the user what was changed or left out.
    """

    config: EncoderConfig
    pad_id: int
    params: PyTree
    files: list[Path]
    notes: list[str]


def import_bert(folder: Path, *, n_tokens: int) -> Imported:
    """Read a folder that `BertModel` or `BertForMaskedLM` saved.

    Args:
        folder: holds config.json and weights (`WEIGHTS`, whole or in shards with an
            index).
        n_tokens: tokens of the tokenizer; embedding rows beyond are left out.

    Raises:
        HuggingFaceError: a file is missing or damaged, or our encoder lacks a feature.
    """
    folder = Path(folder)
    path = folder / "config.json"
    theirs = _read_json(path)
    config = _encoder_config(theirs, path, n_tokens)
    arrays, files = _read_arrays(folder)
    state = _State(_usual_names(arrays, files[0]), files[0])
    params, notes = _convert(state, config, theirs)
    return Imported(
        config, theirs.get("pad_token_id", 0), params, [path, *files], notes
    )


def _read_json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise HuggingFaceError(_missing(path.parent, path.name)) from None
    except ValueError as error:
        raise HuggingFaceError(f"{path}: not JSON ({error}); copy it again") from None
    if not isinstance(content, dict):
        raise HuggingFaceError(f"{path}: found {content!r:.40}, expected an object")
    return content


def _missing(folder: Path, expected: str) -> str:
    found = "a folder that does not exist"
    if folder.is_dir():
        names = sorted(path.name for path in folder.iterdir())
        found = ", ".join(names[:8]) or "an empty folder"
    return f"{folder}: found {found}; expected {expected}"


def _encoder_config(theirs: dict[str, Any], path: Path, n_tokens: int) -> EncoderConfig:
    """Check config.json and return the configuration it describes."""

    def check(field: str, fits: bool, expected: str) -> None:
        if not fits:
            raise HuggingFaceError(
                f"{path}, field {field}: found {theirs.get(field)!r}, expected "
                f"{expected}"
            )

    def is_size(field: str) -> bool:
        found = theirs.get(field)
        return isinstance(found, int) and not isinstance(found, bool) and found > 0

    # Where a field is missing, BertConfig's default stands.
    for field, default, allowed in (
        ("model_type", None, ("bert",)),
        ("hidden_act", "gelu", ("gelu", "gelu_python")),
        ("position_embedding_type", "absolute", ("absolute",)),
        ("layer_norm_eps", LAYER_NORM_EPSILON, (LAYER_NORM_EPSILON,)),
        ("is_decoder", False, (False,)),
        ("tie_word_embeddings", True, (True,)),
    ):
        fits = theirs.get(field, default) in allowed
        check(field, fits, " or ".join(map(repr, allowed)))
    for field in (*_SIZES.values(), "vocab_size"):
        check(field, is_size(field), "an integer above 0")
    if "type_vocab_size" in theirs:
        check("type_vocab_size", is_size("type_vocab_size"), "an integer above 0")
    heads = theirs["num_attention_heads"]
    check("hidden_size", theirs["hidden_size"] % heads == 0, f"a multiple of {heads}")
    check(
        "vocab_size",
        theirs["vocab_size"] >= n_tokens,
        f"at least the {n_tokens} tokens of the tokenizer; it belongs to other weights",
    )
    dropout = {}
    for ours, field in (
        ("dropout", "hidden_dropout_prob"),
        ("attention_dropout", "attention_probs_dropout_prob"),
    ):
        rate = dropout[ours] = theirs.get(field, 0.1)
        check(field, isinstance(rate, (int, float)) and 0 <= rate < 1, "0 to 1")
    sizes = {ours: theirs[field] for ours, field in _SIZES.items()}
    return EncoderConfig(vocab_size=n_tokens, **sizes, **dropout)


def _read_arrays(folder: Path) -> tuple[dict[str, np.ndarray], list[Path]]:
    """Return all arrays by name, and the files that hold them, an index first."""
    for name in WEIGHTS:
        path, index = folder / name, folder / f"{name}.index.json"
        if path.is_file():
            return _read_file(path), [path]
        if index.is_file():
            return _read_shards(index)
    raise HuggingFaceError(
        _missing(folder, f"{' or '.join(WEIGHTS)}, or either's index and shards")
    )


def _read_shards(index: Path) -> tuple[dict[str, np.ndarray], list[Path]]:
    shard_of = _read_json(index).get("weight_map")
    if not isinstance(shard_of, dict) or not all(
        isinstance(name, str) and Path(name).name == name for name in shard_of.values()
    ):
        raise HuggingFaceError(
            f"{index}, field weight_map: found {shard_of!r:.60}, expected the file "
            "name of each weight, in the same folder"
        )
    arrays, files = {}, [index]
    for name in sorted(set(shard_of.values())):
        path = index.parent / name
        if not path.is_file():
            raise HuggingFaceError(_missing(index.parent, f"{name}, as {index.name}"))
        arrays |= _read_file(path)
        files.append(path)
    lost = sorted(set(shard_of) - set(arrays))
    if lost:
        raise HuggingFaceError(
            f"{index.parent / shard_of[lost[0]]}: lacks {lost[0]}, which {index.name} "
            "says it holds"
        )
    return arrays, files


def _read_file(path: Path) -> dict[str, np.ndarray]:
    from safetensors import SafetensorError, deserialize

    if path.suffix != ".safetensors":
        try:
            return read_torch_zip(path)
        except ValueError as error:
            raise HuggingFaceError(str(error)) from None
    try:
        return {
            name: np.frombuffer(found["data"], _DTYPES[found["dtype"]]).reshape(
                found["shape"]
            )
            for name, found in deserialize(path.read_bytes())
        }
    except (SafetensorError, KeyError) as error:
        raise HuggingFaceError(
            f"{path}: damaged, or of a type other than {', '.join(_DTYPES)} ({error}); "
            "copy it again"
        ) from None


def _usual_names(arrays: dict[str, np.ndarray], file: Path) -> dict[str, np.ndarray]:
    """Return the arrays under the names that BertForMaskedLM gives them today.

    Wrappers of PyTorch put a prefix before all names, and the first releases of BERT
    called a LayerNorm's weight gamma and its bias beta.
    """
    renamed: dict[str, np.ndarray] = {}
    for name, array in sorted(arrays.items()):
        usual = re.sub(r"^(module\.|_orig_mod\.|model\.)+", "", name)
        usual = usual.replace("LayerNorm.gamma", "LayerNorm.weight")
        usual = usual.replace("LayerNorm.beta", "LayerNorm.bias")
        if usual in renamed:
            raise HuggingFaceError(
                f"{file}, weight {name}: found {usual} too, expected one of the two"
            )
        renamed[usual] = array
    return renamed


class _State:
    """Arrays by name; `left` holds the names not taken yet."""

    def __init__(self, arrays: dict[str, np.ndarray], file: Path):
        self._arrays, self.file = arrays, file
        self.left = set(arrays)

    def take(self, name: str, *shape: int) -> Float[np.ndarray, "..."]:
        """Return an array as float32, checked for its shape and finite values."""
        where = f"{self.file}, weight {name}"
        array = self._arrays.get(name)
        if array is None:
            raise HuggingFaceError(
                f"{where}: not among the {len(self._arrays)} found, expected one of "
                f"shape {list(shape)}"
            )
        if array.shape != shape:
            raise HuggingFaceError(
                f"{where}: found shape {list(array.shape)}, config.json makes it "
                f"{list(shape)}"
            )
        array = array.astype(np.float32)
        lost = array.size - int(np.isfinite(array).sum())
        if lost:
            raise HuggingFaceError(
                f"{where}: found {lost} values of {array.size} that are NaN or "
                "infinite, expected none"
            )
        self.left.discard(name)
        return array

    def linear(self, name: str, inputs: int, outputs: int) -> dict[str, np.ndarray]:
        """Return a torch Linear as a flax Dense, the kernel transposed."""
        kernel = self.take(f"{name}.weight", outputs, inputs).T
        return {"kernel": kernel, "bias": self.take(f"{name}.bias", outputs)}

    def norm(self, name: str, width: int) -> dict[str, np.ndarray]:
        """Return a LayerNorm's scale and bias."""
        scale = self.take(f"{name}.weight", width)
        return {"scale": scale, "bias": self.take(f"{name}.bias", width)}


def _convert(
    state: _State, config: EncoderConfig, theirs: dict[str, Any]
) -> tuple[PyTree, list[str]]:
    """Return our parameters, and notes on what was left out."""
    width, rows, n_tokens = config.width, theirs["vocab_size"], config.vocab_size
    bert = "bert." if any(name.startswith("bert.") for name in state.left) else ""

    def pad(array):
        """Keep the rows of known tokens; add zero rows up to a multiple of 128."""
        missing = config.padded_vocab_size - n_tokens
        return np.pad(array[:n_tokens], [(0, missing)] + [(0, 0)] * (array.ndim - 1))

    tables = f"{bert}embeddings"
    words = _word_embedding(state, f"{tables}.word_embeddings.weight", rows, width)
    types = theirs.get("type_vocab_size", 2)
    shape = (config.max_positions, width)
    encoder = {
        "token_embedding": pad(words),
        "position_embedding": state.take(f"{tables}.position_embeddings.weight", *shape)
        + state.take(f"{tables}.token_type_embeddings.weight", types, width)[0],
        "embedding_norm": state.norm(f"{tables}.LayerNorm", width),
    } | {
        f"layer_{i}": _layer(state, f"{bert}encoder.layer.{i}", config)
        for i in range(config.layers)
    }
    params, notes = {"encoder": encoder}, []
    head = "cls.predictions"
    if any(name.startswith(head) for name in state.left):
        bias, note = _head_bias(state, rows)
        notes += note
        params["mlm_head"] = {
            "dense": state.linear(f"{head}.transform.dense", width, width),
            "norm": state.norm(f"{head}.transform.LayerNorm", width),
            "bias": pad(bias),
        }
    ignored = (f"{bert}pooler.", f"{bert}embeddings.position_ids", "cls.seq_")
    unknown = sorted(n for n in state.left if not n.startswith(ignored))
    if unknown:
        raise HuggingFaceError(
            f"{state.file}: found {len(unknown)} weights that a BERT of "
            f"{config.layers} layers does not have, expected none: "
            f"{', '.join(unknown[:3])}..."
        )
    notes += [
        f"{n_tokens:,} of {rows:,} embedding rows are kept; no token uses the others",
        "token type 0 is added to the position table"
        + (f"; the other {types - 1} left out" if types > 1 else ""),
    ]
    if any(name.startswith(f"{bert}pooler.") for name in state.left):
        notes.append("the pooler is left out: heads take the state of [CLS] itself")
    if "mlm_head" not in params:
        notes.append("the checkpoint has no masked-language-modelling head")
    return params, notes


def _layer(state: _State, name: str, config: EncoderConfig) -> PyTree:
    width, mlp_width = config.width, config.mlp_width
    attention = f"{name}.attention"
    parts = [
        state.linear(f"{attention}.self.{part}", width, width)
        for part in ("query", "key", "value")
    ]
    return {
        "attention": {
            "qkv_kernel": np.stack([part["kernel"] for part in parts], axis=1),
            "qkv_bias": np.stack([part["bias"] for part in parts]),
            "output": state.linear(f"{attention}.output.dense", width, width),
        },
        "attention_norm": state.norm(f"{attention}.output.LayerNorm", width),
        "mlp": {
            "in": state.linear(f"{name}.intermediate.dense", width, mlp_width),
            "out": state.linear(f"{name}.output.dense", mlp_width, width),
        },
        "mlp_norm": state.norm(f"{name}.output.LayerNorm", width),
    }


def _word_embedding(
    state: _State, name: str, rows: int, width: int
) -> Float[np.ndarray, "rows width"]:
    """Return the word embedding, which the decoder shares as in our encoder.

    A checkpoint may hold it under its own name, under that of the decoder, or both.
    """
    decoder = f"{_DECODER}.weight"
    if decoder not in state.left:
        return state.take(name, rows, width)
    shared = state.take(decoder, rows, width)
    if name in state.left and not np.array_equal(state.take(name, rows, width), shared):
        raise HuggingFaceError(
            f"{state.file}, weight {decoder}: found values other than those of the "
            "word embedding, expected the same (tie_word_embeddings)"
        )
    return shared


def _head_bias(
    state: _State, rows: int
) -> tuple[Float[np.ndarray, " rows"], list[str]]:
    """Return the bias of the logits, and a note where two names hold different ones.

    It is shared by two names, and transformers uses that of the decoder.
    """
    names = f"{_DECODER}.bias", "cls.predictions.bias"
    found = [state.take(name, rows) for name in names if name in state.left]
    if not found:
        state.take(names[1], rows)  # which says that it is missing
    if np.array_equal(found[0], found[-1]):
        return found[0], []
    return found[0], [f"{names[0]} differs from {names[1]} and is used, as by BERT"]
