"""Laws of prediction: the mask lies on the patient's own grid, and where the network drew it."""

from dataclasses import replace

import keras
import numpy as np
import pytest

from helpers.data.brats import read_catalogue
from helpers.data.resample import Grid
from helpers.data.volumes import read_scan
from helpers.learn.predict_batches import predict_batches
from helpers.measure.overlap import dice
from helpers.models.unet import unet
from helpers.runtime.errors import DataError
from helpers.tasks.brain.inference import MCDropoutModel, Segmenter


class Threshold(keras.Model):
    """Calls every pixel oedema whose first modality lies above one deviation."""

    def call(self, x):
        bright = keras.ops.cast(x[..., :1] > 1, "float32")
        zero = keras.ops.zeros_like(bright)
        return keras.ops.concatenate([1 - bright, zero, bright, zero], axis=-1)


@pytest.fixture(scope="module")
def scan(patients):
    return read_scan(patients[0], ("flair", "t1ce"))


@pytest.mark.parametrize("size", [48, 60, 96])
def test_mask_lies_where_the_bright_voxels_are(scan, size):
    """The path in and back, coarser and finer than the patient's 4 mm, against the same rule on the patient's grid."""
    from helpers.data.normalise import zscore

    bright = zscore(scan.images)[..., 0] > 1
    labels = Segmenter(Threshold(), ("flair", "t1ce"), Grid(size)).predict(scan)
    assert labels.shape == scan.images.shape[:3]
    assert labels.dtype == np.uint8
    shifted = max(dice(np.roll(bright, 1, axis=axis), labels == 2) for axis in (0, 1))
    assert dice(bright, labels == 2) > max(0.8, shifted)


def test_probabilities_sum_to_one_everywhere(scan):
    probabilities = Segmenter(Threshold(), ("flair", "t1ce"), Grid(48)).probabilities(scan)
    np.testing.assert_allclose(probabilities.sum(axis=-1), 1, atol=1e-5)


def test_modalities_are_taken_by_name_not_by_order(patients, scan):
    turned = read_scan(patients[0], ("t1ce", "flair"))
    segmenter = Segmenter(Threshold(), ("flair", "t1ce"), Grid(48))
    np.testing.assert_array_equal(segmenter.predict(scan), segmenter.predict(turned))


def test_missing_modality_is_refused(patients):
    alone = read_scan(patients[0], ("flair",))
    with pytest.raises(DataError, match="wants flair, t1ce; t1ce is missing"):
        Segmenter(Threshold(), ("flair", "t1ce"), Grid(48)).predict(alone)


def test_flip_of_a_symmetric_rule_changes_nothing(scan):
    plain, flipped = (Segmenter(Threshold(), ("flair", "t1ce"), Grid(48), flip).predict(scan) for flip in (False, True))
    np.testing.assert_array_equal(plain, flipped)


def test_folder_without_a_training_is_refused(tmp_path):
    with pytest.raises(DataError, match="holds no finished training"):
        Segmenter.load(tmp_path)


@pytest.fixture(scope="module")
def untrained():
    keras.utils.set_random_seed(0)
    return Segmenter(unet(32, filters=4), ("flair", "t1ce"), Grid(32))


def test_mask_is_the_largest_of_the_probabilities_voxel_for_voxel(untrained, scan, rng):
    """Labels are made in chunks of slices, and where background is the largest not at all."""
    _, centre = untrained.preprocess(scan)
    probabilities = rng.dirichlet([2, 1, 1, 1], (scan.images.shape[2], 32, 32)).astype(np.float32)
    probabilities[::3] = [1, 0, 0, 0]  # every third slice is background
    tumour = untrained.grid.up(probabilities[..., 1:], scan.images.shape[:3], scan.spacing, centre)
    expected = np.concatenate([1 - tumour.sum(axis=-1, keepdims=True), tumour], axis=-1).argmax(axis=-1)
    assert len(np.unique(expected)) == 4  # every class has voxels
    np.testing.assert_array_equal(untrained.native_labels(probabilities, scan, centre), expected)
    np.testing.assert_array_equal(untrained.predict(scan), untrained.probabilities(scan).argmax(axis=-1))


@pytest.mark.parametrize("mirrored", [False, True])
def test_sample_is_a_pass_of_the_whole_network_with_dropout_on(untrained, rng, mirrored):
    images = rng.normal(size=(40, 32, 32, 2)).astype(np.float32)  # more than the dropout masks that are drawn at once
    (number,) = [n for n, one in enumerate(untrained.network.layers) if isinstance(one, keras.layers.Dropout)]
    untrained.network.layers[number].seed_generator.state.assign([5, number])
    step = -1 if mirrored else 1
    expected = predict_batches(MCDropoutModel(untrained.network), images[:, ::step], batch_size=32)[:, ::step]
    sample = untrained.sample(images, seed=5, mirrored=mirrored)
    np.testing.assert_allclose(sample, expected, atol=1e-6)
    assert np.abs(sample - untrained.network_probabilities(images)).max() > 1e-3


