"""Motion blur: what the camera sees while its shutter is open, the mean of exact renders around the frame's time."""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor

from traqpoint.data.augment import GAMMA_OF_DISPLAYS
from traqpoint.data.worlds.render import Light, Surfaces, render
from traqpoint.data.worlds.textures import Atlas
from traqpoint.geometry.pixels import pixel_grid
from traqpoint.geometry.transforms import homogeneous, invert_rigid, rigid
from traqpoint.types import map_tensors

SHARP_SHARE = 0.5
"""Share of the frames with a shutter too fast to blur."""
STEP_PX = 2.0
"""A smear is made of renders this far apart: outlines are a pixel soft, so that no steps show."""
QUANTILE = 0.9
"""Of the pixels' speeds; what passes close to the camera may smear as it likes."""
STRIDE_PX = 8
"""Pixels on which speed is measured."""


def draw_smears(shape: tuple[int, int], longest_px: float, generator: torch.Generator) -> Tensor:
    """Length of the blur of each frame (B, T) in pixels: some frames sharp, the others up to `longest_px`."""
    length, sharp = torch.rand((2, *shape), generator=generator, device=generator.device)
    return (longest_px * length * (sharp >= SHARP_SHARE)).cpu()


def velocity(cam_from_world: Tensor) -> tuple[Tensor, Tensor]:
    """Motion at each of T poses (B, T, 4, 4) per frame interval, from the poses before and after it.

    Returns the eye's velocity (B, T, 3) in the world and the rotation vector (B, T, 3) in radians in the camera.
    """
    frames = cam_from_world.shape[1]
    index = torch.arange(frames, device=cam_from_world.device)
    before, after = (index - 1).clamp(min=0), (index + 1).clamp(max=frames - 1)
    interval = (after - before).clamp(min=1).unsqueeze(-1)
    eye, R = invert_rigid(cam_from_world)[..., :3, 3], cam_from_world[..., :3, :3]
    turn = R[:, after] @ R[:, before].transpose(-1, -2)
    axis = torch.stack(
        [
            turn[..., 2, 1] - turn[..., 1, 2],
            turn[..., 0, 2] - turn[..., 2, 0],
            turn[..., 1, 0] - turn[..., 0, 1],
        ],
        dim=-1,
    )
    twice_sine = axis.norm(dim=-1, keepdim=True)
    angle = torch.atan2(twice_sine, turn.diagonal(dim1=-2, dim2=-1).sum(-1, keepdim=True) - 1)
    return (eye[:, after] - eye[:, before]) / interval, axis / twice_sine.clamp(min=1e-12) * angle / interval


def moved(cam_from_world: Tensor, motion: tuple[Tensor, Tensor], time: Tensor) -> Tensor:
    """The poses (N, 4, 4) a `time` (N,) of frame intervals later, by the velocity (N, 3), (N, 3) of each."""
    step, turn = (v * time.unsqueeze(-1) for v in motion)
    x, y, z = turn.unbind(-1)
    zero = torch.zeros_like(x)
    skew = torch.stack([zero, -z, y, z, zero, -x, -y, x, zero], dim=-1).unflatten(-1, (3, 3))
    R = torch.linalg.matrix_exp(skew) @ cam_from_world[:, :3, :3]
    eye = invert_rigid(cam_from_world)[:, :3, 3] + step
    return rigid(R, -(R @ eye.unsqueeze(-1)).squeeze(-1))


def shutter_times(
    depth: Tensor, K: Tensor, cam_from_world: Tensor, motion: tuple[Tensor, Tensor], smear_px: Tensor
) -> Tensor:
    """How long (N,) the shutter has to be open, in frame intervals, for smears of `smear_px` (N,) pixels.

    depth: (N, H, W), K: (N, 3, 3), cam_from_world: (N, 4, 4). 0 where nothing moves.
    """
    height, width = depth.shape[-2:]
    xy = pixel_grid(height, width, STRIDE_PX, depth.device).double()
    z = depth[:, STRIDE_PX // 2 :: STRIDE_PX, STRIDE_PX // 2 :: STRIDE_PX]
    small = torch.full_like(smear_px, 1e-4)
    rays = homogeneous(xy) @ torch.linalg.inv(K).transpose(-1, -2)
    later_from_now = moved(cam_from_world, motion, small) @ invert_rigid(cam_from_world)
    # Sky has no depth; it is as far away as need be.
    points = rays * z.flatten(1).nan_to_num(1e4).unsqueeze(-1).to(rays)
    later = (homogeneous(points) @ later_from_now.transpose(-1, -2))[..., :3] @ K.transpose(-1, -2)
    speed = (later[..., :2] / later[..., 2:].clamp(min=1e-6) - xy).norm(dim=-1).quantile(QUANTILE, dim=1) / small
    return torch.where(speed > 1e-3, smear_px / speed, torch.zeros_like(speed))


def motion_blur(
    images: Tensor,
    depth: Tensor,
    surfaces: Surfaces,
    K: Tensor,
    cam_from_world: Tensor,
    smear_px: Tensor,
    atlas: Atlas,
    light: Light | None = None,
) -> Tensor:
    """`images` (B, T, 3, H, W) as they are with a shutter that opens before and closes after each pose.

    depth, surfaces, K, cam_from_world, atlas, light: as in and out of `render`. smear_px: (B, T), the length of the
    blur. The middle of the exposure is the pose; light, and not the encoded colour, is averaged.
    """
    B, T = smear_px.shape
    frames = (smear_px.flatten() > STEP_PX).nonzero().flatten().to(images.device)
    if not frames.numel():
        return images
    smear = smear_px.flatten().to(frames.device)[frames].double()
    scene = frames // T
    K, pose = K.flatten(0, 1)[frames], cam_from_world.flatten(0, 1)[frames]
    step, turn = (v.flatten(0, 1)[frames] for v in velocity(cam_from_world))
    open_for = shutter_times(depth.flatten(0, 1)[frames], K, pose, (step, turn), smear)
    pairs = (smear / (2 * STEP_PX)).round().clamp(min=1).long()
    # Each pair of renders lies symmetrically about the middle one, which is there already.
    owner = torch.arange(len(frames), device=frames.device).repeat_interleave(2 * pairs)
    number = torch.arange(len(owner), device=frames.device) - ((2 * pairs).cumsum(0) - 2 * pairs)[owner]
    place = number // 2 + 1
    time = torch.where(number % 2 == 0, place, -place) / (2 * pairs + 1)[owner] * open_for[owner]
    poses = moved(pose[owner], (step[owner], turn[owner]), time)
    total = images.flatten(0, 1)[frames].pow(GAMMA_OF_DISPLAYS)
    for part in torch.arange(len(owner), device=frames.device).split(64):
        o = owner[part]
        some = map_tensors(surfaces, partial(torch.index_select, dim=0, index=scene[o]))
        lit = light and Light(*(x.flatten(0, 1)[frames[o], None] for x in (light.shade, light.colour)))
        seen, _ = render(some, K[o, None], poses[part, None], (images.shape[-1], images.shape[-2]), atlas, lit)
        total.index_add_(0, o, seen[:, 0].pow_(GAMMA_OF_DISPLAYS))
    blurred = (total / (2 * pairs + 1)[:, None, None, None]).pow_(1 / GAMMA_OF_DISPLAYS)
    return images.flatten(0, 1).index_copy(0, frames, blurred).unflatten(0, (B, T))
