"""Laws of the slice store: what is in it, when it is built anew, and that no partial store is ever found."""

import json
import os
import platform
import subprocess
import sys
import threading
from dataclasses import replace
from types import SimpleNamespace

import nibabel as nib
import numpy as np
import pytest

from helpers.data.array_cache import read_manifest
from helpers.data.brats import read_catalogue
from helpers.data.normalise import zscore
from helpers.data.resample import Grid, soft_labels_on
from helpers.data.store import VERSION, open_store, voxel_hashes
from helpers.data.volumes import read_scan
from helpers.runtime import disk
from helpers.runtime.errors import DataError

MODALITIES = ("flair", "t1ce")


@pytest.fixture
def three(spoiled):
    return read_catalogue(spoiled).require(MODALITIES)[:3]


def _open(patients, folder, size=32):
    return open_store(patients, folder, MODALITIES, Grid(size))


def test_store_holds_every_slice_as_the_network_sees_it(patients, store):
    patient = patients[2]
    scan = read_scan(patient, MODALITIES)
    centre = store.grid.brain_centre(scan.images, scan.spacing)
    images, soft_labels = store.volume(patient.id)
    np.testing.assert_array_equal(images, store.grid.down(zscore(scan.images), scan.spacing, centre).astype(np.float16))
    np.testing.assert_array_equal(soft_labels, soft_labels_on(scan.seg, store.grid, scan.spacing, centre))


def test_arrays_are_halves_and_bytes_in_memory_maps(store, patients):
    assert store.images.shape == (39 * len(patients), 32, 32, 2)
    assert (store.images.dtype, store.soft_labels.dtype) == (np.float16, np.uint8)
    assert isinstance(store.images, np.memmap)
    assert isinstance(store.soft_labels, np.memmap)
    assert store.soft_labels.shape == (*store.images.shape[:3], 4)
    assert np.shares_memory(store.soft_labels, store.label_planes)
    assert store.label_planes.flags.c_contiguous
    assert (store.label_planes.sum(axis=1) == 255).all()


def test_rows_of_patients_do_not_overlap(store, patients):
    rows = store.rows([patient.id for patient in patients])
    assert sorted(rows) == list(range(len(store.images)))


def test_slices_with_brain_and_voxels_per_class_fit_the_arrays(store):
    np.testing.assert_array_equal(store.has_brain, store.images.any(axis=(1, 2, 3)))
    np.testing.assert_allclose(store.voxels_per_class.sum(axis=1), 32 * 32, rtol=1e-5)


def test_same_sources_are_not_read_again(three, tmp_path):
    _open(three, tmp_path / "s")
    made = (tmp_path / "s" / "manifest.json").stat().st_mtime_ns
    _open(three, tmp_path / "s")
    assert (tmp_path / "s" / "manifest.json").stat().st_mtime_ns == made


def test_changed_source_is_read_again(three, tmp_path):
    before = np.array(_open(three, tmp_path / "s").volume(three[0].id)[0])
    path = three[0].images["flair"]
    image = nib.load(path)
    data = np.asarray(image.dataobj)[::-1].copy()
    nib.save(nib.Nifti1Image(data, image.affine), path)
    after = _open(three, tmp_path / "s").volume(three[0].id)[0]
    assert not np.array_equal(before, after)


def test_other_parameters_make_another_store(three, tmp_path):
    _open(three, tmp_path / "s")
    assert _open(three, tmp_path / "s", size=16).images.shape[1] == 16


def test_store_of_version_2_is_rebuilt(three, tmp_path):
    """It called the soft labels `shares.npy`, and the fingerprint of a patient `looks`."""
    folder = _open(three, tmp_path / "s").folder
    new = read_manifest(folder)
    (folder / "soft_labels.npy").rename(folder / "shares.npy")
    checksums = {name.replace("soft_labels", "shares"): value for name, value in new["checksums"].items()}
    entries = [{("looks" if key == "fingerprint" else key): entry[key] for key in entry} for entry in new["patients"]]
    old = {**new, "version": 2, "patients": entries, "checksums": checksums}
    (folder / "manifest.json").write_text(json.dumps(old))
    assert read_manifest(folder) == old  # whole, so it is no damaged one

    store = _open(three, folder)
    assert store.manifest == new
    assert store.manifest["version"] == VERSION == 6
    assert set(store.patients[three[0].id]["fingerprint"]) == {"head", *MODALITIES}
    assert sorted(path.name for path in folder.iterdir()) == [
        "has_brain.npy",
        "images.npy",
        "manifest.json",
        "soft_labels.npy",
        "voxels_per_class.npy",
    ]


@pytest.mark.parametrize("name", ["images.npy", "soft_labels.npy", "has_brain.npy"])
def test_damaged_store_is_refused(three, tmp_path, name):
    folder = _open(three, tmp_path / "s").folder
    content = bytearray((folder / name).read_bytes())
    content[-5] ^= 0xFF
    (folder / name).write_bytes(content)
    with pytest.raises(DataError, match=rf"damaged \({name} has changed.*Delete the folder"):
        _open(three, folder)


