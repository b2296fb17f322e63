"""Data-parallel training on one device, on several in a machine, or on several machines.

One call configures it before a network is built; the network then trains on the devices that it was built on.

    configure("auto")          # every GPU there is, else the CPU
    with scope():
        network = unet(...)
    fit(network, ...)          # compiles where the network was built

Each device is a *replica*: it holds all weights, takes its part of each batch, and gets the sum of all gradients. The
batch and the learning rate stay what they are, and so does the result: the weights are those of one device. TensorFlow
does it with `MirroredStrategy`, JAX with `keras.distribution.DataParallel`. What would go wrong silently:

- A loss that is one number is not divided among replicas, and steps become twice as large: every loss gives one value a
  sample (`helpers.learn.losses`). Computed inside `scope` by hand it would be halved.
- A batch that cannot be divided evenly gives one replica's slices more weight, or a replica none: `check_divisible`
  refuses it.
- Batch normalisation takes the statistics of its own replica alone: `synchronise` makes them those of all replicas.
- `predict_on_batch` has each replica predict the whole batch, and concatenates the predictions: `predict_distributed`
  gives each its part.
- In half precision Keras checks the gradients of the first replica alone for an overflow: `helpers.learn.precision`
  checks those of all.

Several machines need JAX. Start the same command on each, with

    KERAS_BACKEND=jax
    KERAS_DISTRIBUTION_JOB_ADDRESSES=10.0.0.1:1234    the first machine, and a port that is free there
    KERAS_DISTRIBUTION_NUM_PROCESSES=2
    KERAS_DISTRIBUTION_PROCESS_ID=0                   1 on the second machine, and so on

and with an `--out` of its own each; all of them end with the same model. Give epochs and no minutes: a machine that
stops by its own clock leaves the others waiting.
"""

import os
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import cache
from typing import Any

import keras
import numpy as np

from helpers.runtime.errors import DataError
from helpers.runtime.machine import device, parse_devices

_strategy = None  # TensorFlow's, of the last `configure`; JAX keeps its own
_selected: list[str] = []  # the devices of the last `configure`


def configure(devices: str = "auto") -> int:
    """Choose the devices for the networks that are built next.

    Args:
        devices: "auto", every GPU, else the CPU; a number of GPUs, or of the devices that the CPU was split into
            before; "cpu", even if there is a GPU; or "cpu:2", the CPU split into two logical devices. That trains no
            faster, and runs the code of two GPUs on any machine.

    Returns:
        How many replicas there are, over all machines.

    Raises:
        DataError: there are not so many devices, or the CPU is to be split into several after the backend has started.
    """
    global _strategy, _selected
    kind, count = parse_devices(devices)
    if kind == "cpu":
        _make_cpus(count)
    if _jax() and os.environ.get("KERAS_DISTRIBUTION_JOB_ADDRESSES") and processes() == 1:
        keras.distribution.initialize()
    found = _list_devices("cpu" if kind == "cpu" else None)
    if count is None:
        count = 1 if found[0].startswith("cpu") else len(found)
    if processes() > 1:
        count = len(found)
    if count > len(found):
        raise DataError(
            f"{count} devices were asked for, and there is {', '.join(found)}. On a CPU ask for cpu:{count}; it makes "
            "as many of it."
        )
    _selected = found[:count]
    if _jax():
        parallel = keras.distribution.DataParallel(devices=_selected, auto_shard_dataset=False) if count > 1 else None
        keras.distribution.set_distribution(parallel)
    else:
        _strategy = _mirrored_strategy(tuple(_selected)) if count > 1 else None
    return count


def scope(network: keras.Model | None = None) -> AbstractContextManager:
    """The context in which networks are built and trainings compiled. Losses and scores are computed outside it.

    Args:
        network: its devices; those of the last `configure` without one.
    """
    strategy = _strategy if network is None else _strategy_of(network)
    return strategy.scope() if strategy else nullcontext()


def replicas(network: keras.Model) -> int:
    """How many devices train a network.

    Args:
        network: built in a `scope`, or outside of one, for one device.
    """
    if _jax():
        parallel = keras.distribution.distribution()
        return parallel.num_model_replicas if parallel else 1
    strategy = _strategy_of(network)
    return strategy.num_replicas_in_sync if strategy else 1


def processes() -> int:
    """How many machines, or processes, train together."""
    return _machines()[0]


def check_divisible(network: keras.Model, batch_size: int) -> None:
    """Check that every replica gets the same number of slices of a batch.

    Args:
        network: the one to train.
        batch_size: slices in a batch, over all replicas.

    Raises:
        DataError: the batch size is no multiple of the number of replicas.
    """
    count = replicas(network)
    if batch_size % count:
        more = batch_size + -batch_size % count
        raise DataError(f"{count} devices cannot share {batch_size} slices evenly; give batches of {more}.")


