"""With hloc's own code where it is installed, else with the contract of its BaseModel."""

import h5py
import numpy as np
import pytest
import small_scenes
import torch

from traqpoint.errors import ConfigError
from traqpoint.integrations import hloc as ours
from traqpoint.io.hloc import HlocFeatures

SMALL = {"name": "traqpoint", "max_keypoints": 256, "device": "cpu"}


def contract(conf):
    """What hloc's BaseModel does with a class: merges the configuration, calls _init, and checks the inputs."""
    model = ours.HlocModel()
    model._init({**model.default_conf, **conf})
    return model


def test_hlocs_contract_is_kept(images, views):
    model = contract(SMALL)
    out = model._forward({"image": images[0][None]})
    assert model.required_inputs == ["image"] and model.default_conf["long_side"] is None
    assert {key: tuple(value.shape) for key, value in out.items()} == {
        "keypoints": (1, 256, 2),
        "scores": (1, 256),
        "descriptors": (1, 64, 256),
    }
    torch.testing.assert_close(out["keypoints"][0], views[0].keypoints - 0.5)
    assert model._forward({"image": images[0][None, :1]})["keypoints"].shape == (1, 256, 2)
    with pytest.raises(ConfigError, match="unknown option max_keypoint"):
        contract({"max_keypoint": 5})


def test_hloc_itself_extracts_matches_and_finds_the_features_that_we_write(tmp_path, pictures, views):
    pytest.importorskip(
        "hloc.extract_features", reason="hloc is not installed (pip install git+…/Hierarchical-Localization)"
    )
    from hloc import extract_features, match_features

    photos = small_scenes.write_photos(tmp_path / "photos", pictures)
    ours.install()
    ours.install()
    conf = extract_features.confs["traqpoint"]
    conf = {**conf, "model": {**conf["model"], **SMALL}}
    file = extract_features.main(conf, photos, feature_path=tmp_path / "features.h5", as_half=False)
    with HlocFeatures(file, "r") as found:
        assert found.names() == ["0.png", "1.png"]
        for name, expected in zip(found.names(), views, strict=True):
            torch.testing.assert_close(found.read(name).keypoints, expected.keypoints, atol=1e-3, rtol=0)
            torch.testing.assert_close(found.read(name).descriptors, expected.descriptors, atol=1e-3, rtol=0)
    (tmp_path / "pairs.txt").write_text("0.png 1.png\n")
    nearest = match_features.confs["NN-mutual"]
    match_features.main(nearest, tmp_path / "pairs.txt", features=file, matches=tmp_path / "matches.h5")
    with h5py.File(tmp_path / "matches.h5") as matched:
        assert np.count_nonzero(matched["0.png"]["1.png"]["matches0"][()] >= 0) > 100
