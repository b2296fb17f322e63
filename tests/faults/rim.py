"""Faults at the rim: settings, outputs, folders of ours that were damaged or edited, backends, names with brackets."""

import atexit
import functools
import json
import os
import shutil
import tempfile
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from helpers.data.brats import read_catalogue
from helpers.data.chest import read_chest
from helpers.data.phantoms.brats import make_brats
from helpers.data.phantoms.chest import make_chest
from helpers.data.radiographs import split_radiographs
from helpers.data.splits import Split, load_split, make_split, save_split
from helpers.tasks.brain.recipe import DEFAULT
from tests.faults.harness import Fault

MODALITIES = ("flair", "t1ce")
NOWHERE = "nowhere-at-all"
"""A folder of data that does not exist: a setting has to be refused before anybody misses it."""


@functools.cache
def _scratch() -> Path:
    folder = Path(tempfile.mkdtemp(prefix="rim-faults-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


@functools.cache
def _brats() -> Path:
    """Five patients of 6 mm voxels."""
    return make_brats(
        _scratch() / "brats", patients=5, validation=0, shape=(40, 40, 26), spacing=(6.0, 6.0, 155 / 26), seed=1
    )


@functools.cache
def _chest() -> Path:
    """Twelve X-rays from Montgomery, fourteen from Shenzhen; 64 pixels."""
    return make_chest(_scratch() / "chest", montgomery=12, shenzhen=14, size=64, seed=2)


SETTINGS = {
    "brain": ["--size", "32", "--filters", "2", "--minutes", "1"],
    "gate": ["--size", "32", "--network", "cnn", "--minutes", "1"],
    "lungs": ["--size", "32", "--filters", "2", "--minutes", "1", "--site", "montgomery"],
}


@functools.cache
def _trained(task: str) -> Path:
    """The finished folder that `train` with `SETTINGS` would leave, of a network that has learned nothing."""
    import keras

    from helpers.learn.run_folder import save_model, write_run
    from helpers.tasks.brain import inference as brain
    from helpers.tasks.gate import inference as gate
    from helpers.tasks.lungs import inference as lungs

    folder = _scratch() / task
    folder.mkdir()
    if task == "lungs":
        split = split_radiographs(read_chest(_chest()).xrays, seed=0)
        learned = [one for one in (*split.train, *split.validation) if one.startswith("MCU")]
    else:
        split = make_split(read_catalogue(_brats()).require(MODALITIES), seed=0)
        learned = [*split.train, *split.validation]
    common = {"size": 32, "minutes": 1.0, "seed": 0, "split": split.digest}
    window = {"modalities": list(MODALITIES), "extent_mm": 192.0}
    recipe = DEFAULT.as_parameters()
    parameters = {
        "brain": {**common, **window, "filters": 2, "recipe": recipe},
        "gate": {
            **common,
            **window,
            "modalities": [*MODALITIES, "t2"],
            "network": "cnn",
            "weights": None,
            "augmentation": "usual",
            "sensitivity": 0.98,
        },
        "lungs": {
            **common,
            "site": "montgomery",
            "filters": 2,
            "normalisation": "none",
            "augmentation": "xray",
            "loss": "dice+cross-entropy",
            "epochs": None,
        },
    }[task]
    keras.utils.set_random_seed(0)
    build = {"brain": brain, "gate": gate, "lungs": lungs}[task].build_network
    save_model(build(parameters), folder / "model.keras")
    if task == "lungs":
        Image.fromarray(np.full((32, 32), 100, np.uint8)).save(folder / "mean_mask.png")
    further = {"threshold": 0.5} if task == "gate" else {}
    write_run(folder, task, parameters, split, {one: {"hash": one} for one in learned}, **further)
    (folder / "metrics.json").write_text(json.dumps(_metrics(task, split)))
    return folder


def _metrics(task: str, split: Split) -> dict[str, Any]:
    def table(names: tuple[str, ...]) -> dict[str, Any]:
        return {name: {"mean": 0.5, "ci95": [0.25, 0.75]} for name in names}

    brain, lungs = table(("dice", "jaccard", "hd95_mm", "volume_error_ml")), table(("dice", "jaccard", "assd_px"))
    rates = ("auc", "sensitivity", "specificity", "skipped")
    regions = dict.fromkeys(("WT", "TC", "ET"), brain)
    sites = {site: {"n": 1, **lungs} for site in ("montgomery", "shenzhen")}
    slices = {"truth": [True], "probabilities": [0.5], "threshold": 0.5, "without_brain": 1}
    image = {"site": "montgomery", "dice": 0.5, "trivial": {}}
    return {
        "brain": {
            "n": len(split.test),
            "regions": regions,
            "trivial": regions,
            "patients": [{"id": one, "regions": {}, "trivial": {}} for one in split.test],
            "run": {},
        },
        "gate": {
            "n": len(split.test),
            "slices": {"all": 26, "brain": 20, "tumour": 5},
            **{rate: {"value": 0.5, "ci95": [0.25, 0.75]} for rate in rates},
            "trivial": dict.fromkeys(rates, 0.5),
            "patients": [{"id": one, **slices} for one in split.test],
            "threshold": 0.5,
            "run": {},
        },
        "lungs": {
            "n": len(split.test),
            "sites": sites,
            "trivial": sites,
            "images": [{"id": one, **image} for one in split.test],
            "run": {},
        },
    }[task]


def _copy(folder: Path, task: str = "brain", name: str = "model") -> Path:
    return Path(shutil.copytree(_trained(task), folder / "in" / name))


def _data(task: str) -> Path:
    return _chest() if task == "lungs" else _brats()


def _edited(task: str, change: Callable[[dict], Any], command: str = "evaluate", signed: bool = False) -> Callable:
    """A copy of a trained folder whose `run.json` was edited; the digest in it goes, lest it find the edit first."""

    def plant(folder: Path) -> list[str]:
        model = _copy(folder, task)
        run = json.loads((model / "run.json").read_text())
        run = change(run) or run
        if not signed and isinstance(run, dict):
            run.pop("digest", None)
        (model / "run.json").write_text(json.dumps(run))
        return _use(command, model, task, folder)

    return plant


def _damaged(task: str, file: str, spoil: Callable[[Path], Any], command: str = "evaluate") -> Callable:
    """A copy of a trained folder of which one file was damaged."""

    def plant(folder: Path) -> list[str]:
        model = _copy(folder, task)
        spoil(model / file)
        return _use(command, model, task, folder)

    return plant


def _use(command: str, model: Path, task: str, folder: Path) -> list[str]:
    data, out = _data(task), folder / "out"
    return {
        "evaluate": ["evaluate", str(model), "--data", str(data)],
        "all": ["evaluate", str(model), "--data", str(data), "--split", "all"],
        "montgomery": ["evaluate", str(model), "--data", str(data), "--site", "montgomery"],
        "predict": ["predict", str(model), str(data), "--out", str(out)],
        "report": [
            "report",
            str(data),
            "--out",
            str(out),
            "--gate",
            str(model if task == "gate" else _trained("gate")),
            "--model",
            str(model if task == "brain" else _trained("brain")),
        ],
        "audit": ["audit", str(model)],
        "train": ["train", task, "--data", str(data), "--out", str(model), *SETTINGS[task]],
        "finetune": ["finetune", str(model), "--data", str(data), "--out", str(out / "run"), "--epochs", "1"],
        "adapt": [
            "adapt",
            str(model),
            "--data",
            str(data),
            "--from",
            "montgomery",
            "--to",
            "shenzhen",
            "--method",
            "histogram",
            "--out",
            str(out / "run"),
        ],
    }[command]


def _parameter(name: str, value: Any) -> Callable[[dict], None]:
    return lambda run: run["parameters"].update({name: value})


def _entry(name: str, value: Any) -> Callable[[dict], None]:
    return lambda run: run.update({name: value})


def _without(*names: str) -> Callable[[dict], None]:
    def change(run: dict) -> None:
        for name in names[:-1]:
            run = run[name]
        del run[names[-1]]

    return change


def _cut(path: Path, share: float = 0.5) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])


