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
from traqpoint.data.testsets.pairs import PosePair, PosePairs, pose_pair
from traqpoint.data.worlds.config import WorldsConfig
from traqpoint.data.worlds.source import Worlds
from traqpoint.data.worlds.textures import load_textures
from traqpoint.evaluation.benchmark import Benchmark
from traqpoint.evaluation.benchmarks.odometry import OdometryBenchmark
from traqpoint.evaluation.benchmarks.pose import PoseBenchmark
from traqpoint.evaluation.benchmarks.track_sets import in_memory
from traqpoint.evaluation.benchmarks.tracks import TracksBenchmark
from traqpoint.geometry.transforms import invert_rigid
from traqpoint.inference.extractor import Extractor
from traqpoint.io.strecha import read_strecha_cameras
from traqpoint.models.traqpoint import TraqPoint
from traqpoint.types import SequenceBatch

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
    """Benchmarks whose data are read and rendered once, and that judge often."""

    def __init__(
        self,
        photos: Path,
        count: int,
        image_size: int,
        posed: Path | None,
        rgbd: Path | None,
        kitti: Path | None,
    ) -> None:
        tracks, flat = TracksBenchmark(), _flat(photos, count, image_size)
        self._glance = tracks.on(in_memory("glance", flat[:GLANCE]))
        self._benchmarks: dict[str, Benchmark] = {
            "": tracks.on(in_memory("photos", flat)),
            "worlds": tracks.on(in_memory("worlds", _worlds(photos, image_size))),
        }
        if rgbd is not None:
            self._benchmarks["rgbd"] = tracks.on(in_memory("room", _room(rgbd)))
        if posed is not None:
            pose = PoseBenchmark(
                truth=posed,
                estimators=("poselib",),
                shuffles=1,
                max_keypoints=POSE_KEYPOINTS,
                long_side=POSE_LONG_SIDE,
            )
            self._benchmarks["pose"] = pose.on(_neighbours(posed))
        if kitti is not None:
            self._benchmarks["kitti"] = OdometryBenchmark(
                kitti=kitti, max_keypoints=VIDEO_KEYPOINTS, long_side=VIDEO_LONG_SIDE
            )

    def glance(self, model: TraqPoint, max_keypoints: int) -> float:
        """Completeness of a model in training on the first photographs; leaves the model as it is."""
        extractor = Extractor(
            copy.deepcopy(model), max_keypoints=max_keypoints, prominence=0.0, long_side=None, device="cpu"
        )
        return self._glance.judge(extractor).stats["completeness"]

    def judge(self, weights: Path, max_keypoints: int) -> dict[str, float]:
        """Numbers of one detector. Nothing is filtered by prominence: blunt policies have none."""
        numbers: dict[str, float] = {}
        for name, benchmark in self._benchmarks.items():
            limit = max_keypoints if benchmark.kind == "tracks" else benchmark.max_keypoints
            extractor = Extractor(
                weights, max_keypoints=limit, long_side=benchmark.long_side, prominence=0.0, device="cpu"
            )
            stats = benchmark.judge(extractor).stats
            if name == "pose":
                numbers |= {f"pose_{key}": stats[key] for key in ("auc_5", "auc_10", "auc_20")}
            elif name == "kitti":
                numbers["track_length_kitti"] = stats["mean_track_length"]
            else:
                means = {key: value for key, value in stats.items() if not key.endswith(("_low", "_high"))}
                numbers |= {f"{key}_{name}".removesuffix("_"): value for key, value in means.items()}
        return numbers


def _flat(photos: Path, count: int, image_size: int) -> list[SequenceBatch]:
    images = load_photos(photos)
    source = HomographySequences(images, HomographyConfig(image_size=image_size))
    chosen = range(0, len(images), max(1, len(images) // count))[:count]
    return [source.render([i], torch.Generator().manual_seed(100_003 + i)) for i in chosen]


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


def _neighbours(posed: Path) -> PosePairs:
    """Pairs of all Strecha scenes in a folder at most POSE_GAP places apart: cameras walk around the building."""
    images: dict[str, Path] = {}
    pairs: list[PosePair] = []
    for scene in sorted(posed.iterdir()):
        cameras = read_strecha_cameras(scene)
        names = sorted(cameras)
        images |= {f"{scene.name}/{name}": scene / "images" / name for name in names}
        for i, a in enumerate(names):
            for b in names[i + 1 : i + 1 + POSE_GAP]:
                (K_a, pose_a), (K_b, pose_b) = cameras[a], cameras[b]
                in_scene = (f"{scene.name}/{name}" for name in (a, b))
                pair = pose_pair(*in_scene, K_a, K_b, pose_b @ invert_rigid(pose_a))
                assert isinstance(pair, PosePair)
                pairs.append(pair)
    return PosePairs(posed.name, images, tuple(pairs))
