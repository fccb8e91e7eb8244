"""All actions on tiny maps, enumerated, against autograd of the exact expected reward: every sampler and baseline."""

from dataclasses import replace
from itertools import permutations, product

import pytest
import torch

from traqpoint.policy.advantage import advantages
from traqpoint.policy.config import PolicyConfig, SampledConfig
from traqpoint.policy.distribution import log_probabilities, to_cells
from traqpoint.policy.loss import expected_reward_cells, expected_reward_image, policy_gradient_loss
from traqpoint.policy.presets import PRESETS
from traqpoint.policy.sampling import Samples, scored_by_image

pytestmark = pytest.mark.usefixtures("device")

CELL = 2
POINT = SampledConfig(normalise=False, baseline="none")
IMAGE = replace(POINT, credit="image", reduction="sum")
INDEPENDENT, DISTINCT = "with replacement", "without replacement"


def draws(logits, num_global, how):
    """All joint draws from one map (H, W): one pixel per 2×2 cell, then `num_global` from the image.

    Yields log_prob (N,), of each draw given those before it, and index (N,).
    """
    cells = log_probabilities(to_cells(logits[None], CELL, 0.0))[0]
    pixels = to_cells(torch.arange(float(logits.numel())).reshape(1, *logits.shape), CELL, 0.0)[0].long()
    everywhere = range(logits.numel())
    for choice in product(range(CELL**2), repeat=len(cells)):
        picked = torch.tensor(choice)[:, None]
        index = pixels.gather(1, picked)[:, 0].tolist()
        log_prob = cells.gather(1, picked)[:, 0]
        if how == INDEPENDENT:
            tails = product(everywhere, repeat=num_global)
        else:
            tails = permutations([i for i in everywhere if i not in index], num_global)
        for tail in tails:
            scores, taken = [log_prob], list(index)
            for pixel in tail:
                left = [i for i in everywhere if how == INDEPENDENT or i not in taken]
                scores.append(logits.flatten()[left].log_softmax(0)[left.index(pixel)][None])
                taken.append(pixel)
            yield torch.cat(scores), torch.tensor(taken)


def actions(logits, num_global, how):
    """(probability, Samples) of all joint draws from maps (B, H, W), images drawn independently."""
    num_cells = logits[0].numel() // CELL**2
    for joint in product(*(list(draws(image, num_global, how)) for image in logits)):
        log_prob = torch.stack([scores for scores, _ in joint])
        index = torch.stack([pixels for _, pixels in joint])
        samples = Samples(index, log_prob, torch.ones_like(index, dtype=torch.bool), num_cells)
        yield log_prob.sum().exp(), samples


def expected_gradient(logits, reward, config, num_global=0, how=INDEPENDENT, moving=0.0, seen=None):
    """Σ_actions P(action) · ∇ loss(action). seen: like reward, pixels that some frame sees; by default all."""
    total = torch.zeros_like(logits)
    for probability, samples in actions(logits, num_global, how):
        if config.log_prob == "image":
            samples = scored_by_image(samples, logits)
        earned = reward.flatten(1).gather(1, samples.index)
        counted = samples.possible if seen is None else seen.flatten(1).gather(1, samples.index)
        credit = advantages(earned, counted, config, samples.num_cells, moving)
        loss = policy_gradient_loss(samples, credit, config.reduction)
        total += probability.detach() * torch.autograd.grad(loss, logits, retain_graph=True)[0]
    return total


def true_gradient(logits, reward, num_global=0, how=INDEPENDENT):
    """∇ of −Σ_actions P(action) · mean reward, by autograd through the probabilities."""
    objective = sum(
        probability * reward.flatten(1).gather(1, samples.index).mean()
        for probability, samples in actions(logits, num_global, how)
    )
    return torch.autograd.grad(-objective, logits)[0]


def problem(images=1, height=2, width=4, seed=0):
    torch.manual_seed(seed)
    shape = (images, height, width)
    return torch.randn(shape, dtype=torch.float64, requires_grad=True), torch.rand(shape, dtype=torch.float64)


