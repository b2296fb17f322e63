"""Laws of the phantom patients: on disk the real set, in the voxels a head with a glioma."""

import errno
import hashlib
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
import pytest

from helpers.data.phantoms import brats
from helpers.data.phantoms.brats import make_brats
from helpers.runtime.errors import DataError

COARSE = {"shape": (80, 80, 52), "spacing": 3.0}
MODALITIES = ("flair", "t1", "t1ce", "t2")
TRAINING = "BraTS2020_TrainingData/MICCAI_BraTS2020_TrainingData"
VALIDATION = "BraTS2020_ValidationData/MICCAI_BraTS2020_ValidationData"


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    return make_brats(tmp_path_factory.mktemp("phantoms") / "set", patients=11, validation=1, **COARSE)


@pytest.fixture(scope="module")
def scans(root) -> dict[str, dict[str, np.ndarray]]:
    """Training patients: id to their volumes, the segmentation under "seg"."""
    return {folder.name: read(folder) for folder in sorted((root / TRAINING).iterdir()) if folder.is_dir()}


def read(folder: Path) -> dict[str, np.ndarray]:
    volumes = {m: np.asarray(nib.load(folder / f"{folder.name}_{m}.nii").dataobj) for m in MODALITIES}
    segs = [path for path in folder.iterdir() if path.stem.lower().endswith(("_seg", "_segm"))]
    return {**volumes, "seg": np.asarray(nib.load(segs[0]).dataobj)}


def digest(root: Path) -> str:
    files = sorted(path for path in root.rglob("*") if path.is_file() and path.name != brats.NOTE)
    return hashlib.sha256(
        b"".join(path.relative_to(root).as_posix().encode() + path.read_bytes() for path in files)
    ).hexdigest()


def test_files_are_named_as_in_the_real_set(root):
    folders = sorted(folder.name for folder in (root / TRAINING).iterdir() if folder.is_dir())
    assert folders == [f"BraTS20_Training_{n:03d}" for n in (*range(1, 11), 355)]
    for folder in folders:
        seg = "W39_1998.09.19_Segm.nii" if folder.endswith("355") else f"{folder}_seg.nii"
        expected = sorted([*(f"{folder}_{m}.nii" for m in MODALITIES), seg])
        assert sorted(path.name for path in (root / TRAINING / folder).iterdir()) == expected
    names = sorted(path.name for path in (root / VALIDATION / "BraTS20_Validation_001").iterdir())
    assert names == sorted(f"BraTS20_Validation_001_{m}.nii" for m in MODALITIES)


def test_a_single_patient_is_number_355(tmp_path):
    root = make_brats(tmp_path / "set", patients=1, validation=0, **COARSE)
    assert [path.name for path in (root / TRAINING).iterdir() if path.is_dir()] == ["BraTS20_Training_355"]


def test_files_are_int16_on_one_grid_with_the_real_axes(root):
    for path in (root / TRAINING / "BraTS20_Training_001").iterdir():
        image = nib.load(path)
        assert image.get_data_dtype() == np.int16
        assert image.shape == COARSE["shape"]
        assert image.affine.tolist() == [[-3, 0, 0, -1], [0, -3, 0, 238], [0, 0, 3, 1], [0, 0, 0, 1]]
        assert nib.aff2axcodes(image.affine) == ("L", "P", "S")
        assert image.header.get_zooms() == (3, 3, 3)
        assert image.header.get_xyzt_units()[0] == "mm"


def test_full_grid_has_the_affine_of_the_real_set(tmp_path, monkeypatch):
    empty = np.zeros((240, 240, 155), np.int16)  # a head on this grid takes seconds, and is not what this is about
    monkeypatch.setattr(brats, "_make_patient", lambda *_: ({"flair": empty}, empty))
    root = make_brats(tmp_path / "set", patients=1, validation=0)
    image = nib.load(next(root.rglob("*_Segm.nii")))
    assert image.shape == (240, 240, 155)
    assert image.affine.tolist() == [[-1, 0, 0, 0], [0, -1, 0, 239], [0, 0, 1, 0], [0, 0, 0, 1]]


def test_tables_have_the_columns_of_the_real_set(root):
    years = [f"BraTS_{year}_subject_ID" for year in (2017, 2018, 2019)]
    older = [*years, "TCGA_TCIA_subject_ID", "BraTS_2020_subject_ID"]
    names = pd.read_csv(root / TRAINING / "name_mapping.csv")
    assert list(names) == ["Grade", *older]
    assert set(names["Grade"]) == {"HGG", "LGG"}
    assert names["BraTS_2019_subject_ID"].isna().any()
    assert names["BraTS_2019_subject_ID"].dropna().str.fullmatch(r"BraTS19_(CBICA|TCIA\d\d|2013)_\w+_1").all()
    assert names["BraTS_2019_subject_ID"].dropna().is_unique
    survival = pd.read_csv(root / TRAINING / "survival_info.csv")
    assert list(survival) == ["Brats20ID", "Age", "Survival_days", "Extent_of_Resection"]
    assert set(survival["Brats20ID"]) <= set(names["BraTS_2020_subject_ID"])
    assert list(pd.read_csv(root / VALIDATION / "name_mapping_validation_data.csv")) == older
    assert list(pd.read_csv(root / VALIDATION / "survival_evaluation.csv")) == [
        "BraTS20ID",
        "Age",
        "ResectionStatus",
    ]


