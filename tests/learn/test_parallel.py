"""Laws of trainings that run at once."""

from functools import partial

import pytest

from helpers.learn import parallel
from helpers.runtime.machine import parse_devices
from tests.learn.parallel_jobs import fail, look_round

TWO = [{"CUDA_VISIBLE_DEVICES": "-1"}, {"CUDA_VISIBLE_DEVICES": "7"}]


def test_every_job_runs_on_a_place_of_its_own_and_speaks_by_name():
    lines = []
    jobs = {f"job {number}": partial(look_round, 0.3) for number in range(3)}
    found = parallel.run_parallel(jobs, TWO, lines.append)
    assert set(found) == set(jobs)
    assert {one["gpu"] for one in found.values()} == {"-1", "7"}
    assert len({one["process"] for one in found.values()}) == 2
    assert sorted(lines) == [f"job {number}: here" for number in range(3)]


def test_job_that_fails_is_told_and_no_other_begins():
    lines = []
    jobs = {"bad": fail, "running": partial(look_round, 0.5), "waiting": partial(look_round, 0)}
    with pytest.raises(ValueError, match="as it should"):
        parallel.run_parallel(jobs, TWO, lines.append)
    assert lines == ["running: here"]


def test_places_are_the_gpus_that_may_be_seen(monkeypatch):
    monkeypatch.setattr(parallel, "gpus", lambda: ["Tesla T4", "Tesla T4"])
    monkeypatch.setattr(parallel.os, "cpu_count", lambda: 4)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert parallel.device_environments() == [
        {"CUDA_VISIBLE_DEVICES": "0", "TF_NUM_INTRAOP_THREADS": "2"},
        {"CUDA_VISIBLE_DEVICES": "1", "TF_NUM_INTRAOP_THREADS": "2"},
    ]
    assert len(parallel.device_environments("1")) == 1
    assert [place["CUDA_VISIBLE_DEVICES"] for place in parallel.device_environments("cpu:2")] == ["-1", "-1"]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3,5")
    assert [place["CUDA_VISIBLE_DEVICES"] for place in parallel.device_environments()] == ["3", "5"]


@pytest.mark.parametrize(
    ("devices", "expected"),
    [("auto", (None, None)), ("1", (None, 1)), ("2", (None, 2)), ("cpu", ("cpu", 1)), ("cpu:2", ("cpu", 2))],
)
def test_devices_are_read(devices, expected):
    assert parse_devices(devices) == expected


@pytest.mark.parametrize("devices", ["", "two", "cpu:", "cpu:0", "0", "gpu:2", "-1", "cpu:2:3", "2:cpu"])
def test_other_devices_are_refused(devices):
    with pytest.raises(ValueError, match="expected auto, a number"):
        parse_devices(devices)
