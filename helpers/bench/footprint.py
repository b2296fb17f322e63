"""Resident memory of a process while it builds a slice store and draws batches from it.

Pages of a memory-mapped file are counted separately: the system reclaims them when it needs memory. The rest, the
anonymous memory, must not grow with the number of patients.

    python -m helpers.bench.footprint DATA 20 128
"""

import json
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory

STATUS = Path("/proc/self/status")  # only on Linux
STEPS = 300
PAUSE = 0.02  # seconds between two samples


@contextmanager
def watched() -> Iterator[dict[str, float]]:
    """Peak memory of this process while the block runs: `anonymous` and `mapped` in MB, complete when it has ended."""
    peak, ended = {"anonymous": 0.0, "mapped": 0.0}, threading.Event()

    def sample() -> None:
        current = _resident()
        for kind in peak:
            peak[kind] = max(peak[kind], current[kind])

    def watch() -> None:
        while not ended.wait(PAUSE):
            sample()

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield peak
    finally:
        ended.set()
        thread.join()
        sample()


def _resident() -> dict[str, float]:
    lines = dict(line.split(":", 1) for line in STATUS.read_text().splitlines() if ":" in line)
    names = {"anonymous": "RssAnon", "mapped": "RssFile"}
    return {kind: int(lines[name].split()[0]) * 1024 / 1e6 for kind, name in names.items()}  # the file has kB


def main(data: str, count: int, size: int) -> None:
    """Print as JSON the peak memory of building a store and drawing training batches from it.

    Args:
        data: folder of the BraTS patients.
        count: how many patients to use.
        size: pixels along each side of a slice.
    """
    from helpers.bench.kernel import MODALITIES
    from helpers.data.brats import read_catalogue
    from helpers.data.resample import Grid
    from helpers.data.store import open_store
    from helpers.learn.batches import training_batches

    patients = read_catalogue(data).require(MODALITIES)[:count]
    with TemporaryDirectory(prefix="bench-") as folder, watched() as most:
        store = open_store(patients, Path(folder, "slices"), MODALITIES, Grid(size))
        for _ in islice(training_batches(store, [patient.id for patient in patients], 32, seed=0), STEPS):
            pass
    print(json.dumps({**most, "patients": len(patients), "slices": len(store.images)}))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
