"""`bench …`: how fast the course's tools are, beside a peer in the same run."""

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.progress import Progress

from helpers.cli.console import console
from helpers.cli.parameters import path_option
from helpers.runtime.backend import check_backend
from helpers.runtime.outputs import writable_file

app = typer.Typer(no_args_is_help=True, help="How fast the course's tools are, beside a peer in the same run.")


def _writable(path: Path | None) -> Path | None:
    return None if path is None else writable_file(path)


Json = Annotated[Path | None, typer.Option("--json", callback=_writable, help="Write the figures here as well.")]
Data = Annotated[Path | None, path_option("--data", help="Your own patients; made-up ones without.")]
Model = Annotated[Path | None, path_option("--model", help="A folder that `train brain` left; untrained without.")]


@app.command("viewer")
def bench_viewer_command(json: Json = None) -> None:
    """From a slider's step to the new slice, in the kernel and in a browser, beside `interact` with matplotlib."""
    _write(_viewer(), json)


@app.command("loader")
def bench_loader_command(data: Data = None, json: Json = None) -> None:
    """Slices a second that reach training: the store's, the public kernel's, MONAI's cached data set's; and memory."""
    _write(_loader(data), json)


@app.command("train")
def bench_train_command(json: Json = None) -> None:
    """A training step, beside the same U-Net in PyTorch and beside the machine's matrix product."""
    _write(_train(), json)


@app.command("predict")
def bench_predict_command(model: Model = None, json: Json = None) -> None:
    """A patient from NIfTI files to a saved mask, first and later ones, part by part."""
    _write(_predict(model), json)


@app.command("measure")
def bench_measure_command(data: Data = None, json: Json = None) -> None:
    """All metrics of a patient, three regions, on one core, beside MedPy, MONAI, surface-distance and panoptica."""
    _write(_measure(data), json)


@app.command("gpu")
def bench_gpu_command(json: Json = None) -> None:
    """On an NVIDIA GPU: training steps beside PyTorch's, memory, the card's matrix rate, inference, loading."""
    from helpers.bench import gpu

    with Progress(console=console(stderr=True), transient=True) as bars:
        bar = bars.add_task("")
        result = gpu.bench_gpu(
            json, progress=lambda doing, done, total: bars.update(bar, description=doing, completed=done, total=total)
        )
    print(gpu.markdown(result), end="")
    if json:
        print(f"\nThe figures are in {json}, these tables in {gpu.tables_path(json)}.")


@app.command("all")
def bench_all_command(data: Data = None, model: Model = None, json: Json = None) -> None:
    """All of these but `gpu`, one after the other."""
    parts = {"loader": _loader(data), "train": _train(), "predict": _predict(model), "viewer": _viewer()}
    _write({**parts, "measure": _measure(data)}, json)


def _viewer() -> dict[str, Any]:
    from helpers.bench import viewer

    viewer.show(result := viewer.bench_viewer())
    return result


def _loader(data: Path | None) -> dict[str, Any]:
    check_backend()
    if data is not None:
        from helpers.data.brats import read_catalogue

        read_catalogue(data)  # refuses a folder without patients before Keras is loaded
    from helpers.bench import loader

    loader.show(result := loader.bench_loader(data))
    return result


def _train() -> dict[str, Any]:
    check_backend()
    from helpers.bench import training

    training.show(result := training.bench_training())
    return result


def _predict(model: Path | None) -> dict[str, Any]:
    check_backend()
    if model is not None:
        from helpers.learn.run_folder import check_network, read_run

        read_run(model, "brain")  # refuses another folder before Keras is loaded
        check_network(model)
    from helpers.bench import prediction

    prediction.show(result := prediction.bench_prediction(model))
    return result


def _measure(data: Path | None) -> dict[str, Any]:
    from helpers.bench import metrics

    metrics.show(result := metrics.bench_metrics(data))
    return result


def _write(result: dict[str, Any], path: Path | None) -> None:
    from helpers.bench import report

    if path:
        report.write(result, path)
