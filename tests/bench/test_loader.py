"""Tests of the loaders' benchmark: it counts delivered slices, and reports what it did not measure."""

import json
import mmap
import time

import numpy as np
import pytest
from typer.testing import CliRunner

from helpers.bench import footprint, loader
from helpers.bench.subprocess_peer import NoPeerError
from helpers.cli import app

COARSE = {"shape": (60, 60, 39), "spacing": (4.0, 4.0, 155 / 39)}


class Clock:
    """Moves on by itself: a batch takes as long as it says."""

    def __init__(self):
        self.now = 0.0

    def perf_counter(self):
        return self.now

    def batches(self, *sizes_and_seconds):
        for size, seconds in sizes_and_seconds:
            self.now += seconds
            yield {"images": np.zeros((size, 1))}


@pytest.fixture
def clock(monkeypatch):
    made = Clock()
    monkeypatch.setattr(loader, "time", made)
    return made


@pytest.fixture
def no_monai(monkeypatch):
    def missing(*_, **__):
        raise NoPeerError("monai is not installed: …")

    monkeypatch.setattr(loader, "Peer", missing)


@pytest.fixture
def small(monkeypatch):
    measure = loader.bench_loader
    monkeypatch.setattr(
        loader,
        "bench_loader",
        lambda data: measure(data, rounds=2, seconds=0.01, size=16, grid=COARSE, counts=()),
    )


def images(batch):
    return batch["images"]


def test_delivered_slices_are_counted_whatever_the_batch_size(clock):
    batches = clock.batches((5, 0.5), (3, 0.25), (2, 0.25), (99, 1.0))
    assert loader.delivered(batches, 1.0, images) == 10


def test_a_batch_that_takes_longer_than_the_turn_is_counted_with_all_its_time(clock):
    assert loader.delivered(clock.batches((100, 4.0), (100, 4.0)), 1.0, images) == 25


def test_without_monai_the_table_says_so_and_all_else_is_measured(small, no_monai, tmp_path):
    answer = CliRunner().invoke(app, ["bench", "loader", "--json", str(tmp_path / "loader.json")])
    assert answer.exit_code == 0, answer.output
    assert "MONAI's cached data set was not measured. monai is not installed" in answer.output
    result = json.loads((tmp_path / "loader.json").read_text())
    assert result["monai"] is None
    assert result["files"] == [".nii.gz"]
    assert set(result["rates"]) == {loader.KERNEL, loader.STORED, loader.AUGMENTED}
    for rates in result["rates"].values():
        assert 0 < rates["low"] <= rates["median"] <= rates["high"]
        assert rates["n"] == 2
    assert set(result["ratios"]) == {loader.KERNEL, loader.AUGMENTED}
    assert result["memory"] is None


def test_the_users_own_patients_are_read_where_a_folder_is_given(small, no_monai, tmp_path, monkeypatch):
    data = tmp_path / "mine"
    loader.patients(None, data, 2, loader.MODALITIES, COARSE)
    monkeypatch.setattr("helpers.bench.patients.make_brats", None)  # no phantoms are made
    result = loader.bench_loader(data)
    assert result["patients"] == 2
    assert result["data"] == "the user's own"


def test_a_peers_figures_come_from_its_own_counts_and_clock(small, monkeypatch):
    class Stub:
        def __init__(self, script, patients, size, batch):
            self.info = {"version": "0", "fill_seconds": 1.0, "slice_bytes": {"slices": 5, "classes": 7}}
            assert script == "cached_slices"
            assert [len(patient["image"]) for patient in patients] == [2] * loader.PATIENTS
            self.slices = {"volumes": 50, "slices": 200, "classes": 150}

        def ask(self, way, seconds):
            return {"slices": self.slices[way], "seconds": 0.5}

        def __enter__(self):
            return self

        def __exit__(self, *_):
            pass

    monkeypatch.setattr(loader, "Peer", Stub)
    rates = loader.bench_loader(None)["rates"]
    medians = {way: rates[name]["median"] for way, name in loader.MONAI.items()}
    assert medians == {"volumes": 100, "slices": 400, "classes": 300}


def test_the_size_of_our_slice_is_that_in_a_batch(small, no_monai):
    """Half-precision FLAIR and T1ce, and the soft labels of all classes but the background, a byte each."""
    assert loader.bench_loader(None)["slice_bytes"] == 16 * 16 * (2 * 2 + 3)


@pytest.mark.skipif(not footprint.STATUS.exists(), reason="only Linux tells anonymous from mapped memory")
def test_anonymous_memory_and_mapped_pages_are_counted_separately(tmp_path):
    size = 64 << 20
    (tmp_path / "file").write_bytes(bytes(size))
    before = footprint._resident()
    with footprint.watched() as own:
        array = np.ones(size, np.uint8)  # exists for several samples: another process may delay the sampling
        time.sleep(3 * footprint.PAUSE)
        del array
    assert own["anonymous"] - before["anonymous"] > 60
    with (
        footprint.watched() as mapped,
        (tmp_path / "file").open("rb") as file,
        mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as pages,
    ):
        sum(pages[i] for i in range(0, size, 4096))
        time.sleep(3 * footprint.PAUSE)
    assert mapped["mapped"] - before["mapped"] > 60


@pytest.mark.skipif(not footprint.STATUS.exists(), reason="only Linux tells anonymous from mapped memory")
def test_the_footprint_is_of_the_requested_number_of_patients(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(footprint, "STEPS", 2)
    loader.patients(None, tmp_path, 3, loader.MODALITIES, COARSE)
    footprint.main(str(tmp_path), 2, 16)
    result = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert result["patients"] == 2
    assert result["slices"] == 2 * 39
    assert result["anonymous"] > 0
