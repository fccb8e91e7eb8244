import numpy as np
import pytest
import torch
from random_inputs import smooth_picture

from traqpoint.errors import ConfigError, ImageError
from traqpoint.image import to_tensor, write_image
from traqpoint.inference.extractor import Extractor
from traqpoint.models.traqpoint import TraqPoint


@pytest.fixture(scope="module")
def extractor():
    torch.manual_seed(0)
    return Extractor(TraqPoint(), max_keypoints=200, prominence=0.0, device="cpu")


def same(a, b, tolerance=1e-4):
    return (
        a.keypoints.shape == b.keypoints.shape
        and torch.allclose(a.keypoints, b.keypoints, atol=tolerance)
        and torch.allclose(a.descriptors, b.descriptors, atol=tolerance)
    )


def test_paths_arrays_and_tensors_give_the_same_features(extractor, tmp_path):
    image = smooth_picture(70, 90)
    write_image(tmp_path / "a.png", image)
    features = extractor(image)
    assert len(features) > 20 and features.image_size == (90, 70)
    assert same(features, extractor(tmp_path / "a.png"))
    assert same(features, extractor(str(tmp_path / "a.png")))
    assert same(features, extractor(to_tensor(image)))


def test_a_ragged_batch_equals_its_images_one_by_one(extractor):
    images = [
        smooth_picture(64, 64, 1),
        smooth_picture(97, 33, 2),
        smooth_picture(61, 50, 3),
        smooth_picture(64, 64, 4),
    ]
    for alone, batched in zip(map(extractor, images), extractor.batch(images), strict=True):
        assert same(alone, batched)


@pytest.mark.parametrize("border", [0, 4])
def test_unlike_images_share_a_pass_and_keep_their_features(border, monkeypatch):
    """Three sizes in one forward pass, up to the border of each; a fourth is too unlike and has its own."""
    torch.manual_seed(0)
    extractor = Extractor(TraqPoint(), max_keypoints=200, prominence=0.0, border=border, device="cpu")
    images = [smooth_picture(*size, seed) for seed, size in enumerate([(120, 200), (128, 190), (110, 224), (224, 110)])]
    alone, passes = [extractor(image) for image in images], []
    runtime = extractor.runtime
    extractor.runtime = lambda batch, used: passes.append(len(used)) or runtime(batch, used)
    for one, many in zip(alone, extractor.batch(images), strict=True):
        assert same(one, many) and one.image_size == many.image_size and len(one) > 50
    assert passes == [3, 1]


def test_too_little_memory_is_one_line_that_says_what_to_do(extractor, monkeypatch):
    def full(batch, used):
        raise RuntimeError("[enforce fail at alloc_cpu.cpp:128] . DefaultCPUAllocator: can't allocate memory")

    monkeypatch.setattr(extractor, "runtime", full)
    with pytest.raises(ImageError, match=r"not enough memory for 90 x 70 pixels at once: set memory, or"):
        extractor(smooth_picture(70, 90))


def test_extraction_is_deterministic(extractor):
    a, b = extractor(smooth_picture(80, 80)), extractor(smooth_picture(80, 80))
    assert torch.equal(a.keypoints, b.keypoints) and torch.equal(a.descriptors, b.descriptors)


def test_keypoints_lie_inside_and_descriptors_have_unit_norm(extractor):
    features = extractor(smooth_picture(75, 101))
    assert (features.keypoints >= 0).all()
    assert (features.keypoints < torch.tensor([101.0, 75.0])).all()
    assert torch.allclose(features.descriptors.norm(dim=1), torch.ones(len(features)), atol=1e-5)


def test_keypoints_of_a_shrunken_image_are_in_the_original_pixels():
    torch.manual_seed(0)
    extractor = Extractor(TraqPoint(), max_keypoints=50, prominence=0.0, long_side=64, device="cpu")
    features = extractor(smooth_picture(96, 128))
    assert features.image_size == (128, 96)
    assert features.keypoints[:, 0].max() > 64


