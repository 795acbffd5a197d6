"""`cloud-jax COMMAND`: the commands, their exit codes, and how each of them starts.

A command is a module with `configure(parser)`, which adds its arguments,
`execute(arguments)`, which runs them and returns an exit code, and `main(argv)`, which
hands both to `run_command`. Modules are imported when their command is asked for, and
import what is heavy when they execute, so that `--help` is instant.
"""

import argparse
import enum
import os
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from importlib import import_module
from typing import NamedTuple

from cloud_jax import __version__
from cloud_jax.arguments import Parser
from cloud_jax.files import reason


class Exit(enum.IntEnum):
    """How a command ended; the same codes for all commands."""

    DONE = 0
    FAILED = 1
    USAGE = 2
    DOUBTFUL = 3
    RESUMABLE = 75
    STOPPED = 130


EXIT_CODES = """\
exit codes
  0    done (also when it had been done before)
  1    something to correct: a file, a setting, the disk; the message says what
  2    wrong arguments
  3    the result is not sound: a loss was not finite, or too much was rejected
  75   stopped (SIGTERM, Ctrl-C) or a download incomplete, with the work saved: run it
       again to resume
  130  stopped by Ctrl-C or SIGTERM, nothing was kept
"""


class UsageError(ValueError):
    """Arguments that do not go together; the message says which."""


class ResumableStop(KeyboardInterrupt):
    """Ctrl-C where the work is kept, and the user has been told so."""


class Command(NamedTuple):
    """Where a command is.

    Attributes:
        module: that holds it.
        summary: a line for the list of commands.
        extra: of the package (`pip install "cloud-jax[EXTRA]"`) that it needs.
        example: of its use in a clone of the repository.
    """

    module: str
    summary: str
    extra: str = ""
    example: str = ""


