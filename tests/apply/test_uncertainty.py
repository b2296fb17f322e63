"""Tests of uncertainty: certain means 0, disagreement counts, and a good confidence gives a rising curve."""

import numpy as np
import pytest

from helpers.apply.uncertainty import agreement, entropy, risk_coverage, split_by_confidence


def test_entropy_runs_from_certain_to_uniform():
    np.testing.assert_allclose(entropy(np.array([[0, 1, 0, 0], [0.5, 0.5, 0, 0], [0.25] * 4])), [0, 1, 2], atol=1e-4)


def test_agreement_is_one_where_every_pass_draws_the_outline_and_nothing_elsewhere():
    outline = np.array([0, 2, 2, 2])
    assert agreement(outline, [outline, outline]) == {"WT": 1.0, "TC": 1.0, "ET": 1.0}
    half = np.array([0, 2, 0, 0])
    assert agreement(outline, [outline, half])["WT"] == pytest.approx((1 + 2 / 4) / 2)
    assert agreement(outline, [np.array([3, 2, 2, 2])])["ET"] == 0


def test_risk_rises_with_coverage_if_confidence_predicts_it_and_falls_if_reversed():
    risk = np.array([0.4, 0.1, 0.3, 0.2])
    coverage, retained = risk_coverage(-risk, risk)
    np.testing.assert_allclose(coverage, [0.25, 0.5, 0.75, 1])
    np.testing.assert_allclose(retained, [0.1, 0.15, 0.2, 0.25])
    assert np.all(np.diff(risk_coverage(risk, risk)[1]) < 0)


def test_halves_hold_all_patients():
    confident, rest = split_by_confidence([3, 1, 2, 0, 5], [0.9, 0.5, 0.7, 0.1, 1.0])
    assert confident == pytest.approx(0.95)
    assert rest == pytest.approx((0.7 + 0.5 + 0.1) / 3)
    with pytest.raises(ValueError, match="at least two"):
        split_by_confidence([1], [1])


def test_one_number_per_patient_in_each():
    with pytest.raises(ValueError, match=r"confidence has shape \(2,\) and risk \(3,\)"):
        risk_coverage([1, 2], [1, 2, 3])
