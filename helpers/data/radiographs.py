"""Chest radiographs as a network sees them, and the way back to each radiograph's own grid.

A radiograph is seen letterboxed: padded to a square, never squeezed, so that lungs keep their proportions whatever the
radiograph's are. The grey levels have no unit that two hospitals share, so each radiograph is measured against itself.
"""

import hashlib
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from helpers.data.array_cache import file_signature, get_or_build, map_cases
from helpers.data.chest import PREFIXES, SITES, XRay, list_radiographs, read_xray
from helpers.data.normalise import zscore
from helpers.data.pictures import read_image
from helpers.data.resample import axis_weights
from helpers.data.splits import Split, make_split
from helpers.data.store import VERSION, Store, opened
from helpers.runtime.disk import allocate_arrays
from helpers.runtime.errors import DataError


def preprocess(radiograph: np.ndarray, size: int) -> np.ndarray:
    """What a network is shown of a radiograph: averaged down by area, letterboxed, z-scored over the radiograph's own
    pixels.

    Args:
        radiograph: (rows, columns) uint8.
        size: pixels along each side of the square.

    Returns:
        (size, size, 1) float32: mean 0 and deviation 1 where the radiograph is, clipped as `zscore` does, 0 in the
        padding.

    Raises:
        DataError: not a radiograph of greys.
    """
    if radiograph.ndim != 2 or radiograph.dtype != np.uint8:
        raise DataError(
            f"A radiograph is (rows, columns) of uint8 greys; this is {radiograph.shape} of {radiograph.dtype}."
        )
    rows, columns = _weights(radiograph.shape, size)
    covered = np.outer(rows.sum(axis=1), columns.sum(axis=1))  # share of each pixel that lies on the radiograph
    greys = rows @ radiograph.astype(np.float32) @ columns.T / np.maximum(covered, 0.5)
    shown = np.where(covered > 0.5, greys + 1, 0)  # plus 1: for `zscore` 0 is padding, and black is not
    return zscore(shown[..., None, None])[:, :, 0]


def lung_soft_labels(mask: np.ndarray, size: int) -> np.ndarray:
    """The share of background and lungs in every pixel of the square: (rows, columns) bool to (size, size, 2) uint8, in
    255ths that sum to 255."""
    rows, columns = _weights(mask.shape, size)
    lungs = np.rint(255 * (rows @ mask.astype(np.float32) @ columns.T)).astype(np.uint8)
    return np.stack([255 - lungs, lungs], axis=-1)


