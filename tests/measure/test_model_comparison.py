"""Laws of comparing models by the files of their scores: the same patients and truths, or a word about it."""

import json
from pathlib import Path

import numpy as np
import pytest

from helpers.measure.model_comparison import compare_models
from helpers.measure.statistics import bootstrap_ci
from helpers.runtime.errors import DataError


@pytest.fixture
def write(tmp_path):
    """Write the scores of a model as `evaluate --json` does, and return the file's name."""

    def write(name, wt, et=None, ids=None, parameters=None, **row):
        et = wt if et is None else et
        patients = [
            {
                "id": f"p{number:02}" if ids is None else ids[number],
                "regions": {
                    "WT": {
                        "dice": float(a),
                        "hd95_mm": 10 * float(a),
                        "sensitivity": None if number == 0 else float(a),
                    },
                    "ET": {"dice": float(b), "hd95_mm": 1.0, "sensitivity": None},
                },
                "trivial": {"WT": {"volume_error_ml": -1.0 - number}},
                "grid": {"shape": [4, 4, 4], "spacing_mm": [1, 1, 1]},
                "truth": f"digest {number}",
                **row,
            }
            for number, (a, b) in enumerate(zip(wt, et, strict=True))
        ]
        run = {} if parameters is None else {"run": {"parameters": parameters}}
        file = tmp_path / name
        file.parent.mkdir(exist_ok=True)
        file.write_text(json.dumps({"n": len(patients), "patients": patients, **run}))
        return str(file)

    return write


@pytest.fixture
def scores():
    return np.random.default_rng(0).uniform(0.6, 0.8, 12)


def test_differences_are_second_minus_first_with_interval_and_holm(write, scores):
    gain = np.random.default_rng(1).uniform(0.02, 0.06, 12)
    comparison = compare_models([write("a.json", scores), write("b.json", scores + gain, scores - 0.5 * gain)])
    whole, enhancing = comparison.rows
    assert [(row.first, row.second, row.region) for row in comparison.rows] == [("a", "b", "WT"), ("a", "b", "ET")]
    assert whole.paired.difference == pytest.approx(gain.mean())
    assert whole.paired.interval == pytest.approx(bootstrap_ci(gain))
    assert whole.paired.p_adjusted == 2 * whole.paired.p == 2 * 2 / 2**12
    assert whole.paired.is_told
    assert enhancing.paired.is_told
    (sentence,) = comparison.sentences()
    assert sentence.startswith("On 12 patients b is ahead of a in WT (+0.0")
    assert "; a is ahead of b in ET (-0.0" in sentence
    assert "told apart" not in sentence


def test_models_whose_interval_spans_0_are_not_ranked(write, scores):
    noise = np.random.default_rng(2).normal(0, 0.05, 12)
    comparison = compare_models([write("a.json", scores), write("b.json", scores + noise - noise.mean() + 0.002)])
    (sentence,) = comparison.sentences()
    assert sentence.startswith("On 12 patients a and b cannot be told apart in WT (+0.002")
    assert "ahead" not in sentence
    assert f"{comparison.rows[0].paired.patients_needed:,} in WT" in sentence
    assert comparison.as_json()["comparisons"][0]["told"] is False


def test_seven_patients_are_not_ranked_however_far_apart(write, scores):
    comparison = compare_models([write("a.json", scores[:7] - 0.5), write("b.json", scores[:7])])
    assert list(comparison.sentences()) == [
        "a and b cannot be ranked on 7 patients; look at each patient's difference."
    ]
    assert comparison.rows[0].paired.interval is None
    assert comparison.notes[0] == "7 patients are too few for an interval, which takes 8."


