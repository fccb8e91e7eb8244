"""Exact depth and filtered colour of flat pieces: a tiled z-buffer in plain torch, the same on CPU and GPU.

A flat piece is an affine map (s, t) -> 3D, so one 3x3 matrix per camera takes a pixel to (s/z, t/z, 1/z): the piece's
outline, its texture coordinates, its shade and its inverse depth are all affine in the pixel once divided by z.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from traqpoint.data.worlds.textures import Atlas
from traqpoint.geometry.transforms import homogeneous
from traqpoint.types import Device, map_tensors

TILE = 32
OUTLINE_SLACK = 2e-6
"""Pieces are this share larger than they are, so that rounding opens no cracks between neighbours."""
FRAME_PIXELS_PER_CHUNK = {"cpu": 2**16, "cuda": 2**23}
PIXELS_PER_CHUNK = {"cpu": 2**14, "cuda": 2**24}
"""As much as fits a CPU's cache, but at least one frame; a GPU wants to be busy."""
SUBSAMPLES = ((-0.125, -0.375), (0.375, -0.125), (0.125, 0.375), (-0.375, 0.125))
"""Rotated grid inside a pixel, for colours on outlines."""


@dataclass(frozen=True)
class Surfaces:
    """Q flat pieces in each of B scenes: X = origin + s a + t b with s, t in [0, 1].

    origin, a, b: (B, Q, 3) float64; a = b = 0 is an empty place. triangle: (B, Q) bool, only s + t <= 1 exists.
    group: (B, Q) int64, pieces of one smooth surface share it. texture: (B, Q) int64. uv: (B, Q, 2, 3), texture
    coordinates = uv @ (s, t, 1). shade: (B, Q, 3), brightness = shade · (s, t, 1). sky: (B, 2, 3), RGB at the horizon
    and overhead.
    """

    origin: Tensor
    a: Tensor
    b: Tensor
    triangle: Tensor
    group: Tensor
    texture: Tensor
    uv: Tensor
    shade: Tensor
    sky: Tensor

    def to(self, device: Device) -> Surfaces:
        """The same on `device`."""
        return map_tensors(self, lambda x: x.to(device))


@dataclass(frozen=True)
class Light:
    """Light that changes from frame to frame, instead of `Surfaces.shade`.

    shade: (B, T, Q, 3), brightness = shade · (s, t, 1). colour: (B, T, Q, 3), RGB factor of each piece.
    """

    shade: Tensor
    colour: Tensor

    def to(self, device: Device) -> Light:
        return map_tensors(self, lambda x: x.to(device))


def render(
    surfaces: Surfaces,
    K: Tensor,
    cam_from_world: Tensor,
    image_size: tuple[int, int],
    atlas: Atlas,
    light: Light | None = None,
) -> tuple[Tensor, Tensor]:
    """Images (B, T, 3, H, W) in [0, 1] and z-depth (B, T, H, W), NaN for sky.

    K: (B, T, 3, 3), cam_from_world: (B, T, 4, 4) float64. Depth is that of the pixel's centre; on outlines the colour,
    and never the depth, is the mean of four samples.
    """
    width, height = image_size
    images, depths, frames = [], [], 0
    for scene, pieces, pixel_from_world in _chunks(surfaces, K, cam_from_world, width * height):
        part = slice(frames, frames + len(scene))
        frames += len(scene)
        shade = surfaces.shade[scene] if light is None else light.shade.flatten(0, 1)[part]
        colour = None if light is None else light.colour.flatten(0, 1)[part]
        ident, inverse_depth = _visible(pieces, surfaces.triangle[scene], width, height)
        images.append(_colours(surfaces, scene, pieces, pixel_from_world, ident, inverse_depth, atlas, shade, colour))
        depths.append(_depth(inverse_depth))
    shape = K.shape[:2]
    return torch.cat(images).unflatten(0, shape), torch.cat(depths).unflatten(0, shape)


def render_depth(surfaces: Surfaces, K: Tensor, cam_from_world: Tensor, image_size: tuple[int, int]) -> Tensor:
    """The depth of `render` alone: (B, T, H, W)."""
    width, height = image_size
    chunks = _chunks(surfaces, K, cam_from_world, width * height)
    depths = [_depth(_visible(pieces, surfaces.triangle[scene], width, height)[1]) for scene, pieces, _ in chunks]
    return torch.cat(depths).unflatten(0, K.shape[:2])