def test_store_cut_short_or_incomplete_is_refused(three, tmp_path):
    folder = _open(three, tmp_path / "s").folder
    (folder / "images.npy").write_bytes((folder / "images.npy").read_bytes()[:1000])
    with pytest.raises(DataError, match="damaged"):
        _open(three, folder)
    (folder / "images.npy").unlink()
    with pytest.raises(DataError, match="damaged"):
        _open(three, folder)


def test_bad_patients_are_all_named_and_no_half_store_stays(three, tmp_path):
    for patient in three[:2]:
        image = nib.load(patient.images["flair"])
        nib.save(nib.Nifti1Image(np.zeros(image.shape, np.int16), image.affine), patient.images["flair"])
    with pytest.raises(DataError) as caught:
        _open(three, tmp_path / "s")
    assert all(patient.images["flair"].name in str(caught.value) for patient in three[:2])
    assert "2 of 3 patients" in str(caught.value)
    assert [path.name for path in tmp_path.iterdir()] == ["brats"]


def test_interrupted_build_leaves_nothing(three, tmp_path):
    def stop(done, total):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        open_store(three, tmp_path / "s", MODALITIES, Grid(16), stop)
    assert [path.name for path in tmp_path.iterdir()] == ["brats"]


def test_full_disk_is_reported_with_the_missing_space_and_leaves_the_store_before(three, tmp_path, monkeypatch):
    before = np.array(_open(three[:2], tmp_path / "s").images)
    monkeypatch.setattr(disk.shutil, "disk_usage", lambda _: SimpleNamespace(free=100_000))
    # 3 patients of 39 slices: 117 * 32 * 32 pixels of 2 halves and 4 bytes
    with pytest.raises(DataError, match=r"/s cannot be written: .*\(1\.0 MB are wanted, 0\.1 MB free, 0\.9 MB missing"):
        _open(three, tmp_path / "s")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["brats", "s"]
    np.testing.assert_array_equal(_open(three[:2], tmp_path / "s").images, before)


def test_what_a_killed_builder_left_is_swept_away_and_what_a_living_one_writes_is_not(three, tmp_path):
    killed = subprocess.Popen([sys.executable, "-c", ""])
    killed.wait()
    left, growing = (tmp_path / f".s-{platform.node()}-{process}-abc" for process in (killed.pid, os.getppid()))
    for folder in (left, growing):
        folder.mkdir()
        (folder / "images.npy").touch()
    _open(three, tmp_path / "s")
    assert not left.exists()
    assert growing.exists()


def test_two_builders_at_once_both_get_a_whole_store(three, tmp_path):
    stores, errors = [], []

    def build():
        try:
            stores.append(_open(three, tmp_path / "s"))
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=build) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert len(stores) == 3
    assert sorted(path.name for path in tmp_path.iterdir()) == ["brats", "s"]


def test_hash_knows_a_patient_under_another_name_and_type(three, tmp_path):
    scan = read_scan(three[0], MODALITIES)
    image = nib.load(three[0].images["flair"])
    folder = tmp_path / "somebody"
    folder.mkdir()
    for kind in MODALITIES:
        image = nib.load(three[0].images[kind])
        nib.save(nib.Nifti1Image(np.asarray(image.dataobj, np.float32), image.affine), folder / f"x_{kind}.nii.gz")
    other = read_scan(read_catalogue(folder).patients[0], MODALITIES, seg=False)
    assert voxel_hashes(other) == voxel_hashes(scan)
    assert voxel_hashes(read_scan(three[1], MODALITIES)) != voxel_hashes(scan)


def test_hash_knows_a_patient_whose_intensities_were_changed(three):
    """Scaled, or corrected for a field: the outline of the brain is left, and is no other patient's."""
    scan, other = (read_scan(one, MODALITIES) for one in three[:2])
    field = np.linspace(0.5, 2, scan.images.shape[0], dtype=np.float32)[:, None, None, None]
    known = {*voxel_hashes(scan).values()}
    assert known & {*voxel_hashes(replace(scan, images=scan.images * field)).values()}
    assert not known & {*voxel_hashes(other).values()}


def test_a_scan_that_is_0_nowhere_has_no_outline_to_be_known_by(three):
    scan = read_scan(three[0], MODALITIES)
    assert set(voxel_hashes(replace(scan, images=scan.images + 1))) == set(MODALITIES)


def test_optional_modality_that_is_missing_is_zero_and_has_no_hash(three, tmp_path):
    three[0].images["t2"].unlink()
    people = read_catalogue(tmp_path / "brats").require(MODALITIES)[:3]
    store = open_store(people, tmp_path / "s", (*MODALITIES, "t2"), Grid(32), optional=("t2",))
    without, present = (store.volume(patient.id)[0] for patient in people[:2])
    assert not without[..., 2].any()
    assert present[..., 2].any()
    assert set(store.patients[people[0].id]["voxels"]) == {"flair", "flair_brain", "t1ce", "t1ce_brain"}
    np.testing.assert_array_equal(without[..., :2], _open(people, tmp_path / "pair").volume(people[0].id)[0])
    with pytest.raises(DataError, match="no t2"):
        open_store(people, tmp_path / "other", (*MODALITIES, "t2"), Grid(32))
