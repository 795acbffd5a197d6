"""`cloud-jax`: every command is found, helps at once, and says what it lacks."""

import os
import subprocess
import sys
from importlib import import_module

import pytest

from cloud_jax import __version__, cli
from cloud_jax.cli import COMMANDS, Exit, UsageError, run_command


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
