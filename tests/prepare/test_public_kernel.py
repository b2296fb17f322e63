"""Laws of the public kernel's preparation: how far its masks move, what its scale does, when it stops."""

import keras
import numpy as np
import pytest

from helpers.measure.overlap import dice
from helpers.measure.planted import ball
from helpers.prepare.public_kernel import (
    PATIENCE,
    bilinear,
    by_maximum,
    corner_nearest,
    corner_shift,
    kept_slices,
    stops_after,
)


def test_resizing_by_nearest_neighbour_moves_a_mask_by_1_2_to_1_3_pixels():
    assert 1.2 < corner_shift(240, 128) * np.sqrt(2) < 1.3
    moved = []
    for centre in np.random.default_rng(0).uniform(80, 160, (20, 2)):
        small = corner_nearest(ball((240, 240), centre, 30), (128, 128))
        middle = (np.argwhere(small).mean(axis=0) + 0.5) * 240 / 128 - 0.5  # in pixels of the large grid
        moved.append(np.linalg.norm(middle - centre))
    assert 1.2 < np.mean(moved) < 1.3


@pytest.mark.parametrize(("old", "new"), [(240, 128), (240, 96), (120, 48), (128, 240), (7, 3), (64, 64)])
def test_the_shift_is_old_less_their_greatest_divisor_over_twice_the_new(old, new):
    shown = corner_nearest(np.arange(old)[:, None], (new, 1))[:, 0] + 0.5  # middle of the pixel that each new one shows
    middles = (np.arange(new) + 0.5) * old / new
    assert corner_shift(old, new) == pytest.approx((middles - shown).mean())


def test_an_image_is_resized_about_its_middle_and_so_parts_from_its_mask():
    image = np.zeros((240, 240))
    image[100:140, 100:140] = 1
    resized, mask = bilinear(image, 128), corner_nearest(image > 0, (128, 128))
    positions = np.indices((128, 128)).reshape(2, -1)
    of_image = (positions * resized.ravel()).sum(axis=1) / resized.sum()
    np.testing.assert_allclose(of_image, (119.5 + 0.5) * 128 / 240 - 0.5, atol=0.02)
    assert (np.argwhere(mask).mean(axis=0) - of_image > 0.3).all()


def test_there_and_back_a_mask_no_longer_covers_itself():
    truth = ball((240, 240), (120, 120), 8)
    assert dice(truth, corner_nearest(corner_nearest(truth, (128, 128)), truth.shape)) < 0.9
    assert dice(truth, corner_nearest(truth, truth.shape)) == 1


def test_a_ramp_stays_a_ramp_between_the_middles_of_pixels():
    rows, columns = np.meshgrid(np.arange(240.0), np.arange(240.0), indexing="ij")
    middles = np.clip((np.arange(128) + 0.5) * 240 / 128 - 0.5, 0, 239)
    ramp = 3 * rows - columns
    np.testing.assert_allclose(bilinear(ramp, 128), 3 * middles[:, None] - middles[None], atol=1e-9)
    volume = bilinear(np.stack([ramp, 2 * ramp], axis=-1)[..., None, :], 128)  # slices and modalities are left alone
    np.testing.assert_allclose(volume[:, :, 0, 1], 2 * bilinear(ramp, 128))


def test_kept_slices_are_22_to_121_and_the_same_part_of_other_volumes():
    assert kept_slices(155) == slice(22, 122)
    assert kept_slices(310) == slice(44, 244)


def test_the_same_slice_is_darker_beside_a_brighter_one():
    rng = np.random.default_rng(0)
    slice_, dim, bright = (
        rng.uniform(0, 100, (1, 4, 4, 2)),
        rng.uniform(0, 100, (3, 4, 4, 2)),
        np.full((1, 4, 4, 2), 400),
    )
    alone = by_maximum(slice_, np.concatenate([slice_, dim]))
    beside = by_maximum(slice_, np.concatenate([slice_, dim, bright]))
    ratio = np.concatenate([slice_, dim]).max() / 400
    np.testing.assert_allclose(beside, alone * ratio, rtol=1e-5)
    assert by_maximum(bright, bright).max() == 1


def test_nothing_at_all_is_divided_by_nothing():
    assert not by_maximum(np.zeros((1, 2, 2, 2)), np.zeros((1, 2, 2, 2))).any()


@pytest.mark.parametrize(
    "losses", [[5, 4, 3, 2, 1], [5, 4, 4.5, 4.2, 1], [1, 1, 1], [3, 2, 2.5, 1, 1.5, 1.2, 0], [2], [2, 3]]
)
def test_it_stops_where_early_stopping_of_keras_does(losses):
    rule = keras.callbacks.EarlyStopping(monitor="loss", patience=PATIENCE)
    rule.set_model(keras.Sequential())
    rule.model.stop_training = False
    rule.on_train_begin()
    for epoch, loss in enumerate(losses):
        rule.on_epoch_end(epoch, {"loss": loss})
        if rule.model.stop_training:
            break
    assert stops_after(losses) == epoch + 1


def test_a_training_loss_that_falls_for_ever_never_stops():
    assert stops_after(1 / np.arange(1, 40)) == 39
