"""The chest catalogue: the X-rays of a folder, their hospitals, and the masks that belong to them.

It reads the layout of Kaggle's *Chest X-ray Masks and Labels*, real or phantom: `Lung Segmentation/` with `CXR_png/`,
`masks/`, `test/` and `ClinicalReadings/`, two full copies of it in one set. Exactly one copy is read. NLM's own layout,
with the halves of a mask in `ManualMask/leftMask/` and `ManualMask/rightMask/`, is read as well. Of images only the
header is read here; masks are small files and are read whole, so that a bad one is reported by name before a training
starts.

What a folder holds is decided by `find_sets` alone, for the lessons, the commands and the audit.
"""

import os
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from helpers.data.brats import Problem
from helpers.data.dicom.headers import is_dicom
from helpers.data.pictures import picture_size, pictures, radiograph_files, read_image, read_mask
from helpers.runtime.errors import DataError
from helpers.runtime.folders import is_listed, walk_once
from helpers.runtime.threads import map_threads

if TYPE_CHECKING:
    import pandas as pd

IMAGES, MASKS, TEST, READINGS = "CXR_png", "masks", "test", "ClinicalReadings"
SITES = {"MCUCXR": "montgomery", "CHNCXR": "shenzhen"}
PREFIXES = {site: prefix for prefix, site in SITES.items()}
LABELS = {"0": "normal", "1": "tuberculosis"}
EXTERNAL = "external"
"""The site of X-rays whose names are of neither hospital, where they are read at all."""
HALVES = "ManualMask/leftMask", "ManualMask/rightMask"
_INSIDE = {IMAGES, MASKS, TEST, READINGS, "ManualMask"}  # no copy of the set lies in these
_NO_PICTURES = {".txt", ".csv", ".md", ".json", ".db", ".ini", ".html", ".xml"}  # nobody misses these among X-rays
_DICOM = {".dcm", ".dicom", ".ima"}
_PICTURES = {".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".gif", ".webp"}
_NAMED = 5  # files that a message names; the rest is counted

_NAME = re.compile(r"^(?P<site>MCUCXR|CHNCXR)_\d+_(?P<label>[01])$")
# "Patient's Sex: F" and "Patient's Age: 027Y" at Montgomery; "male 45yrs", "Femal, 16month" at Shenzhen.
_SEX = re.compile(r"^\s*(?:patient's sex:\s*)?(?P<sex>male|femal|m\b|f\b)", re.IGNORECASE)
_AGE = re.compile(
    r"^(?:\s*(?:fe)?male?\b|.*\bage:)[\s,]*(?P<number>\d+)\s*(?P<unit>y|m|w|d)", re.IGNORECASE | re.MULTILINE
)
_OF_OTHERS = EXTERNAL, "unknown"
_PER_YEAR = {"y": 1, "m": 12, "w": 365.25 / 7, "d": 365.25}


@dataclass(frozen=True)
class XRay:
    """One X-ray.

    Attributes:
        id: the file name without ending, e.g. `CHNCXR_0001_0`; one patient, one X-ray.
        image: the file.
        mask: the file of its lung mask, or None.
        site: the hospital, "montgomery" or "shenzhen"; `EXTERNAL` for others.
        label: "normal" or "tuberculosis"; "unknown" for others.
        age: years, of small children with a fraction; None where it is not recorded.
        sex: "female" or "male"; None where it is not recorded.
        other_half: where the mask is stored as two lungs, the file of the second; else None.
    """

    id: str
    image: Path
    mask: Path | None
    site: str
    label: str
    age: float | None = None
    sex: str | None = None
    other_half: Path | None = None

    @property
    def mask_files(self) -> tuple[Path, ...]:
        """The files of its mask: none, one, or two halves."""
        return tuple(path for path in (self.mask, self.other_half) if path is not None)

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
        notes: what else is to be known of the folder, e.g. which files in it are not read.
    """

    root: Path
    folder: Path
    xrays: tuple[XRay, ...]
    problems: tuple[Problem, ...]
    copies: tuple[Path, ...] = ()
    notes: tuple[str, ...] = ()

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
                f"{len(self.without_mask)} of them without a mask.{''.join(f' {note}.' for note in self.notes)}"
            )
        return chosen

    def skip_beyond(self, site: str | None) -> "ChestCatalogue":
        """The catalogue for a run that asks for one hospital, in which faults of the other stop nothing.

        X-rays of the other hospital with a problem are then X-rays without a mask; what is skipped stands in `notes`.

        Args:
            site: the hospital that was asked for; None for both, and then nothing is skipped.
        """
        skipped = [p for p in self.problems if site is not None and not p.patient.startswith(PREFIXES[site])]
        if not skipped:
            return self
        at_fault = {problem.patient for problem in skipped}
        return replace(
            self,
            xrays=tuple(replace(x, mask=None, other_half=None) if x.id in at_fault else x for x in self.xrays),
            problems=tuple(problem for problem in self.problems if problem not in skipped),
            notes=(*self.notes, f"{len(skipped)} file(s) are skipped, not being of {site}: {_some(skipped)}"),
        )

    def table(self) -> "pd.DataFrame":
        """A table with one row per X-ray: id, site, label, age, sex, and whether it has a mask."""
        import pandas as pd

        return pd.DataFrame(
            [
                {"id": x.id, "site": x.site, "label": x.label, "age": x.age, "sex": x.sex, "mask": x.mask is not None}
                for x in self.xrays
            ],
            columns=["id", "site", "label", "age", "sex", "mask"],
        )


def find_sets(root: str | os.PathLike) -> list[tuple[Path, frozenset[str]]]:
    """Every folder at or below `root` with X-rays in its `CXR_png/`: what lessons, commands and audit take for a set.

    Args:
        root: a folder; searched to any depth, links followed once.

    Returns:
        (folder, names of its images), the fullest set first, among equals the one nearest to `root`.

    Raises:
        DataError: there is no such folder.
    """
    root = Path(root)
    if not root.is_dir():
        raise DataError(f"There is no folder {root}. Give the folder that holds the chest X-rays.")
    found = []
    for folder, folders, _ in walk_once(root, lambda name: is_listed(name) and name not in _INSIDE):
        if IMAGES in folders and (names := frozenset(path.name for path in radiograph_files(folder / IMAGES))):
            found.append((folder, names))
    return sorted(found, key=lambda one: (-len(one[1]), len(one[0].parts), str(one[0])))


def choose_set(root: str | os.PathLike) -> tuple[Path, tuple[Path, ...]]:
    """The set at or below `root` that is read, and its further copies.

    Args:
        root: a folder, see `find_sets`.

    Raises:
        DataError: there is no such folder, no X-ray in it, or two different sets, of which one must be named.
    """
    found = find_sets(root)
    if not found:
        raise DataError(
            f"No chest X-rays under {root}: expected Lung Segmentation/{IMAGES}/ with files such as CHNCXR_0001_0.png, "
            f"and beside it {MASKS}/.{instead_of_set(Path(root))}"
        )
    (chosen, names), *others = found
    if different := [str(folder) for folder, files in others if not files <= names]:
        raise DataError(
            f"{root} holds different sets ({chosen}, {', '.join(different)}); name one of these folders. To use both "
            f"hospitals, put the files of all into one {IMAGES}/ and one {MASKS}/."
        )
    return chosen, tuple(folder for folder, _ in others)


def read_chest(root: str | os.PathLike, site: str | None = None, external: bool = False) -> ChestCatalogue:
    """Find the chest set at or below `root`, pair images with masks, and check both.

    Where `root` holds several copies, the one with most images is read; among equals the one nearest to `root`.

    Args:
        root: a folder; searched to any depth, links followed once.
        site: read this hospital alone: no file of the other is opened, be it image or mask; None for both.
        external: take PNG files of other names as X-rays of other hospitals, for external validation; else they are
            problems, as for a training, which has to know the hospital.

    Raises:
        DataError: there is no such folder, no X-ray in it, or two different sets, of which one must be named.
    """
    root = Path(root)
    folder, copies = choose_set(root)
    masks, problems = _pair(folder, site)
    xrays, ids = [], set()
    for path in _of(site, radiograph_files(folder / IMAGES)):
        if path.stem in ids:  # where names differ in the ending alone
            problems.append(Problem(path.stem, path, ("image",), "a second image of this name; keep one"))
            continue
        ids.add(path.stem)
        known = _NAME.match(path.stem) is not None
        if not known and not (external and path.suffix.lower() == ".png"):  # DICOM may bear a patient's name
            message = "its name tells neither site nor label; expected e.g. CHNCXR_0001_0.png or MCUCXR_0001_1.png"
            problems.append(Problem(path.stem, path, ("image",), message))
            continue
        age, sex = _read_reading(folder / READINGS / f"{path.stem}.txt")
        mask, other_half = masks.get(path.stem, (None, None))
        xrays.append(XRay(path.stem, path, mask, *(_site_of(path) if known else _OF_OTHERS), age, sex, other_half))
    problems += [problem for found in map_threads(_check, xrays) for problem in found]
    notes = [note for name in (IMAGES, MASKS) if (note := unread_files(folder / name))]
    notes += _masks_elsewhere(folder, {xray.id for xray in xrays if xray.mask is None})
    return ChestCatalogue(root, folder, tuple(xrays), tuple(problems), copies, tuple(notes))


def list_radiographs(root: str | os.PathLike) -> tuple[XRay, ...]:
    """The X-rays at or below `root` without their masks: no file is opened, and only `CXR_png/` is listed.

    Unsupervised adaptation, which must not use masks of the target, reads its radiographs by this function. Files that
    are not named as an X-ray of this set are left out.

    Args:
        root: a folder; searched to any depth.

    Raises:
        DataError: there is no X-ray under `root`, or there are two different sets.
    """
    folder, _ = choose_set(root)
    paths = {path.stem: path for path in reversed(radiograph_files(folder / IMAGES)) if _NAME.match(path.stem)}
    return tuple(XRay(name, path, None, *_site_of(path)) for name, path in sorted(paths.items()))


def list_pictures(root: str | os.PathLike) -> tuple[list[Path], list[str]]:
    """Every radiograph of a folder, whatever its name: those of the chest set at or below it, else its own files.

    Archives export DICOM into folders of folders, so where the folder itself has no X-ray, DICOM is looked for below.

    Args:
        root: a folder, see `find_sets`.

    Returns:
        The files, and notes: which others are not read.

    Raises:
        DataError: there is no such folder, no radiograph in it, or two different sets, of which one must be named.
    """
    root = Path(root)
    folder = choose_set(root)[0] / IMAGES if find_sets(root) else root
    if not (found := radiograph_files(folder) or [file for file in _below(folder) if is_dicom(file)]):
        raise DataError(f"No X-ray in {root}: expected {IMAGES}/, PNG or DICOM files.{instead_of_set(root)}")
    return found, [note for note in [unread_files(folder)] if note]


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
    image, mask = read_image(xray.image), read_lungs(xray)
    if image.shape != mask.shape:
        raise DataError(
            f"{xray.mask}: shape {mask.shape}, but its image has {image.shape}; use the mask of this image."
        )
    return image, mask


def read_lungs(xray: XRay) -> np.ndarray:
    """The mask of an X-ray, its halves joined where it is stored as two lungs.

    Args:
        xray: with a mask.

    Returns:
        (rows, columns) bool.

    Raises:
        DataError: a file cannot be used (see `read_mask`), or the halves differ in shape.
    """
    mask = read_mask(xray.mask)
    if xray.other_half is None:
        return mask
    other = read_mask(xray.other_half)
    if mask.shape != other.shape:
        raise DataError(
            f"{xray.other_half}: shape {other.shape}, but the other lung, {xray.mask}, has {mask.shape}; use the mask "
            "of this image."
        )
    return mask | other


def unread_files(folder: Path) -> str | None:
    """A sentence that counts and names the pictures in a folder that are neither PNG nor DICOM; None for none.

    Args:
        folder: subfolders are not searched.
    """
    files = [p for p in folder.glob("*") if p.suffix.lower() not in {".png", *_NO_PICTURES} and p.is_file()]
    files = sorted(path for path in files if not (path.name.startswith(".") or is_dicom(path)))
    if not files:
        return None
    return (
        f"{folder} holds {len(files)} files that are neither PNG nor DICOM, which are not read: {_some(files)}. Export "
        "them as 8-bit PNG"
    )


def instead_of_set(root: Path) -> str:
    """What a folder without a set holds instead, and what to do about it, as a sentence; empty for nothing known.

    Args:
        root: searched to any depth for files that are not read.
    """
    if pictures(root):
        return (
            f" It holds {len(pictures(root))} PNG files itself; "
            + (f"name the folder that holds {IMAGES}." if root.name == IMAGES else f"put X-rays into {IMAGES}/.")
        )  # fmt: skip
    if not os.access(root, os.R_OK | os.X_OK):
        return " It may not be read by you: ask for the permission."
    files = _below(root)
    if found := [path for path in files if path.suffix.lower() in {"", *_DICOM} and is_dicom(path)]:
        return (
            f" It holds {len(found)} DICOM files: `dicom` lists what they are. Put X-rays into {IMAGES}/, named as "
            "above."
        )
    if found := [path for path in files if path.suffix.lower() in _PICTURES]:
        return (
            f" It holds {len(found)} pictures that are not PNG, which are not read: {_some(found)}. Export them as "
            "8-bit PNG."
        )
    return ""


def _below(root: Path) -> list[Path]:
    """Every file at or below a folder."""
    return [folder / name for folder, _, names in walk_once(root) for name in names]


def _some(things: Iterable[Path | Problem]) -> str:
    """The first few: of files the names, of problems all that they say."""
    names = [thing.name if isinstance(thing, Path) else str(thing) for thing in things]
    return ", ".join(names[:_NAMED]) + (f" and {len(names) - _NAMED} more" if len(names) > _NAMED else "")


def _site_of(path: Path) -> tuple[str, str]:
    """Site and label, from the name."""
    match = _NAME.match(path.stem)
    return SITES[match["site"]], LABELS[match["label"]]


def _of(site: str | None, paths: Iterable[Path]) -> Iterator[Path]:
    """The paths without the files of other hospitals, by the prefix of their names."""
    others = tuple(prefix for prefix, name in SITES.items() if site not in (None, name))
    return (path for path in paths if not (others and path.name.startswith(others)))


def _pair(folder: Path, site: str | None) -> tuple[dict[str, tuple[Path, Path | None]], list[Problem]]:
    """The one or two files of a mask by the id of its image; only the names from Shenzhen end in `_mask`."""
    images, masks, problems = {path.stem for path in radiograph_files(folder / IMAGES)}, {}, []
    for path in _of(site, pictures(folder / MASKS)):
        identity = path.stem.removesuffix("_mask")
        if identity not in images:
            message = f"a mask without an image; expected {IMAGES}/{identity}.png"
        elif identity in masks:
            message = f"a second mask beside {masks[identity][0].name}; keep one"
        else:
            masks[identity] = path, None
            continue
        problems.append(Problem(identity, path, ("mask",), message))
    left, right = ({path.stem: path for path in _of(site, pictures(folder / half))} for half in HALVES)
    for identity in sorted({*left, *right} - set(masks)):
        path, other = left.get(identity), right.get(identity)
        if identity not in images:
            message = f"a mask without an image; expected {IMAGES}/{identity}.png"
        elif path is None or other is None:
            message = f"one lung alone; expected the other in {HALVES[0 if path is None else 1]}/"
        else:
            masks[identity] = path, other
            continue
        problems.append(Problem(identity, path or other, ("mask",), message))
    return masks, problems


def _masks_elsewhere(folder: Path, lacking: set[str]) -> Iterator[str]:
    """A note for each other folder of the set that holds pictures with the names of X-rays without a mask."""
    if not lacking:
        return
    for place, _, _ in walk_once(folder, lambda name: is_listed(name) and name not in _INSIDE):
        count = sum(path.stem.removesuffix("_mask") in lacking for path in pictures(place))
        if count:
            yield f"{place} holds {count} pictures named as X-rays without a mask; masks are read from {MASKS}/ alone"


def _check(xray: XRay) -> Iterator[Problem]:
    size = None
    try:
        size = picture_size(xray.image)
    except DataError as error:
        yield Problem(xray.id, xray.image, ("image",), str(error).removeprefix(f"{xray.image}: "))
    if xray.mask is None:
        return
    try:
        found = read_lungs(xray).shape
    except DataError as error:
        path = next((path for path in xray.mask_files if str(error).startswith(f"{path}: ")), xray.mask)
        yield Problem(xray.id, path, ("mask",), str(error).removeprefix(f"{path}: "))
        return
    if size and size != found:
        (rows, columns), (of_rows, of_columns) = found, size
        message = (
            f"its size is {columns} x {rows}, that of its image {of_columns} x {of_rows}; use the mask of this image"
        )
        yield Problem(xray.id, xray.mask, ("mask",), message)


def _read_reading(path: Path) -> tuple[float | None, str | None]:
    """Age (years) and sex from a clinical reading; None for what it does not contain."""
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError:  # missing, as a rule
        return None, None
    head = "\n".join(text.splitlines()[:2])  # below stand the findings
    sex, age = _SEX.search(head), _AGE.search(head)
    years = int(age["number"]) / _PER_YEAR[age["unit"].lower()] if age else None
    return years, {"m": "male", "f": "female"}[sex["sex"][0].lower()] if sex else None
