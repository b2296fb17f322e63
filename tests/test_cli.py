"""Laws of the command line: every command answers to --help, a mistake ends in one message, tables lose nothing."""

import errno
import json
import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
import typer
from PIL import Image

from helpers.cli import app, explain, tables
from helpers.cli.console import print_error, print_table
from helpers.data.splits import Split, save_split
from helpers.measure.evaluate import summarise_patients
from helpers.measure.regions import score_labels
from helpers.runtime.errors import DataError

ROOT = Path(__file__).parents[1]


def _run(*arguments, **environment):
    command = [sys.executable, "-m", "helpers", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, env={**os.environ, **environment})


@pytest.mark.parametrize(
    "command",
    [
        ["phantom"],
        ["download"],
        ["build"],
        ["run"],
        ["book"],
        ["class"],
        ["publish"],
        ["push"],
        ["train", "brain"],
        ["evaluate"],
        ["predict"],
        ["audit"],
        ["claim"],
        ["ladder"],
        ["bench", "viewer"],
    ],
)
def test_every_command_answers_help(command):
    from typer.testing import CliRunner

    from helpers.cli import app

    result = CliRunner().invoke(app, [*command, "--help"])
    assert result.exit_code == 0
    assert "Usage" in result.output


def test_a_mistake_ends_in_a_message_and_status_1(tmp_path):
    result = _run("evaluate", tmp_path / "in [/x]", "--data", tmp_path, PYTHONIOENCODING="ascii")
    assert result.returncode == 1
    assert "in [/x] holds no finished training" in result.stderr
    assert "Traceback" not in result.stderr


def test_a_backend_that_is_unknown_ends_in_a_message_before_keras_is_imported(tmp_path):
    result = _run("train", "brain", "--data", tmp_path, "--out", tmp_path, KERAS_BACKEND="torch")
    assert result.returncode == 1
    assert result.stderr.startswith("Error: KERAS_BACKEND is 'torch'")


@pytest.mark.parametrize("message", ["Stopped after 3 epochs; the same command goes on from there.", ""])
def test_ctrl_c_ends_in_a_line_and_status_130(monkeypatch, message):
    from typer.testing import CliRunner

    from helpers.cli import app

    def stopped(*_, **__):
        raise KeyboardInterrupt(*[message] * bool(message))

    monkeypatch.setattr("helpers.data.phantoms.brats.make_brats", stopped)
    result = CliRunner().invoke(app, ["phantom"])
    assert result.exit_code == 130
    assert result.output.strip() == (message or "Stopped.")


