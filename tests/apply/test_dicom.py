"""The whole road: an archive's folder in, outlines on the scanner's own series out, or a refusal."""

import json

import nibabel as nib
import numpy as np
import pytest
from nibabel.orientations import apply_orientation, axcodes2ornt, inv_ornt_aff, io_orientation, ornt_transform
from typer.testing import CliRunner

from helpers.apply.dicom import predict_dicom
from helpers.cli import app
from helpers.data.dicom.catalogue import read_one_study
from helpers.data.dicom.segmentation import read_dicom_segmentation
from helpers.data.dicom.volume import read_volume
from helpers.data.phantoms.dicom import Visit, write_series
from helpers.data.volumes import read_scan, to_network
from helpers.measure.overlap import dice
from helpers.prepare import network_space, registration
from helpers.prepare.registration import read_transform
from helpers.runtime.errors import DataError
from helpers.tasks.brain.inference import Segmenter
from tests.apply.conftest import MODALITIES, network

NAME = "Muellerova"


def quiet(_):
    pass


@pytest.fixture(scope="module", autouse=True)
def coarse():
    """The network's grid at the spacing of the phantoms, and few samples, so that a test takes seconds."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(registration, "_SAMPLES", 6000)
        patch.setattr(network_space, "_MM", 4.0)
        patch.setattr(network_space, "_SAME_MM", 0.05)
        yield


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("model")
    network(dropout=0.0).save(folder / "model.keras")
    parameters = {"modalities": list(MODALITIES), "size": 48, "extent_mm": 192.0}
    (folder / "run.json").write_text(json.dumps({"task": "brain", "parameters": parameters}))
    return folder


@pytest.fixture(scope="module")
def scan(patients):
    return read_scan(patients[0], MODALITIES)


def oblique(degrees):
    angle = np.radians(degrees)
    turn = np.eye(4)
    turn[1:3, 1:3] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    return turn


def write_study(folder, scan, codes="PIR", motion=None, background=0, **settings):
    """The patient as an archive exports it: sagittal slices, an oblique header, names everywhere."""
    visit = Visit(seed=1, patient=NAME, patient_id=NAME)
    for kind in MODALITIES:
        turn = ornt_transform(axcodes2ornt("LPS"), axcodes2ornt(codes))
        voxels = apply_orientation(scan.image(kind), turn)
        affine = oblique(6) @ scan.affine @ inv_ornt_aff(turn, scan.images.shape[:3])
        if motion is not None and kind == "flair":
            affine = motion @ affine
        write_series(folder, np.maximum(voxels, background).astype(np.int16), affine, kind, visit, **settings)
    return folder


def outlines(folder):
    return {kind: nib.load(folder / f"{kind}_seg.nii.gz") for kind in MODALITIES}


def as_training(image):
    labels = to_network(np.asarray(image.dataobj))
    return apply_orientation(labels, ornt_transform(io_orientation(image.affine), axcodes2ornt("LPS")))


@pytest.fixture(scope="module")
def finished(model, scan, tmp_path_factory):
    """A study, the folder of its masks, and what was said."""
    root, lines = tmp_path_factory.mktemp("finished"), []
    (folder,) = predict_dicom(model, [write_study(root / "in", scan)], root / "out", log=lines.append)
    return root / "in", folder, lines


def test_permuted_axes_and_an_oblique_header_give_the_same_mask(model, scan, finished):
    direct = Segmenter.load(model).predict(scan)
    assert direct.any()
    folder = finished[1]
    for image in outlines(folder).values():
        np.testing.assert_array_equal(as_training(image), direct)


def test_the_dicom_segmentation_is_the_nifti_mask(finished):
    source, folder, _ = finished
    for series in read_one_study(source).series:
        labels = read_dicom_segmentation(folder / f"{series.kind}_seg.dcm", read_volume(series))
        image = nib.load(folder / f"{series.kind}_seg.nii.gz")
        np.testing.assert_array_equal(labels, to_network(np.asarray(image.dataobj)))
        np.testing.assert_allclose(image.affine, read_volume(series).affine, atol=1e-4)


def test_a_head_that_moved_gets_its_outline_where_it_is(model, scan, tmp_path):
    motion = np.eye(4)
    motion[:3, 3] = 6, -4, 5
    lines = []
    source = write_study(tmp_path / "in", scan, motion=motion)
    (folder,) = predict_dicom(model, [source], tmp_path / "out", log=lines.append)
    direct = Segmenter.load(model).predict(scan) > 0
    for image in outlines(folder).values():
        assert dice(as_training(image) > 0, direct) > 0.9
    found = read_transform(folder / "flair.tfm")
    np.testing.assert_allclose(found[:3, 3], motion[:3, 3], atol=2.5)
    record = json.loads((folder / "study.json").read_text())
    assert record["reference"] == "t1ce"
    assert record["registrations"]["flair"]["motion_mm"] == pytest.approx(np.linalg.norm(motion[:3, 3]), abs=1.5)
    assert "flair against t1ce: moved by" in lines[0]


def test_finished_studies_are_kept_and_others_are_not_overwritten(model, finished, tmp_path):
    source, folder, _ = finished
    before = (folder / "study.json").stat().st_mtime_ns
    lines = []
    assert predict_dicom(model, [source], folder.parent, log=lines.append) == [folder]
    assert "finished before" in lines[0]
    assert (folder / "study.json").stat().st_mtime_ns == before
    (tmp_path / folder.name).mkdir()
    with pytest.raises(FileExistsError, match="not overwritten"):
        predict_dicom(model, [source], tmp_path, log=quiet)


def test_no_name_is_said_or_written_but_in_the_segmentation_of_the_archive(finished):
    _, folder, lines = finished
    written = [path for path in folder.rglob("*") if path.is_file() and path.suffix != ".dcm"]
    assert len(written) == 5
    assert not [path for path in written if NAME.encode() in path.read_bytes() or NAME in path.name]
    assert not [line for line in lines if NAME in line]


def test_a_skull_is_refused_with_the_roads_and_a_mask_is_one(model, scan, tmp_path, monkeypatch):
    monkeypatch.setattr("helpers.prepare.brain_extraction.find_tool", lambda: None)
    source = write_study(tmp_path / "in", scan, background=3)
    with pytest.raises(DataError, match=r"the skull\. This model wants the brain alone\. .*--brain-mask FILE.*hd-bet"):
        predict_dicom(model, [source], tmp_path / "out", log=quiet)
    assert not list((tmp_path / "out").glob("*"))
    volume = read_volume(next(one for one in read_one_study(source).series if one.kind == "t1ce"))
    mask = nib.Nifti1Image((volume.voxels > 3).astype(np.uint8), volume.affine)
    nib.save(mask, tmp_path / "mask.nii.gz")
    (folder,) = predict_dicom(model, [source], tmp_path / "out", brain_mask=tmp_path / "mask.nii.gz", log=quiet)
    direct = Segmenter.load(model).predict(scan) > 0
    assert dice(as_training(outlines(folder)["t1ce"]) > 0, direct) > 0.9
    assert json.loads((folder / "study.json").read_text())["brain"].startswith("--brain-mask, on the grid of")


def test_one_bad_study_does_not_keep_the_others_from_their_masks(model, scan, tmp_path):
    write_study(tmp_path / "in", scan)
    write_series(tmp_path / "in" / "b", scan.images[..., 0].astype(np.int16), scan.affine, "flair", Visit(seed=2))
    with pytest.raises(DataError, match=r"Without a mask: 1 of 2 studies:\n.*no series that is surely a T1ce"):
        predict_dicom(model, [tmp_path / "in"], tmp_path / "out", log=quiet)
    assert len(list((tmp_path / "out").glob("study_*"))) == 1


def test_a_folder_that_cannot_be_finished_leaves_nothing(model, scan, tmp_path, monkeypatch):
    def full(*_):
        raise DataError("the disk is full")

    monkeypatch.setattr("helpers.data.dicom.segmentation.write_dicom_segmentation", full)
    with pytest.raises(DataError, match="the disk is full"):
        predict_dicom(model, [write_study(tmp_path / "in", scan)], tmp_path / "out", log=quiet)
    assert not list((tmp_path / "out").iterdir())


def test_the_real_head_is_refused_for_what_it_lacks(model, real_data, tmp_path):
    source = real_data / "dicom" / "brain_t1w"
    with pytest.raises(DataError, match=r"has no series that is surely a FLAIR\..*--flair.*\n.*T1: its description"):
        predict_dicom(model, [source], tmp_path, log=quiet)
    assert not list(tmp_path.iterdir())


def test_commands_take_the_folder_and_say_no_name(model, finished):
    source, folder, _ = finished
    predicted = CliRunner().invoke(app, ["predict", str(model), str(source), "--out", str(folder.parent)])
    assert predicted.exit_code == 0, predicted.output
    assert "finished before" in predicted.output
    listed = CliRunner().invoke(app, ["dicom", str(source)])
    assert listed.exit_code == 0
    for series in read_one_study(source).series:
        assert series.uid in listed.output
    assert NAME not in predicted.output + listed.output


def test_a_named_series_is_taken_and_a_wrong_one_is_refused_with_what_is_there(model, finished, tmp_path):
    source, folder, _ = finished
    uids = {series.kind: series.uid for series in read_one_study(source).series}
    assert predict_dicom(model, [source], folder.parent, {"flair": uids["flair"]}, log=quiet) == [folder]
    with pytest.raises(DataError, match=r"has no series 1\.2\.3, which --flair names; it holds:"):
        predict_dicom(model, [source], tmp_path, {"flair": "1.2.3"}, log=quiet)
    with pytest.raises(DataError, match="was chosen for --flair, --t1ce"):
        predict_dicom(model, [source], tmp_path, {"flair": uids["t1ce"]}, log=quiet)
