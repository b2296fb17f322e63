"""Phantom patients on disk: layout, names, data types and irregularities of the Kaggle BraTS 2020 set.

They need no download and no account, and are read by the same code as the real set. The patients are synthetic: good
for learning how things work and for tests, worthless for medicine.
"""

import json
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import nibabel as nib
import numpy as np

from helpers.data.phantoms.head import make_head
from helpers.data.phantoms.scanner import scan
from helpers.data.phantoms.shapes import FRAME_MM, grid_axes
from helpers.data.phantoms.tumour import grow_tumour, plan_tumour
from helpers.runtime.disk import explain_full_disk
from helpers.runtime.errors import DataError
from helpers.runtime.outputs import scratch_folder, writable_folder
from helpers.runtime.settings import expanded

QUICK = {"patients": 20, "validation": 4, "shape": (120, 120, 62), "spacing": (2.0, 2.0, 2.5)}
"""Arguments of `make_brats` for a set that is made in seconds: the same frame on a coarser grid."""

NOTE = "phantom.json"
"""File in the root of a phantom set with the parameters it was made from; it marks the set as synthetic."""

_VERSION = 2
_TRAINING = "BraTS2020_TrainingData/MICCAI_BraTS2020_TrainingData"
_VALIDATION = "BraTS2020_ValidationData/MICCAI_BraTS2020_ValidationData"
_CASE_355 = 355  # the patient of the real set whose segmentation has another name than all others
_CASE_355_SEG = "W39_1998.09.19_Segm.nii"
_SITES = {"HGG": ("CBICA", "TCIA01", "2013", "CBICA", "TCIA01"), "LGG": ("TCIA10", "2013", "TCIA10")}


def make_brats(
    root: str | os.PathLike,
    patients: int = 20,
    validation: int = 4,
    shape: tuple[int, int, int] = (240, 240, 155),
    spacing: float | tuple[float, float, float] = 1.0,
    seed: int = 0,
) -> Path:
    """Write a set of phantom patients, or return at once where `root` holds the same set.

    The set is built beside `root` and moved into place, so an interrupted call leaves no partial set; what a killed one
    leaves is removed by the next. A patient depends on `seed` and its number alone: a larger set contains the smaller
    one, and another grid shows the same heads.

    Args:
        root: folder to make; its layout is Kaggle's `awsaf49/brats20-dataset-training-validation`.
        patients: number of training patients, numbered from 1; the last one is always number 355.
        validation: number of patients without segmentation.
        shape: voxels in (rows, columns, slices).
        spacing: millimetres, one number or three; `shape` times `spacing` is the BraTS frame of 240 x 240 x 155 mm.
        seed: another seed gives other patients.

    Returns:
        `root`.

    Raises:
        DataError: `root` holds something else or may not be written to, the arguments are out of range, or the disk is
            full.
    """
    root = Path(root)
    spacing = tuple(float(step) for step in np.broadcast_to(spacing, 3))
    _check(patients, validation, shape, spacing, seed)
    note = {
        "what": "made-up patients, not for medical use",
        "version": _VERSION,
        "patients": patients,
        "validation": validation,
        "shape": [int(n) for n in shape],
        "spacing": list(spacing),
        "seed": seed,
    }
    return build_beside(root, note, _build)


def build_beside(root: Path, note: dict, build: Callable[[Path, dict], None]) -> Path:
    """Build a set of phantoms beside `root`, and move it there once it is complete.

    Where `root` holds the set of this note already, nothing is built.

    Args:
        root: folder to make.
        note: the parameters of the set, written to `NOTE` in it.
        build: called with the scratch folder and `note`; makes the folder and writes the set.

    Returns:
        `root`.

    Raises:
        DataError: `root` holds something else or may not be written to, or the disk is full.
        OSError: the set cannot be moved into place.
    """
    root = expanded(root)
    if os.path.lexists(root) and _is_there(root, note):
        return root
    final = writable_folder(root, "--out or COURSE_DATA", beside=True)
    final.parent.mkdir(parents=True, exist_ok=True)
    with explain_full_disk(root), scratch_folder(final) as scratch:
        building = scratch / "set"  # readable by others, unlike the scratch folder
        build(building, note)
        (building / NOTE).write_text(json.dumps(note, indent=1) + "\n", encoding="utf-8")
        try:
            building.replace(final)
        except OSError:
            if not _is_there(root, note):  # unless another process was faster with the same set
                raise
    return root


