from dataclasses import replace

import numpy as np
import pytest
import torch
from random_inputs import random_features

from traqpoint.errors import FormatError, GeometryError
from traqpoint.types import (
    Features,
    Frame,
    Matches,
    PointState,
    SequenceBatch,
    Tracks,
    WarpedPoints,
    map_tensors,
)


def test_features_become_arrays_of_the_npz_format():
    f = Features(torch.rand(3, 2).double(), torch.rand(3), torch.rand(3, 8, requires_grad=True), (64, 48))
    arrays = f.numpy()
    assert {k: v.dtype for k, v in arrays.items()} == {
        "keypoints": np.float32,
        "scores": np.float32,
        "descriptors": np.float32,
        "image_size": np.int64,
    }
    assert arrays["image_size"].tolist() == [64, 48]


def test_no_keypoints_are_valid_features():
    assert len(random_features(0)) == 0 and len(random_features(3)) == 3


@pytest.mark.parametrize(
    ("change", "name"),
    [
        ({"keypoints": torch.rand(3, 3)}, "keypoints"),
        ({"scores": torch.rand(2)}, "scores"),
        ({"descriptors": torch.rand(2, 8)}, "descriptors"),
        ({"descriptors": torch.rand(3)}, "descriptors"),
    ],
)
def test_features_of_the_wrong_shape_name_the_field(change, name):
    fields = {"keypoints": torch.rand(3, 2), "scores": torch.rand(3), "descriptors": torch.rand(3, 8), **change}
    with pytest.raises(FormatError, match=name):
        Features(**fields, image_size=(64, 48))


def test_some_of_the_features_keep_all_that_is_known_of_them():
    found = replace(random_features(5), scales=torch.ones(5), angles_deg=torch.arange(5.0), found_at=(8, 6))
    some = found.take(torch.tensor([3, 1]))
    assert some.angles_deg.tolist() == [3, 1] and some.found_at == (8, 6) and len(some.descriptors) == 2
    assert torch.equal(found.take(found.angles_deg > 2).keypoints, found.keypoints[3:])
    with pytest.raises(FormatError, match="scales and angles_deg come together"):
        replace(found, scales=None)
    with pytest.raises(FormatError, match=r"angles_deg must be \(5,\)"):
        replace(found, angles_deg=torch.ones(4))


def test_matches_and_tracks_of_the_wrong_shape_are_refused():
    with pytest.raises(FormatError, match="indices"):
        Matches(torch.zeros(4, 3, dtype=torch.long), torch.zeros(4))
    with pytest.raises(FormatError, match="scores"):
        Matches(torch.zeros(4, 2, dtype=torch.long), torch.zeros(3))
    index = torch.zeros(4, dtype=torch.long)
    with pytest.raises(FormatError, match="track_id"):
        Tracks(index, index, index[:3], torch.zeros(4, 2), 2)
    with pytest.raises(FormatError, match="xy"):
        Tracks(index, index, index, torch.zeros(4, 3), 2)


def test_the_length_of_tracks_is_their_number_and_not_that_of_their_observations():
    ids = torch.tensor([0, 0, 0, 7, 7])
    assert len(Tracks(torch.arange(5), torch.arange(5), ids, torch.rand(5, 2), 9)) == 2


def test_only_visible_is_visible():
    states = torch.tensor([int(s) for s in PointState])
    assert WarpedPoints(torch.zeros(5, 2), states).visible.tolist() == [True, False, False, False, False]


def test_sequence_images_have_five_dimensions_and_three_colours():
    assert SequenceBatch(torch.zeros(2, 4, 3, 8, 8), None).num_frames == 4
    for shape in ((4, 3, 8, 8), (2, 4, 1, 8, 8)):
        with pytest.raises(FormatError, match="images"):
            SequenceBatch(torch.zeros(shape), None)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"K": torch.eye(4)}, "K must"),
        ({"cam_from_world": torch.eye(3)}, "cam_from_world"),
        ({"cam_from_world": torch.full((4, 4), torch.nan)}, "cam_from_world"),
        ({"depth": torch.zeros(8, 9)}, "depth"),
    ],
)
def test_a_frame_with_a_broken_camera_or_depth_is_refused(change, message):
    good = {"image": torch.zeros(3, 8, 8), "K": torch.eye(3), "cam_from_world": torch.eye(4), "depth": torch.ones(8, 8)}
    Frame(**good)
    with pytest.raises(GeometryError, match=message):
        Frame(**{**good, **change})


def test_map_tensors_leaves_what_is_no_tensor():
    moved = map_tensors(random_features(image_size=(64, 48)), lambda x: x.double())
    assert moved.keypoints.dtype == torch.float64 and moved.image_size == (64, 48)
