"""Tests of the system: rejected slices are not segmented, the others are segmented as without a gate."""

from dataclasses import replace

import numpy as np
import pytest

from helpers.apply.system import NOT_COMPARED
from helpers.data.volumes import Scan
from helpers.runtime.errors import DataError


@pytest.fixture(scope="module")
def outlined(system, scan):
    return system.predict(scan)


def test_without_a_gate_the_outline_is_that_of_predict(system, scan):
    ungated = replace(system, gate=None).predict(scan)
    np.testing.assert_array_equal(ungated.labels, system.segmenter.predict(scan))
    assert ungated.gate is None
    np.testing.assert_array_equal(ungated.passed, scan.images.any(axis=(0, 1, 3)))


def test_the_gate_rejects_slices_and_changes_no_others(system, scan, outlined):
    np.testing.assert_array_equal(outlined.passed, system.gate.predict(scan))
    assert 0 < outlined.passed.sum() < scan.images.any(axis=(0, 1, 3)).sum()
    ungated = system.segmenter.predict(scan)
    np.testing.assert_array_equal(outlined.labels[..., outlined.passed], ungated[..., outlined.passed])
    assert not outlined.labels[..., ~outlined.passed].any()
    assert not outlined.entropy[..., ~outlined.passed].any()


def test_volumes_are_those_of_the_labels_and_lie_in_their_range(scan, outlined):
    voxel = np.prod(scan.spacing) / 1000
    for region, labels in {"WT": (1, 2, 3), "TC": (1, 3), "ET": (3,)}.items():
        volume = outlined.volumes_ml[region]
        assert volume["ml"] == pytest.approx(np.isin(outlined.labels, labels).sum() * voxel)
        assert volume["low"] == min(volume["ml"], *volume["passes"])
        assert volume["high"] == max(volume["ml"], *volume["passes"])
    assert outlined.volumes_ml["WT"]["low"] < outlined.volumes_ml["WT"]["high"]


def test_passes_differ_from_each_other_but_are_reproducible(system, scan, outlined):
    assert outlined.agreement["WT"] < 1
    assert system.predict(scan).agreement == outlined.agreement


def test_mirrored_pass_of_a_symmetric_rule_is_the_pass_itself(certain, scan):
    images, _ = certain.preprocess(scan)
    plain, mirrored = (certain.sample(images, 0, mirrored=way) for way in (False, True))
    np.testing.assert_allclose(plain, mirrored, atol=1e-6)
    brain = images.any(axis=(1, 2, 3))  # elsewhere `network_probabilities` does not run the network
    np.testing.assert_allclose(plain[brain], certain.network_probabilities(images)[brain], atol=1e-6)


def test_without_passing_slices_the_segmentation_is_empty(system, scan):
    shut = replace(system, gate=replace(system.gate, threshold=1.1)).predict(scan)
    assert not shut.labels.any()
    assert shut.volumes_ml["WT"] == {"ml": 0, "low": 0, "high": 0, "passes": [0, 0, 0]}


def test_training_patient_is_in_distribution_and_an_exchanged_one_is_not(system, scan, outlined):
    assert outlined.warnings == []
    exchanged = Scan(scan.id, scan.images[..., ::-1].copy(), scan.modalities, None, scan.affine)
    assert "exchanged" in system.predict(exchanged).warnings[0]


def test_a_model_without_statistics_gives_a_warning(system, scan):
    assert replace(system, usual=None).predict(scan).warnings == [NOT_COMPARED]


def test_what_is_no_head_is_refused(system, scan):
    slab = scan.images.copy()
    slab[:, :, :16] = 0
    slab[:, :, 22:] = 0
    with pytest.raises(DataError, match="no brain scan"):
        system.predict(Scan(scan.id, slab, scan.modalities, None, scan.affine))
