"""Laws of never losing a run: wherever a training is stopped, it ends as if it never was."""

import errno
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import keras
import numpy as np
import pytest

from helpers.learn import precision, run_folder
from helpers.learn.budget import Budget
from helpers.learn.checkpoint import Checkpoint
from helpers.learn.training_loop import fit
from helpers.runtime.errors import DataError
from helpers.runtime.interrupt import Terminated

STEPS, EPOCHS = 4, 3


def _batches(first_step=0):
    """Batch number k depends on k alone; a linear map that can be learned."""
    step = first_step
    while True:
        x = np.random.default_rng([7, step]).normal(size=(8, 3)).astype(np.float32)
        yield x, x @ np.array([[1.0], [-2.0], [3.0]], np.float32)
        step += 1


def _trainer():
    keras.utils.set_random_seed(0)
    network = keras.Sequential([keras.Input((3,)), keras.layers.Dropout(0.3), keras.layers.Dense(1)])
    network.compile(keras.optimizers.Adam(0.1), "mse", metrics=["mae"])
    return network


def _train(checkpoint, trainer=None, budget=None, callbacks=()):
    trainer, budget = trainer or _trainer(), budget or Budget(epochs=EPOCHS)
    fit(trainer, _batches, STEPS, budget, checkpoint=checkpoint, callbacks=callbacks, log=lambda line: None)
    state = [*trainer.variables, *trainer.optimizer.variables]
    history = [{name: value for name, value in row.items() if name != "seconds"} for row in checkpoint.history]
    return [keras.ops.convert_to_numpy(variable).copy() for variable in state], history


def _assert_same(ended, other):
    (arrays, history), (others, other_history) = ended, other
    assert history == other_history
    for one, two in zip(arrays, others, strict=True):
        np.testing.assert_array_equal(one, two)


class _At(keras.callbacks.Callback):
    """Does something once after so many steps, counted in this session; before the checkpoint, which comes last."""

    def __init__(self, steps, do):
        super().__init__()
        self.steps, self.do = steps, do

    def on_train_batch_end(self, batch, logs=None):
        self.steps -= 1
        if self.steps == 0:
            self.do()


def _crash():
    raise RuntimeError("the power went")


def _interrupt():
    os.kill(os.getpid(), signal.SIGINT)


def _terminate():
    os.kill(os.getpid(), signal.SIGTERM)


