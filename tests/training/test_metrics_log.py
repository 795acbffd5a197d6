import json
import sys

import pytest

from cloud_jax.files import write_json
from cloud_jax.training.metrics_log import MetricsLog, truncate_after


def lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_truncation_drops_later_and_torn_lines(tmp_path):
    path = tmp_path / "metrics.jsonl"
    path.write_text('{"step": 1}\n{"step": 2}\n{"step": 3}\n{"ste')
    truncate_after(path, 2)
    assert lines(path) == [{"step": 1}, {"step": 2}]


def test_a_log_continues_after_the_step_of_the_checkpoint(tmp_path):
    for start in (0, 2):
        log = MetricsLog(tmp_path, step=start, active=True)
        for step in range(start + 1, 4):
            log.write({"step": step, "split": "train", "loss": float(step)})
        log.sync()
        log.close()
    assert [event["step"] for event in lines(tmp_path / "metrics.jsonl")] == [1, 2, 3]


def test_other_processes_write_nothing(tmp_path):
    log = MetricsLog(tmp_path, step=0, active=False)
    log.write({"step": 1, "split": "train"})
    log.close()
    assert list(tmp_path.iterdir()) == []


def test_without_tensorboardx_a_note_is_printed(tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "tensorboardX", None)
    log = MetricsLog(tmp_path, step=0, active=True)
    log.write({"step": 1, "split": "train", "loss": 1.0})
    log.close()
    assert "tensorboardX is not installed" in capsys.readouterr().err
    assert len(lines(tmp_path / "metrics.jsonl")) == 1


def test_a_full_disk_is_named(tmp_path):
    log = MetricsLog(tmp_path, step=0, active=True)
    log._file.close()
    with open("/dev/full", "ab", buffering=0) as log._file:
        with pytest.raises(OSError, match="No space left") as caught:
            log.write({"step": 1, "split": "train"})
        log.close()
    assert caught.value.filename == "/dev/full"


def test_json_is_written_whole(tmp_path):
    path = tmp_path / "value.json"
    write_json(path, {"a": 1})
    with pytest.raises(TypeError):
        write_json(path, {"a": object()})
    assert json.loads(path.read_text()) == {"a": 1}
