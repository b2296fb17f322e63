"""A folder of an archive becomes studies and series, each with what it is and why; names stay where they are."""

import pydicom
import pytest

from helpers.data.dicom.catalogue import read_archive, read_one_study
from helpers.data.dicom.study import read_study
from helpers.data.phantoms.dicom import SCANNED, Visit, write_radiograph
from helpers.runtime.errors import DataError

NAME = "Muellerova"


@pytest.fixture
def study(archive):
    """The folder of the four sequences."""
    for kind in SCANNED:
        folder = archive(kind)
    return folder


def kinds(folder):
    return {series.kind for series in read_one_study(folder).series}


def test_the_four_sequences_are_found_with_their_reasons(study):
    reasons = {series.kind: series.reason for series in read_one_study(study).series}
    assert reasons == {
        "flair": "its description has the word 't2_flair'; TR 9000 ms, TE 90 ms, TI 2500 ms",
        "t1": "its description has the word 't1'; TR 500 ms, TE 9 ms; no contrast agent is recorded",
        "t1ce": "its description has the word 't1'; TR 500 ms, TE 9 ms; a contrast agent is recorded",
        "t2": "its description has the word 't2'; TR 5000 ms, TE 100 ms",
    }


@pytest.mark.parametrize("kind", SCANNED)
def test_numbers_decide_where_the_description_says_nothing(archive, kind):
    assert kinds(archive(kind, tags={"SeriesDescription": "ax head"})) == {kind}


@pytest.mark.parametrize(
    ("description", "kind"),
    [
        ("anat-T1w", "t1"),
        ("t1_mpr_ns_sag_p2_iso", "t1"),
        ("T1 MPRAGE post", "t1ce"),
        ("AX T1 +C", "t1ce"),
        ("3D T1 ohne KM", "t1"),
        ("T1 FLAIR", "t1"),
        ("AX T2 FLAIR", "flair"),
        ("t2_tirm_tra_dark-fluid", "flair"),
        ("T2W_TSE", "t2"),
        ("ep2d_diff_b1000", "other"),
        ("SWI mIP", "derived"),
        ("localizer", "localiser"),
        ("Survey", "localiser"),
        ("3D TOF", "other"),
        ("knee", "other"),
        ("PD/T2 dual", "other"),
    ],
)
def test_descriptions_alone(archive, description, kind):
    silent = {"RepetitionTime": None, "EchoTime": None, "InversionTime": None, "ContrastBolusAgent": ""}
    assert kinds(archive(tags={"SeriesDescription": description, **silent})) == {kind}


def test_words_and_numbers_that_differ_leave_a_series_unsure(archive):
    (series,) = read_one_study(archive("t2", tags={"SeriesDescription": "t1_se"})).series
    assert series.kind == "unsure"
    assert "'t1', so T1, but TR 5000 ms, TE 100 ms are those of a T2 image" in series.reason


def test_contrast_agent_against_the_word_leaves_a_series_unsure(archive):
    assert kinds(archive("t1ce", tags={"SeriesDescription": "t1 pre"})) == {"unsure"}


def test_a_protocol_that_names_all_sequences_does_not_hide_the_description(archive):
    assert kinds(archive("t2", tags={"ProtocolName": "head T1 FLAIR T2 localizer"})) == {"t2"}


@pytest.mark.parametrize(
    ("tags", "kind"),
    [
        ({"ImageType": ["ORIGINAL", "PRIMARY", "LOCALIZER"]}, "localiser"),
        ({"ImageType": ["DERIVED", "SECONDARY", "ADC"]}, "derived"),
        ({"ImageType": ["DERIVED", "SECONDARY"], "SeriesDescription": "t1_mpr_sag"}, "derived"),
        ({"SOPClassUID": "1.2.840.10008.5.1.4.1.1.7"}, "derived"),
        ({"Modality": "CT"}, "other"),
        ({"BodyPartExamined": "KNEE"}, "other"),
    ],
)
def test_codes_of_the_header_come_before_words(archive, tags, kind):
    assert kinds(archive("flair", tags=tags)) == {kind}


def test_radiographs_are_radiographs(tmp_path, rng):
    write_radiograph(tmp_path / "IM1", rng.integers(0, 255, (8, 8), "uint8"))
    assert kinds(tmp_path) == {"radiograph"}