@pytest.fixture(autouse=True)
def _heard():
    """Ctrl-C is heard, also where the shell started these tests in the background and had it ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture(scope="module")
def whole():
    """The training that nobody stopped."""
    return _train(Checkpoint())


def test_dropout_and_schedule_matter_here(whole):
    """Else the laws below would say nothing of them."""
    arrays, history = whole
    assert [row["epoch"] for row in history] == [1, 2, 3]
    assert any(array.dtype.kind in "iu" and array.shape == (2,) for array in arrays)  # a seed state


@pytest.mark.parametrize("stop", [1, 2, 4, 5, 7, 8, 9, 12])
def test_crash_after_any_step_leaves_no_trace(whole, tmp_path, stop):
    """Stopped before the checkpoint of that step: the step is done again. After steps 4, 8 and 12 an epoch ends."""
    with pytest.raises(RuntimeError, match="the power went"):
        _train(Checkpoint(tmp_path, seconds=0), callbacks=[_At(stop, _crash)])
    checkpoint = Checkpoint(tmp_path)
    begun = []
    _assert_same(_train(checkpoint, callbacks=[_At(1, lambda: begun.append(checkpoint.step))]), whole)
    assert begun == [stop - 1]


def test_crash_after_every_third_step_leaves_no_trace(whole, tmp_path):
    for session in range(20):  # noqa: B007 - counted
        try:
            ended = _train(Checkpoint(tmp_path, seconds=0, log=lambda _: None), callbacks=[_At(3, _crash)])
        except RuntimeError:
            continue
        break
    assert session > 3
    _assert_same(ended, whole)


@pytest.mark.parametrize(("send", "raised"), [(_interrupt, KeyboardInterrupt), (_terminate, Terminated)])
@pytest.mark.parametrize("stop", [3, 4, 6])
def test_ctrl_c_and_sigterm_lose_nothing_and_say_how_to_go_on(whole, tmp_path, stop, send, raised):
    """Even where checkpoints are rare."""
    progress = {3: "0 epochs and 3 of 4 steps", 4: "1 epoch", 6: "1 epoch and 2 of 4 steps"}[stop]
    with (
        pytest.raises(
            KeyboardInterrupt, match=f"^Stopped after {progress}; the same command goes on from there"
        ) as met,
        Checkpoint(tmp_path) as checkpoint,
    ):
        _train(checkpoint, callbacks=[_At(stop, send)])
    assert met.type is raised
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    lines = []
    _assert_same(_train(Checkpoint(tmp_path, log=lines.append)), whole)
    assert lines == [f"Going on after {progress}."]


def test_second_ctrl_c_does_not_wait(tmp_path):
    def twice():
        _interrupt()
        _interrupt()
        time.sleep(10)
        pytest.fail("went on")

    with (
        pytest.raises(KeyboardInterrupt, match=r"^Stopped; the same command begins anew"),
        Checkpoint(tmp_path) as checkpoint,
    ):
        _train(checkpoint, callbacks=[_At(2, twice)])


def test_what_was_trained_to_its_end_is_not_trained_again(whole, tmp_path):
    """Stopped while the test patients were scored, say."""
    _train(Checkpoint(tmp_path))
    trainer, again = _trainer(), Checkpoint(tmp_path)
    history = fit(trainer, lambda first_step: pytest.fail("trains"), STEPS, Budget(epochs=EPOCHS), checkpoint=again)
    assert history.drop(columns="seconds").to_dict("records") == whole[1]
    for variable, array in zip(trainer.variables, whole[0][: len(trainer.variables)], strict=True):
        np.testing.assert_array_equal(keras.ops.convert_to_numpy(variable), array)


def test_file_goes_with_the_end_of_the_work_and_stays_with_an_error(tmp_path):
    def train_and_crash():
        with Checkpoint(tmp_path) as checkpoint:
            _train(checkpoint)
            _crash()

    with pytest.raises(RuntimeError):
        train_and_crash()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["checkpoint.npz", "history.csv"]
    with Checkpoint(tmp_path) as checkpoint:
        _train(checkpoint)
    assert [path.name for path in tmp_path.iterdir()] == ["history.csv"]


def test_stopped_training_goes_on_in_the_precision_it_began_in(tmp_path, monkeypatch):
    """What is faster on a CPU is tried; beside other work the trial can end otherwise."""
    met = []

    def session(faster, crash):
        monkeypatch.setattr(precision, "select_policy", lambda: faster)

        def learn(checkpoint):
            trainer = _trainer()
            met.append({layer.compute_dtype for layer in trainer.layers})
            _train(checkpoint, trainer, callbacks=[_At(3, _crash)] if crash else [])

        run_folder.run_training(tmp_path, {}, Budget(epochs=EPOCHS), 0, learn, lambda: None, lambda line: None)

    def hasty(*args):
        return Checkpoint(*args, seconds=0)

    monkeypatch.setattr(run_folder, "Checkpoint", hasty)
    with pytest.raises(RuntimeError):
        session("mixed_bfloat16", crash=True)
    session("float32", crash=False)
    assert met == [{"bfloat16"}, {"bfloat16"}]


def test_seconds_of_earlier_sessions_count_and_the_pause_does_not(tmp_path):
    begun = time.monotonic()
    budget = Budget(seconds=1000, started=begun - 400)
    with pytest.raises(RuntimeError):
        _train(Checkpoint(tmp_path, seconds=0), budget=budget, callbacks=[_At(3, _crash)])
    budget = Budget(seconds=1000, started=time.monotonic() - 100)  # a second session, of 100 s so far
    with pytest.raises(RuntimeError):
        _train(Checkpoint(tmp_path, seconds=0), budget=budget, callbacks=[_At(3, _crash)])
    now = time.monotonic()
    assert 500 < now - budget.started < 500 + now - begun  # however slow the machine is


def test_time_that_is_up_ends_the_training_with_an_epochs_end(tmp_path):
    with pytest.raises(RuntimeError):
        _train(Checkpoint(tmp_path, seconds=0), callbacks=[_At(3, _crash)], budget=Budget(seconds=1000))
    late = Budget(seconds=1000, started=time.monotonic() - 1000)
    _, history = _train(Checkpoint(tmp_path, seconds=0), budget=late)
    assert len(history) == 1


def test_another_trainings_file_is_refused(tmp_path):
    with pytest.raises(RuntimeError):
        _train(Checkpoint(tmp_path, {"seed": 0, "size": (3, 1)}, seconds=0), callbacks=[_At(2, _crash)])
    with pytest.raises(
        DataError, match=r"checkpoint.npz keeps a training with other parameters \(seed 0 there, 1 now\)"
    ):
        _train(Checkpoint(tmp_path, {"seed": 1, "size": (3, 1)}))
    wide = keras.Sequential([keras.Input((3,)), keras.layers.Dropout(0.3), keras.layers.Dense(2)])
    wide.compile(keras.optimizers.Adam(0.1), "mse", metrics=["mae"])
    with pytest.raises(DataError, match="keeps another network"):
        _train(Checkpoint(tmp_path, {"seed": 0, "size": (3, 1)}), wide)


def test_damaged_file_is_refused(tmp_path):
    with pytest.raises(RuntimeError):
        _train(Checkpoint(tmp_path, seconds=0), callbacks=[_At(2, _crash)])
    path = tmp_path / "checkpoint.npz"
    whole = path.read_bytes()
    for damaged in (whole[:1000], whole[:300] + bytes([whole[300] ^ 255]) + whole[301:], b""):
        path.write_bytes(damaged)
        with pytest.raises(DataError, match=r"checkpoint.npz is damaged.*Delete it"):
            _train(Checkpoint(tmp_path))


def test_full_disk_leaves_the_checkpoint_before_and_says_so(whole, tmp_path, monkeypatch):
    savez, written = np.savez, []

    def fills_up(path, **arrays):
        if len(written) == 5:
            Path(path).write_bytes(b"half of it")
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        savez(path, **arrays)
        written.append(path)

    monkeypatch.setattr(np, "savez", fills_up)
    with pytest.raises(DataError, match=r"checkpoint.npz cannot be written: the disk.* is full \(0.0 MB are wanted"):
        _train(Checkpoint(tmp_path, seconds=0))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["checkpoint.npz", "history.csv"]
    monkeypatch.undo()
    _assert_same(_train(Checkpoint(tmp_path, seconds=0)), whole)


def test_checkpoints_take_a_small_share_of_the_time(tmp_path, monkeypatch):
    checkpoint = Checkpoint(tmp_path, seconds=0.001)
    saved = []
    monkeypatch.setattr(np, "savez", lambda path, **_: (time.sleep(0.02), saved.append(path), Path(path).touch()))
    begun = time.monotonic()
    _train(checkpoint, budget=Budget(epochs=100))
    share = 0.02 * len(saved) / (time.monotonic() - begun)
    assert len(saved) >= 2  # one, and the last
    assert share < 0.2  # a twentieth, and the last one


def test_jax_goes_on_as_well():
    """The same laws, in a process of their own, for Keras has one backend."""
    pytest.importorskip("jax")
    laws = "every_third_step or trained_to_its_end or (ctrl_c_and_sigterm and 6-_interrupt)"
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-k", laws, __file__]
    result = subprocess.run(command, env={**os.environ, "KERAS_BACKEND": "jax"}, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout
    assert "3 passed" in result.stdout


def test_killed_training_ends_as_the_one_that_nobody_killed():
    """SIGKILL at random moments of the command; `python -m tests.learn.killed 20 gate` for others, and more kills."""
    command = [sys.executable, "-m", "tests.learn.killed", "2", "brain", "3"]
    result = subprocess.run(command, cwd=Path(__file__).parents[2], capture_output=True, text=True)
    assert result.returncode == 0, result.stdout + result.stderr
    assert "killed 2 times" in result.stdout
    assert "different: nothing\nfiles left: none\n" in result.stdout
