"""Laws of names that leave the house: those of public sets and no others, and nothing but names is changed."""

import json

import pytest

from helpers.learn.public_names import pseudonyms, with_pseudonyms, without_folders


@pytest.mark.parametrize(
    "name",
    [
        "Brats18_CBICA_AAB_1",
        "BraTS19_TCIA01_150_1",
        "Brats17_TCIA_150_1",
        "Brats17_2013_10_1",
        "BraTS20_Training_001",
        "BraTS2021_00002",
        "BraTS-GLI-00002-000",
        "MCUCXR_0001_0",
    ],
)
def test_names_of_public_sets_are_kept(name):
    assert pseudonyms({name: {"flair": "a"}}, [name], ["CBICA", "TCIA10", "2013", "montgomery"]) == {}


@pytest.mark.parametrize(
    "name", ["Miller_Anna", "1974-03-05", "Brats18_StMary_0815_1", "Brats18_CBICA_AAB_1_Miller", "XBraTS2021_00002"]
)
def test_all_others_are_withheld(name):
    assert pseudonyms({name: {"flair": "a"}}, [], ["StMary"]) == {name: "withheld-0001", "StMary": "withheld-site-1"}


def test_pseudonyms_do_not_tell_the_order_of_the_names_and_are_all_different():
    learned_from = {"1": {"flair": "c"}, "2": {"flair": "a"}, "3": {"flair": "b"}}
    names = pseudonyms(learned_from, ["0", "1", "9"], [])
    assert sorted(learned_from, key=names.get) == ["2", "3", "1"]
    assert len(set(names.values())) == len(names) == 5


def test_no_withheld_name_is_left_and_nothing_else_is_changed():
    content = {
        "learned_from": {"Miller": {"flair": "a"}},
        "n": 3,
        "test": ["Smith", "flair"],
        "sites": {"StMary": [1.5]},
    }
    names = pseudonyms(content["learned_from"], ["Smith"], ["StMary"])
    changed = with_pseudonyms(content, names)
    assert not any(name in json.dumps(changed) for name in names)
    assert with_pseudonyms(changed, {pseudonym: name for name, pseudonym in names.items()}) == content


def test_of_a_path_the_last_part_is_left():
    content = {
        "init": "/home/miller/runs/first/",
        "weights": r"C:\Users\Miller\vit.npz",
        "loss": "dice",
        "n": [1, None],
    }
    assert without_folders(content) == {"init": "first", "weights": "vit.npz", "loss": "dice", "n": [1, None]}
