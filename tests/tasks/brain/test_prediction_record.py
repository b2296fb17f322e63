"""Laws of `predict` for several patients: the bad are named first, the good are written, what is finished is kept."""

import errno
import json
import os
import shutil
import zipfile
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from helpers.data.brats import read_catalogue
from helpers.runtime import disk
from helpers.runtime.errors import DataError
from helpers.runtime.interrupt import Terminated
from helpers.tasks.brain.commands import predict_brain
from helpers.tasks.brain.inference import Segmenter
from helpers.tasks.brain.prediction_record import RECORD


class _Network:
    """Stands for a trained network: brain is tumour; each call is recorded."""

    modalities = ("flair", "t1ce")

    def __init__(self):
        self.predicted = []

    def predict(self, scan):
        self.predicted.append(scan.id)
        return (scan.image("flair") > 0).astype(np.uint8)


@pytest.fixture
def network(monkeypatch):
    made = _Network()
    monkeypatch.setattr(Segmenter, "load", lambda folder: made)
    return made


@pytest.fixture
def model(tmp_path):
    """The folder of a model, as far as it is read before the network is loaded."""
    folder = tmp_path / "model"
    folder.mkdir()
    parameters = {"modalities": list(_Network.modalities), "size": 32, "extent_mm": 192.0}
    (folder / "run.json").write_text(json.dumps({"task": "brain", "parameters": parameters}))
    with zipfile.ZipFile(folder / "model.keras", "w"):
        pass
    return folder


@pytest.fixture
def three(phantoms, tmp_path):
    """The folders of three patients that a test may spoil."""
    sources = [patient.folder for patient in read_catalogue(phantoms).patients[:3]]
    return [Path(shutil.copytree(source, tmp_path / "in" / source.name)) for source in sources]


def _spoil(folder):
    path = next(folder.glob("*_flair.nii*"))
    image = nib.load(path)
    nib.save(nib.Nifti1Image(np.full(image.shape, np.nan, np.float32), image.affine), path)
    return path


def _masks(out):
    return sorted(path.name.removesuffix("_seg.nii.gz") for path in out.glob("*_seg.nii.gz"))


def _hidden(out):
    return [path.name for path in out.rglob("*") if path.name.startswith(".")]


def test_bad_patients_are_named_before_the_first_mask_and_the_good_are_written(network, model, three, tmp_path):
    spoiled = [_spoil(three[1])]
    next(three[0].glob("*_t1ce.nii*")).unlink()
    lines = []

    def log(line):
        lines.append((line, list(network.predicted)))

    with pytest.raises(DataError) as met:
        predict_brain(model, [tmp_path / "in"], tmp_path / "out", log)
    first, predicted = lines[0]
    assert predicted == []
    for text in (first, str(met.value)):
        assert spoiled[0].name in text
        assert "t1ce is missing" in text
    assert "1 are in" in str(met.value)
    assert _masks(tmp_path / "out") == network.predicted == [three[2].name]
    assert not _hidden(tmp_path / "out")


def test_same_command_keeps_what_is_finished(network, model, three, tmp_path):
    whole = shutil.copytree(three[1], tmp_path / "aside")
    _spoil(three[1])
    with pytest.raises(DataError):
        predict_brain(model, three, tmp_path / "out", lambda line: None)
    shutil.rmtree(three[1])
    shutil.copytree(whole, three[1])
    lines = []
    assert len(predict_brain(model, three, tmp_path / "out", lines.append)) == 3
    assert network.predicted == [three[0].name, three[2].name, three[1].name]
    assert sum("finished before" in line for line in lines) == 2
    predict_brain(model, three, tmp_path / "out", lines.append)
    assert len(network.predicted) == 3


@pytest.mark.parametrize("what", ["mask", "scan", "model", "weights", "record"])
def test_mask_of_anything_else_is_not_taken_for_a_finished_one(network, model, three, tmp_path, what):
    out = tmp_path / "out"
    (mask,) = predict_brain(model, three[:1], out, lambda line: None)
    changed = {
        "mask": mask,
        "scan": next(three[0].glob("*_t1ce.nii*")),
        "model": model / "run.json",
        "weights": model / "model.keras",
        "record": out / RECORD,
    }[what]
    if what == "record":
        changed.unlink()
    else:
        changed.write_bytes(changed.read_bytes() + b"\n")
    before = mask.read_bytes()
    with pytest.raises(FileExistsError, match=rf"{mask.name}.*not overwritten.*--out"):
        predict_brain(model, three, out, lambda line: None)
    assert mask.read_bytes() == before
    assert network.predicted == [three[0].name]


