"""The loop: one update, and a look in between that changes no number."""

import json

import pytest
import torch
from torch import nn

from traqpoint.data.homography import HomographyConfig, HomographySequences
from traqpoint.training.config import LoopConfig
from traqpoint.training.loop import Looks, run
from traqpoint.training.processes import launch
from traqpoint.training.update import update


@pytest.fixture
def line():
    torch.manual_seed(0)
    module = nn.Linear(2, 2)
    return module, torch.optim.SGD(module.parameters(), lr=1.0)


def test_an_update_clips_the_gradient_and_returns_the_norm_it_had(line):
    module, optimizer = line
    before = module.weight.detach().clone()
    loss = 100 * module.weight.sum()
    loss.backward()
    norm, applied = update(module, optimizer, loss, clip_norm=0.5)
    assert applied and norm == pytest.approx(200)
    assert float((module.weight.detach() - before).norm()) == pytest.approx(0.5, rel=1e-4)


@pytest.mark.parametrize("factor", [float("nan"), float("inf")])
def test_a_loss_that_is_not_finite_changes_nothing(line, factor):
    module, optimizer = line
    before = module.weight.detach().clone()
    loss = factor * module.weight.sum()
    loss.backward()
    _, applied = update(module, optimizer, loss, clip_norm=1.0)
    assert not applied and torch.equal(module.weight, before)


def test_a_loss_of_no_parameter_has_no_gradient(line):
    module, optimizer = line
    assert update(module, optimizer, torch.tensor(3.0), clip_norm=1.0) == (0.0, True)


def trained(out, look=None):
    """A module after five steps; look: what validates it, given the module."""
    photo = (torch.rand(3, 48, 48, generator=torch.Generator().manual_seed(0)) * 255).byte()
    source = HomographySequences([photo], HomographyConfig(image_size=32, num_frames=2))
    torch.manual_seed(0)
    module = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Dropout(0.5))
    module[1].eval()  # a part that is frozen

    def step(batch, index, generator):
        out = module(batch.images.flatten(0, 1)) + torch.randn(1, generator=generator)
        return out.square().mean(), {"loss": float(out.detach().mean())}

    out.mkdir()
    config = LoopConfig(steps=5, batch_size=1, device="cpu", precision="float32")
    run(launch(config), out, module, source, step, config, Looks(validate=look and look(module), validate_every=2))
    return module


def test_validation_sees_the_module_in_evaluation_mode_and_changes_no_number(tmp_path):
    best = {}

    def look(module):
        def validate(done):
            assert not any(part.training for part in module.modules()) and not torch.is_grad_enabled()
            torch.rand(7)
            best.update(step=done, weight=module[0].weight.clone())
            return {"completeness": done / 10}

        return validate

    plain, watched = trained(tmp_path / "plain"), trained(tmp_path / "watched", look)
    for key, value in plain.state_dict().items():
        assert torch.equal(value, watched.state_dict()[key]), key
    assert [part.training for part in watched] == [True, False, True]
    assert best["step"] == 5 and torch.equal(best["weight"], watched[0].weight)
    lines = [json.loads(line) for line in (tmp_path / "watched" / "log.jsonl").read_text().splitlines()]
    assert [line.get("completeness") for line in lines] == [None, 0.2, None, 0.4, 0.5]
