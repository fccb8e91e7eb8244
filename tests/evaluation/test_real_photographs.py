"""On real photographs with a measured homography (HPatches layout), where that data lies beside the project."""

import numpy as np
import pytest
import research_data
import torch

import traqpoint as tp
from traqpoint.evaluation.methods.method import build_method
from traqpoint.geometry.homography import apply_homography, check_homography
from traqpoint.geometry.pixels import opencv_from_colmap
from traqpoint.image import read_image, to_tensor

SCENE = research_data.DATA / "homography/v_dogman"
pytestmark = pytest.mark.skipif(not SCENE.is_dir(), reason=f"research data is not there: {SCENE.name}")


def correct_matches(method, target: int, threshold_px: float) -> tuple[int, float]:
    """Correct mutual nearest neighbours of frames 1 and `target`, and their share of all."""
    a, b = (method(to_tensor(read_image(SCENE / f"{i}.ppm"))) for i in (1, target))
    H = check_homography(torch.from_numpy(np.loadtxt(SCENE / f"H_1_{target}")), "H").float()
    i, j = tp.match(a, b).indices.unbind(1)
    # The published homographies map integer pixel centres.
    truth = apply_homography(H, opencv_from_colmap(a.keypoints[i]))
    error = (truth - opencv_from_colmap(b.keypoints[j])).norm(dim=-1)
    return int((error < threshold_px).sum()), float((error < threshold_px).float().mean())


def test_most_matches_across_a_real_change_of_view_are_right_and_more_are_exact_than_orbs():
    extractor = tp.Extractor("traqpoint-s", max_keypoints=2048, device="cpu")
    assert correct_matches(extractor, 3, 3.0)[1] > 0.7
    assert correct_matches(extractor, 3, 1.0)[0] > correct_matches(build_method("ORB", 2048), 3, 1.0)[0]


def test_a_homography_shifted_by_half_a_pixel_is_noticed():
    extractor = tp.Extractor("traqpoint-s", max_keypoints=2048, device="cpu")
    a, b = (extractor(to_tensor(read_image(SCENE / f"{i}.ppm"))) for i in (1, 2))
    H = torch.from_numpy(np.loadtxt(SCENE / "H_1_2")).float()
    i, j = tp.match(a, b).indices.unbind(1)
    offset = opencv_from_colmap(b.keypoints[j]) - apply_homography(H, opencv_from_colmap(a.keypoints[i]))
    near = offset.norm(dim=-1) < 3
    # The median offset is the bias of the whole chain: reading, padding, detection, refinement, conversion.
    assert offset[near].median(0).values.abs().max() < 0.25
