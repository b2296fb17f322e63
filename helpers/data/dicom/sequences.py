"""Which MR sequence a series is: told by the words of its description, and by the numbers of the scanner.

Both are asked, and they have to agree. The words are what a technologist typed, in the language of the house; the
numbers (repetition, echo and inversion time) are what the scanner did. Where both are there and say different things
nobody can know which is wrong, so the series is unsure and a person has to name it.

No description is ever quoted: somebody may have typed a name into it. The word that was recognised is.
"""

import re
from dataclasses import dataclass

from helpers.data.dicom.headers import Instance

FLAIR, T1, T1CE, T2 = "flair", "t1", "t1ce", "t2"
LOCALISER, DERIVED, OTHER, UNSURE = "localiser", "derived", "other", "unsure"

_SEQUENCES = {  # the first that matches counts: a T1 FLAIR is a T1, and a FLAIR is called T2 as well
    T1: r"t1[-_ ]?flair|t1(?:wi?|ce?|gd|gad|post|km|n)?|mp2?rage|tfl3d|spgr|bravo|vibe",
    FLAIR: r"(?:t2)?[-_ ]?flairw?|t2f|dark[-_ ]?fluid|tirm",
    T2: r"t2(?:wi?)?",
}
_CONTRAST = r"gd|gado\w*|post|contrast|\+c|c\+|ce|enh\w*|km|dotarem|gadovist|t1ce?|t1gd|t1gad|t1post|t1km"
_NO_CONTRAST = r"pre|nativ\w*|without|w/?o|ohne|sans|non[-_ ]?contrast|noncontrast"
_LOCALISER = r"loc|locali[sz]er|scout|survey|topogram|3[-_ ]?plane\w*|aahead\w*|smartbrain|calibration"
_DERIVED = r"adc|trace\w*|mip|minip|sub|subtraction|cbv|cbf|mtt|ttp|\w*map|screen\w*"
_REFORMATTED = r"mpr|reformat\w*"  # where the image is derived: of an original, mpr is short for MPRAGE
_OTHER = {
    "diffusion": r"dwi|dti|diff\w*|ep2d\w*|resolve",
    "perfusion": r"perf\w*|dsc|dce|asl|pwi",
    "susceptibility": r"swi|swan|t2\*|t2star|hemo\w*|t2[-_ ]?(?:gre|ffe)|gre[-_ ]?field\w*",
    "angiography": r"tof|mra|angio\w*",
    "functional imaging": r"fmri|bold|resting",
    "spectroscopy": r"mrs|spectro\w*|csi",
    "proton density": r"pd|pdw|proton",
}
_DERIVED_TYPES = {
    "ADC", "TRACEW", "FA", "TENSOR", "MPR", "REFORMATTED", "MIP", "MINIP", "PROJECTION IMAGE", "SUBTRACTION",
    "SUBTRACT", "CBV", "CBF", "MTT", "TTP", "T1 MAP", "T2 MAP", "SCREEN SAVE", "MAP",
}  # fmt: skip
_OTHER_TYPES = {"DIFFUSION": "diffusion", "PERFUSION": "perfusion", "ASL": "perfusion", "FMRI": "functional imaging"}
_NO_HEADS = {
    "ABDOMEN", "ANKLE", "BREAST", "CHEST", "CSPINE", "ELBOW", "FOOT", "HAND", "HEART", "HIP", "KNEE", "LIVER", "LSPINE",
    "PELVIS", "PROSTATE", "SHOULDER", "SPINE", "TSPINE", "WRIST",
}  # fmt: skip
_NO_AGENT = {"", "NO", "NONE", "NO CONTRAST", "N/A", "0", "WITHOUT"}
_NAMES = {FLAIR: "FLAIR", T1: "T1", T1CE: "T1ce", T2: "T2"}


@dataclass(frozen=True)
class Verdict:
    """What a series is.

    Attributes:
        kind: one of the constants of this module.
        reason: why, in words that quote nothing but recognised words, codes of the standard and numbers.
    """

    kind: str
    reason: str


