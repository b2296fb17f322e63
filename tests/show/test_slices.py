import dataclasses

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg

from helpers.measure import overlap
from helpers.show import slices


def titles(figure):
    return [ax.get_title(loc="left") for ax in figure.axes]


def windows(figure):
    return {ax.images[0].get_clim() for ax in figure.axes if ax.images}


def test_the_busiest_slice_holds_most_tumour(scan):
    assert slices.busiest(scan) == np.argmax((scan.seg > 0).sum(axis=(0, 1)))
    assert slices.busiest(dataclasses.replace(scan, seg=None)) == 8


def test_modalities_come_in_order_with_the_mask_beside(scan):
    figure = slices.modalities(scan, title="What to see")
    assert titles(figure) == ["FLAIR", "T1", "T1ce", "T2", "The mask, over T1ce"]
    assert figure.get_suptitle() == "What to see"
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["core", "oedema", "enhancing"]


def test_modalities_of_a_patient_without_a_mask(scan):
    bare = dataclasses.replace(scan, images=scan.images[..., :2], modalities=("flair", "t1"), seg=None)
    figure = slices.modalities(bare)
    assert titles(figure) == ["FLAIR", "T1"]
    assert not figure.legends


def test_image_and_mask_show_one_slice_three_times(scan):
    figure = slices.image_and_mask(scan, k=9)
    assert titles(figure) == ["FLAIR, slice 9", "Mask", "Both"]
    first, _, third = figure.axes
    assert first.images[0].get_clim() == third.images[0].get_clim()


def test_three_planes_cross_in_the_core(scan):
    figure = slices.three_planes(scan)
    assert titles(figure) == ["Axial, slice 9", "Coronal, slice 20", "Sagittal, slice 14"]
    assert len(windows(figure)) == 1
    for ax in figure.axes:
        pointed = [text for text in ax.texts if text.get_text() == "tumour core"]
        assert len(pointed) == 1
        # The crosshair meets where the arrow ends.
        across, down = (line for line in ax.lines if line.get_linestyle() == "--")
        assert pointed[0].xy == (down.get_xdata()[0], across.get_ydata()[0])


def test_three_planes_cross_at_a_given_centre(scan):
    assert titles(slices.three_planes(scan, centre=(10, 30, 5)))[0] == "Axial, slice 5"


def test_compare_states_the_dice_of_the_slice_and_of_the_patient(scan):
    prediction = np.roll(scan.seg, 2, axis=0)
    figure = slices.compare(scan, scan.seg, prediction, k=9)
    whole = overlap.dice(scan.seg > 0, prediction > 0)
    here = overlap.dice(scan.seg[..., 9] > 0, prediction[..., 9] > 0)
    assert titles(figure)[2] == f"Whole tumour, Dice:\nslice {here:.2f}, patient {whole:.2f}"
    assert len(windows(figure)) == 1


def test_compare_paints_agreement_false_negatives_and_false_positives(scan):
    truth, prediction = np.zeros_like(scan.seg), np.zeros_like(scan.seg)
    truth[14:20, 20, 9], prediction[17:26, 20, 9] = 2, 1  # 3 agree, 3 false negatives, 6 false positives
    agreement = slices.compare(scan, truth, prediction).axes[2]
    assert [int((layer.get_array()[..., 3] > 0).sum()) for layer in agreement.images[1:]] == [3, 3, 6]


def test_compare_refuses_labels_of_another_grid(scan):
    with pytest.raises(ValueError, match=r"prediction has shape \(40, 48, 8\).*own grid"):
        slices.compare(scan, scan.seg, scan.seg[..., :8])


def test_a_modality_that_was_not_read_is_named(scan):
    bare = dataclasses.replace(scan, images=scan.images[..., :1], modalities=("flair",))
    with pytest.raises(ValueError, match="without 't1ce'; it holds flair"):
        slices.three_planes(bare)


def test_a_scan_without_a_mask_has_no_core_to_find(scan):
    with pytest.raises(ValueError, match="has no mask"):
        slices.three_planes(dataclasses.replace(scan, seg=None))


@pytest.mark.parametrize(
    "draw",
    [
        slices.modalities,
        slices.image_and_mask,
        slices.three_planes,
        lambda scan: slices.compare(scan, scan.seg, scan.seg),
    ],
)
def test_titles_stay_inside_the_figure(scan, draw):
    figure = draw(scan)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    for ax in figure.axes:
        for text in (ax.title, ax._left_title):
            assert text.get_window_extent(canvas.get_renderer()).y1 <= figure.bbox.height