COMMANDS = {
    "scope": Command(
        "cloud_jax.scope.command",
        "print the sentence of a crystal",
        example="cloud-jax scope examples/quartz.cif",
    ),
    "predict": Command(
        "cloud_jax.predict",
        "predict properties of crystals",
        example="cloud-jax predict examples/quartz.cif --temperature 0:1000:10 "
        "--plot quartz.png",
    ),
    "web": Command(
        "cloud_jax.web.command",
        "show predictions on a page in the browser",
        "web",
        example="cloud-jax web --port 7860",
    ),
    "datasets": Command(
        "cloud_jax.datasets.command",
        "list or download public data",
        "preprocess",
        example="cloud-jax datasets matbench:phonons",
    ),
    "preprocess": Command(
        "cloud_jax.preprocess.command",
        "turn structures into token shards",
        "preprocess",
        example="cloud-jax preprocess cif:examples --output datasets/examples",
    ),
    "pretrain": Command(
        "cloud_jax.pretrain",
        "train an encoder on token shards",
        "train",
        example="cloud-jax pretrain --config configs/quickstart.py",
    ),
    "finetune": Command(
        "cloud_jax.finetune",
        "train on a table of labelled crystals",
        "train",
        example="cloud-jax finetune my.csv --target band_gap --unit eV",
    ),
    "search": Command(
        "cloud_jax.search",
        "search settings of fine-tuning",
        "search",
        example="cloud-jax search --config configs/thermal.py:textbook --trials 20",
    ),
    "import-hf": Command(
        "cloud_jax.import_hf",
        "convert a Hugging Face BERT checkpoint",
        example="cloud-jax import-hf RELEASE --output models/released",
    ),
    "study attention": Command(
        "cloud_jax.studies.attention.command",
        "measure what [CLS] attends to",
        "report",
        example="cloud-jax study attention examples/quartz.cif --output runs/attention",
    ),
    "study discovery": Command(
        "cloud_jax.studies.discovery.command",
        "score a model on MatBench Discovery",
        "report",
        example="cloud-jax study discovery runs/discovery",
    ),
    "study leaderboard": Command(
        "cloud_jax.studies.leaderboard",
        "merge runs into MatBench's results file",
        "report",
        example="cloud-jax study leaderboard runs/matbench_phonons",
    ),
    "study phonon": Command(
        "cloud_jax.studies.phonon.command",
        "compare heat capacity and energy with the paper",
        "report",
        example="cloud-jax study phonon runs/thermal",
    ),
    "study potentials": Command(
        "cloud_jax.studies.potentials.command",
        "compare heat capacity with universal potentials",
        "report",
        example="cloud-jax study potentials "
        "alexandria-binary-pbe-phonon-2025.1.json.gz",
    ),
    "study report": Command(
        "cloud_jax.studies.report.command",
        "gather finished runs on one page",
        "report",
        example="cloud-jax study report runs --output report.html",
    ),
    "study scaling": Command(
        "cloud_jax.studies.scaling.command",
        "fit the scaling law of a corpus",
        "report",
        example="cloud-jax study scaling run --config configs/scaling.py",
    ),
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run `cloud-jax`; return the exit code."""
    words = list(sys.argv[1:] if argv is None else argv)
    if "_ARGCOMPLETE" in os.environ:
        complete()
    for n_words in (1, 2):
        name = " ".join(words[:n_words])
        if name in COMMANDS:
            try:
                module = import_module(COMMANDS[name].module)
            except ModuleNotFoundError as error:
                return _missing(name, error)
            return module.main(words[n_words:])
    arguments = overview().parse_args(words)
    arguments.parser.print_help(sys.stderr)  # no command, or `study` alone
    return Exit.USAGE


def _missing(name: str, error: ModuleNotFoundError) -> int:
    """Say which package a command lacks, and how to install it.

    Raises:
        ModuleNotFoundError: it is a module of ours.
    """
    if str(error.name).partition(".")[0] == "cloud_jax":
        raise error
    extra = COMMANDS[name].extra or "all"
    print(
        f"error: `cloud-jax {name}` needs the package {error.name}, which is not "
        f'installed: pip install "cloud-jax[{extra}]"',
        file=sys.stderr,
    )
    return Exit.FAILED


def overview() -> argparse.ArgumentParser:
    """Return the parser of `cloud-jax` itself, which knows the names alone."""
    parser = Parser(
        prog="cloud-jax",
        example="cloud-jax predict examples/quartz.cif --temperature 300",
        description="CLOUD: a language model of crystals. `cloud-jax COMMAND --help` "
        "describes a command.",
        epilog=EXIT_CODES,
    )
    version = f"cloud-jax {__version__}"
    parser.add_argument(
        "--version", action="version", version=version, help="Print the version."
    )
    parser.set_defaults(parser=parser)
    _add_commands(parser)
    return parser


def complete() -> None:
    """Answer the shell that asks what may follow on the command line."""
    import argcomplete

    parser = Parser(prog="cloud-jax")
    for name, child in _add_commands(parser).items():
        with suppress(ModuleNotFoundError):  # its extra is not installed
            import_module(COMMANDS[name].module).configure(child)
    argcomplete.autocomplete(parser)


def _add_commands(
    parser: argparse.ArgumentParser,
) -> dict[str, argparse.ArgumentParser]:
    """Add a parser per command, `study X` below `study`; return them by name."""
    level = parser.add_subparsers(title="commands", metavar="COMMAND")
    study, parsers = None, {}
    for name, command in COMMANDS.items():
        if name.startswith("study "):
            if study is None:
                group = level.add_parser("study", help="reproduce the paper's evidence")
                group.set_defaults(parser=group)
                study = group.add_subparsers(title="studies", metavar="STUDY")
            parsers[name] = study.add_parser(name.split()[1], help=command.summary)
        else:
            parsers[name] = level.add_parser(name, help=command.summary)
    return parsers


def run_command(
    name: str,
    configure: Callable[[argparse.ArgumentParser], None],
    execute: Callable[[argparse.Namespace], int],
    argv: Sequence[str] | None,
    *,
    settings: bool = False,
) -> int:
    """Parse a command line, execute it, and turn what goes wrong into an exit code.

    A `UsageError` ends with the usage and code 2. Another `ValueError` or an `OSError`
    is something for the user to correct: its message is printed, and the code is its
    attribute `exit_code`, by default 1. Other errors are for `execute` to handle.

    Args:
        name: of the command, as in `COMMANDS`.
        configure: adds the arguments to a parser, and may set its description and
            its epilog.
        execute: runs the parsed arguments.
        argv: the words after the command; those of this process without it.
        settings: whether `--config.KEY=VALUE` arguments follow; they are put in
            `arguments.overrides`.
    """
    parser = Parser(prog=f"cloud-jax {name}", example=COMMANDS[name].example)
    parser.add_argument(
        "--quiet", action="store_true", help="Show no progress and no notes."
    )
    argv = [_hyphenated(word) for word in (sys.argv[1:] if argv is None else argv)]
    try:
        configure(parser)
        parser.epilog = "\n".join(filter(None, (parser.epilog, EXIT_CODES)))
        if settings:
            arguments = parse_settings(parser, argv)
        else:
            arguments = parser.parse_args(argv)
        if arguments.quiet:
            os.environ["CLOUD_JAX_QUIET"] = "1"  # workers inherit it
        return execute(arguments)
    except UsageError as error:
        parser.error(str(error))
    except ResumableStop:
        return Exit.RESUMABLE
    except KeyboardInterrupt:
        print("stopped: nothing was kept", file=sys.stderr)
        return Exit.STOPPED
    except BrokenPipeError:  # the reader of standard output has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return Exit.DONE
    except ModuleNotFoundError as error:
        return _missing(name, error)
    except (OSError, ValueError) as error:
        print(f"error: {reason(error)}", file=sys.stderr)
        return getattr(error, "exit_code", Exit.FAILED)


@contextmanager
def sigterm_as_interrupt() -> Iterator[None]:
    """Let SIGTERM, which batch systems send, end the block as Ctrl-C does."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _hyphenated(word: str) -> str:
    """Return `--num_processes=2` as `--num-processes=2`; older launchers have it."""
    flag, equals, value = word.partition("=")
    if not flag.startswith("--") or flag.startswith("--config."):
        return word
    return flag.replace("_", "-") + equals + value


def parse_settings(
    parser: argparse.ArgumentParser, argv: Sequence[str] | None
) -> argparse.Namespace:
    """Parse arguments, and keep `--config.KEY=VALUE` ones as `overrides`.

    Anything else that is unknown ends the program with the parser's usage message.
    """
    words = list(sys.argv[1:] if argv is None else argv)
    # Taken out first: argparse reads a word with a space, as in (0, 1), as no option.
    overrides = [word for word in words if word.startswith("--config.")]
    arguments, unknown = parser.parse_known_args(
        [word for word in words if not word.startswith("--config.")]
    )
    bare = [word for word in overrides if "=" not in word]
    if bare and unknown:
        parser.error(f"{bare[0]} {unknown[0]}: expected {bare[0]}={unknown[0]}")
    if unknown:
        from cloud_jax.config import near_setting

        key, equals, value = unknown[0].lstrip("-").partition("=")
        near = near_setting(key, parser.epilog or "")
        parser.refuse(unknown[0], near and f"--config.{near}{equals}{value}")
    arguments.overrides = overrides
    return arguments


if __name__ == "__main__":
    sys.exit(main())
