"""Laws of de-identification: no name is left, references hold, and only the key's holder can do it again."""

import importlib.util
import json
import shutil
import subprocess
import sys
from datetime import datetime
from pathlib import Path

import numpy as np
import pydicom
import pytest
from PIL import Image, ImageDraw
from pydicom.datadict import keyword_for_tag, tag_for_keyword
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.uid import ExplicitVRBigEndian, RLELossless

from helpers.data.deidentify import image as image_module
from helpers.data.deidentify.folder import deidentify
from helpers.data.deidentify.key import Pseudonyms, read_key
from helpers.data.deidentify.pixels import KINDS
from helpers.data.deidentify.profile import basic_profile, kept
from helpers.data.deidentify.words import clean, vocabulary
from helpers.runtime.errors import DataError

pytest.importorskip("dicomanonymizer", reason="the extra `clinic` is not installed")


def _load(name):
    spec = importlib.util.spec_from_file_location(name, Path(__file__).with_name(f"{name}.py"))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


hospital = _load("hospital")
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:pydicom")  # values that are planted are against all rules


@pytest.fixture(autouse=True)
def _no_tesseract(monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda name, *_, **__: None)


def _written(folder):
    return [pydicom.dcmread(path) for path in sorted(Path(folder).rglob("*.dcm"))]


@pytest.fixture(scope="module")
def planted(tmp_path_factory):
    """A folder in which 2,500 names stand in every place, and the names."""
    folder = tmp_path_factory.mktemp("planted")
    tags = list(hospital.text_tags())
    who = hospital.names(len(tags) + 60)
    everywhere = hospital.image(f"{who[0]}^Anna", ImageType=["ORIGINAL", "PRIMARY", who[1].upper()])
    hospital.plant_text(everywhere, who[10 : 10 + len(tags)], tags)
    hospital.plant_elsewhere(everywhere, who[10 + len(tags) : 40 + len(tags)])
    person = folder / "in" / f"{who[2]}_Anna"
    hospital.save(everywhere, person / f"{who[3]}.dcm")
    burned = hospital.image(f"{who[4]}^Anna", 2, BurnedInAnnotation="YES", PatientID=who[4])
    hospital.save(burned, person / "burned.dcm")
    capture = hospital.image(f"{who[5]}^Anna", 3, kind="1.2.840.10008.5.1.4.1.1.7", Modality="OT")
    hospital.save(capture, person / "capture.dcm")
    sound = hospital.image(f"{who[6]}^Anna", 4, kind="1.2.840.10008.5.1.4.1.1.6.1", Modality="US")
    hospital.save(sound, person / "ultrasound.dcm")
    (person / f"{who[7]}.txt").write_text(f"letter about {who[8]}")
    (person / "torn.dcm").write_bytes((person / f"{who[3]}.dcm").read_bytes()[:5000])
    return folder / "in", who


def test_no_planted_name_survives_in_any_output_log_or_message(planted, tmp_path):
    source, who = planted
    inside = [path.read_bytes() + str(path).encode() for path in source.rglob("*") if path.is_file()]
    there = hospital.survivors(who, *inside)
    assert len(there) > 2500
    command = [sys.executable, "-m", "helpers", "deidentify", source, "--out", tmp_path / "out"]
    result = subprocess.run(list(map(str, command)), capture_output=True)
    assert result.returncode == 1, result.stderr  # images are refused
    outputs = [path for path in (tmp_path / "out").rglob("*") if path.is_file()]
    contents = [path.read_bytes() + str(path.relative_to(tmp_path)).encode() for path in outputs]
    assert len(_written(tmp_path / "out")) == 1
    assert not hospital.survivors(there, result.stdout, result.stderr, *contents)
    report = json.loads((tmp_path / "out/deidentification.json").read_text())
    assert {"ultrasound", "secondary capture", "burned-in text", "no DICOM"} <= report["refused"].keys()
    assert sum(report["refused"].values()) == 5


