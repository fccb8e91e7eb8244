"""The online tracker on hand-made frames."""

import pytest
import torch
import torch.nn.functional as F

from traqpoint.errors import ConfigError, FormatError
from traqpoint.matching.config import MatcherConfig, MutualConfig
from traqpoint.tracking.config import TrackerConfig
from traqpoint.tracking.online import OnlineTracker
from traqpoint.types import Features

pytestmark = pytest.mark.usefixtures("device")

EYE = torch.eye(6)


def frame(points: dict[int, tuple[float, float]], dim: int = 6) -> Features:
    """A frame that shows scene points, each with its own descriptor."""
    ids = list(points)
    xy = torch.tensor([points[i] for i in ids]).reshape(-1, 2)
    return Features(xy, torch.ones(len(ids)), torch.eye(dim)[ids].reshape(-1, dim), (100, 100))


def test_points_keep_their_track_whatever_their_order():
    """Ids follow the descriptor, new points get new ids, and tracks() is sorted by track and frame."""
    tracker = OnlineTracker()
    assert tracker.update(frame({0: (1, 1), 1: (5, 5)})).tolist() == [0, 1]
    assert tracker.update(frame({2: (9, 9), 1: (6, 5), 0: (2, 1)})).tolist() == [2, 1, 0]
    assert tracker.update(frame({0: (3, 1)})).tolist() == [0]
    tracks = tracker.tracks()
    assert tracks.num_frames == 3
    assert tracks.track_id.tolist() == [0, 0, 0, 1, 1]
    assert tracks.frame.tolist() == [0, 1, 2, 0, 1]
    assert tracks.keypoint.tolist() == [0, 2, 0, 1, 1]
    assert tracks.xy.tolist() == [[1, 1], [2, 1], [3, 1], [5, 5], [6, 5]]
    assert tracker.tracks(min_length=1).track_id.tolist() == [0, 0, 0, 1, 1, 2]


@pytest.mark.parametrize(("max_gap", "same"), [(1, False), (2, False), (3, True)])
def test_a_track_survives_gaps_up_to_max_gap(max_gap, same):
    """Seen in frames 0 and 3, a point is the same track only if three frames back is still alive."""
    tracker = OnlineTracker(TrackerConfig(max_gap=max_gap))
    first = tracker.update(frame({0: (1, 1)}))
    tracker.update(frame({1: (5, 5)}))
    tracker.update(frame({}))
    assert (tracker.update(frame({0: (1, 1)})).tolist() == first.tolist()) == same


def test_max_displacement_is_per_frame_and_chooses_the_near_twin():
    """Out of two identical points the reachable one is continued; the reach grows with the gap."""
    tracker = OnlineTracker(TrackerConfig(max_displacement=3.0))
    tracker.update(frame({0: (10, 10)}))
    twins = Features(torch.tensor([[50.0, 10], [12, 10]]), torch.ones(2), EYE[[0, 0]], (100, 100))
    assert tracker.update(twins).tolist() == [1, 0]

    tracker = OnlineTracker(TrackerConfig(max_displacement=3.0))
    tracker.update(frame({0: (10, 10)}))
    assert tracker.update(frame({0: (15, 10)})).tolist() == [1]
    tracker = OnlineTracker(TrackerConfig(max_displacement=3.0))
    tracker.update(frame({0: (10, 10)}))
    tracker.update(frame({}))
    assert tracker.update(frame({0: (15, 10)})).tolist() == [0]


def test_displacement_is_exact_far_from_the_origin():
    """At 4000 px a move of 1.01 px is beyond a limit of 1 px and 0.99 px is within."""
    for move, expected in ((1.01, 1), (0.99, 0)):
        tracker = OnlineTracker(TrackerConfig(max_displacement=1.0))
        tracker.update(frame({0: (3999.0, 3999.0)}))
        assert tracker.update(frame({0: (3999.0 - move, 3999.0)})).tolist() == [expected]


def test_dissimilar_points_start_a_new_track():
    """Below min_similarity a keypoint is not continued."""
    near = F.normalize(torch.tensor([[1.0, 1.0, 0, 0, 0, 0]]), dim=-1)  # cosine 0.707 to EYE[0]
    for limit, expected in ((0.8, 1), (0.7, 0)):
        tracker = OnlineTracker(TrackerConfig(min_similarity=limit))
        tracker.update(frame({0: (1, 1)}))
        assert tracker.update(Features(torch.ones(1, 2), torch.ones(1), near, (100, 100))).tolist() == [expected]


def test_descriptors_are_those_of_the_last_sighting():
    """A slow change of appearance, 40 degrees per frame, is followed over 160 degrees."""
    tracker = OnlineTracker(TrackerConfig(min_similarity=0.7))
    for degrees in (0, 40, 80, 120, 160):
        angle = torch.deg2rad(torch.tensor(float(degrees)))
        descriptor = torch.stack([angle.cos(), angle.sin()])[None]
        ids = tracker.update(Features(torch.ones(1, 2), torch.ones(1), descriptor, (100, 100)))
        assert ids.tolist() == [0]


def test_empty_frames_and_no_frames():
    """Frames without keypoints count as frames; a tracker that saw nothing has no tracks."""
    tracker = OnlineTracker()
    assert len(tracker.tracks()) == 0 and tracker.tracks().num_frames == 0
    assert tracker.update(frame({})).shape == (0,)
    assert tracker.update(frame({})).shape == (0,)
    assert len(tracker.tracks(min_length=1)) == 0 and tracker.tracks().num_frames == 2


