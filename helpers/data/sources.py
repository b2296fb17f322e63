"""Where the data is: a folder that was named, a set that Kaggle attached, or phantoms made on the spot."""

import os
from pathlib import Path

from helpers.data.brats import read_catalogue
from helpers.data.phantom import QUICK, make_brats

_SLUG = "brats20-dataset-training-validation"
_KAGGLE = (f"/kaggle/input/{_SLUG}", f"/kaggle/input/datasets/awsaf49/{_SLUG}")


def home() -> Path:
    """The folder data lands in: `$COURSE_DATA`, else `data/` of the checkout, else `data/` where you are."""
    if named := os.environ.get("COURSE_DATA"):
        return Path(named)
    checkout = Path(__file__).parents[2]
    return (checkout if (checkout / "pyproject.toml").exists() else Path.cwd()) / "data"


def brats(folder: str | os.PathLike | None = None) -> Path:
    """The folder that holds BraTS patients; says which it is.

    Args:
        folder: searched for patients if it is given; else Kaggle's two mounts are tried, and where neither is there,
            phantom patients are made under `home()`.

    Raises:
        DataError: the folder that was named holds no patient.
    """
    if folder:
        read_catalogue(folder)
        print(f"BraTS: {folder}")
        return Path(folder)
    for mount in map(Path, _KAGGLE):
        if mount.is_dir():
            print(f"BraTS: the Kaggle set at {mount}")
            return mount
    phantoms = home() / "phantoms" / "brats"
    make_brats(phantoms, **QUICK)
    print(f"BraTS: no real data was named, so these are phantom patients, made by this course, at {phantoms}")
    return phantoms
