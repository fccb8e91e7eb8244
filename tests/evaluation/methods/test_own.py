"""Methods from outside of the package: how they are named, wrapped, identified, and what is wrong with bad ones."""

import sys

import pytest
import torch

from traqpoint.errors import ConfigError
from traqpoint.evaluation.methods.method import METHODS, as_method, build_method, label
from traqpoint.inference.extractor import Extractor
from traqpoint.inference.settings import describe_extractor
from traqpoint.types import Features

OWN = """
import torch
from traqpoint.types import Features

def extract(image):
    height, width = image.shape[1:]
    xy = torch.tensor([[1.0, 1.0], [width - 1.0, height - 1.0], [width / 2, height / 2], [-3.0, 1.0]])
    return Features(xy, torch.tensor([0.1, 0.3, 0.2, 0.9]), 5 * torch.eye(4), (width, height))

def build(max_keypoints, long_side, device, peers):
    return extract

def picky(max_keypoints):
    return extract

def fails(**options):
    raise RuntimeError("no licence")

def nothing(**options):
    return 3

def liar(**options):
    return lambda image: [1, 2]

class Ready:
    from traqpoint.evaluation.methods.peer import PeerConfig
    config = PeerConfig("ready", 7, None, "mine")
    def __call__(self, image):
        return extract(image)

def ready(**options):
    return Ready()
"""


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "mine.py"
    path.write_text(OWN)
    return path


def test_a_callable_gets_a_shrunk_tensor_and_its_best_keypoints_come_back_in_the_images_pixels(file):
    method = build_method(f"{file}:build", max_keypoints=2, long_side=40)
    found = method(torch.rand(3, 60, 80))
    assert found.image_size == (80, 60)  # seen at 40 x 30; the best of the keypoints is off the image
    assert found.keypoints.tolist() == [[78.0, 58.0], [40.0, 30.0]]
    assert found.descriptors.norm(dim=1).tolist() == [1, 1]
    assert (method.config.max_keypoints, method.config.long_side) == (2, 40)


def test_what_can_say_what_it_is_is_taken_as_it_is(file):
    assert build_method(f"{file}:ready", max_keypoints=99).config.max_keypoints == 7
    extractor = Extractor(max_keypoints=5, device="cpu")
    assert as_method(extractor, max_keypoints=99) is extractor


def test_a_module_on_the_path_is_as_good_as_a_file_and_both_have_its_name(file, monkeypatch):
    monkeypatch.syspath_prepend(str(file.parent))
    monkeypatch.delitem(sys.modules, "mine", raising=False)
    assert label(build_method("mine:build")) == label(build_method(f"{file}:build")) == "mine"
    assert label(as_method(lambda image: image, name="pkg.mine:other")) == "mine-other"


def test_other_code_is_another_method(tmp_path):
    said = []
    for folder, text in (("a", OWN), ("b", OWN), ("c", OWN.replace("0.9", "0.8"))):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "mine.py").write_text(text)
        described = describe_extractor(build_method(f"{tmp_path / folder / 'mine.py'}:build"))
        said.append(described["library"])
    assert said[0] == said[1] != said[2]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("picky", "picky: cannot be built .TypeError: .*unexpected keyword"),
        ("fails", "no licence"),
        ("nothing", "nothing: a method maps an image to Features; int cannot be called"),
        ("absent", "has no 'absent'"),
    ],
)
def test_what_cannot_be_built_is_told_with_its_name(file, name, message):
    with pytest.raises(ConfigError, match=message):
        build_method(f"{file}:{name}")


def test_what_returns_no_features_is_told(file):
    with pytest.raises(ConfigError, match="liar: what it returns for an image is no Features, but list"):
        build_method(f"{file}:liar")(torch.rand(3, 40, 40))


def test_a_family_of_ours_comes_before_a_module_of_its_name(tmp_path, monkeypatch):
    (tmp_path / "kornia.py").write_text(OWN)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match=r"build: kornia\.feature has no local feature of this name"):
        build_method("kornia:build")


def test_a_name_can_be_registered(monkeypatch):
    monkeypatch.setattr(METHODS, "_known", dict(METHODS._known))
    one = torch.tensor([[3.0, 3.0]])
    METHODS.register("mine", lambda **_: lambda image: Features(one, torch.ones(1), torch.eye(1), (8, 8)))
    method = build_method("mine")
    assert label(method) == "mine" and method(torch.rand(3, 8, 8)).keypoints.tolist() == one.tolist()