def _flip(path: Path, share: float = 0.5) -> None:
    content = bytearray(path.read_bytes())
    for place in range(int(share * len(content)), int(share * len(content)) + 16):
        content[place] ^= 0xFF
    path.write_bytes(content)


def _without_member(name: str) -> Callable[[Path], None]:
    def spoil(path: Path) -> None:
        with zipfile.ZipFile(path) as archive:
            members = {one: archive.read(one) for one in archive.namelist() if one != name}
        with zipfile.ZipFile(path, "w") as archive:
            for one, content in members.items():
                archive.writestr(one, content)

    return spoil


def _ranges(name: str) -> Callable[[dict], None]:
    part = {"volume_ml": {"low": 1.0, "high": 2.0, "mean": 1.5, "sd": 0.1}}
    part["volume_ml"].pop(name)
    return _entry("statistics", {"fitted_on": [], "ranges": {"head": part}})


def _split(change: Callable[[dict], Any], signed: bool = False) -> Callable[[Path], None]:
    """Edit a split; `signed` gives it the digest of what it then holds."""

    def spoil(path: Path) -> None:
        content = json.loads(path.read_text())
        content = change(content) or content
        path.write_text(json.dumps(content))
        if signed:
            sides = (tuple(content[side]) for side in ("train", "validation", "test"))
            save_split(Split(*sides, seed=content["seed"]), path)

    return spoil


def _train_on_test(folder: Path) -> list[str]:
    """A split that tests a patient the model learned from, with `run.json` in step."""
    model = _copy(folder)
    split = load_split(model / "split.json")
    moved = replace(split, train=split.train[1:], test=(*split.test, split.train[0]))
    save_split(moved, model / "split.json")
    run = json.loads((model / "run.json").read_text())
    run["parameters"]["split"] = moved.digest
    del run["digest"]
    (model / "run.json").write_text(json.dumps(run))
    return _use("evaluate", model, "brain", folder)


def _command(*words: str) -> Callable[[Path], list[str]]:
    """A command on data that does not exist; OUT, FILE and MODEL stand for a folder, a file and a trained folder."""

    def plant(folder: Path) -> list[str]:
        (folder / "in").mkdir()
        (folder / "in" / "a_file").write_text("content")
        places = {"OUT": folder / "out", "FILE": folder / "in" / "a_file", "IN": folder / "in"}
        places |= {f"MODEL-{task}": _trained(task) for task in SETTINGS if any(f"MODEL-{task}" in one for one in words)}
        arguments = []
        for word in words:
            for name, place in places.items():
                word = word.replace(name, str(place))
            arguments.append(word)
        return arguments

    return plant


def _home(*words: str) -> Callable[[Path], list[str]]:
    """The same with the user's folder in place of IN."""

    def plant(folder: Path) -> list[str]:
        arguments = _command(*words)(folder)
        os.environ["HOME"] = str(folder)
        return arguments

    return plant