def local_rows(rows: int) -> slice:
    """The rows of a batch that this process loads: all, where it is the only one.

    Args:
        rows: how many the batch has, over all processes.
    """
    count, number = _machines()
    return slice(None) if count == 1 else slice(number * rows // count, (number + 1) * rows // count)


def synchronise(network: keras.Model) -> None:
    """Let batch normalisation use the statistics of the whole batch, not of each replica's part.

    On JAX it does so by itself.

    Args:
        network: changed in place.
    """
    if _jax() or replicas(network) == 1:
        return
    for layer in network.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.synchronized = True


def predict_distributed(network: keras.Model, batch: np.ndarray) -> np.ndarray:
    """The predictions of a network for a batch, each replica predicting its part.

    Args:
        network: built in a `scope`, or for one device.
        batch: (batch, ...), as the network takes it.

    Returns:
        (batch, ...), as the network gives it.
    """
    if processes() > 1:  # each process predicts the whole batch: none has the others' parts
        return keras.ops.convert_to_numpy(network(batch, training=False))
    count = replicas(network)
    if count == 1:
        return network.predict_on_batch(batch)
    short = -len(batch) % count
    filled = np.concatenate([batch, np.zeros((short, *batch.shape[1:]), batch.dtype)])
    if not _jax():
        filled = _distribute(_strategy_of(network), np.split(filled, count))
    return network.predict_on_batch(filled)[: len(batch)]


def all_replicas(flag: keras.KerasTensor) -> keras.KerasTensor:
    """Whether a flag is set on every replica; called inside a training step.

    Args:
        flag: bool scalar, this replica's.

    Returns:
        Bool scalar, the same on every replica.
    """
    if _jax():  # one program for all devices: there is one flag
        return flag
    import tensorflow as tf

    replica = tf.distribute.get_replica_context()
    if replica is None or replica.num_replicas_in_sync == 1:
        return flag
    unset = replica.all_reduce(tf.distribute.ReduceOp.SUM, 1.0 - tf.cast(flag, "float32"))
    return tf.equal(unset, 0.0)


def describe() -> str:
    """The devices of the last `configure`, in words: "Tesla T4 + Tesla T4, as 2 devices"."""
    several = len(_selected) > 1 or "+" in device()
    return f"{device()}, as {len(_selected)} device{'s' * (len(_selected) > 1)}" if _selected and several else device()


def _jax() -> bool:
    return keras.backend.backend() == "jax"


def _machines() -> tuple[int, int]:
    """How many machines train together, and the number of this one."""
    if not _jax():
        return 1, 0
    import jax

    return (jax.process_count(), jax.process_index()) if jax.distributed.is_initialized() else (1, 0)


def _strategy_of(network: keras.Model) -> Any:
    """The strategy under which a network was built; None for one device."""
    strategy = getattr(network, "distribute_strategy", None)
    return strategy if strategy is not None and strategy.num_replicas_in_sync > 1 else None


def _list_devices(kind: str | None) -> list[str]:
    """The devices of a kind; without one the GPUs, or the CPU where there are none."""
    if _jax():
        return keras.distribution.list_devices(kind)
    import tensorflow as tf

    gpus = [] if kind == "cpu" else tf.config.list_logical_devices("GPU")
    return [one.name.removeprefix("/device:").lower() for one in gpus or tf.config.list_logical_devices("CPU")]


@cache
def _mirrored_strategy(devices: tuple[str, ...]) -> Any:
    """One strategy for the same devices: two would number their exchanges alike, and mix up their gradients."""
    import tensorflow as tf

    tf.get_logger().setLevel("WARNING")  # else it logs every exchange between two devices
    return tf.distribute.MirroredStrategy(devices)


def _make_cpus(count: int) -> None:
    """Hide the GPUs and split the CPU into `count` logical devices, unless that was done before.

    Raises:
        DataError: the backend has started already.
    """
    try:
        if _jax():
            import jax

            if jax.config.jax_num_cpu_devices < count:
                jax.config.update("jax_num_cpu_devices", count)
            if jax.config.jax_platforms != "cpu":
                jax.config.update("jax_platforms", "cpu")
            return
        import tensorflow as tf

        if tf.config.get_visible_devices("GPU"):
            tf.config.set_visible_devices([], "GPU")
        cpu = tf.config.list_physical_devices("CPU")[0]
        if count > len(tf.config.get_logical_device_configuration(cpu) or [cpu]):
            tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * count)
    except RuntimeError as error:
        raise DataError(
            f"cpu:{count}: the CPU can be made into devices only before {keras.backend.backend()} has started, and it "
            f"has ({error}). Ask for it first of all, before any network; in a notebook, restart the kernel."
        ) from error


def _distribute(strategy: Any, parts: Sequence[np.ndarray]) -> Any:
    """One value for each replica, as `predict_on_batch` takes them."""
    import tensorflow as tf

    return strategy.experimental_distribute_values_from_function(
        lambda context: tf.convert_to_tensor(parts[context.replica_id_in_sync_group])
    )
