"""Laws of prediction: each X-ray gets its mask at its own size, what is bad is named, and nothing is overwritten."""

import shutil

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from helpers.cli import app
from helpers.data.chest import read_chest
from helpers.data.phantoms.dicom import write_radiograph
from helpers.data.pictures import read_image
from helpers.runtime.errors import DataError
from helpers.tasks.lungs.inference import LungSegmenter
from helpers.tasks.lungs.prediction import predict_lungs
from tests.faults.chest import flip_bit, png


def _xrays(root):
    return {xray.id: xray for xray in read_chest(root).xrays}


@pytest.fixture(scope="module")
def predicted(trained, hospitals, tmp_path_factory):
    out = tmp_path_factory.mktemp("predicted") / "new" / "masks"
    written, refused = predict_lungs(trained, [hospitals], out, lambda _: None)
    assert refused == []
    return written


def test_dicom_of_an_archive_gets_the_mask_of_its_png_whatever_its_form_and_no_name(trained, hospitals, tmp_path):
    radiograph = read_image(next(iter(_xrays(hospitals).values())).image)
    for number, inverted in enumerate((False, True)):
        write_radiograph(tmp_path / "in" / f"study{number}" / f"Muellerova{number}.dcm", radiograph, inverted)
    lines = []
    written, refused = predict_lungs(trained, [tmp_path / "in"], tmp_path / "out", lines.append)
    assert refused == []
    one, other = (np.asarray(Image.open(path)) for path in written)
    np.testing.assert_array_equal(one, other)
    assert one.shape == radiograph.shape
    assert not [text for text in (*lines, *map(str, written)) if "Mueller" in text]


def test_every_radiograph_gets_the_mask_that_is_scored_at_its_own_size(trained, hospitals, predicted):
    segmenter, xrays = LungSegmenter.load(trained), _xrays(hospitals)
    assert [path.name for path in predicted] == [f"{identity}_mask.png" for identity in sorted(xrays)]
    for path, xray in zip(predicted, sorted(xrays.values(), key=lambda xray: xray.id), strict=True):
        mask, radiograph = np.asarray(Image.open(path)), read_image(xray.image)
        assert (mask.dtype, mask.shape) == (np.uint8, radiograph.shape)
        assert set(np.unique(mask)) <= {0, 255}
        assert ((mask > 0) != segmenter.predict(radiograph)).mean() < 0.002  # alone, and in a batch


def test_masks_are_those_of_the_kaggle_layout(hospitals, predicted, tmp_path):
    """What is predicted can be read as the masks of the set."""
    root = shutil.copytree(hospitals / "Lung Segmentation", tmp_path / "chest")
    shutil.rmtree(root / "masks")
    (root / "masks").mkdir()
    for path in predicted:
        shutil.copy(path, root / "masks")
    assert read_chest(root).without_mask == ()


def test_finished_masks_are_left_and_others_are_never_overwritten(trained, hospitals, tmp_path):
    out, said = tmp_path / "out", []
    first, second, *_ = predict_lungs(trained, [hospitals], out, said.append)[0]
    second.unlink()
    before = first.stat().st_mtime_ns
    predict_lungs(trained, [hospitals], out, said.append)
    assert second.exists()
    assert first.stat().st_mtime_ns == before
    assert "25 masks of this model and these X-rays are in" in "\n".join(said)
    Image.fromarray(np.asarray(Image.open(first))).save(first)  # the same pixels, and nobody knows of which model
    second.unlink()
    with pytest.raises(FileExistsError, match=rf"{first.name} is there already and is not overwritten"):
        predict_lungs(trained, [hospitals], out, said.append)
    assert not second.exists()


def test_bad_radiographs_are_named_first_and_the_good_are_written(trained, hospitals, tmp_path):
    folder = tmp_path / "loose"
    folder.mkdir()
    for number, xray in enumerate(list(_xrays(hospitals).values())[:3]):
        shutil.copy(xray.image, folder / f"patient [{number}].png")
    flip_bit(folder / "patient [0].png")
    png(folder / "patient [1].png", (14000, 14000), 1, 0)
    done = CliRunner().invoke(app, ["predict", str(trained), str(folder), "--out", str(tmp_path / "out")])
    assert done.exit_code == 1
    assert done.output.startswith("2 of 3 X-rays cannot be used")
    assert "check sum" in done.output
    assert "14000 x 14000" in done.output
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["patient [2]_mask.png"]
    (folder / "patient [2].png").unlink()
    with pytest.raises(DataError, match="2 of 2 X-rays cannot be used"):
        predict_lungs(trained, [folder], tmp_path / "none", lambda _: None)
    assert not (tmp_path / "none").exists()


def test_masks_are_not_written_among_the_data(trained, hospitals, tmp_path):
    root = shutil.copytree(hospitals, tmp_path / "chest") / "Lung Segmentation"
    for out in (root / "CXR_png", root / "masks", root / "test"):
        with pytest.raises(DataError, match=r"a folder of the data.*another --out"):
            predict_lungs(trained, [root], out, lambda _: None)
    with pytest.raises(DataError, match="a folder of the data"):
        predict_lungs(trained, [root / "test"], root / "test", lambda _: None)


def test_two_radiographs_of_one_name_are_refused(trained, hospitals, tmp_path):
    again = shutil.copytree(hospitals, tmp_path / "chest")
    with pytest.raises(DataError, match="CHNCXR_0001_1 is there twice"):
        predict_lungs(trained, [hospitals, again], tmp_path / "out", lambda _: None)