def _named(name: str) -> Callable[[Path], list[str]]:
    """`audit` of a folder with brackets in its name, which holds nothing."""

    def plant(folder: Path) -> list[str]:
        (folder / "in" / name).mkdir(parents=True)
        return ["audit", str(folder / "in" / name)]

    return plant


def _patient_in_brackets(folder: Path) -> list[str]:
    shutil.copytree(next(_brats().rglob("*_Training_001")), folder / "in" / "scans [left]" / "P [b]x[/b] 1")
    flair = next((folder / "in").rglob("*_flair.nii*"))
    _cut(flair)
    return ["audit", str(folder / "in")]


TRAIN = {task: ("train", task, "--data", NOWHERE, "--out", "OUT") for task in SETTINGS}
LADDER = ("ladder", "--data", NOWHERE, "--out", "OUT")
ADAPT = ("adapt", "MODEL-lungs", "--data", NOWHERE, "--from", "montgomery", "--to", "shenzhen", "--out", "OUT")

_RUN = [
    Fault(
        "missing",
        "run.json",
        _damaged("brain", "run.json", Path.unlink),
        "holds no finished training.*run.json is missing",
        quick=True,
    ),
    Fault(
        "cut short",
        "run.json",
        _damaged("brain", "run.json", _cut),
        "run.json is damaged: it is no JSON.*copy the folder again",
    ),
    Fault(
        "not UTF-8",
        "run.json",
        _damaged("brain", "run.json", lambda path: path.write_bytes(b"\xff\xfe{}")),
        "run.json is damaged",
    ),
    Fault(
        "a hundred thousand brackets",
        "run.json",
        _damaged("brain", "run.json", lambda path: path.write_text("[" * 100_000)),
        "run.json is damaged",
    ),
    Fault("a list", "run.json", _edited("brain", lambda run: [run]), "run.json: its content.*object"),
    Fault("no task", "run.json", _edited("brain", _without("task")), "lacks task"),
    Fault(
        "an unknown task",
        "run.json",
        _edited("brain", _entry("task", "liver")),
        "task is 'liver'; expected one of brain, gate, lungs",
    ),
    Fault("a task that is a list", "run.json", _edited("brain", _entry("task", ["brain"])), r"task is \['brain'\]"),
    Fault("no parameters", "run.json", _edited("brain", _without("parameters")), "lacks parameters"),
    Fault(
        "parameters that are a list",
        "run.json",
        _edited("brain", _entry("parameters", [1])),
        "parameters is .*expected the parameters",
    ),
    Fault("no size", "run.json", _edited("brain", _without("parameters", "size")), "parameters lacks size", quick=True),
    Fault(
        "size as text",
        "run.json",
        _edited("brain", _parameter("size", "32")),
        'parameters.size is "32"; expected a whole number',
    ),
    Fault("size with a point", "run.json", _edited("brain", _parameter("size", 32.0)), "parameters.size is 32.0"),
    Fault(
        "negative size",
        "run.json",
        _edited("brain", _parameter("size", -32)),
        "parameters.size is -32; expected a whole number",
    ),
    Fault(
        "size of ten million",
        "run.json",
        _edited("lungs", _parameter("size", 10_000_000)),
        "parameters.size is 10000000",
        quick=True,
    ),
    Fault(
        "a window of NaN",
        "run.json",
        _edited("brain", _parameter("extent_mm", float("nan")), "predict"),
        "extent_mm is nan; expected a finite number",
        quick=True,
    ),
    Fault(
        "an endless window",
        "run.json",
        _edited("brain", _parameter("extent_mm", float("inf")), "report"),
        "extent_mm is inf",
    ),
    Fault(
        "a window of 0",
        "run.json",
        _edited("gate", _parameter("extent_mm", 0), "report"),
        "extent_mm is 0; expected the millimetres",
    ),
    Fault(
        "an unknown modality",
        "run.json",
        _edited("brain", _parameter("modalities", ["flair", "pet"])),
        'modalities.1 is "pet"; expected one of flair',
    ),
    Fault(
        "a modality twice",
        "run.json",
        _edited("brain", _parameter("modalities", ["flair", "flair"])),
        "modalities is .*each once",
    ),
    Fault(
        "modalities as text",
        "run.json",
        _edited("brain", _parameter("modalities", "flair,t1ce"), "predict"),
        "modalities is .*expected a list",
    ),
    Fault("no filters left", "run.json", _edited("brain", _parameter("filters", 0)), "filters is 0"),
    Fault("no threshold", "run.json", _edited("gate", _without("threshold"), "report"), "lacks threshold", quick=True),
    Fault(
        "a threshold of NaN",
        "run.json",
        _edited("gate", _entry("threshold", float("nan")), "report"),
        "threshold is nan",
    ),
    Fault(
        "a threshold of 1.5",
        "run.json",
        _edited("gate", _entry("threshold", 1.5)),
        "threshold is 1.5; expected a probability",
    ),
    Fault("a threshold as text", "run.json", _edited("gate", _entry("threshold", "0.5")), 'threshold is "0.5"'),
    Fault(
        "an unknown network",
        "run.json",
        _edited("gate", _parameter("network", "resnet")),
        'network is "resnet"; expected one of compact',
    ),
    Fault(
        "an unknown normalisation",
        "run.json",
        _edited("lungs", _parameter("normalisation", "layer")),
        'normalisation is "layer"; expected one of none, batch, instance, group',
    ),
    Fault(
        "normalise as text",
        "run.json",
        _edited("lungs", _parameter("normalise", "no")),
        'normalise is "no"; expected true or false',
    ),
    Fault(
        "an unknown hospital", "run.json", _edited("lungs", _parameter("site", "boston"), "adapt"), 'site is "boston"'
    ),
    Fault(
        "a histogram of three levels",
        "run.json",
        _edited("lungs", _entry("prepare", {"histogram": [0.2, 0.3, 0.5]})),
        "histogram is .*256",
    ),
    Fault(
        "ranges without a mean",
        "run.json",
        _edited("brain", _ranges("mean"), "report"),
        "ranges.head.volume_ml lacks mean",
    ),
    Fault(
        "ranges of NaN",
        "run.json",
        _edited("brain", _entry("statistics", {"ranges": {"head": {"volume_ml": {"low": float("nan")}}}}), "report"),
        "low is nan",
    ),
    Fault(
        "learned from nobody, all scored",
        "run.json",
        _edited("brain", _entry("learned_from", {}), "all"),
        "learned_from names 0 patients.*nobody knows",
        quick=True,
    ),
    Fault(
        "learned from nobody, lungs, all scored",
        "run.json",
        _edited("lungs", _entry("learned_from", {}), "all"),
        "learned_from names 0 patients",
    ),
    Fault(
        "a training patient is forgotten",
        "run.json",
        _edited("brain", lambda run: run["learned_from"].popitem() and None, "all"),
        "learned_from names 3 patients, and 1 of the 4",
    ),
    Fault(
        "learned from nobody, adapted",
        "run.json",
        _edited("lungs", _entry("learned_from", {}), "adapt"),
        "learned_from names 0 patients",
    ),
    Fault(
        "learned from nobody, gone on with",
        "run.json",
        _edited("lungs", _entry("learned_from", {}), "finetune"),
        "learned_from names 0 patients",
    ),
    Fault(
        "a patient without hashes",
        "run.json",
        _edited("brain", lambda run: run["learned_from"].update(p={}), "all"),
        "learned_from.p is {}; expected the hashes",
    ),
    Fault(
        "a plausible edit of the window",
        "run.json",
        _edited("brain", _parameter("extent_mm", 150.0), "predict", signed=True),
        "run.json was edited: digest",
        quick=True,
    ),
    Fault(
        "a plausible edit of the threshold",
        "run.json",
        _edited("gate", _entry("threshold", 0.1), "report", signed=True),
        "run.json was edited",
    ),
    Fault(
        "a training of another task",
        "run.json",
        lambda folder: _use("report", _copy(folder, "lungs"), "brain", folder),
        "holds a training of 'lungs'; expected one of 'brain'",
    ),
    Fault(
        "lungs where brain is wanted",
        "run.json",
        lambda folder: _use("report", _copy(folder, "brain"), "gate", folder),
        "holds a training of 'brain'; expected one of 'gate'",
    ),
    Fault("edited, audited", "run.json", _edited("brain", _entry("learned_from", 5), "audit"), "run.json"),
    Fault(
        "parameters as text, audited", "run.json", _edited("brain", _entry("statistics", "none"), "audit"), "run.json"
    ),
]


