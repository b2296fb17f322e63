"""Several trainings at once, each in a process of its own, on a device of its own.

Two GPUs that share one training exchange all gradients at each step and wait for each other. Five folds, or five seeds,
need no exchange: where there is more than one training to do, this is the better use of two GPUs. TensorFlow keeps what
it has seen of a machine until its process ends; so each process learns which device is its own before it loads it.
"""

import multiprocessing
import os
import queue
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import suppress
from typing import Any

from helpers.runtime.machine import gpus, parse_devices

Log = Callable[[str], None]

_lines: Any = None  # in one of the processes: where its lines go


def device_environments(devices: str = "auto") -> list[dict[str, str]]:
    """For each device the environment of a process that has it for itself.

    Args:
        devices: as in `helpers.learn.devices.configure`; "cpu:2" for two processes that share the CPU's cores.
    """
    kind, count = parse_devices(devices)
    if kind == "cpu":
        own = ["-1"] * count
    else:
        seen = os.environ.get("CUDA_VISIBLE_DEVICES")
        own = (seen.split(",") if seen is not None else [str(number) for number in range(len(gpus()))])[:count]
    threads = str(max(1, (os.cpu_count() or 1) // max(1, len(own))))
    return [{"CUDA_VISIBLE_DEVICES": one, "TF_NUM_INTRAOP_THREADS": threads} for one in own]


def run_parallel(
    jobs: Mapping[str, Callable[..., Any]], places: Sequence[Mapping[str, str]], log: Log = print
) -> dict[str, Any]:
    """Call every job with `log`, as many at once as there are places; a place that is free takes the next.

    A job that fails lets those that run come to their end, and no other begin. So does Ctrl-C, which the jobs get too.

    Args:
        jobs: by name, each something that can be pickled: a function of a module, or a `partial` of one.
        places: the environment of each process.
        log: told what the jobs say, a line at a time, the job's name before it.

    Returns:
        What each job returns, by name.
    """
    context = multiprocessing.get_context("spawn")
    environments, lines = context.SimpleQueue(), context.Queue()
    for place in places:
        environments.put(dict(place))
    pool = ProcessPoolExecutor(len(places), context, _settle, (environments, lines))
    waiting, running, results = [*jobs], {}, {}

    def pass_on(seconds: float) -> None:
        with suppress(queue.Empty):
            while True:
                log("{}: {}".format(*lines.get(timeout=seconds)))

    try:
        while waiting or running:
            while waiting and len(running) < len(places):
                name = waiting.pop(0)
                running[pool.submit(_work, name, jobs[name])] = name
            pass_on(0.2)
            for future in [one for one in running if one.done()]:
                results[running.pop(future)] = future.result()
    finally:
        pool.shutdown(cancel_futures=True)
        pass_on(0.1)
    return results


def _settle(environments: Any, lines: Any) -> None:
    global _lines
    _lines = lines
    os.environ.update(environments.get())


def _work(name: str, job: Callable[..., Any]) -> Any:
    return job(log=lambda line: _lines.put((name, line)))
