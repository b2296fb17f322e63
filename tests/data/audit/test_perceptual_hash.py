"""Laws of the perceptual hash: a picture is recognised after small changes, and not mistaken for another."""

import io

import numpy as np
import pytest
from PIL import Image

from helpers.data.audit.perceptual_hash import NEAR, near_duplicates, picture_hash
from helpers.data.chest import read_chest
from helpers.data.pictures import read_image


def _jpeg(pixels):
    packed = io.BytesIO()
    Image.fromarray(pixels).save(packed, "JPEG", quality=75)
    return np.asarray(Image.open(packed))


CHANGES = {
    "jpeg": _jpeg,
    "three quarters": lambda pixels: np.asarray(Image.fromarray(pixels).resize([n * 3 // 4 for n in pixels.T.shape])),
    "brighter": lambda pixels: np.clip(pixels * 1.1 + 4, 0, 255).astype(np.uint8),
    "darker curve": lambda pixels: (255 * (pixels / 255) ** 1.2).astype(np.uint8),
}


@pytest.fixture(scope="module")
def images(chests):
    return [read_image(xray.image) for xray in read_chest(chests).xrays]


def test_different_patients_are_no_near_duplicates(images):
    assert near_duplicates([picture_hash(image) for image in images]) == []


@pytest.mark.parametrize("change", CHANGES)
def test_changed_copy_is_recognised(images, change):
    for image in images:
        ((first, second, bits),) = near_duplicates([picture_hash(image), picture_hash(CHANGES[change](image))])
        assert (first, second) == (0, 1)
        assert 1 <= bits <= NEAR


def test_equal_pixels_differ_in_no_bit(images):
    assert near_duplicates([picture_hash(images[0]), picture_hash(images[1]), picture_hash(images[0].copy())]) == [
        (0, 2, 0)
    ]


def test_mirrored_picture_is_another(images):
    assert near_duplicates([picture_hash(images[0]), picture_hash(images[0][:, ::-1])]) == []


def test_nothing_and_one_have_no_pairs(images):
    assert near_duplicates([]) == []
    assert near_duplicates([picture_hash(images[0])]) == []
