"""Peers against the libraries they come from, and the protocol that all of them obey."""

import copy
from urllib.error import URLError

import cv2
import numpy as np
import pytest
import research_data
import torch

from traqpoint.errors import ConfigError, ImageError, WeightsError
from traqpoint.evaluation.methods import opencv
from traqpoint.evaluation.methods.method import build_method, label
from traqpoint.image import resize_long_side, to_tensor
from traqpoint.inference.settings import describe_extractor

kornia = pytest.importorskip("kornia", reason="kornia is not installed: pip install 'traqpoint[eval]'")
WEIGHTS = research_data.PEERS
needs_weights = pytest.mark.skipif(
    not WEIGHTS.is_dir(), reason=f"no {WEIGHTS.name} folder with weights of other methods"
)
KORNIA = ["XFeat", "ALIKED-T16", "ALIKED-N16", "ALIKED-N16rot", "ALIKED-N32", "DISK"]
NETWORKS = [*KORNIA, "EdgePoint2-T32", "EdgePoint2-E64"]
CLASSICAL = ["SIFT", "RootSIFT", "ORB"]
HAS_AKAZE = hasattr(cv2, "AKAZE_create") or hasattr(getattr(cv2, "xfeatures2d", None), "AKAZE_create")


def picture(height=160, width=224, seed=0) -> np.ndarray:
    """Blobs of all sizes: uint8 (H, W, 3)."""
    rng = np.random.default_rng(seed)
    layers = [cv2.GaussianBlur(rng.normal(size=(height, width, 3)), (0, 0), s) * s for s in (1.0, 2.0, 4.0, 8.0)]
    image = sum(layers)
    return np.uint8(np.clip(128 + 70 * (image - image.mean()) / image.std(), 0, 255))


def peer(name, **options):
    if name == "AKAZE" and not HAS_AKAZE:
        pytest.skip(f"OpenCV {cv2.__version__} has no AKAZE")
    if name in NETWORKS and not WEIGHTS.is_dir():
        pytest.skip("no weights of other methods")
    return build_method(name, options.pop("max_keypoints", 300), peers=WEIGHTS if name in NETWORKS else None, **options)


def descending(xy, scores, limit=300):
    order = np.argsort(-np.asarray(scores), kind="stable")[:limit]
    return np.asarray(xy)[order], order


def test_sift_is_opencvs_with_half_a_pixel_added():
    image = picture()
    found = peer("SIFT")(image)
    points, descriptors = cv2.SIFT_create(nfeatures=300, enable_precise_upscale=True).detectAndCompute(
        cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), None
    )
    xy, order = descending([p.pt for p in points], [p.response for p in points])
    assert len(found) > 50
    np.testing.assert_allclose(found.keypoints.numpy(), xy + 0.5, atol=1e-4)
    unit = descriptors[order] / np.linalg.norm(descriptors[order], axis=1, keepdims=True)
    np.testing.assert_allclose(found.descriptors.numpy(), unit, atol=1e-6)


def test_sift_finds_a_blob_where_it_was_drawn():
    y, x = np.mgrid[:101, :121] + 0.5
    blob = 200 * np.exp(-((x - 60.3) ** 2 + (y - 47.8) ** 2) / (2 * 4.0**2))
    found = peer("SIFT")(np.repeat(np.uint8(blob)[..., None], 3, 2))
    assert (found.keypoints[0] - torch.tensor([60.3, 47.8])).abs().max() < 0.1


def test_the_cosine_of_rootsift_is_the_hellinger_kernel_of_sift():
    image = picture()
    a = peer("SIFT")(image).descriptors.double()
    histogram = a / a.sum(1, keepdim=True)
    hellinger = torch.sqrt(histogram[:50, None] * histogram[None, :50]).sum(-1)
    root = peer("RootSIFT")(image).descriptors[:50].double()
    torch.testing.assert_close(root @ root.T, hellinger, atol=1e-5, rtol=0)


@pytest.mark.parametrize("name", ["ORB", "AKAZE"])
def test_the_cosine_of_binary_descriptors_is_linear_in_their_hamming_distance(name):
    image, method = picture(), peer(name)
    found = method(image)
    create = cv2.ORB_create(nfeatures=300) if name == "ORB" else opencv._akaze(300)
    points, bits = create.detectAndCompute(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), None)
    _, order = descending([p.pt for p in points], [p.response for p in points])
    bits = bits[order]
    hamming = np.array([[cv2.norm(a, b, cv2.NORM_HAMMING) for b in bits[:40]] for a in bits[:40]])
    cosine = (found.descriptors[:40] @ found.descriptors[:40].T).numpy()
    np.testing.assert_allclose(cosine, 1 - 2 * hamming / found.descriptors.shape[1], atol=1e-5)