def test_seeds_joined_by_commas_are_one_model(write, scores):
    first = [write(f"a_{seed}.json", scores + 0.01 * seed, parameters={"size": 64, "seed": seed}) for seed in range(3)]
    comparison = compare_models([",".join(first), write("b.json", scores + 0.02)])
    assert [model.name for model in comparison.models] == ["a", "b"]
    row = comparison.rows[0]
    assert row.paired.difference == pytest.approx(0.01)
    assert row.paired.spread_between_seeds == (pytest.approx(0.01), None)
    assert comparison.notes == ("Trained once: b. What another seed would change is not in these intervals.",)


def test_models_that_differ_in_the_seed_alone_are_said_to(write, scores):
    files = [write(f"{seed}.json", scores + 0.01 * seed, parameters={"size": 64, "seed": seed}) for seed in range(2)]
    assert "0 and 1 differ in nothing but the seed" in compare_models(files).notes[0]
    other = write("other.json", scores, parameters={"size": 96, "seed": 1})
    assert not [note for note in compare_models([files[0], other]).notes if "seed;" in note]


def test_files_of_other_trainings_are_no_seeds_of_one_model(write, scores):
    files = [write(f"{size}.json", scores, parameters={"size": size, "seed": 0}) for size in (64, 96)]
    with pytest.raises(DataError, match=r"64\.json and .*96\.json differ in size \(64 and 96\)"):
        compare_models([",".join(files), write("b.json", scores)])


def test_three_models_make_three_pairs_under_one_correction(write, scores):
    files = [
        write(f"{name}.json", scores + gain * np.arange(12)) for name, gain in (("a", 0), ("b", 1e-3), ("c", 3e-3))
    ]
    comparison = compare_models(files)
    pairs = [(row.first, row.second) for row in comparison.rows]
    assert pairs == [("a", "b")] * 2 + [("a", "c")] * 2 + [("b", "c")] * 2
    assert comparison.rows[0].paired.p_adjusted == pytest.approx(6 * comparison.rows[0].paired.p)
    assert len(list(comparison.sentences())) == 3


def test_patients_that_others_lack_are_named_and_left_out(write, scores):
    ids = [f"p{number:02}" for number in range(12)]
    first = write("a.json", scores, ids=ids)
    second = write("b.json", scores[1:], ids=ids[1:], truth="same", trivial={})
    content = json.loads(Path(second).read_text())
    content["patients"].reverse()
    for row in content["patients"]:
        row["truth"] = f"digest {int(row['id'][1:])}"
    Path(second).write_text(json.dumps(content))
    comparison = compare_models([first, second])
    assert len(comparison.patients) == 11
    assert comparison.left_out == {first: ("p00",)}
    assert comparison.rows[0].paired.difference == 0  # joined by patient, whatever their order


@pytest.mark.parametrize(
    ("row", "what"),
    [
        ({"truth": "another"}, "ground truth"),
        ({"grid": {"shape": [4, 4, 5], "spacing_mm": [1, 1, 1]}}, "grid"),
        ({"trivial": {"WT": {"volume_error_ml": -9}}}, "true volume of WT"),
    ],
)
def test_another_ground_truth_or_grid_is_refused(write, scores, row, what):
    files = [write("a.json", scores), write("b.json", scores, **row)]
    with pytest.raises(DataError, match=rf"p00: .*a\.json and .*b\.json do not have the same {what}"):
        compare_models(files)


def test_files_of_older_versions_are_compared_by_their_volumes(write, scores):
    files = [write(name, scores) for name in ("a.json", "b.json")]
    for file in files:
        content = json.loads(Path(file).read_text())
        for row in content["patients"]:
            del row["truth"], row["grid"]
        Path(file).write_text(json.dumps(content))
    assert len(compare_models(files).patients) == 12


def test_radiographs_are_compared_too(tmp_path, scores):
    for name, gain in (("a", 0.0), ("b", 0.02)):
        images = [
            {"id": str(n), "site": "montgomery", "dice": score + gain, "assd_px": 1.0, "trivial": {"dice": gain}}
            for n, score in enumerate(scores)
        ]
        (tmp_path / f"{name}.json").write_text(json.dumps({"images": images}))
    comparison = compare_models([str(tmp_path / "a.json"), str(tmp_path / "b.json")])
    assert comparison.regions == ("lungs",)
    assert comparison.rows[0].paired.is_told


