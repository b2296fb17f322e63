"""Tests of the evaluation's benchmark: libraries that are there are timed, and the table says what each computes."""

import json
import os

import pytest
from typer.testing import CliRunner

from helpers.bench import metrics
from helpers.bench.subprocess_peer import METRICS_PYTHON, NoPeerError
from helpers.cli import app

COARSE = {"shape": (60, 60, 39), "spacing": (4.0, 4.0, 155 / 39)}


def test_without_other_libraries_ours_is_measured_and_the_reason_given(monkeypatch, capsys):
    def missing(*_, **__):
        raise NoPeerError("MedPy is not installed: pip install medpy")

    monkeypatch.setattr(metrics, "Peer", missing)
    before = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else None
    result = metrics.bench_metrics(rounds=2, grid=COARSE)
    if before is not None:
        assert os.sched_getaffinity(0) == before
    assert set(result["seconds"]) == {metrics.OURS, metrics.WITH_CLASSES}
    assert result["seconds"][metrics.OURS]["n"] == 2
    assert result["agreement"] == {}
    metrics.show(result)
    printed = " ".join(capsys.readouterr().out.split())
    assert "No other library was measured. MedPy is not installed" in printed


@pytest.mark.skipif(not os.environ.get(METRICS_PYTHON), reason=f"{METRICS_PYTHON} names no Python with the libraries")
def test_every_library_is_timed_and_agrees(tmp_path, monkeypatch):
    monkeypatch.setattr(metrics, "BRATS", COARSE)
    bench = metrics.bench_metrics
    monkeypatch.setattr(metrics, "bench_metrics", lambda data: bench(data, rounds=1, grid=COARSE))
    result = CliRunner().invoke(app, ["bench", "measure", "--json", str(tmp_path / "measure.json")])
    assert result.exit_code == 0, result.output
    written = json.loads((tmp_path / "measure.json").read_text())
    assert set(written["ratios"]) == {"medpy", "monai", "surface_distance", "panoptica"}
    assert max(written["agreement"].values()) < 1e-5  # MONAI computes in float32
