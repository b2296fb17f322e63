"""One panel: a slice in radiological orientation, in millimetres, with direction letters, scale bar and mask."""

from collections.abc import Mapping
from dataclasses import dataclass

import nibabel as nib
import numpy as np
from matplotlib import colors, patheffects
from matplotlib.axes import Axes

from helpers.show.style import CLASS_COLOURS

OPPOSITE = {"R": "L", "L": "R", "A": "P", "P": "A", "S": "I", "I": "S"}
PLANES = {"axial": "SI", "coronal": "AP", "sagittal": "RL"}  # the direction along which the slices are counted
Box = tuple[slice, slice]
HALO = [patheffects.withStroke(linewidth=2, foreground="black")]
# Unsnapped: L and I are drawn along the pixels, which Agg would move until the thin stroke of a small letter is gone.
LETTER_HALO = [
    patheffects.Stroke(linewidth=2, foreground="black", snap=False),
    patheffects.Stroke(linewidth=0, snap=False),
]


@dataclass(frozen=True)
class Plane:
    """Orientation and spacing of the slices across one array axis.

    Attributes:
        axis: the array axis that counts the slices.
        codes: the direction in which each of the other two array axes increases: R, L, A, P, S or I.
        spacing: millimetres per voxel along those two axes.
    """

    axis: int
    codes: tuple[str, str]
    spacing: tuple[float, float]

    @property
    def swap(self) -> bool:
        """Whether the first array axis is drawn horizontally: left-right, or front-back beside up-down."""
        return self.codes[0] in "RL" or self.codes[1] in "SI"

    @property
    def shown(self) -> tuple[str, str]:
        """Directions of the picture's rows and columns, before they are flipped."""
        return self.codes[::-1] if self.swap else self.codes

    @property
    def steps(self) -> tuple[float, float]:
        """Millimetres per row and per column of the picture."""
        return self.spacing[::-1] if self.swap else self.spacing

    @property
    def letters(self) -> tuple[str, str, str, str]:
        """Direction letters at the left, right, top and bottom of the picture, in radiological orientation."""
        down, across = self.shown
        bottom = OPPOSITE[down] if down in "AS" else down
        right = OPPOSITE[across] if across in "RA" else across
        return OPPOSITE[right], right, OPPOSITE[bottom], bottom

    def turn(self, image: np.ndarray) -> np.ndarray:
        """Turn a slice from file order to radiological orientation, as `show_slice` draws it.

        Args:
            image: (rows, columns), a slice in file order.
        """
        picture = image.T if self.swap else image
        down, right = self.shown
        if down in "AS":
            picture = picture[::-1]
        return picture[:, ::-1] if right in "RA" else picture

    def place(self, index: tuple[float, float], shape: tuple[int, int]) -> tuple[float, float]:
        """Where a voxel of a slice is drawn: (x, y) in millimetres from the upper left corner.

        Args:
            index: row and column of the voxel, in file order.
            shape: rows and columns of the slice, in file order.
        """
        position, size = (index[::-1], shape[::-1]) if self.swap else (index, shape)
        down, right = self.shown
        row = size[0] - 1 - position[0] if down in "AS" else position[0]
        column = size[1] - 1 - position[1] if right in "RA" else position[1]
        return (column + 0.5) * self.steps[1], (row + 0.5) * self.steps[0]

    def brain(self, images: np.ndarray, margin: float = 8.0) -> Box:
        """Bounding box of the head in all slices, with a margin for the letters.

        Args:
            images: (rows, columns, slices, modalities), background 0.
            margin: millimetres to add on every side.
        """
        head = filled(images).any(axis=self.axis)
        box = []
        for axis, step in enumerate(self.spacing):
            where = np.flatnonzero(head.any(axis=1 - axis))
            first, last = (where[0], where[-1]) if where.size else (0, head.shape[axis] - 1)
            free = round(margin / step)
            box.append(slice(max(int(first) - free, 0), min(int(last) + 1 + free, head.shape[axis])))
        return box[0], box[1]

    def cut(self, volume: np.ndarray, k: int, box: Box) -> np.ndarray:
        """One slice of a volume, cropped to the box, in file order.

        Args:
            volume: (rows, columns, slices) in file order.
            k: slice number along `axis`.
            box: the part to crop to, from `brain`.
        """
        return volume.take(k, axis=self.axis)[box]

    def size(self, box: Box) -> tuple[float, float]:
        """Height and width in millimetres of the box as drawn."""
        first, second = ((edge.stop - edge.start) * step for edge, step in zip(box, self.spacing, strict=True))
        return (second, first) if self.swap else (first, second)


def plane(affine: np.ndarray, name: str = "axial") -> Plane:
    """The axial, coronal or sagittal plane of a volume, found from its affine.

    Args:
        affine: (4, 4) voxel indices to millimetres, as NIfTI has it.
        name: "axial", "coronal" or "sagittal".

    Raises:
        ValueError: no such plane, or an affine that leaves the direction of an axis open.

    Example:
        >>> plane(np.diag([-1.0, -1.0, 2.5, 1.0]), "coronal")  # rows to the left, columns to the back
        Plane(axis=1, codes=('L', 'S'), spacing=(1.0, 2.5))
    """
    if name not in PLANES:
        raise ValueError(f"no plane is called {name!r}; the planes are {', '.join(PLANES)}")
    codes = nib.aff2axcodes(affine)
    if None in codes:
        raise ValueError(f"the affine leaves the direction of an axis open: it gives {codes}")
    axis = next(axis for axis, code in enumerate(codes) if code in PLANES[name])
    first, second = (other for other in range(3) if other != axis)
    sizes = nib.affines.voxel_sizes(affine)
    return Plane(axis, (codes[first], codes[second]), (float(sizes[first]), float(sizes[second])))


