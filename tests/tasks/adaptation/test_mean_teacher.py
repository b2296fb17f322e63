"""Laws of the mean teacher."""

import numpy as np
import pytest

from helpers.learn.losses import PrecomputedLoss
from helpers.prepare.augment import single
from helpers.tasks.adaptation.base import LayerwiseAdam
from helpers.tasks.adaptation.mean_teacher import MeanTeacher, augment_pseudo_labelled
from tests.tasks.adaptation.both_hospitals import radiographs, start


@pytest.fixture
def step():
    made = MeanTeacher(start(), momentum=0.75)
    made.compile(LayerwiseAdam(1e-2), PrecomputedLoss())
    return made


def test_only_the_student_learns(step):
    assert {id(v) for v in step.trainable_variables} == {id(v) for v in step.student.trainable_variables}


def test_what_the_teacher_outlined_moves_with_the_radiograph():
    """A radiograph that is its own outline still is, after both were turned."""
    outline = np.zeros((1, 32, 32, 2), np.float32)
    outline[:, 8:20, 6:16, 1] = 1
    outline[..., 0] = 1 - outline[..., 1]
    radiograph = {"images": outline[..., 1:], **single("rotation", 20, 32, 1).arrays()}
    images, soft_labels = augment_pseudo_labelled(radiograph, outline)
    np.testing.assert_allclose(images[..., 0], soft_labels[..., 1], atol=1e-5)
    assert np.abs(np.asarray(soft_labels) - outline).max() > 0.5


def test_agreement_needs_no_mask(step):
    """The source's masks are in the batch; of the target there are radiographs alone, and they teach."""
    batch = radiographs(0)
    terms = step(batch, training=False)
    other = step(batch | {"foreground": 255 - batch["foreground"]}, training=False)
    np.testing.assert_allclose(terms["agreement"], other["agreement"], rtol=1e-5)
    assert np.abs(np.asarray(terms["segmentation"]) - np.asarray(other["segmentation"])).max() > 0.1
    brighter = step(batch | {"target_images": 20 * batch["target_images"]}, training=False)
    assert np.abs(np.asarray(terms["agreement"]) - np.asarray(brighter["agreement"])).max() > 1e-3


def test_pixels_that_the_teacher_doubts_teach_nothing(step):
    """With an untrained teacher nothing is sure at 0.999, so nothing is learned at the target."""
    batch = radiographs(0)
    careful = MeanTeacher(start(), sure=0.999)
    other = batch | {"target_images": 2 * batch["target_images"]}
    found = [np.asarray(careful(one, training=False)["agreement"]) for one in (batch, other)]
    np.testing.assert_allclose(*found, atol=1e-6)
    everything = MeanTeacher(start(), sure=0.5)
    np.testing.assert_allclose(
        everything(batch, training=False)["agreement"], step(batch, training=False)["agreement"], rtol=1e-6
    )
