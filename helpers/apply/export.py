"""A trained model for other programs: one file with what happens before and after the network, and a card.

MODEL.onnx       the model, from a volume or a radiograph to its outline; or a folder, the SavedModel of TensorFlow
MODEL.json       what goes in and comes out, and what is decided outside of the graph
MODEL.md         the model card
run_onnx.py      a page of Python that runs the ONNX file with NumPy and ONNX Runtime alone

The z-score, the window, all members of an ensemble and the mirrored head are in the graph. Where labels are the most
probable ones (argmax) they are too; the regions of highest expected Dice take a search and connected parts, which the
page does by what the JSON says.
"""

import hashlib
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from helpers.apply.model_card import model_card
from helpers.data.resample import SMALLEST_MM, Grid
from helpers.learn.run_folder import check_network, read_run, run_digest
from helpers.runtime.disk import atomic_path, explain_full_disk, write_json, write_text
from helpers.runtime.errors import DataError
from helpers.runtime.outputs import scratch_folder, writable_file, writable_folder
from helpers.runtime.settings import expanded
from helpers.tasks.brain.recipe import Recipe, needed_modalities
from helpers.tasks.gate.recipe import OPTIONAL

FORMATS = ("onnx", "savedmodel")
OPSET = 17
"""Of ONNX: what runtimes from 2022 on understand."""

PAGE = "run_onnx.py"
_OUTPUTS = {
    "labels": "(rows, columns, slices) uint8: 0 background, 1 core without enhancement, 2 oedema, 3 enhancing tumour",
    "tumour": "(rows, columns, slices, 3) float32: the probabilities of 1, 2 and 3",
    "probabilities": "(slices, size, size, 4) float32: of 0, 1, 2 and 3 in the window",
    "rows": "(rows, size) float32: the matrix from the window to the patient's rows",
    "columns": "(columns, size) float32: the matrix from the window to the patient's columns",
    "passes": "(slices,) uint8: 1 where a slice is to be segmented",
    "mask": "(rows, columns) uint8: 1 where there is lung",
    "probability": "(rows, columns) float32: of lung",
}


def export(
    model_dir: str | os.PathLike,
    to: str,
    out: str | os.PathLike,
    licence: str | None = None,
    log: Callable[[str], None] = print,
) -> Path:
    """Write a finished training for other programs.

    Args:
        model_dir: a folder that `train`, `adapt` or `finetune` left; of an ensemble all members go into one file.
        to: of `FORMATS`.
        out: a file that ends in .onnx, replaced if it is there; or the folder of a SavedModel, which is not there yet.
        licence: under which the weights are passed on, for the card.
        log: called with a line of progress.

    Returns:
        `out`.

    Raises:
        DataError: there is no such format, its package is missing, the folder holds no finished training, or `out`
            cannot be written.
        FileExistsError: the folder of the SavedModel is there already.
    """
    if to not in FORMATS:
        raise DataError(f"--to {to!r} is not known; there are {', '.join(FORMATS)}.")
    folder = expanded(model_dir)
    about = contract(folder)
    check_network(folder)
    card, onnx = model_card(folder, licence), to == "onnx"
    out = writable_file(out, "--out", [".onnx"]) if onnx else writable_folder(out, beside=True)
    if onnx and out.suffix != ".onnx":
        raise DataError(f"--out {out} ends in {out.suffix or 'nothing'}; a file of ONNX is named such as model.onnx.")
    if not onnx and out.exists() and any(out.iterdir()):
        raise FileExistsError(f"{out} is there already and is not overwritten; choose another --out.")
    _check_packages(to)
    log("Writing the graph: TensorFlow traces it, which takes a minute.")
    with explain_full_disk(out):
        out.parent.mkdir(parents=True, exist_ok=True)
        if onnx:
            with atomic_path(out) as scratch:
                _write_onnx(folder, scratch)
            about |= {"bytes": out.stat().st_size, "sha256": hashlib.sha256(out.read_bytes()).hexdigest()}
            shutil.copyfile(Path(__file__).with_name(PAGE), out.with_name(PAGE))
        else:
            with scratch_folder(out) as scratch:
                _write_saved_model(folder, scratch / "model")
                if out.exists():
                    out.rmdir()
                (scratch / "model").replace(out)
        stem = out.stem if onnx else out.name
        write_json({**about, "file": out.name}, out.with_name(f"{stem}.json"))
        write_text(card, out.with_name(f"{stem}.md"))
    log(f"{out}, and beside it {stem}.json and {stem}.md" + (f" and {PAGE}, which runs it." if onnx else "."))
    return out