def test_record_names_no_folder_of_the_machine(network, model, three, tmp_path):
    predict_brain(model, three[:1], tmp_path / "out", lambda line: None)
    text = (tmp_path / "out" / RECORD).read_text()
    assert str(tmp_path) not in text
    assert list(json.loads(text)["masks"]) == [f"{three[0].name}_seg.nii.gz"]


@pytest.mark.parametrize("killed", ["helpers.tasks.brain.prediction_record.write_json", "os.replace"])
def test_whatever_moment_a_process_is_killed_at_the_same_command_goes_on(network, model, three, tmp_path, killed):
    """Before the mask is recorded, and before it is moved into place."""

    class KilledError(BaseException):
        pass

    def kill(*_):
        raise KilledError

    out = tmp_path / "out"
    predict_brain(model, three[:1], out, lambda line: None)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(killed, kill)
        with pytest.raises(KilledError):
            predict_brain(model, three, out, lambda line: None)
    assert _masks(out) == [three[0].name]
    assert len(predict_brain(model, three, out, lambda line: None)) == 3
    assert network.predicted.count(three[0].name) == 1


@pytest.mark.parametrize("signal", [KeyboardInterrupt, Terminated])
def test_ctrl_c_and_sigterm_keep_what_is_finished_and_say_so(network, model, three, tmp_path, signal, monkeypatch):
    predict = network.predict

    def stop_at_the_second(scan):
        if network.predicted:
            raise signal
        return predict(scan)

    monkeypatch.setattr(network, "predict", stop_at_the_second)
    with pytest.raises(signal, match=r"^Stopped after 1 of 3 patients; the same command keeps their masks and goes on"):
        predict_brain(model, three, tmp_path / "out", lambda line: None)
    assert _masks(tmp_path / "out") == [three[0].name]
    assert not _hidden(tmp_path / "out")
    monkeypatch.undo()


def test_full_disk_is_reported_with_the_mask_and_keeps_the_others(network, model, three, tmp_path, monkeypatch):
    save, saved = nib.save, []

    def fills_up(image, path):
        if saved:
            Path(path).write_bytes(b"half")
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        saved.append(path)
        save(image, path)

    monkeypatch.setattr(nib, "save", fills_up)
    out = tmp_path / "out"
    with pytest.raises(DataError, match=rf"{three[1].name}_seg.*cannot be written: the disk.*Nothing half written"):
        predict_brain(model, three, out, lambda line: None)
    assert _masks(out) == [three[0].name]
    assert not _hidden(out)
    monkeypatch.setattr(nib, "save", save)
    assert len(predict_brain(model, three, out, lambda line: None)) == 3
    assert disk._writing == set()


@pytest.mark.parametrize("inside", ["", "masks", "a/b"])
def test_masks_do_not_go_into_a_patients_folder(network, model, three, tmp_path, inside):
    before = sorted(three[0].rglob("*"))
    with pytest.raises(DataError, match=r"second mask.*--out"):
        predict_brain(model, three[:1], three[0] / inside, lambda line: None)
    with pytest.raises(DataError, match=r"second mask.*--out"):
        predict_brain(model, three[1:], three[0], lambda line: None)  # of a patient that is not in the command
    assert sorted(three[0].rglob("*")) == before
    assert len(predict_brain(model, three, tmp_path / "in", lambda line: None)) == 3  # above them they do no harm


def test_memory_that_one_patient_exceeds_is_no_end_for_the_others(network, model, three, tmp_path, monkeypatch):
    predict = network.predict

    def exceed(scan):
        if scan.id == three[1].name:
            raise MemoryError
        return predict(scan)

    monkeypatch.setattr(network, "predict", exceed)
    with pytest.raises(DataError, match=f"{three[1].name}: there is not enough memory"):
        predict_brain(model, three, tmp_path / "out", lambda line: None)
    assert _masks(tmp_path / "out") == [three[0].name, three[2].name]
