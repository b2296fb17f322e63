"""Laws of the report on X-rays: outlines at their own size, what speaks against them, and how the model scored."""

import json
import re
import shutil

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from helpers.apply.lung_report import report_lungs
from helpers.apply.page import PURPOSE
from helpers.cli import app
from helpers.data.chest import read_chest
from helpers.data.phantoms.chest import make_chest
from helpers.data.pictures import read_image
from helpers.learn.run_folder import read_metrics, read_run, write_signed
from helpers.runtime.errors import DataError
from helpers.tasks.lungs.commands import train_lungs
from helpers.tasks.lungs.inference import LungSegmenter
from tests.faults.chest import flip_bit


def _quiet(_):
    pass


@pytest.fixture(scope="module")
def hospitals(tmp_path_factory):
    return make_chest(tmp_path_factory.mktemp("hospitals") / "chest", montgomery=12, shenzhen=14, size=64, seed=2)


@pytest.fixture(scope="module")
def model(hospitals, tmp_path_factory):
    out = tmp_path_factory.mktemp("model") / "run"
    return train_lungs(hospitals, out, size=32, filters=2, augmentation="none", epochs=1, log=_quiet)


@pytest.fixture(scope="module")
def films(hospitals, tmp_path_factory):
    """Three X-rays: one as it is, one inverted, one damaged."""
    folder = tmp_path_factory.mktemp("films") / "ward"
    folder.mkdir()
    for name, xray in zip(("as_it_is", "inverted", "torn"), read_chest(hospitals).xrays, strict=False):
        shutil.copy(xray.image, folder / f"{name}.png")
    Image.fromarray(255 - read_image(folder / "inverted.png")).save(folder / "inverted.png")
    flip_bit(folder / "torn.png")
    return folder


@pytest.fixture(scope="module")
def written(model, films, tmp_path_factory):
    out = tmp_path_factory.mktemp("out") / "new" / "report"
    return out, report_lungs([films], model, out, _quiet)


def test_folder_holds_masks_numbers_and_page(written):
    out, result = written
    names = {"as_it_is_mask.png", "inverted_mask.png", "report.json", "report.html"}
    assert {path.name for path in out.iterdir()} == names
    assert json.loads((out / "report.json").read_text()) == json.loads(json.dumps(result))
    assert [path.name for path in out.parent.iterdir()] == ["report"]  # no scratch is left


def test_masks_are_those_of_the_model_and_the_areas_theirs(written, model, films):
    entry = written[1]["patients"][0]
    mask = np.asarray(Image.open(written[0] / entry["mask"])) > 0
    radiograph = read_image(films / "as_it_is.png")
    assert mask.shape == radiograph.shape == (entry["rows"], entry["columns"])
    assert (mask != LungSegmenter.load(model).predict(radiograph)).mean() < 0.002
    assert entry["all"] == {"pixels": mask.sum(), "share": round(mask.mean(), 4)}
    assert sum(lung["pixels"] for lung in entry["lungs"].values()) <= mask.sum()


def test_what_speaks_against_an_outline_stands_above_it(written):
    inverted = written[1]["patients"][1]
    assert any("looks inverted" in warning for warning in inverted["warnings"])
    page = (written[0] / "report.html").read_text(encoding="utf-8")
    assert page.index("looks inverted") < page.index(inverted["mask"])


def test_refused_radiograph_is_named_beside_the_others(written):
    assert [entry["status"] for entry in written[1]["patients"]] == ["outlined", "outlined", "refused"]
    assert "Not outlined" in (written[0] / "report.html").read_text(encoding="utf-8")


def test_page_is_self_contained_and_has_the_models_test_scores_and_the_trivial_ones(written, model, films):
    page = (written[0] / "report.html").read_text(encoding="utf-8")
    assert page.count(PURPOSE) == 2
    assert all(uri.startswith("data:image/png;base64,") for uri in re.findall(r'(?:src|href)="([^"]{0,30})', page))
    assert all(re.search(r'alt="[^"]{20,}"', tag) for tag in re.findall(r"<img[^>]*>", page))
    for site, scores in read_metrics(model)["sites"].items():
        assert site in page
        assert f"{scores['dice']['mean']:.3f}" in page
        assert f"{read_metrics(model)['trivial'][site]['dice']['mean']:.3f}" in page
    for text in (page, (written[0] / "report.json").read_text()):
        assert str(films.parent) not in text
        assert not set(read_run(model)["learned_from"]) & set(re.findall(r"\w+", text))


def test_few_test_radiographs_have_a_range_and_no_interval(written, model):
    rows = {row["hospital"]: row for row in written[1]["scores"]}
    for site, scores in read_metrics(model)["sites"].items():
        dice = [image["dice"] for image in read_metrics(model)["images"] if image["site"] == site]
        assert scores["n"] == len(dice) < 8
        assert (rows[site]["low"], rows[site]["high"]) == (round(min(dice), 3), round(max(dice), 3))
        assert rows[site]["spread"] == "lowest to highest"


def test_model_of_an_older_version_says_that_shape_was_not_checked(model, films, tmp_path):
    old = shutil.copytree(model, tmp_path / "old")
    write_signed({name: entry for name, entry in read_run(model).items() if name != "shape"}, old / "run.json")
    result = report_lungs([films], old, tmp_path / "out", _quiet)
    assert not result["shape_checked"]
    assert "not\n    checked for shape" in (tmp_path / "out" / "report.html").read_text(encoding="utf-8")


def test_nothing_is_overwritten_and_a_failure_leaves_nothing(model, films, tmp_path, monkeypatch):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "mine.txt").write_text("own")
    with pytest.raises(FileExistsError, match="not overwritten"):
        report_lungs([films], model, tmp_path / "mine", _quiet)
    (tmp_path / "bad").mkdir()
    shutil.copy(films / "torn.png", tmp_path / "bad")
    with pytest.raises(DataError, match="None of these X-rays can be used"):
        report_lungs([tmp_path / "bad"], model, tmp_path / "out", _quiet)
    monkeypatch.setattr("helpers.apply.lung_report.render", lambda *_, **__: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        report_lungs([films], model, tmp_path / "out", _quiet)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bad", "mine"]


def test_the_command_takes_the_report_by_the_models_task(model, films, tmp_path):
    words = ["report", str(films), "--model", str(model), "--out", str(tmp_path / "out")]
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 1  # one X-ray was refused
    assert (tmp_path / "out" / "report.html").exists()
    assert "torn: refused" in done.output
    done = CliRunner().invoke(app, [*words, "--gate", str(model)])
    assert done.exit_code == 2
    assert "leave out --gate" in " ".join(done.output.split())