def test_since_gives_the_same_observations_of_the_last_frames():
    """tracks(since=k) is tracks() without the frames before k."""
    tracker = OnlineTracker()
    for t in range(6):
        tracker.update(frame({i: (t + 0.0, i) for i in range(t % 3, 4)}))
    everything, late = tracker.tracks(min_length=1), tracker.tracks(min_length=1, since=3)
    chosen = everything.frame >= 3
    for name in ("frame", "keypoint", "track_id", "xy"):
        assert torch.equal(getattr(late, name), getattr(everything, name)[chosen])
    assert late.num_frames == 6


def test_bad_values_are_named():
    """Settings out of range and a change of descriptor dimension raise."""
    for bad in ({"max_gap": 0}, {"max_displacement": -1.0}, {"min_similarity": 3.0}):
        with pytest.raises(ConfigError, match=next(iter(bad))):
            TrackerConfig(**bad)
    tracker = OnlineTracker()
    tracker.update(frame({0: (1, 1)}))
    with pytest.raises(FormatError, match="dimensions"):
        tracker.update(frame({0: (1, 1)}, dim=4))


def test_a_ratio_test_keeps_twins_apart():
    """With mutual.max_ratio a point that looks like two others continues no track; without, the first of them."""
    twins = Features(torch.tensor([[10.0, 10], [50, 10]]), torch.ones(2), EYE[[0, 0]], (100, 100))
    strict = MatcherConfig(mutual=MutualConfig(max_ratio=0.9))
    for config, ids in ((MatcherConfig(), [0]), (strict, [2])):
        tracker = OnlineTracker(TrackerConfig(matcher=config))
        tracker.update(twins)
        assert tracker.update(frame({0: (10, 10)})).tolist() == ids


def test_any_matcher_continues_tracks_within_the_limits(tmp_path):
    """What it matches too far away, or with too different a descriptor, starts a track of its own."""
    (tmp_path / "own.py").write_text(
        "import traqpoint as tp, torch\n"
        "def build(config):\n"
        "    def same_row(a, b):\n"
        "        rows = torch.arange(min(len(a), len(b)), device=a.scores.device)\n"
        "        return tp.Matches(torch.stack([rows, rows], -1), torch.ones_like(a.scores[rows]))\n"
        "    return same_row\n"
    )
    own = MatcherConfig(f"{tmp_path / 'own.py'}:build")
    tracker = OnlineTracker(TrackerConfig(max_displacement=5.0, matcher=own))
    tracker.update(frame({0: (1, 1), 1: (20, 20), 2: (40, 40)}))
    assert tracker.update(frame({0: (2, 1), 1: (40, 20), 3: (41, 40)})).tolist() == [0, 3, 4]
    dual = OnlineTracker(TrackerConfig(matcher=MatcherConfig("dual-softmax")))
    dual.update(frame({0: (1, 1), 1: (5, 5)}))
    assert dual.update(frame({1: (5, 6), 0: (1, 2)})).tolist() == [1, 0]


def test_a_track_that_disagrees_with_the_cameras_motion_ends_and_off_it_goes_on():
    """Forty points at many depths pass to the left; one of them jumps across the picture."""
    generator = torch.Generator().manual_seed(0)
    xy = 40 + 400 * torch.rand(41, 2, generator=generator)
    step = torch.stack([-2 - 10 * torch.rand(41, generator=generator), torch.zeros(41)], dim=-1)
    after = xy + step
    after[40] = xy[40] + torch.tensor([150.0, -170.0])
    for verify, expected in ((True, 40), (False, 41)):
        tracker = OnlineTracker(TrackerConfig(verify=verify))
        for frame in (xy, after):
            tracker.update(Features(frame, torch.ones(41), torch.eye(41), (480, 480)))
        assert len(tracker.tracks()) == expected


def test_a_point_found_again_after_a_gap_must_agree_with_the_motion_since():
    """The camera moves sideways past points at two depths. Of the eight that a frame hides, four come back elsewhere,
    as most of what is found again does: alone, they could not be told from the others."""
    generator = torch.Generator().manual_seed(0)
    start = torch.rand(40, 2, generator=generator) * torch.tensor([400.0, 300]) + 100
    steps = torch.where(torch.arange(40) % 2 == 0, 3.0, 6.0)
    hidden, wrong = torch.arange(8), torch.arange(4)

    def seen(t: int) -> Features:
        xy = start + torch.stack([t * steps, torch.zeros(40)], dim=-1)
        ids = torch.arange(40)
        if t == 2:
            ids = ids[8:]
        elif t == 3:
            xy[wrong] += torch.tensor([0.0, 120])
        return Features(xy[ids], torch.ones(len(ids)), torch.eye(40)[ids], (600, 600))

    for verify, ended in ((True, wrong), (False, wrong[:0])):
        tracker = OnlineTracker(TrackerConfig(verify=verify))
        first, *_, last = [tracker.update(seen(t)) for t in range(4)]
        assert torch.equal((first != last).nonzero().flatten(), ended)
        assert torch.equal(last[hidden[4:]], first[hidden[4:]])
