from collections import OrderedDict

import pytest
import torch
from safetensors.torch import save_file

from traqpoint.cli.main import main
from traqpoint.errors import WeightsError
from traqpoint.models.backbones import ConvNeXt, ResNet
from traqpoint.models.config import BACKBONES, MODELS, ModelConfig
from traqpoint.models.convert import AUTHORS, convert, load_backbone
from traqpoint.models.traqpoint import TraqPoint
from traqpoint.models.weights import describe_weights
from traqpoint.tensors import file_names


def tiny_convnext():
    return ConvNeXt((1, 1, 1, 1), (8, 8, 16, 16))


@pytest.fixture(autouse=True)
def tiny(monkeypatch):
    """A base model with the authors' names and few numbers."""
    monkeypatch.setitem(BACKBONES._known, "convnext-b", tiny_convnext)
    monkeypatch.setitem(MODELS, "traqpoint-b", ModelConfig("base", 32, align_corners=True))


@pytest.fixture
def state():
    """A checkpoint as the authors write it, its final norm under both names."""
    torch.manual_seed(0)
    model = TraqPoint(MODELS["traqpoint-b"])
    tensors = model.state_dict()
    state = {name: torch.rand_like(tensors[key].float()) for name, key in file_names(model, AUTHORS).items()}
    state = {name: torch.tensor(7) if "num_batches" in name else value for name, value in state.items()}
    for leaf in ("weight", "bias"):
        state[f"descriptor.backbone.0.dino.norm.{leaf}"] = state[f"descriptor.backbone.0.dino.norms.3.{leaf}"]
    return state


def converted(state, tmp_path, **options):
    torch.save(state, tmp_path / "in.pth")
    convert(tmp_path / "in.pth", tmp_path / "out.safetensors", **options)
    return TraqPoint.from_pretrained(tmp_path / "out.safetensors")


def assert_holds(model, state):
    for name, key in file_names(model, AUTHORS).items():
        assert torch.allclose(model.state_dict()[key].float(), state[name].float(), atol=1e-2), name


@pytest.mark.slow
@pytest.mark.parametrize(
    "wrap",
    [
        lambda s: s,
        lambda s: OrderedDict(s),
        lambda s: {"state_dict": s, "epoch": 3},
        lambda s: {"model": {"module." + k: v for k, v in s.items()}},
        lambda s: {k: v.half() for k, v in s.items()},
        lambda s: {k: v.bfloat16() for k, v in s.items()},
    ],
    ids=["plain", "ordered", "wrapped", "parallel", "half", "bfloat16"],
)
def test_a_checkpoint_is_converted_however_it_is_wrapped(state, tmp_path, wrap):
    model = converted(wrap(state), tmp_path)
    assert_holds(model, state)
    assert model.config.align_corners
    assert all(t.dtype in (torch.float32, torch.int64) for t in model.state_dict().values())


def test_a_safetensors_checkpoint_is_converted_too(state, tmp_path):
    save_file({k: v.clone() for k, v in state.items()}, tmp_path / "in.safetensors")
    convert(tmp_path / "in.safetensors", tmp_path / "out.safetensors")
    assert_holds(TraqPoint.from_pretrained(tmp_path / "out.safetensors"), state)


def test_the_file_says_whence_it_comes_and_under_which_licence(state, tmp_path):
    converted(state, tmp_path)
    about = describe_weights(tmp_path / "out.safetensors")
    assert about["source"] == "in.pth" and len(about["source_sha256"]) == len(about["sha256"]) == 64
    assert "DINOv3" in about["license"] and "backbone=convnext-b" in about["config"]


def test_what_does_not_fit_is_named_and_nothing_is_written(state, tmp_path, capsys):
    del state["detector.conv1.weight"]
    state["detector.policy_head.weight"] = torch.zeros(2, 64, 1, 1)
    state["descriptor.extra"] = torch.zeros(1)
    torch.save(state, tmp_path / "in.pth")
    assert main(["convert", str(tmp_path / "in.pth"), "--out", str(tmp_path / "out.safetensors")]) == 1
    err = capsys.readouterr().err
    assert "missing detector.conv1.weight" in err and "unexpected descriptor.extra" in err
    assert "misshapen detector.policy_head.weight [2, 64, 1, 1] instead of [1, 64, 1, 1]" in err
    assert "1 missing" in err.splitlines()[-1] and not (tmp_path / "out.safetensors").exists()


def test_partial_keeps_what_fits_and_says_how_much_does_not(state, tmp_path, capsys):
    del state["detector.conv1.weight"]
    torch.save(state, tmp_path / "in.pth")
    out = tmp_path / "out.safetensors"
    assert main(["convert", str(tmp_path / "in.pth"), "--out", str(out), "--partial"]) == 0
    assert describe_weights(out)["initial_values"] == "1 tensors"
    loaded = TraqPoint.from_pretrained(out)
    assert torch.equal(loaded.detector.conv2.weight, state["detector.conv2.weight"])


def test_another_models_weights_are_refused_even_in_part(tmp_path):
    with pytest.raises(WeightsError, match="another model's weights"):
        converted(dict(torch.nn.Linear(2, 2).state_dict()), tmp_path, partial=True)


def test_dinov3_weights_load_under_metas_and_transformers_names(tmp_path):
    torch.manual_seed(1)
    theirs = tiny_convnext().state_dict()
    meta = theirs | {f"norms.3.{leaf}": theirs[f"norm.{leaf}"] for leaf in ("weight", "bias")}
    hf = {}
    for key, value in theirs.items():
        part, *rest = key.split(".")
        if part == "downsample_layers":
            hf[".".join(["stages", rest[0], part, *rest[1:]])] = value
        elif part == "norm":
            hf[f"layer_norm.{rest[0]}"] = value
        else:
            leaf = ".".join(rest[2:]).replace("dwconv", "depthwise_conv").replace("pwconv", "pointwise_conv")
            hf[f"stages.{rest[0]}.layers.{rest[1]}.{leaf.replace('norm.', 'layer_norm.')}"] = value
    assert len(hf) == len(theirs)
    torch.save(meta, tmp_path / "meta.pth")
    save_file(hf, tmp_path / "hf.safetensors")
    for name in ("meta.pth", "hf.safetensors"):
        torch.manual_seed(2)
        backbone = tiny_convnext()
        load_backbone(backbone, tmp_path / name)
        for key, value in backbone.state_dict().items():
            assert torch.equal(value, theirs[key]), (name, key)


def test_resnet_weights_load_with_their_classifier_and_without_batch_counters(tmp_path):
    torch.manual_seed(1)
    theirs = {k: v for k, v in ResNet((1, 1, 1, 1)).state_dict().items() if "num_batches" not in k}
    torch.save(theirs | {"fc.weight": torch.zeros(10, 2048), "fc.bias": torch.zeros(10)}, tmp_path / "r.pth")
    backbone = ResNet((1, 1, 1, 1))
    load_backbone(backbone, tmp_path / "r.pth")
    assert torch.equal(backbone.conv1.weight, theirs["conv1.weight"])
    with pytest.raises(WeightsError, match="does not fit ConvNeXt"):
        load_backbone(tiny_convnext(), tmp_path / "r.pth")
