import dataclasses

import numpy as np
import pytest
from matplotlib.colors import to_rgba

from helpers.data.normalise import zscore
from helpers.show.intensity_profile import intensity_profile
from helpers.show.style import CLASS_COLOURS


def test_the_curves_are_the_z_scores_along_the_line(scan):
    _, *curves = intensity_profile(scan, (14, 20, 9), title="What to see").axes
    assert [ax.get_ylabel() for ax in curves] == ["FLAIR", "T1", "T1ce", "T2"]
    expected = zscore(scan.images)[:, 20, 9, 1]
    drawn = curves[1].lines[0].get_ydata()
    np.testing.assert_allclose(drawn[np.isfinite(drawn)], expected[scan.images[:, 20, 9, 1] != 0])


def test_the_line_runs_from_the_patient_s_right_whatever_the_file_s_order(scan):
    mirrored = dataclasses.replace(
        scan,
        images=scan.images[::-1],
        seg=scan.seg[::-1],
        affine=scan.affine @ np.array([[-1, 0, 0, 39], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1.0]]),
    )
    one = intensity_profile(scan, (14, 20, 9)).axes[1].lines[0]
    other = intensity_profile(mirrored, (25, 20, 9)).axes[1].lines[0]
    np.testing.assert_allclose(one.get_ydata(), other.get_ydata())
    np.testing.assert_allclose(one.get_xdata(), other.get_xdata())


def test_each_voxel_of_tumour_is_marked_in_the_colour_of_its_class(scan):
    ax = intensity_profile(scan, (14, 20, 9)).axes[1]
    for label, colour in CLASS_COLOURS.items():
        marked = [patch for patch in ax.patches if patch.get_facecolor()[:3] == to_rgba(colour)[:3]]
        assert len(marked) == np.count_nonzero(scan.seg[:, 20, 9] == label)


def test_what_cannot_be_drawn_is_refused(scan):
    with pytest.raises(ValueError, match="has no mask"):
        intensity_profile(dataclasses.replace(scan, seg=None), (14, 20, 9))
    with pytest.raises(ValueError, match=r"voxel \(14, 20, 99\) lies outside"):
        intensity_profile(scan, (14, 20, 99))
