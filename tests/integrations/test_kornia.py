"""Against kornia's own matchers and frames."""

from dataclasses import replace

import pytest
import torch

KF = pytest.importorskip("kornia.feature")

from traqpoint.errors import ConfigError, ImageError  # noqa: E402
from traqpoint.inference.copies import of_copy  # noqa: E402
from traqpoint.integrations.kornia import TraqPointFeature, lafs_of  # noqa: E402


def test_frames_have_kornias_centre_scale_and_orientation(views):
    lafs = lafs_of(views[0], scale_px=6, orientation_deg=30)
    torch.testing.assert_close(KF.get_laf_center(lafs)[0], views[0].keypoints - 0.5)
    torch.testing.assert_close(KF.get_laf_scale(lafs).flatten(), torch.full((len(views[0]),), 6.0))
    torch.testing.assert_close(KF.get_laf_orientation(lafs).flatten(), torch.full((len(views[0]),), 30.0))


def test_frames_of_a_turned_copy_have_its_x_axis(views):
    """kornia counts angles the other way round; what the frame's first column says is the copy's x axis."""
    copy = of_copy(views[0], 1)
    lafs = lafs_of(replace(copy, scales=2 * copy.scales), scale_px=6)
    torch.testing.assert_close(KF.get_laf_scale(lafs).flatten(), torch.full((len(copy),), 12.0))
    torch.testing.assert_close(lafs[0, :, :, 0], torch.tensor([0.0, 12.0]).expand(len(copy), 2), atol=1e-4, rtol=0)


def test_kornias_pipeline_of_local_features_finds_our_matches(extractor, images, views, matches):
    pipeline = KF.LocalFeatureMatcher(TraqPointFeature(extractor), KF.DescriptorMatcher("mnn"))
    out = pipeline({"image0": images[0][None], "image1": images[1][None]})
    ours = torch.cat([f.keypoints[i] - 0.5 for f, i in zip(views, matches.indices.T, strict=True)], dim=-1)
    theirs = torch.cat([out["keypoints0"], out["keypoints1"]], dim=-1)
    assert {tuple(row) for row in theirs.tolist()} == {tuple(row) for row in ours.tolist()} and len(theirs) > 100


def test_a_batch_is_filled_up_with_what_kornia_calls_unfilled(extractor, images):
    lafs, scores, descriptors = TraqPointFeature(extractor)(torch.stack([images[0], torch.full_like(images[0], 0.5)]))
    assert lafs.shape == (2, 256, 2, 3) and descriptors.shape[:2] == scores.shape == (2, 256)
    if not hasattr(KF, "laf_is_filled"):
        pytest.skip("kornia says which slots are filled since 0.9")
    assert KF.laf_is_filled(lafs).sum(dim=1).tolist() == [256, 0]


def test_a_mask_allows_keypoints_only_where_it_is_not_zero(extractor, images):
    mask = torch.zeros(1, 1, 240, 320)
    mask[..., 100:] = 1
    everywhere = TraqPointFeature(extractor)(images[0][None])[0]
    lafs = TraqPointFeature(extractor)(images[0][None], mask)[0]
    right = everywhere[everywhere[..., 0, 2] + 0.5 >= 100]
    assert torch.equal(lafs[0], right) and 0 < len(right) < 256


def test_what_cannot_be_is_told(extractor):
    with pytest.raises(ImageError, match=r"\(B, 3, H, W\)"):
        TraqPointFeature(extractor)(torch.zeros(3, 8, 8))
    with pytest.raises(ConfigError, match="scale_px must be positive"):
        TraqPointFeature(extractor, scale_px=0)
