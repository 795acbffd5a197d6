"""`cloud-jax web`: a page in the browser, into which crystals are dropped.

cloud-jax web
cloud-jax web --checkpoint runs/mine --port 8000
"""

import argparse
import errno
import os
import socket
import sys
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from cloud_jax.arguments import MODEL_HELP
from cloud_jax.cli import Exit, run_command
from cloud_jax.compiled import keep_compiled_programs

_EPILOG = """\
The page reads CIF, POSCAR, extended XYZ, the JSON of pymatgen, ASE, JARVIS or
OPTIMADE, and zip or tar archives of these: 5 MB a file, 50 crystals at once. It shows
each crystal in 3D, its sentence in words, C_v(T), S(T) and H(T) with intervals and
measured points, what the model knows of such crystals, and the nearest known ones, and
gives all that as CSV, PNG and JSON. Nothing is asked of another host. Uploads are kept
for ten minutes at most, in a folder of their own, which ends with the command. Ctrl-C
stops it.
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.description = "Show predictions on a page in the browser."
    parser.epilog = _EPILOG
    add = parser.add_argument
    add(
        "--port",
        type=_port,
        default=7860,
        help="Port of this machine at which the page is served (default: 7860).",
    )
    add(
        "--host",
        default="127.0.0.1",
        metavar="ADDRESS",
        help="Address at which the page is served; 0.0.0.0 opens it to the network "
        "(default: 127.0.0.1, this machine alone).",
    )
    add(
        "--checkpoint",
        metavar="MODEL",
        help=MODEL_HELP,
    )
    add(
        "--static",
        type=Path,
        metavar="PAGE.html",
        help="Write the page as one file that needs no server, instead of serving it.",
    )


def _port(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= 65535:
        raise argparse.ArgumentTypeError(f"found {text!r}, expected 1 to 65535")
    return int(text)


def execute(arguments: argparse.Namespace) -> int:
    """Serve the page until Ctrl-C or SIGTERM, which ends the process, or write it.

    Raises:
        OSError: the address cannot be used.
        ModelFolderError: the checkpoint is not a model.
    """
    if arguments.static:
        return _write(arguments)
    if not find_spec("gradio"):  # not imported: it would choose its folder of uploads
        raise ModuleNotFoundError("No module named 'gradio'", name="gradio")
    _check_address(arguments.host, arguments.port)
    keep_compiled_programs()
    from cloud_jax.inference.predictor import load
    from cloud_jax.web.server import serve

    predictor = load(arguments.checkpoint)
    host, port = arguments.host, arguments.port

    def announce() -> None:
        shown = "127.0.0.1" if host == "0.0.0.0" else host
        print(f"the page is at http://{shown}:{port}, Ctrl-C stops it", flush=True)

    serve(predictor, host=host, port=port, ready=None if arguments.quiet else announce)
    # All is cleaned up. A thread that still compiles would abort the interpreter's end.
    os._exit(Exit.DONE)


def _write(arguments: argparse.Namespace) -> int:
    from cloud_jax.inference.predictor import load
    from cloud_jax.web.static_page import write_page

    size = write_page(load(arguments.checkpoint).model, arguments.static)
    if not arguments.quiet:
        print(f"{arguments.static}: {size / 1e6:.1f} MB, opens in any browser")
    return Exit.DONE


def _check_address(host: str, port: int) -> None:
    """Raise OSError, with what to do, where the address cannot be used."""
    try:
        family = socket.getaddrinfo(host, port)[0][0]
        with socket.socket(family) as trial:
            trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            trial.bind((host, port))
    except OSError as error:
        what = {
            errno.EADDRINUSE: "another --port, or end the program that uses it",
            errno.EACCES: "a --port above 1023",
        }.get(error.errno, "as --host an address of this machine, or leave it out")
        raise OSError(
            f"--host {host} --port {port}: {error.strerror or error}; give {what}"
        ) from None


def main(argv: Sequence[str] | None = None) -> int:
    """Run `cloud-jax web`; return the exit code."""
    return run_command("web", configure, execute, argv)


if __name__ == "__main__":
    sys.exit(main())