def contract(model_dir: str | os.PathLike) -> dict[str, Any]:
    """What goes into an exported model and comes out, and what is decided outside of it.

    Args:
        model_dir: of a finished training.

    Returns:
        `task`, `inputs` and `outputs` (name to words, in order); of a brain or a gate `axes`, `modalities`,
        `may_be_missing` and `brain_mm`, the lowest and highest extent of the brain along rows and columns; of a brain
        `decision`, and for "dice" `islands`; `precision` and `digest`, that of the `run.json`.

    Raises:
        DataError: the folder holds no finished training, or one whose preprocessing the graph has not.
    """
    run = read_run(model_dir)
    parameters = run["parameters"]
    common = {"format": "biomedseg export, version 1", "task": run["task"]}
    end = {"precision": "float32", "digest": run_digest(model_dir)}
    if run["task"] == "lungs":
        if run.get("prepare"):
            raise DataError(f"{model_dir} matches the grey levels of radiographs first, which cannot be exported yet.")
        levels = {"radiograph": "(rows, columns) float32, grey levels from 0 to 255, as 8-bit pictures have them"}
        return {**common, "inputs": levels, "outputs": _named("mask", "probability"), **end}
    grid = Grid(parameters["size"], parameters["extent_mm"])
    modalities = parameters["modalities"]
    window = {
        "inputs": {
            "volume": "(rows, columns, slices, modalities) float32, as scanned, 0 outside the brain",
            "spacing": "(2,) float32, millimetres per voxel along rows and columns",
        },
        "modalities": modalities,
        "axes": "rows run to the patient's left, columns to the back, slices to the head",
        "brain_mm": [SMALLEST_MM, grid.extent_mm],
    }
    if run["task"] == "gate":
        missing = [one for one in modalities if one in OPTIONAL]
        return {**common, **window, "may_be_missing": missing, "outputs": _named("passes", "probabilities"), **end}
    recipe = Recipe.of(parameters)
    missing = [one for one in modalities if one not in needed_modalities(parameters)]
    brain = {**common, **window, "may_be_missing": missing, "decision": recipe.decision}
    if recipe.decision == "argmax":
        return {**brain, "outputs": _named("labels", "tumour"), **end}
    from helpers.tasks.brain.calibration import read_calibration

    islands = read_calibration(model_dir).as_json()["islands"]
    return {**brain, "islands": islands, "outputs": _named("columns", "probabilities", "rows"), **end}


def _named(*names: str) -> dict[str, str]:
    """Outputs by name, in the order of the graph, which is that of the names."""
    words = {**_OUTPUTS, "probabilities": "(slices,) float32: of tumour"} if "passes" in names else _OUTPUTS
    return {name: words[name] for name in sorted(names)}


def _check_packages(to: str) -> None:
    """Refuse what cannot be written here.

    Raises:
        DataError: the backend is not TensorFlow, or tf2onnx is not installed.
    """
    import keras

    if keras.backend.backend() != "tensorflow":
        raise DataError(f"KERAS_BACKEND is {keras.backend.backend()}; a model is exported by TensorFlow. Leave it out.")
    if to == "onnx":
        try:
            import tf2onnx  # noqa: F401
        except ImportError as error:
            raise DataError(
                "tf2onnx is not installed, which writes ONNX. Install it: pip install 'biomedseg-course[onnx]'; or "
                "export --to savedmodel."
            ) from error


def _write_onnx(folder: Path, path: Path) -> None:
    """Write a model as ONNX.

    Raises:
        DataError: it has an operation that ONNX has not; tf2onnx writes a file all the same, which nothing can run.
    """
    import tensorflow as tf
    import tf2onnx
    from onnx import defs
    from tf2onnx.handler import tf_op

    from helpers.apply.exported_graph import exported

    @tf_op("Erfc")  # of the transformer's GELU; ONNX has its complement alone
    class _Erfc:
        @classmethod
        def version_9(cls, ctx: Any, node: Any, **_: Any) -> None:
            shape, kind = ctx.get_shape(node.output[0]), ctx.get_dtype(node.output[0])
            ctx.remove_node(node.name)
            erf = ctx.make_node("Erf", node.input, shapes=[shape], dtypes=[kind])
            one = ctx.make_const(f"{node.name}_one", np.float32(1))
            inputs = [one.output[0], erf.output[0]]
            ctx.make_node("Sub", inputs, outputs=node.output, name=node.name, shapes=[shape], dtypes=[kind])

    function, arguments = exported(folder)
    written, _ = tf2onnx.convert.from_function(tf.function(function), arguments, opset=OPSET, output_path=str(path))
    if strange := sorted(
        {one.op_type for one in _nodes(written.graph) if not defs.has(one.op_type, OPSET, one.domain)}
    ):
        raise DataError(f"{folder}: ONNX has no operation {', '.join(strange)}; export --to savedmodel.")


def _nodes(graph: Any) -> Iterator[Any]:
    """The nodes of an ONNX graph and of the graphs in it."""
    for node in graph.node:
        yield node
        for attribute in node.attribute:
            for inner in (attribute.g, *attribute.graphs):
                yield from _nodes(inner)


def _write_saved_model(folder: Path, path: Path) -> None:
    import tensorflow as tf

    from helpers.apply.exported_graph import exported

    function, arguments = exported(folder)
    module = tf.Module()
    module.weights = [one.value for network in function.networks for one in network.variables]
    module.serve = tf.function(function, input_signature=arguments)
    tf.saved_model.save(module, str(path), signatures=module.serve.get_concrete_function())
