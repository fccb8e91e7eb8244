"""How policy_comparison.py judges a detector: tracks on unseen photographs, worlds, a room and a video, and pose."""

from __future__ import annotations

import copy
from pathlib import Path

import torch

from traqpoint.data.config import HomographyConfig
from traqpoint.data.homography import HomographySequences
from traqpoint.data.photos import load_photos
from traqpoint.data.posed.frames import fit_frame, stack_geometry
from traqpoint.data.posed.rgbd_layouts import read_rgbd
from traqpoint.data.testsets.kitti import read_kitti_sequence
from traqpoint.data.testsets.odometry import OdometrySequence
from traqpoint.data.testsets.pairs import PosePair, pose_pair
from traqpoint.data.worlds.config import WorldsConfig
from traqpoint.data.worlds.source import Worlds
from traqpoint.data.worlds.textures import load_textures
from traqpoint.evaluation.benchmarks.pose import PoseConfig, auc, score_pair
from traqpoint.evaluation.metrics.tracks import NO_SCORES, TrackScores, track_scores
from traqpoint.geometry.transforms import invert_rigid
from traqpoint.inference.extractor import Extractor
from traqpoint.io.strecha import read_strecha_cameras
from traqpoint.matching.config import RobustConfig
from traqpoint.matching.mutual import match
from traqpoint.models.traqpoint import TraqPoint
from traqpoint.odometry.estimate import OdometryConfig, estimate_path
from traqpoint.tracking.build import build_tracks
from traqpoint.tracking.stats import track_statistics
from traqpoint.types import Features, Matches, SequenceBatch

ROOM_FRAMES, ROOM_T, ROOM_STEP, ROOM_SIZE = 37, 3, 2, (360, 240)
"""Neighbours there share a third to a half of what they see, and nothing is left after three frames."""
GLANCE = 8
"""Photographs of the quick look during training."""
POSE_LONG_SIDE, POSE_KEYPOINTS, POSE_GAP = 640, 1000, 4
VIDEO_LONG_SIDE, VIDEO_KEYPOINTS = 640, 500
WORLDS, WORLD_TEXTURES = 24, 60


def world_config(image_size: int) -> WorldsConfig:
    """A camera on its way through a cluttered world: the last of five frames shares at least 30 % with the first."""
    return WorldsConfig(
        (image_size, image_size), paths=("curve", "orbit", "forward", "strafe"), motion=1.0, clutter=12, thin=3
    )