def to_native_grid(probabilities: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """From the square, (size, size), to a radiograph's own grid, (rows, columns) float32: linear between pixel centres.

    Give it probabilities, never a mask: resize first, then decide.
    """
    rows, columns = _weights(shape, len(probabilities), inward=False)
    return rows @ probabilities.astype(np.float32) @ columns.T


def open_radiographs(
    xrays: Sequence[XRay],
    folder: str | os.PathLike,
    size: int,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Store:
    """The store of these X-rays, made anew unless the one in `folder` comes from the same files.

    One row an X-ray. `images` are (n, size, size, 1), `soft_labels` (n, size, size, 2), background and lungs.

    Args:
        xrays: each with a mask.
        progress: told (X-rays done, X-rays in all).

    Raises:
        DataError: an X-ray has no mask or a file at fault (all findings are listed), or what is in `folder` is damaged.
    """
    wanted = _description(size, {xray.id: [file_signature(xray.image), file_signature(xray.mask)] for xray in xrays})

    def write(scratch: Path) -> list[dict]:
        square = len(xrays), size, size
        images, soft_labels = allocate_arrays(
            scratch, images=(np.float16, (*square, 1)), soft_labels=(np.uint8, (*square, 2))
        )

        def one(index: int) -> dict:
            radiograph, mask = read_xray(xrays[index])
            images[index], soft_labels[index] = preprocess(radiograph, size), lung_soft_labels(mask, size)
            return _entry(xrays[index], radiograph, index)

        entries = map_cases(one, len(xrays), progress)
        np.save(scratch / "voxels_per_class.npy", soft_labels.sum(axis=(1, 2), dtype=np.float32) / 255)
        np.save(scratch / "has_brain.npy", np.ones(len(xrays), bool))  # every row is worth looking at
        images.flush()
        soft_labels.flush()
        return entries

    return opened(Path(folder), get_or_build(Path(folder), wanted, write))


@dataclass(frozen=True)
class UnlabelledStore:
    """Radiographs of a hospital without their masks; there is no way from here to one.

    Attributes:
        manifest: sources, parameters, and one entry per radiograph.
        images: (n, size, size, 1) float16, as `preprocess` shows them, memory-mapped.
    """

    manifest: dict
    images: np.ndarray

    @cached_property
    def patients(self) -> dict[str, dict]:
        """Per radiograph id: label, site, shape, hash (`voxels`), and its row (`first`)."""
        return {entry["id"]: entry for entry in self.manifest["patients"]}

    @property
    def ids(self) -> tuple[str, ...]:
        return tuple(self.patients)

    def rows(self, ids: Sequence[str]) -> np.ndarray:
        """The positions of these radiographs."""
        return np.array([self.patients[identity]["first"] for identity in ids], int)


def open_unlabelled(
    root: str | os.PathLike,
    site: str,
    ids: Sequence[str] | None,
    folder: str | os.PathLike,
    size: int,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> UnlabelledStore:
    """The radiographs of a hospital under `root`, read from `CXR_png/` alone: a folder that holds no mask will do.

    Args:
        site: "montgomery" or "shenzhen".
        ids: only these radiographs; all of the site without.
        folder: where they are kept; replaced if it holds others.

    Raises:
        DataError: there is no radiograph of this site, or one of `ids` is not among them; a radiograph cannot be read.
    """
    if site not in SITES.values():
        raise DataError(f"Unknown site {site!r}; this set has {' and '.join(SITES.values())}.")
    radiographs = [radiograph for radiograph in list_radiographs(root) if radiograph.site == site]
    if not radiographs:
        raise DataError(f"No X-ray of {site} under {root}; its names begin with {PREFIXES[site]}.")
    if missing := sorted(set(ids or ()) - {radiograph.id for radiograph in radiographs}):
        raise DataError.listing(f"{len(missing)} X-rays of {site} are not under {root}:", missing)
    radiographs = [radiograph for radiograph in radiographs if ids is None or radiograph.id in set(ids)]
    wanted = _description(size, {radiograph.id: [file_signature(radiograph.image)] for radiograph in radiographs})

    def write(scratch: Path) -> list[dict]:
        (images,) = allocate_arrays(scratch, images=(np.float16, (len(radiographs), size, size, 1)))

        def one(index: int) -> dict:
            radiograph = read_image(radiographs[index].image)
            images[index] = preprocess(radiograph, size)
            return _entry(radiographs[index], radiograph, index)

        entries = map_cases(one, len(radiographs), progress)
        images.flush()
        return entries

    manifest = get_or_build(Path(folder), wanted, write)
    return UnlabelledStore(manifest, np.load(Path(folder) / "images.npy", mmap_mode="r"))


def split_radiographs(xrays: Sequence[XRay], seed: int = 0, folds: int = 4, fold: int = 0) -> Split:
    """Split each hospital by itself, by patient and stratified by label, and put the parts together.

    So a hospital's split is the same whether the other is there or not. Give it all X-rays, with a mask and without: a
    split that depended on masks could not be made where there are none.

    Raises:
        DataError: a hospital has fewer X-rays than `make_split` takes.
    """
    sites = sorted({xray.site for xray in xrays})
    parts = [make_split([xray for xray in xrays if xray.site == site], seed, folds, fold) for site in sites]
    sides = ("train", "validation", "test")
    united = {side: tuple(sorted(identity for part in parts for identity in getattr(part, side))) for side in sides}
    return Split(**united, seed=seed)


def radiograph_hash(radiograph: np.ndarray) -> dict[str, str]:
    """A hash of a radiograph's pixels, the same whatever the file's name or compression; `voxel_hashes` of an X-ray."""
    return {"radiograph": hashlib.blake2b(np.ascontiguousarray(radiograph), digest_size=16).hexdigest()}


def _weights(shape: tuple[int, ...], size: int, inward: bool = True) -> list[np.ndarray]:
    """One matrix for the rows and one for the columns, from radiograph to square (inward) or back."""
    extent = max(shape)  # the square's side, in the radiograph's pixels
    axes = []
    for n in shape:
        radiograph, square = (n, 1.0, 0.0), (size, extent / size, (n - extent) / 2)
        axes.append(axis_weights(radiograph, square) if inward else axis_weights(square, radiograph))
    return axes


def _description(size: int, sources: dict[str, list]) -> dict:
    return {"version": VERSION, "parameters": {"size": size}, "sources": sources}


def _entry(xray: XRay, radiograph: np.ndarray, row: int) -> dict:
    return {
        "id": xray.id,
        "label": xray.label,
        "site": xray.site,
        "shape": radiograph.shape,
        "voxels": radiograph_hash(radiograph),
        "first": row,
        "count": 1,
    }
