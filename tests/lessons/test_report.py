import base64
import json
import re
from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from helpers.lessons.history import remember
from helpers.lessons.pictures import inline, pictures
from helpers.lessons.report import clock, number, write_report

METRICS = {"lesson": "00_first", "finished": "2026-01-02", "commit": None, "effort": None}


def png(width=300, height=200, noise=False):
    rng = np.random.default_rng(0)
    pixels = (
        rng.integers(0, 256, (height, width, 4), dtype=np.uint8) if noise else np.zeros((height, width, 4), np.uint8)
    )
    buffer = BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def executed(*images, alt=None):
    about = {"image/png": {"alt": alt}} if alt else {}
    outputs = [{"data": {"image/png": base64.b64encode(image).decode()}, "metadata": about} for image in images]
    return {
        "cells": [
            {"cell_type": "markdown", "source": ["# Lesson\n", "text\n", "## The *rim* on `T1ce`\n", "more"]},
            {"cell_type": "markdown", "source": ["no heading"]},
            {"cell_type": "code", "source": [], "outputs": outputs},
        ]
    }


def leave(workshop, name, notebook=None, **changes):
    folder = workshop.root / "out" / name
    folder.mkdir(parents=True)
    content = {
        "lesson": name, "status": "passed", "error": None, "values": {"dice_wt": 0.81234}, "bands": {},
        "seconds": 12.0, "cells": [{"cell": 1, "line": "train()", "seconds": 9.0}], "profile": "quick",
        "variant": "student", "parameters": {}, "versions": {"python": "3.11.7", "keras": None},
        "device": "A machine", "commit": None, "finished": "2026-01-02T03:04:05+00:00", "fingerprint": "",
        **changes,
    }  # fmt: skip
    (folder / "metrics.json").write_text(json.dumps(content), encoding="utf-8")
    (folder / f"{name}.ipynb").write_text(json.dumps(notebook or executed()), encoding="utf-8")


def page(workshop):
    return write_report(workshop.root / "out", workshop.course).read_text(encoding="utf-8")


def test_the_report_loads_nothing_from_outside(workshop):
    leave(workshop, "00_first", executed(png()))
    html = page(workshop)
    sources = re.findall(r"""(?:src|href)\s*=\s*["']([^"']*)|url\(([^)]*)|@import""", html)
    assert len(sources) >= 2
    assert all(source.startswith(("data:image/", "#")) for source, _ in sources)
    assert "http" not in html
    assert "<script" not in html


def test_the_report_tells_status_seconds_numbers_machine_and_lessons_not_run(workshop):
    leave(workshop, "00_first")
    html = page(workshop)
    for text in (
        "1 of 2 lessons passed in 12.0 s",
        "0.8123",
        "9.0 s",
        "A machine",
        "python 3.11.7",
        "not run",
    ):
        assert text in html


def test_the_report_gives_errors_in_full_and_escaped(workshop):
    leave(workshop, "00_first", status="failed", error="line one\n<b>line two</b>\n" + "x" * 5000)
    html = page(workshop)
    assert "line one\n&lt;b&gt;line two" in html
    assert "x" * 5000 in html


def test_the_report_shows_bands_beside_the_numbers(workshop):
    bands = {"dice_wt": {"min": 0.5, "max": None, "trivial": 0.0}}
    leave(workshop, "00_first", status="out of band", bands=bands)
    assert "0.5 to any" in page(workshop)


def test_the_report_says_of_each_number_what_it_is_held_to_and_which_left_its_band(workshop):
    other = {"value": None, "min": None, "max": None, "trivial": None, "better": "neither"}
    bands = {
        "n": {**other, "kind": "exact", "value": 20},
        "dice.WT": {**other, "kind": "band", "better": "higher", "min": 0.5, "max": 0.7, "trivial": 0.0},
        "words": {**other, "kind": "not compared"},
        "gone": {**other, "kind": "band", "min": 1, "max": 2},
        "effort": {**other, "kind": "budget", "better": "lower", "min": 100, "max": 400},
    }
    values = {"n": 19, "dice": {"WT": 0.75}, "words": "helped"}
    worse, improved = {"n": "n is 19; it should be exactly 20"}, {"dice.WT": "dice.WT is 0.75; the band is 0.5 to 0.7"}
    leave(workshop, "00_first", values=values, bands=bands, worse=worse, improved=improved, effort=250.0)
    rows = [re.sub(r"<[^>]*>", " ", row).split() for row in page(workshop).split("<tr>")]
    assert ["n", "19", "worse", "exactly", "20"] in rows
    assert ["dice.WT", "0.75", "improved", *["0.5", "to", "0.7,", "more", "is", "better"], "0"] in rows
    assert ["words", "helped", "not", "compared"] in rows
    assert ["gone", "not", "recorded", "1", "to", "2"] in rows
    assert ["effort", "250", *["100", "to", "400,", "less", "is", "better"]] in [row[:9] for row in rows]
    assert "dice.WT is 0.75; the band is 0.5 to 0.7" in page(workshop)


def test_the_report_shows_the_trend_over_runs(workshop):
    leave(workshop, "00_first")
    assert "<svg" not in page(workshop)
    for dice in (0.7, 0.8):
        remember(workshop.root / "out", {**METRICS, "values": {"dice_wt": dice}})
    assert page(workshop).count("<polyline") == 1
    assert 'aria-label="dice_wt over the last runs"' in page(workshop)


def test_a_folder_without_any_run_gives_a_report_too(workshop):
    assert "0 of 2 lessons passed" in page(workshop)


def test_a_picture_takes_its_caption_from_the_heading_above_and_its_alt_text_from_the_lesson():
    (plain,) = pictures(executed(png()))
    assert (plain["caption"], plain["png"]) == ("The rim on T1ce", png())
    assert "The rim on T1ce" in plain["alt"]
    assert pictures(executed(png(), alt="four heads"))[0]["alt"] == "four heads"


@pytest.mark.parametrize(("count", "most"), [(1, 250_000), (100, 55_000)])
def test_a_picture_keeps_to_its_share_of_the_page(count, most):
    uri, width = inline(png(900, 600, noise=True), count)
    assert width == 900
    assert len(base64.b64decode(uri.partition(",")[2])) <= most


def test_a_transparent_picture_lies_on_white():
    uri, _ = inline(png(), 1)
    image = Image.open(BytesIO(base64.b64decode(uri.partition(",")[2])))
    assert image.getpixel((0, 0)) == (255, 255, 255)


def test_many_large_pictures_stay_below_eight_megabytes(workshop):
    leave(workshop, "00_first", executed(*[png(640, 400, noise=True)] * 16))
    assert len(page(workshop)) < 8_000_000


@pytest.mark.parametrize(
    ("value", "text"),
    [(7759908, "7,759,908"), (0.123456, "0.1235"), (True, "yes"), (None, "not finite"), ([1, 0.5], "1, 0.5"),
     ({"lo": 0.25}, "lo 0.25"), ("T4", "T4")],
)  # fmt: skip
def test_numbers_read_well(value, text):
    assert number(value) == text


@pytest.mark.parametrize(("seconds", "text"), [(8.23, "8.2 s"), (185, "3 min 05 s"), (7800, "2 h 10 min")])
def test_seconds_read_well(seconds, text):
    assert clock(seconds) == text
