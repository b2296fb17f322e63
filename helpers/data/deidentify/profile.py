"""The header of one image: what `kept.yml` names is kept, and the basic profile of PS3.15 Annex E applied to that.

The table of the standard comes from dicom-anonymizer, which derives it from each edition. It names some 650 attributes;
the dictionary has several thousand that may hold a name as well. So the table has its word on what is kept, and what
is not kept needs none.
"""

import re
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cache
from importlib.resources import files
from typing import Any

import yaml
from pydicom.datadict import dictionary_VR, keyword_for_tag, tag_for_keyword
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.multival import MultiValue
from pydicom.sequence import Sequence

from helpers.data.deidentify.key import Pseudonyms
from helpers.data.deidentify.words import clean, vocabulary, words_of
from helpers.runtime.errors import DataError

EDITION = "2026c"
"""Of the standard, whose table is applied."""

METHOD = {
    "113100": "Basic Application Confidentiality Profile",
    "113105": "Clean Descriptors Option",
    "113107": "Retain Longitudinal Temporal Information Modified Dates Option",
}
"""Codes of PS3.16 CID 7050 for what is done; they are written into each image."""

_NUMBER = re.compile(r"\s*[-+]?[\d.]+(?:[eE][-+]?\d+)?\s*\0?")
_BINARY = ("OB", "OW", "US", "SS", "UL", "SL", "FL", "FD", "AT")
_DAY = re.compile(r"(\d{8})")
_TIME = re.compile(r"(\d{2})(\d{2})?(\d{2})?(?:\.(\d{1,6}))?")
_MOMENT = re.compile(r"(\d{8})(\d{2}\d{0,4}(?:\.\d{1,6})?)?(?:[-+]\d{4})?")
_STEMS = ("Study", "Series", "Acquisition", "Content")


@dataclass
class Doings:
    """What was done to a header, by the keywords of the standard's dictionary; no value of it.

    Attributes:
        removed: attributes that are gone.
        cleaned: descriptions that lost a word.
        shifted: dates and times.
        replaced: UIDs and identifiers with another value.
        private: private attributes, all of which are gone.
        overlays: attributes of overlays and curves, all of which are gone.
        words: the words of all that was in a text before, in lower case; they are looked for in what is written.
    """

    removed: set[str] = field(default_factory=set)
    cleaned: set[str] = field(default_factory=set)
    shifted: set[str] = field(default_factory=set)
    replaced: set[str] = field(default_factory=set)
    private: int = 0
    overlays: int = 0
    words: set[str] = field(default_factory=set)


@cache
def kept() -> dict[str, frozenset[str]]:
    """The keywords of `kept.yml`, by the way each is kept."""
    lists = yaml.safe_load(files(__package__).joinpath("kept.yml").read_text(encoding="utf-8"))
    return {way: frozenset(keywords) for way, keywords in lists.items()}


@cache
def basic_profile() -> dict[tuple[int, ...], Callable[[Dataset, tuple[int, int]], None]]:
    """The action for each attribute that the table of the standard names.

    Raises:
        DataError: dicom-anonymizer is not installed.
    """
    try:
        from dicomanonymizer.simpledicomanonymizer import initialize_actions
    except ImportError as error:
        raise DataError(
            "The table of the standard's basic profile comes with dicom-anonymizer, which is not installed: "
            "python -m pip install 'biomedseg-course[clinic]', or dicom-anonymizer alone."
        ) from error
    return initialize_actions(f"dicomfields_{EDITION}")


def identity(header: Dataset) -> str:
    """What tells this patient from others: number and issuer, else the name, else the study.

    Args:
        header: of an image.
    """
    for keywords in (("PatientID", "IssuerOfPatientID"), ("PatientName",), ("StudyInstanceUID",)):
        values = [_text(header, keyword).upper() for keyword in keywords]
        if values[0]:
            return "\0".join([keywords[0], *values])
    return ""


def person_words(header: Dataset) -> frozenset[str]:
    """The words of every person's name in a header, at any depth, in lower case, of four letters and more.

    Args:
        header: of an image.
    """
    found = set()
    for level, _ in levels(header):
        for element in _elements(level):
            if element.VR == "PN":
                found |= words_of(str(element.value))
    return frozenset(word for word in found if len(word) > 3)


