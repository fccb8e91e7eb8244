"""Tracks: how long do keypoints live?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from traqpoint.errors import ConfigError
from traqpoint.evaluation.benchmark import Benchmark

if TYPE_CHECKING:
    from traqpoint.evaluation.benchmarks.track_sets import TrackSet
    from traqpoint.evaluation.methods.method import Method
    from traqpoint.evaluation.metrics.tracks import TrackScores
    from traqpoint.evaluation.predict import Predictions
    from traqpoint.evaluation.result import Result
    from traqpoint.progress import Progress

_CURVES = {"completeness": "found / visible", "survival": "found in all frames so far", "localization_px": "error [px]"}
"""Curves over the frames after the reference, and what they are."""


@dataclass(frozen=True, kw_only=True)
class TracksBenchmark(Benchmark):
    """How long keypoints live: completeness, track lengths, survival, localization error, repeatability.

    Dead tracks count. Definitions: docs/track_metrics.md. Give one source of sequences.
    """

    kind: ClassVar[str] = "tracks"

    photos: Path | None = None
    """Folder of photos; one homography sequence each."""
    rgbd: Path | None = None
    """An RGB-D recording (TUM, 7-Scenes, ScanNet, or a plain folder); windows of its frames."""
    colmap: Path | None = None
    """A COLMAP workspace; images with others that see the same."""
    images: Path | None = None
    """COLMAP: folder that image names start from; by default images in the workspace."""
    worlds: int | None = None
    """So many rendered worlds."""
    frames: int = 5
    """Frames per sequence; the first one is the reference."""
    difficulty: float = 1.0
    """Photos: rotation, scale, shift, perspective and change of light by this share of what our training uses."""
    gap: int = 1
    """RGB-D: frames from one frame of a window to the next."""
    stride: int | None = None
    """Images from one reference to the next; by default RGB-D windows do not overlap, and every photo and COLMAP image
    is one."""
    first: int = 0
    """RGB-D: number of the first frame to use."""
    min_overlap: float = 0.3
    """COLMAP: least share of the reference's points that the other images see."""
    limit: int | None = None
    """Use so many sequences, spread over all."""
    threshold_px: float = 3.0
    """Farthest that a correct match may lie from the true place."""

    @cached_property
    def data(self) -> TrackSet:
        from traqpoint.data.config import HomographyConfig
        from traqpoint.data.posed.colmap import ColmapSet
        from traqpoint.data.posed.rgbd_layouts import read_rgbd
        from traqpoint.data.worlds.config import WorldsConfig
        from traqpoint.evaluation.benchmarks import track_sets

        sources = {name: getattr(self, name) for name in ("photos", "rgbd", "colmap", "worlds")}
        if sum(value is not None for value in sources.values()) != 1:
            raise ConfigError(f"give one source of sequences: --{', --'.join(sources)}")
        if self.photos is not None:
            config = HomographyConfig(num_frames=self.frames, **track_sets.HOMOGRAPHIES)
            config = config.milder(self.difficulty)
            return track_sets.homography_set(self.photos, config, self.limit, self.seed, self.stride or 1)
        if self.rgbd is not None:
            recording = read_rgbd(self.rgbd)
            return track_sets.window_set(recording, self.frames, self.gap, self.stride, self.first, self.limit)
        if self.colmap is not None:
            workspace = ColmapSet(self.colmap, self.images)
            return track_sets.covisible_set(workspace, self.frames, self.min_overlap, self.stride or 1, self.limit)
        assert self.worlds is not None
        return track_sets.worlds_set(WorldsConfig(num_frames=self.frames), self.worlds, self.seed)

    def predict(self, method: Method, out: Path | None = None, progress: Progress | None = None) -> Predictions:
        """Features of every frame; they are matched when they are scored."""
        from traqpoint.evaluation.predict import predict_sequences

        return predict_sequences(self.data, method, out, self.matcher, progress)

    def score(
        self, found: Predictions, variant: str = "", out: Path | None = None, progress: Progress | None = None
    ) -> Result:
        """stats: `TrackScores.summary` over all sequences, with a 95 % interval over sequences for completeness and
        track length. arrays: the same per sequence, the curves and the histogram over all.
        """
        import numpy as np

        from traqpoint.evaluation.metrics.tracks import NO_SCORES, bootstrap, track_scores
        from traqpoint.evaluation.predict import frame_names
        from traqpoint.evaluation.result import Result
        from traqpoint.matching.run import build_matcher

        scores, matcher = [], build_matcher(self.matcher)
        for name, sequence in self.data:
            features = [found.features.read(frame) for frame in frame_names(name, sequence)]
            scores.append(track_scores(features, sequence, self.threshold_px, matcher))
        total = sum(scores, NO_SCORES)
        rows = [score.summary() for score in scores]
        per_sequence = {name: np.array([row[name] for row in rows]) for name in rows[0]} if rows else {}
        histogram = np.array(total.length_histogram, dtype=np.int64)
        return Result(
            self.kind,
            found.method,
            stats=total.summary() | bootstrap(scores, self.seed),
            arrays=per_sequence | total.curves() | {"length_histogram": histogram},
            protocol={
                **self.data.protocol,
                **found.protocol,
                "threshold_px": self.threshold_px,
                "bootstrap_seed": self.seed,
            },
            notes=_notes(total, scores),
        )

    def draw(self, results: Sequence[Result], folder: Path, title: str) -> None:
        import numpy as np

        from traqpoint.viz.plots import plot_curves

        name = results[0].protocol["dataset"]["name"]
        for key, what in _CURVES.items():
            found = {result.method: result.arrays[f"{key}_at"] for result in results}
            curves = {method: (np.arange(1, len(values) + 1), values) for method, values in found.items()}
            heading = f"{key.removesuffix('_px')}, {name}"
            plot_curves(curves, folder / f"{key}.png", "frames after the reference", what, heading)


def _notes(total: TrackScores, scores: Sequence[TrackScores]) -> tuple[str, ...]:
    notes = []
    pairs = total.keypoints * len(total.visible_at)
    if total.unknown:
        share = f"{total.unknown / pairs:.1%} of the (keypoint, target) pairs"
        notes.append(f"the truth is unknown for {share}, {total.unknown} of {pairs}: they count nowhere")
    empty = sum(score.keypoints == 0 for score in scores)
    if empty:
        notes.append(f"no keypoints in the reference frame of {empty} of {len(scores)} sequences")
    return tuple(notes)
