"""Nothing of the method makes a tensor on another device than its inputs': all of it runs on `meta`, which refuses to
mix with the CPU."""

import pytest
import torch

from traqpoint.geometry.sparse import SparseGeometry
from traqpoint.geometry.warp import DepthGeometry, HomographyGeometry
from traqpoint.policy import loss as L
from traqpoint.policy import redetection
from traqpoint.policy.advantage import advantages
from traqpoint.policy.config import changed
from traqpoint.policy.distribution import restrict
from traqpoint.policy.frame import FrameMaps, Points, lattice
from traqpoint.policy.presets import PRESETS
from traqpoint.policy.reward import track_reward
from traqpoint.policy.sampling import sample_hybrid, scored_by_image

B, T, SIDE, POINTS = 2, 3, 48, 9
OURS = PRESETS["traqpoint"]
CONFIGS = {
    **PRESETS,
    "rank": changed(OURS, reward={"terms": (("rank", 1.0), ("distinctiveness", 0.8))}),
    "maximum": changed(OURS, reward={"terms": (("maximum", 1.0), ("distinctiveness", 0.8))}),
    "geometric": changed(OURS, reward={"aggregation": "geometric", "redetection": {"target_gradient": True}}),
    "gated": changed(OURS, reward={"gates": ("similarity",), "distinctiveness": {"negatives": "samples"}}),
}


def empty(*shape, dtype=torch.float32):
    return torch.empty(shape, dtype=dtype, device="meta")


def geometries():
    K, pose, depth = empty(B, T, 3, 3), empty(B, T, 4, 4), empty(B, T, SIDE, SIDE)
    point, observed = empty(B, T, SIDE, SIDE, dtype=torch.int64), empty(B, T, POINTS, dtype=torch.bool)
    mask = empty(B, T, SIDE, SIDE, dtype=torch.bool)
    return HomographyGeometry(K, mask), DepthGeometry(depth, K, pose), SparseGeometry(point, depth, observed, K, pose)


@pytest.mark.slow
@pytest.mark.parametrize("geometry", geometries(), ids=lambda g: type(g).__name__)
@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
def test_loss_and_gradient_stay_on_the_device_of_the_batch(config, geometry, monkeypatch):
    monkeypatch.setattr(redetection, "_levels", lambda logits, top: 2)  # meta has no values to count them by
    logits = empty(B, T, SIDE, SIDE).requires_grad_()
    policies = [restrict(logits[:, t], geometry.valid(t)) for t in range(T)]
    frames = [FrameMaps(policy, empty(B, 8, 12, 12)) for policy in policies]
    if config.estimator == "exact":
        points = lattice(frames[0], 2, (1, 1))
        result = track_reward(points, 0, frames, geometry, config.reward)
        policy = restrict(policies[0][:, 1::2, 1::2], points.as_map(result.seen) > 0)
        reward = points.as_map(result.reward)
        reward = reward / L.reward_scale(policy, reward, 8, (3, 2))
        loss = L.expected_reward_cells(policy, reward, 8, (3, 2)) + L.expected_reward_image(policy, reward)
    else:
        generator = torch.Generator().manual_seed(0)
        how = config.sampled
        samples = sample_hybrid(policies[0], config.sampling.cell_px, 5, generator, (3, 2), how.replacement)
        samples = scored_by_image(samples, policies[0]) if how.log_prob == "image" else samples
        result = track_reward(Points(frames[0], samples.xy(SIDE)), 0, frames, geometry, config.reward)
        credit = advantages(result.reward, samples.possible & (result.seen > 0), how, samples.num_cells)
        loss = L.policy_gradient_loss(samples, credit, how.reduction)
    loss = loss + L.image_entropy(policies[0]) + L.tile_entropy(policies[0], 8)
    loss.backward()
    assert loss.device == logits.grad.device == torch.device("meta")
