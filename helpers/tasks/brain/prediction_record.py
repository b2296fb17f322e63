"""Which masks of a folder are finished: `predictions.json` names the model, the files and the mask of each.

So a command that was stopped goes on where it was, and a mask of another model, of other files, or one that somebody
changed, is never taken for one of this command.
"""

import hashlib
import json
import os
from pathlib import Path
from typing import Any

from helpers.data.brats import Patient
from helpers.learn.run_folder import member_folders
from helpers.runtime.disk import write_json
from helpers.runtime.errors import DataError
from helpers.runtime.lock import lock_folder
from helpers.runtime.settings import expanded

RECORD = "predictions.json"


class PredictionRecord:
    """The masks that a model predicted in a folder.

    Args:
        folder: of the masks; it need not exist.
        model_dir: folder of the model.
        modalities: the volumes that the model reads.

    Raises:
        DataError: the folder holds another file of that name.
    """

    def __init__(self, folder: Path, model_dir: str | os.PathLike, modalities: tuple[str, ...]) -> None:
        self.path = folder / RECORD
        self.modalities = modalities
        networks = [member / "model.keras" for member in member_folders(model_dir)]
        self._model = [_sha256(path) for path in (expanded(model_dir) / "run.json", *networks)]
        self._masks = self._read()

    def holds(self, patient: Patient, mask: Path) -> bool:
        """Whether a mask is what this model made of this patient's files, as they are now.

        Args:
            patient: whose mask it is.
            mask: an existing file.
        """
        recorded = self._masks.get(mask.name)
        return recorded is not None and recorded == self._entry(patient, mask)

    def publish(self, patient: Patient, scratch: Path, mask: Path) -> None:
        """Record a mask and move it into place; a process that is killed leaves no mask without its record.

        Args:
            patient: whose mask it is.
            scratch: the mask, on the same disk.
            mask: its final name.

        Raises:
            FileExistsError: there is a mask of that name by now.
        """
        with lock_folder(self.path.parent, "writes masks into", wait=60):
            if mask.exists():
                raise FileExistsError(f"{mask} is there by now and is not overwritten; choose another --out.")
            self._masks = {**self._read(), mask.name: self._entry(patient, scratch)}
            write_json({"masks": self._masks}, self.path)
            os.replace(scratch, mask)

    def _entry(self, patient: Patient, mask: Path) -> dict[str, Any]:
        return {
            "patient": patient.id,
            "model": self._model,
            "files": {kind: _signature(patient.images[kind]) for kind in self.modalities if kind in patient.images},
            "sha256": _sha256(mask),
        }

    def _read(self) -> dict[str, Any]:
        if not os.path.lexists(self.path):
            return {}
        try:
            masks = json.loads(self.path.read_text(encoding="utf-8"))["masks"]
            if not isinstance(masks, dict):
                raise ValueError("no list of masks")
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise DataError(
                f"{self.path} is no record of predicted masks ({error}). Move it away, or choose another --out."
            ) from error
        return masks


def _signature(path: Path) -> list:
    """Name, size (bytes) and time of change (ns); the folder may be reached by another way the next time."""
    status = path.stat()
    return [path.name, status.st_size, status.st_mtime_ns]


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
