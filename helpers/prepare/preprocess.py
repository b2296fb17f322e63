"""Preprocessing of MR volumes: less noise, more contrast, another patient's greys, an even field.

Each function takes one modality of one patient, (rows, columns, slices), as it lies on disk: positive inside the brain,
0 outside. Each returns float32 in the same unit, changes brain voxels alone, and leaves the background 0, so that the
brain is still known by `volume != 0` afterwards. Whether any of this helps a network is a question for lesson 03.
"""

import numpy as np
from scipy import ndimage
from skimage import exposure, restoration

from helpers.runtime.errors import DataError


def noise_level(volume: np.ndarray) -> float:
    """Standard deviation of the noise, in the volume's unit.

    Immerkær (1996): a mask that is blind to flat and sloping ground answers to noise. Here it slides over the brain in
    each slice, and the median of what it answers leaves edges out of account.
    """
    volume, brain = _checked(volume)
    blind = np.outer([1, -2, 1], [1, -2, 1])  # its answer to noise of spread 1 has the spread 6
    answers = ndimage.convolve(volume, blind[:, :, None])
    inside = ndimage.binary_erosion(brain, np.ones((3, 3, 1)))
    if not inside.any():
        raise DataError("The brain is nowhere three voxels wide, so its noise cannot be told from its edges.")
    return float(np.median(np.abs(answers[inside])) / 0.6745 / 6)  # 0.6745: half of a normal distribution lies within


def median(volume: np.ndarray, size: int = 3) -> np.ndarray:
    """Each brain voxel becomes the median of the `size` x `size` x `size` voxels round it.

    Raises:
        DataError: the volume is no brain volume, or `size` is not odd.
    """
    volume, brain = _checked(volume)
    if size < 1 or size % 2 == 0:
        raise DataError(f"size is {size}; expected an odd number of voxels, so that the window has a middle.")
    box = _box(brain)
    return _placed(ndimage.median_filter(_spread(volume[box], brain[box]), size), box, brain)


def nonlocal_means(volume: np.ndarray, sigma: float | None = None) -> np.ndarray:
    """Each brain voxel becomes the mean of voxels near it whose surroundings look alike (Buades 2005).

    Args:
        sigma: standard deviation of the noise in the volume's unit; `noise_level` estimates it if it is not given.
    """
    volume, brain = _checked(volume)
    sigma = noise_level(volume) if sigma is None else sigma
    box = _box(brain)
    # Patches of 3 voxels, looked for 2 voxels away; h below sigma, as scikit-image advises where the noise is known.
    calm = restoration.denoise_nl_means(
        _spread(volume[box], brain[box]), 3, 2, h=0.8 * sigma, sigma=sigma, fast_mode=True, preserve_range=True
    )
    return _placed(calm, box, brain)


def clahe(volume: np.ndarray, clip_limit: float = 0.01) -> np.ndarray:
    """Contrast-limited adaptive histogram equalisation (Pizer 1987): every neighbourhood uses the whole grey scale.

    Args:
        clip_limit: from 0 to 1; the higher, the more contrast, noise included.

    Returns:
        Greys between the lowest and the highest of the brain.
    """
    volume, brain = _checked(volume)
    low, high = volume[brain].min(), volume[brain].max()
    if low == high:
        return volume
    box = _box(brain)
    unit = (_spread(volume[box], brain[box]) - low) / (high - low)
    return _placed(low + (high - low) * exposure.equalize_adapthist(unit, clip_limit=clip_limit), box, brain)


def match_histogram(volume: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """Give the brain the greys of another one: equal ranks, equal greys.

    Args:
        reference: a volume of the same modality, of any shape; a tumour's greys are matched along with all others.
    """
    (volume, brain), (reference, other) = _checked(volume), _checked(reference)
    matched = np.zeros_like(volume)
    matched[brain] = exposure.match_histograms(volume[brain], reference[other])
    return matched


def bias_field(volume: np.ndarray, spacing: tuple[float, float, float], knots_mm: float = 60.0) -> np.ndarray:
    """The slow drift of brightness across the head, as N4 estimates it (Tustison 2010). Divide the volume by it.

    Args:
        spacing: millimetres per voxel along the three axes.
        knots_mm: millimetres between the knots of the spline that the field is made of; nothing finer is corrected.

    Returns:
        float32, about 1 (its geometric mean over the brain is 1), and 1 outside the brain.
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
    """The volume as float32, and where its brain is."""
    volume = np.asarray(volume)
    if volume.ndim != 3:
        raise DataError(f"The volume has shape {volume.shape}; expected one modality, (rows, columns, slices).")
    volume = volume.astype(np.float32)
    brain = volume != 0
    if not brain.any() or not np.isfinite(volume).all() or volume.min() < 0:
        raise DataError(
            f"The volume holds values from {volume.min():g} to {volume.max():g}; expected greys as on disk, 0 outside "
            "the brain and positive inside it. Preprocess before z-scoring."
        )
    return volume, brain


def _box(brain: np.ndarray) -> tuple[slice, ...]:
    """The part of the grid that holds the brain: half of a head's volume is air, and need not be filtered."""
    return ndimage.find_objects(brain.astype(np.uint8))[0]


def _spread(volume: np.ndarray, brain: np.ndarray) -> np.ndarray:
    """The background filled with the nearest brain voxel's grey, so that no filter mixes brain with nothing."""
    nearest = ndimage.distance_transform_edt(~brain, return_distances=False, return_indices=True)
    return volume[tuple(nearest)]


def _placed(inside: np.ndarray, box: tuple[slice, ...], brain: np.ndarray) -> np.ndarray:
    out = np.zeros(brain.shape, np.float32)
    out[box] = inside
    return out * brain