def test_several_studies_are_told_apart_and_refused_as_one(archive, affine, voxels):
    archive("t1", visit=Visit(seed=1))
    folder = archive("t1", visit=Visit(seed=2))
    assert len(read_archive(folder).studies) == 2
    with pytest.raises(DataError, match="2 studies in one folder; expected one"):
        read_one_study(folder)


def test_a_doubled_sequence_is_refused_and_can_be_named(archive):
    archive("flair")
    folder = archive("flair", series="again")
    study = read_one_study(folder)
    with pytest.raises(DataError, match=r"2 series could be the FLAIR. Choose one by --flair SERIES_UID") as caught:
        study.choose(["flair"])
    assert all(series.uid in str(caught.value) for series in study.series)
    wanted = study.series[1]
    assert study.choose(["flair"], {"flair": wanted.uid})["flair"] is wanted


def test_a_missing_sequence_is_refused_with_what_is_there(archive):
    with pytest.raises(DataError, match=r"no series that is surely a T1ce. .*--t1ce SERIES_UID.*\n.*T1: "):
        read_study(archive("t1"), ["t1ce"])


def test_one_series_cannot_be_two_sequences(archive):
    study = read_one_study(archive("t1"))
    uid = study.series[0].uid
    with pytest.raises(DataError, match="was chosen for --t1, --t1ce"):
        study.choose(["t1", "t1ce"], {"t1ce": uid})


def test_a_named_series_has_to_be_there_and_an_mr_series(archive):
    study = read_one_study(archive("t1", tags={"Modality": "CT"}))
    with pytest.raises(DataError, match=r"has no series 1\.2\.3, which --t1 names; it holds:"):
        study.choose(["t1"], {"t1": "1.2.3"})
    with pytest.raises(DataError, match="which is no MR series"):
        study.choose(["t1"], {"t1": study.series[0].uid})


def test_series_of_two_patients_are_refused(archive):
    archive("t1", tags={"PatientID": f"{NAME}1"})
    folder = archive("t2", tags={"PatientID": f"{NAME}2"})
    with pytest.raises(DataError, match="2 different values of PatientID") as caught:
        read_study(folder, ["t1", "t2"])
    assert NAME not in str(caught.value)


def test_files_that_cannot_be_read_stop_a_study(study):
    (study / "x.dcm").write_bytes(b"nothing")
    assert len(read_archive(study).problems) == 1
    with pytest.raises(DataError, match="1 DICOM files of this folder cannot be read"):
        read_study(study)


def test_other_files_are_counted_and_left(study):
    (study / "readme.txt").write_text("hello")
    assert read_archive(study).others == 1
    assert set(read_study(study)) == set(SCANNED)


def test_a_file_without_preamble_or_suffix_is_found(archive):
    folder = archive()
    for path in folder.iterdir():
        content = path.read_bytes()
        path.write_bytes(content[132:])
    assert kinds(folder) == {"t1"}


@pytest.mark.parametrize("folder", ["nowhere", "empty"])
def test_no_folder_and_no_dicom_are_refused(tmp_path, folder):
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match=r"There is no folder|No DICOM file under"):
        read_archive(tmp_path / folder)


def test_no_name_reaches_any_message(archive):
    """Names in every text tag, in file names, and in tags that are spoiled."""

    def plant(data, place):
        for element in data:
            text = element.VR in ("LO", "PN", "SH", "LT", "ST", "CS")
            if text and element.keyword not in ("Modality", "PhotometricInterpretation"):
                data[element.tag].value = NAME
        data.ImagePositionPatient = [0, 0, 0]
        return data

    folder = archive(change=plant)
    for path in list(folder.iterdir()):
        path.rename(folder / f"{NAME}_{path.name}.dcm")
    broken = pydicom.dcmread(next(folder.iterdir()))
    (folder / f"{NAME}.dcm").write_bytes(broken.PixelData)
    archive = read_archive(folder)
    said = [*archive.problems, *(str(series) for study in archive.studies for series in study.series)]
    for named in ({}, {"t1": archive.studies[0].series[0].uid}, {"t1": NAME}):
        with pytest.raises(DataError) as caught:
            read_study(archive.studies[0], ["t1"], named)
        said.append(str(caught.value))
    assert said[0]
    assert not [text for text in said if NAME.lower() in text.lower()]