def test_same_seed_gives_the_same_bytes_and_another_seed_another_patient(tmp_path):
    few = {"patients": 2, "validation": 1, **COARSE}
    first, again, other = (
        make_brats(tmp_path / name, seed=seed, **few) for name, seed in (("a", 3), ("b", 3), ("c", 4))
    )
    assert digest(first) == digest(again)
    flair = f"{TRAINING}/BraTS20_Training_001/BraTS20_Training_001_flair.nii"
    assert (first / flair).read_bytes() != (other / flair).read_bytes()


def test_a_patient_does_not_depend_on_how_many_there_are(root, tmp_path):
    few = make_brats(tmp_path / "set", patients=2, validation=0, **COARSE)
    for name in (
        "BraTS20_Training_001/BraTS20_Training_001_t2.nii",
        "BraTS20_Training_355/W39_1998.09.19_Segm.nii",
    ):
        assert (few / TRAINING / name).read_bytes() == (root / TRAINING / name).read_bytes()


def test_modalities_are_positive_in_the_same_voxels_and_zero_outside(scans):
    for volumes in scans.values():
        brain = volumes["t1"] > 0
        assert 0.9e6 < brain.sum() * 27 < 2.1e6  # mm3
        for modality in MODALITIES:
            np.testing.assert_array_equal(volumes[modality] > 0, brain)
            assert volumes[modality].min() == 0


def test_tumour_lies_inside_the_brain(scans):
    for volumes in scans.values():
        assert set(np.unique(volumes["seg"])) <= {0, 1, 2, 4}
        assert not ((volumes["seg"] > 0) & (volumes["t1"] == 0)).any()


def test_enhancing_rim_lies_in_the_core_and_the_core_in_oedema(scans):
    """By labels the regions nest always; in space they must share a place."""
    for volumes in scans.values():
        enhancing, core, whole = volumes["seg"] == 4, np.isin(volumes["seg"], (1, 4)), volumes["seg"] > 0
        if enhancing.any():
            centre = [np.argwhere(region).mean(axis=0) * 3 for region in (enhancing, core, whole)]
            assert np.linalg.norm(centre[0] - centre[1]) < 20
            assert np.linalg.norm(centre[1] - centre[2]) < 35
        assert 0 < core.sum() < whole.sum()


def test_volumes_are_those_of_real_gliomas(scans):
    whole = [(volumes["seg"] > 0).sum() * 27 / 1000 for volumes in scans.values()]  # ml
    assert min(whole) > 15
    assert max(whole) < 190


def test_tumour_is_in_about_two_fifths_of_all_slices(scans):
    share = np.mean([(volumes["seg"] > 0).any(axis=(0, 1)).mean() for volumes in scans.values()])
    assert 0.3 < share < 0.5


def test_high_grades_enhance_and_some_low_grades_do_not(root, scans):
    names = pd.read_csv(root / TRAINING / "name_mapping.csv").set_index("BraTS_2020_subject_ID")
    enhancing = {
        grade: [(scans[i]["seg"] == 4).any() for i in names.index[names["Grade"] == grade]] for grade in ("HGG", "LGG")
    }
    assert all(enhancing["HGG"])
    assert not all(enhancing["LGG"])


def against_white_matter(volumes: dict[str, np.ndarray], label: int) -> dict[str, float]:
    """Mean brightness of a label in units of healthy white matter: what is brightest on T1."""
    healthy = (volumes["t1"] > 0) & (volumes["seg"] == 0)
    white = healthy & (volumes["t1"] > np.percentile(volumes["t1"][healthy], 70))
    return {m: volumes[m][volumes["seg"] == label].mean() / volumes[m][white].mean() for m in MODALITIES}


def test_rim_is_bright_on_t1ce_only(scans):
    rims = [against_white_matter(volumes, 4) for volumes in scans.values() if (volumes["seg"] == 4).any()]
    assert min(rim["t1ce"] for rim in rims) > 1.05
    assert np.mean([rim["t1ce"] for rim in rims]) > 1.25
    assert max(rim["t1"] for rim in rims) < 0.95


def test_oedema_is_bright_on_flair_and_t2_and_dark_on_t1(scans):
    for volumes in scans.values():
        oedema = against_white_matter(volumes, 2)
        assert oedema["flair"] > 1.2
        assert oedema["t2"] > 1.2
        assert oedema["t1"] < 0.95


def test_core_is_darker_than_oedema_on_t1(scans):
    for volumes in scans.values():
        assert against_white_matter(volumes, 1)["t1"] < against_white_matter(volumes, 2)["t1"]


