"""Random keypoints and pictures, the same for the same seed."""

from math import ceil

import cv2
import numpy as np
import torch
import torch.nn.functional as F

from traqpoint.image import write_image
from traqpoint.types import Features


def generator(seed=0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def random_features(n=20, dim=8, seed=None, image_size=(4000, 3000)) -> Features:
    """n keypoints with unit descriptors; the first lies where half precision would move it. seed: n by default."""
    draw = generator(n if seed is None else seed)
    xy = torch.rand(n, 2, generator=draw) * (torch.tensor(image_size) - 1) + 0.5
    if n:
        xy[0, 0] = image_size[0] - 0.6
    descriptors = F.normalize(torch.randn(n, dim, generator=draw), dim=-1)
    return Features(xy, torch.rand(n, generator=draw), descriptors, image_size)


def smooth_photo(height, width, seed=0, blob_px=4) -> torch.Tensor:
    """Soft blobs: uint8 (3, H, W) on the CPU, as training has its photos."""
    shape = (1, 3, ceil(height / blob_px), ceil(width / blob_px))
    small = torch.rand(shape, generator=generator(seed), device="cpu")
    image = F.interpolate(small, size=(height, width), mode="bicubic", align_corners=False)
    return (image[0].clamp(0, 1) * 255).byte()


def smooth_picture(height, width, seed=0, blob_px=4) -> np.ndarray:
    """The same as a picture: uint8 (H, W, 3)."""
    return smooth_photo(height, width, seed, blob_px).permute(1, 2, 0).numpy()


def blocks(height, width, seed=0, block_px=6) -> np.ndarray:
    """Noise with corners: a random colour every block_px pixels, blended between them. uint8 (H, W, 3)."""
    shape = (height // block_px, width // block_px, 3)
    noise = np.random.default_rng(seed).integers(0, 255, shape, dtype=np.uint8)
    return cv2.resize(noise, (width, height))


def write_pictures(folder, pictures, first=0):
    """0.png, 1.png, …, uint8 (H, W, 3) each, in a folder, which is returned. first: number of the first."""
    for i, picture in enumerate(pictures, first):
        write_image(folder / f"{i}.png", np.ascontiguousarray(picture))
    return folder


def write_pan(folder, frames, first=0):
    """Pictures of 128x96 px in a folder, which is returned; the scene moves 3 px to the left per frame."""
    noise = np.random.default_rng(0).integers(0, 255, (24, 42, 3), dtype=np.uint8)
    wide = cv2.resize(noise, (168, 96), interpolation=cv2.INTER_CUBIC)
    return write_pictures(folder, (wide[:, 3 * t : 3 * t + 128] for t in range(frames)), first)
