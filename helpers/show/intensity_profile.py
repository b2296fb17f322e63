"""The greys along one line through a head, modality by modality, with the classes of the mask under them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import nibabel as nib
import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from helpers.data.normalise import zscore
from helpers.show.panel import grey_levels, plane, show_slice
from helpers.show.style import CLASS_COLOURS, CLASS_NAMES, MODALITY_NAMES, alt, styled

if TYPE_CHECKING:
    from helpers.data.volumes import Scan


@styled
def intensity_profile(scan: Scan, voxel: Sequence[int], title: str | None = None) -> Figure:
    """Draw the z-scores along the line from right to left through a voxel, and where the line runs.

    Args:
        scan: the patient, with a mask.
        voxel: index of a voxel of the line, in file order.
        title: heading of the figure.

    Raises:
        ValueError: the scan has no mask, or the voxel lies outside of it.
    """
    if scan.seg is None:
        raise ValueError(f"{scan.id} has no mask: read it with `seg=True`")
    if any(not 0 <= index < size for index, size in zip(voxel, scan.seg.shape, strict=True)):
        raise ValueError(f"voxel {tuple(voxel)} lies outside of the scan's {scan.seg.shape}")
    view = plane(scan.affine)
    across = next(axis for axis, code in enumerate(nib.aff2axcodes(scan.affine)) if code in "RL")
    line = tuple(slice(None) if axis == across else int(index) for axis, index in enumerate(voxel))
    box, k = view.brain(scan.images), int(voxel[view.axis])
    image = view.cut(scan.images[..., 0], k, box)
    inside = [range(size) if axis == across else [int(voxel[axis])] for axis, size in enumerate(scan.seg.shape)]
    places = np.array(np.meshgrid(*inside, indexing="ij")).reshape(3, -1).T  # (voxels of the line, 3)
    shown = np.delete(places, view.axis, axis=1) - [edge.start for edge in box]
    x, y = np.array([view.place(tuple(place), image.shape) for place in shown]).T
    labels, greys = scan.seg[line], zscore(scan.images)[line]  # (voxels,), (voxels, modalities)

    count = len(scan.modalities)
    figure = Figure(figsize=(8, 0.85 * count + 1.1))
    grid = figure.add_gridspec(count, 2, width_ratios=(2, 3))
    left = figure.add_subplot(grid[:, 0])
    show_slice(left, image, view, grey_levels(scan.images[..., 0]), view.cut(scan.seg, k, box))
    left.axhline(y[0], color="white", linewidth=1, linestyle=(0, (4, 3)))
    left.set_title(f"{MODALITY_NAMES.get(scan.modalities[0], scan.modalities[0])}, slice {k}")
    width = view.size(box)[1]
    for row, name in enumerate(scan.modalities):
        ax = figure.add_subplot(grid[row, 1])
        for label, colour in CLASS_COLOURS.items():
            half = np.abs(np.diff(x)).mean() / 2
            for place in x[labels == label]:
                ax.axvspan(place - half, place + half, color=colour, alpha=0.45, linewidth=0)
        order = np.argsort(x)
        ax.plot(x[order], np.where(scan.images[line][:, row] == 0, np.nan, greys[:, row])[order], color="#222222")
        ax.set_xlim(0, width)
        ax.set_ylabel(MODALITY_NAMES.get(name, name), rotation=0, ha="right", va="center")
        ax.grid(axis="x", visible=False)
        ax.tick_params(labelbottom=row == count - 1)
        if row == 0:
            ax.set_title("Deviations from the mean of the brain")
    ax.set_xlabel("mm along the line, the patient's right first")
    handles = [Patch(facecolor=c, alpha=0.45, label=CLASS_NAMES[n]) for n, c in CLASS_COLOURS.items()]
    figure.legend(handles=handles, loc="outside lower center", ncols=len(handles))
    if title is not None:
        figure.suptitle(title)
    crossed = ", ".join(CLASS_NAMES[int(label)] for label in np.unique(labels[labels > 0])) or "no tumour"
    return alt(figure, f"Z-scores of {scan.id} along a line from right to left, which crosses {crossed}.")