def recognise(first: Instance) -> Verdict:
    """What an MR series is.

    Args:
        first: one of its files.
    """
    text = _text(first)
    types = first.words("ImageType")
    if "LOCALIZER" in types:
        return Verdict(LOCALISER, "its ImageType says LOCALIZER")
    if word := _word(_LOCALISER, text):
        return Verdict(LOCALISER, f"its description has the word {word!r}")
    if known := [one for one in types if one in _DERIVED_TYPES]:
        return Verdict(DERIVED, f"its ImageType says {known[0]}")
    if word := _word(_DERIVED, text):
        return Verdict(DERIVED, f"its description has the word {word!r}")
    if "DERIVED" in types and (word := _word(_REFORMATTED, text)):
        return Verdict(DERIVED, f"its ImageType says DERIVED, and its description has the word {word!r}")
    if known := [one for one in types if one in _OTHER_TYPES]:
        return Verdict(OTHER, f"{_OTHER_TYPES[known[0]]}: its ImageType says {known[0]}")
    if (part := first.text("BodyPartExamined").upper()) in _NO_HEADS:
        return Verdict(OTHER, f"its BodyPartExamined is {part}, expected a head")
    for what, pattern in _OTHER.items():
        if word := _word(pattern, text):
            return Verdict(OTHER, f"{what}: its description has the word {word!r}")
    if (first.number("DiffusionBValue") or 0) > 0:
        return Verdict(OTHER, f"diffusion: its b-value is {first.number('DiffusionBValue'):g} s/mm2")
    return _sequence(first, text)


def _sequence(first: Instance, text: str) -> Verdict:
    """FLAIR, T1, T1ce or T2; `UNSURE` where words and numbers differ; `OTHER` where neither says anything."""
    said, word = next(
        ((kind, word) for kind, pattern in _SEQUENCES.items() if (word := _word(pattern, text))), (None, "")
    )
    found, numbers = _by_numbers(first)
    words = f"its description has the word {word!r}" if said else ""
    if said and found and said != found:
        return Verdict(
            UNSURE,
            f"{words}, so {_NAMES[said]}, but {numbers} are those of a {_NAMES.get(found, found)} image",
        )
    if not said and found and found not in _NAMES:
        return Verdict(OTHER, f"{found}: {numbers}")
    if (kind := said or found) is None:
        return Verdict(OTHER, f"no word of its description is known, and {numbers or 'no times are recorded'}")
    reasons = [reason for reason in (words, numbers if found else "") if reason]
    if kind != T1:
        return Verdict(kind, "; ".join(reasons))
    return _contrast(first, text, reasons)


def _contrast(first: Instance, text: str, reasons: list[str]) -> Verdict:
    """A T1 before or after contrast agent."""
    given = first.text("ContrastBolusAgent").upper() not in _NO_AGENT
    after, before = _word(_CONTRAST, text), _word(_NO_CONTRAST, text)
    if before and given:
        return Verdict(UNSURE, "; ".join([*reasons, f"the word {before!r}, but a contrast agent is recorded"]))
    if before or not (after or given):
        note = f"the word {before!r}" if before else "no contrast agent is recorded"
        return Verdict(T1, "; ".join([*reasons, note]))
    agent = "a contrast agent is recorded" if given else f"the word {after!r}, though no contrast agent is recorded"
    return Verdict(T1CE, "; ".join([*reasons, agent]))


def _by_numbers(first: Instance) -> tuple[str | None, str]:
    """The sequence that the times make, None where they decide nothing; and the times.

    The limits lie between what scanners of 1.5 and 3 tesla are set to for heads: FLAIR nulls the fluid at 1.6 to 2.9 s,
    and its echo comes at 80 ms and later; T1 has echoes below 30 ms; T2 repeats after 2 s and more.
    """
    repetition, echo, inversion = (first.number(tag) for tag in ("RepetitionTime", "EchoTime", "InversionTime"))
    given = [
        f"{name} {value:g} ms"
        for name, value in (("TR", repetition), ("TE", echo), ("TI", inversion))
        if value is not None
    ]
    text = ", ".join(given)
    if repetition is None or echo is None:
        return None, text
    if inversion:
        if inversion >= 1500 and repetition >= 4000 and echo >= 60:
            return FLAIR, text
        return (T1 if 300 <= inversion < 1500 and echo <= 40 else None), text
    if "GR" in first.words("ScanningSequence") and echo > 12:
        return "T2*", text
    if (repetition <= 1200 and echo <= 40) or echo <= 8:  # the latter an MPRAGE whose inversion time is not recorded
        return T1, text
    if repetition >= 1800 and echo >= 60:
        return T2, text
    return ("proton density" if repetition >= 1800 and echo <= 40 else None), text


def _text(first: Instance) -> str:
    """The description, lower case; where it has no word that is known, the name of the protocol or of the sequence.

    Not all three at once: one protocol may hold all sequences of an examination, and name them all.
    """
    known = [*_SEQUENCES.values(), _LOCALISER, _DERIVED, _REFORMATTED, *_OTHER.values()]
    texts = (first.text(tag).lower() for tag in ("SeriesDescription", "ProtocolName", "SequenceName"))
    return next((text for text in texts if any(_word(pattern, text) for pattern in known)), "")


def _word(pattern: str, text: str) -> str | None:
    """The first word of a text that matches; a letter beside it makes another word, a digit or a sign does not."""
    match = re.search(rf"(?<![a-z])(?:{pattern})(?![a-z*])", text)
    return match[0] if match else None
