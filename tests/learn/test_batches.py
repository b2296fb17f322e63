"""Laws of the batches."""

import keras
import numpy as np
import pytest

from helpers.learn.augmented_model import augment
from helpers.learn.batches import BatchMemory, gather_foreground, gather_rows, training_batches
from helpers.prepare.sampling import SliceSampler


def _take(n, *arguments, **options):
    return [{name: array.numpy() for name, array in b.items()} for b in training_batches(*arguments, **options).take(n)]


def test_batch_depends_on_seed_and_number_alone(store, split):
    whole = _take(4, store, split.train, 4, seed=1, augmentation="all")
    resumed = _take(2, store, split.train, 4, seed=1, augmentation="all", first_step=2)
    for batch, again in zip(whole[2:], resumed, strict=True):
        assert batch.keys() == again.keys()
        for name in batch:
            np.testing.assert_array_equal(batch[name], again[name])
    (other,) = _take(1, store, split.train, 4, seed=2, augmentation="all")
    for name in ("images", "affine", "elastic", "gain"):
        assert not np.array_equal(whole[0][name], other[name])


def test_plain_batches_hold_what_the_store_holds(store, split):
    (batch,) = _take(1, store, split.train, 8, seed=0, augmentation="none")
    assert {name: array.dtype for name, array in batch.items()} == {"images": np.float16, "foreground": np.uint8}
    allowed = store.images[store.rows(split.train)]
    assert all((allowed == image).all(axis=(1, 2, 3)).any() for image in batch["images"])
    x, y = (keras.ops.convert_to_numpy(part) for part in augment(batch))
    assert (x.shape, y.shape) == ((8, 32, 32, 2), (8, 32, 32, 4))
    np.testing.assert_array_equal(x, batch["images"].astype(np.float32))
    soft_labels = store.soft_labels[SliceSampler(store, split.train, 8, seed=0)(0)]
    np.testing.assert_allclose(y, soft_labels / np.float32(255), atol=1e-6)
    np.testing.assert_array_equal(np.rint(255 * y), soft_labels)


@pytest.mark.parametrize("augmentation", ["none", "usual", "all"])
def test_every_array_has_the_batch_first(store, split, augmentation):
    """Two devices get half of each."""
    dataset = training_batches(store, split.train, 6, seed=0, augmentation=augmentation)
    assert {spec.shape[0] for spec in dataset.element_spec.values()} == {6}
    assert all(spec.shape.is_fully_defined() for spec in dataset.element_spec.values())


def test_numbers_are_a_small_part_of_what_travels(store, split):
    """They do not grow with the slices, which have 32 pixels here, and 96 or 128 in earnest."""
    (batch,) = _take(1, store, split.train, 8, seed=0, augmentation="all")
    numbers = sum(array.nbytes for name, array in batch.items() if name not in ("images", "foreground"))
    assert numbers / 8 < 1000  # bytes a slice


def test_varied_shares_still_sum_to_one(store, split):
    (batch,) = _take(1, store, split.train, 8, seed=0, augmentation="all")
    _, y = augment(batch)
    np.testing.assert_allclose(keras.ops.convert_to_numpy(y).sum(axis=-1), 1, atol=1e-5)


def test_nothing_tunes_the_batches(store, split):
    """The thread that would is waited for when an iterator goes, for up to as long as it was there."""
    assert training_batches(store, split.train, 4, seed=0).options().autotune.enabled is False


def test_gathered_foreground_is_every_class_but_the_background(store):
    rows = np.array([70, 3, 70])
    found = gather_foreground(store.label_planes, rows, BatchMemory())
    np.testing.assert_array_equal(np.moveaxis(found, 1, -1), store.soft_labels[rows][..., 1:])
    assert found.flags.c_contiguous


@pytest.mark.parametrize("dtype", [np.float16, np.uint8])
def test_gathered_rows_are_those_asked_for_and_lie_where_tensors_begin(dtype):
    array = np.arange(5 * 3 * 3).reshape(5, 3, 3, 1).astype(dtype)
    for rows in ([4, 0, 4], [2]):
        found = gather_rows(array, np.array(rows), BatchMemory())
        np.testing.assert_array_equal(found, array[rows])
        assert found.ctypes.data % 64 == 0


def test_memory_of_a_batch_is_filled_again_when_nobody_holds_a_part_of_it():
    memory = BatchMemory()
    batch = memory.empty((4, 8), np.float16)
    place, part = batch.ctypes.data, batch[1:].T
    del batch
    other = memory.empty((4, 8), np.float16)
    assert other.ctypes.data != place
    del part
    assert memory.empty((4, 8), np.float16).ctypes.data == place


def test_batches_that_are_held_are_not_overwritten(store, split):
    def drawn():
        return training_batches(store, split.train, 4, seed=0, augmentation="none").take(30)

    held = list(drawn())
    copies = [{name: array.numpy().copy() for name, array in batch.items()} for batch in held]
    for batches in (drawn(), held):
        for batch, copied in zip(batches, copies, strict=True):
            for name, array in batch.items():
                np.testing.assert_array_equal(array, copied[name])