REFUSED = {
    "train brain --data nowhere --out out": "There is no folder nowhere",
    "train brain --data empty --out out": "No BraTS patient under empty",
    "train brain --data empty --out out --folds 3": "No BraTS patient under empty",
    "train brain --data empty --out out --size 90": "size is 90",
    "train brain --data empty --out out --modalities pet": "'pet' is no modality",
    "train brain --data empty --out out --loss hinge": "'hinge' is not one of",
    "train brain --data empty --out out --devices gpu": "devices 'gpu'",
    "train gate --data nowhere --out out": "There is no folder nowhere",
    "train gate --data empty --out out": "No BraTS patient under empty",
    "train gate --data empty --out out --folds 3": "No BraTS patient under empty",
    "train gate --data empty --out out --size 90": "size is 90",
    "train gate --data empty --out out --network base --weights nowhere": "There is no file nowhere",
    "train lungs --data nowhere --out out": "There is no folder nowhere",
    "train lungs --data empty --out out": "No chest X-rays under empty",
    "train lungs --data empty --out out --size 90": "90 cannot be halved",
    "finetune nowhere --data empty --out out": "nowhere holds no finished training",
    "finetune torn --data empty --out out": "torn/model.keras cannot be loaded",
    "finetune brain --data empty --out out": "its run.json lacks filters",
    "finetune brain --data empty --out out --layers some": "layers 'some' is not known",
    "finetune brain --data empty --out out --rehearse": "give it by --old",
    "learning-curve --data empty --out out": "name the new site",
    "learning-curve --data nowhere --out out --model nowhere": "nowhere holds no finished training",
    "learning-curve --data empty --out out --site CBICA --counts some": "counts is 'some'",
    "export nowhere --to onnx --out model.onnx": "nowhere holds no finished training",
    "export torn --to onnx --out model.onnx": "torn/model.keras cannot be loaded",
    "export brain --to onnx --out model.onnx": "brain/metrics.json cannot be read",
    "outline-first nowhere --data empty": "nowhere holds no finished training",
    "outline-first lungs --data empty": "No chest X-rays under empty",
    "evaluate nowhere --data empty": "nowhere holds no finished training",
    "evaluate brain --data nowhere": "There is no folder nowhere",
    "evaluate brain --data empty": "No BraTS patient under empty",
    "evaluate brain --data empty --subsets": "--subsets is for a model that was trained with --modality-dropout",
    "train brain --data empty --out out --by site": "No BraTS patient under empty",
    "train brain --data empty --out out --normalisation spectral": "'spectral' is not one of",
    "recipes --data nowhere --out out": "There is no folder nowhere",
    "recipes --data empty --out out --rows magic": "There is no recipe magic",
    "evaluate brain --data empty --site montgomery": "only one of lungs is scored by --site",
    "evaluate brain --data empty --gate gate --json scores.json": "brain holds no folder fold_1_of_n",
    "evaluate gate --data nowhere": "There is no folder nowhere",
    "evaluate gate --data empty": "No BraTS patient under empty",
    "evaluate lungs --data nowhere": "There is no folder nowhere",
    "evaluate lungs --data empty": "No chest X-rays under empty",
    "evaluate torn --data empty": "torn/model.keras cannot be loaded",
    "predict nowhere empty --out out": "nowhere holds no finished training",
    "predict brain nowhere --out out": "There is no folder nowhere",
    "predict brain empty --out out": "No BraTS patient under empty",
    "predict lungs empty --out out": "No X-ray in empty",
    "predict torn empty --out out": "torn/model.keras cannot be loaded",
    "predict brain empty --out out --flair 1.2.3": "are for brain models and DICOM folders",
    "dicom nowhere": "There is no folder nowhere",
    "dicom empty": "No DICOM file under empty",
    "report nowhere --gate gate --model brain --out out": "There is no folder nowhere",
    "report empty --gate gate --model brain --out out": "No BraTS patient under empty",
    "report empty --gate nowhere --model brain --out out": "nowhere holds no finished training",
    "report empty --gate gate --model lungs --out out": "leave out --gate",
    "report empty --model brain --out out": "--gate is missing",
    "report empty --model lungs --out out": "lungs/metrics.json cannot be read",
    "report empty --gate gate --model brain --out brain": "brain is there already",
    "adapt nowhere --data empty --from montgomery --to shenzhen --method adda --out out": "no finished training",
    "adapt lungs --data empty --from shenzhen --to montgomery --method adda --out out": "was trained at montgomery",
    "adapt lungs --data empty --from montgomery --to shenzhen --method magic --out out": "'magic' is not one of",
    "compare nowhere": "1 model was given",
    "claim": "Give an accuracy, an IoU or a Dice",
    "ladder --data nowhere --out out": "There is no folder nowhere",
    "ladder --data empty --out out --experiments none": "'none' is no experiment",
    "audit nowhere": "There is no folder nowhere",
    "audit empty": "Nothing to audit under empty",
    "deidentify nowhere --out out": "The folder of DICOM files is not there",
    "deidentify empty --out brain": "What --out names is there already",
    "deidentify empty --out out --key key": "The key lies in the output folder or beside it",
    "deidentify empty --out out": "There is no image that can be cleaned: the folder is empty",
    "obstacles make brain": "brain holds files that are no phantom set",
    "obstacles run empty --out out": "There is no course in empty",
    "obstacles score --key nowhere --log nowhere": "nowhere cannot be read",
    "weights pack nowhere --out file --licence CC0": "nowhere holds no finished training",
    "weights pack brain --out file --licence CC0": "brain/metrics.json cannot be read",
    "weights pack brain --out empty --licence CC0": "empty is a folder",
    "weights open nowhere --out out": "There is no file nowhere",
    "weights open torn/model.keras --out out": "torn/model.keras is no packed model",
    "weights open torn/model.keras --out brain": "brain is there already",
    "bench loader --data nowhere": "There is no folder nowhere",
    "bench measure --data nowhere": "There is no folder nowhere",
    "bench predict --model nowhere": "nowhere holds no finished training",
    "bench train --json empty": "empty",
    "bench gpu --json empty": "empty",
    "run 99": "There is no lesson '99'",
    "baseline --seeds 2": "give at least 3 seeds",
    "baseline 99": "There is no lesson '99'",
    "run --profile none": "There is no profile 'none'",
    "book nowhere": "holds no lesson of the course; run this from the checkout",
    "class nowhere": "There is no folder nowhere",
    "class empty": "No notebook under empty",
    "publish some_one/course": "the account 'some_one' is not",
    "push --user somebody --dry-run 99": "There is no lesson '99'",
    "compare-runs nowhere empty": "nowhere holds no run of lessons",
    "download mnist": "mnist",
    "phantom --patients 0": "patients",
    "phantom --out brain/run.json": "brain/run.json is no folder",
}
"""A command with the mistakes that people make, and what it must tell of them."""

