"""Resampling to the network's grid, and back to the patient's native grid.

Resizing is where public kernels lose most without noticing: integer labels resized bilinearly get values that are no
label of the mask, and OpenCV's nearest neighbour shifts a mask by more than a pixel against its image. Here one rule
serves images, masks and predictions: a pixel is an area. Going to larger pixels, every new pixel is the average of the
area it covers; a mask becomes soft labels, the fraction of each class in that area. Going to smaller pixels, values are
interpolated linearly between pixel centres. Both are products with one small matrix per axis, so nothing shifts and no
class appears where it was not.
"""

from dataclasses import dataclass

import numpy as np

from helpers.runtime.errors import DataError

SMALLEST_MM = 40.0
"""Of a brain along rows and columns: a third of a child's."""


@dataclass(frozen=True)
class Grid:
    """The network's grid: a square window round the middle of the brain, sampled as `size` x `size` pixels.

    The window is in millimetres, so a patient with 2 mm voxels and one with 1 mm voxels reach the network at one scale.
    192 mm hold every adult brain in an axial slice.

    Attributes:
        size: pixels along each side.
        extent_mm: millimetres along each side.

    Examples:
        >>> grid = Grid(size=2, extent_mm=4.0)
        >>> grid.pixel_mm
        2.0
        >>> volume = np.arange(16, dtype=np.float32).reshape(4, 4, 1, 1)
        >>> grid.down(volume, spacing=(1.0, 1.0), centre=(2.0, 2.0))[0, :, :, 0].tolist()
        [[2.5, 4.5], [10.5, 12.5]]
    """

    size: int = 128
    extent_mm: float = 192.0

    @property
    def pixel_mm(self) -> float:
        """Millimetres per pixel."""
        return self.extent_mm / self.size

    def down(self, volume: np.ndarray, spacing: tuple[float, ...], centre: tuple[float, float]) -> np.ndarray:
        """Resample a volume from the patient's native grid to this one.

        Args:
            volume: (rows, columns, slices, channels) float; voxels outside of it count as 0.
            spacing: millimetres per voxel along rows and columns (further entries are ignored).
            centre: the window's middle in millimetres from the volume's first edges, as `brain_centre` gives it.

        Returns:
            (slices, size, size, channels) float32.
        """
        rows, columns = self._weights(volume.shape, spacing, centre, inward=True)
        return _transform(rows, columns, volume).transpose(2, 0, 1, 3)

    def up(
        self, values: np.ndarray, shape: tuple[int, ...], spacing: tuple[float, ...], centre: tuple[float, float]
    ) -> np.ndarray:
        """Resample from this grid to the patient's native grid; outside the window every channel becomes 0.

        Args:
            values: (slices, size, size, channels) float: probabilities, never labels.
            shape: of the patient's grid, (rows, columns, …).
            spacing: millimetres per voxel along rows and columns (further entries are ignored).
            centre: the window's middle, as it was given to `down`.

        Returns:
            (rows, columns, slices, channels) float32.
        """
        rows, columns = self._weights(shape, spacing, centre, inward=False)
        return _transform(rows, columns, values.transpose(1, 2, 0, 3))

    def _weights(
        self, shape: tuple[int, ...], spacing: tuple[float, ...], centre: tuple[float, float], inward: bool
    ) -> list[np.ndarray]:
        axes = []
        for n, mm, middle in zip(shape[:2], spacing[:2], centre, strict=True):
            patient, window = (n, mm, 0.0), (self.size, self.pixel_mm, middle - self.extent_mm / 2)
            axes.append(axis_weights(patient, window) if inward else axis_weights(window, patient))
        return axes

    def brain_centre(
        self, images: np.ndarray, spacing: tuple[float, ...], name: str = "this scan"
    ) -> tuple[float, float]:
        """The middle of the bounding box of all non-zero voxels, in millimetres along rows and columns.

        Args:
            images: (rows, columns, slices, modalities), 0 outside the brain.
            spacing: millimetres per voxel along rows and columns (further entries are ignored).
            name: the patient, for the message.

        Raises:
            DataError: the box is larger than the window, or far too small: not a skull-stripped adult brain, or a wrong
                spacing.
        """
        middle = []
        brain = images.any(axis=(2, 3))
        for axis, mm in enumerate(spacing[:2]):
            inside = np.flatnonzero(brain.any(axis=1 - axis))
            first, last = inside[0] * mm, (inside[-1] + 1) * mm
            if not SMALLEST_MM <= last - first <= self.extent_mm:
                limit = f"the network's window is {self.extent_mm:.0f} mm"
                if last - first < SMALLEST_MM:
                    limit = f"expected at least {SMALLEST_MM:.0f} mm"
                raise DataError(
                    f"{name}: the non-zero voxels span {last - first:.0f} mm along axis {axis}; {limit}. Expected a "
                    "skull-stripped head with 0 outside the brain and the right spacing in its header (it says "
                    f"{mm:.3g} mm)."
                )
            middle.append(float(first + last) / 2)
        return tuple(middle)


