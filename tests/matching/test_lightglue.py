import warnings
from functools import partial

import pytest
import torch
from random_inputs import random_features

from traqpoint.errors import ConfigError, FormatError, WeightsError
from traqpoint.matching.lightglue import LightGlue
from traqpoint.types import Features

pytestmark = pytest.mark.usefixtures("device")

kornia = pytest.importorskip("kornia")


def network(input_dim, width=32, heads=2, seed=0):
    torch.manual_seed(seed)
    return kornia.feature.LightGlue(None, input_dim=input_dim, descriptor_dim=width, n_layers=3, num_heads=heads).eval()


features = partial(random_features, dim=16, image_size=(64, 48))


def trained(input_dim=16):
    """A network that trusts similar descriptors: its layers pass on, its assignment is sure."""
    net = network(input_dim)
    with torch.no_grad():
        for layer in net.transformers:
            for block in (layer.self_attn, layer.cross_attn):
                block.ffn[3].weight.zero_()
                block.ffn[3].bias.zero_()
                block.ffn[1].bias.fill_(0.01)
        for assignment in net.log_assignment:
            assignment.final_proj.weight.copy_(20 * torch.eye(32))
            assignment.matchability.bias.fill_(9.0)
    return net


@pytest.fixture
def path(tmp_path):
    torch.save(trained().state_dict(), tmp_path / "glue.pth")
    return tmp_path / "glue.pth"


def test_the_same_features_in_another_order_are_matched_to_themselves(path):
    a = features(40)
    order = torch.randperm(40, generator=torch.Generator().manual_seed(3))
    b = Features(a.keypoints[order], a.scores, a.descriptors[order], a.image_size)
    matches = LightGlue(path)(a, b)
    assert len(matches) > 30
    assert torch.equal(order[matches.indices[:, 1]], matches.indices[:, 0])
    assert ((matches.scores > 0.1) & (matches.scores <= 1)).all()


def test_matches_are_kornias_with_keypoints_at_integer_centres(path, device):
    a, b = features(40, seed=1), features(40, seed=2)
    data = {
        f"image{i}": {
            "keypoints": (f.keypoints - 0.5).clamp(min=0)[None],
            "descriptors": f.descriptors[None],
            "image_size": torch.tensor([[64, 48]]),
        }
        for i, f in enumerate((a, b))
    }
    net = trained().to(device)
    net.conf.filter_threshold = 0.0
    with torch.no_grad():
        expected = net(data)
    matches = LightGlue(path, min_score=0.0)(a, b)
    assert len(matches) and torch.equal(matches.indices, expected["matches"][0])
    assert torch.allclose(matches.scores, expected["scores"][0])


def test_keypoints_at_the_very_border_are_accepted(path):
    a = features(4)
    a = Features(
        torch.tensor([[0.0, 0.0], [63.999, 47.999], [0.0, 47.999], [63.999, 0.0]]), *list(vars(a).values())[1:]
    )
    assert len(LightGlue(path)(a, a)) == 4


def test_the_first_releases_names_and_wrappings_load_too(path, tmp_path):
    old = {}
    for key, value in trained().state_dict().items():
        part = key.split(".")
        if part[0] == "transformers":
            key = ".".join([part[2], part[1], *part[3:]])
        old["matcher." + key] = value
    torch.save(old, tmp_path / "old.pth")
    a, b = features(40, seed=1), features(40, seed=1)
    assert torch.equal(LightGlue(tmp_path / "old.pth")(a, b).indices, LightGlue(path)(a, b).indices)


def test_descriptors_of_another_size_are_refused_with_both_sizes(path):
    with pytest.raises(FormatError, match=r"glue\.pth: .* of 16 dimensions, got 64"):
        LightGlue(path)(features(), features(dim=64))


def test_an_image_without_keypoints_has_no_matches(path):
    empty = Features(torch.zeros(0, 2), torch.zeros(0), torch.zeros(0, 16), (64, 48))
    matches = LightGlue(path)(features(), empty)
    assert matches.indices.shape == (0, 2) and matches.scores.shape == (0,)


def test_files_that_are_not_lightglues_are_refused(tmp_path, path):
    with pytest.raises(WeightsError, match="no such weight file"):
        LightGlue(tmp_path / "none.pth")
    torch.save(torch.nn.Linear(2, 2).state_dict(), tmp_path / "linear.pth")
    with pytest.raises(WeightsError, match=r"linear\.pth: no LightGlue weights"):
        LightGlue(tmp_path / "linear.pth")
    (tmp_path / "cut.pth").write_bytes(path.read_bytes()[:1000])
    with pytest.raises(WeightsError, match=r"cut\.pth: truncated"):
        LightGlue(tmp_path / "cut.pth")
    state = trained().state_dict()
    del state["log_assignment.0.final_proj.bias"]
    torch.save(state, tmp_path / "less.pth")
    with pytest.raises(WeightsError, match=r"1 missing \(first: log_assignment\.0\.final_proj\.bias"):
        LightGlue(tmp_path / "less.pth")


def test_a_probability_above_one_is_refused(path):
    with pytest.raises(ConfigError):
        LightGlue(path, min_score=2)


def test_weights_that_were_never_trained_are_told(tmp_path, path):
    torch.save(network(16).state_dict(), tmp_path / "fresh.pth")
    with pytest.warns(UserWarning, match=r"fresh\.pth: LightGlue that was never trained"):
        LightGlue(tmp_path / "fresh.pth")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        LightGlue(path)
