"""Networks by name, the user's own among them."""

import subprocess
import sys

import pytest
import torch
import torch.nn.functional as F

from traqpoint.errors import ConfigError, WeightsError
from traqpoint.geometry.pixels import pixel_grid
from traqpoint.models import weights
from traqpoint.models.backbones import build_backbone
from traqpoint.models.config import DESCRIPTORS, ModelConfig
from traqpoint.models.traqpoint import TraqPoint

OWN = """
from torch import nn
from traqpoint.models.config import Network
from traqpoint.models.descriptor import DescriptorNetwork

class Patches(DescriptorNetwork):
    stride = output_stride = 8

    def __init__(self, config):
        super().__init__()
        self.dim = config.descriptor_dim
        self.embed = nn.Conv2d(3, self.dim, 8, 8)

    def forward(self, images):
        return self.embed(images)

NETWORK = Network(Patches, dim=24)

def linear():
    return nn.Linear(2, 2)
"""


@pytest.fixture
def own(tmp_path) -> str:
    (tmp_path / "own.py").write_text(OWN)
    return str(tmp_path / "own.py")


def test_what_is_not_chosen_is_the_networks_own():
    assert ModelConfig() == ModelConfig("small", 64, "")
    assert ModelConfig("base") == ModelConfig("base", 256, "convnext-b")
    assert ModelConfig("base", 32, "resnet50").descriptor_dim == 32


def test_choosing_a_network_loads_no_torch():
    code = "import sys, traqpoint.models.config as c; c.ModelConfig('base', backbone='resnet50'); print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert "traqpoint.models.config" in loaded and "torch" not in loaded


@pytest.mark.parametrize("name", DESCRIPTORS)
def test_every_descriptor_network_gives_the_descriptors_that_it_declares(name):
    backbone = "small" if DESCRIPTORS[name].backbone else ""
    net = TraqPoint(ModelConfig(name, 32, backbone)).eval().descriptor
    with torch.no_grad():
        maps = net.maps(torch.rand(2, 3, 64, 96))
        descriptors, matchability = net.dense(maps), net.matchability(maps)
        points = net.at(maps, pixel_grid(64, 96, net.output_stride).expand(2, -1, -1), (96, 64))
    s = net.output_stride
    assert descriptors.shape == (2, net.dim, 64 // s, 96 // s) and net.dim == 32
    assert torch.allclose(points, F.normalize(descriptors, dim=1).flatten(2).transpose(1, 2), atol=1e-5)
    assert matchability is None or matchability.shape == (2, 1, 64 // s, 96 // s)


def test_a_descriptor_network_joins_from_outside(own, tmp_path):
    model = TraqPoint(ModelConfig(f"{own}:NETWORK")).eval()
    assert model.config.descriptor_dim == 24 and model.stride == 32
    with torch.no_grad():
        out = model.dense(torch.rand(1, 3, 50, 71))
    assert out.logits.shape == (1, 1, 50, 71) and out.descriptors.shape == (1, 24, 7, 9) and out.matchability is None
    model.save_pretrained(tmp_path / "own.safetensors")
    assert TraqPoint.from_pretrained(tmp_path / "own.safetensors").sha256 == model.sha256


@pytest.mark.slow
def test_a_weight_file_does_not_choose_what_is_run(own, tmp_path, monkeypatch):
    """A program that has not imported the code refuses the file, unless its user says that he trusts it."""
    TraqPoint(ModelConfig(f"{own}:NETWORK")).save_pretrained(tmp_path / "own.safetensors")
    code = f"from traqpoint import TraqPoint; TraqPoint.from_pretrained({str(tmp_path / 'own.safetensors')!r})"
    refused = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert f"set {weights.TRUST}={own}:NETWORK" in refused.stderr.splitlines()[-1]
    monkeypatch.setenv(weights.TRUST, f"other:thing,{own}:NETWORK")
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_header_cannot_import_a_library(tmp_path):
    model = TraqPoint(ModelConfig("base", 32, "small"))
    config = {"descriptor": "base", "descriptor_dim": 32, "backbone": "antigravity:fly", "align_corners": False}
    weights.write(tmp_path / "w.safetensors", model.state_dict(), config, {})
    with pytest.raises(WeightsError, match=r"w\.safetensors: .*antigravity:fly, which no weight file may run"):
        TraqPoint.from_pretrained(tmp_path / "w.safetensors")
    assert "antigravity" not in sys.modules


@pytest.mark.parametrize(("name", "reason"), [("linear", "must be a .*Backbone"), ("nothing", "has no 'nothing'")])
def test_what_is_no_backbone_is_refused(own, name, reason):
    with pytest.raises(ConfigError, match=reason):
        build_backbone(f"{own}:{name}")


def test_names_are_checked_before_anything_is_imported():
    with pytest.raises(ConfigError, match=r"unknown backbone 'vgg'; known are convnext-t, .*module:name"):
        ModelConfig("base", backbone="vgg")
    assert ModelConfig("base", backbone="no_such_module:Backbone").backbone == "no_such_module:Backbone"
