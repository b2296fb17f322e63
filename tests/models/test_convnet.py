"""Laws of the plain convolutional network."""

import keras
import numpy as np

from helpers.models.convnet import convnet


def test_every_image_gets_probabilities_that_sum_to_one(rng):
    probabilities = convnet(32, 3, filters=4).predict_on_batch(rng.normal(size=(5, 32, 32, 3)))
    assert probabilities.shape == (5, 2)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, rtol=1e-5)


def test_saved_network_gives_the_same_predictions(rng, tmp_path):
    network, images = convnet(32, 2, classes=3, filters=4), rng.normal(size=(2, 32, 32, 2))
    network.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(again.predict_on_batch(images), network.predict_on_batch(images))


def test_probabilities_stay_single_precision_in_half_precision():
    keras.mixed_precision.set_global_policy("mixed_bfloat16")
    try:
        assert convnet(32, filters=4).output.dtype == "float32"
    finally:
        keras.mixed_precision.set_global_policy("float32")
