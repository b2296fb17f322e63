import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from nibabel import affines, orientations

from helpers.show.panel import grey_levels, plane, show_slice

LPS = np.diag([-1.0, -1.0, 2.5, 1.0])


def draw(image, view, **options):
    return show_slice(Figure().subplots(), np.asarray(image, float), view, **options)


def letters(ax):
    """Where each letter stands: left, right, top, bottom."""
    places = {text.get_text(): text.get_position() for text in ax.texts if len(text.get_text()) == 1}
    by_x, by_y = sorted(places, key=lambda c: places[c][0]), sorted(places, key=lambda c: places[c][1])
    return by_x[0], by_x[-1], by_y[-1], by_y[0]


def corner(picture):
    """Row and column of the brightest pixel, -1 for the last ones."""
    row, column = np.unravel_index(np.argmax(picture), picture.shape)
    return (0 if row == 0 else -1), (0 if column == 0 else -1)


@pytest.mark.parametrize(
    ("name", "expected"),
    [("axial", ("R", "L", "A", "P")), ("coronal", ("R", "L", "S", "I")), ("sagittal", ("A", "P", "S", "I"))],
)
def test_letters_stand_where_a_radiologist_expects_them(name, expected):
    assert letters(draw(np.ones((30, 40)), plane(LPS, name))) == expected


@pytest.mark.parametrize(("name", "letter"), [("axial", "L"), ("sagittal", "I")])
def test_a_letter_is_as_bold_wherever_it_falls_on_the_pixels(name, letter):
    ink = []
    for inches in np.linspace(2.5, 2.7, 9):
        figure = Figure(figsize=(inches, inches), dpi=72)
        ax = show_slice(figure.add_axes((0, 0, 1, 1)), np.zeros((30, 40)), plane(LPS, name))
        canvas = FigureCanvasAgg(figure)
        canvas.draw()
        (text,) = (one for one in ax.texts if one.get_text() == letter)
        left, bottom, right, top = text.get_window_extent().padded(1).extents.astype(int)
        green = np.asarray(canvas.buffer_rgba())[::-1, :, 1]  # from the bottom, as the box is; the background has none
        ink.append(green[bottom : top + 1, left : right + 1].sum(dtype=int))
    assert max(ink) < 1.3 * min(ink)


@pytest.mark.parametrize("codes", ["LPS", "RAS", "LAS", "RPI", "PSR", "SLA", "IRP", "ASL"])
@pytest.mark.parametrize("name", ["axial", "coronal", "sagittal"])
def test_a_voxel_is_drawn_on_its_own_side_however_the_file_is_stored(codes, name):
    """Mark the voxel that lies furthest right, front and top; it must appear at those letters."""
    affine = np.eye(4)
    for axis, code in enumerate(codes):
        affine[:3, axis] = [(code == plus) - (code == minus) for plus, minus in ("RL", "AP", "SI")]
    assert "".join(orientations.aff2axcodes(affine)) == codes
    volume = np.zeros((4, 5, 6))
    volume[tuple(-1 if code in "RAS" else 0 for code in codes)] = 1
    view = plane(affine, name)
    marked = volume.max(axis=view.axis)
    ax = draw(marked, view)
    left, right, top, bottom = letters(ax)
    row, column = corner(ax.images[0].get_array())
    assert (top if row == 0 else bottom) in "AS"
    assert (left if column == 0 else right) in "RA"


def test_turning_the_affine_round_mirrors_the_picture():
    image = np.zeros((6, 8))
    image[0, 0] = 1
    turned = draw(image, plane(np.diag([1.0, -1, 1, 1])))
    assert corner(draw(image, plane(LPS)).images[0].get_array()) == (0, 0)
    assert corner(turned.images[0].get_array()) == (0, -1)


def test_a_place_is_where_the_voxel_was_drawn():
    for name in ("axial", "coronal", "sagittal"):
        view = plane(affines.from_matvec(np.diag([1.0, 2.0, 3.0])), name)
        image = np.zeros((6, 8))
        image[1, 5] = 1
        row, column = np.argwhere(draw(image, view).images[0].get_array())[0]
        assert view.place((1, 5), image.shape) == ((column + 0.5) * view.steps[1], (row + 0.5) * view.steps[0])


def test_a_millimetre_is_as_long_across_as_down():
    view = plane(LPS, "coronal")  # voxels of 1 x 2.5 mm
    ax = draw(np.ones((30, 40)), view)
    left, right, bottom, top = ax.images[0].get_extent()
    assert (right - left, bottom - top) == (30 * 1.0, 40 * 2.5)
    assert ax.get_aspect() == 1.0


def test_the_scale_bar_is_as_long_as_it_says():
    ax = draw(np.ones((140, 170)), plane(np.diag([-2.0, -2.0, 2.0, 1.0])))
    start, end = ax.lines[0].get_xdata()
    assert end - start == 50
    assert "50 mm" in [text.get_text() for text in ax.texts]


def test_grey_levels_come_from_the_brain_alone():
    volume = np.zeros((20, 20, 20))
    volume[5:9, 5:9, 5:9] = np.linspace(100, 200, 64).reshape(4, 4, 4)
    assert grey_levels(volume) == pytest.approx(tuple(np.percentile(np.linspace(100, 200, 64), [1, 99.5])))
    assert grey_levels(np.zeros((3, 3))) == (0.0, 1.0)


def test_the_background_of_a_normalised_scan_stays_black():
    ax = draw([[0.0, -1.5], [1.0, 2.0]], plane(LPS), window=(-2, 2))
    assert ax.images[0].get_array()[0, 0] == -2


def test_fill_covers_the_labels_and_outline_does_not():
    labels = np.zeros((10, 10), int)
    labels[2:5, 3:7] = 2
    filled = draw(np.ones((10, 10)), plane(LPS), labels=labels, fill=0.5).images[1].get_array()
    np.testing.assert_array_equal(filled[..., 3], 0.5 * (labels.T == 2))
    outlined = draw(np.ones((10, 10)), plane(LPS), labels=labels)
    assert len(outlined.images) == 1
    assert len(outlined.collections) == 1


def test_labels_of_another_shape_are_refused():
    with pytest.raises(ValueError, match="expected one slice"):
        draw(np.ones((4, 5)), plane(LPS), labels=np.ones((5, 4)))


def test_an_unknown_plane_is_refused():
    with pytest.raises(ValueError, match="axial, coronal, sagittal"):
        plane(LPS, "oblique")
