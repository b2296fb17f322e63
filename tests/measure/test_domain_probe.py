import numpy as np
import pytest

from helpers.measure.domain_probe import domain_probe_auc


def radiographs(count, shift, seed):
    return np.random.default_rng(seed).normal(shift, 1, (count, 6))


def test_hospitals_that_differ_are_separable():
    assert domain_probe_auc(radiographs(30, 0, 1), radiographs(20, 4, 2)) > 0.99


def test_hospitals_that_do_not_differ_are_not():
    aucs = [domain_probe_auc(radiographs(40, 0, 2 * seed), radiographs(40, 0, 2 * seed + 1)) for seed in range(10)]
    assert np.mean(aucs) == pytest.approx(0.5, abs=0.08)


def test_many_features_of_few_radiographs_are_not_memorised():
    draw = np.random.default_rng(0)
    assert domain_probe_auc(draw.normal(size=(12, 200)), draw.normal(size=(12, 200))) < 0.85


@pytest.mark.parametrize("other", [np.zeros((1, 6)), np.zeros((5, 4)), np.zeros(6)])
def test_radiographs_that_make_no_two_sets_are_refused(other):
    with pytest.raises(ValueError, match="two radiographs of each or more"):
        domain_probe_auc(radiographs(5, 0, 0), other)
