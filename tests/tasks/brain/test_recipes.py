"""Laws of the comparison of recipes, with trainings that are stand-ins."""

import json

import pytest

from helpers.data.brats import read_catalogue
from helpers.learn.cross_validation import BY_SITE
from helpers.measure.regions import REGIONS
from helpers.runtime.errors import DataError
from helpers.tasks.brain import recipes
from helpers.tasks.brain.recipe import DEFAULT, Recipe
from helpers.tasks.brain.recipes import ROWS, compare_recipes, without_patients


@pytest.fixture
def trained(phantoms, monkeypatch):
    """What was trained, in order; a training with crops gains as much as its seed allows."""
    ids, asked = [patient.id for patient in read_catalogue(phantoms).patients], []

    def train(data, out, folds, modalities, seed, **settings):
        asked.append((out.parent.name, folds, modalities, seed, settings["minutes"], settings["recipe"]))
        gain = 0.1 + 0.02 * seed if settings["recipe"].crop < 1 else 0.0

        def row(place: int, identity: str) -> dict:
            dice = {region: {"dice": 0.5 + 0.01 * place + gain} for region in REGIONS}
            return {"id": identity, "regions": dice, "trivial": {region: {"dice": 0.0} for region in REGIONS}}

        return {"patients": [row(*one) for one in enumerate(ids)]}

    monkeypatch.setattr(recipes, "train_brain_folds", train)
    monkeypatch.setattr(recipes, "site_groups", lambda _: {"CBICA": ids[:4], "TCIA": ids[4:]})
    monkeypatch.setattr(recipes, "split_by_site", lambda *_: None)
    monkeypatch.setattr(recipes, "open_store", lambda *_: None)
    return asked


def _quiet(_):
    pass


def test_the_first_row_is_always_there_to_compare_with(trained, phantoms, tmp_path):
    result = compare_recipes(phantoms, tmp_path, 1, ["crop"], log=_quiet)
    assert [row["name"] for row in result["rows"]] == ["paper", "crop"]
    assert [asked[0] for asked in trained] == ["paper", "crop"]
    assert json.loads((tmp_path / "recipes.json").read_text())["rows"] == json.loads(json.dumps(result["rows"]))


def test_rows_are_paired_by_patient_over_the_mean_of_their_seeds(trained, phantoms, tmp_path):
    result = compare_recipes(phantoms, tmp_path, 1, ["crop"], seeds=2, log=_quiet)
    for scores in result["rows"][1]["regions"].values():
        assert scores["difference"]["mean"] == pytest.approx(0.11)
        assert scores["difference"]["told"]
    assert [asked[3] for asked in trained] == [0, 1, 0, 1]


def test_every_hospital_is_tested_by_a_model_of_the_others_in_minutes_of_its_own(trained, phantoms, tmp_path):
    compare_recipes(phantoms, tmp_path, 3, ["paper"], log=_quiet)
    ((_, folds, _, _, minutes, recipe),) = trained
    assert folds == BY_SITE
    assert minutes == 2 * 3
    assert recipe == Recipe()


def test_patients_of_one_hospital_are_refused_in_words(phantoms, tmp_path):
    with pytest.raises(DataError, match="patients are left to learn from where others is tested"):
        compare_recipes(phantoms, tmp_path, 1, ["crop"], log=_quiet)


def test_a_table_to_pass_on_names_no_patient(trained, phantoms, tmp_path):
    result = compare_recipes(phantoms, tmp_path, 1, ["crop"], log=_quiet)
    text = json.dumps(without_patients(result))
    assert all(identity in json.dumps(result) and identity not in text for identity in result["rows"][0]["patients"])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"names": ["crops"]}, "no recipe crops; there are paper, decision, crop"),
        ({"minutes": 0}, "minutes"),
        ({"seeds": 0}, "seeds"),
    ],
)
def test_what_cannot_be_tried_is_refused_before_anything_is_trained(settings, message, trained, phantoms, tmp_path):
    with pytest.raises(DataError, match=message):
        compare_recipes(phantoms, tmp_path, **settings, log=_quiet)
    assert not trained


def test_what_is_trained_by_default_is_a_row_of_the_table():
    assert any(row.recipe.crop_side(96) == DEFAULT.crop_side(96) and row.recipe.decision == DEFAULT.decision
               for row in ROWS)  # fmt: skip
    assert len({row.name for row in ROWS}) == len(ROWS)
