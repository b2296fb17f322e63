"""A training that several lessons need is done once in a run, and by each alone where nothing is shared."""

import threading
import time

import pytest

from helpers.lessons.shared_training import train_once
from helpers.runtime.shared import SHARED


@pytest.fixture
def trainings(tmp_path, monkeypatch):
    """The folder that is shared, and the folders that were trained into."""
    monkeypatch.setenv(SHARED, str(tmp_path / "shared"))
    done = []

    def train(folder):
        time.sleep(0.2)
        (folder / "model.keras").write_text(str(len(done)))
        done.append(folder)

    return train, done


def test_without_a_shared_folder_a_lesson_trains_into_its_own(tmp_path, trainings, monkeypatch):
    monkeypatch.delenv(SHARED)
    train, done = trainings
    for _ in range(2):
        assert train_once(train, tmp_path / "own", "brain", size=64) == tmp_path / "own"
    assert done == [tmp_path / "own"] * 2


def test_the_same_training_is_done_once_and_whoever_comes_second_waits(tmp_path, trainings):
    train, done = trainings
    found = []
    lessons = [
        threading.Thread(target=lambda: found.append(train_once(train, tmp_path / "own", "brain", size=64)))
        for _ in range(3)
    ]
    for lesson in lessons:
        lesson.start()
    for lesson in lessons:
        lesson.join()
    assert len(done) == 1
    assert len(set(found)) == 1
    assert (found[0] / "model.keras").read_text() == "0"
    assert not (tmp_path / "own").exists()


@pytest.mark.parametrize("changed", [{"size": 48}, {"seed": 1}, {"split": "ab"}])
def test_whatever_it_depends_on_makes_it_another_training(tmp_path, trainings, changed):
    train, done = trainings
    made = {"size": 64, "seed": 0, "split": "aa"}
    first = train_once(train, tmp_path / "own", "brain", **made)
    assert train_once(train, tmp_path / "own", "brain", **{**made, **changed}) != first
    assert len(done) == 2


def test_a_training_that_fails_leaves_nothing_and_the_next_lesson_trains(tmp_path, trainings):
    train, _ = trainings

    def fail(folder):
        (folder / "half").touch()
        raise RuntimeError("the kernel was interrupted")

    with pytest.raises(RuntimeError):
        train_once(fail, tmp_path / "own", "brain", size=64)
    assert not any((tmp_path / "shared").rglob("half"))
    assert (train_once(train, tmp_path / "own", "brain", size=64) / "model.keras").is_file()