def _other_network(path: Path) -> None:
    shutil.copy(_trained("lungs") / "model.keras", path)


_MODEL = [
    Fault(
        "missing",
        "model.keras",
        _damaged("brain", "model.keras", Path.unlink),
        "model.keras cannot be loaded.*train again",
        quick=True,
    ),
    Fault(
        "empty",
        "model.keras",
        _damaged("gate", "model.keras", lambda path: path.write_bytes(b"")),
        "model.keras cannot be loaded",
    ),
    Fault(
        "text",
        "model.keras",
        _damaged("lungs", "model.keras", lambda path: path.write_text("version https://git-lfs")),
        "model.keras cannot be loaded",
    ),
    Fault(
        "a folder",
        "model.keras",
        _damaged("brain", "model.keras", lambda path: (path.unlink(), path.mkdir())),
        "model.keras cannot be loaded",
    ),
    Fault(
        "cut short", "model.keras", _damaged("brain", "model.keras", _cut, "predict"), "model.keras cannot be loaded"
    ),
    Fault(
        "bytes flipped in the weights",
        "model.keras",
        _damaged("brain", "model.keras", _flip),
        "model.keras cannot be loaded",
        quick=True,
    ),
    Fault(
        "bytes flipped in the directory",
        "model.keras",
        _damaged("brain", "model.keras", lambda path: _flip(path, 0.995)),
        "model.keras cannot be loaded",
    ),
    Fault(
        "no weights in it",
        "model.keras",
        _damaged("gate", "model.keras", _without_member("model.weights.h5"), "report"),
        "model.keras cannot be loaded",
    ),
    Fault(
        "the network of lungs in a brain's folder",
        "model.keras",
        _damaged("brain", "model.keras", _other_network),
        "model.keras cannot be loaded as the network that run.json describes",
        quick=True,
    ),
]

