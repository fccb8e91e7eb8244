"""A webcam where there is none."""

import cv2


def plug_in_webcam(monkeypatch, picture):
    """From now on OpenCV has a webcam 0, which always shows `picture`, (H, W, 3)."""

    class Webcam:
        def __init__(self, index):
            assert index == 0

        def isOpened(self):
            return True

        def read(self):
            return True, picture

        def release(self):
            pass

    monkeypatch.setattr(cv2, "VideoCapture", Webcam)
