"""Laws of ensembles: the mean of the members, and of one alone the very network."""

import numpy as np
import pytest

from helpers.models.ensemble import Ensemble, ensemble, members
from helpers.models.unet import unet


@pytest.fixture(scope="module")
def three():
    return [unet(16, 1, filters=2, depth=1) for _ in range(3)]


@pytest.fixture
def images():
    return np.random.default_rng(0).normal(size=(2, 16, 16, 1)).astype(np.float32)


def test_an_ensemble_of_one_is_the_model(three):
    assert ensemble(three[:1]) is three[0]
    assert members(three[0]) == [three[0]]


def test_an_ensemble_gives_the_mean_of_its_members(three, images):
    model = ensemble(three)
    assert members(model) == three
    alone = [network.predict_on_batch(images) for network in three]
    np.testing.assert_allclose(model.predict_on_batch(images), np.mean(alone, axis=0), atol=1e-6)
    assert np.abs(alone[0] - alone[1]).max() > 1e-3


def test_one_network_makes_no_ensemble(three):
    with pytest.raises(ValueError, match="1 networks make no ensemble"):
        Ensemble(three[:1])
