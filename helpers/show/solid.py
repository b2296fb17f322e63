"""A tumour in three dimensions: a still picture of its surfaces, and a view to turn where ipyniivue is installed."""

from __future__ import annotations

import importlib.util
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import nibabel as nib
import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from helpers.measure.regions import mask
from helpers.show.panel import filled
from helpers.show.style import REGION_COLOURS, alt, styled
from helpers.show.viewer.interactive import is_interactive, with_still

if TYPE_CHECKING:
    from helpers.data.volumes import Scan

SHOWN = {"WT": 0.18, "TC": 0.55}
"""The regions that are drawn, and the opacity of each."""

_VIEWS = {"above": (90, -90, "LRAP"), "the left": (0, 180, "APSI")}
"""Of each picture the elevation and the azimuth in degrees, and the directions that it names."""

_STEP_MM = 4.0  # between the points of a surface: finer ones cost seconds and show no more


def solid(scan: Scan, title: str | None = None) -> Any:
    """A tumour in its head: to be turned with the mouse in a session with ipyniivue, else a still picture.

    Args:
        scan: the patient, with a mask.
        title: heading of the still picture.

    Raises:
        ValueError: the scan has no mask, or an empty one.
    """
    _tumour(scan)
    if is_interactive() and importlib.util.find_spec("ipyniivue"):
        return with_still(_turnable(scan), lambda: surfaces(scan, title))
    return surfaces(scan, title)


@styled
def surfaces(scan: Scan, title: str | None = None) -> Figure:
    """Draw the surfaces of head, whole tumour and tumour core from two sides.

    Args:
        scan: the patient, with a mask.
        title: heading of the figure.

    Raises:
        ValueError: the scan has no mask, or an empty one.
    """
    from mpl_toolkits.mplot3d.art3d import Poly3DCollection

    bodies = [("head", filled(scan.images), "#9A9A9A", 0.06)]
    bodies += [(name, mask(_tumour(scan), name), REGION_COLOURS[name], alpha) for name, alpha in SHOWN.items()]
    figure = Figure(figsize=(8, 4.2))
    axes = [figure.add_subplot(1, 2, column, projection="3d") for column in (1, 2)]
    for name, body, colour, alpha in bodies:
        if not body.any():
            continue
        corners, faces = _surface(body, scan.affine)
        for ax in axes:
            ax.add_collection3d(Poly3DCollection(corners[faces], facecolor=colour, alpha=alpha, linewidth=0))
            if name == "head":
                ax.auto_scale_xyz(*corners.T)
    for ax, (side, (up, turn, letters)) in zip(axes, _VIEWS.items(), strict=True):
        low, high = np.array([ax.get_xlim3d(), ax.get_ylim3d(), ax.get_zlim3d()]).T
        ax.set_box_aspect(high - low, zoom=1.3)
        ax.view_init(up, turn)
        ax.set_axis_off()
        ax.set_title(f"From {side}")
        middle = (low + high) / 2
        for letter in letters:
            first, last = next(pair for pair in ("LR", "PA", "IS") if letter in pair)
            end, axis = high if letter == last else low, ("L", "P", "I").index(first)
            place = np.where(np.arange(3) == axis, end, middle)
            ax.text(*place, letter, ha="center", va="center", color="#333333")
    handles = [Patch(facecolor=colour, alpha=max(alpha, 0.2), label=name) for name, _, colour, alpha in bodies]
    figure.legend(handles=handles, loc="outside lower center", ncols=len(handles))
    if title is not None:
        figure.suptitle(title)
    return alt(figure, f"The tumour of {scan.id} within its head, as surfaces seen from above and from the left.")


def _tumour(scan: Scan) -> np.ndarray:
    """The mask, which is not empty.

    Raises:
        ValueError: there is no mask, or it is empty.
    """
    if scan.seg is None or not scan.seg.any():
        raise ValueError(f"{scan.id} has no tumour to draw; read it with `seg=True`, or choose a patient with one")
    return scan.seg


def _surface(body: np.ndarray, affine: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Corners in millimetres, (corners, 3), and three corners for each face, (faces, 3) int."""
    from scipy.ndimage import zoom
    from skimage.measure import marching_cubes

    padded = np.pad(body, 1).astype(np.float32)
    coarse = zoom(padded, nib.affines.voxel_sizes(affine) / _STEP_MM, order=1)
    # A thin rim may nowhere reach one half once it is sampled so coarsely.
    level = 0.5 if coarse.max() > 0.5 else coarse.max() / 2
    corners, faces, *_ = marching_cubes(np.pad(coarse, 1), level)
    step = (np.array(padded.shape) - 1) / (np.array(coarse.shape) - 1)  # `zoom` keeps the first and the last voxel
    index = (corners - 1) * step - 1
    return nib.affines.apply_affine(affine, index), faces


def _turnable(scan: Scan) -> Any:
    """A widget of NiiVue with the first modality and the mask, rendered."""
    from ipyniivue import NiiVue, SliceType

    folder = Path(tempfile.mkdtemp(prefix="solid_"))
    volumes = []
    for name, array, about in (
        (scan.modalities[0], scan.images[..., 0], {"colormap": "gray"}),
        ("mask", scan.seg.astype(np.uint8), {"colormap": "warm", "opacity": 0.6}),
    ):
        path = folder / f"{name}.nii.gz"
        nib.save(nib.Nifti1Image(array, scan.affine), path)
        volumes.append({"path": path, **about})
    widget = NiiVue()
    widget.load_volumes(volumes)
    widget.set_slice_type(SliceType.RENDER)
    return widget