def test_a_folder_of_refusals_ends_in_a_message_without_a_name(planted, tmp_path):
    source, who = planted
    shutil.copytree(source, tmp_path / who[9])
    next(path for path in (tmp_path / who[9]).rglob("Q*.dcm")).unlink()
    with pytest.raises(DataError, match="secondary capture") as error:
        deidentify(tmp_path / who[9], tmp_path / "out")
    assert not hospital.survivors(who, str(error.value).encode())
    assert not list(tmp_path.glob("*out*"))
    assert not list(tmp_path.glob(".*"))


def test_every_attribute_that_the_profile_names_is_gone_or_changed():
    """The standard's table against the list of what is kept: what stays as it is, the table does not name."""
    from dicomanonymizer.dicomfields_selector import dicom_anonymization_database_selector

    table = dicom_anonymization_database_selector("dicomfields_2026c")["ALL_TAGS"]
    named = {keyword_for_tag(tag[:2]) for tag in table}
    unchanged = kept()["numbers"] | kept()["codes"]
    assert len(named) > 500
    assert not unchanged & named
    assert kept()["uids"] | kept()["emptied"] <= named | {"ConcatenationUID"}
    assert all(tag_for_keyword(keyword) for way in kept().values() for keyword in way)


def test_references_hold_across_files_and_two_patients_stay_two(tmp_path):
    for patient in ("Qone^A", "Qtwo^B"):
        for number in (1, 2):
            series = f"1.2.3.{patient[1:4].encode().hex()}".replace("f", "6").replace("e", "5")
            one = hospital.image(patient, number, SeriesInstanceUID=series, SOPInstanceUID=f"{series}.{number}")
            hospital.save(one, tmp_path / f"in/{patient[:4]}{number}.dcm")
    deidentify(tmp_path / "in", tmp_path / "out")
    images = _written(tmp_path / "out")
    assert len({one.SeriesInstanceUID for one in images}) == len({one.PatientID for one in images}) == 2
    assert len({one.SOPInstanceUID for one in images}) == 4
    assert len({one.FrameOfReferenceUID for one in images}) == 1
    assert not {"1.2.3.4.9", "1.2.3.4"} & {images[0].FrameOfReferenceUID, images[0].StudyInstanceUID}
    assert all(one.file_meta.MediaStorageSOPInstanceUID == one.SOPInstanceUID for one in images)


def test_dates_of_a_patient_are_shifted_by_one_offset_and_of_another_by_another(tmp_path):
    for patient in ("Qone^A", "Qtwo^B"):
        for number, day in enumerate(("20190304", "20190604")):
            one = hospital.image(patient, number, StudyDate=day, SOPInstanceUID=f"1.{number}.{len(patient)}")
            one.SOPInstanceUID = f"1.2.{number}.{ord(patient[1])}"
            hospital.save(one, tmp_path / f"in/{patient}{number}.dcm")
    deidentify(tmp_path / "in", tmp_path / "out")
    moments: dict[str, list[datetime]] = {}
    for one in _written(tmp_path / "out"):
        moment = datetime.strptime(one.StudyDate + one.StudyTime, "%Y%m%d%H%M%S.%f")
        moments.setdefault(one.PatientID, []).append(moment)
        later = datetime.strptime(one.AcquisitionDate + one.AcquisitionTime, "%Y%m%d%H%M%S.%f")
        if one.AcquisitionDate[:6] == one.StudyDate[:6]:
            assert (later - moment).total_seconds() == pytest.approx(239.5)
    (first, second) = moments.values()
    assert max(first) - min(first) == max(second) - min(second)  # 92 days, whoever it is
    assert min(first) != min(second)
    assert max(*first, *second) < datetime(2019, 3, 4)


