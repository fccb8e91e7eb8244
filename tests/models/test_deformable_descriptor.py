import pytest
import torch
import torch.nn.functional as F

from traqpoint.errors import ConfigError
from traqpoint.inference.extractor import Extractor
from traqpoint.models import backbones
from traqpoint.models.backbones import STRIDES, Backbone, build_backbone
from traqpoint.models.config import BACKBONES, MODELS, ModelConfig
from traqpoint.models.deformable_descriptor import DeformableDescriptor
from traqpoint.models.traqpoint import TraqPoint

pytestmark = pytest.mark.usefixtures("device")


class Averages(Backbone):
    """Cells that know nothing of each other: what padding does afterwards is then the encoder's doing alone."""

    channels = (3, 3, 3, 3)

    def forward(self, images):
        return [F.avg_pool2d(images, stride) for stride in STRIDES]


@pytest.fixture
def descriptor(monkeypatch, device) -> DeformableDescriptor:
    monkeypatch.setitem(BACKBONES._known, "averages", Averages)
    torch.manual_seed(0)
    net = DeformableDescriptor(ModelConfig("base", 32, "averages", align_corners=True)).eval()
    for layer in net.encoder.layers:  # places that differ from token to token
        torch.nn.init.normal_(layer.self_attn.sampling_offsets.weight, std=0.5)
    return net.to(device)


@pytest.mark.parametrize("mode", [torch.no_grad, torch.enable_grad])
def test_what_is_padding_changes_nothing(descriptor, mode):
    images = torch.rand(2, 3, 64, 96)
    padded = torch.rand(2, 3, 128, 160)
    padded[:, :, :64, :96] = images
    with mode():
        alone = descriptor.maps(images)
        within = descriptor.maps(padded, [(96, 64)] * 2)
    for a, b in zip(alone, within, strict=True):
        assert b.shape[-2:] == (32, 40)
        assert torch.allclose(a, b[..., :16, :24], atol=1e-5)


def test_images_of_several_sizes_are_described_as_if_alone(descriptor):
    images = torch.rand(3, 3, 96, 96)
    sizes = [(96, 96), (64, 96), (70, 50)]
    with torch.no_grad():
        together = descriptor.maps(images, sizes)[0]
        for i, size in enumerate(sizes):
            assert torch.allclose(together[i : i + 1], descriptor.maps(images[i : i + 1], [size])[0], atol=1e-5)


def test_any_size_gives_one_descriptor_per_started_cell(descriptor):
    with torch.no_grad():
        descriptors, matchability = descriptor.maps(torch.rand(1, 3, 50, 71))
    assert descriptors.shape == (1, 32, 13, 18) and matchability.shape == (1, 1, 13, 18)
    assert ((matchability > 0) & (matchability < 1)).all()


@pytest.mark.slow
@pytest.mark.parametrize("name", BACKBONES)
def test_every_backbone_gives_the_four_levels_it_declares(name, device):
    torch.manual_seed(0)
    backbone = build_backbone(name).eval().to(device)
    with torch.no_grad():
        levels = backbone(torch.rand(1, 3, 64, 96))
    assert [level.shape[1] for level in levels] == list(backbone.channels)
    assert [tuple(level.shape[-2:]) for level in levels] == [(64 // s, 96 // s) for s in STRIDES]


def test_the_base_model_has_the_size_of_the_authors():
    with torch.device("meta"):
        model = TraqPoint(MODELS["traqpoint-b"])
    assert sum(p.numel() for p in model.parameters()) == pytest.approx(91.6e6, rel=1e-3)


def test_the_mean_colour_of_imagenet_is_zero_after_normalisation():
    grey = torch.tensor([0.485, 0.456, 0.406]).view(1, 3, 1, 1).expand(1, 3, 4, 4)
    assert torch.equal(backbones.normalise(grey), torch.zeros(1, 3, 4, 4))


@pytest.fixture(scope="module")
def small_base(device) -> TraqPoint:
    torch.manual_seed(0)
    return TraqPoint(ModelConfig("base", 32, "small")).eval().to(device)


def test_dense_of_any_size_is_as_large_as_the_image(small_base, device):
    with torch.no_grad():
        out = small_base.dense(torch.rand(2, 3, 50, 71))
    assert out.logits.shape == (2, 1, 50, 71)
    assert out.descriptors.shape == (2, 32, 13, 18) and out.matchability.shape == (2, 1, 13, 18)
    assert TraqPoint().eval().to(device).dense(torch.rand(1, 3, 50, 71)).matchability is None


def test_the_file_brings_the_backbone_and_the_upsampling_back(tmp_path, device):
    model = TraqPoint(ModelConfig("base", 32, "small", align_corners=True)).eval().to(device)
    model.save_pretrained(tmp_path / "b.safetensors")
    loaded = TraqPoint.from_pretrained(tmp_path / "b.safetensors").to(device)
    assert loaded.config == model.config
    image = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        for a, b in zip(loaded.dense(image), model.dense(image), strict=True):
            assert torch.equal(a, b)


@pytest.mark.slow
def test_folding_changes_no_output_and_an_image_is_the_same_alone_and_in_a_batch(device):
    torch.manual_seed(1)
    model = TraqPoint(ModelConfig("base", 32, "small")).to(device)
    model.train().dense(torch.rand(4, 3, 64, 64))  # give the running statistics something to hold
    image = torch.rand(3, 60, 90)
    padded = F.pad(image[None], (0, 6, 0, 4), mode="replicate")
    with torch.no_grad():
        before = model.eval().dense(padded, [(90, 60)])
    extractor = Extractor(model, max_keypoints=50, device=str(device))
    with torch.no_grad():
        for a, b in zip(before, extractor.model.dense(padded, [(90, 60)]), strict=True):
            assert torch.allclose(a, b, atol=1e-3)
    alone = extractor(image)
    together = extractor.batch([torch.rand(3, 64, 96), image])[1]
    assert torch.allclose(alone.keypoints, together.keypoints, atol=1e-4)
    assert torch.allclose(alone.descriptors, together.descriptors, atol=1e-4)


@pytest.mark.parametrize(
    "options",
    [
        {"descriptor": "base", "backbone": "vgg"},
        {"backbone": "convnext-t"},
        {"descriptor": "large"},
        {"descriptor_dim": -1},
    ],
)
def test_networks_that_do_not_exist_are_refused(options):
    with pytest.raises(ConfigError):
        ModelConfig(**options)


def test_a_width_that_the_heads_cannot_share_is_refused():
    with pytest.raises(ConfigError, match="multiple of 32"):
        TraqPoint(ModelConfig("base", 100, "small"))


@pytest.mark.slow
@pytest.mark.parametrize(
    "config", [ModelConfig(), ModelConfig("base", 32, "small"), ModelConfig("base", 32, "convnext-t")]
)
def test_in_bfloat16_keypoints_stay_where_they_are_and_descriptors_nearly(config, monkeypatch, device):
    monkeypatch.setitem(BACKBONES._known, "convnext-t", lambda: backbones.ConvNeXt((1, 1, 1, 1), (96, 192, 384, 768)))
    torch.manual_seed(0)
    model = TraqPoint(config).eval().to(device)
    image = torch.rand(1, 3, 96, 128)
    with torch.no_grad():
        exact = model.dense(image)
        with torch.autocast(device.type, torch.bfloat16):
            low = model.dense(image)
    assert torch.equal(low.logits, exact.logits)
    assert F.cosine_similarity(low.descriptors.float(), exact.descriptors, dim=1).min() > 0.99