@pytest.mark.parametrize("flip", [False, True])
@pytest.mark.parametrize("passes", [1, 4])
def test_prediction_and_samples_at_once_are_those_one_by_one(untrained, rng, flip, passes):
    segmenter = Segmenter(untrained.network, untrained.modalities, untrained.grid, flip)
    images = rng.normal(size=(20, 32, 32, 2)).astype(np.float32)
    mean, samples = segmenter.mean_and_samples(images, passes)
    np.testing.assert_allclose(mean, segmenter.network_probabilities(images), atol=1e-6)
    assert len(samples) == passes
    for seed, sample in enumerate(samples):
        np.testing.assert_allclose(sample, segmenter.sample(images, seed, mirrored=seed % 2 == 1), atol=1e-6)


def test_what_lies_before_the_dropout_runs_once_a_slice_and_mirror(untrained, rng, monkeypatch):
    segmenter = Segmenter(untrained.network, untrained.modalities, untrained.grid)
    runs, predict = [], segmenter._cut.before.predict_on_batch
    monkeypatch.setattr(segmenter._cut.before, "predict_on_batch", lambda batch: runs.append(batch) or predict(batch))
    segmenter.mean_and_samples(rng.normal(size=(16, 32, 32, 2)).astype(np.float32), passes=4)
    assert len(runs) == 2
    np.testing.assert_array_equal(runs[1], runs[0][:, ::-1])


def test_network_that_cannot_be_cut_is_sampled_whole(rng):
    inputs = keras.Input((32, 32, 2))
    x = keras.layers.Dropout(0.5)(keras.layers.Dropout(0.5)(inputs))
    network = keras.Model(inputs, keras.layers.Conv2D(4, 1, activation="softmax")(x))
    segmenter = Segmenter(network, ("flair", "t1ce"), Grid(32))
    images = rng.normal(size=(3, 32, 32, 2)).astype(np.float32)
    mean, samples = segmenter.mean_and_samples(images, passes=2)
    np.testing.assert_array_equal(mean, segmenter.network_probabilities(images))
    np.testing.assert_array_equal(samples[1], segmenter.sample(images, 1, mirrored=True))
    assert not np.array_equal(samples[0], samples[1])


def _any_of_two(reach=1):
    network = unet(32, 2 * (2 * reach + 1), filters=2)
    return Segmenter(network, ("flair", "t1ce"), Grid(32), flip=False, reach=reach, any_modalities=True)


def test_a_missing_modality_is_a_masked_one(phantoms):
    patient = read_catalogue(phantoms).patients[0]
    segmenter, scan = _any_of_two(), read_scan(patient, ("flair", "t1ce"))
    with_both, _ = segmenter.preprocess(scan)
    alone, _ = segmenter.preprocess(scan.only(["t1ce"]))
    masked = with_both.copy()
    masked[..., 0::2] = 0  # FLAIR, in every slice of the slab
    np.testing.assert_allclose(alone, masked, atol=1e-5)


def test_a_model_of_any_modalities_wants_one_of_them(phantoms):
    patient = read_catalogue(phantoms).patients[0]
    with pytest.raises(DataError, match="this model wants one of flair, t1ce"):
        _any_of_two().preprocess(read_scan(patient, ("t2",)))


def test_neighbours_make_no_brain_of_an_empty_slice(phantoms):
    """The slices next to the brain see some of it, and are background all the same."""
    patient = read_catalogue(phantoms).patients[0]
    segmenter, scan = _any_of_two(), read_scan(patient, ("flair", "t1ce"))
    images, _ = segmenter.preprocess(scan)
    brain = scan.images.any(axis=(0, 1, 3))
    np.testing.assert_array_equal(segmenter.shows_brain(images), brain)
    beside = images.any(axis=(1, 2, 3)) & ~brain
    assert beside.any()
    assert (segmenter.network_probabilities(images)[beside][..., 0] == 1).all()


def test_the_dice_optimal_mask_of_an_unsure_map_is_larger(phantoms):
    patient = read_catalogue(phantoms).patients[0]
    scan = read_scan(patient, ("flair", "t1ce"))
    plain = Segmenter(unet(32, filters=2), ("flair", "t1ce"), Grid(32))
    _, centre = plain.preprocess(scan)
    probabilities = np.zeros((scan.images.shape[2], 32, 32, 4), np.float32)
    probabilities[10:25, 12:20, 12:20, 2] = 0.4  # a tumour less likely than not, everywhere
    probabilities[14:20, 14:18, 14:18, 2] = 0.9
    probabilities[..., 0] = 1 - probabilities[..., 1:].sum(axis=-1)
    optimal = replace(plain, decision="dice").native_labels(probabilities, scan, centre)
    assert 0 < (plain.native_labels(probabilities, scan, centre) > 0).sum() < (optimal > 0).sum()
