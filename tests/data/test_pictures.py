"""Laws of picture files: what is read is what was stored, and all else is refused by name before memory is taken."""

import contextlib
import tracemalloc

import numpy as np
import pytest
from PIL import Image

from helpers.data.chest import read_chest
from helpers.data.pictures import MAX_PIXELS, picture_size, read_image, read_mask
from helpers.runtime.errors import DataError
from tests.faults.chest import deep, flip_bit, png


@pytest.fixture
def grey(rng):
    """A radiograph in 4096 levels."""
    rows, columns = np.mgrid[:80, :60]
    return ((rows * 40 + columns * 13) % 4000 + rng.integers(0, 96, (80, 60))).astype(np.uint16)


@pytest.fixture
def lungs():
    mask = np.zeros((80, 60), np.uint8)
    mask[20:50, 8:24] = mask[20:50, 36:52] = 255
    return mask


def test_no_flipped_bit_changes_what_is_read(tmp_path, grey):
    """Pillow alone reads a third of such files, with other pixels."""
    whole = tmp_path / "whole.png"
    Image.fromarray((grey // 16).astype(np.uint8)).save(whole)
    content, read = whole.read_bytes(), read_image(whole)
    rng = np.random.default_rng(1)
    for place in rng.integers(0, len(content), 200):
        damaged = bytearray(content)
        damaged[place] ^= 1 << int(rng.integers(8))
        (tmp_path / "damaged.png").write_bytes(damaged)
        with contextlib.suppress(DataError):
            np.testing.assert_array_equal(read_image(tmp_path / "damaged.png"), read)


def test_no_file_cut_short_or_overwritten_ends_in_another_error(tmp_path, grey):
    whole = tmp_path / "whole.png"
    Image.fromarray((grey // 16).astype(np.uint8)).save(whole)
    content, rng = whole.read_bytes(), np.random.default_rng(2)
    for length in rng.integers(0, len(content) - 16, 60):
        for damaged in (content[:length], content[:length] + rng.bytes(len(content) - length)):
            (tmp_path / "damaged.png").write_bytes(damaged)
            with pytest.raises(DataError, match=r"damaged\.png"):
                read_image(tmp_path / "damaged.png")
            with pytest.raises(DataError, match=r"damaged\.png"):
                read_mask(tmp_path / "damaged.png")


def test_bomb_is_refused_before_memory_is_taken(tmp_path):
    path = tmp_path / "bomb.png"
    png(path, (30000, 30000), 1, 0)
    assert path.stat().st_size < 200_000
    tracemalloc.start()
    for read in (picture_size, read_image, read_mask):
        with pytest.raises(DataError, match=rf"bomb\.png: too large \(30000 x 30000.*{MAX_PIXELS // 10**6} million"):
            read(path)
    assert tracemalloc.get_traced_memory()[1] < 5e6
    tracemalloc.stop()


def test_bomb_of_another_format_is_refused_too(tmp_path):
    path = tmp_path / "bomb.gif"
    Image.new("L", (8, 8)).save(path)
    content = bytearray(path.read_bytes())
    content[6:10] = b"\xff\xff\xff\xff"  # the size in its header
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"bomb\.gif: too large"):
        read_image(path)


@pytest.mark.parametrize(("bits", "most"), [(10, 1023), (12, 4095), (14, 16383), (16, 65535)])
def test_depth_of_the_detector_sets_the_scale(tmp_path, grey, bits, most):
    levels = np.round(grey / 4095 * most).astype(np.uint16)
    deep(tmp_path / "deep.png", levels, 0)
    np.testing.assert_array_equal(read_image(tmp_path / "deep.png"), np.round(levels * (255 / most)).astype(np.uint8))


def test_bright_marker_does_not_set_the_scale(tmp_path, grey):
    marked = grey.copy()
    marked[:6, :10] = 65535
    deep(tmp_path / "marked.png", marked, 0)
    deep(tmp_path / "plain.png", grey, 0)
    with_marker, without = read_image(tmp_path / "marked.png"), read_image(tmp_path / "plain.png")
    assert (with_marker[:6, :10] == 255).all()
    np.testing.assert_array_equal(with_marker[6:], without[6:])


@pytest.mark.parametrize("colour", [2, 4])
def test_sixteen_bit_colour_is_read_where_its_upper_bytes_hold_the_radiograph(tmp_path, grey, colour):
    deep(tmp_path / "full.png", grey * 16, colour)
    np.testing.assert_allclose(read_image(tmp_path / "full.png"), grey // 16, atol=1)
    deep(tmp_path / "twelve.png", grey, colour)
    with pytest.raises(DataError, match=r"twelve\.png: it is stored in 16-bit colour.* 16 grey levels"):
        read_image(tmp_path / "twelve.png")


@pytest.mark.parametrize("orientation", range(1, 9))
def test_picture_that_viewers_turn_is_refused(tmp_path, grey, lungs, orientation):
    entry = Image.Exif()
    entry[0x0112] = orientation
    Image.fromarray((grey // 16).astype(np.uint8)).save(tmp_path / "image.png", exif=entry)
    Image.fromarray(lungs).save(tmp_path / "mask.png", exif=entry)
    for read, name in ((read_image, "image"), (read_mask, "mask")):
        if orientation == 1:
            assert read(tmp_path / f"{name}.png").shape == (80, 60)
        else:
            with pytest.raises(DataError, match=rf"{name}\.png: it carries an orientation.*EXIF {orientation}"):
                read(tmp_path / f"{name}.png")


def test_mask_in_place_of_a_radiograph_is_refused(tmp_path, lungs):
    Image.fromarray(lungs).save(tmp_path / "mask.png")
    with pytest.raises(DataError, match="two grey levels, 0 and 255, as a mask has"):
        read_image(tmp_path / "mask.png")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda mask: 255 - mask, "black on white"),
        (lambda mask: np.where(np.indices(mask.shape)[0] < 2, mask, np.uint8(255)), "black on white"),
        (lambda mask: mask * (np.indices(mask.shape).sum(axis=0) < 33), "lungs are at least 1%"),
        (
            lambda mask: (mask > 0) * np.uint8(1) + (mask > 0) * (np.indices(mask.shape)[1] > 30),
            r"3 labels \(0, 1, 2\)",
        ),
    ],
)
def test_mask_that_cannot_be_of_lungs_is_refused_with_a_cure(tmp_path, lungs, change, message):
    Image.fromarray(change(lungs).astype(np.uint8)).save(tmp_path / "mask.png")
    with pytest.raises(DataError, match=rf"mask\.png: .*{message}"):
        read_mask(tmp_path / "mask.png")


def test_every_way_to_store_a_mask_of_two_values_reads_the_same(tmp_path, lungs):
    labels = Image.fromarray((lungs > 0).astype(np.uint8))
    labels.putpalette([0, 0, 0, 128, 0, 0])
    opaque = Image.fromarray(lungs).convert("RGBA")
    stored = {
        "grey": Image.fromarray(lungs),
        "one": Image.fromarray((lungs > 0).astype(np.uint8)),
        "bit": Image.fromarray(lungs > 0),
        "palette": labels,
        "rgba": opaque,
    }
    for name, image in stored.items():
        image.save(tmp_path / f"{name}.png")
        np.testing.assert_array_equal(read_mask(tmp_path / f"{name}.png"), lungs > 0, err_msg=name)


def test_outline_in_the_alpha_channel_is_named(tmp_path, lungs):
    Image.fromarray(np.dstack([np.full((*lungs.shape, 3), 255, np.uint8), lungs]), "RGBA").save(tmp_path / "alpha.png")
    with pytest.raises(DataError, match=r"alpha\.png: .*alpha channel\) alone"):
        read_mask(tmp_path / "alpha.png")


def test_no_real_flipped_bit_changes_what_is_read(real_data, tmp_path):
    xray = read_chest(real_data / "chest").require()[0]
    for path, read in ((xray.image, read_image), (xray.mask, read_mask)):
        (tmp_path / path.name).write_bytes(path.read_bytes())
        flip_bit(tmp_path / path.name)
        with pytest.raises(DataError, match="check sum"):
            read(tmp_path / path.name)
