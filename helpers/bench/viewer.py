"""How long after a slider moved the new slice is there: our viewer's, beside `interact` with matplotlib's.

Measured twice. In the kernel alone: from the slider's new value to the bytes of the picture. And as a person has it, in
a notebook in a headless Chromium: from the press of an arrow key to the frame in which the new picture, decoded, is
drawn. Both times stand on the page's own clock, so the program that presses the key adds nothing to them.
"""

from __future__ import annotations

import os
import time
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from helpers.bench import report
from helpers.bench.browser import NoBrowserError, chromium, jupyterlab, new_notebook, notebook, run_all
from helpers.data.brats import MODALITIES, read_catalogue
from helpers.data.phantoms.brats import make_brats
from helpers.data.volumes import Scan, read_scan
from helpers.show.viewer import api

if TYPE_CHECKING:
    from playwright.sync_api import Page

BRATS = {"shape": (240, 240, 155), "spacing": (1.0, 1.0, 1.0)}
STEPS, WARM_UP = 60, 5
BLOCK = 10  # steps before it is the other's turn, so that a busy machine slows both
RUN_SECONDS = 300.0
SETTLE = 100  # ms between steps: what is left over from one is no part of the next
PACKAGES = ("jupyterlab", "ipywidgets", "ipykernel", "matplotlib", "numpy", "pillow", "playwright")

READ = """\
from helpers.data.brats import MODALITIES, read_catalogue
from helpers.data.volumes import read_scan
from helpers.show import viewers

scan = read_scan(read_catalogue({folder!r}).require(MODALITIES)[0], MODALITIES)"""
OURS = """\
viewer = viewers.patient(scan)
viewer.sliders["axial"].value = {start}
viewer"""
PEER = """\
%matplotlib inline
import matplotlib.pyplot as plt
from ipywidgets import IntSlider, interact

flair = scan.image("flair")


def show(k):
    plt.imshow(flair[:, :, k].T, cmap="gray")
    plt.show()


interact(show, k=IntSlider({start}, 0, flair.shape[2] - 1));"""
# What any viewer pays to Jupyter and the browser: a slider that puts up a picture which is there already.
ROAD = """\
from ipywidgets import Image, IntSlider, VBox
from helpers.show.viewer.raster import FORMAT, encode
import numpy as np

ready = [encode(np.full((180, 200), level, np.uint8)) for level in (60, 180)]
picture = Image(value=ready[{start} % 2], format=FORMAT).add_class("course-image-road")
slider = IntSlider({start}, 0, scan.images.shape[2] - 1).add_class("course-slice-road")
slider.observe(lambda change: picture.set_trait("value", ready[change.new % 2]), "value")
VBox([slider, picture])"""
# Where each has its slider and its picture.
PLACES = {
    "ours": (".course-slice-axial .noUi-handle", ".course-image-axial"),
    "peer": (".widget-interact .noUi-handle", ".widget-interact .jp-OutputArea img"),
    "road": (".course-slice-road .noUi-handle", ".course-image-road"),
}
_WATCH = """picture => {
    const shown = () => document.querySelector(picture), before = shown().src;
    let pressed;
    addEventListener('keydown', event => { pressed = event.timeStamp; }, {capture: true, once: true});
    window.step = new Promise((resolve, reject) => {
        setTimeout(() => reject('no new picture within 60 s of a key'), 60000);
        const watch = new MutationObserver(async () => {
            const image = shown();
            if (!image || image.src === before) return;
            try { await image.decode(); } catch { return; }  // the next picture came in between, and is seen as well
            watch.disconnect();
            requestAnimationFrame(() => resolve(performance.now() - pressed));
        });
        watch.observe(document.body, {subtree: true, childList: true, attributes: true, attributeFilter: ['src']});
    });
}"""


def bench_viewer(steps: int = STEPS, grid: dict[str, Any] = BRATS) -> dict[str, Any]:
    """Measure the axial slider of a made-up patient.

    Args:
        steps: slices to go through; each is measured once for each viewer.
        grid: `shape` and `spacing` of the patient.

    Returns:
        `kernel` and `browser`, each as `report.compare` has it, `browser` with the `road`, a step that draws nothing;
        it is None where there is no browser, and `why` says so. `memory` is the most that scan and viewer hold
        together, in times the scan. `machine` and `versions`.

    Raises:
        ValueError: the patient has too few slices for so many steps.
    """
    start = grid["shape"][2] // 4  # below lies little brain
    if start + WARM_UP + steps >= grid["shape"][2]:
        raise ValueError(f"{steps} steps from slice {start} leave a patient of {grid['shape'][2]} slices; take fewer")
    ks = range(start + 1, start + 1 + WARM_UP + steps)
    with TemporaryDirectory(prefix="bench-") as folder:
        patients = make_brats(Path(folder, "brats"), patients=1, validation=0, **grid)
        scan = read_scan(read_catalogue(patients).require(MODALITIES)[0], MODALITIES)
        result = {
            **report.about(PACKAGES),
            "patient": list(scan.images.shape),
            "steps": steps,
            "kernel": report.compare(_time(_viewer_step(scan), ks), _time(_peer_step(scan), ks)),
            "memory": _memory(scan, ks),
        }
        try:
            version, times = _in_browser(patients, Path(folder), start, steps)
        except NoBrowserError as missing:
            return {**result, "browser": None, "why": str(missing)}
    result["versions"]["chromium"] = version
    road = report.summary(times.pop("road"))
    return {**result, "browser": {**report.compare(**times), "road": road}}


