import pytest
import torch

from traqpoint.geometry.warp import HomographyGeometry
from traqpoint.policy.advantage import advantages, leave_one_out
from traqpoint.policy.config import PRESETS, PolicyConfig
from traqpoint.policy.distinctiveness import distance_ratio, distinctiveness_reward
from traqpoint.policy.rank import rank_reward
from traqpoint.policy.redetection import redetection_map
from traqpoint.policy.reward import frame_maps, point_rewards, reward_map

RANK = PolicyConfig(consistency="rank", rank_window_px=5, combination="mean")


def test_rank_is_one_minus_the_share_of_pixels_that_beat_the_projection():
    logits = torch.arange(25.0).reshape(1, 5, 5)
    xy = torch.tensor([[[2.5, 2.5], [4.5, 4.5]]])
    reward = rank_reward(logits, xy, 5, floor=0.2)
    assert reward[0, 0].item() == pytest.approx((12 / 25 - 0.2) / 0.8)
    assert reward[0, 1].item() == pytest.approx((8 / 9 - 0.2) / 0.8)  # 9 pixels of its window are in the image


def test_rank_below_the_floor_earns_nothing():
    logits = torch.arange(25.0).reshape(1, 5, 5)
    assert rank_reward(logits, torch.tensor([[[0.5, 0.5]]]), 5, floor=0.2).item() == 0


def test_a_higher_logit_never_ranks_lower():
    torch.manual_seed(0)
    logits = torch.randn(1, 9, 9)
    xy = torch.tensor([[[4.5, 4.5]]])
    last = -1.0
    for value in torch.linspace(-3, 3, 20):
        logits[0, 4, 4] = value
        reward = rank_reward(logits, xy, 7, floor=0.2).item()
        assert reward >= last
        last = reward


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


def test_ratio_is_brute_force_nearest_outside_the_radius():
    torch.manual_seed(0)
    normal = torch.nn.functional.normalize
    reference, found, others = (normal(torch.randn(1, n, 8), dim=-1) for n in (5, 5, 30))
    xy, xy_others = torch.rand(1, 5, 2) * 20, torch.rand(1, 30, 2) * 20
    ratio = distance_ratio(reference, found, others, xy, xy_others, radius=6.0)
    for i in range(5):
        far = (xy_others[0] - xy[0, i]).norm(dim=-1) > 6
        d2 = (others[0][far] - reference[0, i]).norm(dim=-1).min()
        assert ratio[0, i].item() == pytest.approx(((reference[0, i] - found[0, i]).norm() / d2).item(), rel=1e-4)


def test_distinctiveness_falls_linearly_to_zero_at_the_ceiling():
    ratio = torch.tensor([0.0, 0.425, 0.85, 2.0])
    assert distinctiveness_reward(ratio, 0.85).tolist() == pytest.approx([1, 0.5, 0, 0])


def test_leave_one_out_is_the_mean_of_the_others():
    reward = torch.tensor([[1.0, 2.0, 6.0, 100.0]])
    counted = torch.tensor([[True, True, True, False]])
    assert leave_one_out(reward, counted)[0, :3].tolist() == [4.0, 3.5, 1.5]
    alone = torch.tensor([[True, False, False, False]])
    assert leave_one_out(reward, alone)[0, 0] == 0


def test_uncounted_points_have_no_advantage_and_change_nobody_elses():
    reward = torch.tensor([[0.1, 0.9, 0.5]])
    counted = torch.tensor([[True, True, False]])
    config = PolicyConfig(estimator="sampled")
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


@pytest.mark.parametrize("config", [RANK, PolicyConfig(window_px=7, candidate_stride=1)], ids=["rank", "redetection"])
def test_permuting_points_permutes_rewards(config):
    logits, descriptors, geometry = scene()
    frames = [frame_maps(l, d, config) for l, d in zip(logits, descriptors, strict=True)]
    xy = torch.rand(1, 20, 2) * 32
    order = torch.randperm(20)
    reward = point_rewards(frames, geometry, 0, xy, config).reward
    assert torch.allclose(point_rewards(frames, geometry, 0, xy[:, order], config).reward, reward[:, order], atol=1e-5)


def test_a_point_that_no_frame_sees_earns_zero_and_is_marked():
    logits, descriptors, geometry = scene()
    frames = [frame_maps(l, d, RANK) for l, d in zip(logits, descriptors, strict=True)]
    result = point_rewards(frames, geometry, 0, torch.tensor([[[0.5, 0.5], [16.5, 16.5]]]), RANK)
    assert result.seen[0].tolist() == [0, 2]
    assert result.reward[0, 0] == 0
    assert result.reward[0, 1] > 0


def test_the_dense_map_agrees_with_the_reward_of_single_points():
    config = PolicyConfig(window_px=7, candidate_stride=1)
    logits, descriptors, geometry = scene(B=2)
    frames = [frame_maps(l, d, config) for l, d in zip(logits, descriptors, strict=True)]
    dense = reward_map(frames, geometry, 1, config)
    ys, xs = torch.tensor([5, 16, 31]), torch.tensor([9, 20, 0])
    xy = (torch.stack([xs, ys], -1) + 0.5).expand(2, -1, -1)
    points = point_rewards(frames, geometry, 1, xy, config)
    assert torch.allclose(dense.reward[:, ys, xs], points.reward, atol=1e-3)  # interpolation at the candidates rounds
    assert torch.equal(dense.seen[:, ys, xs], points.seen)


def test_invisible_pixels_send_no_nan_into_the_gradient():
    config = PolicyConfig(window_px=7, target_gradient=True)
    logits, descriptors, geometry = scene()
    leaves = [l.clone().requires_grad_() for l in logits]
    frames = [frame_maps(l, d, config) for l, d in zip(leaves, descriptors, strict=True)]
    reward_map(frames, geometry, 0, config).reward.sum().backward()
    assert all(torch.isfinite(l.grad).all() for l in leaves if l.grad is not None)
    assert leaves[1].grad.abs().max() > 0  # the target's policy is credited
    assert leaves[0].grad is None  # the reference's own logits enter through its policy only


def test_duplicated_descriptors_earn_nothing_for_distinctiveness():
    logits, descriptors, geometry = scene()
    same = [torch.ones_like(d) for d in descriptors]
    config = PolicyConfig(window_px=7, combination="mean")
    frames = [frame_maps(torch.zeros_like(l), d, config) for l, d in zip(logits, same, strict=True)]
    result = point_rewards(frames, geometry, 0, torch.tensor([[[16.5, 16.5]]]), config)
    blunt = redetection_map(torch.zeros_like(logits[0]), 7, config.localization_px)[0, 16, 16].item()
    # d1 = 0 would be a perfect ratio: numerically d2 is as small, and neither may pass for unique by more than noise.
    assert result.reward.item() == pytest.approx(blunt / 2, abs=0.51)


def test_presets_are_named_after_what_they_reproduce():
    assert set(PRESETS) == {"traqpoint", "paper"}
    assert PRESETS["traqpoint"] == PolicyConfig()
