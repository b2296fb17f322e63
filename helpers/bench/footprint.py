"""Memory that a process holds for itself while it builds a slice store and draws batches from it.

Pages of a memory-mapped file count apart: the system takes them back when it needs the room. What must not grow with
the number of patients is the rest, the anonymous memory.

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

STATUS = Path("/proc/self/status")  # Linux alone tells the two kinds apart
STEPS = 300
PAUSE = 0.02  # seconds between two looks


@contextmanager
def watched() -> Iterator[dict[str, float]]:
    """The most that this process holds while the block runs: `anonymous` and `mapped`, MB, there when it has ended."""
    most, ended = {"anonymous": 0.0, "mapped": 0.0}, threading.Event()

    def look() -> None:
        found = _held()
        for kind in most:
            most[kind] = max(most[kind], found[kind])

    def watch() -> None:
        while not ended.wait(PAUSE):
            look()

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield most
    finally:
        ended.set()
        thread.join()
        look()


def _held() -> dict[str, float]:
    lines = dict(line.split(":", 1) for line in STATUS.read_text().splitlines() if ":" in line)
    names = {"anonymous": "RssAnon", "mapped": "RssFile"}
    return {kind: int(lines[name].split()[0]) * 1024 / 1e6 for kind, name in names.items()}  # the system gives kB


def main(data: str, count: int, size: int) -> None:
    """Print what `watched` saw while `count` patients of `data` went through store and batches."""
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
