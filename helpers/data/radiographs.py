"""Chest radiographs (X-rays) on the network's grid, and back on each radiograph's native grid.

A radiograph is letterboxed: padded to a square, never squeezed, so that lungs keep their proportions whatever the
aspect ratio. The grey levels have no unit that two hospitals share, so each radiograph is normalised by itself.
"""

import hashlib
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from helpers.data.array_cache import file_signatures, get_or_build, map_cases
from helpers.data.chest import PREFIXES, SITES, XRay, list_radiographs, read_xray
from helpers.data.normalise import zscore
from helpers.data.pictures import read_image
from helpers.data.plausibility import radiograph_notes, sentences
from helpers.data.resample import axis_weights
from helpers.data.splits import Split, make_split
from helpers.data.store import VERSION, Store, opened
from helpers.runtime.disk import allocate_arrays
from helpers.runtime.errors import DataError


def preprocess(radiograph: np.ndarray, size: int) -> np.ndarray:
    """The network's input: a radiograph downsampled by area, letterboxed, and z-scored over its own pixels.

    Args:
        radiograph: (rows, columns) uint8.
        size: pixels along each side of the square.

    Returns:
        (size, size, 1) float32: mean 0 and standard deviation 1 on the radiograph, clipped as `zscore` does, 0 in the
        padding.

    Raises:
        DataError: the array is no radiograph: not two-dimensional or not uint8.
    """
    if radiograph.ndim != 2 or radiograph.dtype != np.uint8:
        raise DataError(
            f"A radiograph is (rows, columns) of uint8 grey levels; this is {radiograph.shape} of {radiograph.dtype}."
        )
    rows, columns = _weights(radiograph.shape, size)
    covered = np.outer(rows.sum(axis=1), columns.sum(axis=1))  # fraction of each pixel that lies on the radiograph
    levels = rows @ radiograph.astype(np.float32) @ columns.T / np.maximum(covered, 0.5)
    shown = np.where(covered > 0.5, levels + 1, 0)  # plus 1: for `zscore` 0 is padding, and black is not
    return zscore(shown[..., None, None])[:, :, 0]


def lung_soft_labels(mask: np.ndarray, size: int) -> np.ndarray:
    """Soft labels: the fraction of background and lungs in every pixel of the square.

    Args:
        mask: (rows, columns) bool.
        size: pixels along each side of the square.

    Returns:
        (size, size, 2) uint8, background and lungs, in 255ths that sum to 255.
    """
    rows, columns = _weights(mask.shape, size)
    lungs = np.rint(255 * (rows @ mask.astype(np.float32) @ columns.T)).astype(np.uint8)
    return np.stack([255 - lungs, lungs], axis=-1)


