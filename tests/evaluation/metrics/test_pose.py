import math

import pytest
import torch
from two_views import POSE, K, points, turned_about_z, views

from traqpoint.data.testsets.pairs import pose_pair
from traqpoint.evaluation.metrics.pose import match_precision, score_pair, translation_angle_deg
from traqpoint.geometry.transforms import rigid
from traqpoint.matching.config import RobustConfig


@pytest.mark.parametrize(("degrees", "expected"), [(0, 0), (1e-5, 1e-5), (30, 30), (90, 90), (150, 30), (180, 0)])
def test_translations_are_compared_as_lines(degrees, expected):
    angle = math.radians(degrees)
    a = torch.tensor([2.0, 0, 0], dtype=torch.float64)
    b = torch.tensor([math.cos(angle), math.sin(angle), 0], dtype=torch.float64) * 3
    assert float(translation_angle_deg(a, b)) == pytest.approx(expected, abs=1e-9)


def test_no_baseline_has_no_direction():
    assert translation_angle_deg(torch.zeros(3), torch.ones(3)).isnan()


def test_exact_matches_score_exactly_in_every_shuffle():
    score = score_pair(pose_pair("a", "b", K, K, POSE), *views(points()), shuffles=4)
    assert len(score.error_deg) == 4 and max(score.error_deg) < 1e-3
    assert score.precision == 1 and score.inliers == (120,) * 4 and score.matches == 120


def test_errors_are_those_of_the_truth_that_is_told():
    """Exact matches against a truth that is off by a known rotation, and by another known direction."""
    a, b = views(points())
    wrong = POSE.clone()
    wrong[:3, :3] = turned_about_z(3) @ POSE[:3, :3]
    score = score_pair(pose_pair("a", "b", K, K, wrong), a, b, shuffles=1)
    assert score.rotation_deg[0] == pytest.approx(3, abs=1e-2) and score.translation_deg[0] < 1e-2
    assert score.error_deg == score.rotation_deg
    wrong = POSE.clone()
    wrong[:3, 3] = turned_about_z(7) @ torch.tensor([1.0, 0.1, 0], dtype=torch.float64)
    flat = POSE.clone()
    flat[2, 3] = 0
    score = score_pair(pose_pair("a", "b", K, K, wrong), *views(points(), flat), shuffles=1)
    assert score.rotation_deg[0] < 1e-2 and score.error_deg[0] == pytest.approx(7, abs=1e-2)


def test_shuffles_vary_the_estimate_and_a_seed_repeats_it():
    pair = pose_pair("a", "b", K, K, POSE)
    a, b = views(points(200))
    noise = torch.randn(2, 200, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    a, b = a + noise[0], b + noise[1]
    few = RobustConfig(max_iterations=50)
    score = score_pair(pair, a, b, few, seed=1)
    assert len(set(score.error_deg)) > 1
    assert score == score_pair(pair, a, b, few, seed=1)
    assert score != score_pair(pair, a, b, few, seed=9)


def test_precision_is_the_share_near_the_true_epipolar_lines():
    sideways = rigid(torch.eye(3, dtype=torch.float64), torch.tensor([1.0, 0, 0], dtype=torch.float64))
    pair = pose_pair("a", "b", K, K, sideways)
    a = torch.tensor([[100.0, 100.0]] * 4, dtype=torch.float64)
    b = a + torch.tensor([[9.0, 0], [9, 1], [9, 4], [9, 5]])  # rows differ: Sampson distance is that over root two
    assert match_precision(pair, a, b, 3.0) == 0.75
    assert match_precision(pair, a, b, 0.5) == 0.25
    assert match_precision(pair, a[:0], b[:0], 3.0) == 0
