"""Worlds are drawn by the CPU's generator and rendered where they are wanted."""

from dataclasses import replace

import pytest
import torch
from random_inputs import generator

from traqpoint.data.worlds.config import RICH, WorldsConfig
from traqpoint.data.worlds.source import Worlds

SIZES = {"image_size": (96, 72), "num_frames": 2, "texture_size": 64, "photometric": 0}


@pytest.mark.slow
@pytest.mark.parametrize("config", [WorldsConfig(num_textures=5, **SIZES), replace(RICH, **SIZES)])
def test_every_device_renders_the_same_worlds(config, device):
    a = Worlds(config).sample(4, generator(8))
    b = Worlds(config, device=device).sample(4, generator(8))
    assert a.images.device.type == "cpu" and b.images.device.type == b.geometry.depth.device.type == device.type
    b = b.to("cpu")
    close = torch.isclose(a.geometry.depth, b.geometry.depth, rtol=1e-4, atol=0, equal_nan=True)
    assert close.float().mean() > 0.999
    assert ((a.images - b.images).abs() < 0.01).float().mean() > 0.99
