"""Independent trainings in parallel, each in a process of its own, on a device of its own.

Two GPUs that share one training exchange all gradients at each step and wait for each other. Five folds, or five seeds,
need no exchange: where there is more than one training to do, this is the better use of two GPUs. TensorFlow lists the
devices of a machine once a process; so each process gets its device by environment variables, before it loads it.
"""

import multiprocessing
import os
import queue
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import suppress
from typing import Any

from helpers.runtime.interrupt import Terminated
from helpers.runtime.machine import gpus, parse_devices

Log = Callable[[str], None]

_lines: Any = None  # in a worker process: the queue of its log lines


def device_environments(devices: str = "auto") -> list[dict[str, str]]:
    """The environment variables of a process for each device, which then sees that device alone.

    Args:
        devices: as in `helpers.learn.devices.configure`; "cpu:2" for two processes that share the CPU's cores.
    """
    kind, count = parse_devices(devices)
    if kind == "cpu":
        visible = ["-1"] * count
    else:
        inherited = os.environ.get("CUDA_VISIBLE_DEVICES")
        visible = (inherited.split(",") if inherited is not None else [str(number) for number in range(len(gpus()))])[
            :count
        ]
    threads = str(max(1, (os.cpu_count() or 1) // max(1, len(visible))))
    return [{"CUDA_VISIBLE_DEVICES": one, "TF_NUM_INTRAOP_THREADS": threads} for one in visible]


def run_parallel(
    jobs: Mapping[str, Callable[..., Any]], environments: Sequence[Mapping[str, str]], log: Log = print
) -> dict[str, Any]:
    """Call every job with `log`, as many at once as there are environments; a process that is free takes the next.

    When a job fails, those that run are finished and no other is started. So it is with Ctrl-C and SIGTERM, which the
    jobs get too.

    Args:
        jobs: by name, each something that can be pickled: a function of a module, or a `partial` of one.
        environments: the environment variables of each process, see `device_environments`.
        log: called with the log lines of the jobs, each with the job's name before it.

    Returns:
        What each job returns, by name.

    Raises:
        Terminated: SIGTERM was received; each training has saved its checkpoint.
    """
    context = multiprocessing.get_context("spawn")
    settings, lines = context.SimpleQueue(), context.Queue()
    for environment in environments:
        settings.put(dict(environment))
    pool = ProcessPoolExecutor(len(environments), context, _start_worker, (settings, lines))
    waiting, running, results = [*jobs], {}, {}

    def forward_lines(seconds: float) -> None:
        with suppress(queue.Empty):
            while True:
                log("{}: {}".format(*lines.get(timeout=seconds)))

    try:
        while waiting or running:
            while waiting and len(running) < len(environments):
                name = waiting.pop(0)
                running[pool.submit(_work, name, jobs[name])] = name
            forward_lines(0.2)
            for future in [one for one in running if one.done()]:
                results[running.pop(future)] = future.result()
    except Terminated:  # a terminal sends Ctrl-C to all its processes; SIGTERM reached this one alone
        for process in list((pool._processes or {}).values()):
            process.terminate()
        raise
    finally:
        pool.shutdown(cancel_futures=True)
        forward_lines(0.1)
    return results


def _start_worker(environments: Any, lines: Any) -> None:
    global _lines
    _lines = lines
    os.environ.update(environments.get())


def _work(name: str, job: Callable[..., Any]) -> Any:
    return job(log=lambda line: _lines.put((name, line)))
