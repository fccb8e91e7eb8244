"""A method of your own beside the others, without a change of the package: good features to track, and their patches.

    traqpoint eval pose SCENE --methods traqpoint-s examples/own_method.py:build --out runs/own

`build` is called with max_keypoints, long_side, device and peers (by name), and takes what it wants of them. What it
returns maps a float (3, H, W) RGB image to Features: the image is shrunk already, the best max_keypoints are kept.
"""

import cv2
import numpy as np
import torch

from traqpoint.types import Features


def build(max_keypoints: int, **_):
    def extract(image: torch.Tensor) -> Features:
        grey = (image.mean(0) * 255).byte().numpy()
        corners = cv2.goodFeaturesToTrack(grey, max_keypoints, qualityLevel=0.005, minDistance=3)
        places = [] if corners is None else corners[:, 0].tolist()  # best first
        patches = [cv2.resize(cv2.getRectSubPix(grey, (24, 24), place), (8, 8)) for place in places]
        pixels = torch.from_numpy(np.array(patches, dtype=np.float32)).reshape(-1, 64)
        xy = torch.tensor(places).reshape(-1, 2) + 0.5  # OpenCV counts from the first pixel's centre
        scores = torch.linspace(1, 0.5, len(xy))
        return Features(xy, scores, pixels - pixels.mean(1, keepdim=True), (grey.shape[1], grey.shape[0]))

    return extract
