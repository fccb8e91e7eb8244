import math

import pytest
import torch

from traqpoint.geometry.pixels import pixel_grid
from traqpoint.geometry.warp import HomographyGeometry
from traqpoint.policy.advantage import advantages, mean_of_others
from traqpoint.policy.config import SampledConfig, changed
from traqpoint.policy.distinctiveness import distance_ratio, distinctiveness_reward, exclude_near
from traqpoint.policy.distribution import IMPOSSIBLE
from traqpoint.policy.frame import FrameMaps, Points, lattice
from traqpoint.policy.maximum import maximum_map
from traqpoint.policy.rank import rank_at, rank_map
from traqpoint.policy.redetection import redetection_map
from traqpoint.policy.reward import track_reward
from traqpoint.policy.reward_config import RankConfig, RedetectionConfig, RewardConfig

RANK = RewardConfig(terms=(("rank", 1.0), ("distinctiveness", 1.0)), combination="mean", rank=RankConfig(window_px=5))
REDETECTION = RewardConfig(redetection=RedetectionConfig(window_px=7))


def centred(logits, side, floor=0.2):
    return rank_map(logits, side, "centred", floor)


def test_rank_is_one_minus_the_share_of_pixels_that_beat_the_projection():
    logits = torch.arange(25.0).reshape(1, 5, 5)
    reward = centred(logits, 5)
    assert reward[0, 2, 2].item() == pytest.approx((12 / 25 - 0.2) / 0.8)
    assert reward[0, 4, 4].item() == pytest.approx((8 / 9 - 0.2) / 0.8)  # 9 pixels of its window are in the image


def test_rank_below_the_floor_earns_nothing():
    assert centred(torch.arange(25.0).reshape(1, 5, 5), 5)[0, 0, 0].item() == 0


def test_equal_logits_do_not_outrank_each_other():
    assert centred(torch.zeros(1, 6, 6), 3).abs().max() == 0
    assert rank_map(torch.zeros(1, 6, 6), 3, "cell", 0.2).abs().max() == 0


def test_impossible_pixels_are_not_outranked():
    logits = torch.full((1, 5, 5), IMPOSSIBLE)
    logits[0, 2, 2:4] = torch.tensor([1.0, 2.0])
    for window in ("centred", "cell"):
        reward = rank_map(logits, 5, window, 0.0)
        assert reward[0, 2, 3].item() == 0.5 and reward.sum() == 0.5


@pytest.mark.parametrize("shape", [(12, 12), (13, 17), (3, 20)])
def test_ranks_at_points_are_those_of_the_map(shape):
    torch.manual_seed(0)
    logits = torch.randn(2, *shape)
    xy = torch.rand(2, 50, 2) * torch.tensor([shape[1], shape[0]])
    xy[0, 0] = torch.nan
    found = rank_at(logits, xy, 7, 0.2)
    assert torch.isnan(found[0, 0])
    pixel = xy.nan_to_num(0).long()
    expected = centred(logits, 7)[torch.arange(2)[:, None], pixel[..., 1], pixel[..., 0]]
    assert torch.equal(found.flatten()[1:], expected.flatten()[1:])


