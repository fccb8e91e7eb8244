"""Which frames judge a point, and that nobody else's reward depends on points that are not seen."""

from itertools import pairwise

import pytest
import torch

from traqpoint.geometry.sampling import sample_descriptors
from traqpoint.policy.config import changed
from traqpoint.policy.distinctiveness import Distinctiveness
from traqpoint.policy.frame import FrameMaps, Points
from traqpoint.policy.objective import objective
from traqpoint.policy.presets import PRESETS
from traqpoint.policy.redetection import redetection_map
from traqpoint.policy.reward import LEAST, track_reward
from traqpoint.policy.reward_config import RedetectionConfig, RewardConfig
from traqpoint.policy.sampling import sample_hybrid
from traqpoint.policy.visibility import verdict
from traqpoint.types import PointState, WarpedPoints


class States:
    """Every point keeps its place in every frame; its state in frame t is states[t]."""

    def __init__(self, states):
        self.states = states

    def valid(self, frame):
        return torch.ones(1, 48, 48, dtype=torch.bool)

    def warp(self, source, target, xy):
        return WarpedPoints(xy, self.states[target].expand(xy.shape[:-1]))


def maps(frames=3, side=24, seed=0):
    torch.manual_seed(seed)
    return [FrameMaps(torch.randn(1, side, side) * 3, torch.randn(1, 8, side, side)) for _ in range(frames)]


def points_with(descriptors):
    """Points of a frame of N × 1 px, of which each holds one of the descriptors (1, N, D)."""
    N = descriptors.shape[1]
    frame = FrameMaps(torch.zeros(1, 1, N), descriptors.transpose(1, 2).unsqueeze(2))
    return Points(frame, torch.stack([torch.arange(N) + 0.5, torch.full((N,), 0.5)], -1)[None])


def rewards(frames, geometry, xy, config):
    return track_reward(Points(frames[0], xy), 0, frames, geometry, config)


SMALL = RewardConfig(redetection=RedetectionConfig(window_px=7))


ALL = torch.tensor([[list(PointState)]]).squeeze(0)


@pytest.mark.parametrize(
    ("occluded", "unknown", "judged", "counted"),
    [
        ("ignored", "ignored", "10000", "10000"),
        ("zero", "ignored", "10000", "11000"),
        ("judged", "ignored", "11000", "11000"),
        ("ignored", "zero", "10000", "10001"),
        ("zero", "judged", "10001", "11001"),
    ],
)
def test_states_are_judged_and_counted_as_the_configuration_says(occluded, unknown, judged, counted):
    """Order of the states: visible, occluded, outside, behind, unknown."""
    warped = WarpedPoints(torch.full((1, 5, 2), 3.0), ALL)
    result = verdict(warped, (8, 8), RewardConfig(occluded=occluded, unknown=unknown))
    assert "".join(str(int(x)) for x in result.judged[0]) == judged
    assert "".join(str(int(x)) for x in result.counted[0]) == counted


def test_a_point_without_a_place_is_never_judged():
    warped = WarpedPoints(torch.full((1, 1, 2), torch.nan), torch.tensor([[int(PointState.UNKNOWN)]]))
    assert not verdict(warped, (8, 8), RewardConfig(unknown="judged")).counted.any()


@pytest.mark.parametrize(("rule", "factor"), [("ignored", 1.0), ("zero", 0.5)])
def test_an_occluded_frame_halves_the_mean_only_where_it_counts_as_zero(rule, factor):
    config = changed(SMALL, occluded=rule)
    frames = maps()
    xy = torch.tensor([[[12.5, 9.5]]])
    seen = [torch.tensor([[int(PointState.VISIBLE)]])] * 3
    hidden = [seen[0], seen[1], torch.tensor([[int(PointState.OCCLUDED)]])]
    alone = rewards(frames[:2], States(seen), xy, config)
    with_hidden = rewards(frames, States(hidden), xy, config)
    assert with_hidden.reward.item() == pytest.approx(factor * alone.reward.item()) and alone.reward.item() > 0


def test_a_mean_over_frames_is_the_mean_of_pairs_and_a_geometric_mean_is_not():
    frames = maps()
    xy = torch.rand(1, 30, 2) * 24
    seen = States([torch.tensor([[int(PointState.VISIBLE)]])] * 3)
    pairs = [rewards([frames[0], frames[t]], seen, xy, SMALL).reward for t in (1, 2)]
    whole = rewards(frames, seen, xy, SMALL).reward
    assert torch.allclose(whole, (pairs[0] + pairs[1]) / 2, atol=1e-6)
    geometric = rewards(frames, seen, xy, changed(SMALL, aggregation="geometric")).reward
    expected = ((pairs[0] + LEAST) * (pairs[1] + LEAST)).sqrt() - LEAST
    assert torch.allclose(geometric, expected, atol=1e-6)
    assert (geometric <= whole + 1e-6).all() and (geometric < whole - 0.01).any()


