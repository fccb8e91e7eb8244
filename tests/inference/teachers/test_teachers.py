"""Networks that describe given points: each says at its own keypoints what it says when it detects them itself."""

import importlib.util

import pytest
import torch
from research_data import PEERS

from traqpoint.errors import ConfigError, WeightsError
from traqpoint.image import pad_to_multiple
from traqpoint.inference.extractor import Extractor
from traqpoint.inference.teachers.build import build_teacher
from traqpoint.inference.teachers.teacher import licence_of

with_kornia = pytest.mark.skipif(
    not PEERS.is_dir() or importlib.util.find_spec("kornia") is None, reason="needs kornia and the peers' weights"
)


def picture(height=70, width=100):
    small = torch.rand(1, 3, height // 4, width // 4, generator=torch.Generator().manual_seed(0))
    return torch.nn.functional.interpolate(small, (height, width), mode="bicubic", align_corners=False)[0].clamp(0, 1)


@with_kornia
@pytest.mark.parametrize(("name", "licence"), [("aliked-n16rot", "BSD-3-Clause"), ("disk", "Apache-2.0")])
def test_kornias_networks_describe_their_own_keypoints_as_they_do_themselves(name, licence):
    teacher = build_teacher(name, PEERS)
    with torch.inference_mode():
        found = teacher.network(pad_to_multiple(picture(), 32)[None])[0]
    assert len(found.keypoints) > 3
    described = teacher.describe(picture(), found.keypoints.float() + 0.5)
    assert torch.allclose(described, found.descriptors.float(), atol=1e-5)
    assert licence_of(teacher) == licence


@pytest.mark.skipif(not PEERS.is_dir(), reason="needs the peers' weights")
def test_edgepoint2_gives_unit_descriptors_and_keypoints_off_the_border_best_first():
    teacher = build_teacher("edgepoint2-T32", PEERS)
    xy = teacher.keypoints(picture(), 20)
    assert len(xy) == 20 and bool(((xy >= 4) & (xy < torch.tensor([96, 66]))).all())
    assert torch.equal(teacher.keypoints(picture(), 5), xy[:5])
    described = teacher.describe(picture(), xy)
    assert described.shape == (20, 32) and torch.allclose(described.norm(dim=1), torch.ones(20))
    assert licence_of(teacher) == "MIT"


def test_weights_of_ours_describe_as_the_extractor_does():
    features = Extractor("traqpoint-s", max_keypoints=30, device="cpu")(picture())
    described = build_teacher("traqpoint-s").describe(picture(), features.keypoints)
    assert torch.allclose(described, features.descriptors, atol=1e-4)


def test_two_images_in_turn_do_not_mix():
    teacher = build_teacher("traqpoint-s")
    a, b, xy = picture(), picture().flip(0, 1), torch.tensor([[20.0, 20.0]])
    first, second = teacher.describe(a, xy), teacher.describe(b, xy)
    assert torch.equal(teacher.describe(a, xy), first) and not torch.equal(first, second)


def test_missing_weights_name_the_file_and_the_option(tmp_path):
    with pytest.raises(WeightsError, match=r"edgepoint2-E64\.pth: no such file.*teachers\.folder"):
        build_teacher("edgepoint2-E64", tmp_path)
    with pytest.raises(WeightsError, match=r"edgepoint2-E64\.pth: the teachers' folder is not given"):
        build_teacher("edgepoint2-E64")
    with pytest.raises(WeightsError, match="nothing: no such folder"):
        build_teacher("edgepoint2-E64", tmp_path / "nothing")


def test_a_file_of_another_network_is_named(tmp_path):
    torch.save({"weight": torch.zeros(3)}, tmp_path / "edgepoint2-E64.pth")
    with pytest.raises(WeightsError, match=r"edgepoint2-E64\.pth: does not fit EdgePoint2"):
        build_teacher("edgepoint2-E64", tmp_path)
    (tmp_path / "edgepoint2-E64.pth").write_text("text")
    with pytest.raises(WeightsError, match=r"edgepoint2-E64\.pth"):
        build_teacher("edgepoint2-E64", tmp_path)


def test_what_is_no_teacher_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="unknown teacher 'edgepoint'; known are edgepoint2-T32"):
        build_teacher("edgepoint")
    (tmp_path / "mine.py").write_text(
        "def silent(name, folder, device): return object()\n"
        "def broken(name, folder, device): return 1 / 0\n"
        "def short(): pass\n"
    )
    for name, reason in (("silent", "builds a object"), ("broken", "ZeroDivisionError"), ("short", "positional")):
        with pytest.raises(ConfigError, match=reason):
            build_teacher(f"{tmp_path / 'mine.py'}:{name}")
