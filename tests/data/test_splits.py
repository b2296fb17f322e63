"""Laws of splits: by patient, the same everywhere, nobody twice."""

import json
from pathlib import Path

import pytest

from helpers.data.brats import Patient
from helpers.data.phantoms.brats import QUICK, _identity, _mapping
from helpers.data.splits import (
    MIN_SITE,
    OTHERS,
    Split,
    load_split,
    make_split,
    save_split,
    site_groups,
    split_by_site,
)
from helpers.runtime.errors import DataError


def _patients(n=369, low_grade=76):
    sites = ("CBICA", "TCIA", "2013")
    return [Patient(f"p{i:03}", Path(), {}, None, "LGG" if i < low_grade else "HGG", sites[i % 3]) for i in range(n)]


def test_nobody_is_on_two_sides_and_everybody_on_one():
    split = make_split(_patients())
    everyone = [*split.train, *split.validation, *split.test]
    assert sorted(everyone) == [p.id for p in _patients()]


def test_brats_2020_is_split_258_37_74():
    split = make_split(_patients())
    assert (len(split.train), len(split.validation), len(split.test)) == (258, 37, 74)


def test_split_is_the_one_that_earlier_results_were_scored_with():
    assert make_split(_patients()).digest == "32c3a9be"


def test_order_of_the_folder_does_not_matter():
    assert make_split(_patients()[::-1]) == make_split(_patients())


def test_another_seed_is_another_split_of_the_same_sizes():
    one, other = make_split(_patients(), seed=0), make_split(_patients(), seed=1)
    assert one.digest != other.digest
    assert len(one.test) == len(other.test)


def test_every_patient_is_tested_once_over_the_folds():
    tested = [identity for fold in range(4) for identity in make_split(_patients(20, 2), folds=4, fold=fold).test]
    assert sorted(tested) == [p.id for p in _patients(20)]


def test_grades_are_shared_out_evenly():
    grade = {p.id: p.grade for p in _patients()}
    for fold in range(5):
        split = make_split(_patients(), folds=5, fold=fold)
        low = [sum(grade[i] == "LGG" for i in ids) / len(ids) for ids in (split.train, split.validation, split.test)]
        assert max(low) - min(low) < 0.07


def test_split_survives_the_file(tmp_path):
    split = make_split(_patients(12))
    save_split(split, tmp_path / "split.json")
    assert load_split(tmp_path / "split.json") == split


def test_edited_file_is_refused(tmp_path):
    path = tmp_path / "split.json"
    save_split(make_split(_patients(12)), path)
    content = json.loads(path.read_text())
    content["train"].append(content["test"].pop())
    path.write_text(json.dumps(content))
    with pytest.raises(DataError, match="digest"):
        load_split(path)


def test_file_that_is_no_split_is_refused(tmp_path):
    (tmp_path / "split.json").write_text("{}")
    with pytest.raises(DataError, match="not a split"):
        load_split(tmp_path / "split.json")


def test_patient_on_two_sides_is_refused():
    with pytest.raises(DataError, match="p1 into two sets"):
        Split(("p1", "p2"), ("p3",), ("p1",), 0)


@pytest.mark.parametrize(("n", "folds"), [(2, 2), (4, 5)])
def test_too_few_patients_are_refused(n, folds):
    with pytest.raises(DataError, match=f"{n} patients cannot be split"):
        make_split(_patients(n), folds=folds)


def test_fold_that_does_not_exist_is_refused():
    with pytest.raises(ValueError, match="fold 4 of 4"):
        make_split(_patients(20), folds=4, fold=4)


@pytest.mark.parametrize(
    "content", ["[]", '{"train": "abc"}', '{"train": [1], "validation": [], "test": [], "seed": 0}']
)
def test_damaged_file_is_named(tmp_path, content):
    (tmp_path / "split.json").write_text(content)
    with pytest.raises(DataError, match=r"split\.json.*restore the original file"):
        load_split(tmp_path / "split.json")


