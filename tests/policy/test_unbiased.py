"""Enumeration of all actions on tiny maps against autograd of the exact expected reward."""

from dataclasses import replace
from itertools import permutations, product

import torch

from traqpoint.policy.advantage import advantages
from traqpoint.policy.config import PolicyConfig
from traqpoint.policy.distribution import log_probabilities, to_cells
from traqpoint.policy.loss import expected_reward_cells, expected_reward_image, policy_gradient_loss
from traqpoint.policy.presets import PRESETS
from traqpoint.policy.sampling import Samples

SAMPLED = PolicyConfig(estimator="sampled", normalise="none")


def one_per_cell(logits):
    """All joint draws of one pixel per 2×2 cell of a 4×4 map: (probability, rewards' indices, Samples)."""
    log_p = log_probabilities(to_cells(logits, 2, 0.0))[0]
    pixels = to_cells(torch.arange(16.0).reshape(1, 4, 4), 2, 0.0)[0].long()
    for choice in product(range(4), repeat=4):
        picked = torch.tensor(choice)
        log_prob = log_p.gather(1, picked[:, None])[:, 0]
        index = pixels.gather(1, picked[:, None])[:, 0]
        samples = Samples(index[None], log_prob[None], torch.ones(1, 4, dtype=torch.bool), 4)
        yield log_prob.sum().exp().detach(), samples


def expected_gradient(logits, reward, config):
    """Σ_actions P(action) · ∇ loss(action)."""
    total = torch.zeros_like(logits)
    for probability, samples in one_per_cell(logits):
        earned = reward.flatten()[samples.index]
        loss = policy_gradient_loss(samples, advantages(earned, samples.possible, config))
        total += probability * torch.autograd.grad(loss, logits, retain_graph=True)[0]
    return total


def exact_gradient(logits, reward):
    return torch.autograd.grad(-expected_reward_cells(logits, reward, 2), logits)[0]


def problem():
    torch.manual_seed(0)
    return torch.randn(1, 4, 4, dtype=torch.float64, requires_grad=True), torch.rand(1, 4, 4, dtype=torch.float64)


def test_per_point_credit_is_unbiased():
    logits, reward = problem()
    gradient = expected_gradient(logits, reward, replace(SAMPLED, baseline="none"))
    assert torch.allclose(gradient, exact_gradient(logits, reward), atol=1e-9)


def test_the_leave_one_out_baseline_adds_no_bias():
    logits, reward = problem()
    assert torch.allclose(expected_gradient(logits, reward, SAMPLED), exact_gradient(logits, reward), atol=1e-9)


def test_image_credit_has_the_same_expected_gradient():
    logits, reward = problem()
    config = replace(SAMPLED, baseline="none", credit="image")
    # The mean of N rewards credited to each of N samples: the expectation is 1/N of the per-point form.
    assert torch.allclose(4 * expected_gradient(logits, reward, config), exact_gradient(logits, reward), atol=1e-9)


def test_the_paper_preset_is_the_scalar_form():
    assert (PRESETS["paper"].credit, PRESETS["paper"].baseline, PRESETS["paper"].estimator) == (
        "image",
        "none",
        "sampled",
    )


def test_a_constant_reward_has_zero_expected_gradient():
    logits, _ = problem()
    constant = torch.full((1, 4, 4), 0.7, dtype=torch.float64)
    for config in (SAMPLED, replace(SAMPLED, baseline="none"), replace(SAMPLED, credit="image", baseline="none")):
        assert expected_gradient(logits, constant, config).abs().max() < 1e-12
    assert exact_gradient(logits, constant).abs().max() < 1e-12


def test_draws_without_replacement_are_unbiased_with_image_credit():
    torch.manual_seed(1)
    logits = torch.randn(4, dtype=torch.float64, requires_grad=True)
    reward = torch.rand(4, dtype=torch.float64)
    config = replace(SAMPLED, baseline="none", credit="image")
    expected = torch.zeros(4, dtype=torch.float64)
    objective = torch.zeros((), dtype=torch.float64)
    for order in permutations(range(4), 2):
        first = logits.log_softmax(0)[order[0]]
        left = [i for i in range(4) if i != order[0]]
        second = logits[left].log_softmax(0)[left.index(order[1])]
        samples = Samples(
            torch.tensor([order]), torch.stack([first, second])[None], torch.ones(1, 2, dtype=torch.bool), 0
        )
        earned = reward[list(order)][None]
        probability = (first + second).exp()
        loss = policy_gradient_loss(samples, advantages(earned, samples.possible, config))
        expected += probability.detach() * torch.autograd.grad(loss, logits, retain_graph=True)[0]
        objective = objective + probability * earned.mean()
    exact = torch.autograd.grad(-objective, logits)[0]
    assert torch.allclose(2 * expected, exact, atol=1e-9)


def test_the_exact_expectation_is_the_sum_over_all_pixels():
    logits, reward = problem()
    p = logits.flatten().softmax(0)
    assert torch.allclose(expected_reward_image(logits, reward), (p * reward.flatten()).sum())


def test_a_better_pixel_gains_probability_and_a_worse_one_loses_it():
    logits = torch.zeros(1, 2, 2, requires_grad=True)
    reward = torch.tensor([[[1.0, 0.0], [0.5, 0.5]]])
    gradient = torch.autograd.grad(-expected_reward_cells(logits, reward, 2), logits)[0]
    assert gradient[0, 0, 0] < 0 < gradient[0, 0, 1]
    assert gradient[0, 1].abs().max() < 1e-7