_SPLIT = [
    Fault("missing", "split.json", _damaged("brain", "split.json", Path.unlink), "split.json cannot be read"),
    Fault("cut short", "split.json", _damaged("lungs", "split.json", _cut), "split.json is damaged"),
    Fault(
        "no test patients",
        "split.json",
        _damaged("brain", "split.json", _split(lambda one: one.update(test=[]), signed=True)),
        "split.json is another split",
        quick=True,
    ),
    Fault(
        "a side as text",
        "split.json",
        _damaged("brain", "split.json", _split(lambda one: one.update(test="abc"))),
        "split.json: test is .*expected a list of ids",
    ),
    Fault(
        "a seed as text",
        "split.json",
        _damaged("brain", "split.json", _split(lambda one: one.update(seed="0"))),
        'seed is "0"',
    ),
    Fault("no digest", "split.json", _damaged("gate", "split.json", _split(_without("digest"))), "lacks digest"),
    Fault(
        "a list", "split.json", _damaged("brain", "split.json", _split(lambda one: [one])), "split.json: its content"
    ),
    Fault(
        "a patient on two sides",
        "split.json",
        _damaged("brain", "split.json", _split(lambda one: one["train"].append(one["test"][0]))),
        "into two sets",
    ),
    Fault(
        "a patient moved",
        "split.json",
        _damaged("brain", "split.json", _split(lambda one: one["test"].append(one["train"].pop()))),
        "split.json: digest",
    ),
    Fault(
        "another split",
        "split.json",
        _damaged("brain", "split.json", _split(lambda one: one["test"].append(one["train"].pop()), signed=True)),
        "is another split",
    ),
    Fault(
        "it tests a patient who was learned from",
        "split.json",
        _train_on_test,
        "learned from 1 of the patients that split.json tests",
    ),
]


def _no_test(folder: Path) -> list[str]:
    """A split without test patients, with `run.json` in step."""
    model = _copy(folder)
    split = replace(load_split(model / "split.json"), test=())
    save_split(split, model / "split.json")
    run = json.loads((model / "run.json").read_text())
    run["parameters"]["split"] = split.digest
    del run["digest"]
    (model / "run.json").write_text(json.dumps(run))
    return _use("evaluate", model, "brain", folder)


_SPLIT.append(Fault("nobody to test", "split.json", _no_test, "no test patients, so there is nobody to score"))

_REST = [
    *(
        Fault(
            f"cut short, {task}",
            "metrics.json",
            _damaged(task, "metrics.json", _cut, "train"),
            "metrics.json is damaged.*evaluate .*--json",
            quick=task == "gate",
        )
        for task in SETTINGS
    ),
    Fault(
        "empty",
        "metrics.json",
        _damaged("brain", "metrics.json", lambda path: path.write_text(""), "train"),
        "metrics.json is damaged",
    ),
    Fault(
        "a list",
        "metrics.json",
        _damaged("brain", "metrics.json", lambda path: path.write_text("[]"), "train"),
        "metrics.json.*expected",
    ),
    Fault(
        "no regions",
        "metrics.json",
        _damaged("brain", "metrics.json", lambda path: path.write_text('{"n": 1}'), "train"),
        "lacks regions",
    ),
    Fault(
        "missing",
        "mean_mask.png",
        _damaged("lungs", "mean_mask.png", Path.unlink),
        "mean_mask.png cannot be read",
        quick=True,
    ),
    Fault(
        "cut short",
        "mean_mask.png",
        _damaged("lungs", "mean_mask.png", lambda path: _cut(path, 0.6)),
        "mean_mask.png cannot be read",
    ),
    Fault(
        "bytes flipped",
        "mean_mask.png",
        _damaged("lungs", "mean_mask.png", lambda path: _flip(path, 0.1), "adapt"),
        "mean_mask.png cannot be read",
    ),
    Fault(
        "of another size",
        "mean_mask.png",
        _damaged("lungs", "mean_mask.png", lambda path: Image.new("L", (16, 16)).save(path), "montgomery"),
        "mean_mask.png is L of 16 x 16 pixels; expected L of 32 x 32",
    ),
    Fault(
        "in colour",
        "mean_mask.png",
        _damaged("lungs", "mean_mask.png", lambda path: Image.new("RGB", (32, 32)).save(path), "adapt"),
        "mean_mask.png is RGB",
    ),
    Fault(
        "text",
        "history.csv",
        _damaged("brain", "history.csv", lambda path: path.write_bytes(b"\x00\xff"), "train"),
        "finished; nothing to do",
        status=0,
        leaves=("*",),
        quick=True,
    ),
]


def _setting(task: str, option: str, value: str, says: str, status: int = 1, quick: bool = False) -> Fault:
    words = {**TRAIN, "ladder": LADDER}[task]
    given = f"{option}={value}"
    return Fault(f"{task} {given}", "settings", _command(*words, given), says, status, quick=quick)


