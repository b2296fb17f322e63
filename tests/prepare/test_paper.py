"""Laws of the paper's transforms."""

import numpy as np
import pytest

from helpers.prepare import paper


@pytest.fixture
def picture():
    """(180, 150, 3), smooth, with an edge."""
    rows, columns = np.mgrid[:180, :150]
    waves = np.stack([np.sin(rows / (9 + c)) + np.cos(columns / (7 + c)) for c in range(3)], axis=-1)
    waves[40:90, 30:60] += 1
    return (60 + 60 * waves).clip(0, 255).astype(np.uint8)


def test_normalise_is_its_formula():
    unit = np.full((3, 1, 1), 0.5, np.float32)
    expected = [(0.5 - 0.485) / 0.229, (0.5 - 0.456) / 0.224, (0.5 - 0.406) / 0.225]
    np.testing.assert_allclose(paper.normalise(unit).ravel(), expected, rtol=1e-5)


def test_denormalise_is_the_papers_line():
    images = np.random.default_rng(0).normal(0, 2, (4, 3, 8, 9)).astype(np.float32)
    mean, std = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
    expected = (images.transpose((0, 2, 3, 1)) * std + mean).clip(0, 1)
    np.testing.assert_allclose(paper.denormalise(images), expected, atol=1e-6)
    assert (expected == 0).any()
    assert (expected == 1).any()


def test_denormalise_undoes_normalise(picture):
    back = paper.denormalise(paper.normalise(paper.to_tensor(picture)))
    np.testing.assert_allclose(back, picture / 255, atol=1e-6)


def test_tensor_is_scaled_and_has_channels_first(picture):
    tensor = paper.to_tensor(picture)
    assert (tensor.shape, tensor.dtype) == ((3, 180, 150), np.float32)
    assert tensor[2, 7, 5] == pytest.approx(picture[7, 5, 2] / 255)


def test_resize_keeps_the_mean(picture):
    small = paper.resize(picture)
    assert small.shape == (224, 224, 3)
    np.testing.assert_allclose(small.mean(axis=(0, 1)), picture.mean(axis=(0, 1)), atol=1)


def test_a_quarter_turn_is_anticlockwise(picture):
    square = picture[:150]
    np.testing.assert_array_equal(paper.rotate(square, 90), np.rot90(square))
    np.testing.assert_array_equal(paper.rotate(square, 0), square)


def test_same_seed_gives_the_same_image_and_half_are_flipped(picture):
    def shown(seed):
        return paper.transform(picture, np.random.default_rng(seed))

    np.testing.assert_array_equal(shown(3), shown(3))
    resized = paper.normalise(paper.to_tensor(paper.resize(picture)))
    middle = np.s_[:, 80:144, 80:144]  # ten degrees move little here
    flipped = [
        np.abs(one - resized[:, :, ::-1])[middle].mean() < np.abs(one - resized)[middle].mean()
        for one in map(shown, range(60))
    ]
    assert 18 <= sum(flipped) <= 42  # 60 throws of a coin: 3.1 standard deviations


def test_other_images_are_refused():
    with pytest.raises(ValueError, match=r"shape \(8, 8\).*expected \(rows, columns, 3\) and uint8"):
        paper.resize(np.zeros((8, 8), np.uint8))
    with pytest.raises(ValueError, match="dtype float64"):
        paper.rotate(np.zeros((8, 8, 3)), 5)


def test_every_step_is_torchvisions(picture):
    transforms = pytest.importorskip("torchvision.transforms")
    functional, image = transforms.functional, pytest.importorskip("PIL.Image")
    theirs = image.fromarray(picture)

    resized = functional.resize(theirs, (224, 224))  # as Resize((224, 224)) calls it
    np.testing.assert_array_equal(paper.resize(picture), np.asarray(resized))
    np.testing.assert_array_equal(paper.flip(picture), np.asarray(functional.hflip(theirs)))
    for degrees in (-10, 3.7, 10):
        np.testing.assert_array_equal(paper.rotate(picture, degrees), np.asarray(functional.rotate(theirs, degrees)))
    tensor = functional.to_tensor(theirs)
    np.testing.assert_array_equal(paper.to_tensor(picture), tensor.numpy())
    normal = transforms.Normalize(mean=[0.485, 0.456, 0.406], std=[0.229, 0.224, 0.225])(tensor)
    np.testing.assert_allclose(paper.normalise(paper.to_tensor(picture)), normal.numpy(), atol=1e-6)


def test_the_whole_is_torchvisions_where_nothing_is_left_to_chance(picture):
    """With RandomRotation and the flip held still, the composition is the paper's, step for step."""
    transforms = pytest.importorskip("torchvision.transforms")
    image = pytest.importorskip("PIL.Image")

    class Drawn:
        """Stands for a generator: no flip, four degrees."""

        def random(self):
            return 0.9

        def uniform(self, low, high):
            assert (low, high) == (-10, 10)
            return 4.0

    composed = transforms.Compose(
        [
            transforms.Resize((224, 224)),
            transforms.RandomHorizontalFlip(0.0),
            transforms.RandomRotation((4, 4)),
            transforms.ToTensor(),
            transforms.Normalize(mean=[0.485, 0.456, 0.406], std=[0.229, 0.224, 0.225]),
        ]
    )
    theirs = composed(image.fromarray(picture)).numpy()
    np.testing.assert_allclose(paper.transform(picture, Drawn()), theirs, atol=1e-6)
