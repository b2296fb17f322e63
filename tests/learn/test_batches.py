"""Laws of the batches."""

import numpy as np

from helpers.learn.batches import training_batches


def _take(dataset, n):
    return [(x.numpy(), y.numpy()) for x, y in dataset.take(n)]


def test_batch_depends_on_seed_and_number_alone(store, split):
    whole = _take(training_batches(store, split.train, 4, seed=1, augmented=True), 4)
    resumed = _take(training_batches(store, split.train, 4, seed=1, augmented=True, first_step=2), 2)
    for (x, y), (x2, y2) in zip(whole[2:], resumed, strict=True):
        np.testing.assert_array_equal(x, x2)
        np.testing.assert_array_equal(y, y2)
    other = _take(training_batches(store, split.train, 4, seed=2, augmented=True), 1)
    assert not np.array_equal(whole[0][0], other[0][0])


def test_plain_batches_hold_what_the_store_holds(store, split):
    ((x, y),) = _take(training_batches(store, split.train, 8, seed=0, augmented=False), 1)
    assert (x.shape, y.shape) == ((8, 32, 32, 2), (8, 32, 32, 4))
    assert (x.dtype, y.dtype) == (np.float32, np.float32)
    np.testing.assert_allclose(y.sum(axis=-1), 1, atol=1e-6)
    allowed = store.images[store.rows(split.train)].astype(np.float32)
    assert all((allowed == image).all(axis=(1, 2, 3)).any() for image in x)


def test_augmented_shares_still_sum_to_one(store, split):
    ((_, y),) = _take(training_batches(store, split.train, 8, seed=0, augmented=True), 1)
    np.testing.assert_allclose(y.sum(axis=-1), 1, atol=1e-5)