def test_what_reading_an_image_needs_is_the_same_afterwards(tmp_path):
    before = hospital.image()
    hospital.save(before, tmp_path / "in/a.dcm")
    deidentify(tmp_path / "in", tmp_path / "out")
    (after,) = _written(tmp_path / "out")
    np.testing.assert_array_equal(after.pixel_array, before.pixel_array)
    for keyword in ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "RepetitionTime", "EchoTime"):
        assert after[keyword].value == before[keyword].value
    assert after.SeriesDescription == "t1_mprage_sag 1x1x1mm"
    assert after.PatientIdentityRemoved == "YES"
    assert [item.CodeValue for item in after.DeidentificationMethodCodeSequence] == ["113100", "113105", "113107"]


@pytest.mark.parametrize("syntax", [RLELossless, ExplicitVRBigEndian])
def test_pixels_survive_another_transfer_syntax(tmp_path, syntax):
    before = hospital.image()
    expected = before.pixel_array.copy()
    if syntax is RLELossless:
        before.compress(syntax, generate_instance_uid=False)
    else:
        before.file_meta.TransferSyntaxUID = syntax
        before.PixelData = expected.astype(">u2").tobytes()
    hospital.save(before, tmp_path / "in/a.dcm")
    deidentify(tmp_path / "in", tmp_path / "out")
    np.testing.assert_array_equal(_written(tmp_path / "out")[0].pixel_array, expected)


def test_signed_pixels_keep_their_sign_in_twelve_bits(tmp_path):
    values = np.arange(-60, 60, dtype="<i2")
    signed = hospital.image(PixelRepresentation=1, PixelData=values.tobytes())
    hospital.save(signed, tmp_path / "in/a.dcm")
    deidentify(tmp_path / "in", tmp_path / "out")
    np.testing.assert_array_equal(_written(tmp_path / "out")[0].pixel_array.ravel(), values)


def test_a_multi_frame_image_keeps_the_place_of_each_frame(tmp_path):
    frames = Sequence()
    for z in (0, 2):
        plane, frame = Dataset(), Dataset()
        plane.ImagePositionPatient = [0, 0, z]
        frame.PlanePositionSequence = Sequence([plane])
        frame.add_new(0x00091001, "LO", "Qprivatex")
        frames.append(frame)
    many = hospital.image(kind="1.2.840.10008.5.1.4.1.1.4.1", NumberOfFrames=2, PerFrameFunctionalGroupsSequence=frames)
    many.PixelData *= 2
    hospital.save(many, tmp_path / "in/a.dcm")
    deidentify(tmp_path / "in", tmp_path / "out")
    (after,) = _written(tmp_path / "out")
    places = [item.PlanePositionSequence[0].ImagePositionPatient[2] for item in after.PerFrameFunctionalGroupsSequence]
    assert places == [0, 2]
    assert after.pixel_array.shape == (2, 12, 10)


def test_the_same_key_gives_the_same_pseudonyms_and_no_other_does(tmp_path):
    hospital.save(hospital.image(), tmp_path / "in/a.dcm")
    key = tmp_path / "safe/key"
    for out, given in (("a", key), ("b", key), ("c", None), ("d", tmp_path / "safe/other")):
        deidentify(tmp_path / "in", tmp_path / out, given)
    one, same, forgotten, other = (_written(tmp_path / out)[0] for out in "abcd")
    assert one == same
    assert key.stat().st_mode & 0o077 == 0
    for keyword in ("PatientID", "SOPInstanceUID", "StudyInstanceUID", "StudyDate"):
        assert len({str(image[keyword].value) for image in (one, forgotten, other)}) == 3


def test_a_key_is_not_put_beside_what_is_handed_on(tmp_path):
    for place in (tmp_path / "key", tmp_path / "out/key", tmp_path / "out/deep/key"):
        with pytest.raises(DataError, match="handed on"):
            read_key(place, tmp_path / "out")
        assert not place.exists()
    (tmp_path / "safe").mkdir()
    (tmp_path / "safe/key").write_text("secret")
    with pytest.raises(DataError, match="64 hexadecimal digits"):
        read_key(tmp_path / "safe/key", tmp_path / "out")


