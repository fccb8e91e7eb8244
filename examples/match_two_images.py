"""Match two photographs and draw the matches.

python examples/match_two_images.py first.jpg second.jpg --out matches.png
"""

from pathlib import Path

import tyro

import traqpoint as tp
from traqpoint.image import read_image, write_image
from traqpoint.viz.draw import draw_matches


def main(
    first: tyro.conf.Positional[Path],
    second: tyro.conf.Positional[Path],
    out: Path = Path("matches.png"),
    weights: str = "traqpoint-s",
) -> None:
    extractor = tp.Extractor(weights, max_keypoints=1000)
    a, b = extractor.batch([first, second])  # images of any sizes

    matches = tp.match(a, b, min_similarity=0.7)
    i, j = matches.indices.unbind(1)  # keypoint indices in the two images

    write_image(out, draw_matches(read_image(first), read_image(second), a.keypoints[i], b.keypoints[j]))
    print(f"{len(matches)} matches of {len(a)} and {len(b)} keypoints, drawn in {out}")


if __name__ == "__main__":
    tyro.cli(main)
