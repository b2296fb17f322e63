"""Preprocessing of MR volumes: denoising, contrast (CLAHE), histogram matching, bias field correction.

Each function takes one modality of one patient, (rows, columns, slices), as it lies on disk: positive inside the brain,
0 outside. Each returns float32 in the same unit, changes brain voxels alone, and leaves the background 0, so that
`volume != 0` is still the brain mask afterwards. Whether any of this helps a network is a question for lesson 05.
"""

import numpy as np
from scipy import ndimage
from skimage import exposure, restoration

from helpers.runtime.errors import DataError


def noise_level(volume: np.ndarray) -> float:
    """Standard deviation of the noise, in the volume's unit.

    Immerkær (1996): a filter that is 0 on constant and linear intensity responds to noise. Here it is applied to every
    slice of the brain, and the median of its absolute response is robust against edges.

    Args:
        volume: (rows, columns, slices), 0 outside the brain.

    Raises:
        DataError: the volume is no brain volume, or too thin to have an inside.
    """
    volume, brain = _checked(volume)
    kernel = np.outer([1, -2, 1], [1, -2, 1])  # noise of standard deviation 1 gives responses of standard deviation 6
    responses = ndimage.convolve(volume, kernel[:, :, None])
    inside = ndimage.binary_erosion(brain, np.ones((3, 3, 1)))
    if not inside.any():
        raise DataError("The brain is nowhere three voxels wide, so its noise cannot be distinguished from its edges.")
    return float(np.median(np.abs(responses[inside])) / 0.6745 / 6)  # 0.6745: half of a normal distribution lies within


def median(volume: np.ndarray, size: int = 3) -> np.ndarray:
    """Median filter: each brain voxel becomes the median of the `size` x `size` x `size` voxels round it.

    Args:
        volume: (rows, columns, slices), 0 outside the brain.
        size: voxels along each side of the window, odd.

    Returns:
        (rows, columns, slices) float32.

    Raises:
        DataError: the volume is no brain volume, or `size` is not odd.
    """
    volume, brain = _checked(volume)
    if size < 1 or size % 2 == 0:
        raise DataError(f"size is {size}; expected an odd number of voxels, so that the window has a middle.")
    box = _box(brain)
    return _uncropped(ndimage.median_filter(_filled(volume[box], brain[box]), size), box, brain)


def nonlocal_means(volume: np.ndarray, sigma: float | None = None) -> np.ndarray:
    """Non-local means: each brain voxel becomes a mean of voxels near it with similar surroundings (Buades 2005).

    Args:
        volume: (rows, columns, slices), 0 outside the brain.
        sigma: standard deviation of the noise in the volume's unit; `noise_level` estimates it if it is not given.

    Returns:
        (rows, columns, slices) float32.
    """
    volume, brain = _checked(volume)
    sigma = noise_level(volume) if sigma is None else sigma
    box = _box(brain)
    # Patches of 3 voxels, searched 2 voxels away; h below sigma, as scikit-image advises where the noise is known.
    denoised = restoration.denoise_nl_means(
        _filled(volume[box], brain[box]), 3, 2, h=0.8 * sigma, sigma=sigma, fast_mode=True, preserve_range=True
    )
    return _uncropped(denoised, box, brain)


def clahe(volume: np.ndarray, clip_limit: float = 0.01) -> np.ndarray:
    """Contrast-limited adaptive histogram equalisation (Pizer 1987): every neighbourhood uses the whole grey scale.

    Args:
        volume: (rows, columns, slices), 0 outside the brain.
        clip_limit: from 0 to 1; the higher, the more contrast, noise included.

    Returns:
        (rows, columns, slices) float32, between the lowest and the highest intensity of the brain.
    """
    volume, brain = _checked(volume)
    low, high = volume[brain].min(), volume[brain].max()
    if low == high:
        return volume
    box = _box(brain)
    unit = (_filled(volume[box], brain[box]) - low) / (high - low)
    return _uncropped(low + (high - low) * exposure.equalize_adapthist(unit, clip_limit=clip_limit), box, brain)