BASELINES = ["none", "leave_one_out", "stratum", "batch", "moving"]


@pytest.mark.parametrize("baseline", BASELINES)
@pytest.mark.parametrize("num_global", [0, 1])
def test_credit_per_point_is_unbiased_for_independent_draws(baseline, num_global):
    logits, reward = problem()
    gradient = expected_gradient(logits, reward, replace(POINT, baseline=baseline), num_global, moving=0.4)
    assert torch.allclose(gradient, true_gradient(logits, reward, num_global), atol=1e-9)


@pytest.mark.parametrize("baseline", ["none", "batch", "moving"])
@pytest.mark.parametrize("how", [INDEPENDENT, DISTINCT])
def test_credit_per_image_is_unbiased_for_every_sampler(baseline, how):
    logits, reward = problem()
    gradient = expected_gradient(logits, reward, replace(IMAGE, baseline=baseline), 1, how, moving=0.4)
    assert torch.allclose(gradient, true_gradient(logits, reward, 1, how), atol=1e-9)


@pytest.mark.parametrize(
    "config", [replace(POINT, baseline="batch"), replace(IMAGE, baseline="batch")], ids=["point", "image"]
)
def test_a_baseline_over_the_batch_leaves_each_images_gradient_as_it_is(config):
    logits, reward = problem(images=2, width=2)
    gradient = expected_gradient(logits, reward, config, num_global=1)
    assert torch.allclose(gradient, true_gradient(logits, reward, num_global=1), atol=1e-9)


def test_credit_per_image_goes_to_draws_that_no_frame_sees_too():
    """The mean runs over the points that are seen; which these are depends on every draw."""
    logits, reward = problem()
    seen = torch.arange(8).reshape(reward.shape) % 3 > 0
    expected, objective = torch.zeros_like(logits), 0.0
    for probability, samples in actions(logits, 1, INDEPENDENT):
        earned, counted = (x.flatten(1).gather(1, samples.index) for x in (reward, seen))
        credit = advantages(earned, counted, IMAGE, drawn=samples.possible)
        loss = policy_gradient_loss(samples, credit, "sum")
        expected += probability.detach() * torch.autograd.grad(loss, logits, retain_graph=True)[0]
        objective = objective + probability * (earned * counted).sum() / counted.sum().clamp(min=1)
    assert torch.allclose(expected, torch.autograd.grad(-objective, logits)[0], atol=1e-9)


def test_the_mean_over_log_probabilities_is_the_sum_over_their_number():
    logits, reward = problem()
    mean = expected_gradient(logits, reward, replace(IMAGE, reduction="mean"), 1)
    assert torch.allclose(3 * mean, expected_gradient(logits, reward, IMAGE, 1), atol=1e-12)


@pytest.mark.parametrize("how", [INDEPENDENT, DISTINCT])
@pytest.mark.parametrize("baseline", BASELINES)
def test_a_constant_reward_has_zero_expected_gradient(how, baseline):
    logits, _ = problem()
    constant = torch.full_like(logits, 0.7)
    for config in (POINT, IMAGE):
        if config.credit == "point" or baseline in ("none", "batch", "moving"):
            gradient = expected_gradient(logits, constant, replace(config, baseline=baseline), 1, how, moving=0.3)
            assert gradient.abs().max() < 1e-12


@pytest.mark.parametrize(("baseline", "moving"), [("none", 0.0), ("moving", 0.4)])
def test_points_that_no_frame_sees_count_as_if_they_earned_their_baseline(baseline, moving):
    logits, reward = problem()
    seen = torch.rand(logits.shape) > 0.4
    gradient = expected_gradient(logits, reward, replace(POINT, baseline=baseline), 1, moving=moving, seen=seen)
    assert torch.allclose(gradient, true_gradient(logits, torch.where(seen, reward, moving), 1), atol=1e-9)