_SETTINGS = [
    *(
        _setting(task, "--size", value, says, 2 if task == "lungs" else 1, quick=value == "90")
        for task in ("brain", "gate", "lungs", "ladder")
        for value, says in (("90", "90.*multiple"), ("0", "size|range"), ("-16", "size|range"))
    ),
    *(
        _setting(task, "--size", "10000000", "size is 10000000", quick=task == "brain")
        for task in (*SETTINGS, "ladder")
    ),
    *(
        _setting(task, "--filters", "0", "filters", 2 if task == "lungs" else 1)
        for task in ("brain", "lungs", "ladder")
    ),
    *(_setting(task, "--filters", "100000", "filters is 100000") for task in ("brain", "lungs", "ladder")),
    *(
        _setting(task, "--seed", "-1", "seed is -1; expected a whole number from 0", quick=task == "gate")
        for task in SETTINGS
    ),
    _setting("brain", "--seed", "4294967296", "seed is 4294967296"),
    *(
        _setting(task, "--minutes", value, "minutes is .*expected a number of more than 0", quick=value == "0")
        for task in (*SETTINGS, "ladder")
        for value in ("0", "-1", "nan", "inf", "1e9")
    ),
    *(
        Fault(
            f"adapt --minutes={value}",
            "settings",
            _command(*ADAPT, "--method", "adda", f"--minutes={value}"),
            "minutes is .*expected a number of more than 0",
        )
        for value in ("0", "nan", "-3")
    ),
    Fault("adapt --seed=-1", "settings", _command(*ADAPT, "--method", "adda", "--seed=-1"), "seed is -1"),
    _setting("brain", "--modalities", "flair,flair", "modality flair is given twice", quick=True),
    _setting("brain", "--modalities", "flair,pet", "'pet' is no modality; there are flair, t1, t1ce, t2", quick=True),
    _setting("brain", "--modalities", "", "'' is no modality"),
    _setting("brain", "--focus", "1.5", "focus|range", 2),
    _setting("brain", "--focus", "nan", "focus", 2),
    *(_setting(task, "--folds", "0", "folds", 2) for task in ("brain", "gate")),
    *(_setting(task, "--devices", "gpu", "devices 'gpu'; expected auto") for task in SETTINGS),
    _setting("brain", "--devices", "cpu:0", "devices 'cpu:0'"),
    _setting("lungs", "--epochs", "0", "epochs", 2),
    _setting("lungs", "--site", "boston", "boston", 2),
    _setting("gate", "--network", "resnet", "resnet", 2),
    _setting("gate", "--weights", "nowhere.npz", "weights are for the network 'base'"),
    Fault(
        "gate base without its weights' file",
        "settings",
        _command(*TRAIN["gate"], "--network", "base", "--weights", "nowhere.npz"),
        "There is no file nowhere.npz",
    ),
    Fault(
        "folds beyond the patients",
        "settings",
        lambda folder: ["train", "brain", "--data", str(_brats()), "--out", str(folder / "out"), "--folds", "9"],
        "5 patients cannot be split into 9 folds",
    ),
    Fault(
        "minutes and epochs",
        "settings",
        _command(*TRAIN["lungs"], "--minutes", "1", "--epochs", "2"),
        "give one of the two",
        2,
    ),
    Fault(
        "ladder with minutes and epochs",
        "settings",
        _command(*LADDER, "--minutes", "1", "--epochs", "2"),
        "give one of the two",
        2,
    ),
    _setting(
        "ladder",
        "--directions",
        "here-there",
        "'here-there' is no direction; there are montgomery-shenzhen",
        quick=True,
    ),
    _setting("ladder", "--directions", "", "'' is no direction"),
    _setting("ladder", "--experiments", "magic", "'magic' is no experiment; there are source"),
    _setting("ladder", "--experiments", "adda,adda", "experiment adda is given twice"),
    _setting("ladder", "--seeds", "0", "seeds", 2),
    Fault("phantoms of no patient", "settings", _command("phantom", "--out", "OUT", "--patients", "0"), "patients", 2),
    Fault("phantoms of seed -1", "settings", _command("phantom", "--out", "OUT", "--seed=-1"), "seed"),
    Fault(
        "begin with nothing",
        "settings",
        _command("finetune", NOWHERE, "--data", NOWHERE, "--out", "OUT"),
        f"{NOWHERE} holds no finished training .there is no such folder",
    ),
    Fault(
        "rehearse nobody",
        "settings",
        _command("finetune", "MODEL-brain", "--data", NOWHERE, "--out", "OUT", "--rehearse"),
        "To rehearse the old hospital's patients takes their folder; give it by --old",
    ),
    Fault("adapt by magic", "settings", _command(*ADAPT, "--method", "magic"), "magic", 2),
    Fault(
        "adapt statistics that it has not",
        "settings",
        _command(*ADAPT, "--method", "statistics"),
        "has no batch normalisation.*--normalisation batch",
    ),
    Fault(
        "adapt from where it was not trained",
        "settings",
        _command(
            "adapt",
            "MODEL-lungs",
            "--data",
            NOWHERE,
            "--from",
            "shenzhen",
            "--to",
            "montgomery",
            "--method",
            "adda",
            "--out",
            "OUT",
        ),
        "was trained at montgomery",
        quick=True,
    ),
    Fault(
        "a hospital of brains",
        "settings",
        _command("evaluate", "MODEL-brain", "--data", NOWHERE, "--site", "montgomery"),
        "is a training of 'brain'; only one of lungs",
    ),
    Fault(
        "an ablation without a file",
        "settings",
        _command("evaluate", "MODEL-brain", "--data", NOWHERE, "--gate", "MODEL-gate"),
        "--json",
        2,
    ),
    Fault(
        "a split of no name",
        "settings",
        _command("evaluate", "MODEL-brain", "--data", NOWHERE, "--split", "train"),
        "train",
        2,
    ),
    Fault("a lesson that does not exist", "settings", _command("run", "99", "--out", "OUT"), "There is no lesson '99'"),
    Fault("a profile that does not exist", "settings", _command("run", "--profile", "huge", "--out", "OUT"), "huge"),
]


def _output(name: str, words: tuple[str, ...], out: str, says: str, quick: bool = False) -> Fault:
    words = tuple(out if word == "OUT" else word for word in words)
    return Fault(name, "outputs", _command(*words), says, quick=quick)


