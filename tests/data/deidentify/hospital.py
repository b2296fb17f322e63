"""DICOM images with names planted wherever a file can hold one."""

from pathlib import Path

import numpy as np
import pydicom
from pydicom.datadict import DicomDictionary
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.tag import Tag
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

MR = "1.2.840.10008.5.1.4.1.1.4"
_SYLLABLES = ("ba", "do", "fi", "gu", "ke", "lo", "mu", "ni", "po", "ra", "se", "tu", "va", "wo", "zy")
_TEXT = ("PN", "LO", "LT", "SH", "ST", "UT", "UC", "CS", "AE", "UR", "AS", "DA", "TM", "DT", "DS", "IS", "UI")


def names(count, seed=0):
    """As many surnames that nobody bears, all different."""
    rng = np.random.default_rng(seed)
    found = {}
    while len(found) < count:
        found["Q" + "".join(rng.choice(_SYLLABLES, 4)) + "x"] = None
    return list(found)


def image(patient="Qtestpersonx^Anna", number=1, kind=MR, shape=(12, 10), **more):
    """One MR slice with a header as scanners write it; `more` overrides."""
    header = Dataset()
    header.file_meta = FileMetaDataset()
    header.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    header.SOPClassUID, header.Modality, header.ImageType = kind, "MR", ["ORIGINAL", "PRIMARY", "M", "ND"]
    header.PatientName, header.PatientID, header.PatientBirthDate = patient, f"MRN-{patient}", "19540312"
    header.StudyInstanceUID, header.SeriesInstanceUID = "1.2.3.4", "1.2.3.4.5"
    header.SOPInstanceUID, header.FrameOfReferenceUID = f"1.2.3.4.5.{number}", "1.2.3.4.9"
    header.StudyDate, header.StudyTime = "20190304", "101112.5"
    header.AcquisitionDate, header.AcquisitionTime = "20190304", "101512"
    header.SeriesDescription, header.Manufacturer = "t1_mprage_sag 1x1x1mm", "SIEMENS"
    header.RepetitionTime, header.EchoTime, header.MRAcquisitionType = "2300", "2.98", "3D"
    header.InstanceNumber, header.ImagePositionPatient = number, [0, 0, 1.5 * number]
    header.ImageOrientationPatient, header.PixelSpacing = [1, 0, 0, 0, 1, 0], [1, 1]
    header.Rows, header.Columns, header.SamplesPerPixel, header.PhotometricInterpretation = *shape, 1, "MONOCHROME2"
    header.BitsAllocated, header.BitsStored, header.HighBit, header.PixelRepresentation = 16, 12, 11, 0
    header.PixelData = (np.arange(np.prod(shape)) * 7 % 4096).astype("<u2").tobytes()
    for keyword, value in more.items():
        setattr(header, keyword, value)
    return header


def save(header, path: Path):
    path.parent.mkdir(parents=True, exist_ok=True)
    header.file_meta.MediaStorageSOPClassUID = header.SOPClassUID
    header.file_meta.MediaStorageSOPInstanceUID = header.SOPInstanceUID
    header.save_as(path, enforce_file_format=True)
    return path


def text_tags():
    """Every tag of the dictionary whose value is a string, without those that say what the image is."""
    structural = {
        "SOPClassUID", "SOPInstanceUID", "SeriesInstanceUID", "StudyInstanceUID", "Modality",
        "PhotometricInterpretation", "PatientID", "SpecificCharacterSet", "ConversionType", "BurnedInAnnotation",
        "NumberOfFrames", "ImageType",
    }  # fmt: skip
    for tag, (vr, _, _, _, keyword) in sorted(DicomDictionary.items()):
        group = tag >> 16
        if vr in _TEXT and keyword and group not in (0, 2, 4, 0xFFFE) and keyword not in structural:
            yield Tag(tag), vr, keyword


def plant_text(header, who, tags):
    """One name after the other into tags, as it would be written there."""
    for one, (tag, vr, _) in zip(who, tags, strict=True):
        first = f"{one}^Anna" if vr == "PN" else one.upper() if vr in ("CS", "AE") else f"seen by Dr. {one}"
        header._dict[tag] = pydicom.dataelem.RawDataElement(
            tag, vr, len(first) + len(first) % 2, (first + " " * (len(first) % 2)).encode(), 0, False, True
        )


def plant_elsewhere(header, who):
    """Names in private attributes, nested sequences, overlays, bytes after the pixels, unused bits, binary values."""
    who = iter(who)
    block = header.private_block(0x0029, f"{next(who)} HEADER", create=True)
    block.add_new(0x10, "LO", next(who))
    block.add_new(0x20, "OB", next(who).encode("utf-16-le"))
    item = Dataset()
    item.PatientName = next(who)
    inner = item.private_block(0x0051, next(who), create=True)
    inner.add_new(0x10, "PN", next(who))
    block.add_new(0x30, "SQ", Sequence([item]))
    deep = Dataset()
    deep.ContributionDescription, deep.OperatorsName = next(who), next(who)
    deep.RequestAttributesSequence = Sequence([item])
    header.ContributingEquipmentSequence = Sequence([deep])
    measures = Dataset()
    measures.PixelSpacing, measures.ImageComments = [1, 1], next(who)
    shared = Dataset()
    shared.PixelMeasuresSequence = Sequence([measures])
    header.SharedFunctionalGroupsSequence = Sequence([shared])
    header.add_new(0x60000022, "LO", next(who))
    header.add_new(0x60003000, "OW", next(who).ljust(20).encode())
    header.add_new(0x50003000, "OW", next(who).ljust(20).encode())
    header.add_new(0x00420011, "OB", next(who).ljust(20).encode())
    header.add_new(0xFFFCFFFC, "OB", next(who).ljust(20).encode())
    header.file_meta.SourceApplicationEntityTitle = next(who)[:16]
    header.file_meta.add_new(0x00020102, "OB", next(who).ljust(20).encode())
    header.file_meta.PrivateInformationCreatorUID = generate_uid()
    header.preamble = next(who).encode().ljust(128, b"\0")
    header.PixelData += next(who).ljust(20).encode()
    bits = np.frombuffer(header.PixelData, "<u2").copy()
    for place, letter in enumerate(next(who).encode()):  # four bits of a letter in those that no pixel uses
        bits[2 * place] |= (letter >> 4) << 12
        bits[2 * place + 1] |= (letter & 15) << 12
    header.PixelData = bits.tobytes()
    return header


def survivors(who, *contents: bytes):
    """The names of which one of these contents holds a trace."""
    found = set()
    for content in contents:
        lower = content.lower()
        for one in who:
            text = one.lower()
            forms = [text, f"{text}^anna", f"anna^{text}"]
            codes = ("latin-1", "utf-8", "utf-16-le", "utf-16-be")
            if any(form.encode(code) in lower for form in forms for code in codes):
                found.add(one)
    return found