def test_an_opencv_without_akaze_is_told_with_what_to_install(monkeypatch):
    class Bare:
        __version__ = "5.0.0"

    monkeypatch.setattr(opencv.optional, "load", lambda name: Bare)
    with pytest.raises(ConfigError, match=r"AKAZE is not in this OpenCV \(5\.0\.0\).*opencv-contrib-python-headless"):
        build_method("AKAZE", 100)


def direct(name, image):
    """kornia's own call on an image (1, 3, H, W): keypoints, scores, descriptors."""
    feature = kornia.feature
    if name == "XFeat":
        model = feature.XFeat(top_k=300)
        model.net.load_state_dict(torch.load(WEIGHTS / "xfeat_folded.pth"))
        out = model.eval().detectAndCompute(image)[0]
        return out["keypoints"], out["scores"], out["descriptors"]
    if name == "DISK":
        model = feature.DISK()
        model.load_state_dict({k: v.float() for k, v in torch.load(WEIGHTS / "disk_depth_fp16.pth").items()})
        out = model.eval()(image, 300)[0]
        return out.keypoints, out.detection_scores, out.descriptors
    model = feature.ALIKED(name.lower(), max_num_keypoints=300, detection_threshold=0.0)
    model.load_state_dict(torch.load(WEIGHTS / f"{name.lower()}.pth"), strict=False)
    out = model.eval()(image)[0]
    return out.keypoints, out.keypoint_scores, out.descriptors


@pytest.mark.slow
@needs_weights
@pytest.mark.parametrize("name", KORNIA)
def test_networks_are_kornias_with_half_a_pixel_added(name):
    image = to_tensor(picture())
    found = peer(name)(image)
    with torch.inference_mode():
        xy, scores, descriptors = direct(name, image[None])
    order = scores.argsort(descending=True, stable=True)
    assert 50 < len(found) == len(order) <= 300
    torch.testing.assert_close(found.keypoints, xy[order].float() + 0.5, atol=1e-3, rtol=0)
    unit = torch.nn.functional.normalize(descriptors[order], dim=-1)
    torch.testing.assert_close(found.descriptors, unit, atol=1e-5, rtol=0)


def test_any_local_feature_of_kornia_is_a_method():
    image = to_tensor(picture())
    found = build_method("kornia:SIFTFeature", 100, device="cpu")(image)
    model = kornia.feature.SIFTFeature(100).eval()
    with torch.inference_mode():
        lafs, responses, _ = model(kornia.color.rgb_to_grayscale(image[None]))
    filled = lafs[0].flatten(1).abs().amax(1) > 0
    order = responses[0][filled].argsort(descending=True, stable=True)
    assert len(found) > 20
    torch.testing.assert_close(found.keypoints, lafs[0][filled][order][:, :, 2] + 0.5, atol=1e-3, rtol=0)


@pytest.mark.parametrize("name", [*CLASSICAL, "AKAZE", *NETWORKS])
def test_awkward_sizes_give_usable_features_and_flat_ones_keep_the_dimension(name):
    method = peer(name)
    found = method(picture(97, 131))
    assert 10 < len(found) <= 300
    assert found.image_size == (131, 97)
    xy = found.keypoints
    assert (xy >= 0).all() and (xy[:, 0] < 131).all() and (xy[:, 1] < 97).all()
    assert (found.scores.diff() <= 0).all()
    torch.testing.assert_close(found.descriptors.norm(dim=1), torch.ones(len(found)))
    # Networks without a threshold find their best pixel even here; on a single pixel there is none to be had.
    flat = (1, 1) if name in NETWORKS else (5, 7)
    nothing = method(np.full((*flat, 3), 128, dtype=np.uint8))
    assert nothing.descriptors.shape == (0, found.descriptors.shape[1])
    assert nothing.image_size == flat[::-1]


@pytest.mark.parametrize("name", ["SIFT", "ORB", "ALIKED-T16"])
def test_long_side_shrinks_for_every_method_alike_and_pixels_come_back_exactly(name):
    image = picture(211, 301)
    found = peer(name, long_side=160)(image)
    small = resize_long_side(to_tensor(image), 160)
    assert small.shape == (3, 112, 160)
    expected = peer(name)(small)
    assert found.image_size == (301, 211)
    assert len(found) > 10
    torch.testing.assert_close(found.keypoints, expected.keypoints * torch.tensor([301 / 160, 211 / 112]))
    torch.testing.assert_close(found.descriptors, expected.descriptors)


def test_the_best_keypoints_are_kept():
    few, many = (peer("SIFT", max_keypoints=n)(picture()) for n in (20, 300))
    assert len(few) == 20
    torch.testing.assert_close(few.keypoints, many.keypoints[:20])


