import dataclasses
import io
import re
import subprocess
import sys
import tracemalloc

import ipywidgets as widgets
import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from helpers.data.volumes import Scan
from helpers.measure import overlap, regions
from helpers.show import slices
from helpers.show.panel import PLANES, grey_levels, plane
from helpers.show.style import AGREEMENT_COLOURS, CLASS_COLOURS
from helpers.show.viewer import api, raster

# Rows run to the back, columns to the right, slices downwards, with three different spacings.
FLIPPED = np.array([[0, 1.5, 0, 0], [-1.0, 0, 0, 0], [0, 0, -3.0, 0], [0, 0, 0, 1]])


@pytest.fixture(autouse=True)
def interactive(monkeypatch):
    monkeypatch.setenv("COURSE_STATIC", "0")


@pytest.fixture(params=["as BraTS", "flipped"])
def any_scan(request, scan):
    return scan if request.param == "as BraTS" else dataclasses.replace(scan, affine=FLIPPED)


def pixels(image):
    """What the browser shows, (rows, columns, 3)."""
    return np.asarray(Image.open(io.BytesIO(image.value)).convert("RGB")).astype(int)


def classes(viewer):
    """Every CSS class of the viewer's widgets, and the widget that has it."""
    found = {name: viewer for name in viewer._dom_classes if name.startswith("course-")}
    for child in getattr(viewer, "children", ()):
        found |= classes(child)
    return found


def expected(scan, name, volume, k):
    """The slice as `Plane` turns it, brought to the scale of the picture."""
    view = plane(scan.affine, name)
    return view.turn(view.cut(volume, k, view.brain(scan.images)))


@pytest.mark.parametrize("name", PLANES)
def test_the_slider_at_k_shows_slice_k(any_scan, name):
    viewer = api.patient(any_scan)
    found = classes(viewer)
    found["course-mask"].value = False
    for k in (3, 11):
        found[f"course-slice-{name}"].value = k
        shown = pixels(found[f"course-image-{name}"])[..., 0]
        wanted = raster.grey(expected(any_scan, name, any_scan.image("flair"), k), grey_levels(any_scan.image("flair")))
        np.testing.assert_array_equal(shown, raster.to_scale(wanted, shown.shape))
        # Independently of how it is enlarged: the middle of every voxel has the voxel's grey.
        rows, columns = ((np.arange(n) + 0.5) * m / n for n, m in zip(wanted.shape, shown.shape, strict=True))
        middles = shown[np.ix_(rows.astype(int), columns.astype(int))]
        assert np.abs(middles - wanted.astype(int)).mean() < 6


@pytest.mark.parametrize("name", PLANES)
def test_a_millimetre_is_as_long_across_as_down(any_scan, name):
    view = plane(any_scan.affine, name)
    high, wide = view.size(view.brain(any_scan.images))
    rows, columns, _ = pixels(classes(api.patient(any_scan))[f"course-image-{name}"]).shape
    assert rows / columns == pytest.approx(high / wide, rel=0.02)


def test_the_mask_changes_its_own_pixels_only(any_scan):
    found = classes(api.patient(any_scan))
    image, k = found["course-image-axial"], found["course-slice-axial"].value
    with_mask = pixels(image)
    found["course-mask"].value = False
    without = pixels(image)
    labels = expected(any_scan, "axial", any_scan.seg, k)
    labels = raster.to_scale(labels, without.shape[:2], labels=True)
    np.testing.assert_array_equal((with_mask != without).any(axis=-1), labels > 0)
    found["course-mask"].value = True
    np.testing.assert_array_equal(pixels(image), with_mask)


def test_a_class_that_is_unticked_vanishes_and_the_others_stay(scan):
    found = classes(api.patient(scan))
    image, k = found["course-image-axial"], found["course-slice-axial"].value
    before = pixels(image)
    found["course-class-2"].value = False
    labels = raster.to_scale(expected(scan, "axial", scan.seg, k), before.shape[:2], labels=True)
    np.testing.assert_array_equal((pixels(image) != before).any(axis=-1), labels == 2)


def test_full_opacity_shows_the_colours_of_the_style(scan):
    found = classes(api.patient(scan))
    found["course-opacity"].value = 1
    shown = {"#{:02X}{:02X}{:02X}".format(*pixel) for pixel in pixels(found["course-image-axial"]).reshape(-1, 3)}
    assert set(CLASS_COLOURS.values()) <= shown


def test_the_values_are_those_of_the_voxel_at_the_crosshair(any_scan):
    found = classes(api.patient(any_scan))
    voxel = (20, 24, 5)
    for name in PLANES:
        found[f"course-slice-{name}"].value = voxel[plane(any_scan.affine, name).axis]
    text = found["course-values"].value
    assert f"voxel {voxel}" in text
    for value in any_scan.images[voxel]:
        assert f"<b>{value:.4g}</b>" in text
    assert "other brain" in text
    found["course-jump"].click()
    assert "other brain" not in found["course-values"].value