def _check(patients: int, validation: int, shape: tuple[int, int, int], spacing: tuple[float, ...], seed: int) -> None:
    if not 1 <= patients <= _CASE_355 or validation < 0:
        raise DataError(
            f"Cannot make {patients} patients and {validation} for validation; give 1 to {_CASE_355} and 0 up."
        )
    check_seed(seed)
    extent = [n * step for n, step in zip(shape, spacing, strict=True)]
    outside = any(not abs(e - frame) <= step for e, frame, step in zip(extent, FRAME_MM, spacing, strict=True))
    if outside or not max(spacing) <= 6:
        raise DataError(
            f"A grid of {tuple(shape)} voxels of {spacing} mm covers {extent} mm; a head needs {list(FRAME_MM)} mm and "
            "voxels of at most 6 mm, e.g. shape (120, 120, 62) with spacing (2.0, 2.0, 2.5)."
        )


def check_seed(seed: int) -> None:
    """Refuse a seed that NumPy does not take.

    Args:
        seed: of a set of phantoms.

    Raises:
        DataError: it is negative.
    """
    if seed < 0:
        raise DataError(f"seed {seed}: expected 0 or more. Give another --seed.")


def _is_there(root: Path, note: dict) -> bool:
    """Whether `root` holds the set of this note; False where it is missing or empty.

    Raises:
        DataError: `root` holds something else.
    """
    if not root.exists() or (root.is_dir() and not any(root.iterdir())):
        return False
    try:
        found = json.loads((root / NOTE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        found = None
    if found == note:
        return True
    if found is None:
        what = "holds files that are no phantom set" if root.is_dir() else "is no folder"
        raise DataError(f"{root} {what}; name another folder by --out or COURSE_DATA.")
    raise DataError(
        f"{root} holds another phantom set ({json.dumps(found)}); name another folder, or remove this one to make "
        f"{json.dumps(note)}."
    )


def _build(root: Path, note: dict) -> None:
    grid = {key: note[key] for key in ("shape", "spacing", "seed")}
    numbers = [*range(1, note["patients"]), _CASE_355]
    training = [_identity("Training", number) for number in numbers]
    validation = [_identity("Validation", number) for number in range(1, note["validation"] + 1)]
    for folder in (_TRAINING, _VALIDATION):
        (root / folder).mkdir(parents=True)
    _write_tables(root, training, validation, note["seed"])
    jobs = [(root / _TRAINING, one, True) for one in training] + [
        (root / _VALIDATION, one, False) for one in validation
    ]
    # Threads, not processes: NumPy releases the global interpreter lock, and a script need not guard its main module.
    pool = ThreadPoolExecutor(min(8, os.cpu_count() or 1))
    try:
        for done in [pool.submit(_write_patient, *job, **grid) for job in jobs]:
            done.result()
    finally:
        pool.shutdown(cancel_futures=True)


def _identity(kind: str, number: int) -> dict:
    """A patient's names, grade and site, as the tables have them."""
    grade = "LGG" if number % 4 == 2 else "HGG"
    site = _SITES[grade][number // (4 if grade == "LGG" else 1) % len(_SITES[grade])]
    known = kind == "Training"  # training and validation patients are different people, so their older names differ
    letters = f"{chr(65 + number // 26 % 26)}{chr(65 + number % 26)}"
    own = f"{'A' if known else 'B'}{letters}" if site == "CBICA" else str(number + (100 if known else 600))
    return {"kind": kind, "number": number, "grade": grade, "site": site, "older": f"{site}_{own}_1"}


def _write_patient(
    folder: Path,
    identity: dict,
    with_seg: bool,
    shape: tuple[int, ...],
    spacing: tuple[float, ...],
    seed: int,
) -> None:
    name = _name(identity)
    images, labels = _make_patient(identity, shape, spacing, seed)
    (folder / name).mkdir()
    # The real affine: x and y run against the world's axes; on the 1 mm grid the first voxel is at (0, 239, 0).
    affine = np.diag([-spacing[0], -spacing[1], spacing[2], 1.0])
    affine[:3, 3] = np.array([0, 239, 0]) + np.array([-1, -1, 1]) * (np.array(spacing) - 1) / 2
    files = {f"{name}_{modality}.nii": image for modality, image in images.items()}
    if with_seg:
        files[_CASE_355_SEG if identity["number"] == _CASE_355 else f"{name}_seg.nii"] = labels
    for file, array in files.items():
        image = nib.Nifti1Image(array, affine)
        image.header.set_xyzt_units("mm")
        nib.save(image, folder / name / file)


def _name(identity: dict) -> str:
    return f"BraTS20_{identity['kind']}_{identity['number']:03d}"


def _make_patient(
    identity: dict, shape: tuple[int, ...], spacing: tuple[float, ...], seed: int
) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Four modalities and the labels (0, 1, 2, 4), int16 of `shape`."""
    draws = np.random.default_rng([seed, identity["kind"] == "Training", identity["number"]]).integers(2**32, size=3)
    head_seed, tumour_seed, scan_seed = (int(draw) for draw in draws)
    axes, box = grid_axes(shape, spacing)
    plan = plan_tumour((head_seed, tumour_seed), identity["grade"])
    head = make_head(np.random.default_rng(head_seed), axes, (plan.centre, plan.push))
    tumour = grow_tumour(plan, tumour_seed, axes, head)

    def on_grid(part: np.ndarray) -> np.ndarray:
        whole = np.zeros(shape, np.int16)
        whole[box] = part
        return whole

    images = scan(np.random.default_rng(scan_seed), identity["site"], axes, spacing, head, tumour)
    labels = np.zeros(head.brain.shape, np.int16)
    labels[head.brain] = tumour.labels
    return {modality: on_grid(image) for modality, image in images.items()}, on_grid(labels)


def _write_tables(root: Path, training: list[dict], validation: list[dict], seed: int) -> None:
    """The four tables of the real set. Ages and survival are random and independent of the scans."""
    import pandas as pd

    rng = np.random.default_rng([seed, 2])
    mapping = pd.DataFrame([_mapping(one) for one in training])
    mapping.to_csv(root / _TRAINING / "name_mapping.csv", index=False, na_rep="NA")
    survival = [
        {
            "Brats20ID": _name(one),
            "Age": round(float(rng.normal(61, 12)), 3),
            "Survival_days": "ALIVE (361 days later)" if rng.random() < 0.03 else int(rng.gamma(1.5, 300)) + 5,
            "Extent_of_Resection": rng.choice(["GTR", "STR", "NA"], p=[0.5, 0.1, 0.4]),
        }
        for one in training
        if one["grade"] == "HGG"
    ]
    columns = ["Brats20ID", "Age", "Survival_days", "Extent_of_Resection"]
    pd.DataFrame(survival, columns=columns).to_csv(root / _TRAINING / "survival_info.csv", index=False)

    columns = list(mapping.columns[1:])
    table = pd.DataFrame([_mapping(one) for one in validation], columns=columns)
    table.to_csv(root / _VALIDATION / "name_mapping_validation_data.csv", index=False, na_rep="NA")
    ages = [
        {"BraTS20ID": _name(o), "Age": round(float(rng.normal(61, 12)), 3), "ResectionStatus": "GTR"}
        for o in validation
    ]
    table = pd.DataFrame(ages, columns=["BraTS20ID", "Age", "ResectionStatus"])
    table.to_csv(root / _VALIDATION / "survival_evaluation.csv", index=False)


def _mapping(identity: dict) -> dict:
    """A patient's row of the name mapping; every fifth is new in 2020 and has no older name."""
    older = None if identity["number"] % 5 == 3 else identity["older"]
    first = identity["number"] % 3  # joined in 2017, 2018 or 2019
    return {
        "Grade": identity["grade"],
        "BraTS_2017_subject_ID": f"Brats17_{older}" if older and first == 0 else None,
        "BraTS_2018_subject_ID": f"Brats18_{older}" if older and first <= 1 else None,
        "BraTS_2019_subject_ID": f"BraTS19_{older}" if older else None,
        "TCGA_TCIA_subject_ID": None,
        "BraTS_2020_subject_ID": _name(identity),
    }
