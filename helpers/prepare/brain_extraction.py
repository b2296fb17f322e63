"""The brain without the skull: whether it is that already, and the roads to it.

No course can make a brain mask with a few lines; tools that were trained on thousands of heads can. So a head with its
skull is refused unless somebody brings a mask, or one of these tools is installed, whose weights are its own.
"""

import importlib.metadata
import importlib.util
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import nibabel as nib
import numpy as np

from helpers.prepare.registration import Image, resample
from helpers.runtime.errors import DataError

_ML = 600.0, 2300.0  # a small child's brain, and more than the largest of 20 patients of BraTS (measured: 1,729 ml)
_EMPTY = 0.3  # of the voxels are 0 where the background was removed; a scanner's air is never 0 throughout
_SPAN_MM = 60.0  # along each axis, at least: fewer slices than this are no head
_SECONDS = 3600.0

_BRAINLES = (
    "import sys; from brainles_preprocessing.brain_extraction import HDBetExtractor; "
    "HDBetExtractor().extract(sys.argv[1], sys.argv[2], sys.argv[3], device='cpu')"
)


@dataclass(frozen=True)
class Tool:
    """A program that makes brain masks.

    Attributes:
        name: what people call it.
        command: the executable on the path; the package, where it is one of Python.
        arguments: of the call, from input file, output file (the brain) and mask file.
        writes_mask: whether it writes the mask file; else the mask is where the brain is not 0.
    """

    name: str
    command: str
    arguments: Callable[[str, str, str], list[str]]
    writes_mask: bool

    @property
    def executable(self) -> str | None:
        """Where it is installed; None where it is not."""
        if self.command == "brainles_preprocessing":
            return sys.executable if importlib.util.find_spec(self.command) else None
        return shutil.which(self.command)

    @property
    def version(self) -> str:
        """Its version as it says it itself, or as its package does."""
        for package in (self.command, self.name):
            try:
                return importlib.metadata.version(package)
            except importlib.metadata.PackageNotFoundError:
                continue
        if self.executable is None or self.executable == sys.executable:
            return "version unknown"
        try:
            answer = subprocess.run([self.executable, "--version"], capture_output=True, text=True, timeout=120)
        except (OSError, subprocess.SubprocessError):
            return "version unknown"
        lines = answer.stdout.strip().splitlines()
        return lines[-1][:60] if answer.returncode == 0 and lines else "version unknown"


TOOLS = (
    Tool("HD-BET", "hd-bet", lambda image, brain, _: ["-i", image, "-o", brain, "-device", "cpu"], False),
    Tool("SynthStrip", "mri_synthstrip", lambda image, brain, mask: ["-i", image, "-o", brain, "-m", mask], True),
    Tool("brainles-preprocessing", "brainles_preprocessing", lambda *paths: ["-c", _BRAINLES, *paths], True),
)
"""In the order in which they are looked for."""


def skull_fault(image: Image) -> str | None:
    """Why a volume is no brain without skull, as a sentence; None where it is one.

    Args:
        image: one series.
    """
    inside = image.voxels != 0
    volume = float(inside.sum() * np.prod(image.spacing)) / 1000
    if (empty := 1 - inside.mean()) < _EMPTY:
        return f"{empty:.0%} of its voxels are 0, so the air round the head is there, and the skull"
    if volume > _ML[1]:
        return f"what is not 0 holds {volume:,.0f} ml, and a brain at most {_ML[1]:,.0f} ml: the skull is there"
    return None


def check_extent(image: Image, name: str) -> None:
    """Refuse a volume that is too small to hold a head.

    Args:
        image: one series.
        name: of it, for the message.

    Raises:
        DataError: it is.
    """
    spans = image.spacing * image.voxels.shape
    if spans.min() < _SPAN_MM:
        extent = " x ".join(f"{mm:.0f}" for mm in spans)
        raise DataError(
            f"{name}: it spans {extent} mm ({image.voxels.shape[2]} slices); expected a whole head, at least "
            f"{_SPAN_MM:.0f} mm along each axis. Export the whole series, or name another"
        )


def find_tool() -> Tool | None:
    """The first tool that is installed."""
    return next((tool for tool in TOOLS if tool.executable), None)


def require_tool(fault: str) -> Tool:
    """The first tool that is installed.

    Args:
        fault: why a head needs one, from `skull_fault`.

    Raises:
        DataError: there is none; it names the roads.
    """
    tool = find_tool()
    if tool is None:
        raise DataError(
            f"{fault}. This model wants the brain alone. Give a mask by --brain-mask FILE (NIfTI, on the grid of one "
            f"of the series), or install one of {', '.join(f'{one.name} ({one.command})' for one in TOOLS)} and give "
            "the same command again"
        )
    return tool