BELOW, PROC = "FILE/run", "/proc/nothing/run"
_OUTPUTS = [
    *(
        _output(f"train {task} below a file", words, BELOW, "a_file is a file", task == "brain")
        for task, words in TRAIN.items()
    ),
    *(_output(f"train {task} into a file", words, "FILE", "a_file is a file") for task, words in TRAIN.items()),
    *(
        _output(f"train {task} where nobody may write", words, PROC, "/proc/nothing/run cannot be written.*--out")
        for task, words in TRAIN.items()
    ),
    *(
        _output(f"train {task} in folds below a file", (*TRAIN[task], "--folds", "2"), BELOW, "a_file is a file")
        for task in ("brain", "gate")
    ),
    _output("adapt below a file", (*ADAPT, "--method", "adda"), BELOW, "a_file is a file", True),
    _output("ladder below a file", LADDER, BELOW, "a_file is a file", True),
    _output("ladder where nobody may write", LADDER, PROC, "cannot be written"),
    _output("phantom below a file", ("phantom", "--out", "OUT"), BELOW, "a_file"),
    _output("a name of a thousand letters", TRAIN["brain"], "IN/" + "x" * 1000, "cannot be written"),
    *(
        Fault(
            f"scores of {task}: {name}",
            "outputs",
            _command("evaluate", f"MODEL-{task}", "--data", NOWHERE, "--json", path),
            says,
            quick=task == "gate",
        )
        for task in SETTINGS
        for name, path, says in (
            ("into a folder", "IN", "is a folder; name a file by --json"),
            ("below a file", "FILE/scores.json", "a_file is a file"),
            ("where nobody may write", "/proc/nothing/scores.json", "cannot be written"),
        )
    ),
    Fault(
        "the user's folder, data",
        "outputs",
        _home("train", "brain", "--data=~/in/nothing", "--out=OUT"),
        r"There is no folder (?!~).*/in/nothing",
        quick=True,
    ),
    Fault(
        "the user's folder, out",
        "outputs",
        _home("train", "lungs", "--data", NOWHERE, "--out=~/in/a_file/run"),
        r"/in/a_file is a file",
    ),
    Fault(
        "the user's folder, model",
        "outputs",
        _home("evaluate", "~/in", "--data", NOWHERE),
        "(?<!~)/in holds no finished training",
    ),
    Fault(
        "the user's folder, json",
        "outputs",
        _home("evaluate", "MODEL-gate", "--data", NOWHERE, "--json=~/in"),
        "(?<!~)/in is a folder",
    ),
    Fault(
        "a user who does not exist",
        "outputs",
        _command("train", "brain", "--data", "~nobody-at-all/x", "--out", "OUT"),
        "There is no folder ~nobody-at-all/x",
    ),
]

_MESSAGES = [
    Fault("a folder named scans [left]", "messages", _named("scans [left]"), r"scans \[left\]", quick=True),
    Fault("a folder named [bold]a", "messages", _named("[bold]a"), r"\[bold\]a"),
    Fault(
        "a closing tag",
        "messages",
        lambda folder: ["evaluate", str(folder / "in [/x]"), "--data", NOWHERE],
        r"in \[/x\] holds no finished training",
        quick=True,
    ),
    Fault(
        "a list of numbers",
        "messages",
        lambda folder: ["evaluate", str(folder / "[nan, 1.0]"), "--data", NOWHERE],
        r"\[nan, 1.0\] holds no finished training",
    ),
    Fault(
        "an emoji's name",
        "messages",
        lambda folder: ["evaluate", str(folder / ":warning:"), "--data", NOWHERE],
        ":warning: holds no finished training",
    ),
    Fault("a patient in brackets, audited", "messages", _patient_in_brackets, r"scans \[left\].P \[b\]x\[/b\] 1"),
]

_BACKENDS = [
    Fault(
        f"KERAS_BACKEND={name}",
        "backends",
        _command(*words),
        f"KERAS_BACKEND is '{name}'; expected tensorflow or jax",
        environment={"KERAS_BACKEND": name},
        quick=True,
    )
    for name, words in (("torch", TRAIN["brain"]), ("mxnet", ("evaluate", "MODEL-brain", "--data", NOWHERE)))
]


def _stopped(change: Callable[[Path], Any], **state: Any) -> Callable[[Path], list[str]]:
    """A training that was stopped, and whose checkpoint was damaged."""

    def plant(folder: Path) -> list[str]:
        model = _copy(folder)
        parameters = json.loads((model / "run.json").read_text())["parameters"]
        for path in model.iterdir():
            path.unlink()
        whole = {"parameters": parameters, "precision": "float32", "step": 3, "finished": False, "seconds": 2.0}
        whole |= {"history": [], **state}
        arrays = {"variable_0000": np.zeros(3), "state": np.frombuffer(json.dumps(whole).encode(), np.uint8)}
        np.savez(model / "checkpoint.npz", **arrays)
        change(model / "checkpoint.npz")
        return _use("train", model, "brain", folder)

    return plant


DAMAGED = "checkpoint.npz is damaged.*Delete.*begins anew"
_CHECKPOINT = [
    Fault("cut short", "checkpoint.npz", _stopped(_cut), DAMAGED, quick=True),
    Fault("text", "checkpoint.npz", _stopped(lambda path: path.write_text("text")), DAMAGED),
    Fault("empty", "checkpoint.npz", _stopped(lambda path: path.write_bytes(b"")), DAMAGED),
    Fault("bytes flipped", "checkpoint.npz", _stopped(_flip), DAMAGED),
    Fault("no state", "checkpoint.npz", _stopped(_without_member("state.npy")), DAMAGED),
    Fault("a history of no rows", "checkpoint.npz", _stopped(str, history=5), f"{DAMAGED}|history is 5"),
    Fault("a step as text", "checkpoint.npz", _stopped(str, step="3"), "damaged: step is"),
    Fault("seconds of NaN", "checkpoint.npz", _stopped(str, seconds=float("nan")), "damaged: seconds is nan"),
    Fault("another precision", "checkpoint.npz", _stopped(str, precision="int8"), "damaged: precision is"),
    Fault("another training", "checkpoint.npz", _stopped(str, parameters={}), "keeps a training with other parameters"),
]


