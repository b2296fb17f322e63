"""A small oblique head as DICOM, and ways to spoil it."""

import numpy as np
import pytest

from helpers.data.phantoms.dicom import write_series


def oblique_affine(spacing=(1.0, 1.2, 3.0), degrees=12.0):
    """Columns to the left, rows to the back, slices to the head, all turned about the axis from left to right."""
    angle = np.radians(degrees)
    turn = np.array([[1, 0, 0], [0, np.cos(angle), -np.sin(angle)], [0, np.sin(angle), np.cos(angle)]])
    affine = np.eye(4)
    affine[:3, :3] = turn @ np.diag([-1, -1, 1]) * spacing
    affine[:3, 3] = 11.5, 20.25, -30.125
    return affine


@pytest.fixture
def voxels():
    """(columns, rows, slices) int16, every voxel another value."""
    return np.arange(6 * 5 * 7, dtype=np.int16).reshape(6, 5, 7)


@pytest.fixture
def affine():
    return oblique_affine()


@pytest.fixture
def archive(tmp_path, voxels, affine):
    """Writes a series into a folder: `archive(kind="t1", change=..., ...)`; returns the folder."""

    def write(kind="t1", **settings):
        write_series(
            tmp_path / "export", settings.pop("voxels", voxels), settings.pop("affine", affine), kind, **settings
        )
        return tmp_path / "export"

    return write
