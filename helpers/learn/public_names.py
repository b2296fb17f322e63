"""Names of patients and sites that may leave the house: those of public sets; pseudonyms stand for all others.

The name of a hospital's patient is a person's, or can be traced to one, and a hash of it is no better: whoever guesses
names finds it. So what is passed on has `withheld-0001` there. The names of BraTS and of the chest X-rays are known to
everybody, and kept: by them others can score a model on its own test patients. A patient of one's own who bears such a
name keeps it too; it tells nothing of the person.
"""

import re
from collections.abc import Collection, Mapping
from typing import Any

_PATIENT = re.compile(
    r"brats1[789]_(cbica|tcia\d*|2013)_[a-z0-9]+_\d"  # Brats18_CBICA_AAB_1
    r"|brats20_(training|validation)_\d{3}"
    r"|brats2021_\d{5}"
    r"|brats-[a-z]{3}-\d{5}-\d{3}"  # BraTS-GLI-00002-000
    r"|(mcucxr|chncxr)_\d{4}_[01]",
    re.IGNORECASE,
)
_SITE = re.compile(r"cbica|tcia\d*|2013|montgomery|shenzhen", re.IGNORECASE)


def pseudonyms(
    learned_from: Mapping[str, Mapping[str, str]], others: Collection[str], sites: Collection[str]
) -> dict[str, str]:
    """What stands for each name that is withheld.

    Pseudonyms are numbered in the order of the voxels' hashes, so that they do not tell the order of the names, which
    may be that of admission. Of patients without a hash nothing but their number is passed on.

    >>> pseudonyms({"Miller": {"flair": "b7"}, "Brats18_CBICA_AAB_1": {"flair": "1c"}}, ["Smith"], ["CBICA", "StMary"])
    {'Miller': 'withheld-0001', 'Smith': 'withheld-0002', 'StMary': 'withheld-site-1'}

    Args:
        learned_from: the hashes of the voxels, by id, of the patients that a model learned from.
        others: ids of further patients.
        sites: of any of them.

    Returns:
        The pseudonym by name; public names are not among them.
    """
    learned = sorted(
        (name for name in learned_from if not _PATIENT.fullmatch(name)), key=lambda name: _key(learned_from[name])
    )
    rest = sorted(name for name in {*others} - {*learned_from} if not _PATIENT.fullmatch(name))
    hospitals = sorted(site for site in {*sites} if not _SITE.fullmatch(site))
    return {
        **{name: f"withheld-{number:04d}" for number, name in enumerate([*learned, *rest], start=1)},
        **{site: f"withheld-site-{number}" for number, site in enumerate(hospitals, start=1)},
    }


def _key(hashes: Mapping[str, str]) -> list[str]:
    return sorted(hashes.values())


def with_pseudonyms(content: Any, names: Mapping[str, str]) -> Any:
    """The content of a JSON file with pseudonyms for names: each string that is one, and the keys of tables by name.

    >>> with_pseudonyms({"test": ["Smith"], "sites": {"StMary": 3}}, {"Smith": "withheld-0001", "StMary": "site"})
    {'test': ['withheld-0001'], 'sites': {'site': 3}}

    Args:
        content: as `json.loads` gives it.
        names: the pseudonym by name.
    """
    if isinstance(content, str):
        return names.get(content, content)
    if isinstance(content, list):
        return [with_pseudonyms(one, names) for one in content]
    if isinstance(content, dict):
        return {names.get(key, key): with_pseudonyms(value, names) for key, value in content.items()}
    return content


def without_folders(content: Any) -> Any:
    """The content of a JSON file with the last part of each path, for folders are named after people too.

    >>> without_folders({"init": "/home/smith/runs/first", "size": 96})
    {'init': 'first', 'size': 96}

    Args:
        content: as `json.loads` gives it.
    """
    if isinstance(content, str):
        return re.split(r"[\\/]", content.rstrip("\\/"))[-1]
    if isinstance(content, list):
        return [without_folders(one) for one in content]
    if isinstance(content, dict):
        return {key: without_folders(value) for key, value in content.items()}
    return content
