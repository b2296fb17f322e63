"""Chest films as a network sees them, and the way back to each film's own grid.

A film is seen letterboxed: padded to a square, never squeezed, so that lungs keep their proportions whatever the film's
are. The grey levels have no unit that two hospitals share, so each film is measured against itself.
"""

import hashlib
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from helpers.data.chest import PREFIXES, SITES, XRay, list_films, read_xray
from helpers.data.disk import lay_out
from helpers.data.errors import DataError
from helpers.data.kept import each, keep, state
from helpers.data.normalise import zscore
from helpers.data.pictures import read_image
from helpers.data.resample import axis_weights
from helpers.data.splits import Split, make_split
from helpers.data.store import VERSION, Store, opened


def see(film: np.ndarray, size: int) -> np.ndarray:
    """What a network is shown of a film: averaged down by area, letterboxed, z-scored over the film's own pixels.

    Args:
        film: (rows, columns) uint8.
        size: pixels along each side of the square.

    Returns:
        (size, size, 1) float32: mean 0 and deviation 1 where the film is, clipped as `zscore` does, 0 in the padding.

    Raises:
        DataError: not a film of greys.
    """
    if film.ndim != 2 or film.dtype != np.uint8:
        raise DataError(f"A film is (rows, columns) of uint8 greys; this is {film.shape} of {film.dtype}.")
    rows, columns = _weights(film.shape, size)
    covered = np.outer(rows.sum(axis=1), columns.sum(axis=1))  # share of each pixel that lies on the film
    greys = rows @ film.astype(np.float32) @ columns.T / np.maximum(covered, 0.5)
    shown = np.where(covered > 0.5, greys + 1, 0)  # plus 1: for `zscore` 0 is padding, and black is not
    return zscore(shown[..., None, None])[:, :, 0]


def lung_shares(mask: np.ndarray, size: int) -> np.ndarray:
    """The share of background and lungs in every pixel of the square: (rows, columns) bool to (size, size, 2) uint8, in
    255ths that sum to 255."""
    rows, columns = _weights(mask.shape, size)
    lungs = np.rint(255 * (rows @ mask.astype(np.float32) @ columns.T)).astype(np.uint8)
    return np.stack([255 - lungs, lungs], axis=-1)