def match_histogram(volume: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """Give the brain the histogram of another one: intensities of equal rank become equal.

    Args:
        volume: (rows, columns, slices), 0 outside the brain.
        reference: a volume of the same modality, of any shape (rows, columns, slices), 0 outside the brain; a tumour's
            intensities are matched along with all others.

    Returns:
        (rows, columns, slices) float32.
    """
    (volume, brain), (reference, reference_brain) = _checked(volume), _checked(reference)
    matched = np.zeros_like(volume)
    matched[brain] = exposure.match_histograms(volume[brain], reference[reference_brain])
    return matched


def bias_field(volume: np.ndarray, spacing: tuple[float, float, float], knots_mm: float = 60.0) -> np.ndarray:
    """The bias field, a smooth inhomogeneity, as N4 estimates it (Tustison 2010). Divide the volume by it.

    Args:
        volume: (rows, columns, slices), 0 outside the brain.
        spacing: millimetres per voxel along the three axes.
        knots_mm: millimetres between the knots of the spline that the field is made of; nothing finer is corrected.

    Returns:
        (rows, columns, slices) float32, about 1 (its geometric mean over the brain is 1), and 1 outside the brain.
    """
    import SimpleITK as sitk  # noqa: N813 - the name it goes by; loaded here, since it takes a second

    volume, brain = _checked(volume)
    box = _box(brain)
    image, mask = sitk.GetImageFromArray(volume[box]), sitk.GetImageFromArray(brain[box].astype(np.uint8))
    for one in (image, mask):
        one.SetSpacing([float(mm) for mm in spacing[::-1]])  # SimpleITK counts the axes from the other end
    n4 = sitk.N4BiasFieldCorrectionImageFilter()
    n4.SetMaximumNumberOfIterations([30])
    cells = [max(1, round(n * mm / knots_mm)) for n, mm in zip(image.GetSize(), image.GetSpacing(), strict=True)]
    n4.SetNumberOfControlPoints([count + 3 for count in cells])  # a cubic spline has three more than it has cells
    coarse = [max(1, round(8 / mm)) for mm in image.GetSpacing()]  # voxels of 8 mm show a field of this kind
    n4.Execute(sitk.Shrink(image, coarse), sitk.Shrink(mask, coarse))
    logs = sitk.GetArrayFromImage(n4.GetLogBiasFieldAsImage(image))
    field = np.ones_like(volume)
    field[brain] = np.exp(logs - logs[brain[box]].mean())[brain[box]]
    return field


def _checked(volume: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The volume as float32, and its brain mask, both (rows, columns, slices).

    Raises:
        DataError: the volume is not three-dimensional, or its values are not those of a brain on disk.
    """
    volume = np.asarray(volume)
    if volume.ndim != 3:
        raise DataError(f"The volume has shape {volume.shape}; expected one modality, (rows, columns, slices).")
    volume = volume.astype(np.float32)
    brain = volume != 0
    if not brain.any() or not np.isfinite(volume).all() or volume.min() < 0:
        raise DataError(
            f"The volume holds values from {volume.min():g} to {volume.max():g}; expected intensities as on disk, 0 "
            "outside the brain and positive inside it. Preprocess before z-scoring."
        )
    return volume, brain


def _box(brain: np.ndarray) -> tuple[slice, ...]:
    """The part of the grid that holds the brain: half of a head's volume is air, and need not be filtered."""
    return ndimage.find_objects(brain.astype(np.uint8))[0]


def _filled(volume: np.ndarray, brain: np.ndarray) -> np.ndarray:
    """The background filled with the nearest brain voxel's intensity, so that no filter mixes it with the brain."""
    nearest = ndimage.distance_transform_edt(~brain, return_distances=False, return_indices=True)
    return volume[tuple(nearest)]


def _uncropped(inside: np.ndarray, box: tuple[slice, ...], brain: np.ndarray) -> np.ndarray:
    """The box put back into the whole grid, 0 outside the brain; float32."""
    out = np.zeros(brain.shape, np.float32)
    out[box] = inside
    return out * brain
