"""Arrays of a PyTorch checkpoint, without PyTorch and without running its pickle.

`torch.save` (since 1.6) writes a zip archive: `data.pkl`, a pickle of the nested
object, and one uncompressed entry per storage, `data/0`, `data/1`... A pickle may name
any function of any module and have it called. Here it may name only the few that
rebuild a tensor, replaced by functions of this module; any other name is an error.
"""

import collections
import io
import pickle
import zipfile
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np

_STORAGES = {
    "DoubleStorage": np.float64,
    "FloatStorage": np.float32,
    "HalfStorage": np.float16,
    "BFloat16Storage": ml_dtypes.bfloat16,
    "LongStorage": np.int64,
    "IntStorage": np.int32,
    "ShortStorage": np.int16,
    "CharStorage": np.int8,
    "ByteStorage": np.uint8,
    "BoolStorage": np.bool_,
}


def read_torch_zip(path: Path) -> dict[str, np.ndarray]:
    """Read a state dict that `torch.save` wrote.

    Args:
        path: for instance pytorch_model.bin.

    Returns:
        The arrays by name, in their stored types.

    Raises:
        OSError: the file cannot be read.
        ValueError: damaged, not such a file, or it names something other than
            tensors; nothing that it names was run.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            state = _Unpickler(archive).load()
    except OSError:
        raise
    except zipfile.BadZipFile as error:
        raise ValueError(
            f"{path}: found a damaged file or one that is not a zip archive ({error}), "
            "expected what torch.save writes since PyTorch 1.6"
        ) from None
    # A damaged or hostile pickle can raise anything.
    except Exception as error:
        raise ValueError(
            f"{path}: not read ({type(error).__name__}: {error}); expected a state "
            "dict of tensors saved by torch.save; nothing in it was run"
        ) from None
    if not isinstance(state, dict):
        raise ValueError(
            f"{path}: found a {type(state).__name__}, expected a state dict"
        )
    for name, value in state.items():
        if not (isinstance(name, str) and isinstance(value, np.ndarray)):
            raise ValueError(
                f"{path}, entry {name!r}: found a {type(value).__name__}, expected a "
                "tensor; save model.state_dict() alone"
            )
    return dict(state)


class _Unpickler(pickle.Unpickler):
    """Unpickles tensors, lists, dicts, strings and numbers."""

    def __init__(self, archive: zipfile.ZipFile):
        names = [name for name in archive.namelist() if name.endswith("data.pkl")]
        if len(names) != 1:
            raise ValueError(f"{len(names)} entries data.pkl in the archive")
        self._archive = archive
        self._root = names[0].removesuffix("data.pkl")
        order = f"{self._root}byteorder"
        if order in archive.namelist() and archive.read(order) != b"little":
            raise ValueError(f"byteorder {archive.read(order)!r}, expected b'little'")
        super().__init__(io.BytesIO(self._read(names[0])))

    def _read(self, name: str) -> bytes:
        entry = self._archive.getinfo(name)
        if entry.compress_type != zipfile.ZIP_STORED:
            raise ValueError(f"{name} is compressed, which torch.save never does")
        return self._archive.read(entry)  # checks the CRC

    def find_class(self, module: str, name: str) -> Any:
        """Return the stand-in for one of the few allowed names."""
        if module == "torch" and name in _STORAGES:
            return name  # a string: a pickle could change the state of a dtype
        known = {
            ("collections", "OrderedDict"): collections.OrderedDict,
            ("torch._utils", "_rebuild_tensor_v2"): _rebuild_tensor,
            ("torch._utils", "_rebuild_parameter"): _rebuild_parameter,
        }
        if (module, name) not in known:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}")
        return known[module, name]

    def persistent_load(self, pid: tuple) -> np.ndarray:
        """Return a storage: ("storage", type, entry, device, elements)."""
        kind, name, key, _, size = pid
        if kind != "storage" or name not in _STORAGES:
            raise pickle.UnpicklingError(f"it asks for {pid!r}")
        content = self._read(f"{self._root}data/{key}")
        return np.frombuffer(content, _STORAGES[name], int(size))


def _rebuild_tensor(storage, offset, shape, stride, *_) -> np.ndarray:
    """Return a tensor as a view of its storage; numpy checks the bounds."""
    size = storage.dtype.itemsize
    strides = tuple(size * step for step in stride)
    return np.ndarray(shape, storage.dtype, storage, size * offset, strides)


def _rebuild_parameter(data, *_) -> np.ndarray:
    return data
