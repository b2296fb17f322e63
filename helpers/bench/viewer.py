"""Benchmark of the viewer's latency after a slider moves, beside `interact` with matplotlib.

Measured twice: in the kernel alone, from the slider's new value to the bytes of the picture; and in a notebook in a
headless Chromium, from the press of an arrow key to the frame in which the new picture is drawn. The browser's times
are taken with the page's own clock, so they do not include the program that presses the key.
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
BLOCK = 10  # steps before the next viewer's turn; a slow phase of the machine then affects all
RUN_SECONDS = 300.0
SETTLE = 100  # ms between steps, so that work left over from one does not count for the next
PACKAGES = ("jupyterlab", "ipywidgets", "ipykernel", "matplotlib", "numpy", "pillow", "playwright")

READ = """\
from helpers.data.brats import MODALITIES, read_catalogue
from helpers.data.volumes import read_scan
from helpers.show.viewer import api

scan = read_scan(read_catalogue({folder!r}).require(MODALITIES)[0], MODALITIES)"""
OURS = """\
viewer = api.patient(scan)
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
# The latency of Jupyter and the browser alone: a slider that shows a picture encoded in advance.
BASELINE = """\
from ipywidgets import Image, IntSlider, VBox
from helpers.show.viewer.raster import FORMAT, encode
import numpy as np

ready = [encode(np.full((180, 200), level, np.uint8)) for level in (60, 180)]
picture = Image(value=ready[{start} % 2], format=FORMAT).add_class("course-image-baseline")
slider = IntSlider({start}, 0, scan.images.shape[2] - 1).add_class("course-slice-baseline")
slider.observe(lambda change: picture.set_trait("value", ready[change.new % 2]), "value")
VBox([slider, picture])"""
# CSS selectors of each viewer's slider and picture.
SELECTORS = {
    "ours": (".course-slice-axial .noUi-handle", ".course-image-axial"),
    "peer": (".widget-interact .noUi-handle", ".widget-interact .jp-OutputArea img"),
    "baseline": (".course-slice-baseline .noUi-handle", ".course-image-baseline"),
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
            try { await image.decode(); } catch { return; }  // replaced by the next picture, which is observed as well
            watch.disconnect();
            requestAnimationFrame(() => resolve(performance.now() - pressed));
        });
        watch.observe(document.body, {subtree: true, childList: true, attributes: true, attributeFilter: ['src']});
    });
}"""


def bench_viewer(steps: int = STEPS, grid: dict[str, Any] = BRATS) -> dict[str, Any]:
    """Measure the axial slider of a phantom patient.

    Args:
        steps: number of slices; each is measured once for each viewer.
        grid: `shape` and `spacing` of the patient.

    Returns:
        `kernel` and `browser`, each as `report.compare`; `browser` has also `road`, the latency of Jupyter and the
        browser alone, and is None without a browser, with the reason in `why`; `memory`: peak memory of scan and viewer
        together, as a multiple of the scan's; `machine`; `versions`.

    Raises:
        ValueError: the patient has too few slices for this number of steps.
    """
    start = grid["shape"][2] // 4  # there is little brain below
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
    baseline = report.summary(times.pop("baseline"))
    return {**result, "browser": {**report.compare(**times), "road": baseline}}


def show(result: dict[str, Any]) -> None:
    """Print the result of `bench_viewer` as a table."""
    rows = {"in the kernel,\nvalue to bytes": result["kernel"]}
    notes = [f"Peak memory of scan and viewer: {result['memory']:.2f} times that of the scan."]
    if result["browser"] is None:
        notes.insert(0, f"Not measured in a browser. {result['why']}")
    else:
        rows["in the browser,\nkey to picture"] = result["browser"]
        baseline = result["browser"]["road"]
        notes.append(
            f"Jupyter and the browser alone, with a picture encoded in advance: {baseline['median_ms']:.1f} ms "
            f"(95 %: {baseline['p95_ms']:.1f}). The rest is the viewer's."
        )
    size = " x ".join(map(str, result["patient"]))
    report.show(result, rows, f"A step of a slider, {size}, {result['steps']} times. Peer: interact, imshow", notes)


def _viewer_step(scan: Scan) -> Callable[[int], bytes]:
    with _interactive():
        viewer = api.patient(scan)
    slider, picture = viewer.sliders["axial"], viewer.panes["axial"].image

    def step(k: int) -> bytes:
        slider.value = k
        return picture.value

    return step


def _peer_step(scan: Scan) -> Callable[[int], bytes]:
    """The work of the inline backend at `plt.show()`."""
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
    """Peak memory of scan and viewer while the viewer is created and moved, as a multiple of the scan's."""
    size = scan.images.nbytes + scan.seg.nbytes
    tracemalloc.start()
    try:
        _time(_viewer_step(scan), ks[: BLOCK + WARM_UP])
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    return round(1 + peak / size, 3)


def _in_browser(patients: Path, folder: Path, start: int, steps: int) -> tuple[str, dict[str, list[float]]]:
    """The browser's version, and the milliseconds of each step of each viewer.

    Raises:
        RuntimeError: a cell of the notebook failed.
    """
    root = folder / "notebooks"
    root.mkdir()
    cells = [text.format(folder=str(patients), start=start) for text in (READ, OURS, PEER, BASELINE)]
    new_notebook(root / "viewer.ipynb", *cells)
    with chromium() as browser, jupyterlab(root) as lab, notebook(browser, lab, "viewer.ipynb") as page:
        if errors := run_all(page, RUN_SECONDS):
            raise RuntimeError(f"The measured notebook failed: {errors[0]}")
        times = {name: [] for name in SELECTORS}
        for first in range(0, WARM_UP + steps, BLOCK):
            for name, (slider, picture) in SELECTORS.items():
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
def _interactive() -> Iterator[None]:
    """Viewers are widgets within this context, see `helpers.show.viewer.interactive`."""
    before = os.environ.get("COURSE_STATIC")
    os.environ["COURSE_STATIC"] = "0"
    try:
        yield
    finally:
        os.environ.pop("COURSE_STATIC") if before is None else os.environ.update(COURSE_STATIC=before)
