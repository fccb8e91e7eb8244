"""How policy_comparison.py judges a detector: tracks on unseen photographs, tracks in a real room, relative pose."""

from __future__ import annotations

import copy
from pathlib import Path

import torch

from traqpoint.data.base import load_photos
from traqpoint.data.frames import fit_frame, stack_geometry
from traqpoint.data.homography import HomographyConfig, HomographySequences
from traqpoint.data.pose_pairs import PosePair, pose_pair
from traqpoint.data.rgbd import read_rgbd
from traqpoint.evaluation.pose import PoseConfig, auc, score_pair
from traqpoint.evaluation.robust import RobustConfig
from traqpoint.evaluation.tracks import NO_SCORES, TrackScores, track_scores
from traqpoint.geometry.transforms import invert_rigid
from traqpoint.inference.extractor import Extractor
from traqpoint.io.strecha import read_strecha_cameras
from traqpoint.matching.mutual import match
from traqpoint.models.traqpoint import TraqPoint
from traqpoint.types import Sequence

ROOM_FRAMES, ROOM_T, ROOM_STEP, ROOM_SIZE = 37, 3, 2, (360, 240)
"""Neighbours there share a third to a half of what they see, and nothing is left after three frames."""
GLANCE = 8
"""Photographs of the quick look during training."""
POSE_LONG_SIDE, POSE_KEYPOINTS, POSE_GAP = 640, 1000, 4


class Validation:
    """Data that is read and rendered once and judged often."""

    def __init__(self, photos: Path, count: int, image_size: int, posed: Path | None, rgbd: Path | None) -> None:
        images = load_photos(photos)
        source = HomographySequences(images, HomographyConfig(image_size=image_size))
        chosen = range(0, len(images), max(1, len(images) // count))[:count]
        self.flat = [source.render([i], torch.Generator().manual_seed(100_003 + i)) for i in chosen]
        self.room = _room(rgbd) if rgbd is not None else []
        self.pairs = [_neighbours(folder) for folder in sorted(posed.iterdir())] if posed is not None else []

    def glance(self, model: TraqPoint, max_keypoints: int) -> float:
        """Completeness of a model in training on the first photographs; leaves the model as it is."""
        extractor = Extractor(copy.deepcopy(model), max_keypoints=max_keypoints, prominence=0.0, device="cpu")
        return _scores(extractor, self.flat[:GLANCE]).summary()["completeness"]

    def judge(self, weights: Path, max_keypoints: int) -> dict[str, float]:
        """Numbers of one detector. Nothing is filtered by prominence: blunt policies have none."""
        extractor = Extractor(weights, max_keypoints=max_keypoints, prominence=0.0, device="cpu")
        numbers = {}
        for suffix, sequences in (("", self.flat), ("_rgbd", self.room)):
            if sequences:
                summary = _scores(extractor, sequences).summary()
                numbers |= {f"{key}{suffix}": value for key, value in summary.items()}
        if self.pairs:
            errors = _pose_errors(weights, self.pairs)
            numbers |= dict(zip(("pose_auc_5", "pose_auc_10", "pose_auc_20"), auc(errors, (5, 10, 20)), strict=True))
        return numbers


def _scores(extractor: Extractor, sequences: list[Sequence]) -> TrackScores:
    scores = NO_SCORES
    for sequence in sequences:
        scores = scores + track_scores([extractor(image) for image in sequence.images[0]], sequence)
    return scores


def _room(folder: Path) -> list[Sequence]:
    frames = read_rgbd(folder)
    starts = range(len(frames) - ROOM_FRAMES, len(frames) - ROOM_T + 1, ROOM_STEP)
    fitted = {i: fit_frame(frames.frame(i), ROOM_SIZE) for i in range(starts[0], len(frames))}
    windows = [[fitted[start + k] for k in range(ROOM_T)] for start in starts]
    return [Sequence(torch.stack([f.image for f in w])[None], stack_geometry([w])) for w in windows]


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
