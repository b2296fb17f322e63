import dataclasses
import sys
from types import ModuleType, SimpleNamespace

import nibabel as nib
import numpy as np
import pytest
from matplotlib.figure import Figure

from helpers.show import solid as module
from helpers.show.solid import _surface, solid, surfaces


def test_a_surface_lies_where_its_body_lies_in_the_room():
    body = np.zeros((20, 30, 10), bool)
    body[4:14, 6:26, 2:8] = True  # 20 x 40 x 15 mm
    affine = np.array([[-2.0, 0, 0, 50], [0, -2.0, 0, 80], [0, 0, 2.5, -10], [0, 0, 0, 1]])
    corners, faces = _surface(body, affine)
    ends = nib.affines.apply_affine(affine, [[3.5, 5.5, 1.5], [13.5, 25.5, 7.5]])
    np.testing.assert_allclose(corners.min(axis=0), ends.min(axis=0), atol=module._STEP_MM / 2)
    np.testing.assert_allclose(corners.max(axis=0), ends.max(axis=0), atol=module._STEP_MM / 2)
    assert faces.max() < len(corners)


def test_both_sides_show_head_and_tumour_with_their_letters(scan):
    figure = surfaces(scan, title="What to see")
    above, left = figure.axes
    assert [text.get_text() for text in above.texts] == ["L", "R", "A", "P"]
    assert [text.get_text() for text in left.texts] == ["A", "P", "S", "I"]
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["head", "WT", "TC"]
    assert figure.get_suptitle() == "What to see"


def test_letters_stand_at_the_ends_of_their_axes(scan):
    above, _ = surfaces(scan).axes
    at = {text.get_text(): np.array(text.get_position_3d()) for text in above.texts}
    assert at["R"][0] > at["L"][0]
    assert at["A"][1] > at["P"][1]
    np.testing.assert_allclose(at["R"][1:], at["L"][1:])


def test_nobody_at_the_keyboard_gets_the_still_picture(scan, monkeypatch):
    monkeypatch.setattr(module, "is_interactive", lambda: False)
    assert isinstance(solid(scan), Figure)


def test_without_ipyniivue_a_session_gets_the_still_picture(scan, monkeypatch):
    monkeypatch.setattr(module, "is_interactive", lambda: True)
    monkeypatch.setattr(module.importlib.util, "find_spec", lambda name: None)
    assert isinstance(solid(scan), Figure)


def test_a_session_with_ipyniivue_gets_the_scan_and_its_mask_to_turn(scan, monkeypatch):
    class Widget:
        def load_volumes(self, volumes):
            self.loaded = [(nib.load(one["path"]), one.get("opacity")) for one in volumes]

        def set_slice_type(self, kind):
            self.kind = kind

    fake = ModuleType("ipyniivue")
    fake.NiiVue, fake.SliceType = Widget, SimpleNamespace(RENDER="render")
    monkeypatch.setitem(sys.modules, "ipyniivue", fake)
    monkeypatch.setattr(module, "is_interactive", lambda: True)
    monkeypatch.setattr(module.importlib.util, "find_spec", lambda name: True)
    monkeypatch.setattr(module, "with_still", lambda widget, draw: widget)
    widget = solid(scan)
    assert widget.kind == "render"
    (head, _), (labels, opacity) = widget.loaded
    np.testing.assert_array_equal(head.get_fdata(), scan.images[..., 0])
    np.testing.assert_array_equal(np.asarray(labels.dataobj), scan.seg)
    np.testing.assert_array_equal(labels.affine, scan.affine)
    assert 0 < opacity < 1


def test_a_patient_without_tumour_is_refused(scan):
    for bare in (dataclasses.replace(scan, seg=None), dataclasses.replace(scan, seg=0 * scan.seg)):
        with pytest.raises(ValueError, match="has no tumour to draw"):
            solid(bare)
