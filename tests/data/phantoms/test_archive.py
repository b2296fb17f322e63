"""Laws of the archive that is played: what goes in comes out of the reader, and the names are where they were put."""

import numpy as np
import pytest

from helpers.data.dicom.catalogue import read_one_study
from helpers.data.dicom.study import read_study
from helpers.data.phantoms.archive import NAMES, head_alone, write_archive
from helpers.data.volumes import Scan


@pytest.fixture(scope="module")
def head():
    images = np.zeros((20, 24, 12, 2), np.float32)
    images[6:15, 5:19, 3:9] = np.random.default_rng(0).integers(1, 60_000, (9, 14, 6, 2))
    return head_alone(
        Scan("P", images, ("flair", "t1ce"), (images[..., 0] > 30_000).astype(np.uint8), np.diag([2, 2, 3, 1.0]))
    )


@pytest.fixture(scope="module")
def written(head, tmp_path_factory):
    folder = tmp_path_factory.mktemp("archive") / "files"
    return folder, write_archive(folder, head)


def test_a_head_is_cut_to_its_rim_and_stays_where_it_was(head):
    assert head.images.shape[:3] == (9 + 8, 14 + 8, 12)
    corner = np.argwhere(head.images.any(axis=-1)).min(axis=0)
    assert (head.affine @ [*corner, 1])[:3].tolist() == [12, 10, 9]
    assert head.seg.shape == head.images.shape[:3]


def test_both_series_are_read_again_and_one_has_moved(head, written):
    folder, motion = written
    assert {path.name for path in folder.iterdir()} == {f"{n:08d}" for n in range(2 * head.images.shape[2] + 1)}
    study = read_one_study(folder)
    assert sorted(series.kind for series in study.series) == ["derived", "flair", "t1ce"]
    volumes = read_study(study, ["flair", "t1ce"])
    still, moved = volumes["t1ce"], volumes["flair"]
    assert still.voxels.max() <= 32_000
    assert np.corrcoef(still.voxels.ravel(), np.abs(still.voxels).ravel())[0, 1] > 0.99
    np.testing.assert_allclose(moved.affine, motion @ still.affine, atol=1e-2)
    middle = still.affine @ [*(np.array(still.voxels.shape) / 2), 1]
    assert np.linalg.norm((motion @ middle - middle)[:3]) == pytest.approx(np.linalg.norm((5, -3, 4)), abs=2)


def test_a_name_is_in_every_file(written):
    for path in written[0].iterdir():
        assert any(name.upper().encode() in path.read_bytes().upper() for name in NAMES)


def test_an_archive_that_is_there_is_not_mixed_with_another(head, written):
    with pytest.raises(FileExistsError):
        write_archive(written[0], head)
