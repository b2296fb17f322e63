"""A viewer in the page as a user operates it: its sliders, its buttons, and the pictures it shows."""

import base64
import io
import time
from collections.abc import Callable

import numpy as np
from matplotlib import colors
from PIL import Image
from playwright.sync_api import Page
from skimage.transform import resize

from helpers.show.panel import grey_levels, plane
from helpers.show.style import CLASS_COLOURS

PATIENCE = 60.0  # seconds until a picture has to be there, on a busy machine
_BYTES = """async image => {
    for (;;) {
        const source = image.src;
        try {
            await image.decode();
            const bytes = new Uint8Array(await (await fetch(source)).arrayBuffer());
            return btoa(Array.from(bytes, byte => String.fromCharCode(byte)).join(''));
        } catch (error) {
            if (image.src === source) throw error;  // else the next picture came in between
        }
    }
}"""

# JupyterLab moves the focus to the cell some frames after a click.
_KEEPS_FOCUS = """async handle => {
    handle.focus();
    for (let frame = 0; frame < 3; frame++) await new Promise(requestAnimationFrame);
    return document.activeElement === handle;
}"""


class Viewer:
    """The output of the code cell that holds `call`."""

    def __init__(self, page: Page, call: str) -> None:
        self.page = page
        cell = page.locator(".jp-CodeCell", has=page.locator(".jp-InputArea", has_text=call))
        self.output = cell.locator(".jp-OutputArea").first
        self.output.scroll_into_view_if_needed()

    def find(self, name: str):
        return self.output.locator(f".course-{name}")

    def handle(self, name: str):
        return self.find(name).locator(".noUi-handle").first

    def value(self, name: str) -> float:
        """Value of a slider; `aria-valuenow` has one decimal only."""
        return float(self.handle(name).get_attribute("aria-valuetext"))

    def drag(self, name: str, fraction: float) -> float:
        """Drag a slider's handle with the mouse to a fraction of its length; return its value then."""
        self.handle(name).scroll_into_view_if_needed()
        handle, track = (self.handle(name).bounding_box(), self.find(name).locator(".noUi-base").bounding_box())
        level = handle["y"] + handle["height"] / 2
        self.page.mouse.move(handle["x"] + handle["width"] / 2, level)
        self.page.mouse.down()
        self.page.mouse.move(track["x"] + fraction * track["width"], level, steps=5)
        self.page.mouse.up()
        return self.value(name)

    def press(self, name: str, key: str) -> float:
        """Press a key on a slider; return its value then."""
        self.until(lambda: self.handle(name).evaluate(_KEEPS_FOCUS), f"{name} has the keyboard")
        self.page.keyboard.press(key)
        return self.value(name)

    def picture(self, name: str) -> np.ndarray:
        """The picture shown now, (rows, columns, 3), 0 to 255."""
        coded = self.find(f"image-{name}").evaluate(_BYTES)
        return np.asarray(Image.open(io.BytesIO(base64.b64decode(coded))).convert("RGB"), float)

    def until(self, condition: Callable[[], bool], what: str) -> None:
        """Poll until the page meets the condition; fail after `PATIENCE`."""
        end = time.monotonic() + PATIENCE
        while not condition():
            if time.monotonic() > end:
                raise AssertionError(f"not fulfilled after {PATIENCE:g} s: {what}")
            self.page.wait_for_timeout(50)


class Expected:
    """The expected pictures of a scan, computed independently from its voxels.

    Args:
        scan: the patient.
        name: the plane.
    """

    def __init__(self, scan, name: str = "axial") -> None:
        self.scan, self.view = scan, plane(scan.affine, name)
        self.box = self.view.brain(scan.images)
        self.count = scan.images.shape[self.view.axis]

    def grey(self, modality: str, k: int, shape: tuple[int, int]) -> np.ndarray:
        """Slice k in the window of the whole brain, in so many rows and columns, 0 to 255."""
        volume = self.scan.image(modality)
        low, high = grey_levels(volume)
        image = self._turned(volume, k)
        levels = np.where(image == 0, 0, np.clip((image - low) / (high - low), 0, 1)) * 255
        return resize(levels, shape, order=1, mode="edge", anti_aliasing=False)

    def painted(self, modality: str, k: int, shape: tuple[int, int], classes=(1, 2, 3), opacity: float = 0.5):
        """The slice with its mask on top, (rows, columns, 3)."""
        picture = np.repeat(self.grey(modality, k, shape)[..., None], 3, axis=-1)
        labels = self.labels(k, shape)
        for label in classes:
            colour = 255 * np.array(colors.to_rgb(CLASS_COLOURS[label]))
            here = labels == label
            picture[here] = (1 - opacity) * picture[here] + opacity * colour
        return picture

    def labels(self, k: int, shape: tuple[int, int]) -> np.ndarray:
        turned = self._turned(self.scan.seg, k)
        return resize(turned, shape, order=0, mode="edge", anti_aliasing=False, preserve_range=True).astype(int)

    def recognise(self, picture: np.ndarray, modality: str, classes=()) -> tuple[int, float]:
        """The slice nearest to a picture, and their distance: the mean absolute difference in grey levels."""
        shape = picture.shape[:2]
        distances = [np.abs(picture - self.painted(modality, k, shape, classes)).mean() for k in range(self.count)]
        return int(np.argmin(distances)), float(min(distances))

    def _turned(self, volume: np.ndarray, k: int) -> np.ndarray:
        return self.view.turn(self.view.cut(volume, k, self.box))
