"""The chest catalogue: the X-rays of a folder, their hospitals, and the masks that belong to them.

It reads the layout of Kaggle's *Chest X-ray Masks and Labels*, real or phantom: `Lung Segmentation/` with `CXR_png/`,
`masks/`, `test/` and `ClinicalReadings/`, two full copies of it in one set. Exactly one copy is read. Of images only
the header is read here; masks are small files and are read whole, so that a bad one is reported by name before a
training starts.
"""

import os
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from helpers.data.brats import Problem
from helpers.data.pictures import UNREADABLE, pictures, read_image, read_mask
from helpers.runtime.errors import DataError
from helpers.runtime.threads import map_threads

IMAGES, MASKS, TEST, READINGS = "CXR_png", "masks", "test", "ClinicalReadings"
SITES = {"MCUCXR": "montgomery", "CHNCXR": "shenzhen"}
PREFIXES = {site: prefix for prefix, site in SITES.items()}
LABELS = {"0": "normal", "1": "tuberculosis"}
_INSIDE = {IMAGES, MASKS, TEST, READINGS}  # no copy of the set lies in these

_NAME = re.compile(r"^(?P<site>MCUCXR|CHNCXR)_\d+_(?P<label>[01])$")
# "Patient's Sex: F" and "Patient's Age: 027Y" at Montgomery; "male 45yrs", "Femal, 16month" at Shenzhen.
_SEX = re.compile(r"^\s*(?:patient's sex:\s*)?(?P<sex>male|femal|m\b|f\b)", re.IGNORECASE)
_AGE = re.compile(
    r"^(?:\s*(?:fe)?male?\b|.*\bage:)[\s,]*(?P<number>\d+)\s*(?P<unit>y|m|w|d)", re.IGNORECASE | re.MULTILINE
)
_PER_YEAR = {"y": 1, "m": 12, "w": 365.25 / 7, "d": 365.25}


@dataclass(frozen=True)
class XRay:
    """One X-ray.

    Attributes:
        id: the file name without ending, e.g. `CHNCXR_0001_0`; one patient, one X-ray.
        image: the file.
        mask: the file of its lung mask, or None.
        site: the hospital, "montgomery" or "shenzhen".
        label: "normal" or "tuberculosis".
        age: years, of small children with a fraction; None where it is not recorded.
        sex: "female" or "male"; None where it is not recorded.
    """

    id: str
    image: Path
    mask: Path | None
    site: str
    label: str
    age: float | None = None
    sex: str | None = None

    @property
    def strata(self) -> tuple[str, ...]:
        """The strata of a split: label, then site."""
        return self.label, self.site


@dataclass(frozen=True)
class ChestCatalogue:
    """The X-rays of one copy of the set, sorted by id, and the problems found with them.

    Attributes:
        root: the folder that was searched.
        folder: the copy of the set that was read.
        xrays: sorted by id.
        problems: files that cannot be used.
        copies: further copies of the set, which are not read.
    """

    root: Path
    folder: Path
    xrays: tuple[XRay, ...]
    problems: tuple[Problem, ...]
    copies: tuple[Path, ...] = ()

    @property
    def without_mask(self) -> tuple[str, ...]:
        """The ids of the X-rays that have no mask."""
        return tuple(xray.id for xray in self.xrays if xray.mask is None)

    def require(self, site: str | None = None, mask: bool = True) -> tuple[XRay, ...]:
        """The X-rays that a task needs.

        Args:
            site: "montgomery" or "shenzhen"; None for both.
            mask: only X-rays that have a mask.

        Raises:
            DataError: the site is unknown, a problem touches a file that is needed, or no X-ray is left.
        """
        if site not in (None, *SITES.values()):
            raise DataError(f"Unknown site {site!r}; this set has {' and '.join(SITES.values())}.")
        needed = {"image", "mask"} if mask else {"image"}
        prefix = PREFIXES.get(site, "")
        touching = [p for p in self.problems if p.patient.startswith(prefix) and needed & set(p.touches)]
        if touching:
            error = DataError.listing(
                f"{len(touching)} problem(s) under {self.folder} touch what is needed ({', '.join(sorted(needed))}). "
                "Mend or remove these files, then run the same command again:",
                [str(problem) for problem in touching],
            )
            raise error
        chosen = tuple(x for x in self.xrays if site in (None, x.site) and (x.mask or not mask))
        if not chosen:
            counts = Counter(xray.site for xray in self.xrays)
            raise DataError(
                f"No X-ray {f'of {site} ' if site else ''}{'with a mask ' if mask else ''}under {self.folder}; it "
                f"holds {', '.join(f'{counts[name]} of {name}' for name in SITES.values())}, "
                f"{len(self.without_mask)} of them without a mask."
            )
        return chosen

    def table(self) -> pd.DataFrame:
        """A table with one row per X-ray: id, site, label, age, sex, and whether it has a mask."""
        return pd.DataFrame(
            [
                {"id": x.id, "site": x.site, "label": x.label, "age": x.age, "sex": x.sex, "mask": x.mask is not None}
                for x in self.xrays
            ],
            columns=["id", "site", "label", "age", "sex", "mask"],
        )


