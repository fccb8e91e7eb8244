"""Which frames judge a point, and that nobody else's reward depends on points that are not seen."""

from dataclasses import replace
from itertools import pairwise

import pytest
import torch

from traqpoint.geometry.sampling import sample_descriptors
from traqpoint.policy.config import PolicyConfig
from traqpoint.policy.distribution import restrict
from traqpoint.policy.objective import exact_objective, sampled_objective
from traqpoint.policy.presets import PRESETS
from traqpoint.policy.redetection import redetection_map
from traqpoint.policy.reward import LEAST, FrameMaps, distinctiveness, frame_maps, point_rewards
from traqpoint.policy.sampling import sample_hybrid
from traqpoint.policy.visibility import verdict
from traqpoint.types import PointState, WarpedPoints


class States:
    """Every point keeps its place in every frame; its state in frame t is states[t]."""

    def __init__(self, states):
        self.states = states

    def warp(self, source, target, xy):
        return WarpedPoints(xy, self.states[target].expand(xy.shape[:-1]))


def maps(config, frames=3, side=24, seed=0):
    torch.manual_seed(seed)
    return [frame_maps(torch.randn(1, side, side) * 3, torch.randn(1, 8, side, side), config) for _ in range(frames)]


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
    result = verdict(warped, (8, 8), PolicyConfig(occluded=occluded, unknown=unknown))
    assert "".join(str(int(x)) for x in result.judged[0]) == judged
    assert "".join(str(int(x)) for x in result.counted[0]) == counted


def test_a_point_without_a_place_is_never_judged():
    warped = WarpedPoints(torch.full((1, 1, 2), torch.nan), torch.tensor([[int(PointState.UNKNOWN)]]))
    assert not verdict(warped, (8, 8), PolicyConfig(unknown="judged")).counted.any()


@pytest.mark.parametrize(("rule", "factor"), [("ignored", 1.0), ("zero", 0.5)])
def test_an_occluded_frame_halves_the_mean_only_where_it_counts_as_zero(rule, factor):
    config = PolicyConfig(occluded=rule, window_px=7)
    frames = maps(config)
    xy = torch.tensor([[[12.5, 9.5]]])
    seen = [torch.tensor([[int(PointState.VISIBLE)]])] * 3
    hidden = [seen[0], seen[1], torch.tensor([[int(PointState.OCCLUDED)]])]
    alone = point_rewards(frames[:2], States(seen), 0, xy, config)
    with_hidden = point_rewards(frames, States(hidden), 0, xy, config)
    assert with_hidden.reward.item() == pytest.approx(factor * alone.reward.item()) and alone.reward.item() > 0


def test_a_mean_over_frames_is_the_mean_of_pairs_and_a_geometric_mean_is_not():
    config = PolicyConfig(window_px=7)
    frames = maps(config)
    xy = torch.rand(1, 30, 2) * 24
    seen = States([torch.tensor([[int(PointState.VISIBLE)]])] * 3)
    pairs = [point_rewards([frames[0], frames[t]], seen, 0, xy, config).reward for t in (1, 2)]
    whole = point_rewards(frames, seen, 0, xy, config).reward
    assert torch.allclose(whole, (pairs[0] + pairs[1]) / 2, atol=1e-6)
    geometric = point_rewards(frames, seen, 0, xy, replace(config, aggregation="geometric")).reward
    expected = ((pairs[0] + LEAST) * (pairs[1] + LEAST)).sqrt() - LEAST
    assert torch.allclose(geometric, expected, atol=1e-6)
    assert (geometric <= whole + 1e-6).all() and (geometric < whole - 0.01).any()


