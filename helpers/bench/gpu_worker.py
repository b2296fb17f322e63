"""The Keras side of `helpers.bench.gpu`: one size and one precision, in a process of its own.

The memory that a framework takes from a GPU it gives back when its process ends, and JAX can reset the peak of it no
other way. So batches come in ascending order, and the peak so far is that of the latest.
"""

import gc
import itertools
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from importlib.util import find_spec
from operator import itemgetter
from typing import Any

import keras

from helpers.bench import training
from helpers.bench.interleave import interleave, timed
from helpers.bench.kernel import MODALITIES
from helpers.bench.loader import delivered
from helpers.bench.peers.serve import Measure, serve
from helpers.data.brats import read_catalogue
from helpers.data.resample import Grid
from helpers.data.store import open_store
from helpers.data.volumes import read_scan
from helpers.learn.batches import batch_reader, training_batches
from helpers.tasks.brain.inference import Segmenter

AHEAD, THREADS = 2, 2
"""Batches that are prepared in advance, and threads that do, as `helpers.learn.batches` has it."""


def begin(precision: str, **network: Any) -> tuple[Measure, dict[str, Any]]:
    """Build the network once, to describe it.

    Args:
        precision: "float32", or "bfloat16" or "float16" for mixed precision.
        network: arguments of `unet`.

    Returns:
        The function that measures, and the `gpus` that the backend sees, `parameters`, `gflop_per_slice` of a training
        step, and `loader`, "tf.data" or "threads".
    """
    model = training.build(network, precision)
    held: dict[int, Callable[[int], float]] = {}  # the training steps of the latest batch

    def steps(batch: int, steps: int) -> dict[str, Any]:
        if batch not in held:
            held.clear()
            gc.collect()
            held[batch] = training.keras_steps(network, batch, precision)
        return {"seconds": held[batch](steps), "peak_mb": peak_mb()}

    def matmul(side: int, seconds: float, rounds: int) -> dict[str, Any]:
        held.clear()
        gc.collect()
        turn = timed(*training.matrix_products(precision, side), seconds)
        return {"values": interleave({"": turn}, rounds)[""]}

    def prediction(data: str, rounds: int) -> dict[str, Any]:
        scan = read_scan(read_catalogue(data).require(MODALITIES)[0], MODALITIES)
        segmenter = Segmenter(training.build(network, precision), MODALITIES, Grid(network["size"]))

        def turn() -> float:
            start = time.perf_counter()
            segmenter.predict(scan)
            return time.perf_counter() - start

        return {"values": interleave({"": turn}, rounds)[""]}

    def loading(data: str, store: str, batch: int, seconds: float, rounds: int) -> dict[str, Any]:
        batches = _batches(data, store, network["size"], batch)
        turn = partial(delivered, batches, seconds, itemgetter("images"))
        return {"values": interleave({"": turn}, rounds)[""]}

    measures = {"steps": steps, "matmul": matmul, "prediction": prediction, "loading": loading}
    return lambda what, **request: measures[what](**request), {
        "gpus": visible_gpus(),
        "parameters": model.count_params(),
        "gflop_per_slice": training.flops(model) / 1e9,
        "loader": "tf.data" if find_spec("tensorflow") else "threads",
    }


def visible_gpus() -> list[str]:
    """Names of the GPUs that the backend sees."""
    if keras.backend.backend() == "jax":
        import jax

        return [device.device_kind for device in jax.local_devices() if device.platform != "cpu"]
    import tensorflow as tf

    gpus = tf.config.list_physical_devices("GPU")
    return [tf.config.experimental.get_device_details(gpu).get("device_name", gpu.name) for gpu in gpus]


def peak_mb() -> float | None:
    """Most memory of the first GPU that this process has had in use so far; None where the backend cannot tell."""
    if keras.backend.backend() == "jax":
        import jax

        peak = (jax.local_devices()[0].memory_stats() or {}).get("peak_bytes_in_use")
    else:
        import tensorflow as tf

        gpus = tf.config.list_logical_devices("GPU")
        peak = tf.config.experimental.get_memory_info("GPU:0")["peak"] if gpus else None
    return None if peak is None else peak / 1e6


def _batches(data: str, store: str, size: int, batch: int) -> Iterator[Any]:
    """Batches without end as training gets them; without TensorFlow by threads that do what `tf.data` would."""
    patients = read_catalogue(data).require(MODALITIES)
    slices = open_store(patients, store, MODALITIES, Grid(size))
    ids = [patient.id for patient in patients]
    if find_spec("tensorflow"):
        return iter(training_batches(slices, ids, batch, seed=0))
    return _in_threads(batch_reader(slices, ids, batch, seed=0))


def _in_threads(read: Callable[[int], Any]) -> Iterator[Any]:
    with ThreadPoolExecutor(THREADS) as pool:
        waiting: deque = deque()
        for step in itertools.count():
            waiting.append(pool.submit(read, step))
            if len(waiting) > AHEAD + THREADS:
                yield waiting.popleft().result()


if __name__ == "__main__":
    serve(begin)
