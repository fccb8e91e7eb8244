import pytest
import torch
import torch.nn.functional as F

from traqpoint.errors import WeightsError
from traqpoint.inference.extractor import Extractor
from traqpoint.inference.settings import describe_extractor
from traqpoint.models import weights
from traqpoint.models.config import MODELS, ModelConfig
from traqpoint.models.descriptor import SmallDescriptor
from traqpoint.models.detector import PolicyNetwork
from traqpoint.models.layers import channels_last
from traqpoint.models.traqpoint import TraqPoint

pytestmark = pytest.mark.usefixtures("device")


@pytest.fixture(scope="module")
def model(device):
    torch.manual_seed(0)
    return TraqPoint().eval().to(device)


def test_the_policy_network_has_the_size_of_the_paper():
    assert sum(p.numel() for p in PolicyNetwork().parameters()) == 78632


def test_the_descriptor_is_small_and_of_stride_at_most_8():
    assert sum(p.numel() for p in SmallDescriptor(ModelConfig()).parameters()) <= 1_000_000
    assert SmallDescriptor.output_stride <= 8


def test_one_logit_per_pixel_and_one_descriptor_per_cell(model):
    logits, descriptors = model.dense(torch.rand(2, 3, 64, 96))[:2]
    assert logits.shape == (2, 1, 64, 96)
    assert descriptors.shape == (2, 64, 16, 24)


def test_the_head_before_upsampling_equals_the_head_after_it(device):
    torch.manual_seed(1)
    net = PolicyNetwork().eval().to(device)
    x = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        x1 = net.block1(x)
        x2 = net.block2(F.max_pool2d(x1, 2))
        x3 = net.block3(F.max_pool2d(x2, 4))
        x4 = net.block4(F.max_pool2d(x3, 4))
        levels = [F.relu(c(v)) for c, v in ((net.conv1, x1), (net.conv2, x2), (net.conv3, x3), (net.conv4, x4))]
        full = [F.interpolate(v, size=(64, 64), mode="bilinear", align_corners=False) for v in levels]
        expected = net.policy_head(torch.cat(full, 1))
        assert torch.allclose(net(x), expected, atol=1e-5)


def test_folding_batch_norms_changes_no_output(device):
    torch.manual_seed(2)
    net = TraqPoint().to(device)
    net.train().dense(torch.rand(4, 3, 64, 64))  # give the running statistics something to hold
    x = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        before = net.eval().dense(x)
        after = net.folded().dense(x)
    assert not any(isinstance(m, torch.nn.BatchNorm2d) for m in net.modules())
    for a, b in zip(before[:2], after[:2], strict=True):
        assert torch.allclose(a, b, atol=1e-4)


def test_weights_come_back_bit_exact_with_their_metadata(model, tmp_path):
    digest = model.save_pretrained(tmp_path / "w.safetensors", {"licence": "Apache-2.0"})
    _, metadata = weights.read(tmp_path / "w.safetensors")
    assert metadata["licence"] == "Apache-2.0" and metadata["sha256"] == digest
    loaded = TraqPoint.from_pretrained(tmp_path / "w.safetensors")
    assert not loaded.training
    for key, value in model.state_dict().items():
        assert torch.equal(loaded.state_dict()[key], value.cpu())


@pytest.mark.parametrize("damage", ["truncated", "flipped", "empty", "text", "other", "missing"])
def test_bad_weight_files_are_refused_by_name(model, tmp_path, damage):
    path = tmp_path / "bad.safetensors"
    model.save_pretrained(path)
    data = bytearray(path.read_bytes())
    if damage == "truncated":
        path.write_bytes(data[: len(data) // 2])
    elif damage == "flipped":
        data[-100] ^= 0xFF
        path.write_bytes(data)
    elif damage == "empty":
        path.write_bytes(b"")
    elif damage == "text":
        path.write_text("not weights")
    elif damage == "other":
        weights.write(path, torch.nn.Linear(2, 2).state_dict(), {}, {})
    else:
        path.unlink()
    with pytest.raises(WeightsError, match=r"bad\.safetensors"):
        TraqPoint.from_pretrained(path)


def test_weights_with_nan_are_refused(tmp_path):
    model = TraqPoint()
    torch.nn.init.constant_(model.detector.policy_head.weight, float("nan"))
    model.save_pretrained(tmp_path / "bad.safetensors")
    with pytest.raises(WeightsError, match="NaN"):
        TraqPoint.from_pretrained(tmp_path / "bad.safetensors")


def test_unknown_names_are_answered_with_the_known_ones():
    with pytest.raises(WeightsError, match="traqpoint-s"):
        TraqPoint.from_pretrained("traqpoint-xxl")


@pytest.mark.parametrize("name", weights.available())
def test_the_packaged_weights_load_are_what_their_name_says_and_fit_the_size_limit(name):
    assert weights.locate(name).stat().st_size < 4_000_000
    assert TraqPoint.from_pretrained(name).config == MODELS[name]
    assert (weights.FOLDER / f"{name}.md").is_file()


def test_a_model_is_known_by_its_weights_whatever_becomes_of_the_file(tmp_path):
    """The hash is that of the unfolded weights, in the file, in memory, folded, and in an extractor."""
    path = tmp_path / "w.safetensors"
    torch.manual_seed(0)
    digest = TraqPoint().save_pretrained(path, {"license": "CC0-1.0"})
    model = TraqPoint.from_pretrained(path)
    assert model.metadata["license"] == "CC0-1.0" and model.sha256 == model.metadata["sha256"] == digest
    extractor = Extractor(path, device="cpu")
    path.unlink()
    assert channels_last(model.folded()).sha256 == digest
    assert describe_extractor(extractor)["weights_sha256"] == digest


@pytest.mark.parametrize("change", [lambda w: w.data.mul_(2), torch.nn.init.zeros_])
def test_a_model_that_was_changed_after_reading_is_another_one(change):
    model = TraqPoint.from_pretrained("traqpoint-s-v1")
    change(model.detector.policy_head.weight)
    assert model.sha256 != model.metadata["sha256"]
    assert describe_extractor(Extractor(model, device="cpu"))["weights_sha256"] != model.metadata["sha256"]
