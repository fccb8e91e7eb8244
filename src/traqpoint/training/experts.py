"""Classical corner detectors as experts: where descriptors are trained, and what warms the policy up."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from traqpoint import optional


def gaussian_blur(x: Tensor, sigma: float) -> Tensor:
    """Separable Gaussian of (B, C, H, W), borders repeated."""
    radius = max(1, round(3 * sigma))
    offsets = torch.arange(-radius, radius + 1, device=x.device, dtype=x.dtype)
    kernel = torch.softmax(-offsets.square() / (2 * sigma**2), dim=0)
    channels = x.shape[1]
    x = F.pad(x, (radius, radius, radius, radius), mode="replicate")
    x = F.conv2d(x, kernel.view(1, 1, 1, -1).expand(channels, 1, 1, -1), groups=channels)
    return F.conv2d(x, kernel.view(1, 1, -1, 1).expand(channels, 1, -1, 1), groups=channels)


def corner_response(images: Tensor, sigma: float = 1.5) -> Tensor:
    """Shi-Tomasi: the smaller eigenvalue of the structure tensor. (B, 3, H, W) -> (B, 1, H, W), non-negative."""
    grey = images.mean(1, keepdim=True)
    padded = F.pad(grey, (1, 1, 1, 1), mode="replicate")
    gx = (padded[..., 1:-1, 2:] - padded[..., 1:-1, :-2]) / 2
    gy = (padded[..., 2:, 1:-1] - padded[..., :-2, 1:-1]) / 2
    xx, yy, xy = gaussian_blur(torch.cat([gx * gx, gy * gy, gx * gy], dim=1), sigma).split(1, dim=1)
    half_trace = (xx + yy) / 2
    return (half_trace - ((xx - yy).square() / 4 + xy.square()).sqrt()).clamp(min=0)


def fast_heatmap(images: Tensor, threshold: int = 20, sigma: float = 2.0) -> Tensor:
    """The released code's warm-up target: FAST corners after NMS, blurred, scaled to a maximum of 1.

    images: (B, 3, H, W) RGB in [0, 1]. Returns (B, 1, H, W); zeros for an image without corners.
    """
    cv2 = optional.load("cv2")
    fast = cv2.FastFeatureDetector_create(threshold, True)
    grey = (images.mean(1) * 255).round().clamp(0, 255).byte().cpu().numpy()
    points = np.zeros(grey.shape, dtype=np.float32)
    for i, image in enumerate(grey):
        for keypoint in fast.detect(image, None):
            points[i, round(keypoint.pt[1]), round(keypoint.pt[0])] = 1
    heat = gaussian_blur(torch.from_numpy(points).unsqueeze(1).to(images.device), sigma)
    return heat / heat.amax(dim=(1, 2, 3), keepdim=True).clamp(min=1e-6)


def shi_tomasi_heatmap(images: Tensor) -> Tensor:
    """Corner response (B, 1, H, W) of images (B, 3, H, W), its square root scaled to a maximum of 1 in each image."""
    heat = corner_response(images.float()).sqrt()
    return heat / heat.amax(dim=(1, 2, 3), keepdim=True).clamp(min=1e-6)


EXPERTS = {"fast": fast_heatmap, "shi-tomasi": shi_tomasi_heatmap}
"""What a warm-up can imitate: images (B, 3, H, W) -> heat map (B, 1, H, W) in [0, 1]."""
