"""Laws of the choice between models: by shape at the target, by Dice at the source, by no mask of the target."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from helpers.data.chest import list_radiographs, read_chest, read_xray
from helpers.data.phantoms.chest import make_chest
from helpers.data.radiographs import lung_soft_labels, split_radiographs
from helpers.runtime.errors import DataError
from helpers.tasks.adaptation import choice
from helpers.tasks.lungs.shape import ShapeCheck

SIZE = 32


@pytest.fixture
def chest(tmp_path):
    return make_chest(tmp_path / "chest", montgomery=12, shenzhen=12, size=64, seed=3)


@pytest.fixture
def candidates(chest, tmp_path, monkeypatch):
    """Three models by what they outline: the truth, the truth cut in half, and the truth of which a rim is missing."""
    truths = {xray.id: read_xray(xray) for xray in read_chest(chest).require()}
    known = {radiograph.tobytes(): lung_soft_labels(mask, SIZE)[..., 1] / 255 for radiograph, mask in truths.values()}
    usual = np.mean(list(known.values()), axis=0)
    how = {
        "half": lambda p: p * (np.arange(SIZE) < SIZE // 2),
        "rim": lambda p: np.where(p > 0.55, p, 0),
        "truth": lambda p: p,
    }

    class Segmenter:
        size = SIZE

        def __init__(self, folder):
            self.how = how[Path(folder).name]

        @classmethod
        def load(cls, folder):
            return cls(folder)

        def preprocess(self, radiograph):
            return self.how(known.get(radiograph.tobytes(), usual))

        def network_probabilities(self, images):
            return images

    shape = ShapeCheck.fit([p > 0.5 for p in known.values()])
    monkeypatch.setattr(choice, "LungSegmenter", Segmenter)
    monkeypatch.setattr(choice.ShapeCheck, "load", lambda folder: shape)
    for name in how:
        (tmp_path / name / "checkpoints").mkdir(parents=True)
        (tmp_path / name / "model.keras").write_text(name)
        (tmp_path / name / "scores.json").write_text("{}")
    return {name: tmp_path / name for name in how}


def choose(candidates, chest, out):
    split = split_radiographs(list_radiographs(chest), seed=0)
    return choice.choose_model(candidates, chest, "montgomery", "shenzhen", split, out, lambda line: None)


def test_the_most_plausible_is_taken_and_among_equals_the_best_at_the_source(candidates, chest, tmp_path):
    assert choose(candidates, chest, tmp_path / "out") == "truth"
    table = json.loads((tmp_path / "out" / "chosen.json").read_text())["candidates"]
    assert table["half"]["implausible_fraction"] == 1
    assert table["rim"]["implausible_fraction"] == table["truth"]["implausible_fraction"] < 0.5
    assert table["rim"]["val_dice"] < table["truth"]["val_dice"] == 1
    assert (tmp_path / "out" / "model.keras").read_text() == "truth"
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"model.keras", "chosen.json"}


def test_masks_of_the_target_play_no_part(candidates, chest, tmp_path):
    for path in Path(chest).rglob("CHN*_mask.png"):
        Image.new("L", (3, 3)).save(path)
    assert choose(candidates, chest, tmp_path / "out") == "truth"


def test_without_a_shape_nothing_is_chosen(candidates, chest, tmp_path, monkeypatch):
    monkeypatch.setattr(choice.ShapeCheck, "load", lambda folder: None)
    with pytest.raises(DataError, match="without the shape of its masks"):
        choose(candidates, chest, tmp_path / "out")
    assert not (tmp_path / "out").exists()