def test_an_image_that_opencv_refuses_is_a_bad_image():
    with pytest.raises(ImageError, match="1x1 pixels"):
        peer("ORB")(np.zeros((1, 1, 3), dtype=np.uint8))


@needs_weights
def test_the_weights_identify_a_peer():
    a, b = (describe_extractor(peer(name)) for name in ("ALIKED-T16", "ALIKED-N16"))
    assert len(a["weights_sha256"]) == 64
    assert a["weights_sha256"] != b["weights_sha256"]
    assert a["library"] == f"kornia {kornia.__version__}"


def test_damaged_and_foreign_weights_are_told_with_the_file(tmp_path):
    file = tmp_path / "disk_depth_fp16.pth"
    file.write_bytes(b"no weights")
    with pytest.raises(WeightsError, match=r"disk_depth_fp16\.pth: truncated, or not a PyTorch file"):
        build_method("DISK", 100, peers=tmp_path)
    state = kornia.feature.DISK().state_dict()
    torch.save({"foreign": torch.zeros(1), **state}, file)
    with pytest.raises(WeightsError, match=r"does not fit DISK: 1 unexpected \(first: foreign\)"):
        build_method("DISK", 100, peers=tmp_path)
    lacking = copy.copy(state)
    key = next(key for key in lacking if key.endswith("weight"))
    torch.save({k: v for k, v in lacking.items() if k != key}, file)
    with pytest.raises(WeightsError, match=rf"does not fit DISK: 1 missing \(first: {key}\)"):
        build_method("DISK", 100, peers=tmp_path)
    with pytest.raises(WeightsError, match="no such folder of weights"):
        build_method("DISK", 100, peers=tmp_path / "nowhere")


def test_weights_of_a_class_are_read_from_the_folder(tmp_path):
    torch.manual_seed(0)
    torch.save(kornia.feature.DISK().state_dict(), tmp_path / "DISK.pth")
    found = build_method("kornia:DISK", 50, peers=tmp_path, device="cpu")(picture())
    assert found.descriptors.shape == (len(found), 128)


def test_without_a_connection_it_is_told_where_weights_would_be_taken_from(tmp_path, monkeypatch):
    def offline(**_):
        raise URLError("no route to host")

    monkeypatch.setattr(kornia.feature.DISK, "from_pretrained", offline)
    with pytest.raises(WeightsError, match=r"DISK: .*no route to host.*as disk_depth_fp16\.pth"):
        build_method("DISK", 100, peers=tmp_path)


@pytest.mark.parametrize("name", ["Foo", "kornia:Foo", "kornia:HardNet", "kornia:LocalFeature"])
def test_unknown_names_are_refused(name):
    with pytest.raises(ConfigError, match=name.removeprefix("kornia:")):
        build_method(name)


@pytest.mark.parametrize(("option", "value"), [("max_keypoints", 0), ("long_side", 8)])
def test_options_out_of_range_are_refused(option, value):
    with pytest.raises(ConfigError, match=option):
        peer("SIFT", **{option: value})


def test_labels_are_short():
    assert label(build_method("traqpoint-s", device="cpu")) == "traqpoint-s"
    assert label(build_method("RootSIFT")) == "RootSIFT"
    assert label(build_method("kornia:SIFTFeature", device="cpu")) == "SIFTFeature"


def test_edgepoint2_needs_its_file(tmp_path):
    with pytest.raises(WeightsError, match=r"give the folder that holds edgepoint2-E64\.pth"):
        build_method("EdgePoint2-E64", 100)
    with pytest.raises(WeightsError, match=r"edgepoint2-E64\.pth"):
        build_method("EdgePoint2-E64", 100, peers=tmp_path)


@needs_weights
def test_edgepoint2_describes_as_its_network_does():
    image = picture(160, 224)
    found = peer("EdgePoint2-E64")(image)
    assert 100 < len(found) <= 300 and found.descriptors.shape[1] == 64
    network = peer("EdgePoint2-E64").model
    with torch.no_grad():
        descriptors, scores = network(to_tensor(image)[None])
    xy = found.keypoints[:20]
    grid = 2 * xy / torch.tensor([224.0, 160.0]) - 1
    expected = torch.nn.functional.grid_sample(descriptors, grid[None, None], align_corners=False)[0, :, 0].T
    assert torch.allclose(found.descriptors[:20], torch.nn.functional.normalize(expected, dim=1), atol=1e-4)
    pixel = xy[0].floor().long()
    near = scores[0, 0, pixel[1] - 1 : pixel[1] + 2, pixel[0] - 1 : pixel[0] + 2]
    assert float(near.max()) == float(scores[0, 0, 4:-4, 4:-4].max())