SLOW = {"tensorflow", "keras", "jax", "torch", "scipy.ndimage", "sklearn", "skimage", "pandas", "matplotlib", "IPython"}
"""Each of them takes a large part of the second in which a refusal is to come."""


@pytest.fixture(scope="module")
def refusals(tmp_path_factory):
    """What each command of `REFUSED` ends in, and which of `SLOW` it loads; all of them in one process."""
    folder = tmp_path_factory.mktemp("refused")
    (folder / "empty").mkdir()
    window = {"modalities": ["flair"], "size": 32, "extent_mm": 192.0}
    known = {name: {"flair": name} for name in ("MCUCXR_1", "MCUCXR_2")}
    for name, run in {
        "brain": {"task": "brain", "parameters": window},
        "torn": {"task": "brain", "parameters": window},
        "gate": {"task": "gate", "parameters": window, "threshold": 0.5},
        "lungs": {"task": "lungs", "parameters": {"size": 32, "site": "montgomery"}, "learned_from": known},
    }.items():
        model = folder / name
        model.mkdir()
        (model / "run.json").write_text(json.dumps(run))
        save_split(Split(("MCUCXR_1",), ("MCUCXR_2",), ("MCUCXR_3",), seed=0), model / "split.json")
        with zipfile.ZipFile(model / "model.keras", "w"):
            pass
    (folder / "torn" / "model.keras").write_bytes(b"PK")
    Image.new("L", (32, 32)).save(folder / "lungs" / "mean_mask.png")
    code = f"""
import contextlib, io, json, sys
from helpers.cli import main
found = {{}}
for line in {list(REFUSED)!r}:
    sys.argv, before = ["helpers", *line.split()], set(sys.modules)
    text = io.TextIOWrapper(io.BytesIO(), encoding="utf-8", write_through=True)
    with contextlib.redirect_stdout(text), contextlib.redirect_stderr(text):
        try:
            main()
            status = 0
        except SystemExit as end:
            status = end.code
    loaded = sorted({SLOW!r} & (set(sys.modules) - before))
    found[line] = status, text.buffer.getvalue().decode(), loaded
print(json.dumps(found))
"""
    environment = {**os.environ, "COLUMNS": "200", "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", code]
    result = subprocess.run(command, capture_output=True, text=True, cwd=folder, env=environment)
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout)


