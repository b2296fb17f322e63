"""A patient's series in the space of the network, and what the network finds there back on each of them.

The network knows one grid for all modalities: 1 mm, rows to the left, columns to the back, slices to the head, 0
outside the brain. A scanner makes each series on a grid of its own. So one series stays where it is, the others are
registered to it, and all are resampled once. Every transform is kept, so that probabilities travel back and are decided
on where a radiologist looks: on the scanner's own slices.

Where series share the network's grid already and nobody moved, nothing is resampled, there or back.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from nibabel.orientations import apply_orientation, axcodes2ornt, inv_ornt_aff, io_orientation, ornt_transform

from helpers.prepare.registration import Image, Registration, register, resample

STILL_MM = 0.75
"""Motion below which series lie where their headers say: estimates on patients of BraTS, whose series were registered
before they were published, differ from that by up to 0.4 mm."""

_MM = 1.0  # of the network's grid
_SAME_MM = 0.02  # by which a spacing may miss it
_OBLIQUE_DEGREES = 15.0  # between an axis of the reference and one of the body
_PREFERRED = ("t1ce", "t1", "flair", "t2")  # to stay where it is, among series of equal voxels
_ORDER = "LPS"


@dataclass(frozen=True, eq=False)
class NetworkSpace:
    """Where the series of a patient lie in the space of the network.

    Attributes:
        reference: the kind that stays.
        images: the series by kind, as the scanner made them.
        matrices: by kind, (4, 4), a point of the reference to the same point of the head in the series, in mm.
        registrations: by kind, without the reference: how each lies, and how sure that is.
        shape: (rows, columns, slices) of the network's grid.
        affine: (4, 4) of it, voxel index to millimetres.
        notes: what was done, a sentence each.
    """

    reference: str
    images: Mapping[str, Image]
    matrices: Mapping[str, np.ndarray]
    registrations: Mapping[str, Registration]
    shape: tuple[int, int, int]
    affine: np.ndarray
    notes: tuple[str, ...] = field(default=())

    def to_network(self, kind: str, image: Image | None = None, nearest: bool = False) -> np.ndarray:
        """A series, or an image on its grid, on the network's grid, (rows, columns, slices); 0 stays 0.

        Args:
            kind: of the series.
            image: on its grid, such as a mask of it; the series itself without.
            nearest: take the nearest voxel: for masks.
        """
        image = image or self.images[kind]
        if (turn := self._turn(image, kind)) is not None:
            return apply_orientation(image.voxels, turn)
        matrix = self.matrices[kind]
        if nearest:
            return resample(image, self.shape, self.affine, matrix, nearest=True)
        inside = Image((image.voxels != 0).astype(np.uint8), image.affine)
        shown = resample(inside, self.shape, self.affine, matrix, nearest=True)
        return resample(image, self.shape, self.affine, matrix) * shown

    def to_series(self, kind: str, values: np.ndarray) -> np.ndarray:
        """Values on the network's grid, such as probabilities, on the grid of a series.

        Args:
            kind: of the series.
            values: (rows, columns, slices, channels) float.

        Returns:
            (n, m, k, channels) float32.
        """
        image = self.images[kind]
        if self._turn(image, kind) is not None:
            back = ornt_transform(axcodes2ornt(_ORDER), io_orientation(image.affine))
            return apply_orientation(values, back)
        matrix = np.linalg.inv(self.matrices[kind])
        channels = [
            resample(Image(values[..., channel], self.affine), image.voxels.shape, image.affine, matrix)
            for channel in range(values.shape[-1])
        ]
        return np.stack(channels, axis=-1)

    def shares_grid(self, kind: str) -> bool:
        """Whether a series has the voxels of the network's grid, in whatever order: then nothing is resampled.

        Args:
            kind: of the series.
        """
        return self._turn(self.images[kind], kind) is not None

    def _turn(self, image: Image, kind: str) -> np.ndarray | None:
        """How an image is turned into the network's grid; None where it has to be resampled."""
        if not np.array_equal(self.matrices[kind], np.eye(4)):
            return None
        turn = ornt_transform(io_orientation(image.affine), axcodes2ornt(_ORDER))
        turned = image.affine @ inv_ornt_aff(turn, image.voxels.shape)
        shape = tuple(int(image.voxels.shape[int(np.flatnonzero(turn[:, 0] == axis)[0])]) for axis in range(3))
        return turn if shape == self.shape and np.allclose(turned, self.affine, atol=5e-3) else None


def find_space(images: Mapping[str, Image], frames: Mapping[str, str] | None = None) -> NetworkSpace:
    """Register the series of a patient to one of them, and lay the network's grid.

    Args:
        images: by kind.
        frames: of reference, by kind, as the scanner names them: positions of one do not compare with those of another.
            One for all without.

    Raises:
        DataError: a registration cannot be trusted.
    """
    reference = min(images, key=lambda kind: (round(float(np.prod(images[kind].spacing)), 2), _PREFERRED.index(kind)))
    fixed, matrices, registrations, notes = images[reference], {reference: np.eye(4)}, {}, []
    for kind, image in images.items():
        if kind == reference:
            continue
        found = register(fixed, image)
        found.check(f"{kind} against {reference}")
        registrations[kind] = found
        still = found.motion_mm < STILL_MM and (frames is None or frames[kind] == frames[reference])
        matrices[kind] = np.eye(4) if still else found.matrix
        notes.append(f"{kind} against {reference}: {found}{'; left where it is' if still else ''}")
    shape, affine = _grid(fixed)
    return NetworkSpace(reference, images, matrices, registrations, shape, affine, tuple(notes))


def _grid(image: Image) -> tuple[tuple[int, int, int], np.ndarray]:
    """The network's grid over an image: on its own axes where these are near those of the body, else on the body's."""
    turn = ornt_transform(io_orientation(image.affine), axcodes2ornt(_ORDER))
    affine = image.affine @ inv_ornt_aff(turn, image.voxels.shape)
    shape = np.array([image.voxels.shape[int(np.flatnonzero(turn[:, 0] == axis)[0])] for axis in range(3)])
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    directions = affine[:3, :3] / spacing
    oblique = np.degrees(np.arccos(np.clip(np.abs(np.diag(directions)), 0, 1))).max()
    if oblique > _OBLIQUE_DEGREES:
        corners = np.array(list(np.ndindex(2, 2, 2))) * shape - 0.5
        places = corners @ affine[:3, :3].T + affine[:3, 3]
        low, high, signs = places.min(axis=0), places.max(axis=0), np.array([-1.0, -1.0, 1.0])
        directions, extent, edge = np.diag(signs), high - low, np.where(signs > 0, low, high)
    elif np.abs(spacing - _MM).max() <= _SAME_MM:
        return tuple(int(n) for n in shape), affine
    else:
        extent, edge = shape * spacing, affine[:3, 3] - affine[:3, :3] @ [0.5, 0.5, 0.5]
    size = np.ceil(extent / _MM - 1e-6).astype(int)
    made = np.eye(4)
    made[:3, :3] = directions * _MM
    made[:3, 3] = edge + made[:3, :3] @ [0.5, 0.5, 0.5]
    return tuple(int(n) for n in size), made
