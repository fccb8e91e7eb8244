"""Photometric change: what another exposure, another camera or another hour would have made of the same picture."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

# Half-widths of the uniform draws at strength 1, in log units for gamma, gain, contrast and cast. Ours: chosen by eye
# so that the extremes still look like photographs.
GAMMA, GAIN, CONTRAST, CAST = 0.35, 0.35, 0.3, 0.1
NOISE = 0.03
BLUR_PX, BLUR_SHARE = 1.2, 0.3
SHADE, SHADE_SHARE = 0.4, 0.3
BLUR_RADIUS = 3
GAMMA_OF_DISPLAYS = 2.2
"""Encoded colour is light to the power of 1 / 2.2."""
CURVE = 0.5
"""Half-width of the response curve's contrast; the curve rises everywhere below 1."""


def photometric(images: Tensor, generator: torch.Generator, strength: float = 1.0) -> Tensor:
    """Draw new brightness, contrast, gamma, colour cast, noise, blur and shade for each image.

    images: (N, 3, H, W) float in [0, 1], on any device. generator: on the CPU or the images' device. strength: 0 leaves
    the images as they are, 1 is as far as two photographs of one scene usually differ. Returns (N, 3, H, W) in [0, 1].
    """
    if strength == 0 or images.shape[0] == 0:
        return images
    n = images.shape[0]

    def uniform(*shape: int) -> Tensor:
        return torch.rand(n, *shape, 1, 1, generator=generator, device=generator.device).to(images)

    def factor(half_width: float, channels: int) -> Tensor:
        return torch.exp(strength * half_width * (2 * uniform(channels) - 1))

    gamma, gain, contrast, cast = factor(GAMMA, 1), factor(GAIN, 1), factor(CONTRAST, 1), factor(CAST, 3)
    sigma = strength * BLUR_PX * uniform(1) * (uniform(1) < BLUR_SHARE)
    slopes = strength * SHADE * (2 * uniform(2) - 1) * (uniform(1) < SHADE_SHARE)
    noise = strength * NOISE * uniform(1)

    # The optics blur, then the light falls, then the sensor responds and adds its noise.
    out = _blur(images, sigma.flatten())
    out = (
        out.clamp(min=1e-4)
        .pow(gamma)
        .mul_(gain * cast * contrast)
        .mul_(_shade(slopes, images))
        .add_(0.5 * (1 - contrast))
    )
    grain = torch.randn(images.shape, generator=generator, device=generator.device)
    return out.addcmul_(grain.to(images), noise.expand_as(out)).clamp_(0, 1)


def expose(images: Tensor, generator: torch.Generator, stops: float) -> Tensor:
    """Over- or underexpose each frame, with one response curve per sequence.

    images: (B, T, 3, H, W) in [0, 1]. The light of each frame is multiplied by up to 2 to the power of ±`stops`, and
    cut off where the sensor is full; then the camera's S-shaped curve, steep or flat, takes it to colour. 0 leaves the
    images as they are.
    """
    if stops == 0 or images.numel() == 0:
        return images
    shape = (*images.shape[:2], 1, 1, 1)
    draw = 2 * torch.rand(shape, generator=generator, device=generator.device).to(images) - 1
    bend = CURVE * (2 * torch.rand(shape[0], 1, 1, 1, 1, generator=generator, device=generator.device).to(images) - 1)
    out = (images * 2 ** (stops * draw / GAMMA_OF_DISPLAYS)).clamp_(0, 1)
    return out + bend * out * (1 - out) * (2 * out - 1)


def _shade(slopes: Tensor, images: Tensor) -> Tensor:
    """Brightness that falls off linearly across the image: slopes (N, 2, 1, 1) -> factors (N, 1, H, W) around 1."""
    height, width = images.shape[-2:]
    y = torch.linspace(-1, 1, height, device=images.device, dtype=images.dtype).unsqueeze(1)
    x = torch.linspace(-1, 1, width, device=images.device, dtype=images.dtype)
    return (1 + slopes[:, :1] * x + slopes[:, 1:] * y).clamp_(min=0.2)


def _blur(images: Tensor, sigma: Tensor) -> Tensor:
    """Gaussian blur of those images (N, 3, H, W) whose sigma (N,) px is above 0.2."""
    chosen = (sigma > 0.2).nonzero().flatten()
    if not chosen.numel():
        return images
    height, width = images.shape[-2:]
    offsets = torch.arange(-BLUR_RADIUS, BLUR_RADIUS + 1, device=images.device, dtype=images.dtype)
    kernel = torch.exp(-0.5 * (offsets / sigma[chosen, None]).square())
    kernel = (kernel / kernel.sum(1, keepdim=True)).repeat_interleave(3, dim=0).unsqueeze(1)
    planes = images[chosen].reshape(1, -1, height, width)
    planes = F.pad(planes, (BLUR_RADIUS,) * 4, mode="replicate")
    planes = F.conv2d(planes, kernel.unsqueeze(2), groups=planes.shape[1])
    planes = F.conv2d(planes, kernel.unsqueeze(3), groups=planes.shape[1])
    return images.index_copy(0, chosen, planes.reshape(-1, 3, height, width))
