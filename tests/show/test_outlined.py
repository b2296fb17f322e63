"""Figures of what was outlined: a dot where the volumes are, the line where they agree, each patient once."""

import numpy as np
import pytest

from helpers.show import outlined

TRUE = {"WT": [40.0, 90.0, 10.0], "ET": [0.0, 20.0, 5.0]}


def test_a_dot_lies_at_its_true_and_outlined_volume_and_the_line_where_they_agree():
    figure = outlined.volumes({"WT": [30.0, 95.0, 0.0], "ET": [0.0, 2.0, 9.0]}, TRUE, title="Volumes")
    assert [ax.get_title(loc="left") for ax in figure.axes] == ["WT, n = 3", "ET, n = 3"]
    equal, dots = figure.axes[0].lines
    np.testing.assert_array_equal(*equal.get_data())
    np.testing.assert_array_equal(dots.get_data(), (TRUE["WT"], [30.0, 95.0, 0.0]))
    assert figure.axes[0].get_xlim() == figure.axes[0].get_ylim()
    _, metadata = figure._repr_mimebundle_()
    assert "ET 11.0 of 25.0 ml in 3 patients" in metadata["image/png"]["alt"]


@pytest.mark.parametrize("found", [{"WT": [1.0, 2.0], "ET": [1.0, 2.0, 3.0]}, {"WT": [1.0, 2.0, 3.0]}])
def test_other_patients_or_regions_are_refused(found):
    with pytest.raises(ValueError, match="other regions or patients"):
        outlined.volumes(found, TRUE)


def test_nothing_at_all_is_drawn_at_the_corner():
    figure = outlined.volumes({"ET": [0.0]}, {"ET": [0.0]})
    assert figure.axes[0].get_xlim()[1] > 0


def test_each_patient_has_a_panel_with_the_caption(scan):
    figure = outlined.patients([scan, scan], [scan.seg, 0 * scan.seg], ["one\n3 ml", "two"], title="Two")
    assert [ax.get_title(loc="left") for ax in figure.axes] == ["one\n3 ml", "two"]
    _, metadata = figure._repr_mimebundle_()
    assert "one 3 ml; two" in metadata["image/png"]["alt"]