def test_photographs_are_shrunk_by_default_and_the_result_says_so():
    """To 1600 px, whatever the orientation; smaller images and long_side=None stay as they are."""
    torch.manual_seed(0)
    extractor = Extractor(TraqPoint(), max_keypoints=20, prominence=0.0, device="cpu")
    assert extractor(smooth_picture(1700, 64)).found_at == (60, 1600) == extractor.input_size((64, 1700))
    assert extractor(smooth_picture(64, 1600)).found_at == (1600, 64)
    whole = Extractor(TraqPoint(), max_keypoints=20, prominence=0.0, long_side=None, device="cpu")
    assert whole(smooth_picture(1700, 64)).found_at == (64, 1700)


@pytest.mark.slow
def test_bf16_keeps_the_keypoints_and_nearly_the_descriptors():
    image = smooth_picture(96, 128)
    full, half = (
        Extractor("traqpoint-s-v1", precision=p, prominence=0.0, device="cpu")(image) for p in ("float32", "bf16")
    )
    assert len(full) > 50 and torch.equal(full.keypoints, half.keypoints)
    assert (full.descriptors * half.descriptors).sum(1).min() > 0.98


@pytest.mark.parametrize("size", [(1, 1), (5, 7), (3, 200), (31, 31)])
def test_images_smaller_than_the_stride_work(extractor, size):
    features = extractor(smooth_picture(*size))
    assert features.keypoints.shape[1] == 2 and features.image_size == size[::-1]


@pytest.mark.parametrize("grey", [0, 128, 255])
@pytest.mark.parametrize("shape", [(64, 64), (130, 97)])
def test_a_flat_image_has_no_keypoints_and_a_valid_result(grey, shape):
    features = Extractor("traqpoint-s", device="cpu")(np.full((*shape, 3), grey, np.uint8))
    assert features.keypoints.shape == (0, 2) and features.descriptors.shape == (0, 64)


@pytest.mark.parametrize(
    "image",
    [
        np.zeros((0, 10, 3), np.uint8),
        np.zeros((10, 10), np.uint8),
        np.zeros((10, 10, 3), np.float32),
        torch.zeros(10, 10, 3),
        torch.zeros(3, 10, 10, dtype=torch.uint8),
        torch.full((3, 10, 10), float("nan")),
        torch.full((3, 10, 10), 200.0),
        None,
    ],
)
def test_what_is_no_image_is_refused(extractor, image):
    with pytest.raises(ImageError):
        extractor(image)


def test_what_is_no_image_is_told_from_the_others_of_its_batch(extractor):
    with pytest.raises(ImageError, match=r"image 1: a numpy image must be .* got \(10, 10, 4\)"):
        extractor.batch([smooth_picture(40, 40), np.zeros((10, 10, 4), np.uint8), smooth_picture(30, 40)])


@pytest.mark.parametrize(
    "options",
    [
        {"max_keypoints": 0},
        {"nms_radius": 0},
        {"prominence": -1.0},
        {"border": -1},
        {"precision": "fp8"},
        {"threshold": 1.5},
        {"long_side": 3},
        {"memory": "2"},
        {"rotations": 3},
        {"scales": ()},
        {"scales": (1.0, 1.0)},
        {"scales": (0.0,)},
        {"device": "tpu9"},
        {"top_k": 3},
    ],
)
def test_bad_options_are_refused(options):
    with pytest.raises(ConfigError):
        Extractor(TraqPoint(), **options)


def test_a_model_in_memory_stays_as_it_is():
    """The extractor folds a copy: the model still trains, and its weights can still be saved."""
    model = TraqPoint().train()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    Extractor(model, device="cpu")(smooth_picture(64, 64))
    assert model.training and all(parameter.requires_grad for parameter in model.parameters())
    assert set(model.state_dict()) == set(before)
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())


def test_weights_whose_detector_was_never_trained_are_told():
    model = TraqPoint()
    model.metadata = {"stage": "descriptor"}
    with pytest.warns(UserWarning, match="stage 1, whose detector was never trained"):
        Extractor(model, device="cpu")
