"""The viewers, one call each: standard ipywidgets, no JavaScript of our own.

Where the notebook runs unattended (`helpers.show.viewer.interactive`), each returns a static figure instead; where
it returns a widget that no page of Jupyter has asked for, the figure goes into the output too.

CSS classes of the widgets, for tests and style sheets: `course-slice-axial`, `-coronal`, `-sagittal`;
`course-image-NAME` and `course-marks-NAME`, NAME a plane or, in a row of pictures, a number; `course-modality`,
`course-window`, `course-mask`, `course-opacity`, `course-class-LABEL`, `course-jump`, `course-values`,
`course-region`, `course-dice`, `course-kind-NAME`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from ipywidgets import VBox
from matplotlib.figure import Figure

from helpers.measure import regions
from helpers.show import slices
from helpers.show.landmarks import core_centre, deepest_voxel
from helpers.show.panel import grey_levels, plane
from helpers.show.style import CLASS_COLOURS, MODALITY_NAMES
from helpers.show.viewer.compare import Comparison
from helpers.show.viewer.controls import Overlay, Picture
from helpers.show.viewer.interactive import is_interactive, with_still
from helpers.show.viewer.orthogonal import Planes
from helpers.show.viewer.pane import Pane
from helpers.show.viewer.playground import Playground, Slice, grid
from helpers.show.viewer.row import Row

if TYPE_CHECKING:
    from helpers.data.volumes import Scan

Viewer = VBox | Figure


def patient(scan: Scan, labels: np.ndarray | None = None, title: str | None = None) -> Viewer:
    """Axial, coronal and sagittal plane, linked by a crosshair, with the intensities at it.

    Args:
        scan: the patient.
        labels: (rows, columns, slices) network labels on the scan's grid; by default the scan's own mask, if any.
        title: heading of the viewer.

    Raises:
        ValueError: the labels have another shape than the scan.
    """
    if labels is not None:
        scan = replace(scan, seg=_on_grid(scan, labels, "labels"))
    start = _start(scan)
    still = partial(slices.three_planes, scan, start, modality=_preferred(scan, "flair"), title=title)
    if not is_interactive():
        return still()
    picture = Picture(scan, _preferred(scan, "flair"))
    return with_still(Planes(scan, picture, Overlay(scan.seg), start, "Largest tumour slice", title=title), still)


def core(scan: Scan, title: str | None = None) -> Viewer:
    """The tumour core, necrosis and enhancing rim, on three planes (the paper's figure 11).

    Args:
        scan: the patient, with a mask.
        title: heading of the viewer.

    Raises:
        ValueError: the scan has no mask, or an empty one.
    """
    still = partial(slices.three_planes, scan, modality=_preferred(scan, "t1ce"), title=title)
    if not is_interactive():
        return still()
    start = core_centre(_mask(scan))
    overlay = Overlay(scan.seg, {label: CLASS_COLOURS[label] for label in regions.REGIONS["TC"]})
    picture = Picture(scan, _preferred(scan, "t1ce"))
    return with_still(
        Planes(scan, picture, overlay, start, "Centre of the core", note="tumour core", title=title), still
    )


def modalities(scan: Scan, k: int | None = None, title: str | None = None) -> Viewer:
    """All modalities side by side with one slider, each with its own intensity window (the paper's figure 9).

    Args:
        scan: the patient.
        k: initial slice; by default the one with most tumour.
        title: heading of the viewer.
    """
    still = partial(slices.modalities, scan, k, title)
    if not is_interactive():
        return still()
    volumes = [scan.image(name) for name in scan.modalities]
    windows = [grey_levels(volume) for volume in volumes]
    overlay = Overlay(scan.seg, on=False)

    def draw(panes: list[Pane], k: int) -> None:
        for pane, volume, window in zip(panes, volumes, windows, strict=True):
            pane.draw(pane.cut(volume, k), window, *overlay.cut(pane, k))

    captions = [MODALITY_NAMES.get(name, name) for name in scan.modalities]
    row = Row(scan, captions, draw, k, below=[overlay], title=title)
    overlay.on_change(row.redraw)
    return with_still(row, still)


def image_and_mask(scan: Scan, k: int | None = None, title: str | None = None) -> Viewer:
    """A slice, its mask over a silhouette of the head, and the mask laid over the slice (the paper's figure 10).

    Args:
        scan: the patient, with a mask.
        k: initial slice; by default the one with most tumour.
        title: heading of the viewer.

    Raises:
        ValueError: the scan has no mask.
    """
    labels = _mask(scan)
    still = partial(slices.image_and_mask, scan, k, _preferred(scan, "flair"), title)
    if not is_interactive():
        return still()
    picture, overlay = Picture(scan, _preferred(scan, "flair")), Overlay(labels)

    def draw(panes: list[Pane], k: int) -> None:
        plain, alone, both = panes
        image, window = plain.cut(picture.volume, k), picture.window.value
        plain.draw(image, window)
        alone.draw(image != 0, (0, 4), plain.cut(labels, k), overlay.palette, opacity=1)
        both.draw(image, window, *overlay.cut(both, k))

    row = Row(scan, ["Picture", "Mask", "Both"], draw, k, above=[picture], below=[overlay], title=title)
    for part in (picture, overlay):
        part.on_change(row.redraw)
    return with_still(row, still)


def compare(scan: Scan, prediction: np.ndarray, k: int | None = None, title: str | None = None) -> Viewer:
    """Ground truth, prediction, and their agreement: false negatives, false positives, Dice of slice and patient.

    Args:
        scan: the patient, with a mask.
        prediction: (rows, columns, slices) network labels on the scan's grid.
        k: initial slice; by default the one with most tumour.
        title: heading of the viewer.

    Raises:
        ValueError: the scan has no mask, or the prediction has another shape.
    """
    truth, prediction = _mask(scan), _on_grid(scan, prediction, "prediction")
    still = partial(slices.compare, scan, truth, prediction, k, _preferred(scan, "flair"), title)
    if not is_interactive():
        return still()
    return with_still(Comparison(scan, prediction, Picture(scan, _preferred(scan, "flair")), k, title), still)


def playground(
    image: np.ndarray,
    soft_labels: np.ndarray,
    modalities: Sequence[str] = ("flair", "t1ce"),
    seed: int = 0,
    title: str | None = None,
) -> Viewer:
    """Augmentation playground: a slider for each transform, applied to a training slice and its mask together.

    Args:
        image: (size, size, channels) float32, z-scored, in file order.
        soft_labels: (size, size, classes) float32, soft labels that sum to 1.
        modalities: name of each channel.
        seed: of the random fields: noise, elastic deformation, bias field.
        title: heading of the viewer.

    Raises:
        ValueError: the shapes do not match.
    """
    slice_ = Slice(image, soft_labels, tuple(modalities), seed)
    still = partial(grid, slice_, title)
    return with_still(Playground(slice_, title), still) if is_interactive() else still()


def _preferred(scan: Scan, modality: str) -> str:
    """The modality if the scan has it, else its first."""
    return modality if modality in scan.modalities else scan.modalities[0]


def _on_grid(scan: Scan, labels: np.ndarray, name: str) -> np.ndarray:
    if labels.shape != scan.images.shape[:3]:
        raise ValueError(f"{name} has shape {labels.shape}; expected the scan's own grid, {scan.images.shape[:3]}")
    return labels


def _mask(scan: Scan) -> np.ndarray:
    if scan.seg is None:
        raise ValueError(f"{scan.id} has no mask: read it with `seg=True`, or view it with `api.patient`")
    return scan.seg


def _start(scan: Scan) -> tuple[int, ...]:
    """A voxel of the tumour in the slice with most tumour; without tumour, of the brain."""
    k, axis = slices.busiest(scan), plane(scan.affine).axis
    has_tumour = scan.seg is not None and scan.seg.any()
    mask = (scan.seg > 0).take(k, axis) if has_tumour else scan.images.take(k, axis).any(axis=-1)
    voxel = list(deepest_voxel(mask))
    voxel.insert(axis, k)
    return tuple(voxel)