def test_a_slider_redraws_its_own_plane_and_moves_the_crosshair_of_the_others(scan):
    found = classes(api.patient(scan))
    before = {name: (found[f"course-image-{name}"].value, found[f"course-marks-{name}"].value) for name in PLANES}
    found["course-slice-coronal"].value += 3
    for name in PLANES:
        image, marks = before[name]
        assert (found[f"course-image-{name}"].value == image) == (name != "coronal")
        assert (found[f"course-marks-{name}"].value == marks) == (name == "coronal")


def test_the_button_goes_to_the_slice_with_most_tumour(any_scan):
    found = classes(api.patient(any_scan))
    found["course-slice-axial"].value = 0
    found["course-jump"].click()
    assert found["course-slice-axial"].value == slices.busiest(any_scan)
    assert any(name in found["course-values"].value for name in ("core", "oedema", "enhancing"))


@pytest.mark.parametrize("name", PLANES)
def test_the_crosshair_meets_at_its_voxel(any_scan, name):
    found, voxel, view = classes(api.patient(any_scan)), (12, 30, 5), plane(any_scan.affine, name)
    for other in PLANES:
        found[f"course-slice-{other}"].value = voxel[plane(any_scan.affine, other).axis]
    dashed = re.findall(r'x1="([-.0-9]+)" y1="([-.0-9]+)"[^>]*dasharray', found[f"course-marks-{name}"].value)
    met = float(dashed[2][0]), float(dashed[0][1])
    box = view.brain(any_scan.images)
    inside = [index - edge.start for index, edge in zip(np.delete(voxel, view.axis), box, strict=True)]
    wanted = view.place(tuple(inside), view.cut(any_scan.seg, 0, box).shape)
    assert met == pytest.approx(wanted, abs=0.051)


def test_another_modality_brings_its_own_window(scan):
    brighter = dataclasses.replace(scan, images=scan.images * np.float32([1, 1, 30, 1]))
    found = classes(api.patient(brighter))
    before = found["course-image-axial"].value
    found["course-modality"].value = "t1ce"
    assert found["course-window"].value == pytest.approx(grey_levels(brighter.image("t1ce")))
    assert found["course-image-axial"].value != before
    found["course-modality"].value = "flair"
    assert found["course-image-axial"].value == before


def test_the_window_is_what_is_drawn(scan):
    found = classes(api.patient(scan))
    found["course-mask"].value = False
    found["course-window"].value = (110, 120)
    wanted = raster.grey(expected(scan, "axial", scan.image("flair"), found["course-slice-axial"].value), (110, 120))
    shown = pixels(found["course-image-axial"])[..., 0]
    np.testing.assert_array_equal(shown, raster.to_scale(wanted, shown.shape))


def test_letters_and_scale_are_drawn_over_every_plane(scan):
    found = classes(api.patient(scan))
    for name in PLANES:
        marks = found[f"course-marks-{name}"].value
        assert all(f">{letter}</text>" in marks for letter in plane(scan.affine, name).letters)
        assert " mm</text>" in marks


def test_labels_that_are_given_replace_the_scans_own(scan):
    drawn = np.zeros_like(scan.seg)
    drawn[10:14, 30:33, 4] = 3
    assert classes(api.patient(scan, drawn))["course-slice-axial"].value == 4
    with pytest.raises(ValueError, match=r"labels has shape \(40, 48, 15\).*own grid"):
        api.patient(scan, drawn[..., 1:])


def test_a_patient_without_a_mask_is_shown_without_one(scan):
    bare = dataclasses.replace(scan, seg=None)
    found = classes(api.patient(bare))
    assert "course-mask" not in found
    assert len(np.unique(pixels(found["course-image-axial"]) @ [1, -1, 0])) == 1  # grey


def test_the_arrow_points_to_the_core_where_the_slice_passes_through_it(scan):
    found = classes(api.core(scan))
    assert "tumour core" in found["course-marks-axial"].value
    found["course-slice-axial"].value = 2
    assert "tumour core" not in found["course-marks-axial"].value
    assert "course-class-2" not in found  # oedema is no part of it
    found["course-jump"].click()
    assert "tumour core" in found["course-marks-axial"].value


def test_all_modalities_move_on_one_slider(scan):
    found = classes(api.modalities(scan))
    k = found["course-slice-axial"].value = 6
    for index, name in enumerate(scan.modalities):
        shown = pixels(found[f"course-image-{index}"])[..., 0]
        wanted = raster.grey(expected(scan, "axial", scan.image(name), k), grey_levels(scan.image(name)))
        np.testing.assert_array_equal(shown, raster.to_scale(wanted, shown.shape))


def test_the_mask_stands_beside_its_scan(scan):
    found = classes(api.image_and_mask(scan))
    plain, alone, both = (pixels(found[f"course-image-{index}"]) for index in range(3))
    labels = expected(scan, "axial", scan.seg, found["course-slice-axial"].value)
    inside = raster.to_scale(labels, plain.shape[:2], labels=True) > 0
    coloured = {index: (picture.max(axis=-1) > picture.min(axis=-1)) for index, picture in enumerate((alone, both))}
    np.testing.assert_array_equal(coloured[0], inside)
    np.testing.assert_array_equal((plain != both).any(axis=-1), inside)


