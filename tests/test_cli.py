"""`cloud-jax`: every command is found, helps at once, and says what it lacks."""

import os
import re
import shlex
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

from cloud_jax import __version__, cli
from cloud_jax.arguments import Parser, command_line
from cloud_jax.cli import COMMANDS, Exit, UsageError, run_command

ROOT = Path(__file__).resolve().parents[1]


@pytest.mark.parametrize("name", COMMANDS)
def test_help_names_the_command_and_the_exit_codes(name, capsys):
    with pytest.raises(SystemExit) as stop:
        cli.main([*name.split(), "--help"])
    assert stop.value.code == 0
    text = capsys.readouterr().out
    assert text.startswith(f"usage: cloud-jax {name} ")
    assert cli.EXIT_CODES in text
    assert "--quiet" in text


@pytest.mark.parametrize("name", COMMANDS)
def test_flags_are_words_joined_by_hyphens(name):
    parser = cli.argparse.ArgumentParser()
    import_module(COMMANDS[name].module).configure(parser)
    flags = [flag for action in parser._actions for flag in action.option_strings]
    assert all("_" not in flag for flag in flags)
    assert not {"--out", "--out-dir", "--dir", "--model"} & set(flags)


def parsers_of(name):
    """Return the parser of a command and those of the commands below it."""
    found = [Parser(prog=f"cloud-jax {name}")]
    import_module(COMMANDS[name].module).configure(found[0])
    for parser in found:  # grows
        for action in parser._actions:
            if isinstance(action, cli.argparse._SubParsersAction):
                found += action.choices.values()
    return found


@pytest.mark.parametrize("name", COMMANDS)
def test_every_argument_is_described_by_a_sentence(name):
    for parser in parsers_of(name):
        for action in parser._actions:
            if not isinstance(action, cli.argparse._SubParsersAction):
                flag = action.option_strings or action.dest
                assert re.fullmatch(r"(?s)[A-Z].*[^.]\.", action.help or ""), flag


@pytest.mark.parametrize("name", COMMANDS)
def test_each_help_begins_with_an_example_that_parses(name, capsys):
    example = COMMANDS[name].example
    words = shlex.split(example)
    assert words[: 1 + len(name.split())] == ["cloud-jax", *name.split()]
    parser, *_ = parsers_of(name)
    parser.parse_args(words[1 + len(name.split()) :])
    for word in words:
        if word.startswith(("examples/", "configs/")):
            assert (ROOT / word.partition(":")[0]).exists()
    with pytest.raises(SystemExit):
        cli.main([*name.split(), "--help"])
    help_text = capsys.readouterr().out
    assert help_text.index(f"\n\nexample: {example}\n") < help_text.index("options:")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (
            "preditc q.cif",
            "found 'preditc'; did you mean predict? Expected one",
        ),
        ("study atention", "found 'atention'; did you mean attention?"),
        ("study", "attention"),
        ("predict", "FILE is missing, as in: cloud-jax predict examples/quartz.cif"),
        ("predict --temprature 300 q", "--temprature; did you mean --temperature?"),
        ("predict --plt x.png q", "unknown argument --plt; did you mean --plot?"),
        ("predict --Json q", "unknown argument --Json; did you mean --json?"),
        ("predict --qqqq q", "unknown argument --qqqq\n"),
        ("predict --config.seed=1 q", "unknown argument --config.seed\n"),
        (
            "predict q --basis atoms",
            "found 'atoms'; did you mean atom?",
        ),
        (
            "predict q --temperature hot",
            "found 'hot', expected a temperature",
        ),
        ("scope q --symprec tiny", "--symprec: found 'tiny', expected a number\n"),
        (
            "scope q --dialct paper",
            "--dialct; did you mean --dialect?",
        ),
        ("preprocess x --seed x", "--seed: found 'x', expected a whole number\n"),
        ("preprocess x --workers 0", "--workers: 0: expected more than 0"),
        ("preprocess x --outptu d", "did you mean --output?"),
        (
            "pretrain",
            "--config is missing, as in: cloud-jax pretrain --config",
        ),
        ("pretrain --config x --epochs=3", "did you mean --config.optimizer.epochs=3?"),
        ("pretrain --config x --lr 1", "mean --config.optimizer.learning_rate?"),
        ("pretrain --config x --batch-size=3", "--config.data.batch_crystals=3?"),
        ("finetune --config x --batch-size=3", "--config.optimizer.batch_crystals=3?"),
        ("pretrain --confg x --config x", "did you mean --config?"),
        ("pretrain --config x --config.seed 3", "expected --config.seed=3\n"),
        ("search --config x --layers=2", "did you mean --config.head.layers=2?"),
        ("study scaling", "COMMAND is missing, as in: cloud-jax study scaling run"),
        ("study scaling fit p.csv --jsn", "did you mean --json?"),
        ("study report", "WORKDIR is missing, as in: cloud-jax study report runs"),
    ],
)
def test_wrong_command_lines_are_answered_with_what_was_meant(words, said, capsys):
    try:
        code = cli.main(words.split())
    except SystemExit as stop:
        code = stop.code
    assert code == Exit.USAGE
    assert said in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["a b.csv", "--x=1"], "'a b.csv' --x=1"),
        (["--x=a b"], "--x='a b'"),
        (["--config.folds.only=('a',)"], "--config.folds.only=\"('a',)\""),
        (["it's $HOME"], "'it'\"'\"'s $HOME'"),
        (["cloud-jax[train]"], "'cloud-jax[train]'"),
        (["--x=", ""], "--x= ''"),
        (["two\nlines"], "'two\nlines'"),
    ],
)
def test_printed_commands_paste_into_a_shell(words, line):
    assert command_line(words) == line
    assert shlex.split(line) == words


