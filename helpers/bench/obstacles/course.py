"""`obstacles make`: the phantom hospital on disk, and the key by which readers are scored."""

import os
import tempfile
from pathlib import Path

import nibabel as nib
import numpy as np

from helpers.bench.obstacles.faults import FAULTS
from helpers.bench.obstacles.patient import KINDS, Patient
from helpers.data.phantoms.brats import build_beside, make_brats
from helpers.data.phantoms.dicom import Visit
from helpers.runtime.disk import write_json

KEY, PATIENTS, TRUTH = "key.json", "patients", "truth"
"""Names in the folder: the key, the folder that a reader is given, and what it should find there."""

_HEADS, _SHAPE, _SPACING = 5, (80, 80, 39), (3.0, 3.0, 4.0)
_VERSION = 1


def make_course(root: str | os.PathLike, seed: int = 0) -> Path:
    """Write the phantom hospital, or return at once where it is there already.

    Args:
        root: the folder to make.
        seed: another seed gives other heads and other draws of the faults.

    Returns:
        `root`; its `patients` is what a reader is given, a folder for each.

    Raises:
        DataError: `root` holds something else or may not be written to.
    """
    note = {
        "what": "a phantom hospital with 40 faults, not for medical use",
        "version": _VERSION,
        "faults": [fault.name for fault in FAULTS],
        "seed": seed,
    }
    return build_beside(Path(root), note, _build)


def _build(root: Path, note: dict) -> None:
    heads = _heads(note["seed"])
    (root / TRUTH).mkdir(parents=True)
    entries = []
    for number, fault in enumerate(FAULTS, 1):
        name = f"{number:02d}"
        images, affine = heads[number % len(heads)]
        rng = np.random.default_rng([note["seed"], number])
        visit = Visit(1000 * note["seed"] + number, f"Phantom^{name}", f"PH-{name}")
        patient = Patient(root / PATIENTS / name, images, affine, visit, rng)
        patient.folder.mkdir(parents=True)
        fault.build(patient)
        entries.append(
            {
                "id": name,
                "fault": fault.name,
                "betrays": fault.betrays,
                "mend": fault.mend,
                "words": list(fault.words),
                "truth": {kind: _save(root, name, kind, *truth) for kind, truth in patient.truth.items()},
                "spaces": [space.tolist() for space in patient.spaces],
                "names": patient.names,
            }
        )
    write_json({"version": _VERSION, "patients": entries}, root / KEY)


def _heads(seed: int) -> list[tuple[dict[str, np.ndarray], np.ndarray]]:
    """The four images of some phantom patients, and their affine."""
    with tempfile.TemporaryDirectory() as scratch:
        root = make_brats(Path(scratch, "set"), _HEADS, 0, _SHAPE, _SPACING, seed)
        heads = []
        for path in sorted(root.rglob("*_flair.nii")):
            files = {kind: nib.load(str(path).replace("_flair.nii", f"_{kind}.nii")) for kind in KINDS}
            images = {kind: np.asarray(file.dataobj).astype(np.int16) for kind, file in files.items()}
            heads.append((images, files["flair"].affine))
    return heads


def _save(root: Path, name: str, kind: str, voxels: np.ndarray, affine: np.ndarray) -> str:
    path = root / TRUTH / f"{name}_{kind}.nii.gz"
    nib.save(nib.Nifti1Image(voxels, affine), path)
    return path.relative_to(root).as_posix()
