"""Files that are whole or not there."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO


@contextmanager
def whole_file(path: Path, mode: str = "wb", **options) -> Iterator[IO]:
    """Open a file that takes its name only when all went well.

    Until then what was there before stays.

    Args:
        path: the name; what is half written is beside it, `.NAME.partial`.
        mode: of `open`, `wb` or `w`.
        **options: of `open`.

    Raises:
        OSError: it cannot be written; with its name.
    """
    partial = path.with_name(f".{path.name}.partial")
    try:
        with partial.open(mode, **options) as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, path)
    except BaseException as error:
        with suppress(OSError):
            partial.unlink()
        ours = str(getattr(error, "filename", None)) in ("None", str(partial))
        if isinstance(error, OSError) and ours and error.errno:
            raise OSError(error.errno, error.strerror, str(path)) from error
        raise


def write_whole(path: Path, data: str | bytes) -> None:
    """Write a file so that it is either old or new, never half.

    Raises:
        OSError: it cannot be written; with its name.
    """
    with whole_file(path) as file:
        file.write(data.encode() if isinstance(data, str) else data)