@pytest.mark.slow
def test_without_replacement_credit_per_point_lacks_exactly_what_a_draw_does_to_later_ones():
    """A draw moves what is left for the next ones. Credited for their rewards too it would be unbiased; credited for
    its own alone it is not, by the share of the mass that one draw takes: much here, little on an image."""
    logits, reward = problem()
    exact = true_gradient(logits, reward, 2, DISTINCT)
    own = expected_gradient(logits, reward, POINT, 2, DISTINCT)
    to_go = torch.zeros_like(logits)
    for probability, samples in actions(logits, 2, DISTINCT):
        earned = reward.flatten(1).gather(1, samples.index)
        loss = policy_gradient_loss(samples, earned.flip(1).cumsum(1).flip(1))
        to_go += probability.detach() * torch.autograd.grad(loss, logits, retain_graph=True)[0]
    assert torch.allclose(to_go, exact, atol=1e-9)
    assert (own - exact).norm() > 0.1 * exact.norm()


def test_the_released_code_equalises_the_mass_of_cells_under_a_constant_reward():
    """Cell draws scored by the image-wide policy: E ∇ = c · Σ_cells (mass of the image − one cell's softmax)."""
    logits, _ = problem()
    constant = torch.full_like(logits, 0.7)
    config = replace(IMAGE, log_prob="image")
    gradient = expected_gradient(logits, constant, config)
    mass = to_cells(logits.flatten(1).softmax(1).reshape(logits.shape), CELL, 0.0).sum(-1)[0]
    per_cell = to_cells(gradient, CELL, 0.0).sum(-1)[0]
    assert torch.allclose(per_cell, 0.7 * (2 * mass - 1), atol=1e-9)  # descent lifts the cell with less than its half
    assert per_cell.abs().max() > 0.01
    balanced = torch.zeros_like(logits, requires_grad=True)
    assert expected_gradient(balanced, constant, config).abs().max() < 1e-12


def test_the_released_codes_scoring_is_right_for_global_draws_with_replacement():
    logits, _ = problem(width=2)
    for _, samples in actions(logits, 2, INDEPENDENT):
        scored = scored_by_image(samples, logits)
        assert torch.allclose(scored.log_prob[:, 1:], samples.log_prob[:, 1:], atol=1e-12)


def test_presets_state_what_they_reproduce():
    paper, reference = PRESETS["paper"].sampled, PRESETS["reference"].sampled
    assert (paper.credit, paper.baseline, paper.log_prob, paper.replacement) == ("image", "none", "sampled", False)
    assert (reference.log_prob, reference.replacement, reference.reduction) == ("image", True, "sum")
    assert PRESETS["traqpoint"] == PolicyConfig()


def exact_gradient(logits, reward):
    return torch.autograd.grad(-expected_reward_cells(logits, reward, CELL), logits)[0]


def test_the_exact_expectation_has_the_gradient_of_the_enumeration():
    logits, reward = problem(height=4)
    assert torch.allclose(exact_gradient(logits, reward), true_gradient(logits, reward), atol=1e-9)


def test_the_exact_expectation_of_a_constant_reward_has_no_gradient():
    logits, _ = problem()
    assert exact_gradient(logits, torch.full_like(logits, 0.7)).abs().max() < 1e-12


def test_the_image_wide_expectation_is_the_sum_over_all_pixels():
    logits, reward = problem()
    p = logits.flatten().softmax(0)
    assert torch.allclose(expected_reward_image(logits, reward), (p * reward.flatten()).sum())


def test_a_better_pixel_gains_probability_and_a_worse_one_loses_it():
    logits = torch.zeros(1, 2, 2, requires_grad=True)
    reward = torch.tensor([[[1.0, 0.0], [0.5, 0.5]]])
    gradient = torch.autograd.grad(-expected_reward_cells(logits, reward, CELL), logits)[0]
    assert gradient[0, 0, 0] < 0 < gradient[0, 0, 1]
    assert gradient[0, 1].abs().max() < 1e-7