@pytest.mark.parametrize("line", REFUSED)
def test_a_mistake_is_refused_before_anything_slow_is_loaded(refusals, line):
    status, text, loaded = refusals[line]
    assert status in (1, 2), text
    assert REFUSED[line] in text
    assert "Traceback" not in text
    assert loaded == []


def test_every_command_refuses_something():
    from typer.main import get_command

    from helpers.cli import app

    def lines(command, words=()):
        inner = getattr(command, "commands", {})
        return [line for name, one in inner.items() for line in lines(one, (*words, name))] or [words]

    known = [tuple(line.split()) for line in REFUSED]
    refused = {words for words in lines(get_command(app)) if any(line[: len(words)] == words for line in known)}
    without_arguments = {("build",), ("bench", "viewer"), ("bench", "all")}
    assert refused | without_arguments == set(lines(get_command(app)))


def test_help_does_not_wait_for_what_is_slow():
    code = f"import sys, helpers.cli; sys.exit(bool({SLOW!r} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def _raised(function):
    try:
        function()
    except Exception as error:
        return error
    raise AssertionError("nothing was raised")


def _open_nothing():
    Path("/nowhere/at/all").read_text(encoding="utf-8")


def _import_tensorflow():
    raise ModuleNotFoundError("No module named 'tensorflow'", name="tensorflow")


class ResourceExhaustedError(Exception):
    """What TensorFlow raises, by its name."""


def _no_room():
    raise ResourceExhaustedError("failed to allocate memory [Op:Conv2D]\nand a long trace")


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (_open_nothing, "/nowhere/at/all: No such file or directory."),
        (_import_tensorflow, "TensorFlow is not installed"),
        (_no_room, "There is not enough memory for this (failed to allocate memory [Op:Conv2D])."),
    ],
)
def test_what_the_system_says_is_a_message(function, message):
    assert message in explain(_raised(function))


def test_a_fault_of_ours_keeps_its_traceback():
    assert explain(_raised(lambda: {}["key"])) is None
    assert explain(_raised(lambda: np.zeros(3).reshape(2))) is None  # a ValueError, of NumPy


def test_a_data_error_is_a_message_wherever_it_was_raised():
    assert explain(DataError("a [b] c")) == "a [b] c"


def test_an_error_without_a_file_keeps_its_traceback():
    assert explain(OSError(errno.EIO, "Input/output error")) is None


@pytest.fixture
def narrow(monkeypatch):
    """A terminal of 80 columns."""
    for name, value in {"FORCE_COLOR": "1", "COLUMNS": "80", "TERM": "xterm"}.items():
        monkeypatch.setenv(name, value)


def _printed(capsys):
    captured = capsys.readouterr()
    return re.sub(r"\x1b\[[0-9;]*m", "", captured.out + captured.err)


def _whole(text, *cells):
    """Nothing is cut or left out, and each of the cells stands in one line."""
    assert "…" not in text
    assert all(len(line) <= 80 for line in text.splitlines())
    for cell in cells:
        assert any(cell in line for line in text.splitlines()), cell


def _scores(*names):
    return {name: {"mean": 0.8125, "ci95": [0.7012, 0.9123]} for name in names}


def test_the_brain_table_fits_a_terminal(narrow, capsys):
    names = ("dice", "jaccard", "hd95_mm", "volume_error_ml")
    regions = {region: _scores(*names) for region in ("WT", "TC", "ET")}
    tables.brain_table({"n": 74, "regions": regions, "trivial": regions})
    _whole(text := _printed(capsys), "volume error, ml", "[0.701, 0.912]", "all background")
    assert text.count("[0.701, 0.912]") == 6


