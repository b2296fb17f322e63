"""Laws of what the target's labels cost: a planted habit of the outliners is found, and what is said is true."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from helpers.data.chest import list_radiographs, read_chest, read_xray
from helpers.data.phantoms.chest import make_chest
from helpers.data.radiographs import split_radiographs
from helpers.data.splits import Split
from helpers.measure.label_ceiling import moved
from helpers.runtime.errors import DataError
from helpers.tasks.adaptation import label_ceiling as module
from helpers.tasks.adaptation.label_ceiling import label_ceiling, sentences


@pytest.fixture
def chest(tmp_path):
    return make_chest(tmp_path / "chest", montgomery=8, shenzhen=16, size=128, seed=3)


@pytest.fixture
def schools(chest, monkeypatch):
    """Models that draw exactly: one as Shenzhen's masks are, one closer by two pixels of 256."""
    truths = {radiograph.tobytes(): mask for radiograph, mask in map(read_xray, read_chest(chest).require())}
    draw = {"at_home": lambda mask: mask, "elsewhere": lambda mask: moved(mask, -1)}

    class Segmenter:
        def __init__(self, folder):
            self.draw = draw[Path(folder).name]

        load = classmethod(lambda cls, folder: cls(folder))

        def predict(self, radiograph):
            return self.draw(truths[radiograph.tobytes()])

    split = split_radiographs(list_radiographs(chest), seed=0)
    monkeypatch.setattr(module, "LungSegmenter", Segmenter)
    monkeypatch.setattr(module, "read_split", lambda folder: split)
    return split


def test_a_habit_of_drawing_close_is_found_on_validation_masks_and_undone_on_test(schools, chest):
    found = label_ceiling("elsewhere", "at_home", chest, "shenzhen")
    assert found["n"] == len([x for x in read_chest(chest).require("shenzhen") if x.id in schools.test])
    assert found["margin"] in (1, 2, 3)  # a pixel of the film is two of the square
    assert found["one"] < found["with_margin"] <= found["other"] == 1
    assert found["each_other"] == pytest.approx(found["one"])
    text = " ".join(sentences(found, "montgomery", "shenzhen"))
    assert "habit of where to draw the edge" in text
    assert "do not agree better" in text


def test_models_of_one_school_have_nothing_to_gain_by_a_margin(schools, chest):
    found = label_ceiling("at_home", "at_home", chest, "shenzhen")
    assert (found["margin"], found["most"]) == (0, 0)
    assert "No shift of the edge explains any of the gap." in sentences(found, "montgomery", "shenzhen")


def test_masks_that_neither_model_follows_are_said_to_be_shared(schools, chest):
    rng = np.random.default_rng(0)
    for path in Path(chest).rglob("CHN*_mask.png"):
        mask = np.asarray(Image.open(path)) > 0
        Image.fromarray(np.uint8(255) * moved(mask, rng.choice([-6, 6]))).save(path)
    found = label_ceiling("at_home", "at_home", chest, "shenzhen")
    assert "they lack together" in " ".join(sentences(found, "montgomery", "shenzhen"))


def test_models_of_different_splits_are_not_compared(schools, chest, monkeypatch):
    other = Split(("a",), (), ("b",), seed=1)
    monkeypatch.setattr(module, "read_split", lambda folder: schools if Path(folder).name == "at_home" else other)
    with pytest.raises(DataError, match="different splits"):
        label_ceiling("elsewhere", "at_home", chest, "shenzhen")