def filled(images: np.ndarray) -> np.ndarray:
    """Mask of the head: voxels that are not 0 in at least one modality.

    Args:
        images: (rows, columns, slices, modalities), background 0.

    Returns:
        (rows, columns, slices) bool.
    """
    head = images[..., 0] != 0
    for index in range(1, images.shape[-1]):  # five times as fast as `any` along an axis of four
        head |= images[..., index] != 0
    return head


def grey_levels(volume: np.ndarray) -> tuple[float, float]:
    """Intensity window: the values drawn black and white, the 1st and 99.5th percentile of the non-zero voxels.

    Panels that are compared should share one window: otherwise a brighter picture is mistaken for a brighter scan.

    Args:
        volume: any shape, background 0.
    """
    brain = volume[volume != 0]
    if brain.size == 0:
        return 0.0, 1.0
    low, high = np.percentile(brain, [1, 99.5])
    return float(low), float(max(high, low + 1e-6))


def show_slice(
    ax: Axes,
    image: np.ndarray,
    plane: Plane,
    window: tuple[float, float] | None = None,
    labels: np.ndarray | None = None,
    colours: Mapping[int, str] = CLASS_COLOURS,
    fill: float = 0.0,
    marks: bool = True,
) -> Axes:
    """Draw one slice in radiological orientation: patient's right, or front, on the left; front, or top, up.

    Args:
        ax: where to draw; one unit of its axes is one millimetre.
        image: (rows, columns), the slice in file order, background 0.
        plane: orientation of the slice, from `plane`.
        window: intensities drawn black and white; by default `grey_levels` of this slice.
        labels: (rows, columns) whole numbers to lay over the slice; labels without a colour are not drawn.
        colours: colour of each label.
        fill: opacity of the labels, from 0 (outlines only) to 1 (hides the slice).
        marks: write the direction letters and a scale bar in millimetres.

    Raises:
        ValueError: the image is not two-dimensional, or the labels have another shape.
    """
    if image.ndim != 2 or (labels is not None and labels.shape != image.shape):
        shape = "none" if labels is None else labels.shape
        raise ValueError(f"image has shape {image.shape} and labels {shape}; expected one slice (rows, columns)")
    low, high = window or grey_levels(image)
    # The background of a normalised scan is 0 as well, but its dark tissue lies below 0.
    picture = plane.turn(np.where(image == 0, min(low, 0.0), image))
    height, width = (float(count * step) for count, step in zip(picture.shape, plane.steps, strict=True))
    extent = (0, width, height, 0)
    ax.imshow(picture, vmin=low, vmax=high, extent=extent, aspect="equal")
    if labels is not None:
        _overlay(ax, plane.turn(labels), plane.steps, extent, colours, fill)
    if marks:
        _marks(ax, plane, width, height)
    ax.set_xlim(0, width)
    ax.set_ylim(height, 0)
    ax.set_axis_off()
    return ax


def scale_bar(width: float) -> int:
    """Length in millimetres of a scale bar for a picture `width` millimetres wide."""
    return 50 if width > 120 else 20 if width > 45 else 5


def _overlay(
    ax: Axes,
    labels: np.ndarray,
    steps: tuple[float, float],
    extent: tuple[float, float, float, float],
    colours: Mapping[int, str],
    fill: float,
) -> None:
    """Lay (rows, columns) labels over a picture, filled or as outlines."""
    for label, colour in colours.items():
        mask = labels == label
        if not mask.any():
            continue
        if fill > 0:
            rgba = np.zeros((*mask.shape, 4))
            rgba[mask] = colors.to_rgba(colour, fill)
            ax.imshow(rgba, extent=extent, aspect="equal")
        else:
            # Padding with background closes contours that touch the edge of the slice.
            rows = (np.arange(-1, mask.shape[0] + 1) + 0.5) * steps[0]
            columns = (np.arange(-1, mask.shape[1] + 1) + 0.5) * steps[1]
            ax.contour(columns, rows, np.pad(mask, 1), levels=[0.5], colors=[colour], linewidths=1.2)


def _marks(ax: Axes, plane: Plane, width: float, height: float) -> None:
    """Direction letters and scale bar over a picture of this size in millimetres."""
    left, right, top, bottom = plane.letters
    text = {"color": "white", "fontsize": 9, "path_effects": LETTER_HALO}
    ax.text(0.02, 0.5, left, transform=ax.transAxes, ha="left", va="center", **text)
    ax.text(0.98, 0.5, right, transform=ax.transAxes, ha="right", va="center", **text)
    ax.text(0.5, 0.985, top, transform=ax.transAxes, ha="center", va="top", **text)
    ax.text(0.5, 0.015, bottom, transform=ax.transAxes, ha="center", va="bottom", **text)
    length = scale_bar(width)
    left, level = 0.03 * width, 0.965 * height
    ax.plot([left, left + length], [level, level], color="white", linewidth=2.5, path_effects=HALO)
    ax.text(left, level - 0.02 * height, f"{length} mm", ha="left", va="bottom", **text)