def _chunks(
    surfaces: Surfaces, K: Tensor, cam_from_world: Tensor, pixels: int
) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """As many frames of `pixels` at a time as there is room for: scene numbers (F,), pixel-to-piece matrices
    (F, Q, 3, 3), direction-to-pixel (F, 3, 3)."""
    B, T = K.shape[:2]
    scene = torch.arange(B, device=K.device).repeat_interleave(T)
    K, pose = K.flatten(0, 1).double(), cam_from_world.flatten(0, 1).double()
    step = max(1, FRAME_PIXELS_PER_CHUNK.get(K.device.type, 2**16) // pixels)
    for i in range(0, B * T, step):
        part = slice(i, i + step)
        R, t = pose[part, None, :3, :3], pose[part, None, :3, 3]
        columns = (surfaces.a[scene[part]], surfaces.b[scene[part]], surfaces.origin[scene[part]])
        a, b, o = ((R @ x.unsqueeze(-1)).squeeze(-1) for x in columns)
        o = o + t
        rows = torch.stack([torch.linalg.cross(b, o), torch.linalg.cross(o, a), torch.linalg.cross(a, b)], dim=-2)
        volume = (rows[..., 2, :] * o).sum(-1)[..., None, None]
        # A piece seen exactly from its edge, or an empty place, has no volume with the eye and is never hit.
        from_ray = torch.where(volume.abs() > 1e-12, rows / volume, torch.zeros_like(rows))
        yield scene[part], from_ray @ torch.linalg.inv(K[part]).unsqueeze(1), K[part] @ R[:, 0]


def _outline(pieces: Tensor, triangle: Tensor) -> Tensor:
    """Rows (F, Q, 5, 3) affine in the pixel: four edges, not negative inside, and the inverse depth."""
    s, t, w = pieces.unbind(-2)
    u_end = torch.where(triangle.unsqueeze(-1), w - s - t, w - s)
    v_end = torch.where(triangle.unsqueeze(-1), w - s - t, w - t)
    edges = torch.stack([s, u_end, t, v_end], dim=-2) + OUTLINE_SLACK * w.unsqueeze(-2)
    return torch.cat([edges, w.unsqueeze(-2)], dim=-2)


def _visible(pieces: Tensor, triangle: Tensor, width: int, height: int) -> tuple[Tensor, Tensor]:
    """Number of the nearest piece (F, H, W), -1 for sky, and its inverse depth (F, H, W), 0 for sky."""
    F, Q = pieces.shape[:2]
    device = pieces.device
    columns, rows = -(-width // TILE), -(-height // TILE)
    x = (torch.arange(columns, device=device, dtype=pieces.dtype) + 0.5) * TILE
    y = (torch.arange(rows, device=device, dtype=pieces.dtype) + 0.5) * TILE
    outline = _outline(pieces, triangle)
    slope_x, slope_y, constant = outline.unbind(-1)
    # (F, rows, columns, Q, 5): values at the tile's centre, and how far they go up and down within the tile.
    centre = (
        constant[:, None, None]
        + slope_x[:, None, None] * x[:, None, None]
        + (slope_y[:, None, None] * y[:, None, None, None])
    )
    reach = ((slope_x.abs() + slope_y.abs()) * ((TILE - 1) / 2))[:, None, None]
    nearest, farthest = (centre + reach)[..., 4], (centre - reach)[..., 4]
    overlaps = ((centre + reach)[..., :4] >= 0).all(-1) & (nearest > 0)
    covers = ((centre - reach)[..., :4] >= 0).all(-1) & (farthest > 0)
    # What lies behind a piece that fills the whole tile is never seen.
    wall = torch.where(covers, farthest, torch.zeros_like(farthest)).amax(-1, keepdim=True)
    candidates = (overlaps & (nearest >= wall)).flatten(0, 2)

    # Tiles with many candidates first: those that still have a k-th one are then a slice.
    counts, order = candidates.sum(1).sort(descending=True, stable=True)
    piece = candidates[order].nonzero()[:, 1]
    starts = counts.cumsum(0) - counts
    remaining = (counts.unsqueeze(0) > torch.arange(Q, device=device).unsqueeze(1)).sum(1).tolist()
    local = torch.arange(TILE, device=device, dtype=torch.float32) - (TILE - 1) / 2
    best = torch.zeros(len(order), TILE, TILE, device=device)
    ident = torch.full((len(order), TILE, TILE), -1, device=device, dtype=torch.int32)
    frame = order // (rows * columns)
    centre = centre.flatten(0, 2)
    for k, n in enumerate(remaining):
        if n == 0:
            break
        q = piece[starts[:n] + k]
        slopes = outline[frame[:n], q].float()
        across = centre[order[:n], q].float().unsqueeze(-1) + slopes[..., :1] * local
        down = slopes[..., 1:2] * local
        edge = across[:, 0, None, :] + down[:, 0, :, None]
        for i in range(1, 4):
            torch.minimum(edge, across[:, i, None, :] + down[:, i, :, None], out=edge)
        inverse_depth = across[:, 4, None, :] + down[:, 4, :, None]
        inverse_depth.masked_fill_(edge < 0, 0)
        torch.where(inverse_depth > best[:n], q.int()[:, None, None], ident[:n], out=ident[:n])
        torch.maximum(inverse_depth, best[:n], out=best[:n])
    back = order.argsort()

    def assembled(tiles: Tensor) -> Tensor:
        grid = tiles[back].reshape(F, rows, columns, TILE, TILE).transpose(2, 3)
        return grid.reshape(F, rows * TILE, columns * TILE)[:, :height, :width]

    return assembled(ident), assembled(best)


def _depth(inverse_depth: Tensor) -> Tensor:
    return torch.where(inverse_depth > 0, 1 / inverse_depth, torch.full_like(inverse_depth, torch.nan))


def _colours(
    surfaces: Surfaces,
    scene: Tensor,
    pieces: Tensor,
    pixel_from_world: Tensor,
    ident: Tensor,
    inverse_depth: Tensor,
    atlas: Atlas,
    shade: Tensor,
    colour: Tensor | None,
) -> Tensor:
    """(F, 3, H, W): one sample per pixel, four where the outline of a surface passes. shade, colour: see Light."""
    F, height, width = ident.shape
    Q = pieces.shape[1]
    uv = surfaces.uv[scene].to(pieces) @ pieces
    brightness = shade.to(pieces).unsqueeze(-2) @ pieces
    # Per piece: u/z, v/z, 1/z, brightness/z as functions of the pixel.
    table = torch.cat([uv, pieces[..., 2:, :], brightness], dim=-2).reshape(F * Q, 12).float().t().contiguous()
    texture = surfaces.texture[scene].flatten()
    tint = None if colour is None else colour.reshape(F * Q, 3).float()
    offset = torch.arange(F, device=ident.device)[:, None, None] * Q
    number = torch.where(ident >= 0, ident + offset, -1 - torch.arange(F, device=ident.device)[:, None, None])
    world_from_pixel = torch.linalg.inv(pixel_from_world).float()

    def shaded(number: Tensor, xy: Tensor) -> Tensor:
        piece = number.clamp(min=0)
        out = _sample_pieces(table, texture, piece, xy, atlas)
        if tint is not None:
            out *= tint.index_select(0, piece)
        sky = (number < 0).nonzero().flatten()
        if sky.numel():
            frame = -1 - number[sky]
            rays = (world_from_pixel[frame] @ homogeneous(xy[:, sky].t()).unsqueeze(-1)).squeeze(-1)
            up = (-rays[:, 1:2] / rays.norm(dim=-1, keepdim=True)).clamp(0, 1).sqrt()
            horizon, overhead = surfaces.sky[scene[frame]].float().unbind(1)
            out[sky] = horizon + up * (overhead - horizon)
        return out

    x = (torch.arange(width, device=ident.device) + 0.5).expand(F, height, -1)
    y = (torch.arange(height, device=ident.device) + 0.5).unsqueeze(1).expand(F, -1, width)
    xy = torch.stack([x.flatten(), y.flatten()])
    colours = shaded(number.flatten(), xy)
    edge, neighbours = _outline_pixels(surfaces.group[scene].flatten(), number, inverse_depth)
    if edge.numel():
        outline = _outline(pieces, surfaces.triangle[scene]).reshape(F * Q, 15).float().t().contiguous()
        xy = xy.index_select(1, edge)
        slopes = outline.index_select(1, neighbours.flatten().clamp(min=0)).reshape(5, 3, -1, neighbours.shape[1])
        slope_x, slope_y, constant = slopes.unbind(1)
        centre = constant.addcmul_(slope_x, xy[0].unsqueeze(1)).addcmul_(slope_y, xy[1].unsqueeze(1))
        total = torch.zeros(edge.numel(), 3, device=ident.device)
        for dx, dy in SUBSAMPLES:
            front = _front(torch.add(centre, slope_x, alpha=dx).add_(slope_y, alpha=dy), neighbours)
            total += shaded(front, xy + xy.new_tensor([[dx], [dy]]))
        colours[edge] = total / len(SUBSAMPLES)
    return colours.clamp_(0, 1).reshape(F, height * width, 3).transpose(1, 2).reshape(F, 3, height, width)


def _sample_pieces(table: Tensor, texture: Tensor, number: Tensor, xy: Tensor, atlas: Atlas) -> Tensor:
    """Texture times shade (P, 3) of pieces `number` (P,) at pixels xy (2, P); their table and texture, see _colours."""
    step = PIXELS_PER_CHUNK.get(number.device.type, 2**14)
    if number.numel() > step:
        parts = zip(number.split(step), xy.split(step, dim=1), strict=True)
        return torch.cat([_sample_pieces(table, texture, n, p, atlas) for n, p in parts])
    ux, uy, u1, vx, vy, v1, wx, wy, w1, lx, ly, l1 = table.index_select(1, number)
    x, y = xy
    z = torch.addcmul(w1, wx, x).addcmul_(wy, y).reciprocal_()
    u = torch.addcmul(u1, ux, x).addcmul_(uy, y).mul_(z)
    v = torch.addcmul(v1, vx, x).addcmul_(vy, y).mul_(z)
    light = torch.addcmul(l1, lx, x).addcmul_(ly, y).mul_(z)
    # How the texture coordinates change from one pixel to the next, across and down.
    ax, bx = ux.addcmul_(u, wx, value=-1).mul_(z), vx.addcmul_(v, wx, value=-1).mul_(z)
    ay, by = uy.addcmul_(u, wy, value=-1).mul_(z), vy.addcmul_(v, wy, value=-1).mul_(z)
    across, down = (ax * ax).addcmul_(bx, bx), (ay * ay).addcmul_(by, by)
    wide = across > down
    major = torch.maximum(across, down).sqrt_().clamp_(min=1e-12)
    minor = (ax * by).addcmul_(ay, bx, value=-1).abs_().div_(major)
    probe = (torch.where(wide, ax, ay).mul_(0.25), torch.where(wide, bx, by).mul_(0.25))
    footprint = torch.maximum(minor, major.mul_(0.5))
    return atlas.sample(texture.index_select(0, number), (u, v), footprint, probe).mul_(light.unsqueeze(1))


def _outline_pixels(group: Tensor, number: Tensor, inverse_depth: Tensor) -> tuple[Tensor, Tensor]:
    """Flat indices (E,) of pixels beside another surface, and the pieces (E, 5) seen there and next to it."""
    surface = torch.where(number >= 0, group[number.clamp(min=0)], -1)
    differs = torch.zeros_like(number, dtype=torch.bool)
    for near, far in ((slice(None, -1), slice(1, None)), (slice(1, None), slice(None, -1))):
        for a, b in (((slice(None), near), (slice(None), far)), ((..., near), (..., far))):
            w, other = inverse_depth[a], inverse_depth[b]
            # A surface may also pass in front of itself.
            differs[a] |= (surface[a] != surface[b]) | ((w - other).abs() > 0.1 * torch.maximum(w, other))
    edge = differs.flatten().nonzero().flatten()
    height, width = number.shape[1:]
    column, row = edge % width, edge // width % height
    left, right = edge - (column > 0).long(), edge + (column < width - 1).long()
    above, below = edge - width * (row > 0).long(), edge + width * (row < height - 1).long()
    return edge, number.flatten()[torch.stack([edge, left, right, above, below], dim=1)]


def _front(values: Tensor, candidates: Tensor) -> Tensor:
    """Which of the candidates (E, 5) is nearest (E,), by their outline's values (5, E, 5) there; else the first one."""
    inside = torch.minimum(torch.minimum(values[0], values[1]), torch.minimum(values[2], values[3])) >= 0
    depth = values[4] * (inside & (values[4] > 0))
    # Sky lies behind everything, and in front of nothing at all.
    depth.masked_fill_(candidates < 0, 1e-9)
    return candidates.gather(1, depth.argmax(dim=1, keepdim=True)).squeeze(1)