def read_chest(root: str | os.PathLike, site: str | None = None) -> ChestCatalogue:
    """Find the chest set at or below `root`, pair images with masks, and check both.

    Where `root` holds several copies, the one with most images is read; among equals the one nearest to `root`.

    Args:
        root: a folder; searched to any depth.
        site: read this hospital alone: no file of the other is opened, be it image or mask; None for both.

    Raises:
        DataError: there is no such folder, no X-ray in it, or two different sets, of which one must be named.
    """
    root = Path(root)
    if not root.is_dir():
        raise DataError(f"There is no folder {root}. Give the folder that holds the chest X-rays.")
    folder, copies = _choose_copy(root)
    masks, problems = _pair(folder, site)
    xrays = []
    for path in _of(site, pictures(folder / IMAGES)):
        if not _NAME.match(path.stem):
            message = "its name tells neither site nor label; expected e.g. CHNCXR_0001_0.png or MCUCXR_0001_1.png"
            problems.append(Problem(path.stem, path, ("image",), message))
            continue
        age, sex = _read_reading(folder / READINGS / f"{path.stem}.txt")
        xrays.append(XRay(path.stem, path, masks.get(path.stem), *_site_of(path), age, sex))
    problems += [problem for found in map_threads(_check, xrays) for problem in found]
    return ChestCatalogue(root, folder, tuple(xrays), tuple(problems), copies)


def list_radiographs(root: str | os.PathLike) -> tuple[XRay, ...]:
    """The X-rays at or below `root` without their masks: no file is opened, and only `CXR_png/` is listed.

    Unsupervised adaptation, which must not use masks of the target, reads its radiographs by this function. Files that
    are not named as an X-ray of this set are left out.

    Args:
        root: a folder; searched to any depth.

    Raises:
        DataError: there is no X-ray under `root`, or there are two different sets.
    """
    folder, _ = _choose_copy(Path(root))
    return tuple(
        XRay(path.stem, path, None, *_site_of(path)) for path in pictures(folder / IMAGES) if _NAME.match(path.stem)
    )


def read_xray(xray: XRay) -> tuple[np.ndarray, np.ndarray]:
    """Read an X-ray and its mask.

    Args:
        xray: with a mask.

    Returns:
        Image and mask, both (rows, columns): uint8 and bool.

    Raises:
        DataError: it has no mask; a file cannot be used (see `read_image`, `read_mask`); or their shapes differ.
    """
    if xray.mask is None:
        raise DataError(f"{xray.id} has no mask; choose among `require(mask=True)`.")
    image, mask = read_image(xray.image), read_mask(xray.mask)
    if image.shape != mask.shape:
        raise DataError(
            f"{xray.mask}: shape {mask.shape}, but its image has {image.shape}; use the mask of this image."
        )
    return image, mask


def _choose_copy(root: Path) -> tuple[Path, tuple[Path, ...]]:
    found = []
    for folder, folders, _ in os.walk(root):
        here = IMAGES in folders
        folders[:] = sorted(n for n in folders if not n.startswith((".", "__MACOSX")) and n not in _INSIDE)
        if here and (names := {path.name for path in pictures(Path(folder) / IMAGES)}):
            found.append((Path(folder), names))
    if not found:
        raise DataError(
            f"No chest X-ray under {root}: expected Lung Segmentation/{IMAGES}/ with files such as CHNCXR_0001_0.png, "
            f"and beside it {MASKS}/."
        )
    found.sort(key=lambda one: (-len(one[1]), len(one[0].parts), str(one[0])))
    (chosen, names), *others = found
    if different := [str(folder) for folder, files in others if not files <= names]:
        raise DataError(f"{root} holds different sets ({chosen}, {', '.join(different)}); name one of these folders.")
    return chosen, tuple(folder for folder, _ in others)


def _site_of(path: Path) -> tuple[str, str]:
    """Site and label, from the name."""
    match = _NAME.match(path.stem)
    return SITES[match["site"]], LABELS[match["label"]]


def _of(site: str | None, paths: Iterable[Path]) -> Iterator[Path]:
    """The paths without the files of other hospitals, by the prefix of their names."""
    others = tuple(prefix for prefix, name in SITES.items() if site not in (None, name))
    return (path for path in paths if not (others and path.name.startswith(others)))


def _pair(folder: Path, site: str | None) -> tuple[dict[str, Path], list[Problem]]:
    """Masks by the id of their image; only the names from Shenzhen end in `_mask`."""
    images, masks, problems = {path.stem for path in pictures(folder / IMAGES)}, {}, []
    for path in _of(site, pictures(folder / MASKS)):
        identity = path.stem.removesuffix("_mask")
        if identity not in images:
            message = f"a mask without an image; expected {IMAGES}/{identity}.png"
        elif identity in masks:
            message = f"a second mask beside {masks[identity].name}; keep one"
        else:
            masks[identity] = path
            continue
        problems.append(Problem(identity, path, ("mask",), message))
    return masks, problems


def _check(xray: XRay) -> Iterator[Problem]:
    size = None
    try:
        with Image.open(xray.image) as image:
            size = image.size
    except UNREADABLE as error:
        yield Problem(xray.id, xray.image, ("image",), f"not a picture ({error}); copy or download it again")
    if xray.mask is None:
        return
    try:
        columns, rows = read_mask(xray.mask).shape[::-1]
    except DataError as error:
        yield Problem(xray.id, xray.mask, ("mask",), str(error).removeprefix(f"{xray.mask}: "))
        return
    if size and size != (columns, rows):
        message = f"its size is {columns} x {rows}, that of its image {size[0]} x {size[1]}; use the mask of this image"
        yield Problem(xray.id, xray.mask, ("mask",), message)


def _read_reading(path: Path) -> tuple[float | None, str | None]:
    """Age (years) and sex from a clinical reading; None for what it does not contain."""
    if not path.is_file():
        return None, None
    head = "\n".join(path.read_text(encoding="utf-8", errors="replace").splitlines()[:2])  # below stand the findings
    sex, age = _SEX.search(head), _AGE.search(head)
    years = int(age["number"]) / _PER_YEAR[age["unit"].lower()] if age else None
    return years, {"m": "male", "f": "female"}[sex["sex"][0].lower()] if sex else None
