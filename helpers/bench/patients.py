"""The patients that a benchmark reads: made up at BraTS's size, or the user's own."""

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
    """The first `count` patients under `data`, or as many phantoms, made in `folder` as `.nii.gz`.

    Args:
        modalities: the volumes that each has; the phantoms have no others.
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
    """Turn one `.nii` into a `.nii.gz`, as BraTS itself ships it; drop it where it is none of these kinds."""
    # The odd patient's segmentation has a name of its own, and ends as no modality does.
    kind = path.stem.rpartition("_")[2].lower()
    if kind in kinds or ("seg" in kinds and kind.startswith("seg")):
        with path.open("rb") as plain, gzip.open(f"{path}.gz", "wb", compresslevel=6) as packed:
            shutil.copyfileobj(plain, packed, 1 << 20)
    path.unlink()