def test_the_brain_table_of_few_patients_has_no_interval_and_says_what_a_mean_holds(narrow, capsys):
    truth, prediction = np.zeros((2, 9, 9, 9), np.uint8)
    truth[2:5, 2:5, 2:5] = 2
    rows = [
        {"id": str(n), "site": "TCIA", **score_labels(truth * (n % 2), prediction, (3, 3, 3)), "trivial": {}}
        for n in range(3)
    ]
    for row in rows:
        row |= {"trivial": row["regions"], "trivial_counts": row["counts"]}
    tables.brain_table(summarise_patients(rows))
    _whole(text := _printed(capsys), "lowest to highest", "0.000 to 1.000", "TCIA")
    assert "interval" not in text
    together = " ".join(text.split())
    assert "WT: for 1 of 3 patients one mask alone is empty" in together
    assert "left out of the mean, for some patients: sensitivity (2), precision (3)" in together


@pytest.fixture
def two_models(tmp_path):
    rng = np.random.default_rng(0)
    files = []
    for name, gain in (("first_model", 0.0), ("second_model", 0.05)):
        regions = [{"WT": {"dice": float(d)}, "ET": {"dice": 0.5}} for d in rng.uniform(0.6, 0.62, 9) + gain]
        (tmp_path / f"{name}.json").write_text(
            json.dumps({"patients": [{"id": str(n), "regions": one} for n, one in enumerate(regions)]})
        )
        files.append(str(tmp_path / f"{name}.json"))
    return files


def test_compare_prints_a_table_and_a_sentence_and_writes_both_files(two_models, tmp_path, narrow, capsys, monkeypatch):
    result, figure = tmp_path / "new" / "result.json", tmp_path / "pictures" / "strips.png"
    app(["compare", *two_models, "--json", str(result), "--figure", str(figure)], standalone_mode=False)
    _whole(text := _printed(capsys), "9 patients: Dice, second model minus first")
    assert "second_model is ahead of first_model in WT" in " ".join(text.split())
    assert json.loads(result.read_text())["n"] == 9
    assert figure.read_bytes().startswith(b"\x89PNG")


def test_compare_names_what_is_wrong_before_it_reads(two_models, tmp_path):
    with pytest.raises(typer.BadParameter, match=r"strips\.jpg ends in \.jpg"):
        app(["compare", *two_models, "--figure", str(tmp_path / "strips.jpg")], standalone_mode=False)
    with pytest.raises(DataError, match=r"gone\.json cannot be read"):
        app(["compare", two_models[0], str(tmp_path / "gone.json")], standalone_mode=False)


def test_the_gate_table_fits_a_terminal(narrow, capsys):
    rates = ("auc", "sensitivity", "specificity", "skipped")
    scores = {rate: {"value": 0.5, "ci95": [0.25, 0.75]} for rate in rates}
    tables.gate_table({"n": 369, "slices": {"brain": 51_234}, **scores, "trivial": dict.fromkeys(rates, 0.5)})
    _whole(_printed(capsys), "share of all slices skipped", "[0.250, 0.750]", "51,234")


def test_the_lungs_table_fits_a_terminal(narrow, capsys):
    sites = {site: {"n": 662, **_scores("dice", "jaccard", "assd_px")} for site in ("montgomery", "shenzhen")}
    tables.lungs_table({"n": 800, "sites": sites, "trivial": sites})
    _whole(_printed(capsys), "montgomery", "ASSD, pixels", "[0.701, 0.912]", "mean mask")


def test_the_ladders_tables_fit_a_terminal(narrow, capsys):
    from helpers.tasks.adaptation.ladder import EXPERIMENTS

    mean = {"mean": 0.951, "ci95": [0.934, 0.967]}
    rest = {"seeds": [0, 1, 2], "source": mean, "target": mean, "oracle": mean}
    rest |= {"gap": {"share": -0.45, "ci95": [-1.2, 0.333]}, "source_change": {"mean": -0.012, "ci95": [-0.023, 0.001]}}
    tables.ladder_table("montgomery-shenzhen", [{"experiment": name, **rest} for name in EXPERIMENTS])
    _whole(_printed(capsys), *EXPERIMENTS, "0.951 [0.934, 0.967]", "[-120%, 33%]", "[-0.023, +0.001]", "change at home")


