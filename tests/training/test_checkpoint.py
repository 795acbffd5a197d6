import math
import shutil
from collections import namedtuple

import jax.numpy as jnp
import numpy as np
import pytest

from cloud_jax.training.checkpoint import Checkpoints
from cloud_jax.training.errors import NonFiniteLossError
from cloud_jax.training.loop import Counters
from cloud_jax.training.state import TrainState


def state(value):
    return TrainState(jnp.int32(1), {"kernel": jnp.full((4, 3), value * 0.1)}, ())


@pytest.fixture
def checkpoints(tmp_path):
    opened = Checkpoints(tmp_path / "checkpoints", keep=2)
    yield opened
    opened.close()


def kept(checkpoints):
    return sorted(int(p.name) for p in checkpoints.directory.iterdir())


def test_the_last_ones_and_the_best_are_kept(checkpoints):
    for step, loss in enumerate([3.0, 1.0, None, 2.0, 2.5], start=1):
        checkpoints.save(state(step), {}, step=step, validation_loss=loss)
    checkpoints.wait()
    assert kept(checkpoints) == [2, 4, 5]
    assert (checkpoints.latest(), checkpoints.best()) == (5, 2)


def test_the_best_is_still_known_after_a_restart(checkpoints):
    for step, loss in enumerate([1.0, 3.0], start=1):
        checkpoints.save(state(step), {}, step=step, validation_loss=loss)
    checkpoints.wait()
    again = Checkpoints(checkpoints.directory, keep=2)
    for step in (3, 4):
        again.save(state(step), {}, step=step)
    again.wait()
    assert kept(again) == [1, 3, 4]
    assert again.best() == 1
    again.close()


def test_state_and_progress_come_back_to_the_bit(checkpoints):
    progress = Counters(seconds=0.1 + 0.2, crystals=7.0)
    progress.window["loss"] += [1 / 3, 2 / 3, 1e-300]
    checkpoints.save(state(3), progress.to_json(), step=3)
    checkpoints.wait()
    found, back = checkpoints.restore(state(0), step=3)
    np.testing.assert_array_equal(found.params["kernel"], state(3).params["kernel"])
    back = Counters.from_json(back)
    assert back.to_json() == progress.to_json()
    assert back.window["loss"].tolist() == [1 / 3, 2 / 3, 1e-300]


def test_half_written_ones_do_not_count(checkpoints):
    checkpoints.save(state(1), {}, step=1)
    checkpoints.wait()
    half = checkpoints.directory / "2.orbax-checkpoint-tmp"
    shutil.copytree(checkpoints.path(1), half)
    again = Checkpoints(checkpoints.directory, keep=2)
    assert again.latest() == 1
    again.save(state(2), {}, step=2)
    again.wait()
    assert kept(again) == [1, 2]
    again.close()


def test_a_write_that_cannot_fit_is_refused(checkpoints, monkeypatch):
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(100, 90, 10))
    with pytest.raises(OSError, match=r"has 0\.0 MB free\. Free some space"):
        checkpoints.save(state(1), {}, step=1)
    monkeypatch.undo()
    assert checkpoints.latest() is None


def test_a_failing_disk_is_named(checkpoints, monkeypatch):
    def fail(*_, **__):
        raise ValueError("No space left on device")

    monkeypatch.setattr(checkpoints._manager, "save", fail)
    with pytest.raises(OSError, match=r"checkpoints: writing a checkpoint failed .*No"):
        checkpoints.save(state(1), {}, step=1)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("part", ["params", "opt_state"])
def test_what_is_not_finite_is_never_written(checkpoints, part, value):
    broken = {"kernel": jnp.zeros((4, 3)).at[2, 1].set(value)}
    with pytest.raises(NonFiniteLossError, match="step 1: the update made the state"):
        checkpoints.save(state(1)._replace(**{part: broken}), {}, step=1)
    assert checkpoints.latest() is None


def test_one_that_is_not_finite_is_named_with_what_to_do(checkpoints, monkeypatch):
    monkeypatch.setattr("cloud_jax.training.checkpoint.all_finite", lambda _: True)
    checkpoints.save(state(math.nan), {}, step=1)
    checkpoints.wait()
    monkeypatch.undo()
    with pytest.raises(OSError, match=r"checkpoints/1: .* infinite or NaN.* Remove"):
        checkpoints.restore(state(0), step=1)


@pytest.mark.parametrize(
    "name", ["metrics/metrics", "progress/metadata", "state/manifest.ocdbt"]
)
def test_a_damaged_one_is_named_with_what_to_do(checkpoints, name):
    checkpoints.save(state(1), {}, step=1)
    checkpoints.wait()
    (checkpoints.path(1) / name).write_text("")
    with pytest.raises(OSError, match=r"checkpoints/1: this .* Remove that folder"):
        Checkpoints(checkpoints.directory, keep=2).restore(state(0), step=1)
