"""Rigid registration of a patient's series, and what it leaves: between two series lie minutes, and people move.

A transform is estimated by mutual information, which asks only that the grey levels of one series predict those of the
other, since FLAIR and T1 share no scale. No truth tells whether it is right, so three numbers are measured: how far the
head had moved; how far a point comes back from itself when the registration is run backwards on its own (residual
motion: two estimates that are both right undo each other); and how much of the two heads coincides.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import scipy

from helpers.runtime.errors import DataError

if TYPE_CHECKING:
    import SimpleITK as sitk  # noqa: N813 - the name it goes by

_LPS = np.diag([-1.0, -1.0, 1.0, 1.0])  # SimpleITK's axes run to the left and to the back
_WORKING_MM = 2.0  # the finest grid of the search; its estimates are good to a tenth of that
_LEVELS = ((4, 4.0), (2, 2.0), (1, 1.0))  # of the search: by how much the grid is coarser, and smoothing in mm
_BINS, _SAMPLES = 48, 25_000  # of the histogram; voxels that are compared
_ROUNDS, _LINES = 20, 30  # of Powell's search, at most: rounds of a level, and steps along a line
_RADIUS_MM = 50.0  # of a head: a turn by 1/50 moves it about as far as a shift by 1 mm
_MARGIN_MM = 12.0  # round the head that is searched
_POINTS = 2000  # of the brain, at which transforms are compared

RESIDUAL_MM, OVERLAP = 2.0, 0.7
"""The most residual motion, and the least overlap, of a registration that is used."""


@dataclass(frozen=True, eq=False)
class Image:
    """Voxels, and where they lie.

    Attributes:
        voxels: (n, m, k), numbers.
        affine: (4, 4), voxel index to millimetres, x to the right, y to the front, z to the head.
    """

    voxels: np.ndarray
    affine: np.ndarray

    @property
    def spacing(self) -> np.ndarray:
        """Millimetres along each axis, (3,)."""
        return np.linalg.norm(self.affine[:3, :3], axis=0)


@dataclass(frozen=True, eq=False)
class Registration:
    """How one series lies against another.

    Attributes:
        matrix: (4, 4), a point of the fixed series to the same point of the head in the moving one, in millimetres.
        motion_mm: the mean distance by which the head had moved between the two.
        residual_mm: the mean distance between a point and where forth and back take it, each estimated on its own.
        overlap: Dice of the two heads after registration, where both series reach; 1 where they coincide.
    """

    matrix: np.ndarray
    motion_mm: float
    residual_mm: float
    overlap: float

    def __str__(self) -> str:
        return (
            f"moved by {self.motion_mm:.2f} mm, residual motion {self.residual_mm:.2f} mm, overlap {self.overlap:.3f}"
        )

    def check(self, name: str) -> None:
        """Refuse a registration that cannot be trusted.

        Args:
            name: of the two series, for the message.

        Raises:
            DataError: its residual motion is too large, or its overlap too small.
        """
        if self.residual_mm > RESIDUAL_MM or self.overlap < OVERLAP:
            raise DataError(
                f"{name}: the registration cannot be trusted ({self}; expected at most {RESIDUAL_MM:g} mm and at least "
                f"{OVERLAP:g}). Are both of one head, whole, and of the sequences they are taken for? Name other "
                "series, or register them elsewhere and check them by eye"
            )


def register(fixed: Image, moving: Image) -> Registration:
    """Estimate where the head of one series lies in another, and how far the estimate can be trusted.

    The same input gives the same result, to 1e-9: the sample of voxels has a fixed seed.

    Args:
        fixed: the series that stays.
        moving: the series of the same head that is brought to it.
    """
    here, there = _head(fixed), _head(moving)
    one, other = _prepared(fixed, here), _prepared(moving, there)
    forth, back = _estimate(one, other, fixed, moving, here, there), _estimate(other, one, moving, fixed, there, here)
    points = _points(fixed, here)
    moved = _apply(forth, points)
    residual = np.linalg.norm(_apply(back, moved) - points, axis=1).mean()
    motion = np.linalg.norm(moved - points, axis=1).mean()
    return Registration(forth, float(motion), float(residual), _overlap(fixed, moving, here, there, forth))


def resample(
    image: Image,
    shape: tuple[int, int, int],
    affine: np.ndarray,
    matrix: np.ndarray | None = None,
    nearest: bool = False,
) -> np.ndarray:
    """Resample an image to another grid, linearly; where the new voxels are larger, each is the mean of its area.

    Args:
        image: what to resample; outside of it all is 0.
        shape: (n, m, k) of the new grid.
        affine: (4, 4) of the new grid, voxel index to millimetres.
        matrix: (4, 4), a point of the new grid to the point of the image, in millimetres; the same point without.
        nearest: take the nearest voxel instead: for masks.

    Returns:
        (n, m, k) float32; of the image's type with `nearest`.
    """
    to_index = np.linalg.inv(image.affine) @ (np.eye(4) if matrix is None else matrix) @ affine
    if nearest:
        return _sample(image.voxels, to_index, shape, order=0)
    size = np.linalg.norm(to_index[:3, :3] * image.spacing[:, None], axis=0)  # of a new voxel, in mm of the image
    finest = np.abs(to_index[:3, :3]).max(axis=0)  # of a new voxel, in voxels of the image
    counts = [max(1, round(float(n))) if mm else 1 for n, mm in zip(finest, size, strict=True)]
    mean = np.zeros(shape, np.float32)
    for part in np.ndindex(*counts):
        offset = np.eye(4)
        offset[:3, 3] = [(place + 0.5) / count - 0.5 for place, count in zip(part, counts, strict=True)]
        mean += _sample(image.voxels.astype(np.float32, copy=False), to_index @ offset, shape, order=1)
    return mean / np.float32(np.prod(counts))


def write_transform(path: Path, matrix: np.ndarray) -> None:
    """Write a transform as ITK, 3D Slicer and ANTs read it: points of the fixed series to those of the moving one.

    Args:
        path: ends in `.tfm`.
        matrix: (4, 4), in millimetres, x to the right, y to the front, z to the head; the file has ITK's own axes.
    """
    import SimpleITK as sitk  # noqa: N813

    lps = _LPS @ matrix @ _LPS
    transform = sitk.AffineTransform(3)
    transform.SetMatrix(lps[:3, :3].ravel().tolist())
    transform.SetTranslation(lps[:3, 3].tolist())
    sitk.WriteTransform(transform, str(path))


def read_transform(path: Path) -> np.ndarray:
    """The (4, 4) matrix of a file that `write_transform` wrote.

    Args:
        path: of the file.
    """
    import SimpleITK as sitk  # noqa: N813

    transform = sitk.AffineTransform(sitk.ReadTransform(str(path)))
    lps = np.eye(4)
    lps[:3, :3], lps[:3, 3] = np.reshape(transform.GetMatrix(), (3, 3)), transform.GetTranslation()
    return _LPS @ lps @ _LPS


def _sample(voxels: np.ndarray, to_index: np.ndarray, shape: tuple[int, int, int], order: int) -> np.ndarray:
    """Values at the places of a new grid. A voxel is an area: up to its edge the outermost one counts, then 0."""
    to_index = np.round(to_index, 9)  # rounding of the inverse would move voxels of the rim out of the image

    def transform(values: np.ndarray, order: int, mode: str) -> np.ndarray:
        return scipy.ndimage.affine_transform(
            values, to_index[:3, :3], to_index[:3, 3], shape, order=order, mode=mode, prefilter=False
        )

    if order == 0:
        return transform(voxels, 0, "grid-constant")
    values = transform(voxels, order, "nearest")
    corners = np.array(list(np.ndindex(2, 2, 2))) * (np.array(shape) - 1)
    reached = _apply(to_index, corners)
    if reached.min() < -0.5 or (reached > np.array(voxels.shape) - 0.5).any():
        values *= transform(np.ones(voxels.shape, np.uint8), 0, "grid-constant")
    return values


def _head(image: Image) -> np.ndarray:
    """Where the head is, (n, m, k) bool: all that is not background.

    Raises:
        DataError: there is nothing.
    """
    voxels = np.abs(image.voxels)
    if not voxels.any():
        raise DataError("every voxel is 0; expected a head. Export the series again")
    if (voxels == 0).mean() > 0.3:  # background that somebody removed
        return voxels > 0
    smooth = scipy.ndimage.gaussian_filter(voxels.astype(np.float32), 1.5 / image.spacing)
    return smooth > 0.2 * np.percentile(smooth, 95)  # noise of the air lies far below


def _points(image: Image, head: np.ndarray) -> np.ndarray:
    """Points of the head, (n, 3) in millimetres, evenly taken."""
    inside = np.argwhere(head)
    chosen = inside[:: max(1, len(inside) // _POINTS)]
    return _apply(image.affine, chosen)


def _apply(matrix: np.ndarray, points: np.ndarray) -> np.ndarray:
    return points @ matrix[:3, :3].T + matrix[:3, 3]


def _overlap(fixed: Image, moving: Image, here: np.ndarray, there: np.ndarray, matrix: np.ndarray) -> float:
    """Dice of the two heads on the grid of the fixed one, where the moving series reaches."""
    shape = here.shape
    covered = resample(Image(np.ones(there.shape, np.uint8), moving.affine), shape, fixed.affine, matrix, nearest=True)
    brought = resample(Image(there.astype(np.uint8), moving.affine), shape, fixed.affine, matrix, nearest=True) > 0
    one, both = here & (covered > 0), here & brought
    return float(2 * both.sum() / max(1, one.sum() + brought.sum()))


def _prepared(image: Image, head: np.ndarray) -> "sitk.Image":
    """The head for the search: on its own axes at the working spacing or its own, whichever is coarser."""
    factor = np.maximum(image.spacing, _WORKING_MM) / image.spacing
    low, high = [], []
    for axis, (n, mm) in enumerate(zip(head.shape, image.spacing, strict=True)):
        inside = np.flatnonzero(head.any(axis=tuple(other for other in range(3) if other != axis)))
        low.append(max(0, inside[0] - _MARGIN_MM / mm))
        high.append(min(n, inside[-1] + 1 + _MARGIN_MM / mm))
    shape = tuple(int(max(1, np.ceil((b - a) / f))) for a, b, f in zip(low, high, factor, strict=True))
    affine = image.affine @ np.diag([*factor, 1.0])
    affine[:3, 3] += image.affine[:3, :3] @ ((factor - 1) / 2 + np.array(low))  # the first edges stay where they are
    voxels = resample(image, shape, affine)
    # The brightest voxels, vessels and markers, would leave few bins of the histogram to the rest.
    voxels = np.minimum(voxels, np.percentile(voxels[voxels > 0], 99.5) if (voxels > 0).any() else 1)
    return _to_sitk(voxels, affine)


def _to_sitk(voxels: np.ndarray, affine: np.ndarray) -> "sitk.Image":
    import SimpleITK as sitk  # noqa: N813 - loaded here, since it takes a second

    lps = _LPS @ affine
    spacing = np.linalg.norm(lps[:3, :3], axis=0)
    image = sitk.GetImageFromArray(np.ascontiguousarray(voxels.T.astype(np.float32)))
    image.SetSpacing(spacing.tolist())
    image.SetDirection((lps[:3, :3] / spacing).ravel().tolist())
    image.SetOrigin(lps[:3, 3].tolist())
    return image


def _estimate(
    fixed: "sitk.Image", moving: "sitk.Image", one: Image, other: Image, here: np.ndarray, there: np.ndarray
) -> np.ndarray:
    """The rigid transform of points of the fixed image to points of the moving one, (4, 4) in RAS millimetres."""
    import SimpleITK as sitk  # noqa: N813

    centre, goal = _points(one, here).mean(axis=0), _points(other, there).mean(axis=0)
    starts = [np.zeros(3), goal - centre]
    results = []
    for shift in starts if np.linalg.norm(starts[1]) > 10 else starts[:1]:
        transform = sitk.Euler3DTransform()
        transform.SetCenter((_LPS[:3, :3] @ centre).tolist())
        transform.SetTranslation((_LPS[:3, :3] @ shift).tolist())
        results.append(_search(fixed, moving, transform))
    transform, _ = min(results, key=lambda result: result[1])
    matrix, translation, at = (
        np.reshape(transform.GetMatrix(), (3, 3)),
        np.array(transform.GetTranslation()),
        np.array(transform.GetCenter()),
    )
    lps = np.eye(4)
    lps[:3, :3], lps[:3, 3] = matrix, at + translation - matrix @ at
    return _LPS @ lps @ _LPS


def _search(fixed: "sitk.Image", moving: "sitk.Image", start: Any) -> tuple[Any, float]:
    import SimpleITK as sitk  # noqa: N813

    method = sitk.ImageRegistrationMethod()
    method.SetNumberOfThreads(1)  # several add up in another order each time
    method.SetMetricAsMattesMutualInformation(_BINS)
    method.SetMetricSamplingStrategy(method.RANDOM)
    voxels = [np.prod(fixed.GetSize()) / factor**3 for factor, _ in _LEVELS]
    method.SetMetricSamplingPercentagePerLevel([float(min(1.0, _SAMPLES / n)) for n in voxels], 1)  # seed; 0: the clock
    method.SetInterpolator(sitk.sitkLinear)
    # Gradient descent stops 3 mm beside the truth on phantoms, where one line after the other comes within 0.3 mm.
    method.SetOptimizerAsPowell(_ROUNDS, _LINES, stepLength=1.0, stepTolerance=1e-3, valueTolerance=1e-5)
    method.SetOptimizerScales([_RADIUS_MM] * 3 + [1.0] * 3)
    method.SetShrinkFactorsPerLevel([factor for factor, _ in _LEVELS])
    method.SetSmoothingSigmasPerLevel([sigma for _, sigma in _LEVELS])
    method.SmoothingSigmasAreSpecifiedInPhysicalUnitsOn()
    method.SetInitialTransform(start, inPlace=True)
    try:
        method.Execute(fixed, moving)
    except RuntimeError as error:  # ITK: the images do not overlap, or hold nothing
        raise DataError("the search found no overlap of the two series; expected two of one head") from error
    return start, method.GetMetricValue()