def clean_header(header: Dataset, pseudonyms: Pseudonyms) -> tuple[Dataset, Doings]:
    """A new header: what may stay of one, with other UIDs, dates and identifiers.

    Args:
        header: of an image; its pixels are not read.
        pseudonyms: made from the user's key.

    Returns:
        The new header, and what was done.

    Raises:
        DataError: dicom-anonymizer is not installed.
    """
    from dicomanonymizer import simpledicomanonymizer as tool

    doings, who = Doings(), identity(header)
    names, delta = person_words(header), pseudonyms.shift(who)
    fresh = _copied(header, doings)
    for old, new in _pairs(header, fresh):
        rules = dict(_rules(old, new, pseudonyms, names, delta, doings))
        table = {tag: action for tag, action in basic_profile().items() if len(tag) == 2 and tag in new}
        tool.anonymize_dataset(new, rules, base_rules_gen=table.copy)
    for keyword in kept()["emptied"]:
        setattr(fresh, keyword, "")
    fresh.PatientID = pseudonyms.patient(who)
    fresh.PatientName = f"Anonymous^{fresh.PatientID}"
    fresh.PatientIdentityRemoved = "YES"
    fresh.LongitudinalTemporalInformationModified = "MODIFIED"
    fresh.DeidentificationMethod = f"PS3.15 {EDITION} Annex E"
    fresh.DeidentificationMethodCodeSequence = Sequence([_code(*code) for code in METHOD.items()])
    doings.replaced |= {"PatientID", "PatientName"}
    return fresh, doings


def levels(header: Dataset) -> Iterator[tuple[Dataset, int]]:
    """A header and the items of all its sequences, each with its depth.

    Args:
        header: of an image, or an item.
    """
    waiting = [(header, 0)]
    while waiting:
        level, depth = waiting.pop()
        yield level, depth
        for element in _elements(level):
            if element.VR == "SQ":
                waiting += [(item, depth + 1) for item in element.value or ()]


def _copied(level: Dataset, doings: Doings) -> Dataset:
    """A new dataset with what `kept.yml` names, as it is, where its form is that of its kind."""
    fresh = Dataset()
    for tag in sorted(level.keys()):
        keyword = keyword_for_tag(tag)
        element = _element(level, tag)
        if element is not None:
            _note_words(element, doings)
        if tag.is_private:
            doings.private += 1
        elif tag.group & 0xFF00 in (0x5000, 0x6000):
            doings.overlays += 1
        elif element is not None and keyword in kept()["sequences"] and element.VR == "SQ":
            fresh.add(DataElement(tag, "SQ", Sequence(_copied(item, doings) for item in element.value or ())))
        elif element is not None and (value := _value(keyword, element)) is not None:
            vr = dictionary_VR(tag)
            fresh.add(DataElement(tag, element.VR if " or " in vr else vr, value))
        elif keyword not in ("PixelData", "PatientName", "PatientID", *kept()["emptied"]):
            doings.removed.add(keyword or "unknown")
    return fresh


def _value(keyword: str, element: DataElement) -> Any:
    """The value of an element that is kept; None where it goes, or has not the form of its kind."""
    values = list(element.value) if isinstance(element.value, MultiValue) else [element.value]
    if keyword == "SOPClassUID":
        return element.value
    if keyword in kept()["numbers"]:
        if element.VR in _BINARY:
            return element.value
        return element.value if all(_NUMBER.fullmatch(str(value)) for value in values) else None
    if keyword in kept()["codes"]:
        words = [set(re.findall(r"[^\W\d_]+", str(value).lower())) for value in values]
        fits = [
            known <= vocabulary() and len(re.findall(r"\d", str(v))) <= 4
            for known, v in zip(words, values, strict=True)
        ]
        return [str(value) if fit else "" for value, fit in zip(values, fits, strict=True)] if any(fits) else None
    if any(keyword in kept()[way] for way in ("texts", "uids", "times")):
        return element.value
    return None


def _is_code(value: str) -> bool:
    return words_of(value) <= vocabulary() and sum(letter.isdigit() for letter in value) <= 4


def _rules(
    old: Dataset, new: Dataset, pseudonyms: Pseudonyms, names: frozenset[str], delta: timedelta, doings: Doings
) -> Iterator[tuple[tuple[int, int], Callable[[Dataset, tuple[int, int]], None]]]:
    """What is done instead of the table's action: the options of the profile, for the attributes that are there."""
    for keyword, value in {**_uids(new, pseudonyms), **_times(old, delta)}.items():
        tag = tag_for_keyword(keyword)
        if tag in new:
            (doings.replaced if keyword in kept()["uids"] else doings.shifted).add(keyword)
            yield (tag >> 16, tag & 0xFFFF), _setter(value)
    for keyword in kept()["texts"] & set(new.dir()):
        before = _text(new, keyword)
        after = clean(before.replace("\\", " "), names)
        if after != before:
            doings.cleaned.add(keyword)
        tag = tag_for_keyword(keyword)
        yield (tag >> 16, tag & 0xFFFF), _setter(after or None)
    for keyword in kept()["codes"] & set(new.dir()):
        values = new[keyword].value
        values = list(values) if isinstance(values, MultiValue) else [values]
        tag = tag_for_keyword(keyword)
        safe = ["" if words_of(str(value)) & names else value for value in values]
        yield (tag >> 16, tag & 0xFFFF), _setter(safe if any(safe) else None)


