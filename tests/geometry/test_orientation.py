"""EXIF's eight orientations, against what Pillow makes of them."""

import numpy as np
import pytest
import torch
from PIL import Image, ImageOps

from traqpoint.geometry.orientation import stored_directions_deg, stored_image, stored_xy


@pytest.mark.parametrize("orientation", range(1, 9))
def test_what_is_upright_goes_back_to_where_it_is_stored(orientation):
    stored = np.arange(5 * 7, dtype=np.uint8).reshape(5, 7)
    image = Image.fromarray(stored)
    image.getexif()[0x0112] = orientation
    upright = np.asarray(ImageOps.exif_transpose(image))
    assert (stored_image(upright, orientation) == stored).all()
    height, width = upright.shape
    y, x = np.mgrid[:height, :width]
    xy = torch.from_numpy(np.stack([x, y], axis=-1) + 0.5)
    found = stored_xy(xy, orientation, (width, height)).numpy()
    assert (stored[np.floor(found[..., 1]).astype(int), np.floor(found[..., 0]).astype(int)] == upright).all()


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_direction_goes_where_a_step_along_it_goes(orientation):
    angles = torch.tensor([0.0, 30.0, 145.0, 280.0])
    along = torch.stack([angles.deg2rad().cos(), angles.deg2rad().sin()], -1)
    step = stored_xy(10 + along, orientation, (30, 20)) - stored_xy(torch.full((4, 2), 10.0), orientation, (30, 20))
    found = stored_directions_deg(angles, orientation).deg2rad()
    torch.testing.assert_close(torch.stack([found.cos(), found.sin()], -1), step, atol=1e-5, rtol=0)
