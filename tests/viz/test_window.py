"""A window where there is one, and a reason where there is none."""

import cv2
import numpy as np
import pytest

from traqpoint.viz.window import Window, why_no_window


def test_a_headless_opencv_and_a_missing_screen_are_told_apart(monkeypatch):
    monkeypatch.setattr("sys.platform", "linux")
    monkeypatch.setattr(cv2, "getBuildInformation", lambda: "  GUI:          NONE\n")
    assert "this OpenCV has no windows" in why_no_window()
    monkeypatch.setattr(cv2, "getBuildInformation", lambda: "  GUI:          QT5\n")
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    assert "there is no screen" in why_no_window()
    monkeypatch.setenv("WAYLAND_DISPLAY", "wayland-0")
    assert why_no_window() is None


@pytest.mark.parametrize(
    ("key", "visible", "goes_on"), [(-1, 1, True), (ord("q"), 1, False), (27, 1, False), (-1, 0, False)]
)
def test_q_escape_and_a_closed_window_end_it(monkeypatch, key, visible, goes_on):
    """And OpenCV gets BGR."""
    shown = []
    monkeypatch.setattr(cv2, "imshow", lambda title, image: shown.append(image[0, 0].tolist()))
    monkeypatch.setattr(cv2, "waitKey", lambda delay: key)
    monkeypatch.setattr(cv2, "getWindowProperty", lambda title, what: visible)
    monkeypatch.setattr(cv2, "destroyAllWindows", lambda: None)
    with Window("a") as window:
        assert window.show(np.full((2, 2, 3), (1, 2, 3), np.uint8)) == goes_on
    assert shown == [[3, 2, 1]]
