"""Against LightGlue itself: kornia's, and the authors' package where it is installed."""

import pytest
import torch

from traqpoint.errors import FormatError
from traqpoint.integrations.lightglue import TraqPointExtractor, features_from, input_of, matches_from
from traqpoint.matching.lightglue import LightGlue

OPTIONS = {"max_keypoints": 128, "device": "cpu"}


def network(library, **names):
    """An untrained LightGlue of one layer: what it matches is arbitrary, and the same for the same input."""
    torch.manual_seed(0)
    options = {"input_dim": 64, "descriptor_dim": 64, "n_layers": 1, "num_heads": 2, "depth_confidence": -1}
    return library.LightGlue(None, **options, width_confidence=-1, filter_threshold=0.0, **names).eval()


@pytest.fixture(scope="module")
def pair(images):
    extractor = TraqPointExtractor(**OPTIONS)
    return [extractor.extract(image) for image in images]


@pytest.mark.filterwarnings("ignore:.*never trained")
def test_kornias_lightglue_matches_our_dictionaries_as_our_adapter_does(pair, tmp_path):
    library = pytest.importorskip("kornia.feature")
    glue = network(library)
    with torch.inference_mode():
        out = glue({"image0": pair[0], "image1": pair[1]})
    torch.save(glue.state_dict(), tmp_path / "glue.pth")
    ours = LightGlue(tmp_path / "glue.pth", min_score=0.0)(*map(features_from, pair))
    found = matches_from(out)
    assert torch.equal(found.indices, ours.indices) and len(found) > 0
    torch.testing.assert_close(found.scores, ours.scores)


def test_the_authors_package_matches_our_dictionaries(pair):
    library = pytest.importorskip("lightglue", reason="LightGlue's own package, which needs torchvision")
    with torch.inference_mode():
        out = network(library, add_scale_ori=False)({"image0": pair[0], "image1": pair[1]})
    assert len(matches_from(out)) == len(out["matches"][0]) > 0


def test_the_dictionary_holds_features_and_comes_back(views):
    data = input_of(views[0])
    assert {key: tuple(value.shape) for key, value in data.items()} == {
        "keypoints": (1, 256, 2),
        "keypoint_scores": (1, 256),
        "descriptors": (1, 256, 64),
        "image_size": (1, 2),
    }
    assert torch.equal(data["keypoints"][0], views[0].keypoints - 0.5)
    back = features_from(data)
    torch.testing.assert_close(back.keypoints, views[0].keypoints)
    assert back.image_size == (320, 240)
    with pytest.raises(FormatError, match="no image_size in the dictionary, which has descriptors, keypoints"):
        features_from({key: data[key] for key in ("keypoints", "descriptors")})


def test_a_resized_image_gives_keypoints_in_its_own_pixels(images):
    extractor = TraqPointExtractor(**OPTIONS)
    large = torch.nn.functional.interpolate(images[0][None], scale_factor=2, mode="bilinear")[0]
    small = features_from(extractor.extract(large, resize=320))
    assert small.image_size == (640, 480) and float(small.keypoints.max()) > 400
    nearest = torch.cdist(2 * features_from(extractor.extract(images[0])).keypoints, small.keypoints).min(dim=1).values
    assert float((nearest < 2).float().mean()) > 0.8


def test_a_batch_has_as_many_keypoints_as_its_poorest_image(images):
    grey = torch.stack([images[0], images[1] * 0.5])[:, :1]
    out = TraqPointExtractor(**OPTIONS)({"image": grey})
    assert out["keypoints"].shape == (2, 128, 2) and out["image_size"].tolist() == [[320, 240]] * 2
