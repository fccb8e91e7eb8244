import pytest
import torch

from traqpoint.data.config import HomographyConfig
from traqpoint.data.homography import HomographySequences
from traqpoint.models.backbones import ConvNeXt, ResNet, SmallBackbone
from traqpoint.models.config import BACKBONES, ModelConfig
from traqpoint.models.layers import frozen
from traqpoint.models.traqpoint import TraqPoint
from traqpoint.policy.config import PolicyConfig
from traqpoint.training.config import DescriptorConfig
from traqpoint.training.descriptor_step import descriptor_step
from traqpoint.training.policy_step import Weights, policy_step

FLAT = {
    "convnext-t": lambda: ConvNeXt((1, 1, 1, 1), (96, 192, 384, 768)),
    "convnext-b": lambda: ConvNeXt((1, 1, 1, 1), (128, 256, 512, 1024)),
    "resnet50": lambda: ResNet((1, 1, 1, 1)),
    "small": SmallBackbone,
}
"""The registered backbones, one block per stage."""


@pytest.fixture(params=BACKBONES)
def model(request, monkeypatch) -> TraqPoint:
    monkeypatch.setitem(BACKBONES._known, request.param, FLAT[request.param])
    torch.manual_seed(0)
    return TraqPoint(ModelConfig("base", 32, request.param)).train()


@pytest.fixture(scope="module")
def batch():
    """80 px: no multiple of the backbones' stride."""
    g = torch.Generator().manual_seed(0)
    photos = [(torch.rand(3, 96, 96, generator=g) * 255).byte() for _ in range(2)]
    return HomographySequences(photos, HomographyConfig(image_size=80, num_frames=3)).sample(2, g)


@pytest.mark.slow
def test_stage_one_lowers_its_loss_on_one_batch_and_reaches_every_layer(model, batch):
    optimizer = torch.optim.AdamW(model.descriptor.parameters(), lr=1e-3)
    losses = []
    for _ in range(4):
        generator = torch.Generator().manual_seed(1)
        loss, _ = descriptor_step(batch, model, DescriptorConfig(points_per_frame=64), generator)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < losses[0]
    heads = ("matchability_head", "attention_weights", "sampling_offsets")
    for name, parameter in model.descriptor.named_parameters():
        if not name.startswith(heads[0]):
            assert parameter.grad is not None and bool(torch.isfinite(parameter.grad).all()), name
            assert any(head in name for head in heads) or float(parameter.grad.abs().max()) > 0, name


@pytest.mark.slow
def test_stage_two_trains_the_policy_and_leaves_the_descriptor_alone(model, batch):
    frozen(model.descriptor)
    loss, stats = policy_step(batch, model, PolicyConfig(), Weights(1.0, 0.0), torch.Generator().manual_seed(1))
    loss.backward()
    assert bool(torch.isfinite(loss)) and stats["reward"] >= 0
    assert max(float(p.grad.abs().max()) for p in model.detector.parameters() if p.grad is not None) > 0
    assert all(p.grad is None for p in model.descriptor.parameters())
