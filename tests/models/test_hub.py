import sys
from types import SimpleNamespace

import pytest
import torch

from traqpoint.cli.main import main
from traqpoint.errors import MissingDependencyError, WeightsError
from traqpoint.models.config import ModelConfig
from traqpoint.models.traqpoint import TraqPoint


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def stored(tmp_path):
    torch.manual_seed(0)
    model = TraqPoint(ModelConfig(descriptor_dim=16))
    model.save_pretrained(tmp_path / "cache" / "model.safetensors", {"license": "CC0-1.0"})
    return model


def hub(monkeypatch, download):
    monkeypatch.setitem(sys.modules, "huggingface_hub", SimpleNamespace(hf_hub_download=download))


def test_a_repository_on_the_hub_is_a_name_of_weights(stored, tmp_path, monkeypatch, capsys):
    asked = []

    def download(repository, file):
        asked.append((repository, file))
        return str(tmp_path / "cache" / "model.safetensors")

    hub(monkeypatch, download)
    loaded = TraqPoint.from_pretrained("some-lab/traqpoint-x.1")
    assert asked == [("some-lab/traqpoint-x.1", "model.safetensors")]
    assert torch.equal(loaded.detector.policy_head.weight, stored.detector.policy_head.weight)
    assert main(["info", "some-lab/traqpoint-x.1"]) == 0
    out = capsys.readouterr().out
    assert "CC0-1.0" in out and "sha256" in out


def test_without_a_connection_the_error_says_which_file_to_place_where(tmp_path, stored, monkeypatch):
    def download(repository, file):
        raise ConnectionError("Name or service not known\nand more")

    hub(monkeypatch, download)
    with pytest.raises(WeightsError, match="not known") as error:
        TraqPoint.from_pretrained("some-lab/traqpoint-x")
    assert "\n" not in str(error.value)
    assert "huggingface.co/some-lab/traqpoint-x/resolve/main/model.safetensors" in str(error.value)
    place = str(error.value).rsplit(" at ", 1)[1]
    (tmp_path / place).parent.mkdir(parents=True)
    (tmp_path / place).write_bytes((tmp_path / "cache" / "model.safetensors").read_bytes())
    assert TraqPoint.from_pretrained("some-lab/traqpoint-x").config.descriptor_dim == 16


def test_without_the_library_the_error_says_how_to_get_it_and_how_to_do_without(monkeypatch):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(MissingDependencyError, match=r"traqpoint\[hub\].*model\.safetensors"):
        TraqPoint.from_pretrained("some-lab/traqpoint-x")


@pytest.mark.parametrize("name", ["runs/last.safetensors", "a/b/c", "/no/such", "../x", "traqpoint-q", "-x/y"])
def test_what_looks_like_a_path_is_not_asked_for_on_the_hub(name, monkeypatch):
    hub(monkeypatch, lambda *_: pytest.fail("asked"))
    with pytest.raises(WeightsError, match="neither"):
        TraqPoint.from_pretrained(name)
