"""Finding the data: a folder that was named, a set attached by Kaggle, a download, or phantoms."""

import os
from pathlib import Path

from helpers.data import sets
from helpers.data.brats import read_catalogue
from helpers.data.chest import choose_set, find_sets
from helpers.data.phantoms.brats import QUICK, make_brats
from helpers.data.phantoms.chest import QUICK_CHEST, make_chest
from helpers.data.sets import BRATS, CHEST, DataSet
from helpers.runtime.settings import expanded

_FOLDERS = {BRATS: "brats2020", CHEST: "chest", sets.BRATS_2019: "brats2019"}


def home() -> Path:
    """The data folder: `$COURSE_DATA`, else `data/` of the checkout, else `data/` of the current directory."""
    if named := os.environ.get("COURSE_DATA"):
        return expanded(named)
    checkout = Path(__file__).parents[2]
    return (checkout if (checkout / "pyproject.toml").exists() else Path.cwd()) / "data"


def brats(folder: str | os.PathLike | None = None, download: bool = False) -> Path:
    """The folder that holds BraTS patients; prints which it is.

    Args:
        folder: searched for patients if it is given; else see `find`, and where nothing is found, phantom patients are
            made under `home()`.
        download: download BraTS 2020 from Kaggle where it is neither attached nor on disk; else no network is used.

    Raises:
        DataError: the folder that was named holds no patient, or the download failed.
    """
    if folder:
        read_catalogue(folder)
        print(f"BraTS: {folder}")
        return Path(folder)
    if found := find(BRATS, download):
        return found
    phantoms = home() / "phantoms" / "brats"
    make_brats(phantoms, **QUICK)
    print(f"BraTS: no real data was named, so these are phantom patients, made by this course, at {phantoms}")
    return phantoms


def chest(folder: str | os.PathLike | None = None, download: bool = False) -> Path:
    """The folder that holds the chest X-rays of both hospitals; prints which it is.

    Args:
        folder: used if it is given; else see `find`, and where nothing is found, phantom X-rays are made.
        download: download the set from Kaggle where it is neither attached nor on disk; else no network is used.

    Raises:
        DataError: the folder that was named holds no X-rays, or two different sets, as `choose_set` finds; or the
            download failed.
    """
    if folder:
        folder = expanded(folder)
        choose_set(folder)
        print(f"{CHEST.title}: {folder}")
        return folder
    if found := find(CHEST, download):
        return found
    phantoms = home() / "phantoms" / "chest"
    make_chest(phantoms, **QUICK_CHEST)
    print(f"{CHEST.title}: not here, so these are phantom X-rays, made by this course, at {phantoms}")
    return phantoms


def find(data: DataSet, download: bool = False) -> Path | None:
    """The folder of a set: attached by Kaggle, or downloaded by `python -m helpers download`; None where it is neither.

    Args:
        data: of `helpers.data.sets`.
        download: then download it from Kaggle, which may take hours.

    Raises:
        DataError: the download failed.
    """
    for mount in data.mounts():
        if _holds(mount, data):
            print(f"{data.title}: the Kaggle set at {mount}")
            return mount
        print(f"{data.title}: {mount} is attached, but its files are not as expected; looking elsewhere")
    for place in _downloads(data):
        if _holds(place, data):
            print(f"{data.title}: {place}")
            return place
    return bring(data) if download else None


def bring(data: DataSet, patients: int | None = None, to: str | os.PathLike | None = None) -> Path:
    """Download a set to where `find` looks for it, or to the folder `to`; see `helpers.data.download`.

    Args:
        data: of `helpers.data.sets`.
        patients: only the first patients (BraTS 2020); None for all.
        to: the folder to make; None for a folder in `home()`.

    Returns:
        The folder.
    """
    from helpers.data.download import download

    name = _FOLDERS[data] if patients is None else f"{_FOLDERS[data]}_first_{patients}"
    return download(data, Path(to) if to else home() / name, patients)


def _holds(place: Path, data: DataSet) -> bool:
    """Whether a folder holds a set; of X-rays the catalogue decides, as it does where they are read."""
    return place.is_dir() and bool(find_sets(place)) if data is CHEST else data.held_by(place)


def _downloads(data: DataSet) -> list[Path]:
    """The folders of downloads: the whole set, then parts of it, the largest first."""
    whole = home() / _FOLDERS[data]
    parts = [place for place in home().glob(f"{whole.name}_first_*") if place.name.rpartition("_")[2].isdecimal()]
    return [whole, *sorted(parts, key=lambda place: -int(place.name.rpartition("_")[2]))]