def _uids(level: Dataset, pseudonyms: Pseudonyms) -> dict[str, Any]:
    found = {}
    for keyword in kept()["uids"] & set(level.dir()):
        value = level[keyword].value
        many = isinstance(value, MultiValue)
        found[keyword] = [pseudonyms.uid(str(one)) for one in value] if many else pseudonyms.uid(str(value))
    return found


def _times(level: Dataset, delta: timedelta) -> dict[str, str | None]:
    """Dates and times of a level, shifted; None where one is none, or a time has no date to go with."""
    shifted: dict[str, str | None] = {}
    for stem in _STEMS:
        day, time = _text(level, f"{stem}Date"), _text(level, f"{stem}Time")
        there = _moment(day, time) if _DAY.fullmatch(day) else None
        moved = _moved(there, delta)
        shifted[f"{stem}Date"] = moved and f"{moved:%Y%m%d}"
        shifted[f"{stem}Time"] = moved and f"{moved:%H%M%S.%f}" if _TIME.fullmatch(time) else None
    for keyword in ("AcquisitionDateTime", "FrameAcquisitionDateTime", "FrameReferenceDateTime"):
        parts = _MOMENT.fullmatch(_text(level, keyword))
        moved = _moved(_moment(parts[1], parts[2] or ""), delta) if parts else None
        shifted[keyword] = moved and f"{moved:%Y%m%d%H%M%S.%f}"
    return shifted


def _moment(day: str, time: str) -> datetime | None:
    clock = _TIME.fullmatch(time)
    hours, minutes, seconds, part = (clock[i] or "0" for i in range(1, 5)) if clock else "0000"
    with suppress(ValueError):
        whole = datetime.strptime(day, "%Y%m%d")
        return whole.replace(
            hour=int(hours), minute=int(minutes), second=min(int(seconds), 59), microsecond=int(part.ljust(6, "0"))
        )
    return None


def _moved(moment: datetime | None, delta: timedelta) -> datetime | None:
    with suppress(OverflowError):  # the year 0
        return None if moment is None else moment + delta
    return None


def _setter(value: Any) -> Callable[[Dataset, tuple[int, int]], None]:
    def rule(level: Dataset, tag: tuple[int, int]) -> None:
        if tag not in level:
            return
        if value is None:
            del level[tag]
        else:
            level[tag].value = value

    return rule


def _pairs(old: Dataset, new: Dataset) -> Iterator[tuple[Dataset, Dataset]]:
    """Each level of a copy, the innermost first, with the level that it was copied from."""
    for element in new:
        if element.VR == "SQ":
            for before, after in zip(old[element.tag].value or (), element.value, strict=True):
                yield from _pairs(before, after)
    yield old, new


def _code(value: str, meaning: str) -> Dataset:
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, "DCM", meaning
    return item


def _note_words(element: DataElement, doings: Doings) -> None:
    if element.VR in ("SQ", "OW", "OF", "OD", "OL", "OV") or element.tag == 0x7FE00010:
        return
    value = element.value
    text = value.decode("latin-1") if isinstance(value, bytes) and len(value) < 4096 else str(value)
    doings.words |= {word for word in words_of(text) if 3 < len(word) < 40}


def _elements(level: Dataset) -> Iterator[DataElement]:
    for tag in list(level.keys()):
        if (element := _element(level, tag)) is not None:
            yield element


def _element(level: Dataset, tag: Any) -> DataElement | None:
    """An element; None where its value is not of its kind, so that it cannot be told what it is."""
    try:
        return level[tag]
    except Exception:  # pydicom raises a great many kinds for values that are damaged
        return None


def _text(level: Dataset, keyword: str) -> str:
    tag = tag_for_keyword(keyword)
    element = _element(level, tag) if tag in level else None
    value = "" if element is None or element.value is None else element.value
    return ("\\".join(map(str, value)) if isinstance(value, MultiValue) else str(value)).strip(" \0")
