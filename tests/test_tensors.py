"""Weight files of all origins: read without running code, fitted to a network or refused with the reason."""

import os
import pickle
from collections import OrderedDict

import pytest
import torch
from safetensors.torch import save_file

from traqpoint.errors import WeightsError
from traqpoint.tensors import content_hash, load_strictly, read_tensors


def network(seed=0):
    torch.manual_seed(seed)
    return torch.nn.Sequential(torch.nn.Conv2d(3, 8, 3), torch.nn.BatchNorm2d(8), torch.nn.Conv2d(8, 300, 3))


class Code:
    """Unpickling this makes a folder."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


def _pickle(content, path):
    with open(path, "wb") as file:
        pickle.dump(content, file)


@pytest.mark.parametrize(
    "save",
    [torch.save, lambda c, p: torch.save(c, p, _use_new_zipfile_serialization=False), _pickle],
    ids=["zip", "legacy", "pickle"],
)
@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
def test_code_in_a_file_is_named_and_not_run(tmp_path, save):
    save({"x": Code(tmp_path / "run")}, tmp_path / "in.pth")
    with pytest.raises(WeightsError, match=r"in\.pth: refused, loading it would run code .*mkdir"):
        read_tensors(tmp_path / "in.pth")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.99])
def test_a_truncated_file_is_called_truncated(tmp_path, legacy, share):
    torch.save(OrderedDict(network().state_dict()), tmp_path / "in.pth", _use_new_zipfile_serialization=not legacy)
    data = (tmp_path / "in.pth").read_bytes()
    (tmp_path / "in.pth").write_bytes(data[: int(share * len(data))])
    with pytest.raises(WeightsError, match=r"in\.pth: truncated"):
        read_tensors(tmp_path / "in.pth")


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ([1, 2], "holds a list"),
        ({"epoch": 3, "best": {}}, "no state dict"),
        ({"w": torch.tensor([torch.nan])}, "NaN"),
        ({"w": torch.zeros(1), "epoch": 3}, "'epoch' is a int"),
    ],
)
def test_what_is_no_state_dict_is_refused_with_the_reason(tmp_path, content, reason):
    torch.save(content, tmp_path / "in.pth")
    with pytest.raises(WeightsError, match=reason):
        read_tensors(tmp_path / "in.pth")


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(WeightsError, match="no such weight file"):
        read_tensors(tmp_path / "none.pth")


@pytest.mark.parametrize("suffix", [".safetensors", ".pth", ".weights"])
def test_tensors_come_back_as_stored_with_their_metadata(tmp_path, suffix):
    stored = {"w": torch.rand(3).half(), "n": torch.tensor(7)}
    path = tmp_path / f"x{suffix}"
    if suffix == ".pth":
        torch.save(stored, path)
    else:
        save_file(stored, path, {"license": "CC0-1.0"})
    tensors, metadata = read_tensors(path)
    assert tensors.keys() == stored.keys() and all(torch.equal(tensors[k], v) for k, v in stored.items())
    assert tensors["w"].dtype == torch.float16
    assert metadata == ({} if suffix == ".pth" else {"license": "CC0-1.0"})


@pytest.mark.parametrize("share", [0.0, 0.1, 0.9])
def test_a_truncated_safetensors_file_is_called_truncated(tmp_path, share):
    save_file(network().state_dict(), tmp_path / "x.safetensors")
    data = (tmp_path / "x.safetensors").read_bytes()
    (tmp_path / "x.safetensors").write_bytes(data[: int(share * len(data))])
    with pytest.raises(WeightsError, match=r"x\.safetensors: truncated"):
        read_tensors(tmp_path / "x.safetensors")


def test_what_fits_is_loaded_and_what_does_not_is_counted():
    net, other = network(), network(seed=1)
    load_strictly(net, other.state_dict(), "x.pth")
    assert content_hash(net.state_dict()) == content_hash(other.state_dict())
    state = {"3.weight" if k == "2.weight" else k: v for k, v in other.state_dict().items()}
    state["2.bias"] = torch.zeros(2)
    problems = r"1 missing \(first: 2\.weight\); 1 unexpected \(first: 3\.weight\); 1 misshapen \(first: 2\.bias \[2\]"
    with pytest.raises(WeightsError, match=rf"x\.pth: does not fit Sequential: {problems}"):
        load_strictly(net, state, "x.pth")


def test_spare_tensors_may_be_there_or_not():
    state = {k: v for k, v in network(seed=1).state_dict().items() if "num_batches" not in k}
    with pytest.raises(WeightsError, match="num_batches_tracked"):
        load_strictly(network(), state, "x.pth")
    load_strictly(network(), state | {"fc.weight": torch.zeros(1)}, "x.pth", spare=r"num_batches_tracked$|^fc\.")


def test_other_names_are_read_under_ours():
    net, theirs = network(), {f"stages.{k}": v for k, v in network(seed=1).state_dict().items()}
    load_strictly(net, theirs, "x.pth", names=((r"^", "stages."),))
    assert torch.equal(net[0].weight, theirs["stages.0.weight"])