@pytest.mark.parametrize("negatives", ["image", "samples"])
def test_points_that_are_not_seen_change_nobody_elses_reward(negatives):
    config = PolicyConfig(negatives=negatives, window_px=7, candidate_stride=4)
    frames = maps(config)
    xy = torch.rand(1, 12, 2) * 24
    state = torch.full((1, 12), int(PointState.VISIBLE))
    state[0, 8:] = torch.tensor([PointState.OCCLUDED, PointState.OUTSIDE, PointState.BEHIND, PointState.UNKNOWN])
    everything = point_rewards(frames, States([state] * 3), 0, xy, config)
    without = point_rewards(frames, States([state[:, :8]] * 3), 0, xy[:, :8], config)
    assert torch.allclose(everything.reward[:, :8], without.reward, atol=1e-6)
    assert everything.seen[0, 8:].eq(0).all() and everything.reward[0, 8:].eq(0).all()


def test_below_the_gate_nothing_is_earned():
    config = PolicyConfig(window_px=7, combination="sum")
    frames = maps(config)
    xy = torch.rand(1, 50, 2) * 24
    seen = States([torch.tensor([[int(PointState.VISIBLE)]])] * 3)
    free = point_rewards(frames[:2], seen, 0, xy, config).reward
    gated = point_rewards(frames[:2], seen, 0, xy, replace(config, min_similarity=0.5)).reward
    a, b = (sample_descriptors(f.descriptors, xy, (24, 24)) for f in frames[:2])
    similar = (a * b).sum(-1) > 0.5
    assert 0 < similar.sum() < similar.numel()
    assert torch.equal(gated, free * similar)


def test_a_twin_among_the_samples_destroys_its_own_distinctiveness_and_not_among_image_negatives():
    """METHOD §2: what happened to the released code's duplicates."""
    side = 24
    torch.manual_seed(0)
    descriptors = torch.randn(1, 16, side, side)
    config = PolicyConfig(window_px=7, candidate_stride=4)
    frame = frame_maps(torch.randn(1, side, side), descriptors, config)
    twice = WarpedPoints(torch.tensor([[[12.5, 9.5], [12.5, 9.5], [3.5, 20.5]]]), torch.zeros(1, 3, dtype=torch.long))
    noisy = torch.nn.functional.normalize(torch.randn(1, 3, 16) * 0.1 + descriptors[0, :, 9, 12], dim=-1)
    among_samples = distinctiveness(noisy, frame, twice, replace(config, negatives="samples"))
    in_image = distinctiveness(noisy, frame, twice, config)
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
    config = PolicyConfig(window_px=7, candidate_stride=4)
    frame = maps(config, frames=1)[0]
    warped = WarpedPoints(torch.tensor([[[12.5, 9.5]]]), torch.zeros(1, 1, dtype=torch.long))
    target = torch.nn.functional.normalize(frame.descriptors[0, :, 9, 12], dim=0)
    other = torch.nn.functional.normalize(torch.randn(8), dim=0)
    values = []
    for share in torch.linspace(0, 1, 11):
        mixed = torch.nn.functional.normalize(share * target + (1 - share) * other, dim=0)
        values.append(distinctiveness(mixed.reshape(1, 1, 8), frame, warped, config).item())
    assert values[-1] == pytest.approx(1, abs=1e-2) and all(a <= b + 0.05 for a, b in pairwise(values))


@pytest.mark.parametrize("name", PRESETS)
def test_nothing_visible_gives_no_gradient_from_rewards(name):
    config = replace(PRESETS[name], global_entropy=0.0, tile_entropy=0.0, candidate_stride=8)
    outside = States([torch.tensor([[int(PointState.OUTSIDE)]])] * 2)
    logits = torch.randn(1, 48, 48, requires_grad=True)
    frames: list[FrameMaps] = []
    for _ in range(2):
        policy = restrict(logits, torch.ones(1, 48, 48, dtype=torch.bool))
        frames.append(frame_maps(policy, torch.randn(1, 8, 12, 12), config))
    objective = exact_objective if config.estimator == "exact" else sampled_objective
    loss, stats = objective(frames, outside, config, torch.Generator().manual_seed(0))
    assert stats["reward"] == 0
    if loss.requires_grad:
        loss.backward()
    assert logits.grad is None or logits.grad.abs().max() == 0
