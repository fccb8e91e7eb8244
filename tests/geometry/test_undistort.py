"""Pictures of lenses become those of pinhole cameras, and their depth with them."""

import torch

from traqpoint.geometry.camera import Camera
from traqpoint.geometry.pixels import pixel_grid
from traqpoint.geometry.undistort import undistort

W, H, F = 80, 60, 70.0


def test_undistortion_gives_the_picture_of_a_pinhole_camera():
    def scene(rays):
        return (0.5 + 0.2 * torch.sin(6 * rays[..., 0]) + 0.2 * torch.cos(5 * rays[..., 1])).float()

    camera = Camera("SIMPLE_RADIAL", (W, H), torch.tensor([F, 40.0, 30.0, -0.15]))
    pinhole = Camera("PINHOLE", (W, H), torch.tensor([F, F, 40.0, 30.0]))
    pictures = [scene(c.unproject(pixel_grid(H, W))).reshape(1, H, W).expand(3, -1, -1) for c in (camera, pinhole)]
    assert float((undistort(pictures[0], camera)[0] - pictures[1]).abs().max()) < 0.01
    assert float((pictures[0] - pictures[1]).abs().max()) > 0.05


def test_depth_is_undistorted_with_its_image_and_unknown_beyond_it():
    """Single depths are taken, none is blended; the picture's border is repeated, the depth's is not."""
    camera = Camera("SIMPLE_RADIAL", (W, H), torch.tensor([F, 40.0, 30.0, 0.4]))  # a pincushion shows less than K says
    depth = (pixel_grid(H, W)[:, 0].floor() + 1).reshape(H, W)
    depth[10, 10] = torch.nan
    image, straight = undistort(depth.expand(3, -1, -1) / W, camera, depth)
    known = straight.isfinite()
    assert 0.5 < float(known.float().mean()) < 1 and set(straight[known].tolist()) <= set(range(1, W + 1))
    assert bool(image.nan_to_num(0).isfinite().all()) and not bool(known[0, 0])
    inner = known & (image[0].isfinite())
    assert float((image[0] * W - straight)[inner].abs().max()) < 0.75
    assert undistort(image, camera.pinhole, depth) == (image, depth)
