"""A viewer as a person meets it in the page: its sliders, its buttons, and the pictures it shows."""

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

PATIENCE = 60.0  # seconds until a picture has to be there, on a machine that has other things to do
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

# JupyterLab takes the focus to the cell some frames after a click.
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
        """Where a slider stands; `aria-valuenow` says it to one decimal only."""
        return float(self.handle(name).get_attribute("aria-valuetext"))

    def drag(self, name: str, share: float) -> float:
        """Take a slider's handle with the mouse to a share of its length; where it stands then."""
        self.handle(name).scroll_into_view_if_needed()
        handle, track = (self.handle(name).bounding_box(), self.find(name).locator(".noUi-base").bounding_box())
        level = handle["y"] + handle["height"] / 2
        self.page.mouse.move(handle["x"] + handle["width"] / 2, level)
        self.page.mouse.down()
        self.page.mouse.move(track["x"] + share * track["width"], level, steps=5)
        self.page.mouse.up()
        return self.value(name)

    def press(self, name: str, key: str) -> float:
        """Press a key on a slider; where it stands then."""
        self.until(lambda: self.handle(name).evaluate(_KEEPS_FOCUS), f"{name} has the keyboard")
        self.page.keyboard.press(key)
        return self.value(name)

    def picture(self, name: str) -> np.ndarray:
        """The picture shown now, (rows, columns, 3), 0 to 255."""
        coded = self.find(f"image-{name}").evaluate(_BYTES)
        return np.asarray(Image.open(io.BytesIO(base64.b64decode(coded))).convert("RGB"), float)

    def until(self, condition: Callable[[], bool], what: str) -> None:
        """Look again and again until the page is as it should be."""
        end = time.monotonic() + PATIENCE
        while not condition():
            if time.monotonic() > end:
                raise AssertionError(f"after {PATIENCE:g} s still not so: {what}")
            self.page.wait_for_timeout(50)


class Expected:
    """The pictures that a scan should give, made from its voxels by plain means.

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
        """The slice that a picture is nearest to, and how far it is from it: the mean difference in grey levels."""
        shape = picture.shape[:2]
        far = [np.abs(picture - self.painted(modality, k, shape, classes)).mean() for k in range(self.count)]
        return int(np.argmin(far)), float(min(far))

    def _turned(self, volume: np.ndarray, k: int) -> np.ndarray:
        return self.view.turn(self.view.cut(volume, k, self.box))