def _folds(spoil: Callable[[Path], Any], task: str = "brain") -> Callable[[Path], list[str]]:
    """The command of an ablation over one fold, of which something was damaged."""

    def plant(folder: Path) -> list[str]:
        for one in ("brain", "gate"):
            shutil.copytree(_trained(one), folder / "in" / one / "fold_1_of_2")
        spoil(folder / "in" / task / "fold_1_of_2")
        models, gates = folder / "in" / "brain", folder / "in" / "gate"
        scores = str(folder / "in" / "scores.json")
        return ["evaluate", str(models), "--gate", str(gates), "--data", str(_brats()), "--json", scores]

    return plant


def _scored(text: str) -> Callable[[Path], Any]:
    return lambda fold: (fold.parent.parent / "scores.json").write_text(text)


_ABLATION = [
    Fault("no folds", "ablation", _folds(shutil.rmtree), "holds no folder fold_1_of_n", quick=True),
    Fault("a gate is missing", "ablation", _folds(shutil.rmtree, "gate"), "fold_1_of_2 holds no finished training"),
    Fault("the gate's split cut short", "ablation", _folds(lambda fold: _cut(fold / "split.json"), "gate"), "damaged"),
    Fault("scores cut short", "ablation", _folds(_scored('{"patients": [')), "scores.json is damaged.*Delete it"),
    Fault("scores of something else", "ablation", _folds(_scored('{"patients": [{"id": 3}]}')), "patients.0 lacks"),
    Fault("a list of scores", "ablation", _folds(_scored("[]")), "scores.json: its content is"),
]


def _compared(spoil: Callable[[dict], Any], *more: str) -> Callable[[Path], list[str]]:
    """`compare` of two models' scores, of which the second's are spoiled; a text is written as it is."""

    def plant(folder: Path) -> list[str]:
        files = [folder / "in" / name for name in ("a.json", "b.json")]
        files[0].parent.mkdir()
        for file in files:
            rows = [
                {"id": f"p{n}", "regions": {"WT": {"dice": 0.05 * n}}, "grid": {"shape": [4, 4, 4]}, "truth": f"{n}"}
                for n in range(9)
            ]
            content = {"patients": rows}
            if file.stem == "b":
                content = spoil(content) or content
            file.write_text(content if isinstance(content, str) else json.dumps(content))
        return ["compare", *map(str, files), "--json", str(folder / "out" / "result.json"), *more]

    return plant


def _patients(change: Callable[[dict], Any]) -> Callable[[dict], None]:
    return lambda content: [change(row) for row in content["patients"]] and None


COMPARED = "comparison"
_COMPARISON = [
    Fault("cut short", COMPARED, _compared(lambda content: json.dumps(content)[:99]),
          r"b\.json is damaged.*Give files"),
    Fault("a list", COMPARED, _compared(lambda _: "[]"), r"b\.json: its content is \[\]; expected an object"),
    Fault("scores of a gate", COMPARED, _compared(lambda _: '{"auc": {"value": 0.9}}'),
          r"b\.json has the scores of a gate"),
    Fault("no scores", COMPARED, _compared(lambda _: "{}"), r"b\.json has no scores of patients"),
    Fault("nobody", COMPARED, _compared(lambda _: '{"patients": []}'), r"b\.json: patients is \[\]"),
    Fault("NaN", COMPARED, _compared(lambda _: '{"patients": [{"id": "p", "regions": {"WT": {"dice": NaN}}}]}'),
          r"b\.json: .*dice is nan; expected a finite number"),
    Fault("a patient twice", COMPARED, _compared(lambda content: content["patients"].append(content["patients"][0])),
          r"b\.json has more than one row of p0"),
    Fault("other patients", COMPARED, _compared(_patients(lambda row: row.update(id="q" + row["id"]))),
          "no patient in common"),
    Fault("another ground truth", COMPARED, _compared(_patients(lambda row: row.update(truth="x"))),
          r"p0: .*a\.json and .*b\.json do not have the same ground truth"),
    Fault("another grid", COMPARED, _compared(_patients(lambda row: row.update(grid={"shape": [4, 4, 5]}))),
          r"p0: .*do not have the same grid"),
    Fault("no region in common", COMPARED, _compared(_patients(lambda row: row.update(regions={"X": {"dice": 1}}))),
          "no region in common"),
    Fault("a figure that is no picture", COMPARED, _compared(lambda _: None, "--figure", "f.docx"), "is .png",
          status=2),
    Fault("a patient more", COMPARED, _compared(lambda content: content["patients"].append(
          {"id": "p99", "regions": {"WT": {"dice": 1}}})), r"b\.json: left out, for other files lack them: p99",
          status=0, leaves=("result.json",)),
]  # fmt: skip

FAULTS: list[Fault] = [
    *_CHECKPOINT,
    *_ABLATION,
    *(replace(fault, quick=True) for fault in _COMPARISON),
    *_RUN,
    *_MODEL,
    *_SPLIT,
    *_REST,
    *_SETTINGS,
    *_OUTPUTS,
    *_MESSAGES,
    *_BACKENDS,
]