@pytest.mark.parametrize(("seed", "folds"), [(-1, 5), (0, 1), (0, 0), (0.5, 5)])
def test_seed_and_folds_have_a_range(seed, folds):
    with pytest.raises(DataError, match="expected a whole number"):
        make_split(_patients(20), seed=seed, folds=folds)


SHARED = {"CBICA": 13, "TCIA01": 2, "TCIA02": 2, "TCIA10": 2, "2013": 1}


def _sited(counts, grade="HGG"):
    sites = [site for site, count in counts.items() for _ in range(count)]
    return [Patient(f"p{n:03}", Path(), {}, None, grade, site) for n, site in enumerate(sites)]


def test_hospitals_of_one_archive_count_as_one_stratum_so_that_splits_stay_what_they_were():
    known = _sited({"CBICA": 5, "TCIA01": 4, "TCIA10": 4, "TCIA02": 4, "2013": 4})
    before = [Patient(p.id, Path(), {}, None, p.grade, p.site[:4]) for p in known]
    assert {p.strata for p in known} == {("HGG", "CBICA"), ("HGG", "TCIA"), ("HGG", "2013")}
    assert [make_split(known, seed) for seed in range(4)] == [make_split(before, seed) for seed in range(4)]


def test_small_sites_are_pooled_and_the_unknown_are_nowhere():
    groups = site_groups(_sited(SHARED | {"MIN": MIN_SITE, None: 5}))
    assert {site: len(ids) for site, ids in groups.items()} == {"CBICA": 13, "MIN": MIN_SITE, OTHERS: 7}


def test_a_site_is_tested_whole_by_a_model_that_saw_nobody_of_it():
    patients = _sited(SHARED | {None: 5})
    site = {p.id: p.site for p in patients}
    split = split_by_site(patients, "CBICA")
    assert {site[i] for i in split.test} == {"CBICA"}
    assert len(split.test) == 13
    assert {site[i] for i in (*split.train, *split.validation)} == set(SHARED) - {"CBICA"}
    assert (len(split.train), len(split.validation)) == (6, 1)


def test_every_patient_of_a_known_site_is_tested_once_over_the_sites():
    patients = _sited(SHARED | {"TCIA08": 6, None: 5})
    tested = [i for site in site_groups(patients) for i in split_by_site(patients, site).test]
    assert sorted(tested) == [p.id for p in patients if p.site]


def test_a_split_by_site_depends_on_the_seed_alone_and_not_on_the_order_of_the_folder():
    patients = _sited(SHARED)
    assert split_by_site(patients[::-1], OTHERS, seed=3) == split_by_site(patients, OTHERS, seed=3)
    others = {split_by_site(patients, OTHERS, seed).validation for seed in range(5)}
    assert len(others) > 1
    assert {split_by_site(patients, OTHERS, seed).test for seed in range(5)} == {site_groups(patients)[OTHERS]}


def test_the_default_phantoms_have_several_sites_to_test():
    numbers = [*range(1, QUICK["patients"]), 355]
    training = [_identity("Training", number) for number in numbers]
    named = [one for one in training if _mapping(one)["BraTS_2019_subject_ID"]]
    groups = site_groups([Patient(str(one["number"]), Path(), {}, None, site=one["site"]) for one in named])
    assert len(groups) >= 3
    assert all(len(ids) >= MIN_SITE for ids in groups.values())


@pytest.mark.parametrize(
    ("counts", "site", "message"),
    [
        ({None: 5}, "CBICA", "site of none of the 5 patients is known"),
        (SHARED, "TCIA01", r"no site 'TCIA01' to test; there are CBICA \(13 patients\), others \(7 patients\)"),
        ({"CBICA": 5}, "CBICA", "0 patients are left to learn from where CBICA is tested"),
        ({"CBICA": 5, "2013": 1}, "CBICA", "1 patients are left"),
    ],
)
def test_a_site_that_cannot_be_tested_is_refused(counts, site, message):
    with pytest.raises(DataError, match=message):
        split_by_site(_sited(counts), site)