def axis_weights(source: tuple[int, float, float], target: tuple[int, float, float]) -> np.ndarray:
    """The matrix that resamples values along one axis.

    Args:
        source: number of pixels, millimetres per pixel, and millimetres at the first edge.
        target: the same of the axis to resample to.

    Returns:
        (target pixels, source pixels) float32. A row sums to 1 where the target pixel lies inside the source, and to
        less where it extends beyond the edge.
    """
    (n, mm, start), (target_n, target_mm, target_start) = source, target
    edges = start + mm * np.arange(n)
    target_edges = target_start + target_mm * np.arange(target_n)
    if target_mm >= mm:  # larger pixels: the fraction of the target pixel that each source pixel covers
        left = np.maximum(edges[None], target_edges[:, None])
        right = np.minimum(edges[None] + mm, target_edges[:, None] + target_mm)
        weights = np.clip(right - left, 0, None) / target_mm
    else:  # smaller pixels: linear between the centres; beyond the outermost centre, that centre's value
        position = (target_edges + target_mm / 2 - start) / mm - 0.5  # in source pixels
        inside = (position >= -0.5) & (position <= n - 0.5)
        distance = np.abs(np.clip(position, 0, n - 1)[:, None] - np.arange(n)[None])
        weights = np.clip(1 - distance, 0, None) * inside[:, None]
    return weights.astype(np.float32)


def _transform(rows: np.ndarray, columns: np.ndarray, volume: np.ndarray) -> np.ndarray:
    """Apply one matrix to the rows and one to the columns of (rows, columns, slices, channels)."""
    _, c, s, m = volume.shape
    volume = (rows @ volume.reshape(len(volume), -1)).reshape(len(rows), c, s * m)
    return (columns @ volume).reshape(len(rows), len(columns), s, m)


def soft_labels_on(
    labels: np.ndarray, grid: Grid, spacing: tuple[float, ...], centre: tuple[float, float]
) -> np.ndarray:
    """Soft labels: the fraction of each class in every pixel of the network's grid.

    Args:
        labels: (rows, columns, slices), network labels 0 to 3.
        grid: the network's grid.
        spacing: millimetres per voxel along rows and columns (further entries are ignored).
        centre: the window's middle in millimetres, as `Grid.brain_centre` gives it.

    Returns:
        (slices, size, size, 4) uint8, fractions in 255ths that sum to 255: one byte per class instead of a float.
    """
    tumour = np.stack([labels == c for c in (1, 2, 3)], axis=-1).astype(np.float32)
    soft_labels = np.rint(255 * grid.down(tumour, spacing, centre)).astype(np.int16)
    background = 255 - soft_labels.sum(axis=-1, keepdims=True)
    # Three roundings may add up to 256: then the largest class gives one back.
    over = np.minimum(background, 0)
    largest = np.argmax(soft_labels, axis=-1)[..., None]
    np.put_along_axis(soft_labels, largest, np.take_along_axis(soft_labels, largest, -1) + over, axis=-1)
    return np.concatenate([np.maximum(background, 0), soft_labels], axis=-1).astype(np.uint8)
