"""The patients that a benchmark reads: phantoms of BraTS's size, or the user's own data."""

import gzip
import os
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from helpers.data.brats import Patient, read_catalogue
from helpers.data.phantoms.brats import make_brats

BRATS = {"shape": (240, 240, 155), "spacing": (1.0, 1.0, 1.0)}
"""The grid of every BraTS volume."""


def patients(
    data: str | os.PathLike | None,
    folder: Path,
    count: int,
    modalities: tuple[str, ...],
    grid: dict[str, Any] = BRATS,
    seg: bool = True,
) -> tuple[Patient, ...]:
    """The first `count` patients under `data`, or as many phantoms, written to `folder` as `.nii.gz`.

    Args:
        data: folder of the BraTS patients; phantoms are made if it is None.
        folder: for the phantoms.
        count: how many patients.
        modalities: those that each patient must have; the phantoms have no others.
        grid: `shape` and `spacing` of the phantoms.
        seg: whether each has a segmentation as well.

    Raises:
        DataError: there is no folder `data`, or no patient in it that can be used.
    """
    if data is None:
        data = make_brats(folder, patients=count, validation=0, **grid)
        kinds = (*modalities, "seg") if seg else modalities
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            list(pool.map(lambda path: _pack(path, kinds), sorted(data.rglob("*.nii"))))
    return read_catalogue(data).require(modalities, seg=seg)[:count]


def _pack(path: Path, kinds: tuple[str, ...]) -> None:
    """Turn one `.nii` into a `.nii.gz`, as BraTS distributes it, or delete it if it is none of these kinds."""
    # Some patients' segmentations have an irregular name, which no modality has.
    kind = path.stem.rpartition("_")[2].lower()
    if kind in kinds or ("seg" in kinds and kind.startswith("seg")):
        with path.open("rb") as plain, gzip.open(f"{path}.gz", "wb", compresslevel=6) as packed:
            shutil.copyfileobj(plain, packed, 1 << 20)
    path.unlink()
