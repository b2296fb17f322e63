"""Laws of drawing slices."""

import numpy as np

from helpers.prepare.sampling import RehearsalSampler, SliceSampler


def test_same_seed_and_step_draw_the_same_slices(store, split):
    one, other = (SliceSampler(store, split.train, 16, seed=3) for _ in range(2))
    other(0)  # what was drawn before does not matter
    np.testing.assert_array_equal(one(7), other(7))
    assert not np.array_equal(one(7), one(8))


def test_only_slices_with_brain_of_the_named_patients_are_drawn(store, split):
    sampler = SliceSampler(store, split.train, 16, seed=0)
    drawn = np.concatenate([sampler(step) for step in range(200)])
    allowed = store.rows(split.train)
    assert set(drawn) <= set(allowed[store.has_brain[allowed]])
    assert len(set(drawn)) > 0.9 * store.has_brain[allowed].sum()


def test_half_a_batch_shows_tumour_and_a_quarter_enhancing(store, split):
    sampler = SliceSampler(store, split.train, 16, seed=0)
    for step in range(20):
        voxels = store.voxels_per_class[sampler(step)]
        assert (voxels[8:, 1:].sum(axis=1) > 0).all()
        assert (voxels[12:, 3] > 0).all()


def test_without_focus_tumour_is_as_rare_as_in_life(store, split):
    sampler = SliceSampler(store, split.train, 16, seed=0, focus=0)
    drawn = np.concatenate([sampler(step) for step in range(200)])
    rows = store.rows(split.train)
    rows = rows[store.has_brain[rows]]

    def share(positions):
        return (store.voxels_per_class[positions, 1:].sum(axis=1) > 0).mean()

    assert abs(share(drawn) - share(rows)) < 0.03


def test_with_full_focus_every_slice_shows_tumour(store, split):
    sampler = SliceSampler(store, split.train, 16, seed=0, focus=1)
    for step in range(20):
        voxels = store.voxels_per_class[sampler(step)]
        assert (voxels[:, 1:].sum(axis=1) > 0).all()
        assert (voxels[8:, 3] > 0).all()


def test_more_focus_makes_every_tumour_class_less_rare(store, split):
    """Over-sampling does what it is for, and no more: most pixels of a tumour slice are background still."""
    soft_labels = []
    for focus in (0, 0.5, 1):
        sampler = SliceSampler(store, split.train, 16, seed=0, focus=focus)
        pixels = store.voxels_per_class[np.concatenate([sampler(step) for step in range(100)])].sum(axis=0)
        soft_labels.append(pixels / pixels.sum())
    assert (np.diff(soft_labels, axis=0)[:, 1:] > 0).all()
    assert soft_labels[-1][0] > 0.5


def test_rehearsed_patients_make_half_of_a_batch_however_many_they_are(store, split):
    new, old = split.test[:1], split.train
    rows = RehearsalSampler(store, new, old, 8, seed=0)(3)
    assert np.isin(rows[:4], store.rows(new)).all()
    assert np.isin(rows[4:], store.rows(old)).all()
    alone = RehearsalSampler(store, new, (), 8, seed=0)(3)
    np.testing.assert_array_equal(alone, SliceSampler(store, new, 8, seed=0)(3))