@pytest.mark.parametrize("region", regions.REGIONS)
def test_a_comparison_states_the_dice_that_is_measured(scan, region):
    prediction = np.roll(scan.seg, 2, axis=0)
    found = classes(api.compare(scan, prediction))
    k = found["course-slice-axial"].value = 8
    truth, drawn = regions.mask(scan.seg, region), regions.mask(prediction, region)
    column = list(regions.REGIONS).index(region)
    rows = [row.split("</td>") for row in found["course-dice"].value.split("<tr><td>")[1:]]
    stated = [row[1 + column].split(">")[-1] for row in rows]
    dice = overlap.dice(truth[..., k], drawn[..., k]), overlap.dice(truth, drawn)
    assert stated == [f"{value:.2f}" for value in dice]


@pytest.mark.parametrize("region", regions.REGIONS)
def test_agreement_false_negatives_and_false_positives_have_the_colours_of_the_style(scan, region):
    prediction = np.roll(scan.seg, 2, axis=0)
    viewer = api.compare(scan, prediction)
    found = classes(viewer)
    found["course-region"].value = region
    k = found["course-slice-axial"].value
    cuts = [expected(scan, "axial", regions.mask(labels, region), k) for labels in (scan.seg, prediction)]
    shown = pixels(found["course-image-2"])
    true, drawn = (raster.to_scale(cut.astype(np.uint8), shown.shape[:2], labels=True) > 0 for cut in cuts)
    plain = raster.grey(expected(scan, "axial", scan.image("flair"), k), grey_levels(scan.image("flair")))
    plain = raster.to_scale(plain, shown.shape[:2])
    agreement = np.select([true & drawn, true, drawn], [1, 2, 3], 0).astype(np.uint8)
    palette = dict(enumerate(AGREEMENT_COLOURS.values(), start=1))
    np.testing.assert_array_equal(shown, raster.lay_over(plain, agreement, palette, 0.6))


def test_a_comparison_needs_a_ground_truth_and_one_grid(scan):
    with pytest.raises(ValueError, match="has no mask"):
        api.compare(dataclasses.replace(scan, seg=None), scan.seg)
    with pytest.raises(ValueError, match=r"prediction has shape \(40, 48, 8\).*own grid"):
        api.compare(scan, scan.seg[..., :8])


CALLS = {
    "patient": api.patient,
    "modalities": api.modalities,
    "image_and_mask": api.image_and_mask,
    "core": api.core,
    "compare": lambda scan, **options: api.compare(scan, scan.seg, **options),
}


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_a_static_figure_is_drawn_in_an_unattended_run(monkeypatch, scan, call):
    assert isinstance(call(scan, title="What to see"), widgets.VBox)
    monkeypatch.setenv("COURSE_STATIC", "1")
    figure = call(scan, title="What to see")
    assert isinstance(figure, Figure)
    assert figure.get_suptitle() == "What to see"
    assert figure._repr_mimebundle_()[1]["image/png"]["alt"]


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_every_viewer_has_the_promised_css_classes(scan, call):
    found = classes(call(scan))
    assert isinstance(found["course-slice-axial"], widgets.IntSlider)
    assert found["course-slice-axial"].continuous_update
    assert found["course-slice-axial"].step == 1  # an arrow key moves by one slice
    assert sum(name.startswith("course-image-") for name in found) >= 3


def test_a_viewer_uses_less_memory_than_another_volume():
    shape = (120, 120, 70)
    head = np.zeros(shape, bool)
    head[20:100, 20:100, 10:60] = True
    images = np.where(head[..., None], np.random.default_rng(0).normal(100, 20, (*shape, 4)), 0).astype(np.float32)
    seg = np.zeros(shape, np.uint8)
    seg[40:60, 40:60, 30:40] = 2
    scan = Scan("patient_1", images, ("flair", "t1", "t1ce", "t2"), seg, np.diag([-1.0, -1.0, 1.0, 1.0]))
    tracemalloc.start()
    viewer = api.patient(scan)
    found = classes(viewer)
    for k in range(20, 50, 5):
        found["course-slice-axial"].value = k
    found["course-modality"].value = "t2"
    current, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < images.nbytes  # with the scan itself: less than twice the volume
    assert current < images.nbytes / 20


def test_viewers_are_imported_without_tensorflow():
    code = "import sys, helpers.show.viewer.api; print(sorted({'tensorflow', 'keras', 'seaborn'} & set(sys.modules)))"
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert answer.stdout.strip() == "[]", answer.stderr


def test_every_viewer_leaves_the_static_figure_beside_its_widget(scan):
    prediction = np.zeros_like(scan.seg)
    viewers = [
        api.patient(scan), api.core(scan), api.modalities(scan), api.image_and_mask(scan), api.compare(scan, prediction)
    ]  # fmt: skip
    for viewer in viewers:
        data, metadata = viewer._repr_mimebundle_()
        assert data["image/png"].startswith(b"\x89PNG")
        assert metadata["image/png"]["alt"]
        assert data["application/vnd.jupyter.widget-view+json"]["model_id"] == viewer.model_id