def test_the_released_codes_rank_counts_inside_fixed_cells_of_any_image_size():
    torch.manual_seed(0)
    logits = torch.randn(1, 7, 10)
    out = rank_map(logits, 4, "cell", 0.0)
    for y, x in ((0, 0), (3, 9), (6, 5), (6, 9)):
        rows, columns = slice(y // 4 * 4, y // 4 * 4 + 4), slice(x // 4 * 4, x // 4 * 4 + 4)
        cell = logits[0, rows, columns]
        assert out[0, y, x].item() == pytest.approx((cell < logits[0, y, x]).float().mean().item())


@pytest.mark.parametrize("window", ["centred", "cell"])
def test_a_higher_logit_never_ranks_lower(window):
    torch.manual_seed(0)
    logits = torch.randn(1, 9, 9)
    last = -1.0
    for value in torch.linspace(-3, 3, 20):
        logits[0, 4, 4] = value
        reward = rank_map(logits, 7, window, 0.2)[0, 4, 4].item()
        assert reward >= last
        last = reward


def test_closeness_to_the_nearest_maximum_falls_with_the_distance():
    logits = torch.zeros(1, 11, 11)
    logits += -torch.arange(11.0) * 0.01 - torch.arange(11.0)[:, None] * 0.02  # a slope has its maximum at its corner
    logits[0, 5, 5] = 1.0
    out = maximum_map(logits, sigma=1.0)
    assert out[0, 5, 5] == 1
    for dy, dx in ((0, 1), (1, 1), (2, -1)):
        assert out[0, 5 + dy, 5 + dx].item() == pytest.approx(math.exp(-(dy * dy + dx * dx) / 2))
    assert out[0, 9, 9] == 0


def test_redetection_equals_its_definition():
    torch.manual_seed(0)
    logits = torch.randn(1, 9, 11)
    out = redetection_map(logits, 5, 0.8)
    for y, x in ((4, 5), (0, 0), (8, 3)):
        total = near = 0.0
        for v in range(9):
            for u in range(11):
                weight = logits[0, v, u].exp().item()
                if abs(v - y) <= 2 and abs(u - x) <= 2:
                    total += weight
                    near += weight * torch.exp(torch.tensor(-((v - y) ** 2 + (u - x) ** 2) / (2 * 0.8**2))).item()
        assert out[0, y, x].item() == pytest.approx(near / total, rel=1e-4)


def test_redetection_is_one_on_an_isolated_spike_and_survives_any_offset_of_the_logits():
    logits = torch.zeros(1, 15, 15)
    logits[0, 7, 7] = 30
    for offset in (-500.0, 0.0, 500.0):
        out = redetection_map(logits + offset, 9, 1.0)
        assert out[0, 7, 7].item() == pytest.approx(1, abs=1e-4)
        assert out[0, 7, 9].item() == pytest.approx(torch.exp(torch.tensor(-2.0)).item(), abs=1e-3)


def test_redetection_of_a_window_does_not_depend_on_how_good_the_rest_of_the_frame_is():
    torch.manual_seed(0)
    logits = 10 * torch.randn(1, 40, 40)
    logits[0, 30:, 30:] = IMPOSSIBLE
    alone = redetection_map(logits, 9, 0.7)
    ramp = logits + 1500 * (torch.arange(40) < 10)  # a bright column of the frame, far above exp's range
    ramp = torch.where(logits > IMPOSSIBLE / 2, ramp, logits)
    out = redetection_map(ramp, 9, 0.7)
    torch.testing.assert_close(out[:, :, 14:], alone[:, :, 14:], atol=1e-4, rtol=1e-3)
    torch.testing.assert_close(out[:, :, :6], alone[:, :, :6], atol=1e-4, rtol=1e-3)
    assert alone[0, 14:].sum() > 10 and (out[0, 36:, 36:] == 0).all()


@pytest.mark.parametrize(
    ("stride", "shape", "radius"), [(4, (20, 24), 6.0), (8, (21, 30), 6.0), (3, (17, 11), 9.5), (8, (17, 9), 3.0)]
)
def test_ratio_is_brute_force_nearest_outside_the_radius(stride, shape, radius):
    torch.manual_seed(0)
    normal = torch.nn.functional.normalize
    centres = pixel_grid(*shape, stride)
    reference, found = (normal(torch.randn(1, 40, 8), dim=-1) for _ in range(2))
    others = normal(torch.randn(1, len(centres), 8), dim=-1)
    xy = torch.rand(1, 40, 2) * (torch.tensor([shape[1], shape[0]]) + 10) - 5  # some lie outside the image
    similarity = exclude_near(reference @ others.transpose(1, 2), xy, stride, shape, radius)
    ratio = distance_ratio(reference, found, similarity)
    for i in range(40):
        far = (centres - xy[0, i]).norm(dim=-1) > radius
        d2 = (others[0][far] - reference[0, i]).norm(dim=-1).min()
        assert ratio[0, i].item() == pytest.approx(((reference[0, i] - found[0, i]).norm() / d2).item(), rel=1e-4)


def test_distinctiveness_falls_linearly_to_zero_at_the_ceiling():
    ratio = torch.tensor([0.0, 0.425, 0.85, 2.0])
    assert distinctiveness_reward(ratio, 0.85).tolist() == pytest.approx([1, 0.5, 0, 0])


def test_leave_one_out_is_the_mean_of_the_others():
    reward = torch.tensor([[1.0, 2.0, 6.0, 100.0]])
    counted = torch.tensor([[True, True, True, False]])
    assert mean_of_others(reward, counted)[0, :3].tolist() == [4.0, 3.5, 1.5]
    alone = torch.tensor([[True, False, False, False]])
    assert mean_of_others(reward, alone)[0, 0] == 0


def test_uncounted_points_have_no_advantage_and_change_nobody_elses():
    reward = torch.tensor([[0.1, 0.9, 0.5]])
    counted = torch.tensor([[True, True, False]])
    config = SampledConfig()
    a = advantages(reward, counted, config)
    b = advantages(torch.tensor([[0.1, 0.9, float("nan")]]), counted, config)
    assert a[0, 2] == 0
    assert torch.equal(a, b)


def scene(B=1, T=3, side=32, seed=0):
    """T identical frames of one plane, shifted by whole pixels, with random logits that move along."""
    torch.manual_seed(seed)
    plane_logits = torch.randn(B, side + 8, side + 8) * 3
    plane_descriptors = torch.randn(B, 8, side + 8, side + 8)
    H, logits, descriptors = [], [], []
    for t in range(T):
        H.append(torch.tensor([[1.0, 0, -2.0 * t], [0, 1, -1.0 * t], [0, 0, 1]]).expand(B, 3, 3))
        logits.append(plane_logits[:, t : t + side, 2 * t : 2 * t + side])
        descriptors.append(plane_descriptors[:, :, t : t + side, 2 * t : 2 * t + side])
    mask = torch.ones(B, T, side, side, dtype=torch.bool)
    return logits, descriptors, HomographyGeometry(torch.stack(H, 1), mask)


def frame_maps(logits, descriptors):
    return [FrameMaps(l, d) for l, d in zip(logits, descriptors, strict=True)]


@pytest.mark.parametrize(
    "config", [RANK, changed(REDETECTION, distinctiveness={"stride": 1})], ids=["rank", "redetection"]
)
def test_permuting_points_permutes_rewards(config):
    logits, descriptors, geometry = scene()
    frames = frame_maps(logits, descriptors)
    xy = torch.rand(1, 20, 2) * 32
    order = torch.randperm(20)
    reward = track_reward(Points(frames[0], xy), 0, frames, geometry, config).reward
    permuted = track_reward(Points(frames[0], xy[:, order]), 0, frames, geometry, config).reward
    assert torch.allclose(permuted, reward[:, order], atol=1e-5)


def test_a_point_that_no_frame_sees_earns_zero_and_is_marked():
    logits, descriptors, geometry = scene()
    frames = frame_maps(logits, descriptors)
    points = Points(frames[0], torch.tensor([[[0.5, 0.5], [16.5, 16.5]]]))
    result = track_reward(points, 0, frames, geometry, RANK)
    assert result.seen[0].tolist() == [0, 2]
    assert result.reward[0, 0] == 0
    assert result.reward[0, 1] > 0


@pytest.mark.parametrize("term", ["redetection", "rank", "maximum"])
@pytest.mark.parametrize("start", [(0, 0), (1, 2)])
def test_the_lattice_agrees_with_the_reward_of_single_points(term, start):
    config = changed(
        REDETECTION,
        terms=((term, 1.0), ("distinctiveness", 0.8)),
        gates=("similarity",),
        rank={"window_px": 7},
        distinctiveness={"stride": 1},
        similarity={"stride": 1, "threshold": 0.0},
    )
    logits, descriptors, geometry = scene(B=2)
    frames = frame_maps(logits, descriptors)
    points = lattice(frames[1], 4, start)
    dense = track_reward(points, 1, frames, geometry, config)
    ys, xs = torch.meshgrid(torch.arange(start[0], 32, 4), torch.arange(start[1], 32, 4), indexing="ij")
    xy = (torch.stack([xs, ys], -1) + 0.5).reshape(1, -1, 2).expand(2, -1, -1)
    few = track_reward(Points(frames[1], xy), 1, frames, geometry, config)
    assert points.as_map(dense.reward).shape == (2, 8, 8)
    assert torch.allclose(dense.reward, few.reward, atol=1e-3)  # bilinear reading of the maps rounds
    assert torch.equal(dense.seen, few.seen)


def test_invisible_pixels_send_no_nan_into_the_gradient():
    config = changed(REDETECTION, redetection={"target_gradient": True})
    logits, descriptors, geometry = scene()
    leaves = [l.clone().requires_grad_() for l in logits]
    frames = frame_maps(leaves, descriptors)
    track_reward(lattice(frames[0], 2), 0, frames, geometry, config).reward.sum().backward()
    assert all(torch.isfinite(l.grad).all() for l in leaves if l.grad is not None)
    assert leaves[1].grad.abs().max() > 0  # the target's policy is credited
    assert leaves[0].grad is None  # the reference's own logits enter through its policy only


def test_duplicated_descriptors_earn_nothing_for_distinctiveness():
    logits, descriptors, geometry = scene()
    frames = [FrameMaps(torch.zeros_like(l), torch.ones_like(d)) for l, d in zip(logits, descriptors, strict=True)]
    config = RewardConfig(terms=(("distinctiveness", 1.0),))
    xy = torch.rand(1, 30, 2) * 20 + 6
    assert track_reward(Points(frames[0], xy), 0, frames, geometry, config).reward.max() == 0