class Validation:
    """Data that is read and rendered once and judged often."""

    def __init__(
        self,
        photos: Path,
        count: int,
        image_size: int,
        posed: Path | None,
        rgbd: Path | None,
        kitti: Path | None,
    ) -> None:
        images = load_photos(photos)
        source = HomographySequences(images, HomographyConfig(image_size=image_size))
        chosen = range(0, len(images), max(1, len(images) // count))[:count]
        self.flat = [source.render([i], torch.Generator().manual_seed(100_003 + i)) for i in chosen]
        self.worlds = _worlds(photos, image_size)
        self.room = _room(rgbd) if rgbd is not None else []
        self.pairs = [_neighbours(folder) for folder in sorted(posed.iterdir())] if posed is not None else []
        self.video = read_kitti_sequence(kitti) if kitti is not None else None

    def glance(self, model: TraqPoint, max_keypoints: int) -> float:
        """Completeness of a model in training on the first photographs; leaves the model as it is."""
        extractor = Extractor(copy.deepcopy(model), max_keypoints=max_keypoints, prominence=0.0, device="cpu")
        return _scores(extractor, self.flat[:GLANCE]).summary()["completeness"]

    def judge(self, weights: Path, max_keypoints: int) -> dict[str, float]:
        """Numbers of one detector. Nothing is filtered by prominence: blunt policies have none."""
        extractor = Extractor(weights, max_keypoints=max_keypoints, prominence=0.0, device="cpu")
        numbers = {}
        for suffix, sequences in (("", self.flat), ("_worlds", self.worlds), ("_rgbd", self.room)):
            if sequences:
                summary = _scores(extractor, sequences).summary()
                numbers |= {f"{key}{suffix}": value for key, value in summary.items()}
        if self.pairs:
            errors = _pose_errors(weights, self.pairs)
            numbers |= dict(zip(("pose_auc_5", "pose_auc_10", "pose_auc_20"), auc(errors, (5, 10, 20)), strict=True))
        if self.video is not None:
            numbers["track_length_kitti"] = _video_track_length(weights, self.video)
        return numbers


def _scores(extractor: Extractor, sequences: list[SequenceBatch]) -> TrackScores:
    scores = NO_SCORES
    for sequence in sequences:
        scores = scores + track_scores([extractor(image) for image in sequence.images[0]], sequence)
    return scores


def _worlds(photos: Path, image_size: int) -> list[SequenceBatch]:
    generator = torch.Generator().manual_seed(200_003)
    worlds = Worlds(world_config(image_size), load_textures(photos, WORLD_TEXTURES, 512, generator))
    return [worlds.sample(1, generator) for _ in range(WORLDS)]


def _room(folder: Path) -> list[SequenceBatch]:
    frames = read_rgbd(folder)
    starts = range(len(frames) - ROOM_FRAMES, len(frames) - ROOM_T + 1, ROOM_STEP)
    fitted = {i: fit_frame(frames.frame(i), ROOM_SIZE) for i in range(starts[0], len(frames))}
    windows = [[fitted[start + k] for k in range(ROOM_T)] for start in starts]
    return [SequenceBatch(torch.stack([f.image for f in w])[None], stack_geometry([w])) for w in windows]


def _neighbours(folder: Path) -> tuple[dict[str, Path], list[PosePair]]:
    """Image files, and pairs of a Strecha scene at most POSE_GAP places apart: cameras walk around the building."""
    cameras = read_strecha_cameras(folder)
    names = sorted(cameras)
    pairs = []
    for i, a in enumerate(names):
        for b in names[i + 1 : i + 1 + POSE_GAP]:
            (K_a, pose_a), (K_b, pose_b) = cameras[a], cameras[b]
            pair = pose_pair(a, b, K_a, K_b, pose_b @ invert_rigid(pose_a))
            assert isinstance(pair, PosePair)
            pairs.append(pair)
    return {name: folder / "images" / name for name in names}, pairs


def _pose_errors(weights: Path, sets: list[tuple[dict[str, Path], list[PosePair]]]) -> list[float]:
    """PoseLib, plain mutual nearest neighbours, long side 640 px, 1000 keypoints; failures are infinite."""
    extractor = Extractor(weights, max_keypoints=POSE_KEYPOINTS, long_side=POSE_LONG_SIDE, prominence=0.0, device="cpu")
    config = PoseConfig(RobustConfig("poselib"), shuffles=1)
    errors: list[float] = []
    for images, pairs in sets:
        features = {name: extractor(path) for name, path in images.items()}
        for pair in pairs:
            a, b = features[pair.name_a], features[pair.name_b]
            i, j = match(a, b).indices.unbind(1)
            score = score_pair(pair, a.keypoints[i].double(), b.keypoints[j].double(), config)
            errors += score.error_deg
    return errors


def _video_track_length(weights: Path, video: OdometrySequence) -> float:
    """Mean observations per track of successive frames' matches that agree with the estimated motion."""
    extractor = Extractor(
        weights, max_keypoints=VIDEO_KEYPOINTS, long_side=VIDEO_LONG_SIDE, prominence=0.0, device="cpu"
    )
    features = [extractor(path) for path in video.images.values()]

    def pair(i: int, j: int) -> tuple[Features, Features, Matches]:
        return features[i], features[j], match(features[i], features[j])

    found = estimate_path(video, pair, OdometryConfig())
    return track_statistics(build_tracks(features, found.verified)).mean_length