def to_native_grid(probabilities: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Resample from the square to a radiograph's native grid, linearly between pixel centres.

    Args:
        probabilities: (size, size) float, never a mask: resample first, then apply the threshold.
        shape: (rows, columns) of the radiograph.

    Returns:
        (rows, columns) float32.
    """
    rows, columns = _weights(shape, len(probabilities), inward=False)
    return rows @ probabilities.astype(np.float32) @ columns.T


def open_radiographs(
    xrays: Sequence[XRay],
    folder: str | os.PathLike,
    size: int,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Store:
    """The store of these X-rays: the one in `folder` if it was made from the same files and size, else a new one.

    One row per X-ray. `images` are (n, size, size, 1), `soft_labels` (n, size, size, 2), background and lungs.

    Args:
        xrays: each with a mask.
        folder: of the store; replaced if it holds a store of another version, other files or another size.
        size: pixels along each side of the square.
        progress: called with (X-rays done, X-rays in all).

    Raises:
        DataError: an X-ray has no mask or a file that cannot be used (all problems are listed), the store in `folder`
            is damaged, or the disk is full.
    """
    wanted = _description(size, file_signatures({xray.id: [xray.image, *xray.mask_files] for xray in xrays}))

    def write(scratch: Path) -> list[dict]:
        n = len(xrays)
        images, label_planes = allocate_arrays(
            scratch, images=(np.float16, (n, size, size, 1)), soft_labels=(np.uint8, (n, 2, size, size))
        )

        def one(index: int) -> dict:
            radiograph, mask = read_xray(xrays[index])
            images[index] = preprocess(radiograph, size)
            label_planes[index] = np.moveaxis(lung_soft_labels(mask, size), -1, 0)
            return _entry(xrays[index], radiograph, index, mask)

        entries = map_cases(one, n, progress)
        np.save(scratch / "voxels_per_class.npy", label_planes.sum(axis=(2, 3), dtype=np.float32) / 255)
        np.save(scratch / "has_brain.npy", np.ones(n, bool))  # samplers skip rows without it; no radiograph is empty
        images.flush()
        label_planes.flush()
        return entries

    return opened(Path(folder), get_or_build(Path(folder), wanted, write))


@dataclass(frozen=True)
class UnlabelledStore:
    """Radiographs of a hospital without their masks, for adaptation: nothing here leads to a mask.

    Attributes:
        manifest: sources, parameters, and one entry per radiograph.
        images: (n, size, size, 1) float16, as `preprocess` returns them, memory-mapped.
    """

    manifest: dict
    images: np.ndarray

    @cached_property
    def patients(self) -> dict[str, dict]:
        """Per radiograph id: label, site, shape, hash (`voxels`), row (`first`) and `count`, which is 1."""
        return {entry["id"]: entry for entry in self.manifest["patients"]}

    @property
    def ids(self) -> tuple[str, ...]:
        """The ids of all radiographs, in the order of their rows."""
        return tuple(self.patients)

    def rows(self, ids: Sequence[str]) -> np.ndarray:
        """The row indices of these radiographs, (n,) int.

        Args:
            ids: radiograph ids, in the order in which their rows are wanted.
        """
        return np.array([self.patients[identity]["first"] for identity in ids], int)

    def subset(self, ids: Sequence[str]) -> "UnlabelledStore":
        """The store of some radiographs; their images stay where they are.

        Args:
            ids: radiograph ids.
        """
        some = [entry for entry in self.manifest["patients"] if entry["id"] in set(ids)]
        return UnlabelledStore({**self.manifest, "patients": some}, self.images)


def open_unlabelled(
    root: str | os.PathLike,
    site: str,
    ids: Sequence[str] | None,
    folder: str | os.PathLike,
    size: int,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> UnlabelledStore:
    """The store of the radiographs of a hospital, read from `CXR_png/` alone: no mask needs to be there.

    Args:
        root: the chest set; searched to any depth.
        site: the hospital, "montgomery" or "shenzhen".
        ids: only these radiographs; None for all of the site.
        folder: of the store; replaced if it holds a store of another version, other radiographs or another size.
        size: pixels along each side of the square.
        progress: called with (radiographs done, radiographs in all).

    Raises:
        DataError: the site is unknown or has no radiograph, one of `ids` is not among them, or a radiograph cannot be
            read.
    """
    if site not in SITES.values():
        raise DataError(f"Unknown site {site!r}; this set has {' and '.join(SITES.values())}.")
    radiographs = [radiograph for radiograph in list_radiographs(root) if radiograph.site == site]
    if not radiographs:
        raise DataError(f"No X-ray of {site} under {root}; its names begin with {PREFIXES[site]}.")
    if missing := sorted(set(ids or ()) - {radiograph.id for radiograph in radiographs}):
        error = DataError.listing(f"{len(missing)} X-rays of {site} are not under {root}:", missing)
        raise error
    radiographs = [radiograph for radiograph in radiographs if ids is None or radiograph.id in set(ids)]
    wanted = _description(size, file_signatures({radiograph.id: [radiograph.image] for radiograph in radiographs}))

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


def store_notes(store: Store | UnlabelledStore) -> list[str]:
    """What is unusual about the radiographs of a store, as lines for a log: see `helpers.data.plausibility`.

    Args:
        store: of `open_radiographs` or `open_unlabelled`.
    """
    return sentences((identity, entry.get("notes", ())) for identity, entry in store.patients.items())


def split_radiographs(xrays: Sequence[XRay], seed: int = 0, folds: int = 4, fold: int = 0) -> Split:
    """Split each hospital by itself, by patient and stratified by label, and unite the splits.

    So a hospital's split does not depend on whether the other is present.

    Args:
        xrays: all X-rays, with a mask and without: a split that depends on masks cannot be made where there are none.
        seed: another seed is another split.
        folds: number of folds.
        fold: the fold that is tested, from 0 to `folds - 1`.

    Raises:
        DataError: a hospital has fewer X-rays than `make_split` needs.
    """
    sites = sorted({xray.site for xray in xrays})
    parts = [make_split([xray for xray in xrays if xray.site == site], seed, folds, fold) for site in sites]
    sides = ("train", "validation", "test")
    united = {side: tuple(sorted(identity for part in parts for identity in getattr(part, side))) for side in sides}
    return Split(**united, seed=seed)


def radiograph_hash(radiograph: np.ndarray) -> dict[str, str]:
    """A hash of a radiograph's pixels, independent of the file's name and compression, as `voxel_hashes` of a scan.

    Args:
        radiograph: (rows, columns) uint8.
    """
    return {"radiograph": hashlib.blake2b(np.ascontiguousarray(radiograph), digest_size=16).hexdigest()}


def _weights(shape: tuple[int, ...], size: int, inward: bool = True) -> list[np.ndarray]:
    """The resampling matrices of rows and columns, from radiograph to square (inward) or back."""
    extent = max(shape)  # the square's side, in the radiograph's pixels
    axes = []
    for n in shape:
        radiograph, square = (n, 1.0, 0.0), (size, extent / size, (n - extent) / 2)
        axes.append(axis_weights(radiograph, square) if inward else axis_weights(square, radiograph))
    return axes


def _description(size: int, sources: dict[str, list]) -> dict:
    return {"version": VERSION, "parameters": {"size": size}, "sources": sources}


def _entry(xray: XRay, radiograph: np.ndarray, row: int, mask: np.ndarray | None = None) -> dict:
    return {
        "id": xray.id,
        "label": xray.label,
        "site": xray.site,
        "shape": radiograph.shape,
        "voxels": radiograph_hash(radiograph),
        "first": row,
        "count": 1,
        **({"notes": list(notes)} if (notes := radiograph_notes(radiograph, mask)) else {}),
    }
