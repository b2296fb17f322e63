"""Laws of recipes: what is refused, what older folders mean, and which patients a model can segment."""

import pytest

from helpers.runtime.errors import DataError
from helpers.tasks.brain.recipe import Recipe, needed_modalities


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"normalisation": "spectral"}, "normalisation 'spectral' is not known"),
        ({"decision": "coin"}, "decision 'coin' is not known"),
        ({"reach": 9}, "reach is 9"),
        ({"modality_dropout": 1}, "every modality would be missing"),
        ({"crop": 1.5}, "crop is 1.5"),
    ],
)
def test_what_cannot_be_trained_is_refused(wrong, message):
    with pytest.raises(DataError, match=message):
        Recipe(**wrong)


def test_a_folder_of_an_older_version_has_the_network_of_then():
    assert Recipe.of({}) == Recipe()
    assert Recipe.of({"recipe": {"loss": "dice", "focus": 0.2, "batch_size": 4}}) == Recipe(
        "dice", focus=0.2, batch_size=4
    )


def test_a_model_trained_with_modalities_missing_needs_none_in_particular():
    parameters = {"modalities": ["flair", "t1ce"], "recipe": {}}
    assert needed_modalities(parameters) == ("flair", "t1ce")
    assert needed_modalities({**parameters, "recipe": {"modality_dropout": 0.2}}) == ()


@pytest.mark.parametrize(
    ("size", "share", "side"), [(96, 2 / 3, 64), (128, 2 / 3, 80), (96, 1, 96), (16, 0.1, 16), (24, 1, 24)]
)
def test_a_crop_is_what_the_network_can_halve_and_no_larger_than_the_window(size, share, side):
    assert Recipe(crop=share).crop_side(size) == side


def test_a_plain_recipe_is_named_as_older_versions_named_it():
    """So the same command finds their finished folders, and what is new comes back from those of today."""
    assert set(Recipe().as_parameters()) == {"loss", "augmentation", "focus", "batch_size"}
    new = Recipe(normalisation="instance", reach=1, crop=0.5)
    assert Recipe.of({"recipe": new.as_parameters()}) == new
