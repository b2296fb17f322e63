"""A gate and a network that need no training: they call bright voxels tumour."""

import keras
import pytest

from helpers.apply.system import System
from helpers.data.out_of_distribution import fingerprint, fit_ranges
from helpers.data.resample import Grid
from helpers.data.volumes import read_scan
from helpers.tasks.brain.inference import Segmenter
from helpers.tasks.gate.inference import Gate

MODALITIES = ("flair", "t1ce")


@keras.saving.register_keras_serializable("tests")
class Bright(keras.layers.Layer):
    """Class probabilities by brightness: above 1 deviation oedema, where T1ce is bright as well enhancing tumour."""

    def call(self, x):
        flair, t1ce = (keras.ops.sigmoid(4 * (x[..., m : m + 1] - 1)) for m in (0, 1))
        return keras.ops.concatenate([1 - flair, 0 * flair, flair * (1 - t1ce), flair * t1ce], axis=-1)


@keras.saving.register_keras_serializable("tests")
class AnyBright(keras.layers.Layer):
    """The fraction of bright pixels in a slice, as the probability of tumour."""

    def call(self, x):
        fraction = keras.ops.mean(keras.ops.cast(x[..., 0] > 1, "float32"), axis=(1, 2))
        return keras.ops.stack([1 - fraction, fraction], axis=-1)


def network(size=48, dropout=0.5):
    inputs = keras.Input((size, size, 2))
    x = keras.layers.Dropout(dropout)(inputs)
    return keras.Model(inputs, Bright()(x))


def gate_network(size=32):
    inputs = keras.Input((size, size, 2))
    return keras.Model(inputs, AnyBright()(inputs))


@pytest.fixture(scope="session")
def usual(patients):
    return fit_ranges([fingerprint(read_scan(patient, MODALITIES)) for patient in patients])


@pytest.fixture(scope="session")
def certain():
    """The same network without dropout: every pass is the same."""
    return Segmenter(network(dropout=0.0), MODALITIES, Grid(48))


@pytest.fixture(scope="session")
def system(usual):
    gate = Gate(gate_network(), MODALITIES, Grid(32), threshold=0.03)
    return System(Segmenter(network(), MODALITIES, Grid(48)), gate, usual, passes=3)


@pytest.fixture(scope="session")
def scan(patients):
    return read_scan(patients[0], MODALITIES)
