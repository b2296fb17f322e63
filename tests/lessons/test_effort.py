"""Laws of effort: it is of the processes that were started meanwhile, and of no other, in units of the same work."""

import subprocess
import sys
import time

import pytest

from helpers.lessons.effort import calibration_step, measured_effort

BUSY = "import time\nwhile time.process_time() < 0.4: pass"


@pytest.mark.skipif(sys.platform == "win32", reason="Windows does not tell what a process's children have spent")
def test_effort_is_what_the_children_spent_in_calibration_steps():
    with measured_effort() as effort:
        subprocess.run([sys.executable, "-c", BUSY], check=True)
    assert 0.4 <= effort.processor_seconds < 2
    assert effort.ratio == pytest.approx(effort.processor_seconds / 0.02, rel=0.02)  # a step is 0.02 here, see conftest


def stopped_after(seconds):
    time.sleep(seconds)
    raise KeyError


def test_calibration_goes_on_beside_the_lesson_and_ends_with_it(monkeypatch):
    steps = []
    monkeypatch.setattr("helpers.lessons.effort._PAUSE", 0.01)
    monkeypatch.setattr("helpers.lessons.effort.calibration_step", lambda: steps.append(len(steps) + 1.0) or steps[-1])
    with pytest.raises(KeyError), measured_effort():
        stopped_after(0.3)
    done = len(steps)
    time.sleep(0.05)
    assert done == len(steps) >= 3
    with measured_effort() as effort:
        time.sleep(0.3)
    assert done < effort.calibration_seconds <= len(steps)


def test_waiting_and_our_own_work_cost_nothing():
    begun = time.process_time()
    with measured_effort() as effort:
        time.sleep(0.2)
        while time.process_time() < begun + 0.2:
            pass
    assert (effort.processor_seconds, effort.ratio) == (None, None)


def test_a_calibration_step_takes_tens_of_milliseconds_of_one_core():
    begun = time.process_time()
    step = calibration_step()
    assert 0.002 < step < 1
    assert step <= time.process_time() - begun + 0.01
