"""``traqpoint eval tracks``"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from traqpoint.cli.evaluate import EvalOptions, picture
from traqpoint.errors import ConfigError

if TYPE_CHECKING:
    from traqpoint.evaluation.benchmarks.track_sets import TrackSet
    from traqpoint.evaluation.methods.method import Method
    from traqpoint.evaluation.result import Result
    from traqpoint.progress import Progress


@dataclass(frozen=True, kw_only=True)
class Tracks(EvalOptions):
    """How long keypoints live: completeness, track lengths, survival, localization error, repeatability.

    Dead tracks count. Definitions: docs/track_metrics.md. Give one source of sequences.
    """

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
    gap: int = 1
    """RGB-D: frames from one frame of a window to the next."""
    stride: int | None = None
    """Images from one reference to the next; by default RGB-D windows do not overlap, and every COLMAP image is one."""
    first: int = 0
    """RGB-D: number of the first frame to use."""
    min_overlap: float = 0.3
    """COLMAP: least share of the reference's points that the other images see."""
    limit: int | None = None
    """Use so many sequences, spread over all."""
    threshold_px: float = 3.0
    """Farthest that a correct match may lie from the true place."""

    def run(self) -> int:
        import numpy as np

        from traqpoint.evaluation.methods.method import label
        from traqpoint.evaluation.metrics.tracks import evaluate_tracks
        from traqpoint.evaluation.predict import predict_sequences, protocol_of
        from traqpoint.viz.plots import plot_curves

        sequences = self._sequences()

        def judge(method: Method, folder: Path, progress: Progress) -> Result:
            store = predict_sequences(sequences.followed(progress), method, folder / "features")
            protocol = {**sequences.protocol, **protocol_of(method, self.matcher)}
            return evaluate_tracks(
                sequences, store, label(method), protocol, self.threshold_px, self.matcher, self.seed
            )

        results = self.evaluate(judge)
        targets = np.arange(1, self.frames)
        for name, what in (
            ("completeness", "found / visible"),
            ("survival", "found in all frames so far"),
            ("localization_px", "error [px]"),
        ):
            curves = {result.method: (targets, result.arrays[f"{name}_at"]) for result in results}
            title = f"{name.removesuffix('_px')}, {sequences.protocol['dataset']['name']}"
            with picture():
                plot_curves(curves, self.out / f"{name}.png", "frames after the reference", what, title)
        return 0

    def _sequences(self) -> TrackSet:
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
            return track_sets.homography_set(self.photos, config, self.limit, self.seed)
        if self.rgbd is not None:
            recording = read_rgbd(self.rgbd)
            return track_sets.window_set(recording, self.frames, self.gap, self.stride, self.first, self.limit)
        if self.colmap is not None:
            workspace = ColmapSet(self.colmap, self.images)
            return track_sets.covisible_set(workspace, self.frames, self.min_overlap, self.stride or 1, self.limit)
        assert self.worlds is not None
        return track_sets.worlds_set(WorldsConfig(num_frames=self.frames), self.worlds, self.seed)
