"""Collects the pictures of an executed notebook and makes them small enough to be embedded in one page."""

import base64
import re
from io import BytesIO
from typing import Any

PAGE_BYTES = 5_500_000  # all pictures of a page together; base64 adds a third, and the page stays below 8 MB
PICTURE_BYTES = 250_000
WIDEST = 1200  # pixels: sharp at the page's 800 on most screens and in print
NARROWEST = 160


def pictures(notebook: dict) -> list[dict[str, Any]]:
    """Collect a notebook's image outputs.

    Args:
        notebook: as nbformat or JSON reads it.

    Returns:
        For each image, in order, its `png` bytes, a `caption` from the heading above it, and an `alt` text: that of the
        output's metadata, else one from the heading.
    """
    found, heading = [], "Untitled"
    for cell in notebook["cells"]:
        if cell["cell_type"] == "markdown":
            headings = re.findall(r"^#{1,6} +(.+)$", "".join(cell["source"]), flags=re.MULTILINE)
            heading = re.sub(r"[*_`]", "", headings[-1]).strip() if headings else heading
        for output in cell.get("outputs", []):
            coded = output.get("data", {}).get("image/png")
            if coded:
                about = output.get("metadata", {}).get("image/png", {})
                alt = about.get("alt", f"Picture under the heading: {heading}")
                found.append({"png": base64.b64decode("".join(coded)), "caption": heading, "alt": alt})
    return found


def inline(png: bytes, count: int) -> tuple[str, int]:
    """Encode one picture of a page as a data URI.

    Tried in turn, until it is within its share of `PAGE_BYTES`: the PNG as it is, a JPEG, ever smaller JPEGs.

    Args:
        png: the picture, encoded.
        count: how many pictures the page has.

    Returns:
        The URI, and the width in pixels to show it at.
    """
    from PIL import Image

    share = min(PICTURE_BYTES, PAGE_BYTES // count)
    image = Image.open(BytesIO(png)).convert("RGBA")
    paper = Image.new("RGBA", image.size, "white")
    paper.alpha_composite(image)
    picture = paper.convert("RGB")
    shown = picture.width
    picture.thumbnail((WIDEST, 4 * WIDEST))
    coded, kind = _encode(picture, "PNG"), "png"
    while len(coded) > share and (kind == "png" or picture.width > NARROWEST):
        if kind == "jpeg":
            picture = picture.resize((picture.width * 4 // 5, max(1, picture.height * 4 // 5)))
        coded, kind = _encode(picture, "JPEG"), "jpeg"
    return f"data:image/{kind};base64,{base64.b64encode(coded).decode()}", shown


def _encode(picture: Any, kind: str) -> bytes:
    buffer = BytesIO()
    picture.save(buffer, kind, optimize=True, quality=85)
    return buffer.getvalue()
