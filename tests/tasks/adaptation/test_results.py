"""Laws of the table: one row an experiment, radiographs paired, and a dash where a number would say nothing."""

import json

import numpy as np
import pandas as pd
import pytest

from helpers.measure.statistics import bootstrap_ci
from helpers.runtime.errors import DataError
from helpers.tasks.adaptation.results import as_frame, summarise

LEVELS = {"source": (0.95, 0.80), "adda": (0.94, 0.86), "target": (0.85, 0.90)}  # at a, at b


@pytest.fixture
def scores():
    """Two seeds of each experiment, 20 radiographs in each hospital, hard ones hard for all."""
    rng, rows = np.random.default_rng(0), []
    hard = {(site, i): rng.normal(0, 0.03) for site in "ab" for i in range(20)}
    for experiment, levels in LEVELS.items():
        for seed in (0, 1):
            for (site, i), offset in hard.items():
                value = levels["ab".index(site)] + offset + rng.normal(0, 0.005)
                rows.append(
                    {"experiment": experiment, "seed": seed, "radiograph": f"{site}{i}", "site": site, "dice": value}
                )
    return pd.DataFrame(rows)


def test_every_experiment_has_its_row_with_both_hospitals(scores):
    rows = summarise(scores, "a", "b")
    assert [row["experiment"] for row in rows] == list(LEVELS)
    for row, (at_source, at_target) in zip(rows, LEVELS.values(), strict=True):
        assert row["seeds"] == [0, 1]
        assert row["source"]["mean"] == pytest.approx(at_source, abs=0.02)
        assert row["target"]["mean"] == pytest.approx(at_target, abs=0.02)
        assert np.mean(row["target"]["by_seed"]) == pytest.approx(row["target"]["mean"])
    assert json.loads(json.dumps(rows)) == rows


def test_the_interval_is_over_radiographs_not_over_trainings(scores):
    adda = scores.query("experiment == 'adda' and site == 'b'").groupby("radiograph", sort=False)["dice"].mean()
    row = summarise(scores, "a", "b")[1]
    assert row["target"]["ci95"] == pytest.approx(bootstrap_ci(adda))


def test_few_radiographs_get_no_interval_and_stand_one_by_one(scores):
    few = scores[scores["radiograph"].str.contains(r"[ab][0-6]$")]
    row = summarise(few, "a", "b")[1]
    assert [row[part]["ci95"] for part in ("source", "target", "gap", "source_change")] == [None] * 4
    assert row["target"]["n"] == len(row["target"]["by_radiograph"]) == 7
    assert np.mean(row["target"]["by_radiograph"]) == pytest.approx(row["target"]["mean"])
    assert as_frame([row]).loc["adda", "Dice, target"] == f"{row['target']['mean']:.3f}"


def test_the_gap_is_closed_from_source_to_target(scores):
    shares = [row["gap"]["share"] for row in summarise(scores, "a", "b")]
    assert shares == [0, pytest.approx(0.6, abs=0.05), 1]


def test_the_order_of_the_radiographs_makes_no_difference(scores):
    mixed = pd.concat([part.sample(frac=1, random_state=1) for _, part in scores.groupby("experiment", sort=False)])
    for row, other in zip(summarise(scores, "a", "b"), summarise(mixed, "a", "b"), strict=True):
        assert row["gap"]["share"] == pytest.approx(other["gap"]["share"])
        assert row["source_change"]["mean"] == pytest.approx(other["source_change"]["mean"])


def test_change_at_the_source_is_against_the_source_model(scores):
    rows = summarise(scores, "a", "b")
    assert rows[0]["source_change"] == {"mean": 0.0, "ci95": [0.0, 0.0], "n": 20}
    assert rows[1]["source_change"]["mean"] == pytest.approx(rows[1]["source"]["mean"] - rows[0]["source"]["mean"])


def test_experiments_are_compared_over_the_seeds_that_all_have(scores):
    """A seed by which all were better says nothing for those that have it."""
    lucky = scores.assign(dice=scores["dice"] + 0.05 * (scores["seed"] == 1))
    some = lucky[(lucky["experiment"] != "adda") | (lucky["seed"] == 0)]
    one = summarise(scores[scores["seed"] == 0], "a", "b")[1]
    found = summarise(some, "a", "b")[1]
    assert found["gap"]["share"] == pytest.approx(one["gap"]["share"])
    assert found["source_change"]["mean"] == pytest.approx(one["source_change"]["mean"])
    apart = lucky.assign(seed=lucky["seed"] + 2 * (lucky["experiment"] == "adda"))
    assert "no seed in common" in summarise(apart, "a", "b")[1]["gap"]["note"]


@pytest.mark.parametrize("experiment", ["source", "target"])
def test_without_one_end_of_the_gap_no_share_is_given(scores, experiment):
    row = summarise(scores[scores["experiment"] != experiment], "a", "b")[0]
    assert row["gap"] == {"share": None, "ci95": None, "note": f"{experiment} not trained yet"}


def test_where_there_is_no_gap_the_row_says_so(scores):
    row = summarise(scores, "b", "a")[1]  # the model of b is no better at a than the model of a
    assert row["gap"]["share"] is None
    assert "no gap to close" in row["gap"]["note"]
    assert as_frame([row]).loc["adda", "gap closed"] == "-"


def test_the_oracle_stands_apart(scores):
    of_adda = (scores["experiment"] == "adda") & (scores["site"] == "b")
    better = scores.assign(oracle=np.where(of_adda, scores["dice"] + 0.02, np.nan))
    rows = summarise(better, "a", "b")
    assert [row["oracle"] is None for row in rows] == [True, False, True]
    assert rows[1]["oracle"]["mean"] == pytest.approx(rows[1]["target"]["mean"] + 0.02)
    assert rows[1]["target"] == summarise(scores, "a", "b")[1]["target"]


def test_experiments_that_were_scored_on_other_radiographs_are_refused(scores):
    with pytest.raises(DataError, match="adda: not scored on all the radiographs"):
        summarise(scores.query("not (experiment == 'adda' and radiograph == 'b3')"), "a", "b")
    with pytest.raises(DataError, match="no scores in c"):
        summarise(scores, "a", "c")


def test_the_printed_table_has_a_number_for_everything(scores):
    frame = as_frame(summarise(scores, "a", "b"))
    assert list(frame.index) == list(LEVELS)
    assert frame.loc["target", "gap closed"] == "100% [100%, 100%]"
    assert (frame["oracle"] == "-").all()