@pytest.mark.parametrize("negatives", ["image", "samples"])
def test_points_that_are_not_seen_change_nobody_elses_reward(negatives):
    config = changed(SMALL, distinctiveness={"negatives": negatives, "stride": 4})
    frames = maps()
    xy = torch.rand(1, 12, 2) * 24
    state = torch.full((1, 12), int(PointState.VISIBLE))
    state[0, 8:] = torch.tensor([PointState.OCCLUDED, PointState.OUTSIDE, PointState.BEHIND, PointState.UNKNOWN])
    everything = rewards(frames, States([state] * 3), xy, config)
    without = rewards(frames, States([state[:, :8]] * 3), xy[:, :8], config)
    assert torch.allclose(everything.reward[:, :8], without.reward, atol=1e-6)
    assert everything.seen[0, 8:].eq(0).all() and everything.reward[0, 8:].eq(0).all()


def test_below_the_gate_nothing_is_earned():
    config = changed(SMALL, combination="sum")
    frames = maps()
    xy = torch.rand(1, 50, 2) * 24
    seen = States([torch.tensor([[int(PointState.VISIBLE)]])] * 3)
    free = rewards(frames[:2], seen, xy, config).reward
    gated = rewards(frames[:2], seen, xy, changed(config, gates=("similarity",))).reward
    a, b = (sample_descriptors(f.descriptors, xy, (24, 24)) for f in frames[:2])
    similar = (a * b).sum(-1) > 0.5
    assert 0 < similar.sum() < similar.numel()
    assert torch.equal(gated, free * similar)


def test_a_twin_among_the_samples_destroys_its_own_distinctiveness_and_not_among_image_negatives():
    """docs/method.md §2: what happened to the released code's duplicates."""
    side = 24
    torch.manual_seed(0)
    descriptors = torch.randn(1, 16, side, side)
    frame = FrameMaps(torch.randn(1, side, side), descriptors)
    twice = WarpedPoints(torch.tensor([[[12.5, 9.5], [12.5, 9.5], [3.5, 20.5]]]), torch.zeros(1, 3, dtype=torch.long))
    noisy = torch.nn.functional.normalize(torch.randn(1, 3, 16) * 0.1 + descriptors[0, :, 9, 12], dim=-1)
    noisy = points_with(noisy)
    among_samples = Distinctiveness(negatives="samples", stride=4)(noisy, frame, twice, twice.visible)
    in_image = Distinctiveness(stride=4)(noisy, frame, twice, twice.visible)
    assert among_samples[0, :2].max() == 0
    assert in_image[0, :2].min() > 0.3


def test_duplicates_occur_with_replacement_only():
    logits = torch.randn(1, 8, 8) * 5
    generator = torch.Generator().manual_seed(0)
    counts = {
        how: len(sample_hybrid(logits, 4, 20, generator, replacement=how).index.unique()) for how in (True, False)
    }
    assert counts[False] == 24 and counts[True] < 24


def test_a_higher_logit_is_never_redetected_less():
    torch.manual_seed(0)
    logits = torch.randn(1, 9, 9)
    last = 0.0
    for value in torch.linspace(-3, 6, 20):
        logits[0, 4, 4] = value
        now = redetection_map(logits, 7, 0.7)[0, 4, 4].item()
        assert now >= last
        last = now


def test_a_more_similar_descriptor_is_never_less_distinctive():
    term = Distinctiveness(stride=4)
    frame = maps(frames=1)[0]
    warped = WarpedPoints(torch.tensor([[[12.5, 9.5]]]), torch.zeros(1, 1, dtype=torch.long))
    target = torch.nn.functional.normalize(frame.descriptors[0, :, 9, 12], dim=0)
    other = torch.nn.functional.normalize(torch.randn(8), dim=0)
    values = []
    for share in torch.linspace(0, 1, 11):
        mixed = torch.nn.functional.normalize(share * target + (1 - share) * other, dim=0)
        values.append(term(points_with(mixed.reshape(1, 1, 8)), frame, warped, warped.visible).item())
    assert values[-1] == pytest.approx(1, abs=1e-2) and all(a <= b + 0.05 for a, b in pairwise(values))


@pytest.mark.parametrize("name", PRESETS)
def test_nothing_visible_gives_no_gradient_from_rewards(name):
    config = changed(PRESETS[name], entropy={"image": 0.0, "tile": 0.0})
    outside = States([torch.tensor([[int(PointState.OUTSIDE)]])] * 2)
    logits = torch.randn(1, 2, 48, 48, requires_grad=True)
    generator = torch.Generator().manual_seed(0)
    loss, stats = objective(logits, torch.randn(1, 2, 8, 12, 12), outside, config, generator)
    assert stats["reward"] == 0
    if loss.requires_grad:
        loss.backward()
    assert logits.grad is None or logits.grad.abs().max() == 0