def test_the_ablation_table_fits_a_terminal(narrow, capsys):
    arm = {"seconds": 12.3, "WT Dice": "0.812 [0.701, 0.912]", "false positive components": 1.25, "ml in them": 3.5}
    tables.ablation_table({"n": 74, "gate": {"without gate": arm, "with gate": arm}})
    _whole(_printed(capsys), "0.812 [0.701, 0.912]   0.812 [0.701, 0.912]", "false positive components")


def test_what_an_audit_found_is_printed_whole_in_a_terminal(narrow, capsys):
    folder = "/data/scans [left]/MICCAI_BraTS2020_TrainingData/HGG"
    print_table("1 error(s)", ("", "check", "folder", "found"), [("error", "overlap", folder, "[/x] in [nan, 1.0]")])
    text = _printed(capsys)
    _whole(text, "[/x] in [nan, 1.0]")
    lines = text.splitlines()
    header = next(line for line in lines if "found" in line)
    cells = "".join(line[header.index("folder") : header.index("found")] for line in lines)
    assert folder.replace(" ", "") in re.sub(r"\s", "", cells)


def test_tables_are_wide_where_nobodys_window_cuts_lines(monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.delenv("FORCE_COLOR", raising=False)
    print_table("t", ("a", "b"), [("x" * 90, "y" * 60)])
    assert any("x" * 90 in line and "y" * 60 in line for line in _printed(capsys).splitlines())


def test_no_path_is_cut_in_two_where_somebody_searches_for_it(monkeypatch, capsys):
    monkeypatch.delenv("FORCE_COLOR", raising=False)
    paths = f"/data/{'a' * 150}.nii.gz", f"/data/{'b' * 250}.nii.gz"
    print_table("t", ("folder", "found"), [(paths[0], f"{'many words ' * 40}{paths[1]}")])
    text = _printed(capsys)
    assert all(path in text for path in paths)
    assert sum("many words" in line for line in text.splitlines()) > 1  # between words it goes on in the next line


@pytest.mark.parametrize("text", ["scans [left]", "[/x]", "[bold]a[/bold]", "[nan, 1.0]", ":warning:", "a\\[b]"])
def test_text_is_no_markup(capsys, text):
    print_error(text)
    print_table(text, (text,), [(text,)])
    assert capsys.readouterr().err == f"Error: {text}\n"


def test_reading_a_part_of_the_output_is_no_fault(tmp_path):
    command = f"{sys.executable} -m helpers phantom --help | head -c 1"
    result = subprocess.run(["bash", "-c", command], capture_output=True, text=True)
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize(("iou", "status"), [(".9920", 0), (".999", 1)])
def test_claim_ends_with_status_1_where_no_definition_explains_the_figures(iou, status, tmp_path):
    from typer.testing import CliRunner

    from helpers.cli import app

    file = tmp_path / "claim.json"
    arguments = ["claim", "--accuracy", ".994", "--iou", iou, "--foreground", ".01", "--json", str(file)]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == status
    written = json.loads(file.read_text(encoding="utf-8"))
    assert bool(written["explanations"]) == (status == 0)
    assert (written["nearest"] is None) == (status == 0)
    assert ("MeanIoU of Keras on one-hot masks" in result.output) or status
    assert ("No known definition" in result.output) == bool(status)


def test_claim_refuses_what_is_no_share_and_what_is_nothing():
    result = _run("claim", "--accuracy", "99.4")
    assert result.returncode == 1
    assert "expected a share from 0 to 1" in result.stderr
    assert _run("claim").returncode == 2