def test_no_command_and_study_alone_show_what_there_is(capsys):
    assert cli.main([]) == Exit.USAGE
    assert "preprocess" in capsys.readouterr().err
    assert cli.main(["study"]) == Exit.USAGE
    text = capsys.readouterr().err
    assert "attention" in text
    assert "preprocess" not in text


def test_a_misspelt_command_ends_with_the_usage(capsys):
    with pytest.raises(SystemExit) as stop:
        cli.main(["predcit"])
    assert stop.value.code == Exit.USAGE
    assert "predict" in capsys.readouterr().err


def test_the_version_is_printed(capsys):
    with pytest.raises(SystemExit) as stop:
        cli.main(["--version"])
    assert stop.value.code == 0
    assert capsys.readouterr().out == f"cloud-jax {__version__}\n"


@pytest.mark.parametrize("words", [["-m", "cloud_jax"], ["-m", "cloud_jax.cli"]])
def test_it_runs_as_a_module(words):
    command = [sys.executable, *words, "predict", "--help"]
    found = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert found.returncode == 0
    assert found.stdout.startswith("usage: cloud-jax predict")


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        (ValueError("found 3, expected 4"), Exit.FAILED, "error: found 3, expected 4"),
        (OSError(28, "No space", "x.csv"), Exit.FAILED, "error: x.csv: No space\n"),
        (
            OSError(28, os.strerror(28), "x.csv"),
            Exit.FAILED,
            "error: x.csv: the disk is full: free some space\n",
        ),
        (
            FileNotFoundError(2, os.strerror(2), "a b"),
            Exit.FAILED,
            "error: a b: there is no such file or folder\n",
        ),
        (KeyboardInterrupt(), Exit.STOPPED, "stopped"),
        (BrokenPipeError(), Exit.DONE, ""),
        (
            ModuleNotFoundError("no optuna", name="optuna"),
            Exit.FAILED,
            'needs the package optuna, which is not installed: pip install "cloud-jax[',
        ),
    ],
)
def test_what_goes_wrong_becomes_a_message_and_a_code(
    error, code, message, capfd, monkeypatch
):
    def execute(arguments):
        raise error

    monkeypatch.setattr("cloud_jax.cli.os.dup2", lambda *_: None)
    assert run_command("search", lambda parser: None, execute, []) == code
    assert message in capfd.readouterr().err


def test_arguments_that_do_not_go_together_end_with_the_usage(capsys):
    def execute(arguments):
        raise UsageError("--plot: needs --temperature")

    with pytest.raises(SystemExit) as stop:
        run_command("predict", lambda parser: None, execute, [])
    assert stop.value.code == Exit.USAGE
    error = capsys.readouterr().err
    assert error.startswith("usage: cloud-jax predict")
    assert "--plot: needs --temperature" in error


def test_a_module_of_ours_that_is_missing_is_a_defect(monkeypatch):
    broken = COMMANDS["predict"]._replace(module="cloud_jax.nowhere")
    monkeypatch.setitem(COMMANDS, "predict", broken)
    with pytest.raises(ModuleNotFoundError):
        cli.main(["predict"])


def test_the_shell_completes_commands_and_flags():
    environment = {
        "_ARGCOMPLETE": "1", "_ARGCOMPLETE_IFS": "\n", "COMP_TYPE": "9",
        "COMP_LINE": "cloud-jax predict --temp", "COMP_POINT": "24",
        "_ARGCOMPLETE_STDOUT_FILENAME": "/dev/stdout", "PATH": "",
    }  # fmt: skip
    found = subprocess.run(
        [sys.executable, "-m", "cloud_jax"],
        env=environment, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert found.stdout.strip() == "--temperature"


def test_completion_leaves_out_what_is_not_installed():
    code = (
        "import sys\n"
        "for name in ('ml_collections', 'requests'): sys.modules[name] = None\n"
        "from unittest.mock import patch\n"
        "from cloud_jax import cli\n"
        "with patch('argcomplete.autocomplete') as answered: cli.complete()\n"
        "answered.assert_called_once()\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_flags_of_older_launchers_are_understood():
    def configure(parser):
        parser.add_argument("--num-processes", type=int)

    def execute(arguments):
        assert arguments.overrides == ["--config.log.every_steps=5"]
        return arguments.num_processes

    words = ["--num_processes=7", "--config.log.every_steps=5"]
    assert run_command("pretrain", configure, execute, words, settings=True) == 7


@pytest.mark.parametrize("name", ["pretrain", "finetune", "search"])
def test_a_module_that_is_run_says_which_package_it_lacks(name):
    program = (
        "import runpy, sys; sys.modules['ml_collections'] = None; "
        f"sys.argv = ['x', '--config=x']; "
        f"runpy.run_module('cloud_jax.{name}', run_name='__main__')"
    )
    command = [sys.executable, "-c", program]
    found = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert found.returncode == Exit.FAILED
    assert "ml_collections, which is not installed: pip install" in found.stderr
    assert "Traceback" not in found.stderr
