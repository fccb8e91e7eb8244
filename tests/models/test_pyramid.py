"""The second generation: one trunk, descriptors at keypoints, logits from half resolution."""

import pytest
import torch
import torch.nn.functional as F

from traqpoint.errors import ConfigError
from traqpoint.inference.extractor import Extractor
from traqpoint.models.config import DESCRIPTORS, MODELS, ModelConfig, Network, PyramidShape
from traqpoint.models.layers import ConvBlock
from traqpoint.models.pyramid import PyramidDescriptor, standardised
from traqpoint.models.pyramid_detector import _shuffled
from traqpoint.models.traqpoint import TraqPoint


@pytest.fixture(params=["traqpoint-s", "traqpoint-t"])
def model(request):
    """Random weights, and running statistics that have seen something."""
    torch.manual_seed(0)
    net = TraqPoint(MODELS[request.param])
    net.train().dense(torch.rand(4, 3, 64, 96))
    return net.eval()


def pattern(height=96, width=128, seed=0):
    noise = torch.rand(1, 3, height // 4, width // 4, generator=torch.Generator().manual_seed(seed))
    return F.interpolate(noise, (height, width), mode="bicubic").clamp(0, 1)


def test_brightness_and_contrast_cancel(model):
    image = 0.2 + 0.5 * pattern()
    changed = 0.6 * image + 0.1
    with torch.no_grad():
        for a, b in zip(model.dense(image)[:2], model.dense(changed)[:2], strict=True):
            assert torch.allclose(a, b, atol=1e-3)


def test_an_image_is_standardised_by_its_own_part_alone():
    small, large = pattern(64, 64), pattern(96, 96, seed=1)
    padded = F.pad(small, (0, 32, 0, 32), value=0.7)
    together = standardised(torch.cat([padded, large]), [(64, 64), (96, 96)])
    assert torch.allclose(together[0, :, :64, :64], standardised(small)[0], atol=1e-5)
    assert torch.allclose(together[1], standardised(large)[0], atol=1e-5)
    assert float(standardised(torch.full((1, 3, 8, 8), 0.5)).abs().max()) < 1e-4


def test_descriptors_at_points_are_those_of_the_dense_map_there(model):
    image = pattern()
    net = model.descriptor
    with torch.no_grad():
        maps = net.maps(image)
        xy = torch.tensor([[[2.0, 2.0], [42.0, 30.0], [126.0, 94.0]]])
        found = net.at(maps, xy, (128, 96))
        dense = net.dense(maps)
    cells = (xy[0] / net.output_stride).floor().long()
    assert torch.allclose(found[0], dense[0, :, cells[:, 1], cells[:, 0]].T, atol=1e-5)
    assert torch.allclose(found.norm(dim=-1), torch.ones(1, 3), atol=1e-5)


def test_a_logit_per_pixel_sees_its_own_pixel(model):
    """Four logits of a cell of 2 × 2 pixels are four logits: each has a gradient of its own to the image."""
    image = pattern().requires_grad_(True)
    maps = model.descriptor.maps(image)
    logits = model.logits(image, maps)
    assert logits.shape == (1, 1, 96, 128)
    pixels = ((40, 60), (41, 61))
    first, last = (torch.autograd.grad(logits[0, 0, y, x], image, retain_graph=True)[0] for y, x in pixels)
    assert not torch.allclose(first, last)


def test_folding_changes_nothing(model):
    image = pattern()
    with torch.no_grad():
        before = model.dense(image)
        after = model.folded().dense(image)
    assert not any(isinstance(m, torch.nn.BatchNorm2d) for m in model.modules())
    for a, b in zip(before[:2], after[:2], strict=True):
        assert torch.allclose(a, b, atol=1e-4)


def test_it_is_saved_and_extracts(model, tmp_path):
    path = tmp_path / "second.safetensors"
    model.save_pretrained(path)
    assert TraqPoint.from_pretrained(path).config == model.config
    extractor = Extractor(path, max_keypoints=100, prominence=0.0, device="cpu")
    small, large = (F.interpolate(pattern(), s)[0] for s in ((90, 111), (96, 128)))
    alone, together = extractor(small), extractor.batch([small, large])[0]
    assert len(alone) == 100 and alone.descriptors.shape == (100, 64)
    assert torch.allclose(alone.keypoints, together.keypoints, atol=1e-3)
    assert torch.allclose(alone.descriptors, together.descriptors, atol=1e-3)


def test_another_shape_is_one_line(tmp_path):
    """As the search over widths does it: sampled around each keypoint, too."""
    name = f"wide-{tmp_path.name}"
    DESCRIPTORS.register(
        name,
        Network("traqpoint.models.pyramid:PyramidDescriptor", 32, shape=PyramidShape((8, 8, 16, 16, 16), offsets=4)),
    )
    net = TraqPoint(ModelConfig(name, detector="pyramid")).train()
    assert isinstance(net.descriptor, PyramidDescriptor) and net.descriptor.around is not None
    maps = net.descriptor.maps(pattern())
    found = net.descriptor.at(maps, torch.tensor([[[64.0, 48.0], [20.0, 20.0]]]), (128, 96))
    found.square().sum().backward()
    assert found.shape == (1, 2, 32)
    assert net.descriptor.around.choose.bias.grad is not None
    assert next(m for m in net.descriptor.modules() if isinstance(m, ConvBlock))[0].weight.grad.abs().sum() > 0


def test_its_detector_needs_its_trunk():
    with pytest.raises(ConfigError, match="stands on a pyramid descriptor, not on 'small'"):
        TraqPoint(ModelConfig("small", detector="pyramid"))


def test_cells_are_laid_out_as_pixel_shuffle_does_it():
    cells = torch.rand(2, 4, 3, 5)
    assert torch.equal(_shuffled(cells), F.pixel_shuffle(cells, 2))
