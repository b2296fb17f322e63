"""Tests of the ablation: the results with and without a gate differ only in the slices that the gate rejects."""

import json
from dataclasses import replace

import numpy as np
import pytest

from helpers.apply.gate_ablation import ARMS, evaluate_case, gate_table, summary


@pytest.fixture(scope="module")
def rows(system, patients):
    return [evaluate_case(system, patient) for patient in patients[:3]]


def test_false_negative_volume_is_the_tumour_in_rejected_slices(rows, system, patients):
    scan = system.read(patients[0], seg=True)
    rejected = ~system.gate.predict(scan)
    lost = (scan.seg[..., rejected] > 0).sum() * np.prod(scan.spacing) / 1000
    assert rows[0]["false_negative_ml"] == pytest.approx(lost)
    assert 0 < rows[0]["skipped"] < 1


def test_a_gate_that_passes_every_slice_changes_nothing(system, patients):
    row = evaluate_case(replace(system, gate=replace(system.gate, threshold=0.0)), patients[0])
    for key in ("dice", "false_positive_components", "false_positive_ml"):
        assert row["with gate"][key] == row["without gate"][key]
    assert row["skipped"] == 0


def test_table_and_summary_hold_all_patients_and_fit_into_json(rows):
    table = gate_table(rows)
    assert list(table.index) == list(ARMS)
    assert table.loc["with gate", "false positive components"] == np.mean(
        [row["with gate"]["false_positive_components"] for row in rows]
    )
    dices = [row["with gate"]["dice"]["WT"] for row in rows]  # of three patients there is no interval
    assert table.loc["with gate", "WT Dice"] == f"{np.mean(dices):.3f} [{min(dices):.3f}, {max(dices):.3f}]"
    result = json.loads(json.dumps(summary(rows)))
    assert result["n"] == 3
    assert result["halves"]["WT"][0] <= 1
    assert set(result["range_holds_truth"]) == {"WT", "TC", "ET"}