def back(probabilities: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """From the square, (size, size), to a film's own grid, (rows, columns) float32: linear between pixel centres.

    Give it probabilities, never a mask: resize first, then decide.
    """
    rows, columns = _weights(shape, len(probabilities), inward=False)
    return rows @ probabilities.astype(np.float32) @ columns.T


def open_films(
    xrays: Sequence[XRay],
    folder: str | os.PathLike,
    size: int,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Store:
    """The store of these X-rays, made anew unless the one in `folder` comes from the same files.

    One row an X-ray. `images` are (n, size, size, 1), `shares` (n, size, size, 2), background and lungs.

    Args:
        xrays: each with a mask.
        progress: told (X-rays done, X-rays in all).

    Raises:
        DataError: an X-ray has no mask or a file at fault (all findings are listed), or what is in `folder` is damaged.
    """
    wanted = _description(size, {xray.id: [state(xray.image), state(xray.mask)] for xray in xrays})

    def write(scratch: Path) -> list[dict]:
        square = len(xrays), size, size
        images, shares = lay_out(scratch, images=(np.float16, (*square, 1)), shares=(np.uint8, (*square, 2)))

        def one(index: int) -> dict:
            film, mask = read_xray(xrays[index])
            images[index], shares[index] = see(film, size), lung_shares(mask, size)
            return _entry(xrays[index], film, index)

        entries = each(one, len(xrays), progress)
        np.save(scratch / "voxels_per_class.npy", shares.sum(axis=(1, 2), dtype=np.float32) / 255)
        np.save(scratch / "has_brain.npy", np.ones(len(xrays), bool))  # every row is worth looking at
        images.flush()
        shares.flush()
        return entries

    return opened(Path(folder), keep(Path(folder), wanted, write))


@dataclass(frozen=True)
class Unlabelled:
    """Films of a hospital without their masks; there is no way from here to one.

    Attributes:
        manifest: sources, parameters, and one entry per film.
        images: (n, size, size, 1) float16, as `see` shows them, memory-mapped.
    """

    manifest: dict
    images: np.ndarray

    @cached_property
    def patients(self) -> dict[str, dict]:
        """Per film id: label, site, shape, hash (`voxels`), and its row (`first`)."""
        return {entry["id"]: entry for entry in self.manifest["patients"]}

    @property
    def ids(self) -> tuple[str, ...]:
        return tuple(self.patients)

    def rows(self, ids: Sequence[str]) -> np.ndarray:
        """The positions of these films."""
        return np.array([self.patients[identity]["first"] for identity in ids], int)


def open_unlabelled(
    root: str | os.PathLike,
    site: str,
    ids: Sequence[str] | None,
    folder: str | os.PathLike,
    size: int,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Unlabelled:
    """The films of a hospital under `root`, read from `CXR_png/` alone: a folder that holds no mask will do.

    Args:
        site: "montgomery" or "shenzhen".
        ids: only these films; all of the site without.
        folder: where they are kept; replaced if it holds others.

    Raises:
        DataError: there is no film of this site, or one of `ids` is not among them; a film cannot be read.
    """
    if site not in SITES.values():
        raise DataError(f"Unknown site {site!r}; this set has {' and '.join(SITES.values())}.")
    films = [film for film in list_films(root) if film.site == site]
    if not films:
        raise DataError(f"No X-ray of {site} under {root}; its names begin with {PREFIXES[site]}.")
    if missing := sorted(set(ids or ()) - {film.id for film in films}):
        raise DataError.listing(f"{len(missing)} X-rays of {site} are not under {root}:", missing)
    films = [film for film in films if ids is None or film.id in set(ids)]
    wanted = _description(size, {film.id: [state(film.image)] for film in films})

    def write(scratch: Path) -> list[dict]:
        (images,) = lay_out(scratch, images=(np.float16, (len(films), size, size, 1)))

        def one(index: int) -> dict:
            film = read_image(films[index].image)
            images[index] = see(film, size)
            return _entry(films[index], film, index)

        entries = each(one, len(films), progress)
        images.flush()
        return entries

    manifest = keep(Path(folder), wanted, write)
    return Unlabelled(manifest, np.load(Path(folder) / "images.npy", mmap_mode="r"))


def split_films(xrays: Sequence[XRay], seed: int = 0, folds: int = 4, fold: int = 0) -> Split:
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


def film_hash(film: np.ndarray) -> dict[str, str]:
    """A hash of a film's pixels, the same whatever the file's name or compression; `voxel_hashes` of an X-ray."""
    return {"film": hashlib.blake2b(np.ascontiguousarray(film), digest_size=16).hexdigest()}


def _weights(shape: tuple[int, ...], size: int, inward: bool = True) -> list[np.ndarray]:
    """One matrix for the rows and one for the columns, from film to square (inward) or back."""
    extent = max(shape)  # the square's side, in the film's pixels
    axes = []
    for n in shape:
        film, square = (n, 1.0, 0.0), (size, extent / size, (n - extent) / 2)
        axes.append(axis_weights(film, square) if inward else axis_weights(square, film))
    return axes


def _description(size: int, sources: dict[str, list]) -> dict:
    return {"version": VERSION, "parameters": {"size": size}, "sources": sources}


def _entry(xray: XRay, film: np.ndarray, row: int) -> dict:
    return {
        "id": xray.id,
        "label": xray.label,
        "site": xray.site,
        "shape": film.shape,
        "voxels": film_hash(film),
        "first": row,
        "count": 1,
    }