def test_pseudonyms_are_digits_and_uids_are_uids():
    names = Pseudonyms(bytes(32))
    assert names.patient("a").isdigit()
    assert names.patient("a") != names.patient("b")
    assert pydicom.uid.UID(names.uid("1.2.3")).is_valid
    assert len(names.uid("1.2.3")) <= 64


def test_where_the_table_is_not_installed_the_message_says_how(tmp_path, monkeypatch):
    hospital.save(hospital.image(), tmp_path / "in/a.dcm")
    basic_profile.cache_clear()
    monkeypatch.setitem(sys.modules, "dicomanonymizer.simpledicomanonymizer", None)
    with pytest.raises(DataError, match=r"biomedseg-course\[clinic\]"):
        deidentify(tmp_path / "in", tmp_path / "out")


def test_nothing_is_written_over(tmp_path):
    hospital.save(hospital.image(), tmp_path / "in/a.dcm")
    (tmp_path / "out").mkdir()
    (tmp_path / "out/mine").write_text("mine")
    with pytest.raises(DataError, match="there already"):
        deidentify(tmp_path / "in", tmp_path / "out")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["mine"]


@pytest.mark.parametrize("place", ["in/out", "in/a/out", "in/../in/out"])
def test_cleaned_files_are_not_put_among_the_uncleaned(tmp_path, place):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.dcm").write_bytes(b"")
    with pytest.raises(DataError, match="side by side"):
        deidentify(tmp_path / "in", tmp_path / place, tmp_path / "key")
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["a.dcm", "in"]


def test_a_stopped_call_leaves_no_folder_and_goes_on_with_its_key(tmp_path, monkeypatch):
    for number in range(4):
        hospital.save(hospital.image(number=number), tmp_path / f"in/{number}.dcm")
    cleaned, real = [], image_module.clean_file

    def counted(path, names):
        cleaned.append(path.name)
        return real(path, names)

    def stop(done, _):
        if done == 2 and not (tmp_path / "again").exists():
            raise KeyboardInterrupt

    monkeypatch.setattr("helpers.data.deidentify.folder.clean_file", counted)
    for key in (tmp_path / "safe/key", None):
        with pytest.raises(KeyboardInterrupt):
            deidentify(tmp_path / "in", tmp_path / "out", key, stop)
        assert not (tmp_path / "out").exists()
    (tmp_path / "again").touch()
    cleaned.clear()
    report = deidentify(tmp_path / "in", tmp_path / "out", tmp_path / "safe/key", stop)
    assert cleaned == ["2.dcm", "3.dcm"]
    assert report["written"] == len(_written(tmp_path / "out")) == 4
    assert sorted(path.name for path in tmp_path.iterdir()) == ["again", "in", "out", "safe"]
    assert not [path for path in (tmp_path / "out").rglob("*") if path.name.startswith(".")]


REFUSED = {
    "ultrasound": {"kind": "1.2.840.10008.5.1.4.1.1.6.1", "Modality": "US"},
    "secondary capture": {"kind": "1.2.840.10008.5.1.4.1.1.7"},
    "embedded document": {"kind": "1.2.840.10008.5.1.4.1.1.104.1"},
    "structured report": {"kind": "1.2.840.10008.5.1.4.1.1.88.11"},
    "presentation state": {"kind": "1.2.840.10008.5.1.4.1.1.11.1"},
    "other kind": {"kind": "1.2.3"},
    "contradiction": {"Modality": "PT"},
    "burned-in text": {"BurnedInAnnotation": "YES"},
    "colour": {"SamplesPerPixel": 3, "PhotometricInterpretation": "RGB"},
    "pixels not read": {"ImageType": ["DERIVED", "SECONDARY"], "BitsStored": 8, "HighBit": 7},
    "truncated": {"PixelData": b"12"},
    "unusual pixels": {"HighBit": 14},
    "incomplete": {"SeriesInstanceUID": ""},
}


