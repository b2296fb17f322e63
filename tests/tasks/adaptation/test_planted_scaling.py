"""Laws of the planted fault of scaling; that it costs what it costs is held by lesson 10, which plays the games."""

import numpy as np
import pytest

from helpers.data.normalise import zscore
from helpers.tasks.adaptation.planted_scaling import FORGOTTEN, fogged, phantom_radiographs, play


@pytest.fixture(scope="module")
def radiographs():
    return phantom_radiographs(6, seed=1)


def test_films_are_from_0_to_1_and_their_masks_are_lungs(radiographs):
    assert radiographs.images.shape == (6, 32, 32, 1)
    assert 0 <= radiographs.images.min() < 0.2 < 0.8 < radiographs.images.max() <= 1
    assert all(0.1 < mask.mean() < 0.4 for mask in radiographs.masks)
    inside = [
        radiograph[mask].mean() < radiograph[~mask].mean()
        for radiograph, mask in zip(radiographs.images, radiographs.masks, strict=True)
    ]
    assert all(inside)
    assert not np.array_equal(radiographs.images, phantom_radiographs(6, seed=2).images)


def test_the_second_detector_shifts_greys_and_keeps_lungs(radiographs):
    second = fogged(radiographs)
    assert 0.5 < second.images.min() < second.images.max() <= 1
    np.testing.assert_array_equal(second.masks, radiographs.masks)
    np.testing.assert_allclose(np.corrcoef(second.images.ravel(), radiographs.images.ravel())[0, 1], 1, atol=1e-5)


def test_zscored_films_know_neither_the_factor_nor_the_fog(radiographs):
    """Which is why the course's own radiographs cannot have the fault."""
    volume = np.moveaxis(radiographs.images, 0, 2) + 0.01  # 0 is padding
    for other in (FORGOTTEN * volume, 0.3 * volume + 0.6):
        np.testing.assert_allclose(zscore(other), zscore(volume), atol=1e-3)


def test_each_game_has_a_row_beside_the_source(tmp_path):
    rows = play(radiographs=4, source_steps=1, steps=2)
    assert list(rows.index) == ["source", "ADDA, both from 0 to 1", "ADDA, the target from 0 to 255"]
    assert rows["Dice, target"].between(0, 1).all()
    assert rows.loc["source"].isna().sum() == 2
    assert rows.iloc[1:, 1:].apply(lambda column: column.between(0, 1)).all(axis=None)
