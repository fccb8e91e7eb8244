"""The contract of vismatch's BaseMatcher, and a homography against one that is known."""

import cv2
import numpy as np
import pytest
import torch
from PIL import Image

from traqpoint.errors import ImageError
from traqpoint.image import write_image
from traqpoint.integrations.vismatch import TraqPointMatcher, tensor_of

KEYS = {"num_inliers", "H", "matched_confidences"}
KEYS |= {f"{what}{i}" for what in ("all_kpts", "all_desc", "matched_kpts", "inlier_kpts") for i in (0, 1)}
TRUE = np.array([[0.98, 0.05, 6.0], [-0.04, 1.01, -3.0], [1e-4, 0, 1]])
"""From the first picture to the second, between pixels with integer centres, as OpenCV warps."""


@pytest.fixture(scope="module")
def matcher(extractor):
    return TraqPointMatcher(extractor)


def test_two_images_of_a_plane_give_vismatchs_dictionary(matcher, pictures):
    turned = cv2.warpPerspective(pictures[0], TRUE, (320, 240), flags=cv2.INTER_LINEAR)
    out = matcher(*(Image.fromarray(picture) for picture in (pictures[0], turned)))
    assert set(out) == KEYS
    assert out["all_kpts0"].shape == (256, 2) and out["all_desc0"].shape == (256, 64)
    k = len(out["matched_confidences"])
    assert out["matched_kpts0"].shape == out["matched_kpts1"].shape == (k, 2)
    assert out["num_inliers"] == len(out["inlier_kpts0"]) == len(out["inlier_kpts1"]) > 50
    corners = np.array([[[30, 30], [290, 30], [290, 210], [30, 210]]], dtype=np.float64)
    distances = np.abs(cv2.perspectiveTransform(corners, out["H"]) - cv2.perspectiveTransform(corners, TRUE))
    assert distances.max() < 1


def test_every_kind_of_image_is_the_same_image(matcher, pictures, images, tmp_path):
    write_image(tmp_path / "a.png", pictures[0])
    expected = matcher.extract(images[0])["all_kpts0"]
    for image in (tmp_path / "a.png", images[0].numpy(), Image.fromarray(pictures[0])):
        np.testing.assert_array_equal(matcher.extract(image)["all_kpts0"], expected)
    assert matcher.load_image(tmp_path / "a.png", (120, 160)).shape == (3, 120, 160)
    with pytest.raises(ImageError, match=r"got ndarray|got Tensor \(240, 320, 3\)"):
        tensor_of(pictures[0])


def test_images_without_matches_give_empty_arrays_and_no_homography(matcher):
    flat = torch.full((3, 64, 64), 0.5)
    out = matcher(flat, flat)
    assert out["H"] is None and out["num_inliers"] == 0
    assert out["matched_kpts0"].shape == out["inlier_kpts1"].shape == out["all_kpts0"].shape == (0, 2)


def test_vismatchs_own_checks_are_content(matcher, images):
    base = pytest.importorskip("vismatch.base_matcher", reason="vismatch, which needs torchvision").BaseMatcher
    out = matcher(*images)
    values = [out[f"{what}{i}"] for what in ("matched_kpts", "all_kpts", "all_desc") for i in (0, 1)]
    base.check_types(*values, out["matched_confidences"])
    base.check_shapes(*values, out["matched_confidences"])