@pytest.mark.parametrize("subject", REFUSED)
def test_what_cannot_be_cleaned_is_refused_by_subject_and_not_written(tmp_path, subject):
    hospital.save(hospital.image(**REFUSED[subject]), tmp_path / "in/a.dcm")
    hospital.save(hospital.image(number=9), tmp_path / "in/b.dcm")
    report = deidentify(tmp_path / "in", tmp_path / "out")
    assert report["refused"] == {subject: 1}
    assert report["files"][0]["outcome"] == "refused"
    assert len(_written(tmp_path / "out")) == 1


@pytest.mark.parametrize(
    "more", [{"BurnedInAnnotation": "NO", "BitsStored": 8, "HighBit": 7}, {"BitsStored": 16, "HighBit": 15}]
)
def test_a_derived_image_is_written_where_it_says_it_has_no_text_or_has_more_levels_than_a_screen(tmp_path, more):
    hospital.save(hospital.image(ImageType=["DERIVED", "SECONDARY"], **more), tmp_path / "in/a.dcm")
    assert deidentify(tmp_path / "in", tmp_path / "out")["written"] == 1


def test_text_that_tesseract_reads_is_refused(tmp_path, monkeypatch):
    """Against a stand-in, which reads a word wherever the picture that it is given has a white corner."""
    stand_in = tmp_path / "tesseract"
    stand_in.write_text(
        f"#!{sys.executable}\nimport io, sys\nfrom PIL import Image\n"
        "picture = Image.open(io.BytesIO(sys.stdin.buffer.read()))\n"
        "print('Qdrawnx Anna' if picture.getpixel((1, 1)) != picture.getpixel((1, 40)) else 'L R ERECT')\n"
    )
    stand_in.chmod(0o755)
    monkeypatch.setattr(shutil, "which", lambda name, *_, **__: str(stand_in))
    for number, text in enumerate(("", "Q")):
        picture = Image.new("L", (64, 64))
        ImageDraw.Draw(picture).rectangle((0, 0, 9, 9), fill=200 if text else 0)
        pixels = np.asarray(picture).astype("<u2").tobytes()
        xray = hospital.image(number=number, kind="1.2.840.10008.5.1.4.1.1.1", Modality="CR", shape=(64, 64))
        xray.PixelData = pixels
        hospital.save(xray, tmp_path / f"in/{number}.dcm")
    report = deidentify(tmp_path / "in", tmp_path / "out")
    assert report["refused"] == {"burned-in text": 1}
    assert report["written"] == 1
    assert report["pixels_read"]
    assert "tesseract looked for text" in (tmp_path / "out/deidentification.txt").read_text()


def test_a_copy_and_another_image_of_the_same_uid_are_not_written_twice(tmp_path):
    for name, more in (("a", {}), ("b", {}), ("c", {"EchoTime": "7"})):
        hospital.save(hospital.image(**more), tmp_path / f"in/{name}.dcm")
    report = deidentify(tmp_path / "in", tmp_path / "out")
    assert report["refused"] == {"copy": 1, "same UID": 1}


def test_a_description_keeps_its_vocabulary_and_loses_everything_else():
    assert clean("AX T2 FLAIR FS 3mm") == "AX T2 FLAIR FS 3mm"
    assert clean("*tfl3d1_ns") == "*tfl3d1_ns"
    assert clean("T1 Mueller, call 030 1234567") == "T1"
    assert clean("T1 post 20190304") == "T1 post"
    assert clean("Müller T1") == "T1"
    assert clean("brain", frozenset({"brain"})) == ""
    assert not {"max", "dixon", "pat", "vida"} & vocabulary()


def test_only_images_of_scanners_are_cleaned():
    assert set(KINDS.values()) == {"MR", "CT", "CR", "DX"}
    assert all(pydicom.uid.UID(kind).name.endswith(("Storage", "Presentation", "Processing")) for kind in KINDS)
