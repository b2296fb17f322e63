"""The MR series of one study as volumes: the one door to it for whoever has a folder and wants arrays."""

import os
from collections.abc import Iterable, Mapping

from helpers.data.dicom.catalogue import SEQUENCES, Study, read_one_study
from helpers.data.dicom.volume import DicomVolume, read_volume
from helpers.runtime.errors import DataError


def read_study(
    source: str | os.PathLike | Study, kinds: Iterable[str] = SEQUENCES, named: Mapping[str, str] | None = None
) -> dict[str, DicomVolume]:
    """The series of a study that a model needs, each as a volume on its own grid.

    Args:
        source: a folder that holds one study, or a study of a catalogue.
        kinds: of "flair", "t1", "t1ce" and "t2".
        named: kind to SeriesInstanceUID, where a person has chosen.

    Raises:
        DataError: the folder cannot be used, a kind is missing or doubled, or a series cannot be read; all series that
            cannot be read are named.
    """
    study = source if isinstance(source, Study) else read_one_study(source)
    chosen = study.choose(kinds, named)
    volumes, problems = {}, []
    for kind, series in chosen.items():
        try:
            volumes[kind] = read_volume(series)
        except DataError as error:
            problems.append(f"{kind}: {error}")
    if len(problems) == 1:
        raise DataError(f"{study.id}: {problems[0]}")
    if problems:
        error = DataError.listing(f"{study.id}: {len(problems)} series cannot be read:", problems)
        raise error
    return volumes
