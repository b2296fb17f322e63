"""How much work a lesson is: its processor seconds as a multiple of a fixed piece of work, timed in the same run.

Seconds on the clock measure the neighbours as well: a machine that does something else, or that is stopped for a while.
Processor seconds do not, and their ratio to work that never changes is much the same on a quicker processor.
"""

import os
import statistics
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

EFFORT = "effort"
"""Name under which baselines hold it; no number that a lesson records may have it."""

_PAUSE = 5.0  # seconds between two steps: less than a hundredth of a core
_SIDE = 512  # of a square array; some 0.05 s with the loop


@dataclass
class Effort:
    """What was spent between begin and end of `measured_effort`; empty before its end.

    Attributes:
        processor_seconds: of the processes that were started and have ended, all their threads together; None where
            the system does not tell, as Windows.
        calibration_seconds: the processor seconds of one calibration step, the median of those done meanwhile.
    """

    processor_seconds: float | None = None
    calibration_seconds: float | None = None

    @property
    def ratio(self) -> float | None:
        """Calibration steps that could have been done for it."""
        if not self.processor_seconds or not self.calibration_seconds:
            return None
        return round(self.processor_seconds / self.calibration_seconds, 1)


@contextmanager
def measured_effort() -> Iterator[Effort]:
    """Measure what processes started within spend, with a calibration step every few seconds beside them.

    Beside, since a core that is shared computes more slowly, the same work by as much as the lesson's.
    """
    effort, steps, ended = Effort(), [], threading.Event()

    def calibrate() -> None:
        steps.append(calibration_step())
        while not ended.wait(_PAUSE):
            steps.append(calibration_step())

    beside, before = threading.Thread(target=calibrate, daemon=True), _of_children()
    beside.start()
    try:
        yield effort
    finally:
        ended.set()
        beside.join()
    effort.processor_seconds = round(_of_children() - before, 2) or None
    effort.calibration_seconds = round(statistics.median(steps), 5)


def calibration_step() -> float:
    """Do the fixed piece of work, transforms, sorting and a loop of Python's, and give its processor seconds.

    It runs in one thread: several would spin while they wait for each other, and that is no work.
    """
    import numpy as np

    values = np.random.default_rng(0).random((_SIDE, _SIDE), np.float32)
    begun = time.thread_time()
    for _ in range(3):
        spectrum = np.fft.rfft2(values)
        values = np.sort(np.abs(np.fft.irfft2(spectrum)).astype(np.float32), axis=1)
    total = 0
    for number in range(200_000):
        total += number & 7
    return time.thread_time() - begun


def _of_children() -> float:
    times = os.times()
    return times.children_user + times.children_system