def show(result: dict[str, Any]) -> None:
    """Print what `bench_viewer` found."""
    rows = {"in the kernel,\nvalue to bytes": result["kernel"]}
    notes = [f"Memory: scan and viewer hold at most {result['memory']:.2f} times the scan."]
    if result["browser"] is None:
        notes.insert(0, f"Not measured in a browser. {result['why']}")
    else:
        rows["in the browser,\nkey to picture"] = result["browser"]
        road = result["browser"]["road"]
        notes.append(
            f"The road alone, from a key through Jupyter to a picture that was ready: {road['median_ms']:.1f} ms "
            f"(95 %: {road['p95_ms']:.1f}). What a viewer takes beyond that is its own."
        )
    size = " x ".join(map(str, result["patient"]))
    report.show(result, rows, f"A step of a slider, {size}, {result['steps']} times. Peer: interact, imshow", notes)


def _viewer_step(scan: Scan) -> Callable[[int], bytes]:
    with _for_a_person():
        viewer = api.patient(scan)
    slider, picture = viewer.sliders["axial"], viewer.panes["axial"].image

    def step(k: int) -> bytes:
        slider.value = k
        return picture.value

    return step


def _peer_step(scan: Scan) -> Callable[[int], bytes]:
    """What the inline backend does at `plt.show()`."""
    from IPython.core.pylabtools import print_figure
    from matplotlib.figure import Figure

    flair = scan.image("flair")

    def step(k: int) -> bytes:
        figure = Figure()
        figure.subplots().imshow(flair[:, :, k].T, cmap="gray")
        return print_figure(figure)

    return step


def _time(step: Callable[[int], bytes], ks: range) -> list[float]:
    """Milliseconds of each step, after the warm-up."""
    times = []
    for k in ks:
        start = time.perf_counter()
        step(k)
        times.append(1000 * (time.perf_counter() - start))
    return times[WARM_UP:]


def _memory(scan: Scan, ks: range) -> float:
    """The most that scan and viewer hold while the viewer is made and moved, in times the scan."""
    held = scan.images.nbytes + scan.seg.nbytes
    tracemalloc.start()
    try:
        _time(_viewer_step(scan), ks[: BLOCK + WARM_UP])
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    return round(1 + peak / held, 3)


def _in_browser(patients: Path, folder: Path, start: int, steps: int) -> tuple[str, dict[str, list[float]]]:
    """The browser's version, and milliseconds of each step of each viewer."""
    root = folder / "notebooks"
    root.mkdir()
    cells = [text.format(folder=str(patients), start=start) for text in (READ, OURS, PEER, ROAD)]
    new_notebook(root / "viewer.ipynb", *cells)
    with chromium() as browser, jupyterlab(root) as lab, notebook(browser, lab, "viewer.ipynb") as page:
        if errors := run_all(page, RUN_SECONDS):
            raise RuntimeError(f"The notebook to measure failed: {errors[0]}")
        times = {name: [] for name in PLACES}
        for first in range(0, WARM_UP + steps, BLOCK):
            for name, (slider, picture) in PLACES.items():
                page.locator(slider).first.focus()
                page.wait_for_selector(picture)
                times[name] += [_press(page, picture) for _ in range(min(BLOCK, WARM_UP + steps - first))]
        return browser.version, {name: values[WARM_UP:] for name, values in times.items()}


def _press(page: Page, picture: str) -> float:
    """Milliseconds from the press of an arrow key to the next picture."""
    page.evaluate(_WATCH, picture)
    page.keyboard.press("ArrowRight")
    taken = page.evaluate("window.step")
    page.wait_for_timeout(SETTLE)
    return taken


@contextmanager
def _for_a_person() -> Iterator[None]:
    """Viewers are widgets, whoever looks."""
    before = os.environ.get("COURSE_STATIC")
    os.environ["COURSE_STATIC"] = "0"
    try:
        yield
    finally:
        os.environ.pop("COURSE_STATIC") if before is None else os.environ.update(COURSE_STATIC=before)