def test_other_scores_stand_beside_over_the_patients_who_have_them(write, scores):
    result = compare_models([write("a.json", scores), write("b.json", scores + 0.1)]).as_json()
    assert json.loads(json.dumps(result, allow_nan=False)) == json.loads(json.dumps(result))
    others = {(one["region"], one["score"]): one for one in result["others"]}
    assert others["WT", "hd95_mm"]["difference"] == pytest.approx(1)
    assert (others["WT", "sensitivity"]["n"], others["WT", "sensitivity"]["undefined"]) == (11, 1)
    assert ("ET", "sensitivity") not in others


def test_files_of_one_name_are_called_by_their_folders(write, scores):
    comparison = compare_models([write("one/metrics.json", scores), write("two/metrics.json", scores)])
    assert [model.name for model in comparison.models] == ["one", "two"]
    seeds = ",".join(write(f"three_{seed}/metrics.json", scores) for seed in range(2))
    assert [model.name for model in compare_models([write("one/metrics.json", scores), seeds]).models] == [
        "one",
        "three",
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "no JSON"),
        ("[]", "expected an object"),
        ("{}", "no scores of patients"),
        ('{"auc": {"value": 1}}', "scores of a gate"),
        ('{"patients": []}', "patients is"),
        ('{"patients": [{"id": "a"}]}', r"patients\.0 lacks regions"),
        ('{"patients": [{"id": "a", "regions": {"WT": {"dice": "good"}}}]}', r"WT\.dice is \"good\"; expected"),
        ('{"patients": [{"id": "a", "regions": {"WT": {"dice": NaN}}}]}', "expected a finite number"),
        ('{"patients": [{"id": "a", "regions": {"WT": {"dice": 1.5}}}]}', "expected a number from 0 to 1"),
        ('{"patients": [{"id": "a", "regions": {"WT": {"dice": 1, "hd95_mm": "x"}}}]}', "expected a number or null"),
        ('{"patients": [{"id": "a", "regions": {"WT": {"dice": 1}}, "trivial": 3}]}', "trivial is 3"),
        ('{"patients": [{"id": "a", "regions": {"WT": {"dice": 1}}}], "run": {"folds": 3}}', "folds is 3"),
        ('{"patients": [{"id": "a", "regions": {"WT": {"dice": 1}}}, {"id": "a", "regions": {"WT": {"dice": 0}}}]}',
         "more than one row of a"),
        ('{"images": [{"id": "a"}]}', "lacks dice"),
    ],
)  # fmt: skip
def test_a_file_of_something_else_is_refused_by_name(write, scores, tmp_path, text, message):
    (tmp_path / "bad.json").write_text(text)
    with pytest.raises(DataError, match=rf"bad\.json.*{message}"):
        compare_models([write("a.json", scores), str(tmp_path / "bad.json")])


def test_what_cannot_be_compared_is_refused(write, scores, tmp_path):
    first, second = write("a.json", scores), write("b.json", scores, ids=[f"q{n}" for n in range(12)])
    with pytest.raises(DataError, match="1 model was given"):
        compare_models([first])
    with pytest.raises(DataError, match=r"a\.json: given twice"):
        compare_models([first, first])
    with pytest.raises(DataError, match="no patient in common"):
        compare_models([first, second])
    with pytest.raises(DataError, match=r"gone\.json cannot be read"):
        compare_models([first, str(tmp_path / "gone.json")])
    with pytest.raises(DataError, match="name is empty"):
        compare_models([first, ","])
    (tmp_path / "lungs.json").write_text(json.dumps({"images": [{"id": "p00", "dice": 0.5}]}))
    with pytest.raises(DataError, match="no region in common"):
        compare_models([first, str(tmp_path / "lungs.json")])
