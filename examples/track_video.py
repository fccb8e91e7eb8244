"""Track keypoints through a video or a folder of images, and draw the trails of the last frame.

python examples/track_video.py video.mp4 --out tracks.png
"""

from pathlib import Path

import tyro

import traqpoint as tp
from traqpoint.image import write_image
from traqpoint.io.video import read_frames
from traqpoint.tracking.stats import track_statistics
from traqpoint.viz.draw import draw_trails


def main(source: tyro.conf.Positional[Path], out: Path = Path("tracks.png"), weights: str = "traqpoint-s") -> None:
    extractor = tp.Extractor(weights, max_keypoints=1000)
    tracks = tp.track(source, extractor, tp.TrackerConfig(max_displacement=40))

    # One row per observation: track_id, frame and pixel.
    if len(tracks):
        longest = tracks.track_id == tracks.track_id.bincount().argmax()
        print(f"longest track: frames {tracks.frame[longest].tolist()}")

    statistics = track_statistics(tracks)
    *_, last = read_frames(source)
    write_image(out, draw_trails(last, tracks, tracks.num_frames - 1))
    print(f"{statistics.num_tracks} tracks, mean length {statistics.mean_length:.1f}, drawn in {out}")


if __name__ == "__main__":
    tyro.cli(main)
