"""Nothing of the method makes a tensor on another device than its inputs': all of it runs on `meta`, which refuses to
mix with the CPU."""

from dataclasses import replace

import pytest
import torch

from traqpoint.geometry.sparse import SparseGeometry
from traqpoint.geometry.warp import DepthGeometry, HomographyGeometry
from traqpoint.policy import loss as L
from traqpoint.policy import redetection
from traqpoint.policy.advantage import advantages
from traqpoint.policy.distribution import restrict
from traqpoint.policy.presets import PRESETS
from traqpoint.policy.reward import frame_maps, lattice_rewards, point_rewards
from traqpoint.policy.sampling import sample_hybrid, scored_by_image

B, T, SIDE, POINTS = 2, 3, 48, 9
OURS = PRESETS["traqpoint"]
CONFIGS = {
    **PRESETS,
    "rank": replace(OURS, consistency="rank"),
    "maximum": replace(OURS, consistency="maximum"),
    "geometric": replace(OURS, aggregation="geometric", target_gradient=True),
    "gated": replace(OURS, negatives="samples", min_similarity=0.5),
}


def empty(*shape, dtype=torch.float32):
    return torch.empty(shape, dtype=dtype, device="meta")


def geometries():
    K, pose, depth = empty(B, T, 3, 3), empty(B, T, 4, 4), empty(B, T, SIDE, SIDE)
    point, observed = empty(B, T, SIDE, SIDE, dtype=torch.int64), empty(B, T, POINTS, dtype=torch.bool)
    mask = empty(B, T, SIDE, SIDE, dtype=torch.bool)
    return HomographyGeometry(K, mask), DepthGeometry(depth, K, pose), SparseGeometry(point, depth, observed, K, pose)


@pytest.mark.parametrize("geometry", geometries(), ids=lambda g: type(g).__name__)
@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
def test_loss_and_gradient_stay_on_the_device_of_the_batch(config, geometry, monkeypatch):
    monkeypatch.setattr(redetection, "_levels", lambda logits, top: 2)  # meta has no values to count them by
    logits = empty(B, T, SIDE, SIDE).requires_grad_()
    policies = [restrict(logits[:, t], geometry.valid(t)) for t in range(T)]
    frames = [frame_maps(policy, empty(B, 8, 12, 12), config) for policy in policies]
    if config.estimator == "exact":
        result = lattice_rewards(frames, geometry, 0, config, (1, 1))
        policy = restrict(policies[0][:, 1::2, 1::2], result.seen > 0)
        reward = result.reward / L.reward_scale(policy, result.reward, 8, (3, 2))
        loss = L.expected_reward_cells(policy, reward, 8, (3, 2)) + L.expected_reward_image(policy, reward)
    else:
        generator = torch.Generator().manual_seed(0)
        samples = sample_hybrid(policies[0], config.cell_px, 5, generator, (3, 2), config.replacement)
        samples = scored_by_image(samples, policies[0]) if config.log_prob == "image" else samples
        result = point_rewards(frames, geometry, 0, samples.xy(SIDE), config)
        credit = advantages(result.reward, samples.possible & (result.seen > 0), config, samples.num_cells)
        loss = L.policy_gradient_loss(samples, credit, config.reduction)
    loss = loss + L.image_entropy(policies[0]) + L.tile_entropy(policies[0], 8)
    loss.backward()
    assert loss.device == logits.grad.device == torch.device("meta")
