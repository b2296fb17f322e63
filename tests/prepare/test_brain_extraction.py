"""A head with its skull is refused, or goes one of the roads that are named."""

import os
import stat
import sys

import nibabel as nib
import numpy as np
import pytest

from helpers.prepare.brain_extraction import (
    TOOLS,
    check_extent,
    extract_brain,
    find_tool,
    read_brain_mask,
    require_tool,
    skull_fault,
)
from helpers.prepare.registration import Image
from helpers.runtime.errors import DataError

SHAPE, MM = (50, 60, 40), 4.0


def ball(radius):
    grid = np.indices(SHAPE) - np.array(SHAPE)[:, None, None, None] / 2
    return (grid**2).sum(axis=0) * MM**2 < radius**2


@pytest.fixture
def head(rng):
    """Air with noise, a brain of 1.15 l, and a ring round it."""
    voxels = np.abs(rng.normal(0, 5, SHAPE)) + 1
    voxels[ball(90)] = 900
    voxels[ball(65)] = 500
    return Image(voxels.astype(np.float32), np.diag([MM, MM, MM, 1]))


@pytest.fixture
def no_tools(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)


def stand_in(folder, name, body):
    """An executable of Python on the path."""
    path = folder / name
    path.write_text(f"#!{sys.executable}\nimport sys, nibabel as nib, numpy as np\n{body}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)


BRAIN = """
if "--version" in sys.argv: print("stand-in 1.2"); sys.exit()
given = dict(zip(sys.argv[1::2], sys.argv[2::2]))
image = nib.load(given["-i"])
mask = np.asarray(image.dataobj) == 500
nib.save(nib.Nifti1Image(np.where(mask, 500, 0).astype(np.int16), image.affine), given["-o"])
if "-m" in given: nib.save(nib.Nifti1Image(mask.astype(np.uint8), image.affine), given["-m"])
"""


def test_air_that_is_not_zero_means_a_skull(head):
    assert "0% of its voxels are 0, so the air round the head is there" in skull_fault(head)


def test_a_head_too_large_for_a_brain_has_its_skull(head):
    assert "a brain at most 2,300 ml: the skull is there" in skull_fault(Image(head.voxels * ball(90), head.affine))


def test_a_brain_alone_is_none(head):
    assert skull_fault(Image(head.voxels * ball(65), head.affine)) is None


def test_brains_of_real_patients_are_brains_and_a_real_head_is_none(real_data):
    from helpers.data.brats import read_catalogue
    from helpers.data.dicom.study import read_study
    from helpers.data.nifti import read_voxels

    for patient in read_catalogue(real_data / "brats18").patients[::5]:
        voxels, geometry = read_voxels(patient.images["t1ce"])
        assert skull_fault(Image(voxels, geometry.affine)) is None
    volume = read_study(real_data / "dicom" / "brain_t1w", ["t1"])["t1"]
    with pytest.raises(DataError, match=r"t1: it spans 192 x 256 x 5 mm \(8 slices\); expected a whole head"):
        check_extent(Image(volume.voxels, volume.affine), "t1")


def test_without_a_tool_the_refusal_names_all_roads(no_tools):
    assert find_tool() is None
    with pytest.raises(DataError) as caught:
        require_tool("a skull")
    for road in ("--brain-mask FILE", *(tool.name for tool in TOOLS), *(tool.command for tool in TOOLS)):
        assert road in str(caught.value)


@pytest.mark.parametrize("tool", TOOLS[:2], ids=lambda tool: tool.name)
def test_an_installed_tool_makes_the_mask_and_its_version_is_noted(no_tools, tmp_path, head, tool):
    stand_in(tmp_path, tool.command, BRAIN)
    mask, told = extract_brain(head, "a skull")
    np.testing.assert_array_equal(mask, head.voxels == 500)
    assert told == f"{tool.name} (stand-in 1.2)"


def test_a_package_makes_the_mask(no_tools, monkeypatch, tmp_path, head):
    package = tmp_path / "brainles_preprocessing"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "brain_extraction.py").write_text(
        "import nibabel as nib, numpy as np\n"
        "class HDBetExtractor:\n"
        "    def extract(self, image, masked, mask, device):\n"
        "        read = nib.load(image)\n"
        "        brain = (np.asarray(read.dataobj) == 500).astype(np.uint8)\n"
        "        nib.save(nib.Nifti1Image(brain, read.affine), mask)\n"
    )
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")]))
    monkeypatch.setattr("importlib.util.find_spec", lambda name: name == "brainles_preprocessing")
    mask, told = extract_brain(head, "a skull")
    np.testing.assert_array_equal(mask, head.voxels == 500)
    assert told.startswith("brainles-preprocessing (")


def test_a_tool_that_fails_is_named(no_tools, tmp_path, head):
    stand_in(tmp_path, "hd-bet", "sys.exit('no weights')")
    with pytest.raises(DataError, match=r"HD-BET \(.*hd-bet\) made no brain mask \(no weights\)"):
        extract_brain(head, "a skull")


def test_a_mask_that_is_no_brain_is_refused(no_tools, tmp_path, head):
    stand_in(tmp_path, "hd-bet", BRAIN.replace("== 500", "== 12345"))
    with pytest.raises(DataError, match="HD-BET: the mask holds 0 ml; a brain has 600 to 2,300 ml"):
        extract_brain(head, "a skull")


@pytest.mark.parametrize("turned", [False, True])
def test_a_mask_from_a_file_finds_the_series_whose_grid_it_has(tmp_path, head, turned):
    mask = nib.Nifti1Image(ball(65).astype(np.uint8), head.affine)
    if turned:
        mask = mask.as_reoriented(np.array([[2, -1], [0, 1], [1, -1]]))
    nib.save(mask, tmp_path / "mask.nii.gz")
    other = Image(head.voxels[:, :, :20], head.affine)
    kind, read = read_brain_mask(tmp_path / "mask.nii.gz", {"flair": other, "t1ce": head})
    assert kind == "t1ce"
    assert read.voxels.sum() == ball(65).sum()


def test_a_mask_on_no_grid_or_no_file_is_refused(tmp_path, head):
    nib.save(nib.Nifti1Image(ball(65).astype(np.uint8)[1:], head.affine), tmp_path / "mask.nii.gz")
    with pytest.raises(DataError, match=r"49 x 60 x 40 voxels, on the grid of none of the series \(t1 50 x 60 x 40\)"):
        read_brain_mask(tmp_path / "mask.nii.gz", {"t1": head})
    (tmp_path / "mask.nii").write_text("nothing")
    with pytest.raises(DataError, match="not a NIfTI file that can be read"):
        read_brain_mask(tmp_path / "mask.nii", {"t1": head})
