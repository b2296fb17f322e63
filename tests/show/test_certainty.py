"""Tests of the figures of uncertainty: they show the slices that matter, on the patient's own grid."""

import numpy as np
import pytest

from helpers.show import certainty


def test_key_slices_share_the_tumour_evenly():
    labels = np.zeros((4, 4, 30), int)
    labels[1, 1, 6:24] = 2
    assert certainty.key_slices(labels) == pytest.approx([8, 14, 20], abs=1)
    assert certainty.key_slices(np.zeros((4, 4, 30), int)) == [5, 15, 25]


def test_every_key_slice_shows_tumour():
    labels = np.zeros((4, 4, 9), int)
    labels[0, 0, 3] = 1
    assert certainty.key_slices(labels) == [3, 3, 3]


def test_outline_stands_above_its_entropy(scan):
    figure = certainty.outline_and_entropy(scan, scan.seg, np.where(scan.seg > 0, 1.0, 0.0), ks=[9])
    above, below = figure.axes[:2]
    assert above.get_title(loc="left") == "FLAIR, slice 9"
    painted = below.images[-1].get_array()
    assert painted[..., 3].max() > 0.5  # entropy is visible
    assert (painted[..., 3] == 0).mean() > 0.5  # and where it is 0, the scan is


def test_scan_without_the_modality_is_drawn_with_its_first(scan):
    from dataclasses import replace

    other = replace(scan, images=scan.images[..., 2:3], modalities=("t1ce",))
    assert (
        certainty.outline_and_entropy(other, scan.seg, np.zeros(scan.seg.shape))
        .axes[0]
        .get_title(loc="left")
        .startswith("T1ce")
    )


def test_strip_splits_the_slices_at_the_threshold():
    figure = certainty.gate_strip([0.1, 0.6, 0.9], 0.5, [False, True, True])
    passed, skipped = figure.axes[0].containers
    assert len(passed) == 2
    assert len(skipped) == 1


def test_curve_starts_with_the_most_confident_patient():
    figure = certainty.confidence_and_error([0.9, 0.5, 0.7], [0.8, 0.2, 0.6])
    line = figure.axes[1].get_lines()[0]
    np.testing.assert_allclose(line.get_ydata(), [0.2, 0.3, 1.4 / 3])