def extract_brain(image: Image, fault: str) -> tuple[np.ndarray, str]:
    """The brain mask of a head by an installed tool.

    Args:
        image: the head.
        fault: why it needs one, from `skull_fault`.

    Returns:
        (n, m, k) bool on the grid of the image, and the tool with its version.

    Raises:
        DataError: no tool is installed, or it failed.
    """
    tool = require_tool(fault)
    version = tool.version
    with tempfile.TemporaryDirectory() as folder:
        paths = [str(Path(folder) / name) for name in ("head.nii.gz", "brain.nii.gz", "mask.nii.gz")]
        nib.save(nib.Nifti1Image(image.voxels.astype(np.float32), image.affine), paths[0])
        command = [tool.executable, *tool.arguments(*paths)]
        try:
            answer = subprocess.run(command, capture_output=True, text=True, timeout=_SECONDS, check=False)
            made = nib.load(paths[2] if tool.writes_mask else paths[1])
            mask = Image((np.asarray(made.dataobj) != 0).astype(np.uint8), made.affine)
        except (OSError, subprocess.SubprocessError, nib.filebasedimages.ImageFileError) as error:
            last = (answer.stderr.strip().splitlines() or [""])[-1] if "answer" in locals() else ""
            raise DataError(
                f"{tool.name} ({tool.executable}) made no brain mask ({last or type(error).__name__}). Try it alone on "
                "a NIfTI file, or give a mask by --brain-mask FILE"
            ) from error
    brain = resample(mask, image.voxels.shape, image.affine, nearest=True) > 0
    check_brain(brain, image, tool.name)
    return brain, f"{tool.name} ({version})"


def read_brain_mask(path: Path, grids: dict[str, Image]) -> tuple[str, Image]:
    """A brain mask from a file, and the series whose grid it has.

    Args:
        path: NIfTI, 0 outside of the brain.
        grids: the series by kind.

    Raises:
        DataError: it cannot be read, or lies on the grid of none of them, so that nobody knows which of them moved.
    """
    try:
        read = nib.load(path)
        voxels = np.asarray(read.dataobj)
    except (OSError, ValueError, nib.filebasedimages.ImageFileError) as error:
        raise DataError(f"--brain-mask {path}: not a NIfTI file that can be read; give a .nii or .nii.gz.") from error
    mask = Image((voxels != 0).astype(np.uint8), read.affine)
    if mask.voxels.ndim == 3:
        for kind, image in grids.items():
            if _same_grid(mask, image):
                check_brain(mask.voxels > 0, mask, f"--brain-mask {path}")
                return kind, mask
    sizes = ", ".join(f"{kind} {' x '.join(map(str, image.voxels.shape))}" for kind, image in grids.items())
    raise DataError(
        f"--brain-mask {path}: {' x '.join(map(str, voxels.shape))} voxels, on the grid of none of the series "
        f"({sizes}). Draw or compute it on one of them."
    )


def check_brain(brain: np.ndarray, image: Image, name: str) -> None:
    """Refuse a mask that is no brain by its volume.

    Args:
        brain: (n, m, k) bool.
        image: whose grid it has.
        name: where it is from, for the message.

    Raises:
        DataError: it is too small or too large.
    """
    volume = float(brain.sum() * np.prod(image.spacing)) / 1000
    if not _ML[0] <= volume <= _ML[1]:
        raise DataError(
            f"{name}: the mask holds {volume:,.0f} ml; a brain has {_ML[0]:,.0f} to {_ML[1]:,.0f} ml. Look at it on "
            "the head, and correct it"
        )


def _same_grid(one: Image, other: Image) -> bool:
    """Whether two volumes have the same voxels, in whatever order of the axes."""
    if sorted(one.voxels.shape) != sorted(other.voxels.shape):
        return False
    change = np.linalg.inv(other.affine) @ one.affine
    turned = np.abs(change[:3, :3])
    whole = np.allclose(turned, np.round(turned), atol=1e-3) and np.allclose(turned.sum(axis=0), 1, atol=1e-3)
    ends = change @ np.array([[0, 0, 0, 1], [*(np.array(one.voxels.shape) - 1), 1]]).T
    low, high = ends[:3].min(axis=1), ends[:3].max(axis=1)
    return bool(
        whole and np.allclose(low, 0, atol=0.05) and np.allclose(high, np.array(other.voxels.shape) - 1, atol=0.05)
    )