def test_scanners_differ_several_fold(scans):
    levels = [np.median(volumes["t1ce"][volumes["t1ce"] > 0]) for volumes in scans.values()]
    assert max(levels) > 2 * min(levels)


def test_coarse_and_fine_grid_show_the_same_tumour(tmp_path, scans):
    fine = make_brats(tmp_path / "set", patients=2, validation=0, shape=(120, 120, 62), spacing=(2.0, 2.0, 2.5))
    for identity in ("BraTS20_Training_001", "BraTS20_Training_355"):
        volume = (read(fine / TRAINING / identity)["seg"] > 0).sum() * 10
        assert (scans[identity]["seg"] > 0).sum() * 27 == pytest.approx(volume, rel=0.1)


def test_second_call_returns_at_once_and_writes_nothing(root, monkeypatch):
    monkeypatch.setattr(brats, "_build", lambda *_: pytest.fail("built again"))
    assert make_brats(root, patients=11, validation=1, **COARSE) == root


def test_interruption_leaves_nothing(tmp_path, monkeypatch):
    def stop(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(brats, "grow_tumour", stop)
    with pytest.raises(KeyboardInterrupt):
        make_brats(tmp_path / "set", patients=2, validation=0, **COARSE)
    assert list(tmp_path.iterdir()) == []


def test_foreign_folder_is_refused_and_kept(tmp_path):
    (tmp_path / "thesis.txt").write_text("do not lose me")
    with pytest.raises(DataError, match="holds files that are no phantom set"):
        make_brats(tmp_path, patients=1, validation=0, **COARSE)
    assert (tmp_path / "thesis.txt").read_text() == "do not lose me"


def test_another_phantom_set_is_refused(tmp_path):
    (tmp_path / brats.NOTE).write_text(json.dumps({"seed": 7}))
    with pytest.raises(DataError, match="another phantom set"):
        make_brats(tmp_path, patients=1, validation=0, **COARSE)


def test_empty_folder_is_taken(tmp_path):
    assert (make_brats(tmp_path, patients=1, validation=0, **COARSE) / brats.NOTE).is_file()


@pytest.mark.parametrize("wrong", [{"patients": 0}, {"spacing": 2.0}, {"patients": 356}, {"validation": -1}])
def test_impossible_requests_are_refused(tmp_path, wrong):
    with pytest.raises(DataError, match=r"Cannot make|a head needs"):
        make_brats(tmp_path / "set", **{"patients": 1, "validation": 0, **COARSE, **wrong})
    assert not (tmp_path / "set").exists()


def test_what_a_killed_call_left_is_removed_by_the_next(tmp_path):
    code = "import sys; from helpers.data.phantoms.brats import make_brats; make_brats(sys.argv[1])"
    killed = subprocess.Popen([sys.executable, "-c", code, tmp_path / "set"])
    deadline = time.monotonic() + 60
    while not list(tmp_path.glob(".set*/*")) and time.monotonic() < deadline:
        time.sleep(0.05)
    killed.kill()
    killed.wait()
    assert list(tmp_path.iterdir()) != []
    make_brats(tmp_path / "set", patients=1, validation=0, **COARSE)
    assert [path.name for path in tmp_path.iterdir()] == ["set"]


def test_a_full_disk_is_reported_in_one_line_and_leaves_nothing(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(nib, "save", full)
    with pytest.raises(DataError, match=r"set cannot be written: the disk.* is full"):
        make_brats(tmp_path / "set", patients=1, validation=0, **COARSE)
    assert list(tmp_path.iterdir()) == []


def test_a_set_that_is_there_is_returned_where_nothing_may_be_written(root, monkeypatch):
    monkeypatch.setattr(brats, "writable_folder", lambda *_, **__: pytest.fail("written"))
    assert make_brats(root, patients=11, validation=1, **COARSE) == root


def test_a_home_is_expanded(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    assert make_brats("~/set", patients=1, validation=0, **COARSE) == tmp_path / "set"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"seed": -1}, "seed -1"),
        ({"patients": 356}, "356 patients"),
        ({"spacing": float("nan")}, "voxels of at most 6 mm"),
        ({"spacing": -3.0}, "voxels of at most 6 mm"),
    ],
)
def test_settings_out_of_range_are_refused(tmp_path, arguments, message):
    with pytest.raises(DataError, match=message):
        make_brats(tmp_path / "set", **{"patients": 1, "validation": 0, **COARSE, **arguments})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("encoding", ["ascii", "cp1252"])
def test_a_console_that_lacks_a_letter_stops_nothing(tmp_path, encoding):
    """Printed are question marks; the folder has its own name."""
    out = tmp_path / "K\u00f6pfe [b] \u982d" / "set"
    command = [sys.executable, "-m", "helpers", "phantom", "--patients", "1", "--out", out]
    answer = subprocess.run(command, capture_output=True, env={**os.environ, "PYTHONIOENCODING": encoding})
    assert answer.returncode == 0, answer.stderr
    assert b"pfe [b] ?" in answer.stdout
    assert (out / brats.NOTE).is_file()
